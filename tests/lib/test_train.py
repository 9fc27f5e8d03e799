"""Training: the same numbers twice, and the same numbers after being killed at any moment."""

import math
import multiprocessing
import os
import random
import re
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from lib.batches import IGNORED, cuts, windows
from lib.checkpoint import Checkpoints, restore, state_of
from lib.config import LATER, load_preset
from lib.counts import Counts
from lib.data import load_titles
from lib.evaluate import characters, token_losses, total
from lib.files import held
from lib.train import train

CONFIG = load_preset("smoke", optimizer="adamw", learning_rate=5e-4, betas=(0.9, 0.95)).change(
    num_titles=400, vocab_size=300, n_embd=32, n_layer=1, epochs=4
)
TITLES = load_titles(CONFIG, "synthetic")


@pytest.fixture(scope="module")
def whole():
    return train(CONFIG, TITLES)


def same(run, other):
    assert run.curve == other.curve
    a, b = run.model.state_dict(), other.model.state_dict()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_same_seed_gives_the_same_numbers_bit_for_bit(whole):
    same(train(CONFIG, TITLES), whole)


def test_another_seed_gives_others(whole):
    assert train(CONFIG.change(seed=1), TITLES).curve[-1] != whole.curve[-1]


def test_evaluations_are_at_the_first_step_every_third_of_an_epoch_and_the_last(whole):
    batches = len(whole.train_ids) // (CONFIG.block_size * CONFIG.batch_size)
    third = batches // 3
    expected = {1, 4 * batches} | set(range(third, 4 * batches + 1, third))
    assert [point["step"] for point in whole.curve] == sorted(expected)


def test_a_point_of_the_curve_in_bf16_is_within_a_thousandth_of_fp32(whole):
    found = [
        total(token_losses(whole.model, whole.val_ids, whole.model.block_size, bf16))
        / characters(TITLES.val)
        for bf16 in (False, True)
    ]
    assert 0 < abs(found[1] - found[0]) < 1e-3
    assert found[0] == whole.curve[-1]["full_coverage"]


EVERYTHING = CONFIG.change(
    position="rope",
    title_mask=True,
    windows="titles",
    gate="channel",
    layer_scale=0.1,
    r_drop=1.0,
    ema=0.9,
    optimizer="muon",
    muon_learning_rate=0.02,
    schedule="wsd",
    warmup=0.1,
    decay=0.4,
    epochs=2,
)


def test_all_of_step_threes_options_continue_bit_identically(tmp_path, monkeypatch):
    uninterrupted = train(EVERYTHING, TITLES)
    _stop_at(3, EVERYTHING, tmp_path, monkeypatch)
    same(train(EVERYTHING, TITLES, folder=tmp_path), uninterrupted)


def test_with_counts_a_run_is_the_one_without_and_its_end_is_the_mixture(tmp_path):
    alone = train(CONFIG, TITLES, folder=tmp_path)
    run = train(CONFIG.change(counts=0.25), TITLES, folder=tmp_path)
    assert run.resumed == run.steps and run.config.counts == 0.25 and alone.model.counts is None
    for name, value in alone.model.state_dict().items():
        assert torch.equal(run.model.state_dict()[name], value), name
    (point,) = run.curve
    assert {**alone.curve[-1], **point} == point
    assert {name for name in point if point[name] != alone.curve[-1][name]} == {
        "official",
        "full_coverage",
    }
    p = token_losses(alone.model, alone.val_ids, alone.model.block_size).neg().exp()
    both = token_losses(run.model, run.val_ids, run.model.block_size).neg().exp()
    bounds = torch.tensor(cuts(run.val_ids, run.model.block_size))
    x, y = windows(run.val_ids, bounds, run.model.block_size)
    q = Counts(run.train_ids, run.tokenizer.vocab_size)(x, y.clamp(min=0))[y != IGNORED]
    torch.testing.assert_close(both, 0.75 * p + 0.25 * q)
    chars = sum(len(title) + 5 for title in TITLES.val)
    assert point["full_coverage"] == pytest.approx(-both.log().sum().item() / chars, rel=1e-5)


def test_with_ema_the_average_of_the_weights_is_what_is_left():
    config, after = CONFIG.change(ema=0.8, epochs=1), []

    def get_recorded(model, config):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        optimizer.register_step_post_hook(
            lambda *_: after.append(model.embedding.weight.detach().clone())
        )
        return optimizer

    run = train(config, TITLES, get_optimizer=get_recorded)
    average = after[0]
    for weight in after[1:]:
        average = 0.8 * average + 0.2 * weight
    torch.testing.assert_close(run.model.embedding.weight, average)
    assert not torch.equal(run.model.embedding.weight, after[-1])


