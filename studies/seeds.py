"""A step under several seeds: how far its loss is from where another seed would have put it.

- The seeds are 1337, 1338, …: a model's first weights and its dropout vary. The titles, their split
  and the tokenizer do not.
- Nor does the order of the data, where a step takes its batches in the order of the stream, as the
  baseline does.
- The public recipe is one more step. Published like one, it is `train_recipe`.
- No run of these is scored on the test titles, but for a published one, which was before.
- A run of other code, settings or stories is refused where its checkpoint is found, unless it is
  accepted, and the record says so.
- The records lie in `results/<preset>/seeds/`.
"""

import statistics
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from lib.compare import compare_alike
from lib.config import PRESETS, Config, load_step, title_of
from lib.data import Titles
from lib.details import read_detail
from lib.device import best_device, use_bf16
from lib.files import NUMBER, NUMBERS, as_json, check, exactly, held, read_json, results, write_json
from lib.identity import identity
from lib.predictions import title_losses
from lib.record import make_record, read_record, save
from lib.steps import PUBLIC_BEST, STEPS
from lib.tokenizer import train_tokenizer
from lib.train import train

from .statistics import LEVEL, difference, holm, over_titles, standard_error

FIRST = 1337
REAL, CHANCE = "real", "not told from chance"  # a difference where p_holm is below LEVEL, or not
DIFFERENCES = "differences"  # the record that compares each step with the step before it

_LIST = {"type": "array", "items": {"type": "number"}, "minItems": 2}
SCHEMA = exactly(
    ("identity", "accepted", "title_nats"),  # which records of before do not have
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
    ("p_paired", "titles"),  # where the seeds are the same, where the titles' nats are there
    before={"type": "string"},
    difference={"type": "number"},
    standard_error={"type": "number", "minimum": 0},
    low={"type": "number"},  # which hold the difference with 95 % confidence
    high={"type": "number"},
    p={"type": "number"},  # how often chance makes such a difference
    p_paired={"type": "number"},  # the same, of the differences seed by seed
    p_holm={"type": "number"},  # p, where all steps are asked at once
    titles=exactly(difference=NUMBER, low=NUMBER, high=NUMBER),  # over draws of titles
    verdict={"enum": [REAL, CHANCE]},
)
DIFFERENCES_SCHEMA = {"type": "object", "additionalProperties": _DIFFERENCE}


def train_seeds(
    step: str, preset: str, titles: Titles, out: Path, count: int = 5, resume: str = "same"
) -> dict:
    """Train `step` under `count` seeds, a line for each; write and return its record of them.

    Writes the record of `step` (see above), and `differences.json` beside it anew. A seed that was
    trained before is taken from its checkpoint under `out/_build/seeds-<preset>/`, one that was
    stopped continues, and where the step's published run is the very run that would be trained, it
    is the first seed; with `resume` "fresh" all are trained. The losses are on the validation
    titles. Where several processes train at once, one waits for the other.

    Raises ValueError for fewer than two seeds, for a step or preset that is not there, and for
    checkpoints of another run, unless `resume` is "accept".
    """
    if count < 2:
        raise ValueError(f"{count} seeds have no spread; ask for at least 2.")
    config = load_step(step, preset)
    folder = Path(out) / "_build" / f"seeds-{preset}"
    runs = [] if resume == "fresh" else _published(out, step, config, titles)
    seeds = range(FIRST + len(runs), FIRST + count)
    runs += run_seeds(step, config, titles, folder, seeds, resume)
    record = check_seeds(summary(step, title_of(step), runs))
    with held(folder):  # another process may be at another step, and read what is written here
        write_json(results(out, preset, f"seeds/{step}"), record)
        _write_differences(out, preset)
    return record


def run_seeds(
    name: str, config: Config, titles: Titles, folder: Path, seeds, resume: str = "same"
) -> list[dict]:
    """Train `config` under each of `seeds`, a line for each; return the run record of each.

    Each has `title_nats` beside, the nats of each validation title. The checkpoints are left in
    `folder`, in `<name>-<seed>`.
    """
    runs = []
    for seed in seeds:
        print(f"{name:<16} seed {seed}", end=" ", flush=True)
        place = folder / f"{name}-{seed}"
        run = train(config.change(seed=seed), titles, folder=place, resume=resume, quiet=True)
        nats = [sum(title) for title in title_losses(run.model, run.tokenizer, titles.val)]
        runs.append(make_record(run, f"seeds/{name}-{seed}", str(seed)) | {"title_nats": nats})
        loss = f"{run.curve[-1]['full_coverage']:.4f} nats per character"
        print(f"{loss}, {run.speed['seconds']:,.0f} s.{_told(run)}", flush=True)
    return runs


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
) -> dict:
    """Train a public recipe once, at the steps' own seed, and return its record.

    Writes `out/results/<preset>/<recipe>.json`, the weights beside it. As a published step's,
    its losses are on the validation titles and, once, on the test titles. A run that was stopped
    continues from its checkpoint under `out/_build/<recipe>-<preset>/`.

    Raises ValueError for a preset that is not there, and for the checkpoint of another run, unless
    `resume` is "accept".
    """
    folder = Path(out) / "_build" / f"{recipe}-{preset}"
    run = train(load_step(recipe, preset), titles, folder=folder, resume=resume)
    with held(folder):  # a record and its weights are of one process
        return save(run, out, recipe)


