"""The joint search for step three's settings, with Optuna: what interacts is tuned together.

- A trial is one run of step three with some settings changed; its value is the full-coverage loss
  on the validation titles, nats per character. No trial is scored on the test titles.
- The study lies in a database (SQLite, or any storage that Optuna takes), so that a search can be
  stopped, continued, and worked on by many processes or machines at once: each runs this with the
  same storage. A trial whose process died is marked as failed and queued again by the next one.
- A study is of one preset, step, stories, settings and code, and is named by them: trials of two
  that differ in one of these never lie in one study.
- Only `search` needs Optuna; what a search came to is read without it.
"""

import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

from lib.config import PRESETS, Config, load_step
from lib.data import Titles
from lib.files import NUMBER, TEXT, as_json, check, exactly, held, read_json, results, write_json
from lib.identity import digest, modules
from lib.steps import SEARCH
from lib.train import train

from .identity import differing, tell

STEP = SEARCH["from"]
FIXED = ("stories", "space")  # what nobody can vouch for
HEARTBEAT = 30  # seconds between two signs of life of a running trial

SCHEMA = exactly(
    study=TEXT,  # its name in the database
    step=TEXT,
    preset={"enum": list(PRESETS)},
    stories={"type": "object"},
    base={"type": "object"},  # the settings of the step
    space={"type": "object"},  # what is changed of them
    code={"type": "object"},
    accepted={"type": "array", "items": TEXT},  # what differed, and was vouched for
    titles={"type": "object"},
    created=TEXT,
    trials={
        "type": "array",
        "items": exactly(number={"type": "integer"}, changes={"type": "object"}, loss=NUMBER),
        "minItems": 1,
    },
)


def suggest(trial, config: Config) -> dict:
    """Return the changes of `config` that `trial` tries: those of `lib.steps.SEARCH`.

    What would be a vocabulary that `config` cannot have is not asked for: two names of one
    configuration would be two trials of one thing.
    """
    drawn = {}
    for name, values in SEARCH["space"].items():
        if isinstance(values, list):
            if name == "vocab_factor":
                values = _different(config, values)
            drawn[name] = trial.suggest_categorical(name, values)
        else:
            low, high, *scale = values
            drawn[name] = trial.suggest_float(name, low, high, log=scale == ["log"])
    factors = {"depth_factor": "n_layer", "width_factor": "n_embd"}
    for factor, name in factors.items():
        if factor in drawn:
            drawn[name] = round(getattr(config, name) * drawn.pop(factor))
    if "batch_factor" in drawn:
        drawn["batch_factor"] *= config.batch_factor
    return drawn


def _different(config, factors):
    """Return the vocabulary `factors` without those that come to the same size as another."""
    kept = {}
    for factor in sorted(factors, key=lambda f: f != 1):  # the step's own size is there as itself
        kept.setdefault(config.change(vocab_factor=factor).vocab_size, factor)
    return sorted(kept.values())


def search(
    preset: str,
    titles: Titles,
    out: Path,
    trials: int,
    storage: str | None = None,
    resume: str = "same",
):
    """Run `trials` more trials on the study of `preset`, a line each; return the study.

    `storage` is a URL as Optuna takes it; without one it is SQLite's in `out/_build/search.db`.
    Writes all trials so far to `out/results/<preset>/search.json`. `resume` "fresh" removes the
    trials that the study has and begins again, so one process says it, not many; "accept" goes on
    with the study of the record that is there, although code or settings differ.

    Raises ValueError where that record is of another study, or has trials that the database does
    not have.
    """
    import optuna

    base = load_step(STEP, preset)
    known = as_json(
        {
            "stories": titles.stories,
            "base": base.as_dict(),
            "space": SEARCH["space"],
            "code": modules(),
        }
    )
    name, accepted = _named(out, preset, known, resume)
    folder = Path(out) / "_build" / f"search-{preset}"
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    database = _open(storage or f"sqlite:///{folder.parent / 'search.db'}")
    if resume == "fresh" and name in optuna.get_all_study_names(database):
        optuna.delete_study(study_name=name, storage=database)
    study = optuna.create_study(storage=database, study_name=name, load_if_exists=True)
    about = {"study": name, "step": STEP, "preset": preset, **known, "accepted": accepted}
    about["titles"] = {"train": len(titles.train), "val": len(titles.val)}
    if resume != "fresh":
        _refuse_loss(out, about, study)

    def run(trial):
        config = base.change(**suggest(trial, base))
        return train(config, titles, quiet=True).curve[-1]["full_coverage"]

    def say(study, trial):
        if trial.value is None:
            return print(f"trial {trial.number}: failed")
        changes = ", ".join(f"{name} {_short(value)}" for name, value in trial.params.items())
        print(f"trial {trial.number}: {_short(trial.value)} nats per character; {changes}")
        with held(folder):  # beside other processes, perhaps of other stories
            _write(study, about, out, resume)

    # A diverged run is a failed trial, not the end of the search.
    study.optimize(run, n_trials=trials, callbacks=[say], catch=(FloatingPointError,))
    return study


