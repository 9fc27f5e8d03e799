"""The search: many processes on one study, none of whose trials is lost or run twice."""

import json
import multiprocessing
import os
import signal
import time
from collections import Counter

import optuna
import pytest
import torch

from book import __main__ as command_line
from lib.config import PRESETS, load_preset
from lib.data import load_titles
from studies import search

CONFIG = load_preset("smoke", optimizer="adamw", betas=(0.9, 0.95)).change(
    num_titles=200, vocab_size=300, n_embd=32, n_layer=1, batch_size=4, epochs=1
)
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.test_search", "torch._dynamo"])  # imported once for all


def _work(out, trials, started=None):
    """Run `trials` trials on the study in `out`; with `started`, say so and hang in the first."""
    torch.set_num_threads(1)
    search.HEARTBEAT = 1
    search.load_step = lambda step, preset: CONFIG
    search.suggest = lambda trial, _: {
        "learning_rate": trial.suggest_float("learning_rate", 0.001, 1)
    }
    if started is not None:

        def hang(*_):
            started.set()
            time.sleep(600)

        search.train = hang
    search.search("smoke", load_titles(CONFIG, "synthetic"), out, trials)


def _start(*arguments):
    process = CONTEXT.Process(target=_work, args=arguments)
    process.start()
    return process


def _study(out):
    return optuna.load_study(study_name="smoke", storage=f"sqlite:///{out / '_build/search.db'}")


def test_two_workers_on_one_study_lose_no_trial_and_run_none_twice(tmp_path):
    workers = [_start(tmp_path, 3) for _ in range(2)]
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    trials = _study(tmp_path).trials
    assert [trial.number for trial in trials] == list(range(6))
    assert all(trial.state.is_finished() and trial.value is not None for trial in trials)
    assert len({trial.params["learning_rate"] for trial in trials}) == 6
    record = search.read_search(tmp_path, "smoke")
    assert [t["number"] for t in record["trials"]] == list(range(6))
    assert [t["loss"] for t in record["trials"]] == [trial.value for trial in trials]


def test_a_trial_whose_worker_was_killed_is_run_by_the_next(tmp_path):
    started = CONTEXT.Event()
    worker = _start(tmp_path, 1, started)
    assert started.wait(60)
    time.sleep(2)  # for its first sign of life
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    (lost,) = _study(tmp_path).trials
    time.sleep(3)  # longer than two heartbeats
    after = _start(tmp_path, 2)
    after.join(120)
    assert after.exitcode == 0
    trials = _study(tmp_path).trials
    states = Counter(trial.state.name for trial in trials)
    assert states["COMPLETE"] == 2 and states["RUNNING"] == 0
    assert lost.params in [trial.params for trial in trials if trial.value is not None]


def test_a_run_that_diverges_is_a_failed_trial_and_the_search_goes_on(tmp_path, monkeypatch):
    calls = []

    def diverge_once(config, titles):
        calls.append(config)
        if len(calls) == 1:
            raise FloatingPointError("The loss is nan at step 3.")
        return real(config, titles)

    real = search.train
    monkeypatch.setattr(search, "train", diverge_once)
    monkeypatch.setattr(search, "load_step", lambda step, preset: CONFIG)
    monkeypatch.setattr(search, "suggest", lambda trial, config: {})
    study = search.search("smoke", load_titles(CONFIG, "synthetic"), tmp_path, 2)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    text = (tmp_path / "results" / "search" / "smoke.json").read_text("utf-8")
    assert [t["number"] for t in json.loads(text)["trials"]] == [1]


def test_without_optuna_the_command_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    arguments = ["search", "--preset", "smoke", "--trials", "1", "--out", str(tmp_path)]
    assert command_line.main(arguments) == 1
    assert "pip install -r requirements-dev.txt" in capsys.readouterr().err


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_suggested_are_settings_that_step_three_can_have(preset):
    study, config = optuna.create_study(), search.load_step(search.STEP, preset)
    tried = [config.change(**search.suggest(study.ask(), config)) for _ in range(50)]
    for name in ("dropout", "r_drop", "muon_learning_rate", "n_layer", "n_embd", "batch_factor"):
        assert len({getattr(c, name) for c in tried}) > 1, name
    assert all(c.n_embd // c.n_head % 2 == 0 for c in tried)  # RoPE turns channels in pairs
    assert all(c.batch_size * c.batch_factor >= 1 for c in tried)