def summary(step: str, title: str, runs: list[dict]) -> dict:
    """Return the record of several seeds of a step from `runs`, the run record of each.

    `mean`, `sd` (of the sample: n - 1) and `standard_error` (of the mean: sd / √n) are of
    `full_coverage`, in nats per character.
    """
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
    record = _read(out, DIFFERENCES, preset)
    return check(record, DIFFERENCES_SCHEMA, f"results/{preset}/seeds/{DIFFERENCES}.json")


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


def identity_of(config: Config, titles: Titles) -> dict:
    """Return the `identity` that the record of a run of `config` will have, trained here and now.

    It is what the run depends on beside its settings and stories, as `lib.identity` has it.
    """
    device = best_device()
    tokenizer = train_tokenizer(config, titles)
    known = identity(config, titles, tokenizer, device, use_bf16(config.precision, device))
    return {k: v for k, v in as_json(known).items() if k not in ("config", "stories")}


def differing(theirs: dict, ours: dict, within: str = "") -> dict[str, tuple]:
    """Return what differs, theirs and ours, by name: "code.model" where it is within another."""
    found = {}
    for key in sorted(theirs.keys() | ours.keys()):
        pair = [theirs.get(key), ours.get(key)]
        if all(isinstance(value, dict) for value in pair):
            found |= differing(*pair, f"{within}{key}.")
        elif pair[0] != pair[1]:
            found[within + key] = tuple(pair)
    return found


def tell(differ: dict[str, tuple]) -> str:
    """Return what `differing` found, in words: "seeds (2, here 3)"."""
    return ", ".join(f"{name} ({a!r}, here {b!r})" for name, (a, b) in differ.items())


def _told(run):
    """What is said of a run beside its loss: whether it was trained before, what was accepted."""
    told = f" Went on after {run.resumed:,}." if run.resumed else ""
    told = " Trained before." if run.resumed == run.steps else told
    return told + (f" Accepted: {', '.join(run.accepted)}." if run.accepted else "")


def _published(out, step, config, titles):
    """Return the published run of `step` in a list: of none where it is another run."""
    try:
        record = read_record(out, config.preset, step)
    except FileNotFoundError:
        return []
    if record["config"] != config.as_dict() or record["stories"] != titles.stories:
        return []
    if record.get("identity") != identity_of(config, titles):
        return []  # of other code, perhaps its notebook's own
    loss = f"{record['losses']['full_coverage']:.4f} nats per character"
    print(f"{step:<16} seed {config.seed} {loss}. Published before.", flush=True)
    nats = read_detail(out, config.preset, step, "titles")["val"]
    return [record | {"title_nats": nats}]


def _write_differences(out, preset):
    """Compare each step with the step before it, and the best public recipe with the last step.

    Only where both have seeds on the same titles, trained by the same code.
    """
    order = (*STEPS, PUBLIC_BEST)
    there = [step for step in order if results(out, preset, f"seeds/{step}").exists()]
    records = {step: read_seeds(out, step, preset) for step in there}
    differences = {}
    for before, step in pairwise(order):
        pair = [records.get(before), records.get(step)]
        if None in pair or not compare_alike(pair):
            continue
        if differing(*(record.get("identity", {}).get("code", {}) for record in pair)):
            print(f"{step} is not compared with {before}: other code trained it.", flush=True)
            continue
        alike = pair[0]["seeds"] == pair[1]["seeds"]
        found = difference(*(record["full_coverage"] for record in pair), paired=alike)
        if all("title_nats" in record for record in pair):
            nats = (record["title_nats"] for record in pair)
            found["titles"] = over_titles(*nats, pair[0]["titles"]["val_chars"])
        differences[step] = {"before": before, **found}
    corrected = holm([found["p"] for found in differences.values()])
    for found, p in zip(differences.values(), corrected, strict=True):
        found |= {"p_holm": p, "verdict": REAL if p < LEVEL else CHANCE}
    check(differences, DIFFERENCES_SCHEMA, DIFFERENCES)
    write_json(results(out, preset, f"seeds/{DIFFERENCES}"), differences)


def _read(out, name, preset):
    return read_json(out, preset, f"seeds/{name}", "run `python -m book seeds`")
