"""The run record: one JSON file that holds all that a page or a figure says of a run.

Checked against a schema when it is written and when it is read. It is written to a temporary file
first, so that a full disk leaves the record that was there before.
"""

import json
import os
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import torch

from .config import PRESETS, Config
from .data import Titles
from .evaluate import bits_per_byte, characters, size_in_bytes, token_losses, total, unigram_losses
from .model import GPT
from .predictions import contexts, predict
from .tokenizer import Tokenizer
from .train import Run, best_device


def exactly(optional=(), **properties) -> dict:
    """Return the JSON schema of an object with these properties: all, but the `optional` ones."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
_NUMBER, _FLAG = {"type": "number"}, {"type": "boolean"}
_MAYBE = {"type": ["number", "null"]}
_PREDICTION = exactly(
    context=_TEXT,
    top={"type": "array", "items": exactly(token=_TEXT, p=_NUMBER), "minItems": 1},
    target=_TEXT,
)
_POINT = exactly(
    step=_COUNT,
    epoch=_NUMBER,
    train=_NUMBER,
    official=_MAYBE,
    coverage=_NUMBER,
    full_coverage=_NUMBER,
)
SCHEMA = exactly(
    step=_TEXT,
    title=_TEXT,
    preset={"enum": list(PRESETS)},
    created=_TEXT,
    stories=exactly(
        ("revision", "sha256"),
        source={"enum": ["hub", "file", "synthetic"]},
        revision=_TEXT,
        sha256=_TEXT,
        rows=_COUNT,
        dropped=_COUNT,
    ),
    titles=exactly(train=_COUNT, val=_COUNT, test=_COUNT, val_chars=_COUNT, val_bytes=_COUNT),
    tokenizer=exactly(
        kind=_TEXT,
        vocab_size=_COUNT,
        lossless=_FLAG,
        trained_on=_TEXT,
        lossy=exactly(val=_COUNT, test=_COUNT, why={"type": ["string", "null"]}),
    ),
    config={"type": "object"},
    tokens=exactly(train=_COUNT, val=_COUNT),
    parameters=_COUNT,
    steps=_COUNT,
    losses=exactly(
        official=_MAYBE,
        coverage=_NUMBER,
        full_coverage=_NUMBER,
        bits_per_byte=_NUMBER,
        test=_MAYBE,
        unigram=_NUMBER,
    ),
    curve={"type": "array", "items": _POINT, "minItems": 1},
    speed=exactly(seconds=_NUMBER, tokens_per_second=_NUMBER, peak_memory_bytes=_MAYBE),
    environment=exactly(
        device=_TEXT,
        torch=_TEXT,
        python=_TEXT,
        precision=_TEXT,
        commit={"type": ["string", "null"]},
    ),
    predictions={"type": "array", "items": _PREDICTION},
)


def make_record(run: Run, step: str, title: str) -> dict:
    """Return the record of `run`: its losses on validation and test titles, and predictions.

    `step` is the record's place under `results/` ("02_adamw", "ablations/rope"), `title` what
    people read. A step is scored on the test titles; an arm of a comparison is not, so that nothing
    is chosen by them.
    """
    titles, tokenizer, config = run.titles, run.tokenizer, run.config
    last = run.curve[-1]
    chars = characters(titles.val)
    is_step = "/" not in step
    lossy = {"val": tokenizer.lossy(titles.val), "test": tokenizer.lossy(titles.test)}
    return {
        "step": step,
        "title": title,
        "preset": config.preset,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "stories": titles.stories,
        "titles": {
            "train": len(titles.train),
            "val": len(titles.val),
            "test": len(titles.test),
            "val_chars": chars,
            "val_bytes": size_in_bytes(titles.val),
        },
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
            "test": loss_on(run.model, tokenizer, titles.test) if is_step and titles.test else None,
            "unigram": unigram_losses(
                run.train_ids.cpu().numpy(), run.val_ids.cpu().numpy(), tokenizer.vocab_size
            ).sum()
            / chars,
        },
        "curve": run.curve,
        "speed": run.speed,
        "environment": {**run.environment, "commit": _commit()},
        "predictions": [
            predict(run.model, tokenizer, context)
            for context in (contexts(config, titles) if is_step else ())
        ],
    }


def loss_on(model: GPT, tokenizer: Tokenizer, titles: list[str]) -> float:
    """Return the full-coverage loss of `model` on `titles`, in nats per character."""
    ids = torch.from_numpy(tokenizer.stream(titles)).to(next(model.parameters()).device)
    losses = token_losses(model, ids, model.block_size, model.title_mask)
    return total(losses) / characters(titles)


def _why(tokenizer, lossy):
    reasons = Counter(tokenizer.why_lossy(title) for title in lossy)
    return "; ".join(f"{count} {reason}" for reason, count in reasons.items()) or None


def _commit():
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    here = Path(__file__).parent
    try:
        return subprocess.run(
            command, cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # no git, or not a clone


def check_record(record: dict, name: str) -> dict:
    """Return `record` if it is as SCHEMA has it. Raises ValueError naming what is not."""
    check(record, SCHEMA, name)
    try:
        Config.from_dict(record["config"])
    except TypeError as error:
        raise ValueError(f"The record {name} is damaged: config: {error}.") from error
    return record


def check(record: dict, schema: dict, name: str) -> dict:
    """Return `record` if it is as `schema` has it. Raises ValueError naming what is not."""
    try:
        jsonschema.validate(record, schema)
    except jsonschema.ValidationError as error:
        where = ".".join(map(str, error.absolute_path)) or "it"
        raise ValueError(f"The record {name} is damaged: {where}: {error.message}.") from error
    return record


def write_json(path: Path, data: dict) -> None:
    """Write `data` to `path` whole or not at all. Raises OSError where the disk is full."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")  # another process may write it as well
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1, ensure_ascii=False, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save(run: Run, out: str | Path, step: str, title: str) -> dict:
    """Write the record of `run` to `out/results/<step>.json`, its weights beside it; return it."""
    record = check_record(make_record(run, step, title), step)
    path = Path(out) / "results" / f"{step}.json"
    write_json(path, record)
    state = {
        "weights": run.model.state_dict(),
        "tokenizer": {"kind": run.tokenizer.kind, "state": run.tokenizer.state},
    }
    torch.save(state, path.with_suffix(".pt"))
    return record


