"""A step under several seeds: how much its loss depends on the seed.

- The seeds are 1337, 1338, … They change a model's first weights and its dropout, but not the
  titles, their split or the tokenizer.
- Where a step's batches follow the stream, as the baseline's do, their order stays the same too.
- None of these runs is scored on the test titles; a published run that is reused already was.
- A checkpoint of other code, settings or stories is refused; if it is accepted, the record says so.
- The records are in `results/<preset>/seeds/`.
"""

import statistics
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from lib.compare import compare_alike
from lib.config import PRESETS, Config, load_step, title_of
from lib.data import Titles
from lib.details import read_detail
from lib.files import NUMBER, NUMBERS, check, exactly, held, read_json, results, write_json
from lib.record import read_record
from lib.steps import LADDER, PUBLIC_BEST, STEPS

from .identity import differing, refuse_other_stories, refuse_unlike, tell
from .runs import Asked, clear, identity_of, many, records, refuse_failed
from .statistics import LEVEL, difference, holm, over_titles, standard_error
from .worker import trained

FIRST = 1337
YES, NO = "significant", "not significant"  # a difference where p_holm is below LEVEL, or not
MADE = ("code", "torch", "device", "precision")  # what two steps are to share of their identity
DIFFERENCES = "differences"  # the record that compares each step with the step before it

_LIST = {"type": "array", "items": {"type": "number"}, "minItems": 2}
SCHEMA = exactly(
    step={"type": "string"},
    title={"type": "string"},
    preset={"enum": list(PRESETS)},
    stories={"type": "object"},
    titles={"type": "object"},
    created={"type": "string"},
    identity={"type": "object"},  # of every run, beside settings and stories
    accepted={"type": "array", "items": {"type": "string"}},  # what differed in some run
    seeds={**_LIST, "items": {"type": "integer"}, "uniqueItems": True},
    full_coverage=_LIST,  # nats per character, as all that follows from it
    official={**_LIST, "items": {"type": ["number", "null"]}},
    coverage={"type": "number"},
    bits_per_byte=_LIST,
    test={"type": "null"},
    mean={"type": "number"},
    sd={"type": "number", "minimum": 0},
    standard_error={"type": "number", "minimum": 0},
    title_nats=NUMBERS,  # of each validation title, the mean over the seeds
    environment={"type": "object"},
)
_DIFFERENCE = exactly(
    ("p_paired",),  # where the seeds are the same
    before={"type": "string"},
    difference={"type": "number"},
    standard_error={"type": "number", "minimum": 0},
    low={"type": "number"},  # `low` to `high` is its 95% confidence interval
    high={"type": "number"},
    p={"type": "number"},  # how often chance makes such a difference
    p_paired={"type": "number"},  # the same, from the differences seed by seed
    p_holm={"type": "number"},  # p, corrected for testing all steps at once
    titles=exactly(difference=NUMBER, low=NUMBER, high=NUMBER),  # over draws of titles
    verdict={"enum": [YES, NO]},
)
DIFFERENCES_SCHEMA = {"type": "object", "additionalProperties": _DIFFERENCE}


