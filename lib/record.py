"""The run record: one JSON file with everything that a page or a figure says about a run.

- It is `results/<preset>/<step>.json`, checked against a schema when it is written and read.
- The weights beside it are not published. The record holds their digest, to tie the two together.
"""

import hashlib
import io
import math
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import torch

from .compare import compare_alike, refuse_mixed
from .config import PRESETS, Config, title_of
from .context import PARTS
from .counts import Counts
from .data import Titles
from .details import details, write_details
from .device import best_device
from .evaluate import bits_per_byte, characters, size_in_bytes, unigram_losses
from .export import write_model
from .files import (
    COUNT,
    FLAG,
    MAYBE,
    NUMBER,
    TEXT,
    check,
    exactly,
    read_json,
    results,
    write_bytes,
    write_json,
)
from .model import GPT
from .predictions import contexts, predict
from .tokenizer import Tokenizer
from .train import Run

_PREDICTION = exactly(
    context=TEXT,
    top={"type": "array", "items": exactly(token=TEXT, p=NUMBER), "minItems": 1},
    target=TEXT,
)
_POINT = exactly(
    step=COUNT, epoch=NUMBER, train=NUMBER, official=MAYBE, coverage=NUMBER, full_coverage=NUMBER
)
SCHEMA = exactly(
    ("sees", "counted"),
    step=TEXT,
    title=TEXT,
    preset={"enum": list(PRESETS)},
    created=TEXT,
    stories=exactly(
        ("revision", "sha256"),
        source={"enum": ["hub", "file", "synthetic"]},
        revision=TEXT,
        sha256=TEXT,
        rows=COUNT,
        dropped=COUNT,
    ),
    titles=exactly(train=COUNT, val=COUNT, test=COUNT, val_chars=COUNT, val_bytes=COUNT),
    tokenizer=exactly(
        kind=TEXT,
        vocab_size=COUNT,
        lossless=FLAG,
        trained_on=TEXT,
        lossy=exactly(val=COUNT, test=COUNT, why={"type": ["string", "null"]}),
    ),
    config={"type": "object"},
    tokens=exactly(train=COUNT, val=COUNT),
    parameters=COUNT,
    steps=COUNT,
    losses=exactly(
        official=MAYBE,
        coverage=NUMBER,
        full_coverage=NUMBER,
        bits_per_byte=NUMBER,
        test=MAYBE,
        unigram=NUMBER,
    ),
    curve={"type": "array", "items": _POINT, "minItems": 1},
    speed=exactly(seconds=NUMBER, tokens_per_second=NUMBER, peak_memory_bytes=MAYBE),
    environment=exactly(
        device=TEXT,
        torch=TEXT,
        python=TEXT,
        precision=TEXT,
        threads={"type": ["integer", "null"]},
        commit={"type": ["string", "null"]},
    ),
    identity={"type": "object"},
    accepted={"type": "array", "items": TEXT},
    weights=TEXT,
    sees={"type": "array", "items": {"enum": list(PARTS)}, "minItems": 1},  # beside titles
    counted=COUNT,  # different n-grams in the training titles
    test_looks=COUNT,  # how often a run of this step has been scored on these test titles
    predictions={"type": "array", "items": _PREDICTION},
)


def make_record(run: Run, step: str, title: str, kept: dict | None = None) -> dict:
    """Return the record of `run`: its losses on validation and test titles, and predictions.

    `step` is the record's place under `results/` ("02_adamw", "ablations/rope"), `title` its title
    for readers. A step is scored on the test titles; an arm of a comparison is not, so that nothing
    is chosen by them. `kept` is what `lib.details` returned for a step, if already there.
    """
    titles, tokenizer, config = run.titles, run.tokenizer, run.config
    last = run.curve[-1]
    chars = characters(titles.val)
    is_step = "/" not in step
    nats = (kept or details(run))["titles"]["test"] if is_step else []
    lossy = {"val": tokenizer.lossy(titles.val), "test": tokenizer.lossy(titles.test)}
    return {
        "step": step,
        "title": title,
        "preset": config.preset,
        "created": run.created,
        "stories": titles.stories,
        "titles": count_titles(titles),
        "tokenizer": {
            "kind": tokenizer.kind,
            "vocab_size": tokenizer.vocab_size,
            "lossless": not lossy["val"],
            "trained_on": config.tokenizer_titles,
            "lossy": {
                **{part: len(those) for part, those in lossy.items()},
                "why": _why(tokenizer, lossy["val"] + lossy["test"]),
            },
        },
        "config": config.as_dict(),
        "tokens": {"train": len(run.train_ids), "val": len(run.val_ids)},
        "parameters": run.model.count_parameters(),
        "steps": run.steps,
        "losses": {
            "official": last["official"],
            "coverage": last["coverage"],
            "full_coverage": last["full_coverage"],
            "bits_per_byte": bits_per_byte(last["full_coverage"] * chars, titles.val),
            "test": math.fsum(nats) / characters(titles.test) if nats else None,
            "unigram": unigram_losses(
                run.train_ids.cpu().numpy(), run.val_ids.cpu().numpy(), tokenizer.vocab_size
            ).sum()
            / chars,
        },
        "curve": run.curve,
        "speed": run.speed,
        "environment": run.environment,
        "identity": {k: v for k, v in run.identity.items() if k not in ("config", "stories")},
        "accepted": run.accepted,
        **({"sees": list(run.known.sees)} if run.known else {}),
        **({"counted": run.model.counts.ngrams} if run.model.counts else {}),
        "predictions": [
            predict(run.model, tokenizer, context, known=run.told("val"))
            for context in (contexts(config, titles) if is_step else ())
        ],
    }