def _train_and_leave(folder, result):
    run = train(CONFIG, TITLES, folder=folder)
    part = result.with_suffix(".part")  # as a kill may come while it is written
    torch.save({"curve": run.curve, "model": run.model.state_dict()}, part)
    part.replace(result)


def test_killed_at_twenty_random_moments_it_ends_bit_identical(whole, tmp_path):
    context = multiprocessing.get_context("forkserver")
    rng, kills, books = random.Random(1337), 0, 0
    while kills < 20:
        books += 1
        folder, result = tmp_path / f"{books}", tmp_path / f"{books}.pt"
        while not result.exists():
            process = context.Process(target=_train_and_leave, args=(folder, result))
            process.start()
            # Wait for a checkpoint more than there was, so that every life gets on, then a moment.
            seen = _files(folder)
            while process.is_alive() and _files(folder) == seen:
                time.sleep(0.005)
            process.join(rng.uniform(0.0, 0.2))
            if process.is_alive():
                process.kill()
                kills += 1
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL)
        ended = torch.load(result, weights_only=True)
        assert ended["curve"] == whole.curve
        for name, value in whole.model.state_dict().items():
            assert torch.equal(ended["model"][name], value), name
    assert kills >= 20


def _files(folder):
    return sorted(path.name for path in folder.glob("step-*")) if folder.exists() else []


class _Interrupted(Exception):
    pass


def _stop_at(evaluation, config, folder, monkeypatch):
    """Train until the evaluation of that number, which is interrupted."""
    import lib.train as module

    measure, calls = module._measure, []

    def stop(*arguments):
        calls.append(1)
        if len(calls) == evaluation:
            raise _Interrupted
        return measure(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_measure", stop)
        with pytest.raises(_Interrupted):
            train(config, TITLES, folder=folder)
    assert len(list(folder.glob("step-*.pt"))) == 2


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """The folder of a run that stopped half way."""
    _stop_at(6, CONFIG, tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_used(stopped, whole, damage, capsys):
    newest = max(stopped.glob("step-*.pt"))
    content = bytearray(newest.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    newest.write_bytes({"truncated": content[:-100], "flipped": content, "empty": b""}[damage])
    same(train(CONFIG, TITLES, folder=stopped), whole)
    printed = capsys.readouterr().out
    assert f"{newest.name} is damaged" in printed and "Continued after step" in printed
    assert newest.with_suffix(".damaged").exists()


def test_a_checkpoint_of_another_run_is_refused_with_the_difference(stopped):
    with pytest.raises(ValueError, match=r"config\.dropout is 0\.1, this run's is 0\.3"):
        train(CONFIG.change(dropout=0.3), TITLES, folder=stopped)
    others = load_titles(CONFIG, "synthetic")
    others.stories["sha256"] = "0" * 64
    with pytest.raises(ValueError, match=r"stories\.sha256"):
        train(CONFIG, others, folder=stopped)
    with pytest.raises(ValueError, match="its titles is"):
        train(CONFIG, replace(TITLES, val=TITLES.val[::-1]), folder=stopped)


def test_all_generators_of_random_numbers_are_restored():
    """Training draws PyTorch's alone; what a notebook brings may draw another's."""

    def drawn():
        return torch.rand(1).item(), np.random.random(), random.random()

    drawn()
    there = state_of([], finished=False)
    first = drawn()
    assert not set(first) & set(drawn())
    restore(there, [])
    assert drawn() == first


def test_checkpoints_are_read_without_running_what_they_hold(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.system, ("true",))

    store = Checkpoints(tmp_path, {})
    store.save(1, {"evil": Evil()})
    with pytest.raises(Exception, match=r"[Uu]nsupported|weights_only|WeightsUnpickler"):
        store.latest(torch.device("cpu"))


def test_a_validation_loss_that_is_no_number_stops_the_run_before_its_checkpoint(tmp_path):
    wild = CONFIG.change(optimizer="sgd", learning_rate=1e30, grad_clip=1e30)
    with pytest.raises(FloatingPointError, match=r"nan at step 1 \(learning rate 1e\+30, gradient"):
        train(wild, TITLES, folder=tmp_path)
    assert not list(tmp_path.glob("step-*.pt"))


def test_a_training_loss_that_is_no_number_stops_the_run_at_once(tmp_path):
    """At step 3 the cosine over 36 steps has the rate 1 at (1 + cos(2π/36)) / 2 = 0.992."""

    def spoil(model, config):
        optimizer, calls = torch.optim.SGD(model.parameters(), lr=1.0), []

        def break_the_model(*_):
            calls.append(1)
            if len(calls) == 2:
                with torch.no_grad():
                    model.embedding.weight.fill_(math.nan)

        optimizer.register_step_post_hook(break_the_model)
        return optimizer

    message = r"The loss is nan at step 3 \(learning rate 0\.992, gradient norm nan\)"
    with pytest.raises(FloatingPointError, match=message):
        train(CONFIG, TITLES, get_optimizer=spoil, folder=tmp_path)
    assert [path.name for path in tmp_path.glob("step-*.pt")] == ["step-00000001.pt"]


def test_too_few_titles_for_a_batch_are_refused():
    with pytest.raises(ValueError, match="do not fill one batch"):
        train(CONFIG.change(batch_size=4096), TITLES)


def test_what_differs_is_refused_accepted_or_trained_again(stopped, whole, capsys, identity_with):
    identity_with(code={"model": "0" * 16}, torch="9.9")
    with pytest.raises(ValueError, match=r"--fresh.*--accept.*out") as refused:
        train(CONFIG, TITLES, folder=stopped)
    assert "its code.model is" in str(refused.value)
    accepted = train(CONFIG, TITLES, folder=stopped, resume="accept")
    assert accepted.accepted == ["code.model", "torch"]
    assert 0 < accepted.resumed < accepted.steps
    same(accepted, whole)
    assert "code.model, torch; accepted" in capsys.readouterr().out
    again = train(CONFIG, TITLES, folder=stopped)  # it is this run's own by now, and says so still
    assert again.accepted == accepted.accepted and again.resumed == again.steps
    fresh = train(CONFIG, TITLES, folder=stopped, resume="fresh")
    assert fresh.accepted == [] and fresh.resumed == 0
    with pytest.raises(ValueError, match="resume is 'always'"):
        train(CONFIG, TITLES, folder=stopped, resume="always")


@pytest.fixture
def identity_with(monkeypatch):
    """A function that changes a run's identity: `code` in part, anything else as a whole."""
    import lib.train as module

    own = module.identity

    def change(code=None, **changes):
        def changed(*arguments, **functions):
            found = own(*arguments, **functions)
            return {**found, "code": {**found["code"], **(code or {})}, **changes}

        monkeypatch.setattr(module, "identity", changed)

    return change


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 1e-4},
        {"n_embd": 64},
        {"epochs": 5},
        {"dropout": 0.3},
        "titles",
        "stories",
        "tokenizer",
        "known",
    ],
)
def test_a_run_of_other_settings_or_titles_is_not_continued_whoever_vouches(
    stopped, change, identity_with
):
    config, named = CONFIG, change
    if isinstance(change, str):
        identity_with(**{change: "another"})
    else:
        config, named = CONFIG.change(**change), f"config.{next(iter(change))}"
    with pytest.raises(ValueError, match=rf"its {named} is") as refused:
        train(config, TITLES, folder=stopped, resume="accept")
    assert "--accept" not in str(refused.value) and "--fresh" in str(refused.value)


