"""The joint search for step three's settings, with Optuna: what interacts is tuned together.

- A trial is one run of step three with some settings changed; its value is the full-coverage loss
  on the validation titles, nats per character. No trial is scored on the test titles.
- The study lies in a database (SQLite, or any storage that Optuna takes), so that a search can be
  stopped, continued, and worked on by many processes or machines at once: each runs this with the
  same storage. A trial whose process died is marked as failed and queued again by the next one.
- Only `search` needs Optuna; what a search came to is read without it.
"""

import contextlib
import io
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

from .config import PRESETS, Config, load_step
from .data import Titles
from .record import check, exactly, read_json, write_json
from .train import train

STEP = "04_lowest_loss"
HEARTBEAT = 30  # seconds between two signs of life of a running trial

_NUMBER = {"type": "number"}
SCHEMA = exactly(
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
    """Return the changes of `config` that `trial` tries: settings that interact.

    Learning rates, what holds the model back, the schedule, tokens a step, the vocabulary, depth
    and width; the last four as factors, so that one search serves every preset.
    """
    factor = trial.suggest_categorical
    return {
        "muon_learning_rate": trial.suggest_float("muon_learning_rate", 0.005, 0.08, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 2e-2, log=True),
        "muon_weight_decay": trial.suggest_float("muon_weight_decay", 0.03, 3.0, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "r_drop": trial.suggest_float("r_drop", 0.5, 4.0, log=True),
        "decay": trial.suggest_float("decay", 0.2, 0.9),
        "ema": trial.suggest_categorical("ema", [0.0, 0.95, 0.98, 0.99]),
        "batch_factor": config.batch_factor * factor("batch_factor", [0.5, 1.0, 2.0]),
        "vocab_factor": factor("vocab_factor", [0.5, 1.0, 2.0]),
        "n_layer": round(config.n_layer * factor("depth_factor", [1.0, 1.5, 2.0])),
        "n_embd": round(config.n_embd * factor("width_factor", [0.75, 1.0, 1.5])),
    }


def search(preset: str, titles: Titles, out: Path, trials: int, storage: str | None = None):
    """Run `trials` more trials on the study of `preset`, a line each; return the study.

    `storage` is a URL as Optuna takes it; without one it is SQLite's in
    `out/_build/search.db`. Writes all trials so far to `out/results/search/<preset>.json`.
    """
    import optuna

    path = Path(out) / "_build" / "search.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    database = _open(storage or f"sqlite:///{path}")
    study = optuna.create_study(storage=database, study_name=preset, load_if_exists=True)

    def run(trial):
        config = load_step(STEP, preset)
        config = config.change(**suggest(trial, config))
        with contextlib.redirect_stdout(io.StringIO()):
            return train(config, titles).curve[-1]["full_coverage"]

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
    name = f"search/{preset}"
    return check(read_json(out, name, "run `python -m lib search`"), SCHEMA, f"results/{name}.json")


def _write(study, preset, titles, out):
    name, complete = f"results/search/{preset}.json", None
    while complete != (now := [t for t in study.trials if t.value is not None]):
        complete = now  # another process may have finished a trial, and written less than this
        record = {
            "preset": preset,
            "stories": titles.stories,
            "titles": {"train": len(titles.train), "val": len(titles.val)},
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "trials": [{"number": t.number, "changes": t.params, "loss": t.value} for t in now],
        }
        write_json(Path(out) / name, check(record, SCHEMA, name))


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
