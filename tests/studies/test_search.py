"""The search: many processes on one study, none of whose trials is lost or run twice."""

import dataclasses
import os
import re
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from types import SimpleNamespace

import optuna
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from book import __main__ as command_line
from lib.config import PRESETS, changed, load_step
from lib.files import held, results, write_json
from lib.steps import PUBLIC_BEST, SEARCHES
from lib.watch import _lost
from studies import search
from studies.trials import chosen, read, suggest

from .small import CONFIG, CONTEXT, TITLES, other_code, start, wait_until_it_waits

STEP = "04_lowest_loss"


def _only_rate(trial, *_):
    return {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1)}


def _work(out, trials, started=None, heartbeat=search.HEARTBEAT):
    """Run `trials` trials on the study in `out`; with `started`, say so and hang in the first."""
    search.HEARTBEAT = heartbeat
    search.load_step = lambda step, preset: CONFIG
    search.suggest = _only_rate
    if started is not None:

        def hang(*_, **__):
            started.set()
            time.sleep(600)

        search.train = hang
    search.search(STEP, "smoke", TITLES, out, trials)


def _studies(out):
    return optuna.get_all_study_names(f"sqlite:///{out / '_build/search.db'}")


def _study(out):
    (name,) = _studies(out)
    return optuna.load_study(study_name=name, storage=f"sqlite:///{out / '_build/search.db'}")


def _signs_of_life(out):
    with closing(sqlite3.connect(out / "_build" / "search.db", timeout=600)) as database:
        return database.execute("select count(*) from trial_heartbeats").fetchone()[0]


@event.listens_for(Engine, "connect")
def _unsynced(connection, _):
    """No test survives a power cut: SQLite need not wait for the disk."""
    connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture
def quick(monkeypatch):
    """A search whose runs are not trained: each is only noted, and its loss is its rate."""
    noted = []

    class Run:
        def __init__(self, config, titles, folder, resume, quiet):
            noted.append(config)
            self.accepted = []
            bf16 = search.use_bf16("auto", search.best_device())
            self.environment = {"precision": "bf16" if bf16 else "fp32"}
            self.curve = [{"full_coverage": 9.0}, {"full_coverage": config.learning_rate}]

    monkeypatch.setattr(search, "train", Run)
    monkeypatch.setattr(search, "load_step", lambda step, preset: CONFIG)
    monkeypatch.setattr(search, "suggest", _only_rate)
    return noted


def test_two_workers_on_one_study_lose_no_trial_and_run_none_twice(tmp_path):
    workers = [start(tmp_path / f"{i}.txt", _work, tmp_path, 3) for i in range(2)]
    for worker in workers:
        worker.join(600)
        assert worker.exitcode == 0
    trials = _study(tmp_path).trials
    assert [trial.number for trial in trials] == list(range(6))
    assert all(trial.state.is_finished() and trial.value is not None for trial in trials)
    assert len({trial.params["learning_rate"] for trial in trials}) == 6
    record = search.read_search(tmp_path, STEP, "smoke")
    assert [t["number"] for t in record["trials"]] == list(range(6))
    assert [t["loss"] for t in record["trials"]] == [trial.value for trial in trials]


def test_a_trial_whose_worker_was_killed_is_run_by_the_next(tmp_path):
    started = CONTEXT.Event()
    worker = start(tmp_path / "1.txt", _work, tmp_path, 1, started, 1)
    assert started.wait(600)
    until = time.monotonic() + 600
    while not _signs_of_life(tmp_path):
        assert time.monotonic() < until
        time.sleep(0.1)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    (lost,) = _study(tmp_path).trials
    time.sleep(3)  # longer than two heartbeats
    after = start(tmp_path / "2.txt", _work, tmp_path, 2, None, 1)
    after.join(600)
    assert after.exitcode == 0
    trials = _study(tmp_path).trials
    states = Counter(trial.state.name for trial in trials)
    assert states["COMPLETE"] == 2 and states["RUNNING"] == 0
    assert lost.params in [trial.params for trial in trials if trial.value is not None]


def test_a_run_that_diverges_is_a_failed_trial_and_the_search_goes_on(tmp_path, quick, monkeypatch):
    run = search.train

    def diverge_once(*arguments, **more):
        made = run(*arguments, **more)
        if len(quick) == 1:
            raise FloatingPointError("The loss is nan at step 3.")
        return made

    monkeypatch.setattr(search, "train", diverge_once)
    study = search.search(STEP, "smoke", TITLES, tmp_path, 2)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    (trial,) = search.read_search(tmp_path, STEP, "smoke")["trials"]
    assert trial["number"] == 1
    assert trial["loss"] == trial["changes"]["learning_rate"] == quick[1].learning_rate


