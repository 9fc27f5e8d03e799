"""The ladder from step two to step three: one change at a time, each against the rung below it.

- A rung is a configuration under several seeds. A change is kept where it lowers their mean loss by
  more than two standard errors of the difference; the next change is tried on what was kept.
- A ladder on another preset may follow one that is there: the same configurations, whatever they
  gain. That shows whether the gains on the smaller preset hold on the larger, for which one seed,
  without an error, will do.
- Nothing here is scored on the test titles.
"""

import hashlib
import json
import math
import statistics
from datetime import UTC, datetime
from pathlib import Path

from .config import PRESETS, Config, load_step
from .data import Titles
from .record import check, exactly, read_json, write_json
from .seeds import FIRST, compare, run_seeds

START = "03_rope_vocab"
LEVERS = [  # name, what people read, what it changes, why it might help
    (
        "muon",
        "Muon",
        {
            "optimizer": "muon",
            "muon_learning_rate": 0.02,
            "muon_weight_decay": 0.1,
            "learning_rate": 3e-3,
            "weight_decay": 0.0,
        },
        "a matrix is moved in all its directions alike, and so learns more from each step",
    ),
    (
        "wsd",
        "warm-up, stable, decay",
        {"schedule": "wsd", "warmup": 0.05, "decay": 0.4},
        "the learning rate stays high for longer, then falls to zero",
    ),
    (
        "vocabulary",
        "half the vocabulary",
        {"vocab_factor": 0.5},
        "step two's doubled vocabulary had not helped: fewer tokens are each seen more often",
    ),
    (
        "unigram",
        "unigram tokenizer",
        {"tokenizer": "sp_unigram"},
        "it cuts titles into likelier pieces than BPE's merges; others saw it win at every size",
    ),
    (
        "mask",
        "attention within a title",
        {"title_mask": True},
        "other titles say nothing about this one, and are noise to attend to",
    ),
    (
        "shuffle",
        "whole titles, shuffled",
        {"windows": "titles"},
        "no title is cut, and every epoch has other batches",
    ),
    (
        "gate",
        "gated attention",
        {"gate": True},
        "a head can keep silent where it has nothing to add",
    ),
    (
        "r_drop",
        "R-Drop",
        {"r_drop": 1.0},
        "two dropouts must agree, which regularises where seven epochs start to memorise",
    ),
    (
        "tokens",
        "half the tokens a step",
        {"batch_factor": 0.5},
        "seven epochs are few steps: twice as many, each on less, should get further",
    ),
    (
        "vocabulary_again",
        "half the vocabulary again",
        {"vocab_factor": 0.5},
        "what helped once may help twice",
    ),
    (
        "case",
        "inline casing",
        {"tokenizer": "sp_bpe_case"},
        "capitals become marks: a word has the same tokens however it is written, learned once",
    ),
    (
        "ema",
        "averaged weights",
        {"ema": 0.98},
        "the mean of the last fifty steps or so lies nearer to where they are all going",
    ),
]

_NUMBER = {"type": "number"}
_RUNG = exactly(
    ("gain", "standard_error", "kept", "why"),
    name={"type": "string"},
    title={"type": "string"},
    why={"type": "string"},
    changes={"type": "object"},
    losses={"type": "array", "items": _NUMBER, "minItems": 1},  # full coverage, a seed each
    mean=_NUMBER,
    gain=_NUMBER,  # how much lower than the rung below, nats per character
    standard_error={"type": "number", "minimum": 0},  # of the gain, under two seeds or more
    kept={"type": "boolean"},
    seconds=_NUMBER,  # of one run, on average
)
SCHEMA = exactly(
    preset={"enum": list(PRESETS)},
    stories={"type": "object"},
    titles={"type": "object"},
    created={"type": "string"},
    seeds={"type": "integer", "minimum": 1},
    environment={"type": "object"},
    rungs={"type": "array", "items": _RUNG, "minItems": 1},
)


def choose(names: list[str] | None) -> list[tuple]:
    """Return the levers called `names`, in the ladder's own order; all of them for None.

    Raises ValueError for a name that is none of theirs.
    """
    known = [name for name, *_ in LEVERS]
    for name in names or []:
        if name not in known:
            raise ValueError(f"There is no lever {name!r}; choose from {', '.join(known)}.")
    return [lever for lever in LEVERS if names is None or lever[0] in names]


