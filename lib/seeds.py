"""A step under several seeds: how far its loss is from where another seed would have put it.

- The seeds are 1337, 1338, …: a model's first weights and its dropout vary. The titles, their split
  and the tokenizer do not.
- Nor does the order of the data, where a step takes its batches in the order of the stream, as the
  baseline does.
- A difference between two steps is called real where it is more than two standard errors from 0.
- No run of these is scored on the test titles, but for a published one, which was before.
- The records lie in `results/seeds/` for `tiny`, which every step is trained on, and in
  `results/seeds/<preset>/` for any other preset.
"""

import contextlib
import io
import math
import shutil
import statistics
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from .config import PRESETS, PUBLIC_BEST, PUBLIC_BEST_TITLE, STEPS, Config, load_step
from .data import Titles
from .record import (
    check,
    exactly,
    make_record,
    read_json,
    read_record,
    same_conditions,
    write_json,
)
from .train import train

FIRST = 1337
USUAL = "tiny"  # the preset
DIFFERENCES = "differences"  # the record that compares each step with the step before it

_LIST = {"type": "array", "items": {"type": "number"}, "minItems": 2}
_TYPES = {
    "step": {"type": "string"},
    "title": {"type": "string"},
    "preset": {"enum": list(PRESETS)},
    "stories": {"type": "object"},
    "titles": {"type": "object"},
    "created": {"type": "string"},
    "seeds": {**_LIST, "items": {"type": "integer"}, "uniqueItems": True},
    "full_coverage": _LIST,  # nats per character, as all that follows from it
    "official": {**_LIST, "items": {"type": ["number", "null"]}},
    "coverage": {"type": "number"},
    "bits_per_byte": _LIST,
    "test": {"type": "null"},
    "mean": {"type": "number"},
    "sd": {"type": "number", "minimum": 0},
    "standard_error": {"type": "number", "minimum": 0},
    "environment": {"type": "object"},
}
_DIFFERENCE = {
    "before": {"type": "string"},
    "difference": {"type": "number"},
    "standard_error": {"type": "number", "minimum": 0},
    "real": {"type": "boolean"},
    "verdict": {"enum": ["real", "within two standard errors"]},
}


SCHEMA = exactly(**_TYPES)
DIFFERENCES_SCHEMA = {"type": "object", "additionalProperties": exactly(**_DIFFERENCE)}


def train_seeds(
    step: str, preset: str, titles: Titles, out: Path, count: int = 5, fresh: bool = False
) -> dict:
    """Train `step` under `count` seeds, a line for each; write and return its record of them.

    Writes the record of `step` (see above), and `differences.json` beside it anew. A seed that was
    trained before is taken from its checkpoint under `out/_build/seeds-<preset>/`, one that was
    stopped continues, and where the step's published run is of this preset and these titles, it is
    the first seed; `fresh` trains them all. The losses are on the validation titles.

    Raises ValueError for fewer than two seeds, for a step or preset that is not there, and for
    checkpoints of another run.
    """
    if count < 2:
        raise ValueError(f"{count} seeds have no spread; ask for at least 2.")
    config = load_step(step, preset)
    folder = Path(out) / "_build" / f"seeds-{preset}"
    runs = [] if fresh else _published(out, step, config, titles)
    seeds = range(FIRST + len(runs), FIRST + count)
    runs += run_seeds(step, config, titles, folder, seeds, fresh)
    record = check_seeds(summary(step, _title(out, step), runs), _name(step, preset))
    write_json(_path(out, step, preset), record)
    _write_differences(out, preset)
    return record


def run_seeds(
    name: str, config: Config, titles: Titles, folder: Path, seeds, fresh: bool = False
) -> list[dict]:
    """Train `config` under each of `seeds`, a line for each; return the run record of each.

    The checkpoints are left in `folder`, in `<name>-<seed>`.
    """
    runs = []
    for seed in seeds:
        print(f"{name:<16} seed {seed}", end=" ", flush=True)
        checkpoints = folder / f"{name}-{seed}"
        if fresh and checkpoints.exists():
            shutil.rmtree(checkpoints)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            run = train(config.change(seed=seed), titles, folder=checkpoints)
        runs.append(make_record(run, f"seeds/{name}-{seed}", str(seed)))
        before_the_bar = " ".join(said.getvalue().split("\r")[0].split())
        loss = f"{run.curve[-1]['full_coverage']:.4f} nats per character"
        print(f"{loss}, {run.speed['seconds']:,.0f} s. {before_the_bar}".rstrip(), flush=True)
    return runs