def other_stories():
    return dataclasses.replace(TITLES, stories={**TITLES.stories, "sha256": "0" * 64})


def test_two_sets_of_stories_are_two_studies_of_one_database(tmp_path, quick):
    storage = f"sqlite:///{tmp_path / 'both.db'}"
    for out, titles, trials in (("a", TITLES, 1), ("b", other_stories(), 2), ("a", TITLES, 2)):
        search.search(STEP, "smoke", titles, tmp_path / out, trials, storage)
    a, b = (search.read_search(tmp_path / out, STEP, "smoke") for out in ("a", "b"))
    assert len(a["trials"]) == 3 and len(b["trials"]) == 2 and a["study"] != b["study"]
    assert set(optuna.get_all_study_names(storage)) == {a["study"], b["study"]}
    assert b["stories"]["sha256"] == "0" * 64


def test_settings_space_code_precision_and_preset_make_another_study(tmp_path, quick, monkeypatch):
    names = set()
    changes = (None, "settings", "space", "code", "precision", "preset")
    for i, change in enumerate(changes):
        with monkeypatch.context() as patch:
            if change == "settings":
                patch.setattr(search, "load_step", lambda *_: CONFIG.change(dropout=0.3))
            if change == "space":
                patch.setitem(SEARCHES[STEP], "dropout", (0.0, 0.6))
            if change == "code":
                other_code(patch, search)
            if change == "precision":
                there = search.use_bf16("auto", search.best_device())
                patch.setattr(search, "use_bf16", lambda *_, there=there: not there)
            preset = "tiny" if change == "preset" else "smoke"
            search.search(STEP, preset, TITLES, tmp_path / str(i), 1)
            names.add(search.read_search(tmp_path / str(i), STEP, preset)["study"])
    assert len(names) == len(changes)
    assert {name.split("-")[0] for name in names} == {"smoke", "tiny"}
    assert all("04_lowest_loss" in name for name in names)


@pytest.mark.parametrize("resume", ["same", "accept"])
@pytest.mark.parametrize("change", ["stories", "space"])
def test_a_study_that_does_not_compare_is_refused_by_name(
    tmp_path, quick, monkeypatch, change, resume
):
    search.search(STEP, "smoke", TITLES, tmp_path, 2)
    there = search.read_search(tmp_path, STEP, "smoke")
    if change == "space":
        monkeypatch.setitem(SEARCHES[STEP], "dropout", (0.0, 0.6))
    titles, what = (TITLES, "space.dropout") if change == "space" else (other_stories(), "stories")
    with pytest.raises(ValueError, match=rf"another study; what differs is {what}.*\. Write over"):
        search.search(STEP, "smoke", titles, tmp_path, 1, resume=resume)
    assert len(quick) == 2 and search.read_search(tmp_path, STEP, "smoke") == there
    search.search(STEP, "smoke", titles, tmp_path, 1, resume="fresh")
    assert len(search.read_search(tmp_path, STEP, "smoke")["trials"]) == 1


def test_a_study_of_other_code_is_refused_and_accepted_by_word(tmp_path, quick, monkeypatch):
    search.search(STEP, "smoke", TITLES, tmp_path, 2)
    there = search.read_search(tmp_path, STEP, "smoke")
    other_code(monkeypatch, search)
    with pytest.raises(ValueError, match=r"differs is code\.model \(.*\)\. Vouch .* \(--accept\)"):
        search.search(STEP, "smoke", TITLES, tmp_path, 1)
    assert search.read_search(tmp_path, STEP, "smoke") == there
    for resume in ("accept", "same"):  # it is this code's from now on
        search.search(STEP, "smoke", TITLES, tmp_path, 1, resume=resume)
    now = search.read_search(tmp_path, STEP, "smoke")
    assert now["accepted"] == ["code.model"] and there["accepted"] == []
    assert now["code"]["model"] == "0" * 16
    assert now["study"] == there["study"] and now["trials"][:2] == there["trials"]
    assert len(now["trials"]) == 4


