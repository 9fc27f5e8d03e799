"""The book run as a whole: its notebooks executed in order by papermill, into a folder of its own.

- The folder becomes a complete book: executed notebooks, figures, records, and the pages beside
  them, so that the site can be rendered from it.
- A notebook is left as its author would commit it: without papermill's injected cell and metadata.
- `publish` copies a finished run over the book's own notebooks, figures and records.
"""

import os
import shutil
import time
from pathlib import Path

import nbformat
import papermill
import yaml
from papermill.exceptions import PapermillExecutionError

from .config import load_preset
from .data import load_titles

ROOT = Path(__file__).parent.parent
PAGES = ("*.md", "*.csv", "myst.yml", "plugins", "theme")  # what a book is beside its notebooks


class BookError(RuntimeError):
    """A book that could not be executed; the message says which cell and why."""


def notebooks(root: Path = ROOT) -> list[str]:
    """Return the names of the book's notebooks, in the order of `myst.yml`'s table of contents."""

    def files(entries):
        for entry in entries:
            yield entry.get("file", "")
            yield from files(entry.get("children", []))

    contents = yaml.safe_load((root / "myst.yml").read_text(encoding="utf-8"))["project"]["toc"]
    return [Path(file).stem for file in files(contents) if file.endswith(".ipynb")]


def resolve_stories(preset_name: str, stories: str | None) -> str:
    """Return where the stories come from: as asked, else HN_STORIES, else the preset's own.

    The preset's own are made headlines for `smoke` and the hub for the others. A path is made
    absolute. Raises what `load_titles` raises where they cannot be used.
    """
    own = "synthetic" if preset_name == "smoke" else "hub"
    if not stories:
        stories = own if preset_name == "smoke" else os.environ.get("HN_STORIES") or own
    if stories not in ("hub", "synthetic"):
        stories = str(Path(stories).expanduser().resolve())
    load_titles(load_preset(preset_name), stories)
    return stories


def run(preset_name: str, stories: str | None, out: Path, step: str | None = None) -> None:
    """Execute the book's notebooks, or the one called `step`, into `out`.

    Raises ValueError for an unknown preset or step and for stories that cannot be used, BookError
    where a cell fails; the failed notebook is kept, with its output.
    """
    names = notebooks()
    if step is not None and step not in names:
        raise ValueError(f"There is no step {step!r}; choose one of {', '.join(names)}.")
    stories = resolve_stories(preset_name, stories)
    out = out.resolve()
    _copy_pages(out)
    for name in names if step is None else [step]:
        _execute(name, out, {"preset": preset_name, "stories": stories, "out": str(out)})


def publish(preset_name: str, stories: str | None, step: str | None = None) -> None:
    """Execute the notebooks as `run` does, then put them, figures and records in the book itself.

    Nothing of the book is touched before all have succeeded.
    """
    out = ROOT / "_build" / f"publish-{preset_name}"
    run(preset_name, stories, out, step)
    for name in notebooks() if step is None else [step]:
        shutil.copy(out / "notebooks" / f"{name}.ipynb", ROOT / "notebooks")
    for pattern in ("figures/*.svg", "figures/*.csv", "results/**/*.json"):
        for file in out.glob(pattern):
            target = ROOT / file.relative_to(out)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)


def _copy_pages(out):
    for pattern in PAGES:
        for source in ROOT.glob(pattern):
            target = out / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy(source, target)


def _execute(name, out, parameters):
    source, target = ROOT / "notebooks" / f"{name}.ipynb", out / "notebooks" / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"{name:<16}", end=" ", flush=True)
    start = time.perf_counter()
    try:
        papermill.execute_notebook(
            str(source), str(target), parameters, cwd=str(ROOT), progress_bar=False
        )
    except PapermillExecutionError as error:
        print("failed", flush=True)
        raise BookError(
            f"Cell {error.exec_count} of {name} failed: {error.ename}: {error.evalue}\n"
            f"The notebook with its output is {os.path.relpath(target)}."
        ) from error
    _clean(target)
    print(f"{time.perf_counter() - start:7.1f} s", flush=True)


def _clean(path):
    """Take out of an executed notebook what its author would not commit."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    notebook.cells = [c for c in notebook.cells if "injected-parameters" not in _tags(c)]
    count = 0
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not _tags(cell):
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = count
                if output.output_type == "stream":
                    output.text = _overwritten(output.text)
    nbformat.write(notebook, path)


def _tags(cell):
    return cell.metadata.get("tags", [])


def _overwritten(text):
    """Return what is left of each line when a carriage return starts it over, as on a terminal."""
    lines = (line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
    return "\n".join(lines)
