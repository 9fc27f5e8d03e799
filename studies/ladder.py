"""The ladder from step two to step three: one change at a time, each against the rung below it.

- A rung is a configuration under several seeds. A change is kept where it lowers their mean loss by
  more than two standard errors of the difference; the next change is tried on what was kept. What
  is tried, and in which order, is `lib.steps.LEVERS`.
- A ladder on another preset may follow one that is there: the same configurations, whatever they
  gain. That shows whether the gains on the smaller preset hold on the larger, for which one seed,
  without an error, will do.
- Nothing here is scored on the test titles.
"""

import statistics
from datetime import UTC, datetime
from pathlib import Path

from lib.config import PRESETS, Config, load_step
from lib.data import Titles
from lib.files import NUMBER, NUMBERS, as_json, check, exactly, read_json, results, write_json
from lib.identity import digest, modules
from lib.steps import LADDER, LEVERS

from .seeds import FIRST, run_seeds
from .statistics import difference

START = LADDER["from"]
_RUNG = exactly(
    ("gain", "standard_error", "kept", "why"),
    title={"type": "string"},
    why={"type": "string"},
    changes={"type": "object"},
    losses=NUMBERS,  # full coverage, a seed each
    mean=NUMBER,
    gain=NUMBER,  # how much lower than the rung below, nats per character
    standard_error={"type": "number", "minimum": 0},  # of the gain, under two seeds or more
    kept={"type": "boolean"},
    seconds=NUMBER,  # of one run, on average
)
SCHEMA = exactly(
    ("base", "code"),  # which records of before do not have: they cannot be gone on with
    preset={"enum": list(PRESETS)},
    stories={"type": "object"},
    titles={"type": "object"},
    created={"type": "string"},
    seeds={"type": "integer", "minimum": 1},
    environment={"type": "object"},
    base={"type": "object"},  # the configuration of the lowest rung
    code={"type": "object"},
    rungs={
        "type": "object",
        "additionalProperties": _RUNG,
        "minProperties": 1,
    },  # by name, in order
)


def choose(names: list[str] | None) -> dict:
    """Return the levers called `names`, in the ladder's own order; all of them for None.

    Raises ValueError for a name that is none of theirs.
    """
    for name in names or []:
        if name not in LEVERS:
            raise ValueError(f"There is no lever {name!r}; choose from {', '.join(LEVERS)}.")
    return {name: lever for name, lever in LEVERS.items() if names is None or name in names}