def test_fresh_removes_the_trials_that_the_study_had(tmp_path, quick):
    for trials, resume in ((2, "same"), (1, "fresh"), (1, "same")):
        search.search(STEP, "smoke", TITLES, tmp_path, trials, resume=resume)
    assert [t["number"] for t in search.read_search(tmp_path, STEP, "smoke")["trials"]] == [0, 1]


def test_a_database_that_was_lost_is_filled_from_the_record(tmp_path, quick, monkeypatch):
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patched:
        patched.setattr(search, "train", _interrupted)  # a number that the record does not have
        search.search(STEP, "smoke", TITLES, tmp_path, 1)
    search.search(STEP, "smoke", TITLES, tmp_path, 3)
    there, drawn = search.read_search(tmp_path, STEP, "smoke"), _study(tmp_path).trials
    numbers = [trial["number"] for trial in there["trials"]]
    assert numbers == [1, 2, 3]
    (tmp_path / "_build" / "search.db").unlink()
    search.search(STEP, "smoke", TITLES, tmp_path, 1)
    assert len(quick) == 4  # none was trained again
    now = search.read_search(tmp_path, STEP, "smoke")
    assert now["study"] == there["study"] and now["trials"][:3] == there["trials"]
    assert now["trials"][3]["number"] == 4
    restored = _study(tmp_path).trials
    for before, after in zip(drawn[1:4], restored[1:4], strict=True):
        assert (before.params, before.distributions) == (after.params, after.distributions)
        assert (before.value, before.state) == (after.value, after.state)


def test_each_trial_says_its_precision_where_a_search_went_on_in_another(
    tmp_path, quick, monkeypatch
):
    for bf16, lost in ((True, False), (False, False), (True, True)):
        monkeypatch.setattr(search, "use_bf16", lambda *_, bf16=bf16: bf16)
        if lost:
            (tmp_path / "_build" / "search.db").unlink()
        search.search(STEP, "smoke", TITLES, tmp_path, 1, resume="accept")
    now = search.read_search(tmp_path, STEP, "smoke")
    assert [trial["precision"] for trial in now["trials"]] == ["bf16", "fp32", "bf16"]
    assert now["accepted"] == ["precision"]


def test_what_another_process_accepted_stays_in_the_record(tmp_path, quick, monkeypatch):
    run = search.train

    def accepting(*arguments, **more):
        done = run(*arguments, **more)
        done.accepted = ["torch"]
        return done

    with monkeypatch.context() as patch:
        patch.setattr(search, "train", accepting)
        search.search(STEP, "smoke", TITLES, tmp_path, 1)

    def meanwhile(*arguments, **more):  # the other's record comes while this one trains
        there = search.read_search(tmp_path, STEP, "smoke")
        write_json(results(tmp_path, "smoke", f"search/{STEP}"), there | {"accepted": ["device"]})
        return run(*arguments, **more)

    monkeypatch.setattr(search, "train", meanwhile)
    search.search(STEP, "smoke", TITLES, tmp_path, 1)
    there = search.read_search(tmp_path, STEP, "smoke")
    assert len(there["trials"]) == 2 and there["accepted"] == ["device", "torch"]


def _interrupted(*_, **__):
    raise KeyboardInterrupt


def test_trials_that_the_study_in_the_database_lacks_are_not_written_over(tmp_path, quick):
    search.search(STEP, "smoke", TITLES, tmp_path, 2)
    there = search.read_search(tmp_path, STEP, "smoke")
    there["trials"].append({"number": 7, "changes": {"learning_rate": 0.5}, "loss": 0.5})
    write_json(results(tmp_path, "smoke", f"search/{STEP}"), there)
    with pytest.raises(ValueError, match="holds 3 trials of the study smoke-04_lowest_loss-"):
        search.search(STEP, "smoke", TITLES, tmp_path, 1)
    assert len(quick) == 2 and search.read_search(tmp_path, STEP, "smoke") == there


def test_a_search_of_other_stories_that_began_meanwhile_is_not_written_over(
    tmp_path, quick, monkeypatch
):
    search.search(STEP, "smoke", other_stories(), tmp_path / "other", 1)
    other, run = search.read_search(tmp_path / "other", STEP, "smoke"), search.train

    def meanwhile(*arguments, **more):
        write_json(results(tmp_path, "smoke", f"search/{STEP}"), other)
        return run(*arguments, **more)

    monkeypatch.setattr(search, "train", meanwhile)
    with pytest.raises(ValueError, match="which are not in this database's"):
        search.search(STEP, "smoke", TITLES, tmp_path, 1)
    assert search.read_search(tmp_path, STEP, "smoke") == other