def read_record(out: str | Path, step: str) -> dict:
    """Return the record of `step` under `out`.

    Raises FileNotFoundError where there is none, ValueError where it is damaged.
    """
    return check_record(read_json(out, step, "run that step"), f"results/{step}.json")


def read_json(out: str | Path, name: str, advice: str) -> dict:
    """Return `results/<name>.json` under `out`, unchecked.

    Raises FileNotFoundError with `advice` where there is none, ValueError where it is no JSON.
    """
    path = Path(out) / "results" / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"There is no record results/{name}.json; {advice} first.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"The record results/{name}.json is damaged: {error}.") from error


def read_steps(out: str | Path) -> list[dict]:
    """Return the records of all steps under `out`, in order.

    Raises FileNotFoundError where there is none, ValueError where their losses do not compare:
    another preset, or other stories.
    """
    records = [read_record(out, step) for step in _steps(out)]
    if not records:
        raise FileNotFoundError("There is no record under results/; run the steps first.")
    if not same_conditions(records):
        conditions = "; ".join(
            f"{r['step']}: preset {r['preset']}, stories {r['stories']}" for r in records
        )
        raise ValueError(f"These records do not compare ({conditions}). Run the steps again.")
    return records


def _steps(out):
    return sorted(path.stem for path in (Path(out) / "results").glob("[0-9]*.json"))


def earlier(out: str | Path, record: dict) -> list[dict]:
    """Return the records of the steps before `record`'s under `out`, on its stories and preset."""
    records = [read_record(out, step) for step in _steps(out) if step < record["step"]]
    return [r for r in records if same_conditions([r, record])]


def same_conditions(records: list[dict]) -> bool:
    """Return whether the losses of `records` compare: one preset, the same stories and titles."""
    return all(
        r[key] == records[0][key] for r in records for key in ("preset", "stories", "titles")
    )


def same_stories(records: list[dict], titles: Titles) -> None:
    """Raise ValueError unless the records' runs had the same stories and split as `titles`."""
    for r in records:
        if r["stories"] != titles.stories or r["titles"]["val_chars"] != characters(titles.val):
            raise ValueError(
                f"{r['step']} was trained on preset {r['preset']}, stories {r['stories']}; these "
                f"are {titles.stories}. Pass the preset and stories of the runs."
            )


def load_model(out: str | Path, step: str) -> tuple[GPT, Tokenizer]:
    """Return the trained model of `step`, ready to evaluate, and its tokenizer.

    Raises FileNotFoundError where no weights lie beside the record.
    """
    config = Config.from_dict(read_record(out, step)["config"])
    path = Path(out) / "results" / f"{step}.pt"
    if not path.exists():
        raise FileNotFoundError(f"There are no weights results/{step}.pt; run that step first.")
    device = best_device()
    state = torch.load(path, map_location=device, weights_only=True)
    tokenizer = Tokenizer(**state["tokenizer"])
    model = GPT(config, tokenizer.vocab_size).to(device)
    model.load_state_dict(state["weights"])
    return model.eval(), tokenizer