def climb(
    preset: str,
    titles: Titles,
    out: Path,
    count: int = 3,
    levers=LEVERS,
    like: dict | None = None,
) -> dict:
    """Try `levers` in turn from step two on, a line a run; write and return the ladder's record.

    A change is kept where it gains more than two standard errors, or, given the record of another
    ladder as `like`, where that one kept it.

    Writes `out/results/ladder/<preset>.json` after each rung. Where that record is of the same
    titles and seeds and has the first of `levers`, the climb goes on above them; a run that was
    trained before is taken from its checkpoint under `out/_build/ladder-<preset>/`. Losses in nats
    per character.

    Raises ValueError for a single seed, which has no standard error, unless there is a `like`, and
    for a lever that `like` has not tried.
    """
    verdicts = {rung["name"]: rung["kept"] for rung in like["rungs"][1:]} if like else {}
    if count < 2 and not like:
        raise ValueError(
            f"{count} seed has no spread; ask for 2, or follow a ladder (--like tiny)."
        )
    for name, *_ in levers:
        if like and name not in verdicts:
            raise ValueError(f"The ladder on {like['preset']} has no rung {name!r} to follow.")
    folder = Path(out) / "_build" / f"ladder-{preset}"
    config = load_step(START, preset)
    record = _begun(out, preset, titles, count, levers, verdicts)
    if record is None:
        runs = _seeds("step two", config, titles, folder, count)
        record = {
            **{key: runs[0][key] for key in ("preset", "stories", "titles")},
            "created": "",
            "seeds": count,
            "environment": {},
            "rungs": [_rung(START, "step two", {}, runs)],
        }
    below, climbed = record["rungs"][0], len(record["rungs"]) - 1
    for i, (name, title, changes, why) in enumerate(levers):
        tried = config.change(**changes)
        if i < climbed:
            rung = record["rungs"][i + 1]
        else:
            runs = _seeds(name, tried, titles, folder, count)
            rung = _rung(name, title, changes, runs) | {"why": why}
            rung |= _judge(record, below, rung, verdicts.get(name))
            error = f" ± {rung['standard_error']:.4f}" if "standard_error" in rung else ""
            print(f"{title}: {rung['gain']:+.4f}{error}", flush=True)
            record["rungs"].append(rung)
            record["created"] = datetime.now(UTC).isoformat(timespec="seconds")
            record["environment"] = runs[0]["environment"]
            path = f"results/ladder/{preset}.json"
            write_json(Path(out) / path, check(record, SCHEMA, path))
        if rung["kept"]:
            config, below = tried, rung
    return record


def read_ladder(out: str | Path, preset: str) -> dict:
    """Return the record of the ladder on `preset` under `out`.

    Raises FileNotFoundError where there is none, ValueError where it is damaged.
    """
    name = f"ladder/{preset}"
    return check(read_json(out, name, "run `python -m lib ladder`"), SCHEMA, f"results/{name}.json")


def _begun(out, preset, titles, count, levers, verdicts):
    """Return the record of this very ladder, climbed in part or whole, or None.

    It is another where a rung was kept, or not, against one of `verdicts`: what was tried on top of
    that rung is another configuration.
    """
    try:
        record = read_ladder(out, preset)
    except FileNotFoundError:
        return None
    there = [(rung["name"], rung["changes"]) for rung in record["rungs"][1:]]
    those = [(name, _plain(changes)) for name, _, changes, _ in levers]
    same = record["stories"] == titles.stories and record["seeds"] == count
    kept = all(verdicts.get(r["name"], r["kept"]) == r["kept"] for r in record["rungs"][1:])
    return record if same and kept and there == those[: len(there)] else None


def _seeds(name, config: Config, titles, folder, count):
    text = json.dumps(config.as_dict(), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return run_seeds(f"{name}-{digest}", config, titles, folder, range(FIRST, FIRST + count))


def _rung(name, title, changes, runs):
    losses = [run["losses"]["full_coverage"] for run in runs]
    return {
        "name": name,
        "title": title,
        "changes": _plain(changes),
        "losses": losses,
        "mean": statistics.mean(losses),
        "seconds": statistics.mean(run["speed"]["seconds"] for run in runs),
    }


def _judge(record, below, rung, kept):
    """Return what a rung gained over the one below it, how surely, and whether it is kept."""
    if record["seeds"] == 1:
        return {"gain": below["mean"] - rung["mean"], "kept": kept}
    found = compare(_spread(record, below), _spread(record, rung))
    gain, error = -found["difference"], found["standard_error"]
    kept = found["real"] and gain > 0 if kept is None else kept
    return {"gain": gain, "standard_error": error, "kept": kept}


def _spread(record, rung):
    """Return what `compare` asks of a rung."""
    error = statistics.stdev(rung["losses"]) / math.sqrt(len(rung["losses"]))
    return {**record, "step": rung["name"], "mean": rung["mean"], "standard_error": error}


def _plain(changes):
    """Return settings as JSON has them."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in changes.items()}