def summary(step: str, title: str, runs: list[dict]) -> dict:
    """Return the record of several seeds of a step from `runs`, the run record of each.

    `mean`, `sd` (of the sample: n - 1) and `standard_error` (of the mean: sd / √n) are of
    `full_coverage`, in nats per character.
    """
    losses = {
        name: [run["losses"][name] for run in runs]
        for name in ("full_coverage", "official", "bits_per_byte")
    }
    sd = statistics.stdev(losses["full_coverage"])
    return {
        "step": step,
        "title": title,
        **{key: runs[0][key] for key in ("preset", "stories", "titles")},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seeds": [run["config"]["seed"] for run in runs],
        **losses,
        "coverage": runs[0]["losses"]["coverage"],
        "test": None,
        "mean": statistics.mean(losses["full_coverage"]),
        "sd": sd,
        "standard_error": sd / math.sqrt(len(runs)),
        "environment": runs[-1]["environment"],
    }


def compare(before: dict, after: dict) -> dict:
    """Return how much the mean loss of `after` differs from that of `before`, and how surely.

    `difference` is after - before in nats per character, below 0 where the loss fell;
    `standard_error` is √(se² + se²), the two being independent; it is `real` where it is more than
    two of them from 0. Raises ValueError for records on another preset or other titles.
    """
    if not same_conditions([before, after]):
        conditions = "; ".join(
            f"{r['step']}: preset {r['preset']}, stories {r['stories']}, titles {r['titles']}"
            for r in (before, after)
        )
        raise ValueError(f"These seeds do not compare ({conditions}). Run both again.")
    difference = after["mean"] - before["mean"]
    error = math.hypot(before["standard_error"], after["standard_error"])
    return {"difference": difference, "standard_error": error, "real": abs(difference) > 2 * error}


def read_seeds(out: str | Path, step: str, preset: str = USUAL) -> dict:
    """Return the record of several seeds of `step` on `preset` under `out`.

    Raises FileNotFoundError where there is none, ValueError where it is damaged.
    """
    return check_seeds(_read(out, step, preset), _name(step, preset))


def read_differences(out: str | Path, preset: str = USUAL) -> dict:
    """Return what `differences.json` says of each step on `preset`, and of which `before` it.

    Raises FileNotFoundError where there is none, ValueError where it is damaged.
    """
    record = _read(out, DIFFERENCES, preset)
    return _check(record, DIFFERENCES_SCHEMA, _name(DIFFERENCES, preset))


def check_seeds(record: dict, name: str) -> dict:
    """Return the record `name` if it is as SCHEMA has it. Raises ValueError naming what is not."""
    _check(record, SCHEMA, name)
    for loss in ("full_coverage", "official", "bits_per_byte"):
        if len(record[loss]) != len(record["seeds"]):
            raise ValueError(
                f"The record results/{name}.json is damaged: {loss} has "
                f"{len(record[loss])} losses for {len(record['seeds'])} seeds."
            )
    return record


def _published(out, step, config, titles):
    """Return the published run of `step` in a list: of none where it is of something else."""
    try:
        record = read_record(out, step)
    except FileNotFoundError:
        return []
    if Config.from_dict(record["config"]) != config or record["stories"] != titles.stories:
        return []
    loss = f"{record['losses']['full_coverage']:.4f} nats per character"
    print(f"{step:<16} seed {config.seed} {loss}. Published before.", flush=True)
    return [record]


def _write_differences(out, preset):
    """Compare each step with the step before it, and the best public recipe with the last step.

    Only where both have seeds on the same titles.
    """
    order = (*STEPS, PUBLIC_BEST)
    there = [step for step in order if _path(out, step, preset).exists()]
    records = {step: read_seeds(out, step, preset) for step in there}
    differences = {}
    for before, step in pairwise(order):
        pair = [records.get(before), records.get(step)]
        if None in pair or not same_conditions(pair):
            continue
        found = compare(*pair)
        verdict = "real" if found["real"] else "within two standard errors"
        differences[step] = {"before": before, **found, "verdict": verdict}
    _check(differences, DIFFERENCES_SCHEMA, _name(DIFFERENCES, preset))
    write_json(_path(out, DIFFERENCES, preset), differences)


def _title(out, step):
    """Return what people read for `step`: the title of its published record, if there is one."""
    if step == PUBLIC_BEST:
        return PUBLIC_BEST_TITLE
    try:
        return read_record(out, step)["title"]
    except FileNotFoundError:
        return step


def _name(name, preset):
    return f"seeds/{name}" if preset == USUAL else f"seeds/{preset}/{name}"


def _path(out, name, preset):
    return Path(out) / "results" / f"{_name(name, preset)}.json"


def _read(out, name, preset):
    return read_json(out, _name(name, preset), "run `python -m lib seeds`")


def _check(record, schema, name):
    return check(record, schema, f"results/{name}.json")
