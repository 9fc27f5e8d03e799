"""The book run as a whole: its notebooks executed in order by papermill, into a folder of its own.

- The folder becomes a complete book: executed notebooks, figures, records, and the pages beside
  them, so that the site can be rendered from it.
- A notebook is left as its author would commit it: without papermill's injected cell and metadata.
- A notebook that finished there before is not executed again while its code, its parameters, `lib`,
  the stories and what the notebooks before it left are the same. Its prose may change: the new
  prose is put around the outputs.
- `publish` copies a finished run over the book's own notebooks, figures and records.
"""

import hashlib
import json
import logging
import os
import shutil
import time
from pathlib import Path

import nbformat
import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from .config import PUBLIC_BEST, load_preset
from .data import Titles, load_titles

LIB = Path(__file__).parent
ROOT = LIB.parent
TABLES = (  # which no notebook writes
    "*.csv",
    *(f"results/{name}/**/*.json" for name in ("seeds", "ladder", "search")),
    "results/bench.json",
    f"results/{PUBLIC_BEST}.json",
)
PAGES = ("*.md", "myst.yml", "plugins", "theme", *TABLES)  # what a book is beside its notebooks
# What the environment gets where there is no GPU.
# - glibc and PyTorch give the memory of each large tensor back and fetch it again, page by page, at
#   the next step: up to a third of a run. With these a kernel keeps it, in large pages.
# - A thread of GNU's OpenMP that has nothing to do spins, for milliseconds. Where another process
#   wants its core, all wait for it, at each operation, and a run takes many times as long. These
#   turns are enough where nothing else runs, and are soon over where something does.
ON_CPU = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),  # bytes
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "THP_MEM_ALLOC_ENABLE": "1",
    "GOMP_SPINCOUNT": "3000",
}
FINISHED = ".finished"  # a file for each notebook that finished: of what, and what it left


class BookError(RuntimeError):
    """A book that could not be executed; the message says which cell and why."""


def prepare_cpu() -> None:
    """Put ON_CPU in the environment where there is no GPU: for kernels, and for PyTorch.

    For PyTorch in this process only if it is not imported yet, and then not how memory is kept.
    """
    if shutil.which("nvidia-smi") is None:
        for variable, value in ON_CPU.items():
            os.environ.setdefault(variable, value)


def notebooks(root: Path = ROOT) -> list[str]:
    """Return the names of the book's notebooks, in the order of `myst.yml`'s table of contents."""

    def files(entries):
        for entry in entries:
            yield entry.get("file", "")
            yield from files(entry.get("children", []))

    contents = yaml.safe_load((root / "myst.yml").read_text(encoding="utf-8"))["project"]["toc"]
    return [Path(file).stem for file in files(contents) if file.endswith(".ipynb")]


def resolve_stories(preset_name: str, stories: str | None) -> tuple[str, Titles]:
    """Return where the stories come from (as asked, else HN_STORIES, else the preset's own), read.

    The preset's own are made headlines for `smoke` and the hub for the others. A path is made
    absolute. Raises what `load_titles` raises where they cannot be used.
    """
    own = "synthetic" if preset_name == "smoke" else "hub"
    if not stories:
        stories = own if preset_name == "smoke" else os.environ.get("HN_STORIES") or own
    if stories not in ("hub", "synthetic"):
        stories = str(Path(stories).expanduser().resolve())
    return stories, load_titles(load_preset(preset_name), stories)


def run(
    preset_name: str,
    stories: str | None,
    out: Path,
    step: str | None = None,
    fresh: bool = False,
) -> None:
    """Execute the book's notebooks, or the one called `step`, into `out`: a line for each.

    What finished there before is left as it is, and a run that was stopped continues; `fresh`
    removes its checkpoints and forgets what was finished.

    Raises ValueError for an unknown preset or step and for stories that cannot be used, BookError
    where a cell fails; the failed notebook is kept, with its output.
    """
    names = notebooks()
    if step is not None and step not in names:
        raise ValueError(f"There is no step {step!r}; choose one of {', '.join(names)}.")
    stories, titles = resolve_stories(preset_name, stories)
    out = out.resolve()
    for folder in (out / FINISHED, out / "runs"):
        if fresh and folder.exists():
            shutil.rmtree(folder)
    _copy_pages(out)
    prepare_cpu()
    parameters = {"preset": preset_name, "stories": stories, "out": str(out)}
    for name in names if step is None else [step]:
        before = [_read(_finished(out, earlier)) for earlier in names[: names.index(name)]]
        _update(name, out, parameters, [titles.stories, _inputs(), before])