def test_a_setting_that_came_later_is_no_other_setting(tmp_path):
    known = {"config": CONFIG.as_dict(), "code": "a"}
    before = {name: value for name, value in known["config"].items() if name not in LATER}
    Checkpoints(tmp_path, known | {"config": before}).save(1, {"all": 1})
    newest = Checkpoints(tmp_path, known).latest(torch.device("cpu"))
    assert newest == ({"all": 1}, [])


def test_what_a_killed_process_had_begun_to_write_goes(tmp_path):
    Checkpoints(tmp_path, {}).save(1, {})
    begun, other = tmp_path / "step-00000002.pt.123.tmp", tmp_path / "other.tmp"
    for path in (begun, other):
        path.write_bytes(b"half")
    Checkpoints(tmp_path, {})
    assert not begun.exists() and other.exists() and list(tmp_path.glob("step-*.pt"))


def test_a_long_value_is_cut_where_it_begins_to_differ(tmp_path):
    theirs, ours = "x" * 500 + "theirs", "x" * 500 + "ours"
    Checkpoints(tmp_path, {"code": theirs}).save(1, {})
    with pytest.raises(ValueError, match=r"its code is '?…x+theirs'?, this run's is '?…x+ours"):
        Checkpoints(tmp_path, {"code": ours}).latest(torch.device("cpu"))


def test_when_where_and_how_fast_are_those_of_the_training(tmp_path, monkeypatch):
    import lib.train
    import lib.watch

    first = train(CONFIG, TITLES, folder=tmp_path)
    another = first.environment | {"commit": "another"}
    monkeypatch.setattr(lib.train, "environment", lambda *_: another)
    monkeypatch.setattr(lib.watch, "peak_memory", lambda: 1 << 60)
    again = train(CONFIG, TITLES, folder=tmp_path)
    assert again.resumed == again.steps == first.steps
    for name in ("created", "speed", "environment", "identity", "curve"):
        assert getattr(again, name) == getattr(first, name), name
    assert first.environment["threads"] == torch.get_num_threads()


