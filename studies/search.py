"""The search for a step's settings, with Optuna: settings that interact are tuned together.

- A trial is one run of the step with some settings changed; its value is the full-coverage loss on
  the validation titles, nats per character. No trial is scored on the test titles.
- The first trial is the step unchanged. If asked for, the best trials of a smaller preset follow,
  and one with settings chosen by hand.
- The study is kept in a database (SQLite, or any storage that Optuna accepts), so that a search can
  be stopped, continued, and shared by many processes or machines: each runs this with the same
  storage. A trial whose process died is marked as failed and queued again by the next process.
- A database that lacks the study is given the trials in the study's record.
- A study belongs to one preset, step, stories, settings, precision and code, and its name is
  derived from them. Trials that differ in any of these share a study only if that was accepted.
- Only `search` needs Optuna; the record of a search is read without it.
"""

import shutil
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

import filelock

from lib.config import PRESETS, Config, load_step
from lib.data import Titles
from lib.device import best_device, use_bf16
from lib.files import NUMBER, TEXT, as_json, check, exactly, held, read_json, results, write_json
from lib.identity import digest, modules
from lib.steps import SEARCHES
from lib.train import train

from .identity import refuse_another
from .trials import TAKEN, as_it_is, best, chosen, suggest

FIXED = ("stories", "space")  # what nobody can vouch for
HEARTBEAT = 30  # seconds between two signs of life of a running trial

OBJECT, INTEGER = {"type": "object"}, {"type": "integer"}
PRECISION = {"enum": ["bf16", "fp32"]}
TRIAL = exactly(("precision",), number=INTEGER, changes=OBJECT, loss=NUMBER, precision=PRECISION)
SCHEMA = exactly(
    ("precision",),  # which the first records, and their trials, did not name
    study=TEXT,  # its name in the database
    step=TEXT,
    preset={"enum": list(PRESETS)},
    stories=OBJECT,
    base=OBJECT,  # the settings of the step
    space=OBJECT,  # what is changed of them
    code=OBJECT,
    precision=PRECISION,  # that of the machine, where the settings leave it open
    accepted={"type": "array", "items": TEXT},  # what differed, and was vouched for
    titles=OBJECT,
    created=TEXT,
    trials={"type": "array", "items": TRIAL, "minItems": 1},
)


def search(
    step: str,
    preset: str,
    titles: Titles,
    out: Path,
    trials: int,
    storage: str | None = None,
    resume: str = "same",
    like: dict | None = None,
    first: dict | None = None,
):
    """Run `trials` more trials of the study of `step` on `preset`, a line each; return the study.

    Writes all trials so far to `out/results/<preset>/search/<step>.json`. A trial whose process
    died continues from its checkpoint.

    - `storage` is a database URL as Optuna takes it; the default is SQLite in
      `out/_build/search.db`.
    - `like` is such a record of another preset: its best trials are tried first, in place of
      Optuna's random ones.
    - `first` holds settings to try next: the step with these changed.
    - `resume` "fresh" removes the study's trials and begins again, so only one of several processes
      should pass it. "accept" continues the study of the existing record although code or settings
      differ.

    Raises ValueError if that record is of another study or has trials that the study in the
    database lacks, if `like` was searched in other ranges, and for settings in `first` that the
    search would not try.
    """
    import optuna

    base, space = load_step(step, preset), SEARCHES[step]
    begun = [as_it_is(base, space), *best(like, base, space), chosen(first or {}, base, space)]
    known = {"stories": titles.stories, "base": base.as_dict(), "space": space, "code": modules()}
    bf16 = use_bf16(base.precision, best_device())
    known = as_json(known | {"precision": "bf16" if bf16 else "fp32"})
    name, accepted = _named(out, step, preset, known, resume)
    folder = Path(out) / "_build" / f"search-{step}-{preset}"
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    database = _open(storage or f"sqlite:///{folder.parent / 'search.db'}?timeout=60")
    if resume == "fresh" and name in optuna.get_all_study_names(database):
        optuna.delete_study(study_name=name, storage=database)
    if resume == "fresh":
        shutil.rmtree(folder / name, ignore_errors=True)
    # Optuna draws ten trials blindly before it models any; those of `like` take their place.
    sampler = optuna.samplers.TPESampler(n_startup_trials=1 + TAKEN if like else 10)
    study = optuna.create_study(
        storage=database, study_name=name, sampler=sampler, load_if_exists=True
    )
    about = {"study": name, "step": step, "preset": preset, **known, "accepted": accepted}
    about["titles"] = {"train": len(titles.train), "val": len(titles.val)}
    if resume != "fresh":
        with held(folder):
            _restore(study, out, base, space, preset, step)
        _refuse_loss(out, about, study)
    ask = study.ask

    def one_at_a_time(*arguments):
        """Lock: SQLite gives a queued trial to both of two processes that ask at once."""
        with filelock.FileLock(folder / ".asking"):
            return ask(*arguments)

    study.ask = one_at_a_time
    with held(folder):  # two processes begin with the same trials: they are queued once
        for drawn in begun:
            study.enqueue_trial(drawn, skip_if_exists=True)

    def run(trial):
        config = base.change(**suggest(trial, base, space))
        own = folder / name / digest(config.as_dict())
        how = "accept" if resume == "accept" else "same"
        try:
            run = train(config, titles, folder=own, resume=how, quiet=True)
        except KeyboardInterrupt:
            study.enqueue_trial(trial.params)  # for whoever goes on, from its checkpoint
            raise
        except FloatingPointError as error:
            lost = str(error).partition(". ")[0]  # the rest is of a checkpoint, which goes
            print(f"trial {trial.number}: failed, {_changes(trial)}. {lost}.")
            shutil.rmtree(own, ignore_errors=True)
            raise
        about["accepted"] = sorted({*about["accepted"], *run.accepted})
        trial.set_user_attr("precision", run.environment["precision"])
        shutil.rmtree(own, ignore_errors=True)
        return run.curve[-1]["full_coverage"]

    def say(study, trial):
        if trial.value is None:
            return
        print(f"trial {trial.number}: {_short(trial.value)} nats per character; {_changes(trial)}")
        with held(folder):  # beside other processes, perhaps of other stories
            _write(study, about, out, resume)

    # A diverged run is a failed trial, not the end of the search.
    study.optimize(run, n_trials=trials, callbacks=[say], catch=(FloatingPointError,))
    return study


