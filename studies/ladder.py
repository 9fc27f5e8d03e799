"""The ladder from step two to step three: one change at a time, each against the rung below it.

- A rung is a configuration under several seeds. A change is kept where it lowers their mean loss
  and Welch's test says that chance does so less than one time in twenty; the next change is tried
  on what was kept. What is tried, and in which order, is `lib.steps.LEVERS`.
- That is enough to go on with, not to claim: of so many rungs one may well be kept by chance, so
  `p_holm` asks what is left where all are asked at once, and `titles` whether other titles would
  agree. A gain that was kept is an over-estimate: the luck that it had is why it was kept.
- A ladder on another preset may follow one that is there: the same configurations, whatever they
  gain. That shows whether the gains on the smaller preset hold on the larger, for which one seed,
  without an error, will do.
- A ladder that is there is gone on with where it is this very one: its record holds what it was
  climbed with. A record of before, which does not, can be read, drawn and followed, no more.
- Nothing here is scored on the test titles.
"""

import statistics
from datetime import UTC, datetime
from pathlib import Path

from lib.config import PRESETS, load_step
from lib.data import Titles
from lib.files import (
    NUMBER,
    NUMBERS,
    TEXT,
    as_json,
    check,
    exactly,
    from_json,
    held,
    read_json,
    results,
    write_json,
)
from lib.identity import digest
from lib.steps import LADDER, LEVERS

from .seeds import FIRST, differing, identity_of, mean_nats, run_seeds, tell
from .statistics import LEVEL, difference, holm, over_titles