def test_the_record_is_written_by_one_process_at_a_time(tmp_path):
    printed = tmp_path / "printed.txt"
    with held(tmp_path / "_build" / f"search-{STEP}-smoke"):
        worker = start(printed, _work, tmp_path, 1)
        wait_until_it_waits(worker, printed)
        assert not results(tmp_path, "smoke", f"search/{STEP}").exists()
    worker.join(600)
    assert worker.exitcode == 0
    assert len(search.read_search(tmp_path, STEP, "smoke")["trials"]) == 1


def test_a_damaged_record_is_refused_by_name(tmp_path, quick):
    search.search(STEP, "smoke", TITLES, tmp_path, 1)
    record = search.read_search(tmp_path, STEP, "smoke")
    for missing in record.keys() - {"precision"}:
        write_json(
            results(tmp_path, "smoke", f"search/{STEP}"),
            {k: v for k, v in record.items() if k != missing},
        )
        with pytest.raises(ValueError, match=rf"search/{STEP}\.json is damaged: it: '{missing}'"):
            search.read_search(tmp_path, STEP, "smoke")
    with pytest.raises(FileNotFoundError, match="python -m book search"):
        search.read_search(tmp_path, STEP, "tiny")


def test_a_record_that_names_no_precision_is_gone_on_with_by_word(tmp_path, quick):
    search.search(STEP, "smoke", TITLES, tmp_path, 1)
    record = search.read_search(tmp_path, STEP, "smoke")
    there = record.pop("precision")
    write_json(results(tmp_path, "smoke", f"search/{STEP}"), record)
    with pytest.raises(ValueError, match=r"differs is precision \(.*\)\. Vouch .* \(--accept\)"):
        search.search(STEP, "smoke", TITLES, tmp_path, 1)
    search.search(STEP, "smoke", TITLES, tmp_path, 1, resume="accept")
    now = search.read_search(tmp_path, STEP, "smoke")
    assert (now["precision"], now["accepted"]) == (there, ["precision"])
    assert now["study"] == record["study"] and len(now["trials"]) == 2


def test_without_optuna_the_command_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    arguments = ["search", "--preset", "smoke", "--trials", "1", "--out", str(tmp_path)]
    assert command_line.main(arguments) == 1
    assert "pip install -r requirements-dev.txt" in capsys.readouterr().err


class Asked:
    """A trial that draws each setting at one end of its range, or one of its choices."""

    def __init__(self, end):
        self.end, self.drawn = end, {}

    def suggest_float(self, name, low, high, log=False):
        self.drawn[name] = (low, high)
        return high if self.end else low

    def suggest_categorical(self, name, choices):
        self.drawn[name] = choices
        return choices[self.end]


