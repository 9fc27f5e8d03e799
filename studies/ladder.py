"""The ladder from step two to step three: one change at a time, each against the rung below it.

- A rung is a configuration under several seeds. A change is kept if it lowers their mean loss and
  the two-sided p of Welch's test is below 0.05. Of changes that do nothing, one in forty passes.
  The next change is tried on top of those kept. `lib.steps.LEVERS` lists the changes in order.
- This is enough to decide what to build on, not to claim a gain. Among so many rungs one may well
  be kept by chance, so `p_holm` is p corrected for testing all rungs at once, and `titles` says
  whether other titles would agree. The gain of a kept change is an overestimate: it was kept partly
  because it was lucky.
- A ladder on another preset may follow an existing one: it takes the same configurations, whatever
  they gain. That shows whether gains on the smaller preset hold on the larger. One seed, without an
  error, is enough for it.
- An existing ladder is continued only if it is the same one: its record holds the conditions under
  which it was climbed.
- Nothing here is scored on the test titles.
"""

import statistics
from datetime import UTC, datetime
from pathlib import Path

from lib.config import PRESETS, Config, load_step
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

from .identity import refuse_another, refuse_unlike
from .runs import Asked, identity_of, records
from .seeds import FIRST, mean_nats, run_seeds
from .statistics import SURELY, ask_all_at_once, judge

START = LADDER["from"]
FIXED = ("stories", "titles", "seeds", "like", "rungs")  # what nobody can vouch for
_RUNG = exactly(
    ("gain", "standard_error", "kept", "why", *SURELY, "p_holm", "p_paired_holm", "titles"),
    title=TEXT,
    why=TEXT,
    changes={"type": "object"},
    losses=NUMBERS,  # full coverage, one per seed
    mean=NUMBER,
    gain=NUMBER,  # how much lower than the rung below, nats per character
    standard_error={"type": "number", "minimum": 0},  # of the gain, under two seeds or more
    low=NUMBER,  # `low` to `high` is the 95% confidence interval of the gain
    high=NUMBER,
    p=NUMBER,  # how often chance makes such a difference
    p_paired=NUMBER,  # the same, from the differences seed by seed
    p_holm=NUMBER,  # p, corrected for testing all rungs at once
    p_paired_holm=NUMBER,
    titles=exactly(low=NUMBER, high=NUMBER),  # of the gain, over draws of titles
    title_nats=NUMBERS,  # nats of each validation title, the mean over the seeds
    kept={"type": "boolean"},
    seconds=NUMBER,  # of one run, on average
)
SCHEMA = exactly(
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
    workers=None,
) -> dict:
    """Try `levers` in turn, starting from step two; write and return the ladder's record.

    A change is kept if it gains more than chance would explain or, given the record of another
    ladder as `like`, if that ladder kept it. Losses are in nats per character. Prints a line per
    run.

    Writes `out/results/<preset>/ladder.json` after each rung. If that record exists, what it has
    not tried yet is tried on top of what it kept. A run that was trained before is loaded from its
    checkpoint under `out/_build/ladder-<preset>/`. `resume` "fresh" starts over; "accept" continues
    although code or settings differ. A second process waits for the first, then continues from what
    it left. With `workers` (`studies.runs`) the seeds of a rung are trained at once. With `like` as
    well, whose verdicts are known, the seeds of all rungs are.

    Raises ValueError for a single seed, which has no standard error, unless `like` is given; for a
    lever that `like` has not tried; if the existing ladder is another one, of other titles,
    settings, seeds, code or verdicts; and for "fresh" if rungs that were not asked for would be
    lost. Raises FloatingPointError if a run diverges, as it would again.
    """
    verdicts = _verdicts(levers, like)
    if count < (1 if like else 2):
        raise ValueError(
            f"Too few seeds for a spread: {count}. "
            "Ask for 2, or for 1 that follows a ladder (--like tiny)."
        )
    folder = Path(out) / "_build" / f"ladder-{preset}"
    config, ahead = load_step(START, preset), {}

    def seeds(name, config):
        place, numbers = _place(name, config), range(FIRST, FIRST + count)
        if place in ahead:
            return ahead[place]
        try:
            return run_seeds(place, config, titles, folder, numbers, resume, workers)
        except FloatingPointError as error:
            advice = f" Leave {name} out (--levers)." if name in LEVERS else ""
            raise FloatingPointError(f"{error}{advice}") from error

    with held(folder):
        conditions = {
            "stories": titles.stories,
            "seeds": count,
            "like": like["preset"] if like else None,
            "base": config.as_dict(),
            "identity": identity_of(config, titles, workers),
        }
        record = _begun(out, preset, conditions, levers, verdicts, resume)
        if workers and like:
            rungs = _to_train(config, levers, record["rungs"] if record else {}, verdicts)
            asked = [
                Asked(place, tried.change(seed=FIRST + i), folder)
                for place, tried in rungs.items()
                for i in range(count)
            ]
            runs = iter(records(asked, titles, resume, workers))
            ahead = {place: [next(runs) for _ in range(count)] for place in rungs}
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
            rung |= judge(below, rung, verdicts.get(name), runs[0]["titles"]["val_chars"])
            error = f" ± {rung['standard_error']:.4f}" if "standard_error" in rung else ""
            print(f"{lever['title']}: {rung['gain']:+.4f}{error}", flush=True)
            rungs[name] = rung
            ask_all_at_once(rungs)
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
    """Return the record of this very ladder, complete or not, or None if there is none.

    Raises ValueError if it is of another ladder: to continue that one would compare what is not
    comparable, and a new one would overwrite it.
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
    now = {
        name: {
            "changes": as_json(levers.get(name, rung)["changes"]),
            "kept": verdicts.get(name, rung.get("kept")),
        }
        for name, rung in rungs.items()
    }
    there = {name: {key: rung.get(key) for key in now[name]} for name, rung in rungs.items()}
    before = {**{name: record[name] for name in conditions}, "rungs": there}
    before["base"] = Config.from_dict(record["base"]).as_dict()
    differ = refuse_another(shown, before, {**conditions, "rungs": now}, FIXED, resume)
    return {**record, **conditions, "accepted": sorted({*record["accepted"], *differ})}


def _place(name, config):
    return f"{name}-{digest(config.as_dict())[:8]}"


def _to_train(config, levers, there, verdicts):
    """Return the settings of each rung that is not `there`, by place: all verdicts are known."""
    rungs = {} if there else {_place(START, config): config}
    for name in there | levers:
        if name == START:
            continue
        changes = from_json(there[name]["changes"]) if name in there else levers[name]["changes"]
        tried = config.change(**changes)
        if name not in there:
            rungs[_place(name, tried)] = tried
        if there[name]["kept"] if name in there else verdicts[name]:
            config = tried
    return rungs


def _accepted(runs):
    return sorted({name for run in runs for name in run["accepted"]})


def _rung(title, changes, runs):
    refuse_unlike(f"the rung {title!r}", runs)
    losses = [run["losses"]["full_coverage"] for run in runs]
    return {
        "title": title,
        "changes": as_json(changes),
        "losses": losses,
        "mean": statistics.mean(losses),
        "seconds": statistics.mean(run["speed"]["seconds"] for run in runs),
        "title_nats": mean_nats(runs),
    }