def train_steps(
    steps: list[str],
    preset: str,
    titles: Titles,
    out: Path,
    count: int = 5,
    resume: str = "same",
    workers=None,
) -> dict[str, dict]:
    """Train each of `steps` under `count` seeds, a line for each; write and return their records.

    Trains one step after another or, with `workers` (`studies.runs`), as many runs at once as they
    have room for. When the last seed of a step is trained, writes its record and `differences.json`
    anew. A seed trained before is loaded from its checkpoint under `out/_build/seeds-<preset>/`,
    and one that was stopped continues. A published run that is the very run to be trained serves as
    the first seed. With `resume` "fresh" all are trained. Where several processes train at once,
    one waits for the other.

    Raises ValueError for fewer than two seeds; for an unknown step or preset; if an existing record
    is of other stories or more seeds, unless `resume` is "fresh"; for checkpoints of another run,
    unless it is "accept". Raises FloatingPointError, once all others are trained, if a run
    diverged: its step has no record.
    """
    if count < 2:
        raise ValueError(f"{count} seeds have no spread; ask for at least 2.")
    folder, outcomes, found = Path(out) / "_build" / f"seeds-{preset}", {}, {}
    how = "same" if resume == "fresh" else resume
    for step in steps if resume != "fresh" else ():  # what would fail after hours fails now
        _refuse_loss(out, step, preset, titles, count)
    for together in [steps] if workers else [[step] for step in steps]:
        runs, asked = {step: [] for step in together}, []
        for step in runs:
            config = load_step(step, preset)
            if resume != "fresh":
                runs[step] += _published(out, step, config, titles, workers)
            asked += _asked(step, config, folder, range(FIRST + len(runs[step]), FIRST + count))
        if resume == "fresh":  # each folder once: steps may share it
            clear(asked, but=outcomes)
        for one, outcome in many(asked, titles, how, workers):
            outcomes[one] = outcome
            mine = [outcomes.get(other) for other in asked if other.name == one.name]
            if not all(isinstance(outcome, dict) for outcome in mine):
                continue  # not all are trained, or one failed
            record = check_seeds(summary(one.name, title_of(one.name), runs[one.name] + mine))
            with held(folder):  # another process may be at another step, and read what is written
                write_json(results(out, preset, f"seeds/{one.name}"), record)
                _write_differences(out, preset)
            found[one.name] = record
            spread = f"mean {record['mean']:.4f}, standard deviation {record['sd']:.4f}"
            print(f"{one.name:<16} {spread}: results/{preset}/seeds/{one.name}.json", flush=True)
    refuse_failed(outcomes)
    return found


def run_seeds(
    name: str,
    config: Config,
    titles: Titles,
    folder: Path,
    seeds,
    resume: str = "same",
    workers=None,
) -> list[dict]:
    """Train `config` under each of `seeds`, a line for each; return the run record of each.

    Each record also holds `title_nats`, the nats of each validation title. The checkpoints are left
    in `folder`, in `<name>-<seed>`. For `workers` see `studies.runs`.
    """
    return records(_asked(name, config, folder, seeds), titles, resume, workers)


def mean_nats(runs: list[dict]) -> list[float]:
    """Return the nats of each validation title, the mean over `runs`, to a ten-thousandth."""
    by_title = zip(*(run["title_nats"] for run in runs), strict=True)
    return [round(statistics.fmean(title), 4) for title in by_title]


def train_recipe(
    preset: str,
    titles: Titles,
    out: str | Path,
    resume: str = "same",
    recipe: str = PUBLIC_BEST,
    workers=None,
) -> dict:
    """Train one of `lib.steps.RECIPES` once, with the seed of the steps, and return its record.

    Writes `out/results/<preset>/<recipe>.json` like the record of a published step, with one look
    at the test titles. A run that was stopped continues from its checkpoint under
    `out/_build/<recipe>-<preset>/`. With `workers` (`studies.runs`) one of them trains it.

    Raises ValueError for an unknown preset; if the existing record is of other stories, unless
    `resume` is "fresh"; for the checkpoint of another run, unless it is "accept". Raises
    FloatingPointError if the run diverges, `Died` if its worker dies.
    """
    if resume != "fresh" and results(out, preset, recipe).exists():
        shown = f"results/{preset}/{recipe}.json"
        refuse_other_stories(shown, read_record(out, preset, recipe), titles)
    asked = Asked(recipe, load_step(recipe, preset), Path(out) / "_build", Path(out))
    if workers:
        return records([asked], titles, resume, workers)[0]
    asked = recipe, asked.config, titles, asked.folder, resume, asked.out
    return trained(*asked, quiet=False)["record"]


def summary(step: str, title: str, runs: list[dict]) -> dict:
    """Return the record of several seeds of a step from `runs`, the run record of each.

    `mean`, `sd` (n - 1) and `standard_error` (sd / √n) are of `full_coverage`, nats per character.
    Raises ValueError where the runs differ in more than the seed, as in code or precision.
    """
    refuse_unlike(step, runs)
    losses = {
        name: [run["losses"][name] for run in runs]
        for name in ("full_coverage", "official", "bits_per_byte")
    }
    return {
        "step": step,
        "title": title,
        **{key: runs[0][key] for key in ("preset", "stories", "titles", "environment")},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "identity": runs[0]["identity"],
        "accepted": sorted({name for run in runs for name in run["accepted"]}),
        "seeds": [run["config"]["seed"] for run in runs],
        **losses,
        "coverage": runs[0]["losses"]["coverage"],
        "test": None,
        "mean": statistics.mean(losses["full_coverage"]),
        "sd": statistics.stdev(losses["full_coverage"]),
        "standard_error": standard_error(losses["full_coverage"]),
        "title_nats": mean_nats(runs),
    }