def count_titles(titles: Titles) -> dict:
    """Return how many titles of each kind there are, and the size of the validation titles."""
    return {
        "train": len(titles.train),
        "val": len(titles.val),
        "test": len(titles.test),
        "val_chars": characters(titles.val),
        "val_bytes": size_in_bytes(titles.val),
    }


def _why(tokenizer, lossy):
    reasons = Counter(tokenizer.why_lossy(title) for title in lossy)
    return "; ".join(f"{count:,} {reason}" for reason, count in reasons.items()) or None


def check_record(record: dict, name: str) -> dict:
    """Return `record` if it is as SCHEMA has it. Raises ValueError naming what is not."""
    check(record, SCHEMA, name)
    try:
        Config.from_dict(record["config"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"The record {name} is damaged: config: {error}") from error
    return record


def save(run: Run, out: str | Path, step: str, title: str | None = None) -> dict:
    """Write the weights of `run`, its details and its record; return the record.

    All are under `out/results/<preset>/`, a step's weights in 8 bits as well (`lib.export`), each
    file whole or not at all. `step` is the record's name, `title` its title for readers.
    """
    weights = io.BytesIO()
    state = {
        "weights": run.model.state_dict(),
        "tokenizer": {"kind": run.tokenizer.kind, "state": run.tokenizer.state},
        **({"known": asdict(run.known)} if run.known else {}),
        **({"counted": run.train_ids} if run.model.counts else {}),
    }
    torch.save(state, weights)
    content = weights.getvalue()
    kept = details(run) if "/" not in step else {}
    record = make_record(run, step, title or title_of(step), kept)
    record["weights"] = hashlib.sha256(content).hexdigest()
    preset = run.config.preset
    record["test_looks"] = _looks(out, record) if kept else 0
    check_record(record, f"results/{preset}/{step}.json")
    write_bytes(results(out, preset, step, ".pt"), content)
    write_details(out, preset, step, kept)
    if kept:
        write_model(out, run.model, run.tokenizer, record)
    write_json(results(out, preset, step), record)
    return record


def _looks(out, record):
    """How often this step was scored on these test titles; the same run again is no other look."""
    preset, step = record["preset"], record["step"]
    try:
        before = read_record(out, preset, step)
    except (FileNotFoundError, ValueError):  # none, or of what is no longer read
        before = None
    if before is None or not compare_alike([before, record]):
        return 1
    again = before["weights"] == record["weights"]
    return before["test_looks"] + (not again)


def read_record(out: str | Path, preset: str, step: str) -> dict:
    """Return the record of `step` on `preset` under `out`.

    Raises FileNotFoundError where there is none, ValueError where it is damaged.
    """
    record = read_json(out, preset, step, "run that step")
    return check_record(record, f"results/{preset}/{step}.json")


def read_steps(out: str | Path, preset: str) -> list[dict]:
    """Return the records of all steps on `preset` under `out`, in order.

    A step whose model sees more than titles is left out: it cannot be ranked with the others.
    Raises FileNotFoundError if there are none, ValueError if their losses cannot be compared.
    """
    records = _steps(out, preset)
    if not records:
        raise FileNotFoundError(f"There is no record in results/{preset}; run the steps first.")
    refuse_mixed(records)
    return records


def earlier(out: str | Path, record: dict) -> list[dict]:
    """Return the records of the steps before `record`'s under `out` that compare with it."""
    before = [r for r in _steps(out, record["preset"]) if r["step"] < record["step"]]
    return [r for r in before if compare_alike([r, record])]


def refuse_other_stories(records: list[dict], titles: Titles) -> None:
    """Raise ValueError unless the records' runs had the same stories and split as `titles`."""
    for r in records:
        if r["stories"] != titles.stories or r["titles"] != count_titles(titles):
            raise ValueError(
                f"{r['step']} was trained on preset {r['preset']}, stories {r['stories']}; these "
                f"are {titles.stories}. Pass the preset and stories of the runs."
            )


def load_model(out: str | Path, preset: str, step: str) -> tuple[GPT, Tokenizer]:
    """Return the trained model and tokenizer of `step` on `preset`, as `lib`'s own classes.

    Raises FileNotFoundError if there are no weights beside the record, ValueError if they are not
    those that the record was made from.
    """
    record, path = read_record(out, preset, step), results(out, preset, step, ".pt")
    shown = f"results/{preset}/{step}.pt"
    if not path.exists():
        raise FileNotFoundError(f"There are no weights {shown}; run that step first.")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != record.get("weights"):
        raise ValueError(f"{shown} are not the weights of the record beside; run that step again.")
    device = best_device()
    state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    tokenizer = Tokenizer(**state["tokenizer"])
    values = len(state["known"]["values"]) if "known" in state else None
    config = Config.from_dict(record["config"])
    model = GPT(config, tokenizer.vocab_size, values=values).to(device)
    model.load_state_dict(state["weights"])
    if config.counts:
        model.counts = Counts(state["counted"], tokenizer.vocab_size)
        model.share = config.counts
    return model.eval(), tokenizer


def _steps(out, preset):
    """The records of the steps whose models see titles alone, in order."""
    paths = sorted((Path(out) / "results" / preset).glob("[0-9]*.json"))
    records = (read_record(out, preset, path.stem) for path in paths)
    return [record for record in records if "sees" not in record]