START = LADDER["from"]
FIXED = ("stories", "titles", "seeds", "like", "rungs")  # what nobody can vouch for
STATISTICS = ("low", "high", "p", "p_paired")  # of `studies.statistics.difference`
_RUNG = exactly(
    ("gain", "standard_error", "kept", "why", *STATISTICS, "p_holm", "titles", "title_nats"),
    title=TEXT,
    why=TEXT,
    changes={"type": "object"},
    losses=NUMBERS,  # full coverage, a seed each
    mean=NUMBER,
    gain=NUMBER,  # how much lower than the rung below, nats per character
    standard_error={"type": "number", "minimum": 0},  # of the gain, under two seeds or more
    low=NUMBER,  # which hold the gain with 95 % confidence
    high=NUMBER,
    p=NUMBER,  # how often chance makes such a difference
    p_paired=NUMBER,  # the same, of the differences seed by seed
    p_holm=NUMBER,  # p, where all rungs are asked at once
    titles=exactly(low=NUMBER, high=NUMBER),  # of the gain, over draws of titles
    title_nats=NUMBERS,  # of each validation title, the mean over the seeds
    kept={"type": "boolean"},
    seconds=NUMBER,  # of one run, on average
)
SCHEMA = exactly(
    ("like", "base", "identity", "accepted"),  # which records of before do not have
    preset={"enum": list(PRESETS)},
    stories={"type": "object"},
    titles={"type": "object"},
    created=TEXT,
    seeds={"type": "integer", "minimum": 1},
    environment={"type": "object"},
    like={"type": ["string", "null"]},  # the preset of the ladder that it follows
    base={"type": "object"},  # the configuration of the lowest rung
    identity={"type": "object"},  # of the lowest rung, beside settings and stories
    accepted={"type": "array", "items": TEXT},  # what differed, and was vouched for
    rungs={"type": "object", "additionalProperties": _RUNG, "minProperties": 1},  # in order
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

    A change is kept where it gains by more than chance does, or, given the record of another ladder
    as `like`, where that one kept it.

    Writes `out/results/<preset>/ladder.json` after each rung. Where there is one, what it has not
    tried yet is tried on top of what it kept; a run that was trained before is taken from its
    checkpoint under `out/_build/ladder-<preset>/`. `resume` "fresh" starts over, "accept" goes on
    although code or settings differ. Losses in nats per character. Of two processes the second
    waits, and goes on from what the first has left.

    Raises ValueError for a single seed, which has no standard error, unless there is a `like`; for
    a lever that `like` has not tried; where the ladder that is there is another one: of other
    titles, settings, seeds, code or verdicts; and for "fresh" where rungs that were not asked for
    would be lost.
    """
    verdicts = _verdicts(levers, like)
    if count < 2 and not like:
        raise ValueError(
            f"{count} seed has no spread; ask for 2, or follow a ladder (--like tiny)."
        )
    folder = Path(out) / "_build" / f"ladder-{preset}"
    config = load_step(START, preset)

    def seeds(name, config):
        place = f"{name}-{digest(config.as_dict())[:8]}"
        return run_seeds(place, config, titles, folder, range(FIRST, FIRST + count), resume)

    with held(folder):
        conditions = {
            "stories": titles.stories,
            "seeds": count,
            "like": like["preset"] if like else None,
            "base": config.as_dict(),
            "identity": identity_of(config, titles),
        }
        record = _begun(out, preset, conditions, levers, verdicts, resume)
        if record is None:
            runs = seeds(START, config)
            record = {
                "preset": preset,
                "titles": runs[0]["titles"],
                **conditions,
                "accepted": _accepted(runs),
                "rungs": {START: _rung("step two", {}, runs)},
            }
        below, rungs = record["rungs"][START], record["rungs"]
        for rung in rungs.values():
            if rung.get("kept"):
                config, below = config.change(**from_json(rung["changes"])), rung
        for name in [name for name in levers if name not in rungs]:
            lever, tried = levers[name], config.change(**levers[name]["changes"])
            runs = seeds(name, tried)
            rung = _rung(lever["title"], lever["changes"], runs) | {"why": lever["why"]}
            rung |= _judge(below, rung, verdicts.get(name), runs[0]["titles"]["val_chars"])
            error = f" ± {rung['standard_error']:.4f}" if "standard_error" in rung else ""
            print(f"{lever['title']}: {rung['gain']:+.4f}{error}", flush=True)
            rungs[name] = rung
            _ask_all_at_once(rungs)
            record["accepted"] = sorted({*record["accepted"], *_accepted(runs)})
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


def _verdicts(levers, like):
    """Return what the ladder `like` kept, by name; raise ValueError unless it has all `levers`."""
    if like is None:
        return {}
    for name, lever in levers.items():
        rung = like["rungs"].get(name)
        if rung is None:
            raise ValueError(f"The ladder on {like['preset']} has no rung {name!r} to follow.")
        if rung["changes"] != as_json(lever["changes"]):
            raise ValueError(
                f"The ladder on {like['preset']} tried {rung['changes']} as {name!r}; it is "
                f"{as_json(lever['changes'])} today. Climb that one again first."
            )
    return {name: rung["kept"] for name, rung in like["rungs"].items() if "kept" in rung}


def _begun(out, preset, conditions, levers, verdicts, resume):
    """Return the record of this very ladder, climbed in part or whole, or None without one.

    Raises ValueError where it is another: going on with it would compare what does not compare, and
    a new one would lose it.
    """
    shown = f"results/{preset}/ladder.json"
    try:
        record = read_ladder(out, preset)
    except FileNotFoundError:
        return None
    rungs = record["rungs"]
    if resume == "fresh":
        lost = [name for name in rungs if name != START and name not in levers]
        if not lost:
            return None
        raise ValueError(
            f"To start over with {', '.join(levers)} alone would lose the other rungs of {shown}: "
            f"{', '.join(lost)}. Leave out --levers, or write elsewhere (--out)."
        )
    advice = "Start over with --fresh, which writes over it, or write elsewhere (--out)."
    if not {*conditions, "accepted"} <= record.keys():
        raise ValueError(
            f"{shown} does not say with which settings and code its rungs were trained, so nothing "
            f"can be tried on top of them. {advice}"
        )
    now = {
        name: {
            "changes": as_json(levers.get(name, rung)["changes"]),
            "kept": verdicts.get(name, rung.get("kept")),
        }
        for name, rung in rungs.items()
    }
    there = {name: {key: rung.get(key) for key in now[name]} for name, rung in rungs.items()}
    found = differing(
        {**{name: record[name] for name in conditions}, "rungs": there},
        {**conditions, "rungs": now},
    )
    differ = {name.removeprefix("identity."): pair for name, pair in found.items()}
    fixed = {name: pair for name, pair in differ.items() if name.split(".")[0] in FIXED}
    if fixed or (differ and resume != "accept"):
        vouch = "" if fixed else "Vouch that this does not matter (--accept). "
        raise ValueError(
            f"The ladder in {shown} is another one; what differs is {tell(fixed or differ)}. "
            f"{vouch}{advice}"
        )
    return {**record, **conditions, "accepted": sorted({*record["accepted"], *differ})}


def _accepted(runs):
    return sorted({name for run in runs for name in run["accepted"]})


def _rung(title, changes, runs):
    losses = [run["losses"]["full_coverage"] for run in runs]
    return {
        "title": title,
        "changes": as_json(changes),
        "losses": losses,
        "mean": statistics.mean(losses),
        "seconds": statistics.mean(run["speed"]["seconds"] for run in runs),
        "title_nats": mean_nats(runs),
    }


def _judge(below, rung, kept, chars):
    """Return what a rung gained over the one below it, how surely, and whether it is kept."""
    drawn = over_titles(rung["title_nats"], below["title_nats"], chars)
    found = {
        "gain": below["mean"] - rung["mean"],
        "titles": {name: drawn[name] for name in ("low", "high")},
    }
    if len(rung["losses"]) > 1:
        surely = difference(rung["losses"], below["losses"], paired=True)
        found |= {name: surely[name] for name in ("standard_error", *STATISTICS)}
    if kept is None:
        kept = found["gain"] > 0 and found["p"] < LEVEL
    return {**found, "kept": kept}


def _ask_all_at_once(rungs):
    """Put Holm's correction of `p` in each of `rungs` that has one."""
    tested = [rung for rung in rungs.values() if "p" in rung]
    for rung, p in zip(tested, holm([rung["p"] for rung in tested]), strict=True):
        rung["p_holm"] = p