def publish(
    preset_name: str, stories: str | None, step: str | None = None, fresh: bool = False
) -> None:
    """Execute the notebooks as `run` does, then put them, figures and records in the book itself.

    Nothing of the book is touched before all have succeeded.
    """
    out = ROOT / "_build" / f"publish-{preset_name}"
    run(preset_name, stories, out, step, fresh)
    for name in notebooks() if step is None else [step]:
        shutil.copy(out / "notebooks" / f"{name}.ipynb", ROOT / "notebooks")
        for file in _read(_finished(out, name))["files"]:
            if file.endswith((".svg", ".csv", ".json")):  # weights are not published
                target = ROOT / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(out / file, target)


def _copy_pages(out):
    for source in (path for pattern in PAGES for path in ROOT.glob(pattern)):
        target = out / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)


def _update(name, out, parameters, given):
    """Execute a notebook, or find it unchanged; leave its source as it is now with the outputs."""
    target, finished = out / "notebooks" / f"{name}.ipynb", _finished(out, name)
    target.parent.mkdir(parents=True, exist_ok=True)  # papermill writes into it
    print(f"{name:<16}", end=" ", flush=True)
    start = time.perf_counter()
    source = ROOT / "notebooks" / target.name
    notebook = nbformat.read(source, as_version=4)
    fingerprint = _digest([[c.source for c in _code(notebook)], parameters, given])
    if _is_finished(finished, fingerprint, target, out):
        _take_outputs(notebook, nbformat.read(target, as_version=4))
        _write(target, nbformat.writes(notebook))
        print("unchanged", flush=True)
        return
    finished.unlink(missing_ok=True)
    there = _files(out)
    _take_outputs(notebook, _execute(name, source, target, parameters))
    _write(target, nbformat.writes(notebook))
    left = [path for path, when in _files(out).items() if there.get(path) != when]
    files = {path.relative_to(out).as_posix(): _digest(path) for path in left}
    outputs = _digest([c.outputs for c in _code(notebook)])
    saved = {"fingerprint": fingerprint, "outputs": outputs, "files": files}
    _write(finished, json.dumps(saved, indent=1))
    print(f"{time.perf_counter() - start:7.1f} s", flush=True)


def _execute(name, source, target, parameters):
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what goes wrong is said below
    try:
        return papermill.execute_notebook(
            str(source),
            str(target),
            parameters,
            cwd=str(ROOT),
            progress_bar=False,
            extra_arguments=["--log-level=ERROR"],  # a kernel warns that its TCP is in plain text
            coalesce_streams=True,  # a progress bar is one line, as on a terminal
        )
    except PapermillExecutionError as error:
        print("failed", flush=True)
        raise BookError(
            f"Cell {error.exec_count} of {name} failed: {error.ename}: {error.evalue}\n"
            f"The notebook with its output is {os.path.relpath(target)}."
        ) from error
    except DeadKernelError as error:
        print("failed", flush=True)
        raise BookError(
            f"The process that ran {name} was killed, most likely for want of memory. Take a "
            "smaller preset, or free some memory: the same command continues where it stopped."
        ) from error


def _inputs():
    """Return the digests of what every notebook may depend on beside the other notebooks."""
    paths = [*LIB.glob("*.py"), *(path for pattern in TABLES for path in ROOT.glob(pattern))]
    return sorted([path.name, _digest(path)] for path in paths)


def _finished(out, name):
    return out / FINISHED / f"{name}.json"


def _is_finished(finished, fingerprint, target, out):
    """Return whether the notebook finished with this fingerprint, and all it left is there."""
    saved = _read(finished)
    try:
        return (
            saved is not None
            and saved["fingerprint"] == fingerprint
            and saved["outputs"]
            == _digest([c.outputs for c in _code(nbformat.read(target, as_version=4))])
            and all(_digest(out / file) == digest for file, digest in saved["files"].items())
        )
    except (OSError, ValueError):  # not there, or damaged
        return False


def _files(out):
    """Return when each figure and record under `out` was written."""
    paths = (path for folder in ("figures", "results") for path in (out / folder).rglob("*"))
    return {path: path.stat().st_mtime_ns for path in sorted(paths) if path.is_file()}


def _digest(what):
    if isinstance(what, Path):
        with what.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _read(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there, or damaged
        return None


def _code(notebook):
    """Return the code cells of a notebook, without the one that papermill puts in."""
    tagged = ((c, c.metadata.get("tags", [])) for c in notebook.cells if c.cell_type == "code")
    return [cell for cell, tags in tagged if "injected-parameters" not in tags]


def _take_outputs(notebook, executed):
    """Give the cells of `notebook` the outputs that the same cells have in `executed`."""
    pairs = zip(_code(notebook), _code(executed), strict=True)
    for count, (cell, done) in enumerate(pairs, 1):
        cell.outputs, cell.execution_count = done.outputs, count
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count


def _write(path, text):
    """Write `text` to `path` whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, path)
