"""Marks of finished notebooks: what each was executed from, and which files it left.

Each notebook that finished has a mark, `.finished/<name>.json` in the folder of the book run. It
holds the notebook's fingerprint and the digests of its code, of its outputs, and of each figure and
record that it left.
"""

import json
from pathlib import Path

import nbformat

from lib.identity import digest

WIDGET = "application/vnd.jupyter.widget-view+json"


class Mark:
    """The mark of the notebook `name` in `out`, the folder of a book run."""

    FOLDER = ".finished"

    def __init__(self, out: Path, name: str):
        self.out, self.name = out, name
        self.path = out / self.FOLDER / f"{name}.json"

    @classmethod
    def all(cls, out: Path) -> "list[Mark]":
        """Return the marks that there are in `out`."""
        return [cls(out, path.stem) for path in sorted((out / cls.FOLDER).glob("*.json"))]

    def read(self) -> dict | None:
        """Return what the mark holds, or None where there is none or it is damaged."""
        return read_or_none(self.path)

    def files(self) -> dict[str, str]:
        """Return the digest of each file that the notebook left, by its path below `out`."""
        return (self.read() or {"files": {}})["files"]

    def holds(self, fingerprint: str, executed: Path) -> bool:
        """Return whether the notebook finished with `fingerprint`, and all that it left is there.

        `executed` is the notebook with its outputs.
        """
        saved = self.read()
        try:
            return (
                saved is not None
                and saved["fingerprint"] == fingerprint
                and saved["outputs"] == outputs_of(nbformat.read(executed, as_version=4))
                and all(digest_of(self.out / file) == d for file, d in saved["files"].items())
            )
        except (OSError, ValueError):  # not there, or damaged
            return False

    def remove_files(self, but=()) -> None:
        """Remove what the notebook left, but the files `but` and what another has left."""
        others = (mark.files() for mark in self.all(self.out) if mark.name != self.name)
        for file in self.files().keys() - set(but) - {f for those in others for f in those}:
            (self.out / file).unlink(missing_ok=True)

    @classmethod
    def remove_ghosts(cls, out: Path, book: Path, preset: str) -> None:
        """Remove from `out` the records on `preset` that are not in `book` nor a notebook's."""
        left = {file for mark in cls.all(out) for file in mark.files()}
        for path in (out / "results" / preset).rglob("*"):
            name = path.relative_to(out)
            if path.is_file() and name.as_posix() not in left and not (book / name).exists():
                path.unlink()


def read_or_none(path: Path) -> dict | None:
    """Return the JSON in `path`, or None where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there, or damaged
        return None


def written(out: Path) -> dict[Path, int]:
    """Return when each figure and record under `out` was written."""
    paths = (path for folder in ("figures", "results") for path in (out / folder).rglob("*"))
    return {path: path.stat().st_mtime_ns for path in sorted(paths) if path.is_file()}


def digest_of(path: Path) -> str:
    """Return the digest of a file's bytes."""
    return digest(path.read_bytes())


def code_cells(notebook) -> list:
    """Return the code cells of a notebook, without the one that papermill puts in."""
    tagged = ((c, c.metadata.get("tags", [])) for c in notebook.cells if c.cell_type == "code")
    return [cell for cell, tags in tagged if "injected-parameters" not in tags]


def outputs_of(notebook) -> str:
    """Return the digest of a notebook's outputs."""
    return digest([cell.outputs for cell in code_cells(notebook)])


def take_outputs(notebook, executed) -> None:
    """Give the cells of `notebook` the outputs that the same cells have in `executed`."""
    pairs = zip(code_cells(notebook), code_cells(executed), strict=True)
    for count, (cell, done) in enumerate(pairs, 1):
        cell.outputs, cell.execution_count = done.outputs, count
        for output in cell.outputs:
            output.get("data", {}).pop(WIDGET, None)  # which is gone with its kernel
            if "execution_count" in output:
                output.execution_count = count
