"""Training speed of the book's loop on the baseline, against a plain loop sharing no code with it.

- Both run in one process, in turn, on the same titles, tokens and device. A round is one epoch of
  about 15 steps for each; evaluation is not timed.
- They are compared at equal precision (fp32), and each at its own, which for the book's loop is
  bf16 if the device has it. If it has not, the two comparisons are the same and made once.
"""

import statistics
import time
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from lib.config import PRESETS, load_preset
from lib.data import Titles
from lib.device import best_device, use_bf16
from lib.files import NUMBER, NUMBERS, check, exactly, read_json, results, write_json
from lib.tokenizer import train_tokenizer
from lib.train import train

from . import reference
from .identity import refuse_other_stories

STEPS = 15  # of a round, about
SCHEMA = exactly(
    preset={"enum": list(PRESETS)},
    stories={"type": "object"},
    created={"type": "string"},
    environment={"type": "object"},
    rows={
        "type": "array",
        "items": exactly(
            precision={"enum": ["fp32", "own"]},
            book=NUMBERS,  # tokens per second, one a round
            reference=NUMBERS,
            medians=exactly(book=NUMBER, reference=NUMBER),
            ratio=NUMBER,  # of the medians
        ),
        "minItems": 1,
    },
)


def bench(
    preset: str,
    titles: Titles,
    out: str | Path,
    *,
    rounds: int = 7,
    count: int | None = None,
    fresh: bool = False,
) -> dict:
    """Measure tokens per second of both loops at each precision, one number per round.

    `count` is the number of training titles in a round; by default, enough for about STEPS steps.
    Prints a line for each precision; writes and returns the record,
    `out/results/<preset>/bench.json`.

    Raises ValueError if the existing record is of other stories, unless `fresh`.
    """
    if not fresh and results(out, preset, "bench").exists():
        there = read_json(out, preset, "bench", "run `python -m book bench`", SCHEMA)
        refuse_other_stories(f"results/{preset}/bench.json", there, titles)
    if rounds < 1:
        raise ValueError(f"{rounds} rounds measure nothing; ask for at least 1.")
    device = best_device()
    config = load_preset(preset, epochs=1, evals_per_epoch=1)
    tokenizer = train_tokenizer(config, titles)
    span, whole = config.block_size * config.batch_size, len(tokenizer.stream(titles.train))
    count = count or min(len(titles.train), len(titles.train) * STEPS * span // whole + 1)
    few = replace(titles, train=titles.train[:count], val=titles.val[:100])
    stream = torch.from_numpy(tokenizer.stream(few.train)).to(device)
    names = [field.name for field in fields(reference.Settings)]
    settings = reference.Settings(**{name: getattr(config, name) for name in names})

    def book(precision):
        changed = config.change(precision=precision)
        run = train(changed, few, tokenizer=tokenizer, quiet=True)
        return run.speed["tokens_per_second"], run.environment

    def other():
        torch.manual_seed(config.seed)
        model = reference.Baseline(settings).to(device)
        nothing = stream[:0]  # to evaluate: only training is timed
        _wait(device)
        start = time.perf_counter()
        losses, _ = reference.train(model, stream, nothing, [""], settings)
        _wait(device)
        return len(losses) * span / (time.perf_counter() - start)

    precisions = ["fp32", "own"] if use_bf16("auto", device) else ["fp32"]
    rows = [{"precision": name, "book": [], "reference": []} for name in precisions]
    for counted in [False] + [True] * rounds:  # the first is to warm up
        for row in rows:
            speed, environment = book("auto" if row["precision"] == "own" else "fp32")
            speeds = {"book": speed, "reference": other()}
            for name in speeds if counted else ():
                row[name].append(speeds[name])
    for row in rows:
        row["medians"] = {name: statistics.median(row[name]) for name in ("book", "reference")}
        row["ratio"] = row["medians"]["book"] / row["medians"]["reference"]
    record = {
        "preset": preset,
        "stories": titles.stories,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment,
        "rows": rows,
    }
    check(record, SCHEMA, f"results/{preset}/bench.json")
    write_json(results(out, preset, "bench"), record)
    print(f"tokens per second, median of {rounds}; {record['environment']['device']}")
    for row in rows:
        print(
            f"{row['precision']:<5} book {row['medians']['book']:>10,.0f}  "
            f"plain {row['medians']['reference']:>10,.0f}  ratio {row['ratio']:.2f}"
        )
    return record


def _wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize()