def climb(
    preset: str,
    titles: Titles,
    out: Path,
    count: int = 3,
    levers: dict = LEVERS,
    like: dict | None = None,
    resume: str = "same",
) -> dict:
    """Try `levers` in turn from step two on, a line a run; write and return the ladder's record.

    A change is kept where it gains more than two standard errors, or, given the record of another
    ladder as `like`, where that one kept it.

    Writes `out/results/<preset>/ladder.json` after each rung. Where there is one, what it has not
    tried yet is tried on top of what it kept; a run that was trained before is taken from its
    checkpoint under `out/_build/ladder-<preset>/`. `resume` "fresh" starts over. Losses in nats per
    character.

    Raises ValueError for a single seed, which has no standard error, unless there is a `like`; for
    a lever that `like` has not tried; and where the ladder that is there is another one: of other
    titles, settings, seeds, code or verdicts.
    """
    verdicts = {n: r["kept"] for n, r in like["rungs"].items() if "kept" in r} if like else {}
    if count < 2 and not like:
        raise ValueError(
            f"{count} seed has no spread; ask for 2, or follow a ladder (--like tiny)."
        )
    for name in levers:
        if like and name not in verdicts:
            raise ValueError(f"The ladder on {like['preset']} has no rung {name!r} to follow.")
    folder = Path(out) / "_build" / f"ladder-{preset}"
    config = load_step(START, preset)
    record = None if resume == "fresh" else _begun(out, config, titles, count, levers, verdicts)
    if record is None:
        runs = _seeds("step two", config, titles, folder, count, resume)
        record = {
            **{key: runs[0][key] for key in ("preset", "stories", "titles")},
            "created": "",
            "seeds": count,
            "environment": {},
            "base": config.as_dict(),
            "code": modules(),
            "rungs": {START: _rung("step two", {}, runs)},
        }
    below, rungs = record["rungs"][START], record["rungs"]
    for rung in rungs.values():
        if rung.get("kept"):
            config, below = config.change(**_tuples(rung["changes"])), rung
    for name, lever in levers.items():
        if name in rungs:
            continue
        tried = config.change(**lever["changes"])
        runs = _seeds(name, tried, titles, folder, count, resume)
        rung = _rung(lever["title"], lever["changes"], runs) | {"why": lever["why"]}
        rung |= _judge(below, rung, verdicts.get(name))
        error = f" ± {rung['standard_error']:.4f}" if "standard_error" in rung else ""
        print(f"{lever['title']}: {rung['gain']:+.4f}{error}", flush=True)
        rungs[name] = rung
        record["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        record["environment"] = runs[0]["environment"]
        path = results(out, preset, "ladder")
        write_json(path, check(record, SCHEMA, f"results/{preset}/ladder.json"))
        if rung["kept"]:
            config, below = tried, rung
    return record


def read_ladder(out: str | Path, preset: str) -> dict:
    """Return the record of the ladder on `preset` under `out`.

    Raises FileNotFoundError where there is none, ValueError where it is damaged.
    """
    return read_json(out, preset, "ladder", "run `python -m book ladder`", SCHEMA)


def _begun(out, config, titles, count, levers, verdicts):
    """Return the record of this very ladder, climbed in part or whole, or None without one.

    Raises ValueError where it is another: going on with it would compare what does not compare, and
    a new one would lose it.
    """
    try:
        record = read_ladder(out, config.preset)
    except FileNotFoundError:
        return None
    rungs = record["rungs"]
    differ = [
        what
        for what, theirs, ours in (
            ("stories", record["stories"], titles.stories),
            ("number of seeds", record["seeds"], count),
            ("base settings", record.get("base"), config.as_dict()),
            ("code", record.get("code"), modules()),
            *(
                (f"rung {name!r}", rungs[name]["changes"], as_json(lever["changes"]))
                for name, lever in levers.items()
                if name in rungs
            ),
            *(
                (f"verdict on {name!r}", rung["kept"], verdicts.get(name, rung["kept"]))
                for name, rung in rungs.items()
                if "kept" in rung
            ),
        )
        if theirs != ours
    ]
    if differ:
        raise ValueError(
            f"The ladder in results/{config.preset}/ladder.json is another one: its "
            f"{', its '.join(differ)} differ. Start over with --fresh, which writes over it, or "
            "write elsewhere (--out)."
        )
    return record


def _seeds(name, config: Config, titles, folder, count, resume):
    place = f"{name}-{digest(config.as_dict())[:8]}"
    return run_seeds(place, config, titles, folder, range(FIRST, FIRST + count), resume)


def _rung(title, changes, runs):
    losses = [run["losses"]["full_coverage"] for run in runs]
    return {
        "title": title,
        "changes": as_json(changes),
        "losses": losses,
        "mean": statistics.mean(losses),
        "seconds": statistics.mean(run["speed"]["seconds"] for run in runs),
    }


def _judge(below, rung, kept):
    """Return what a rung gained over the one below it, how surely, and whether it is kept."""
    if len(rung["losses"]) == 1:
        return {"gain": below["mean"] - rung["mean"], "kept": kept}
    found = difference(below["losses"], rung["losses"])
    gain, error = -found["difference"], found["standard_error"]
    kept = found["real"] and gain > 0 if kept is None else kept
    return {"gain": gain, "standard_error": error, "kept": kept}


def _tuples(changes):
    return {k: tuple(v) if isinstance(v, list) else v for k, v in changes.items()}
