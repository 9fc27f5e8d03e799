"""The joint search for step three's settings, with Optuna: what interacts is tuned together.

- A trial is one run of step three with some settings changed; its value is the full-coverage loss
  on the validation titles, nats per character. No trial is scored on the test titles.
- The study lies in a database (SQLite, or any storage that Optuna takes), so that a search can be
  stopped, continued, and worked on by many processes or machines at once: each runs this with the
  same storage. A trial whose process died is marked as failed and queued again by the next one.
- Only `search` needs Optuna; what a search came to is read without it.
"""

import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

from lib.config import PRESETS, Config, load_step
from lib.data import Titles
from lib.files import check, exactly, read_json, results, write_json
from lib.identity import digest, modules
from lib.steps import SEARCH
from lib.train import train

STEP = SEARCH["from"]
HEARTBEAT = 30  # seconds between two signs of life of a running trial

_NUMBER = {"type": "number"}
SCHEMA = exactly(
    study={"type": "string"},  # its name in the database
    step={"type": "string"},
    preset={"enum": list(PRESETS)},
    stories={"type": "object"},
    titles={"type": "object"},
    created={"type": "string"},
    trials={
        "type": "array",
        "items": exactly(number={"type": "integer"}, changes={"type": "object"}, loss=_NUMBER),
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

    A study is of one preset, step, stories, settings and code, and named by them. `storage` is a
    URL as Optuna takes it; without one it is SQLite's in `out/_build/search.db`. Writes all trials
    so far to `out/results/<preset>/search.json`.

    Raises ValueError where that record is of another study, unless `resume` is "fresh".
    """
    import optuna

    base = load_step(STEP, preset)
    name = f"{preset}-{STEP}-{digest([base.as_dict(), titles.stories, modules()])}"
    if results(out, preset, "search").exists() and resume != "fresh":
        there = read_search(out, preset)["study"]
        if there != name:
            raise ValueError(
                f"results/{preset}/search.json is of another study ({there}, this is {name}): "
                "other stories, settings or code. Write over it with --fresh, or elsewhere (--out)."
            )
    path = Path(out) / "_build" / "search.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    database = _open(storage or f"sqlite:///{path}")
    study = optuna.create_study(storage=database, study_name=name, load_if_exists=True)

    def run(trial):
        config = base.change(**suggest(trial, base))
        return train(config, titles, quiet=True).curve[-1]["full_coverage"]

    def tell(study, trial):
        if trial.value is None:
            return print(f"trial {trial.number}: failed")
        changes = ", ".join(f"{name} {_short(value)}" for name, value in trial.params.items())
        print(f"trial {trial.number}: {_short(trial.value)} nats per character; {changes}")
        _write(study, preset, titles, out)

    # A diverged run is a failed trial, not the end of the search.
    study.optimize(run, n_trials=trials, callbacks=[tell], catch=(FloatingPointError,))
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


def _write(study, preset, titles, out):
    complete = None
    while complete != (now := [t for t in study.trials if t.value is not None]):
        complete = now  # another process may have finished a trial, and written less than this
        record = {
            "study": study.study_name,
            "step": STEP,
            "preset": preset,
            "stories": titles.stories,
            "titles": {"train": len(titles.train), "val": len(titles.val)},
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "trials": [{"number": t.number, "changes": t.params, "loss": t.value} for t in now],
        }
        check(record, SCHEMA, f"results/{preset}/search.json")
        write_json(results(out, preset, "search"), record)


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