def _open(url):
    """Return the storage at `url`, made where it is not there, whoever else is making it."""
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
    from sqlalchemy.exc import DatabaseError, SQLAlchemyError

    for seconds in (1, 2, 4, None):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna calls heartbeats experimental
                retry = RetryHeartbeatStaleTrialCallback(max_retry=3)
                return RDBStorage(
                    url, heartbeat_interval=HEARTBEAT, heartbeat_stale_trial_callback=retry
                )
        except (SQLAlchemyError, ImportError) as error:  # ImportError: of the database's driver
            # Another process may have made some of the tables in the meantime.
            if seconds is None or not isinstance(error, DatabaseError):
                raise ValueError(f"The storage cannot be used: {error}") from error
            time.sleep(seconds)


def read_search(out: str | Path, step: str, preset: str) -> dict:
    """Return the record of the search for settings of `step` on `preset` under `out`.

    Raises FileNotFoundError where there is none, ValueError where it is damaged.
    """
    return read_json(out, preset, f"search/{step}", "run `python -m book search`", SCHEMA)


def _named(out, step, preset, known, resume):
    """Return the name of the study to go on with, and what of it differs but is accepted.

    Raises ValueError, naming what differs, where the record that is there is of another study.
    """
    name = f"{preset}-{step}-{digest(known)}"
    if resume == "fresh" or not results(out, preset, f"search/{step}").exists():
        return name, []
    there = read_search(out, step, preset)
    before = {key: there.get(key) for key in known}
    before["base"] = Config.from_dict(there["base"]).as_dict()
    shown = f"results/{preset}/search/{step}.json"
    differ = refuse_another(shown, before, known, FIXED, resume)
    return there["study"], sorted({*there["accepted"], *differ})


def _restore(study, out, base, space, preset, step):
    """Give `study`, where it has no trial, those of its record, by their numbers."""
    from optuna.trial import FixedTrial, TrialState, create_trial

    if study.trials or not results(out, preset, f"search/{step}").exists():
        return
    there = read_search(out, step, preset)
    for known in there["trials"] if there["study"] == study.study_name else ():
        while len(study.trials) < known["number"]:
            study.add_trial(create_trial(state=TrialState.FAIL))  # of which the record says nothing
        fixed = FixedTrial(known["changes"])
        suggest(fixed, base, space)  # says from which distributions they were drawn
        given = {"params": fixed.params, "distributions": fixed.distributions}
        own = {name: known[name] for name in known.keys() & {"precision"}}
        study.add_trial(create_trial(value=known["loss"], user_attrs=own, **given))


def _complete(study):
    trials = [trial for trial in study.trials if trial.value is not None]
    return [dict(number=t.number, changes=t.params, loss=t.value, **t.user_attrs) for t in trials]


def _refuse_loss(out, about, study):
    """Return what the record there accepted; ValueError where it holds what the study does not."""
    step, preset = about["step"], about["preset"]
    if not results(out, preset, f"search/{step}").exists():
        return []
    there = read_search(out, step, preset)
    trials = _complete(study)  # read after the record, so that they are no fewer
    if there["study"] != about["study"] or any(t not in trials for t in there["trials"]):
        raise ValueError(
            f"results/{preset}/search/{step}.json holds {len(there['trials'])} trials of the study "
            f"{there['study']}, which are not in this database's {about['study']}. Pass the "
            "database that has them (--storage), write over them with --fresh, or write elsewhere "
            "(--out)."
        )
    return there["accepted"]


def _write(study, about, out, resume):
    name, complete = f"search/{about['step']}", None
    while complete != (trials := _complete(study)):
        complete = trials  # another machine may have finished one, and written fewer trials
        others = [] if resume == "fresh" else _refuse_loss(out, about, study)
        record = {**about, "created": datetime.now(UTC).isoformat(timespec="seconds")}
        record |= {"trials": trials, "accepted": sorted({*about["accepted"], *others})}
        check(record, SCHEMA, f"results/{about['preset']}/{name}.json")
        write_json(results(out, about["preset"], name), record)


def _changes(trial):
    return ", ".join(f"{name} {_short(value)}" for name, value in trial.params.items())


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
