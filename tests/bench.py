"""How fast the book's loop trains the baseline, beside the plain one of `reference.py`.

    python -m tests.bench --preset small --stories headlines.csv

- Both in one process, in turn, on the same titles, tokens and device, one epoch of some 15 steps a
  round; evaluation is not timed.
- At equal precision (fp32) and at each one's own, which on a GPU is bf16 for the book's loop. On a
  CPU the two are the same and measured once.
"""

import argparse
import contextlib
import io
import statistics
import time
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from lib.book import ROOT, resolve_stories
from lib.config import PRESETS, load_preset
from lib.record import check, exactly, write_json
from lib.tokenizer import train_tokenizer
from lib.train import best_device, train, use_bf16

from . import reference

STEPS = 15  # of a round, about
_SPEEDS = {"type": "array", "items": {"type": "number"}, "minItems": 1}  # tokens per second
SCHEMA = exactly(
    preset={"enum": list(PRESETS)},
    stories={"type": "object"},
    created={"type": "string"},
    environment={"type": "object"},
    rows={
        "type": "array",
        "items": exactly(
            precision={"enum": ["fp32", "own"]},
            book=_SPEEDS,
            reference=_SPEEDS,
            ratio={"type": "number"},  # of the medians
        ),
        "minItems": 1,
    },
)


def bench(preset: str, titles, rounds: int, count: int | None = None) -> dict:
    """Return tokens per second of both loops, a number a round, at each precision.

    `count` training titles a round, or as many as give about STEPS steps.
    """
    device = best_device()
    config = load_preset(preset, epochs=1, evals_per_epoch=1)
    tokenizer = train_tokenizer(config, titles)
    stream = torch.from_numpy(tokenizer.stream(titles.train)).to(device)
    span = config.block_size * config.batch_size
    count = count or min(len(titles.train), len(titles.train) * STEPS * span // len(stream) + 1)
    few = replace(titles, train=titles.train[:count], val=titles.val[:100])
    stream = torch.from_numpy(tokenizer.stream(few.train)).to(device)
    names = [field.name for field in fields(reference.Settings)]
    settings = reference.Settings(**{name: getattr(config, name) for name in names})

    def book(precision):
        with contextlib.redirect_stdout(io.StringIO()):
            run = train(config.change(precision=precision), few, tokenizer=tokenizer)
        return run.speed["tokens_per_second"], run.environment

    def plain():
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
            speeds = {"book": speed, "reference": plain()}
            for name in speeds if counted else ():
                row[name].append(speeds[name])
    for row in rows:
        row["ratio"] = statistics.median(row["book"]) / statistics.median(row["reference"])
    return {
        "preset": preset,
        "stories": titles.stories,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment,
        "rows": rows,
    }


def _wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def main(arguments=None):
    """Measure, print a line for each precision, write `results/bench.json`; return the record."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--stories", help="as for `python -m lib run`")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--titles", type=int, help="training titles a round")
    parser.add_argument("--out", type=Path, default=ROOT)
    options = parser.parse_args(arguments)
    _, titles = resolve_stories(options.preset, options.stories)
    record = bench(options.preset, titles, options.rounds, options.titles)
    write_json(options.out / "results" / "bench.json", check(record, SCHEMA, "results/bench.json"))
    print(f"tokens per second, median of {options.rounds}; {record['environment']['device']}")
    for row in record["rows"]:
        book, plain = (statistics.median(row[name]) for name in ("book", "reference"))
        print(f"{row['precision']:<5} book {book:>10,.0f}  plain {plain:>10,.0f}  "
              f"ratio {row['ratio']:.2f}")  # fmt: skip
    return record


if __name__ == "__main__":
    main()
