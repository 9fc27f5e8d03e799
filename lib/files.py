"""Files that a run leaves: written whole or not at all, read, and checked against a schema.

- A file is written beside its final path under a temporary name, flushed, and renamed. A full disk
  or a kill thus leaves the previous file, and nothing half written under its name.
- Only one process at a time writes into a folder that is `held`.
- JSON is checked when written and when read; an error names the file and the place in it.
"""

import errno
import json
import os
import platform
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock
import jsonschema

BOOK = Path(__file__).parent.parent  # the folder of the book

TEXT, COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
NUMBER, FLAG = {"type": "number"}, {"type": "boolean"}
MAYBE = {"type": ["number", "null"]}
NUMBERS = {"type": "array", "items": NUMBER, "minItems": 1}


def exactly(optional=(), **properties) -> dict:
    """Return the JSON schema of an object with these properties.

    All must be there but the `optional` ones, and no others may.
    """
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def as_json(value):
    """Return `value` as JSON gives it back: its tuples as lists, however deep."""
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    return value


def from_json(settings: dict) -> dict:
    """Return the settings that `as_json` made these of: their lists as tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}


def check(record: dict, schema: dict, name: str) -> dict:
    """Return `record` if it is as `schema` has it, else raise ValueError saying where.

    `name` is what the message calls it.
    """
    try:
        jsonschema.validate(record, schema)
    except jsonschema.ValidationError as error:
        where = ".".join(map(str, error.absolute_path)) or "it"
        message = f"The record {name} is damaged: {where}: {error.message}."
        raise ValueError(message) from error
    return record


def write_bytes(path: str | Path, *parts: bytes) -> None:
    """Write `parts`, one after another, to `path`: whole or not at all.

    Folders are made where they are missing. Raises OSError, naming `path`, where the
    file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Another process may write the same file, so its number is part of the name.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        why = error.strerror or error
        if error.errno == errno.ENOSPC:
            why = "no room is left on this disk; make some and run the same command again"
        raise OSError(error.errno, f"{path} could not be written: {why}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` in UTF-8 to `path`: whole or not at all, as `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, data) -> None:
    """Write `data` to `path`: whole or not at all, as `write_bytes`.

    Raises ValueError for what JSON cannot hold, such as a number that is none.
    """
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def held(folder: str | Path):
    """Hold `folder`, which is made, for this process; wait where another holds it, saying which."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = filelock.FileLock(folder / ".lock"), folder / ".held-by"
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        who = "another process"
        with suppress(FileNotFoundError):
            who = owner.read_text("utf-8")
        print(f"{folder} is held by {who}; waiting for it.", flush=True)
        lock.acquire()
    try:
        write_text(owner, f"process {os.getpid()} on {platform.node()}")
        yield folder
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def results(out: str | Path, preset: str, name: str, suffix: str = ".json") -> Path:
    """Return where the record `name` of `preset` lies under `out`."""
    return Path(out) / "results" / preset / f"{name}{suffix}"


def read_json(out: str | Path, preset: str, name: str, advice: str, schema: dict | None = None):
    """Return the record `name` of `preset` under `out`, checked against `schema` if given.

    Raises FileNotFoundError with `advice` where there is none, ValueError where it is
    no JSON or not as `schema` has it.
    """
    path, shown = results(out, preset, name), f"results/{preset}/{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"There is no record {shown}; {advice} first.")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"The record {shown} is damaged: {error}.") from error
    return record if schema is None else check(record, schema, shown)


def last_line(path: Path) -> dict | None:
    """Return what the last line of a file of JSON lines holds; None where there is none yet."""
    try:
        return json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    except (OSError, ValueError, IndexError):  # not there, or being written
        return None
