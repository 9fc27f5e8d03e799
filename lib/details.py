"""What the figures show of a trained model, computed once it is trained, kept beside its record.

- Small files, `results/<preset>/<step>/<name>.json`: drawing or comparing steps later needs neither
  weights nor stories.
- `titles`: the loss of each validation and test title, in order. `words`: the mean loss of a word
  by its position in a validation title. `headlines`: a few validation titles token by token.
  `samples`: titles that the model wrote.
"""

from pathlib import Path

import numpy as np

from .evaluate import characters, official
from .files import COUNT, NUMBER, NUMBERS, TEXT, exactly, read_json, results, write_json
from .predictions import mean_by_place, sample, title_losses, word_losses

HEADLINES, SAMPLES = 4, 10
SCHEMAS = {
    "titles": exactly(val=NUMBERS, test={**NUMBERS, "minItems": 0}),  # nats, one a title
    "words": {"type": "array", "items": exactly(word=TEXT, nats=NUMBER, titles=COUNT)},
    "headlines": {
        "type": "array",
        "items": exactly(title=TEXT, tokens={"type": "array", "items": TEXT}, losses=NUMBERS),
    },
    "samples": {"type": "array", "items": TEXT},
}


def details(run) -> dict:
    """Return what is kept of `run`, a `lib.train.Run`, by name; losses in nats."""
    model, tokenizer, titles = run.model, run.tokenizer, run.titles
    losses = {
        part: title_losses(model, tokenizer, getattr(titles, part), run.told(part))
        for part in ("val", "test")
    }
    shown = titles.val[:HEADLINES]
    tokens = [[*map(tokenizer.token, ids), "⏎"] for ids in tokenizer.encode(shown)]
    return {
        "titles": {part: [sum(title) for title in those] for part, those in losses.items()},
        "words": mean_by_place(word_losses(tokenizer, titles.val, losses["val"])),
        "headlines": [
            {"title": title, "tokens": own, "losses": those}
            for title, own, those in zip(shown, tokens, losses["val"], strict=False)
        ],
        "samples": sample(model, tokenizer, SAMPLES, known=run.told("val")),
    }


def batch_sweep(run, count: int = 16) -> list[dict]:
    """Return the challenge's loss of a trained model at other batch sizes of its evaluation.

    `[{batch, official, coverage, full_coverage}]` in nats per character, at `count` batch sizes or
    fewer, from 1 to the largest for which a span fits; the windows stay `block_size` long.
    """
    block, chars = run.config.block_size, characters(run.titles.val)
    largest = (len(run.val_ids) - 1) // block
    points = []
    for batch in np.unique(np.geomspace(1, largest, count).astype(int)).tolist():
        printed, coverage = official(
            run.model, run.val_ids, chars, block, batch, known=run.told("val")
        )
        points.append({"batch": batch, "official": printed, "coverage": coverage})
        points[-1]["full_coverage"] = run.curve[-1]["full_coverage"]
    return points


def write_details(out: str | Path, preset: str, step: str, kept: dict) -> None:
    """Write what `details` returned beside the record of `step`."""
    for name, content in kept.items():
        write_json(results(out, preset, f"{step}/{name}"), content)


def read_detail(out: str | Path, preset: str, step: str, name: str):
    """Return one of what is kept beside the record of `step`.

    Raises FileNotFoundError where it is not there, ValueError where it is damaged.
    """
    return read_json(out, preset, f"{step}/{name}", "run that step", SCHEMAS[name])