def _open(url):
    """Return the storage at `url`, made where it is not there, whoever else is making it."""
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
    from sqlalchemy.exc import DatabaseError

    for seconds in (1, 2, 4, None):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna calls heartbeats experimental
                retry = RetryHeartbeatStaleTrialCallback(max_retry=3)
                return RDBStorage(
                    url, heartbeat_interval=HEARTBEAT, heartbeat_stale_trial_callback=retry
                )
        except DatabaseError:  # another process has made some of the tables in the meantime
            if seconds is None:
                raise
            time.sleep(seconds)


def read_search(out: str | Path, preset: str) -> dict:
    """Return the record of the search on `preset` under `out`.

    Raises FileNotFoundError where there is none, ValueError where it is damaged.
    """
    return read_json(out, preset, "search", "run `python -m book search`", SCHEMA)


def _named(out, preset, known, resume):
    """Return the name of the study to go on with, and what of it differs but is accepted.

    Raises ValueError, naming what differs, where the record that is there is of another study.
    """
    name = f"{preset}-{STEP}-{digest(known)}"
    if resume == "fresh" or not results(out, preset, "search").exists():
        return name, []
    there = read_search(out, preset)
    differ = differing({key: there[key] for key in known}, known)
    fixed = {name: pair for name, pair in differ.items() if name.split(".")[0] in FIXED}
    if fixed or (differ and resume != "accept"):
        vouch = "Write" if fixed else "Vouch that this does not matter (--accept), or write"
        raise ValueError(
            f"results/{preset}/search.json is of another study; what differs is "
            f"{tell(fixed or differ)}. {vouch} over it with --fresh, or elsewhere (--out)."
        )
    return there["study"], sorted({*there["accepted"], *differ})


def _complete(study):
    trials = [trial for trial in study.trials if trial.value is not None]
    return [{"number": t.number, "changes": t.params, "loss": t.value} for t in trials]


def _refuse_loss(out, about, study):
    """Raise ValueError where the record that is there holds what the study does not."""
    preset = about["preset"]
    try:
        there = read_search(out, preset)
    except FileNotFoundError:
        return
    trials = _complete(study)  # read after the record, so that they are no fewer
    if there["study"] != about["study"] or any(t not in trials for t in there["trials"]):
        raise ValueError(
            f"results/{preset}/search.json holds {len(there['trials'])} trials of the study "
            f"{there['study']}, which are not in this database's {about['study']}. Pass the "
            "database that has them (--storage), write over them with --fresh, or write elsewhere "
            "(--out)."
        )


def _write(study, about, out, resume):
    preset, complete = about["preset"], None
    while complete != (trials := _complete(study)):
        complete = trials  # a machine elsewhere may have finished a trial, and written less
        if resume != "fresh":
            _refuse_loss(out, about, study)
        record = {**about, "created": datetime.now(UTC).isoformat(timespec="seconds")}
        record["trials"] = trials
        check(record, SCHEMA, f"results/{preset}/search.json")
        write_json(results(out, preset, "search"), record)


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