# What a search turns, and which setting of the configuration each of them turns.
RATES = ("muon_learning_rate", "learning_rate", "muon_weight_decay", "dropout", "r_drop", "decay")
TURNED = {
    PUBLIC_BEST: dict(zip(RATES, RATES, strict=True)),
    STEP: {
        **dict(zip(RATES, RATES, strict=True)),
        "attention_dropout": "attention_dropout",
        "layer_scale": "layer_scale",
        "batch_factor": "batch_factor",
        "vocab_factor": "vocab_size",
    },
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("step", SEARCHES)
def test_a_search_turns_the_settings_that_it_should_and_no_other(step, preset):
    config, ends = load_step(step, preset), []
    for end in (0, -1):
        trial = Asked(end)
        ends.append(config.change(**search.suggest(trial, config, SEARCHES[step])))
        assert trial.drawn.keys() == TURNED[step].keys()
    low, high = ends
    assert {row["setting"] for row in changed(low, high)} == set(TURNED[step].values())
    for name, setting in TURNED[step].items():
        assert getattr(low, setting) < getattr(high, setting), name


@pytest.mark.parametrize("preset", PRESETS)
def test_each_choice_is_another_configuration(preset):
    config, space = load_step(STEP, preset), SEARCHES[STEP]
    trial = Asked(0)
    search.suggest(trial, config, space)
    for name, choices in trial.drawn.items():
        if isinstance(choices, list):
            tried = []
            for i in range(len(choices)):
                single = Asked(0)
                single.suggest_categorical = lambda n, c, i=i, name=name: c[i if n == name else 0]
                tried.append(config.change(**search.suggest(single, config, space)))
            assert len(set(tried)) == len(choices) > 1, (name, choices)
    sizes = {round(config.vocab_size * factor) for factor in space["vocab_factor"]}
    asked = {config.change(vocab_factor=f).vocab_size for f in trial.drawn["vocab_factor"]}
    assert asked == {max(512, size) for size in sizes}  # none is lost but what is there already
    assert 1.0 in trial.drawn["vocab_factor"]  # the step's own is called so


@pytest.mark.parametrize("step", SEARCHES)
def test_a_search_draws_within_the_range_and_by_its_logarithm_where_told(step):
    study, config, space = optuna.create_study(), load_step(step, "full"), SEARCHES[step]
    for _ in range(40):
        trial = study.ask()
        tried = config.change(**search.suggest(trial, config, space))
        for name, values in space.items():
            drawn = trial.params[name]
            assert drawn in values if isinstance(values, list) else values[0] <= drawn <= values[1]
            if not isinstance(values, list):
                assert trial.distributions[name].log == (values[-1] == "log")
        for name in trial.params:
            if not name.endswith("_factor"):
                assert getattr(tried, name) == trial.params[name]
        if step == STEP:
            assert tried.batch_factor == config.batch_factor * trial.params["batch_factor"]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("step", SEARCHES)
def test_the_first_trial_is_the_step_as_it_is(tmp_path, monkeypatch, quick, step, preset):
    monkeypatch.undo()  # the search's own space and settings
    tried = []

    def note(config, *_, **__):
        tried.append(config)
        raise FloatingPointError

    monkeypatch.setattr(search, "train", note)
    for _ in range(2):  # and only the first
        search.search(step, preset, TITLES, tmp_path, 1)
    assert tried[0] == load_step(step, preset) != tried[1]


def test_a_search_like_another_tries_the_best_of_that_first(tmp_path, quick, monkeypatch):
    monkeypatch.setitem(SEARCHES, STEP, {"learning_rate": (1e-4, 1.0)})
    search.search(STEP, "tiny", TITLES, tmp_path, 8)
    like = search.read_search(tmp_path, STEP, "tiny")
    for _ in range(2):  # asked for twice, as by two processes, they are tried once
        search.search(STEP, "smoke", TITLES, tmp_path, 4, like=like)
    best = sorted(trial["loss"] for trial in like["trials"])[: search.TAKEN]
    # CONFIG's own rate is first, and not tried again where it is one of the best.
    own = CONFIG.learning_rate
    first = [own, *(rate for rate in best if rate != own)]
    tried = [trial["loss"] for trial in search.read_search(tmp_path, STEP, "smoke")["trials"]]
    assert tried[: len(first)] == first
    assert len(tried) == 8 and not set(tried[len(first) :]) & set(best)


def test_trials_that_were_chosen_by_hand_are_tried_next_and_once(tmp_path, quick, monkeypatch):
    monkeypatch.setitem(SEARCHES, STEP, {"learning_rate": (1e-4, 1.0)})
    for count, rate in ((1, 0.5), (1, 0.25), (2, 0.25)):  # the last as a second process would
        search.search(STEP, "smoke", TITLES, tmp_path, count, first={"learning_rate": rate})
    tried = [trial["loss"] for trial in search.read_search(tmp_path, STEP, "smoke")["trials"]]
    assert tried[:3] == [CONFIG.learning_rate, 0.5, 0.25]
    assert len(tried) == 4 and tried[3] not in (0.5, 0.25)


def test_a_trial_that_was_chosen_by_hand_is_the_step_but_for_its_settings():
    config, space = load_step(STEP, "small"), SEARCHES[STEP]
    given = ["learning_rate=2e-3", "attention_dropout=false", "vocab_factor=2", "layer_scale=0.1"]
    drawn = chosen(read(given), config, space)
    tried = config.change(**suggest(optuna.trial.FixedTrial(drawn), config, space))
    rows = {row["setting"] for row in changed(config, tried)}
    assert rows == {"learning_rate", "attention_dropout", "vocab_size", "layer_scale"}
    assert (tried.learning_rate, tried.vocab_size) == (2e-3, 2 * config.vocab_size)
    # As the sampler has it, whose trial it is once more where its process was killed.
    drawn = chosen(read(["r_drop=4", "vocab_factor=2"]), config, space)
    assert [repr(drawn[name]) for name in ("r_drop", "vocab_factor")] == ["4.0", "2.0"]


@pytest.mark.parametrize(
    "given, says",
    [
        ("dropout", "'dropout' is no setting as dropout=0.1"),
        ("dropout=high", "'dropout=high' is no setting"),
        ("n_layer=6", "and not n_layer"),
        ("dropout=0.4", r"no dropout of 0.4: it tries \(0.0, 0.3\)"),
        ("r_drop=true", "no r_drop of True"),
        ("dropout=null", "no dropout of None"),
        ("attention_dropout=1", "no attention_dropout of 1"),
        ("vocab_factor=0.5", r"no vocab_factor of 0.5: it tries \[1.0, 2.0\]"),  # 512 at least
    ],
)
def test_a_trial_that_the_search_would_not_try_is_refused(
    tmp_path, monkeypatch, capsys, given, says
):
    monkeypatch.setattr(command_line, "resolve_stories", lambda *_: ("synthetic", TITLES))
    assert command_line.main(["search", "--try", given, "--out", str(tmp_path)]) == 1
    assert re.search(says, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_a_trial_has_a_folder_for_its_checkpoints_which_goes_with_it(tmp_path, quick, monkeypatch):
    run, folders = search.train, []

    def leave(config, titles, folder, **more):
        folders.append(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if len(folders) == 1:
            raise KeyboardInterrupt
        return run(config, titles, folder, **more)

    monkeypatch.setattr(search, "train", leave)
    with pytest.raises(KeyboardInterrupt):
        search.search(STEP, "smoke", TITLES, tmp_path, 1)
    (first,) = folders
    assert first.exists()  # the run that goes on with the trial finds it
    search.search(STEP, "smoke", TITLES, tmp_path, 2)
    assert folders[1] == first != folders[2]  # it is the next that is run, in the same folder
    assert not any(folder.exists() for folder in folders)
    first_done = search.read_search(tmp_path, STEP, "smoke")["trials"][0]
    assert first_done["loss"] == CONFIG.learning_rate  # the step as it is


def test_a_trial_that_diverges_leaves_no_checkpoints_and_says_what_it_was(
    tmp_path, quick, monkeypatch, capsys
):
    def diverge(config, titles, folder, **more):
        folder.mkdir(parents=True)
        raise FloatingPointError(_lost("loss", float("nan"), 3, 0.1, 2.0))

    monkeypatch.setattr(search, "train", diverge)
    search.search(STEP, "smoke", TITLES, tmp_path, 1)
    loss = "The loss is nan at step 3 (learning rate 0.1, gradient norm 2)."
    assert capsys.readouterr().out == f"trial 0: failed, learning_rate 0.0005. {loss}\n"
    assert not list((tmp_path / "_build" / f"search-{STEP}-smoke").glob("*/*"))


def test_accept_reaches_a_trials_checkpoint_and_the_record_says_so(tmp_path, quick, monkeypatch):
    run, given = search.train, []

    def accepting(*arguments, resume, **more):
        given.append(resume)
        made = run(*arguments, resume=resume, **more)
        made.accepted = ["threads"] if resume == "accept" else []
        return made

    monkeypatch.setattr(search, "train", accepting)
    for resume in ("same", "accept"):
        search.search(STEP, "smoke", TITLES, tmp_path, 1, resume=resume)
    assert given == ["same", "accept"]
    assert search.read_search(tmp_path, STEP, "smoke")["accepted"] == ["threads"]


def test_trials_of_other_ranges_are_not_begun_with(tmp_path, quick, monkeypatch):
    search.search(STEP, "tiny", TITLES, tmp_path, 1)
    like = search.read_search(tmp_path, STEP, "tiny")
    monkeypatch.setitem(SEARCHES[STEP], "dropout", (0.0, 0.6))
    with pytest.raises(ValueError, match="on tiny was in other ranges"):
        search.search(STEP, "smoke", TITLES, tmp_path, 1, like=like)


def test_a_storage_that_cannot_be_used_is_said(tmp_path, quick, monkeypatch):
    waited = []
    monkeypatch.setattr(search, "time", SimpleNamespace(sleep=waited.append))
    for url in ("sqlite:////no/such/folder/a.db", "nothing://a", "mysql+pymysql://h/a"):
        with pytest.raises(ValueError, match="The storage cannot be used: "):
            search.search(STEP, "smoke", TITLES, tmp_path, 1, url)
    assert waited == [1, 2, 4]  # for the first: another process may be making it