@pytest.fixture
def clock(monkeypatch):
    """A function that says how many seconds a step and an evaluation take, by its own clock."""
    import lib.train as module
    import lib.watch

    now, losses, measure = [0.0], module.losses, module._measure

    def take(function, seconds):
        def slow(*arguments):
            now[0] += seconds
            return function(*arguments)

        return slow

    def set_(step, evaluation):
        monkeypatch.setattr(module, "losses", take(losses, step))
        monkeypatch.setattr(module, "_measure", take(measure, evaluation))
        monkeypatch.setattr(lib.watch.time, "perf_counter", lambda: now[0])

    return set_


def test_tokens_per_second_is_what_a_clock_beside_it_says(clock):
    """The clock of training stands while the model is measured."""
    clock(step=1.0, evaluation=100.0)
    run = train(CONFIG, TITLES)
    tokens = CONFIG.block_size * CONFIG.batch_size
    assert run.speed["tokens_per_second"] == pytest.approx(tokens)
    assert run.speed["seconds"] == pytest.approx(run.steps + 100 * len(run.curve))


def test_a_long_run_says_at_its_start_how_long_it_takes_and_what_would_be_faster(
    clock, monkeypatch, capsys
):
    import lib.watch

    for step in (2.0, 200.0):
        clock(step=step, evaluation=100.0)
        run = train(CONFIG, TITLES)
        told = capsys.readouterr().out
        seconds = step * (run.steps - 3) + 100 * CONFIG.epochs * CONFIG.evals_per_epoch
        hours, minutes = re.search(r"about (?:(\d+) h )?(\d+) min: ", told).groups()
        assert (hours is None) == (seconds < 3500)
        assert abs(60 * int(hours or 0) + int(minutes) - round(seconds / 60)) <= 2
    assert f"{run.steps:,} steps on {run.environment['device']}, in " in told
    assert "no GPU" in told and "Runtime → Change runtime type" in told
    monkeypatch.setattr(lib.watch, "LONG", 1e9)
    train(CONFIG, TITLES)
    assert "no GPU" not in capsys.readouterr().out
    train(CONFIG, TITLES, quiet=True)
    assert capsys.readouterr().out == ""


def test_the_bar_moves_while_a_model_is_measured(monkeypatch, capsys):
    import lib.watch

    now = iter(range(0, 10**9, 2))  # every look at the clock is two seconds later
    monkeypatch.setattr(lib.watch.time, "perf_counter", lambda: float(next(now)))
    train(CONFIG, TITLES)
    shares = re.findall(r"evaluating, (\d+)%", capsys.readouterr().out)
    assert {"100"} < set(shares)


def test_a_run_says_its_losses_by_epoch_and_how_fast_it_was(tmp_path, capsys):
    run = train(CONFIG, TITLES, folder=tmp_path)
    told = capsys.readouterr().out.split("epoch ")[1]
    train(CONFIG, TITLES, folder=tmp_path)
    assert capsys.readouterr().out.removeprefix("epoch ") == told  # the same where it is read back
    lines = [line.split() for line in told.splitlines()]
    epochs = [line for line in lines if line and line[0].isdigit() and len(line) == 3]
    assert [line[0] for line in epochs] == ["1", "2", "3", "4"]
    last = run.curve[-1]
    assert epochs[-1][1:] == [f"{last['train']:.3f}", f"{last['full_coverage']:.4f}"]
    assert f"{run.steps:,} steps in" in told
    train(CONFIG, TITLES, quiet=True)
    assert capsys.readouterr().out == ""


def _hold(folder, started, waited_for):
    with held(folder):
        started.set()
        assert waited_for.wait(600)


def test_a_second_process_waits_for_the_first_and_says_for_whom(
    tmp_path, whole, capsys, monkeypatch
):
    context = multiprocessing.get_context("forkserver")
    started, waited_for = context.Event(), context.Event()

    def say(*words, **options):
        print(*words, **options)
        waited_for.set()

    monkeypatch.setattr("lib.files.print", say, raising=False)
    first = context.Process(target=_hold, args=(tmp_path, started, waited_for))
    first.start()
    assert started.wait(600)
    same(train(CONFIG, TITLES, folder=tmp_path), whole)
    assert f"is held by process {first.pid} on " in capsys.readouterr().out
    first.join()
    train(CONFIG, TITLES, folder=tmp_path)
    assert "is held by" not in capsys.readouterr().out
    assert not (tmp_path / ".held-by").exists()