def read_seeds(out: str | Path, step: str, preset: str) -> dict:
    """Return the record of several seeds of `step` on `preset` under `out`.

    Raises FileNotFoundError where there is none, ValueError where it is damaged.
    """
    return check_seeds(_read(out, step, preset))


def read_differences(out: str | Path, preset: str) -> dict:
    """Return what `differences.json` says of each step on `preset`, and of which `before` it.

    Raises FileNotFoundError where there is none, ValueError where it is damaged.
    """
    return _read(out, DIFFERENCES, preset, DIFFERENCES_SCHEMA)


def check_seeds(record: dict) -> dict:
    """Return `record` if it is as SCHEMA has it. Raises ValueError naming what is not."""
    name = f"results/{record.get('preset')}/seeds/{record.get('step')}.json"
    check(record, SCHEMA, name)
    for loss in ("full_coverage", "official", "bits_per_byte"):
        if len(record[loss]) != len(record["seeds"]):
            raise ValueError(
                f"The record {name} is damaged: {loss} has {len(record[loss])} losses for "
                f"{len(record['seeds'])} seeds."
            )
    return record


def _asked(name, config, folder, seeds):
    return [Asked(name, config.change(seed=seed), folder) for seed in seeds]


def _refuse_loss(out, step, preset, titles, count):
    """Raise ValueError where the seeds that are there are of other stories, or more than asked."""
    shown = f"results/{preset}/seeds/{step}.json"
    if not results(out, preset, f"seeds/{step}").exists():
        return
    there = read_seeds(out, step, preset)
    refuse_other_stories(shown, there, titles)
    if len(there["seeds"]) > count:
        raise ValueError(
            f"{shown} holds {len(there['seeds'])} seeds, which {count} would write over: ask for "
            f"as many (--seeds {len(there['seeds'])}), or for --fresh."
        )


def _published(out, step, config, titles, workers):
    """Return the published run of `step` in a list: of none where it is another run."""
    if not results(out, config.preset, step).exists():
        return []
    record = read_record(out, config.preset, step)
    same = Config.from_dict(record["config"]) == config and record["stories"] == titles.stories
    if not same or record["identity"] != identity_of(config, titles, workers):
        return []  # of other code, perhaps its notebook's own
    loss = f"{record['losses']['full_coverage']:.4f} nats per character"
    print(f"{step:<16} seed {config.seed} {loss}. Published before.", flush=True)
    nats = read_detail(out, config.preset, step, "titles")["val"]
    return [record | {"title_nats": nats}]


def _write_differences(out, preset):
    """Compare each step with the step before it, and the best public recipe with step three.

    Only pairs with seeds on the same titles, by the same code in one precision. A step that only
    adds counts has the networks of the one before it; `studies.counting` gives its error.
    """
    networks = [step for step in STEPS if "counts" not in STEPS[step]["changes"]]
    order = [*pairwise(networks), (LADDER["to"], PUBLIC_BEST)]
    there = (s for s in (*networks, PUBLIC_BEST) if results(out, preset, f"seeds/{s}").exists())
    records, differences = {step: read_seeds(out, step, preset) for step in there}, {}
    for before, step in order:
        pair = [records.get(before), records.get(step)]
        if None in pair or not compare_alike(pair):
            continue
        made = [{key: record["identity"].get(key) for key in MADE} for record in pair]
        if differ := differing(*made):
            print(f"{step} is not compared with {before}: {tell(differ)}.", flush=True)
            continue
        alike = pair[0]["seeds"] == pair[1]["seeds"]
        found = difference(*(record["full_coverage"] for record in pair), paired=alike)
        nats = (record["title_nats"] for record in pair)
        found["titles"] = over_titles(*nats, pair[0]["titles"]["val_chars"])
        differences[step] = {"before": before, **found}
    corrected = holm([found["p"] for found in differences.values()])
    for found, p in zip(differences.values(), corrected, strict=True):
        found |= {"p_holm": p, "verdict": YES if p < LEVEL else NO}
    check(differences, DIFFERENCES_SCHEMA, DIFFERENCES)
    write_json(results(out, preset, f"seeds/{DIFFERENCES}"), differences)


def _read(out, name, preset, schema=None):
    return read_json(out, preset, f"seeds/{name}", "run `python -m book seeds`", schema)
