"""The book run as a whole: papermill executes its notebooks in order, into a folder of its own.

- The folder becomes a complete book: executed notebooks, figures, records and the other pages, so
  that the site can be rendered from it. It mirrors the sources: when a notebook is removed from the
  book, so is what it left here.
- A notebook is saved as its author would commit it: without papermill's injected cell and metadata.
- A notebook that finished there before is not executed again while its code and parameters, the
  book's packages, the stories and what the notebooks before it left are the same. New prose is put
  around its old outputs.
"""

import logging
import os
import re
import shutil
import time
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from lib.config import load_preset, load_step
from lib.data import Titles, find_stories, load_titles
from lib.files import BOOK, held, write_json, write_text
from lib.identity import code_of, digest
from lib.steps import CONTEXT, STEPS
from lib.tokenizer import train_tokenizer

from .contents import REPORT, notebooks, refuse_doubles
from .finished import Mark, code_cells, digest_of, outputs_of, take_outputs, written
from .mirror import OTHERS, TABLES, mirror
from .progress import progress

PACKAGES = ("lib", "studies", "drawing")  # what a notebook may import of the book
# - glibc and PyTorch return the memory of each large tensor, and fetch it again page by page at the
#   next step, which takes up to a third of a run. With these settings a kernel keeps the memory, in
#   large pages.
# - An idle thread of GNU's OpenMP spins for milliseconds. If another process wants its core, all
#   threads wait, and a run takes many times as long. So few spins are soon over, and still enough
#   if nothing else runs.
ON_CPU = {  # environment variables, set where there is no GPU
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),  # bytes
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "THP_MEM_ALLOC_ENABLE": "1",
    "GOMP_SPINCOUNT": "3000",
}


class BookError(RuntimeError):
    """A book that could not be executed; the message says which cell and why."""


def prepare_cpu() -> None:
    """Put the variables ON_CPU in the environment if there is no GPU, for kernels and PyTorch.

    PyTorch in this process heeds them only if it is not imported yet, and even then not those for
    keeping memory.
    """
    if shutil.which("nvidia-smi") is None:
        for variable, value in ON_CPU.items():
            os.environ.setdefault(variable, value)


def resolve_stories(preset_name: str, stories: str | None) -> tuple[str, Titles]:
    """Return where the stories come from, and the titles read from there.

    That is `stories` if given, else HN_STORIES (not for `smoke`), else the preset's own: synthetic
    headlines for `smoke`, the hub for the others. A path is made absolute. Raises what
    `load_titles` raises if they cannot be used.
    """
    if not stories:
        stories = "synthetic" if preset_name == "smoke" else os.environ.get("HN_STORIES") or "hub"
    if stories not in ("hub", "synthetic"):
        stories = str(find_stories(stories))
    return stories, load_titles(load_preset(preset_name), stories)


def run(
    preset_name: str,
    stories: str | None,
    out: Path,
    step: str | None = None,
    resume: str = "same",
    without: tuple[str, ...] = (),
) -> None:
    """Execute the book's notebooks except those in `without`, or only `step`, into `out`.

    Prints a line for each.

    What finished there before is left as it is, and a run that was stopped continues. A notebook
    that needs more than titles is left out if the stories have no more, unless it is `step`. With
    `resume` "fresh" the notebooks asked for are executed and trained again from the start; with
    "accept" checkpoints of other code or PyTorch are used too, and their records say so.

    Raises ValueError for an unknown preset or step, for two notebooks with one step or label, and
    for stories that cannot be used; BookError if a cell fails: that notebook is kept as it is.
    """
    names = notebooks(BOOK)
    if step is not None and step not in names:
        raise ValueError(f"There is no step {step!r}; choose one of {', '.join(names)}.")
    refuse_doubles(BOOK)
    if out.resolve() == BOOK.resolve():
        raise ValueError(f"{out} is the book itself: run into another folder, or publish.")
    stories, titles = resolve_stories(preset_name, stories)
    out = out.resolve()
    wanted = [name for name in names if name not in without] if step is None else [step]
    prepare_cpu()
    if preset_name != "smoke" and step is None:
        for tokenized in STEPS:  # what would fail after hours fails now
            train_tokenizer(load_step(tokenized, preset_name), titles)
    if preset_name != "smoke":
        _say_where()
    with held(out):
        mirror(out, names)
        write_json(out / REPORT, {"preset": preset_name})
        parameters = {"preset": preset_name, "stories": stories, "out": str(out)}
        given = [titles.stories, _inputs(preset_name, out)]
        for name in wanted:
            needs_more = name == CONTEXT["notebook"] and step is None
            if needs_more and (why := _lacking(preset_name, stories)):
                _leave_out(name, out, why)
                continue
            before = [_left(earlier, out, preset_name) for earlier in names[: names.index(name)]]
            _update(name, out, parameters, resume, [*given, before])


def _say_where():
    """Print the device: that it is hours of a CPU should not come as a surprise."""
    from lib.device import best_device, environment  # PyTorch, which reads what `prepare_cpu` set

    device = best_device()
    print(f"Running on {environment(device, bf16=False)['device']}.", flush=True)
    if device.type == "cpu" and shutil.which("nvidia-smi"):
        print("PyTorch cannot use the GPU here: its driver may be too old for it.", flush=True)


def _left(name, out, preset):
    """What a notebook left in `out`, with the digests of the files that lie there now."""
    saved = Mark(out, name).read() or {"files": {}}
    records = out / "results" / preset
    there = [
        records / f"{name}.json",
        *records.glob(f"{name}/*"),
        *(out / f for f in saved["files"]),
    ]
    there += records.glob(f"ablations/{name}-*.json")
    there = {p for p in there if p.suffix not in (".pt", ".bin") and p.is_file()}  # none is read
    return saved | {"files": {p.relative_to(out).as_posix(): digest_of(p) for p in sorted(there)}}


def _written(out):
    """When each figure and record in `out` was written that a notebook may have left there."""
    when = {path.relative_to(out): at for path, at in written(out).items()}
    return {p: at for p, at in when.items() if not any(p.match(other) for other in OTHERS)}


def _update(name, out, parameters, resume, given):
    """Execute a notebook, or find it unchanged; leave its source as it is now with the outputs."""
    target, mark = out / "notebooks" / f"{name}.ipynb", Mark(out, name)
    target.parent.mkdir(parents=True, exist_ok=True)  # papermill writes into it
    print(f"{name:<16}", end=" ", flush=True)
    start = time.perf_counter()
    source = BOOK / "notebooks" / target.name
    notebook = nbformat.read(source, as_version=4)
    code = [c.source for c in code_cells(notebook)]
    fingerprint = digest([code, parameters, given])
    if resume == "same" and mark.holds(fingerprint, target):
        take_outputs(notebook, nbformat.read(target, as_version=4))
        write_text(target, nbformat.writes(notebook) + "\n")
        print("unchanged", flush=True)
        return
    stale = mark.path.with_suffix(".stale")  # until it is known what it no longer leaves
    if mark.path.exists():
        os.replace(mark.path, stale)
    there = _written(out)
    try:
        with progress(name, out):
            executed = _execute(name, source, target, parameters | {"resume": resume})
    except KeyboardInterrupt:
        _write_unrun(notebook, target)  # half of its outputs are no notebook of the book
        raise
    take_outputs(notebook, executed)
    write_text(target, nbformat.writes(notebook) + "\n")
    left = [path for path, when in _written(out).items() if there.get(path) != when]
    files = {path.as_posix(): digest_of(out / path) for path in left}
    _refuse_anothers(out, name, files)
    if stale.exists():
        os.replace(stale, mark.path)
        mark.remove_files(but=files)
    saved = {"fingerprint": fingerprint, "code": digest(code), "outputs": outputs_of(notebook)}
    write_json(mark.path, saved | {"files": files})
    print(f"{time.perf_counter() - start:7.1f} s", flush=True)


def _lacking(preset_name, stories):
    """Say which columns about a title's origin the stories lack; None if none is missing."""
    try:
        load_titles(load_preset(preset_name), stories, origins=True)
    except ValueError as error:
        return str(error)


def _leave_out(name, out, why):
    """Put the notebook in `out` as one that was not run, and remove what it had left there."""
    mark = Mark(out, name)
    if (stale := mark.path.with_suffix(".stale")).exists():  # a run that was stopped
        os.replace(stale, mark.path)
    mark.remove_files()
    mark.path.unlink(missing_ok=True)
    notebook = nbformat.read(BOOK / "notebooks" / f"{name}.ipynb", as_version=4)
    _write_unrun(notebook, out / "notebooks" / f"{name}.ipynb")
    print(f"{name:<16} left out: {why}", flush=True)


def _write_unrun(notebook, target):
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    write_text(target, nbformat.writes(notebook) + "\n")


def _execute(name, source, target, parameters):
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what goes wrong is said below
    try:
        return papermill.execute_notebook(
            str(source),
            str(target),
            parameters,
            cwd=str(BOOK),
            kernel_name="python3",  # this Python's, whatever the notebook was saved under
            language="python",
            progress_bar=False,
            # A kernel warns that its TCP is in plain text, and calls what ends it an error.
            extra_arguments=["--log-level=CRITICAL"],
            coalesce_streams=True,  # a progress bar is one line, as on a terminal
            # Seconds: where other work shares the cores, 60 and 4 are not always enough.
            start_timeout=600,
            iopub_timeout=120,
        )
    except PapermillExecutionError as error:
        print("failed", flush=True)
        run = re.search(r"\bruns/(\w+) is of another run", error.evalue)
        first = f"That run is {run[1]}'s: begin with it.\n" if run and run[1] != name else ""
        raise BookError(
            f"Cell {error.exec_count} of {name} failed: {error.ename}: {error.evalue}\n"
            f"{first}The notebook with its output is {os.path.relpath(target)}."
        ) from error
    except DeadKernelError as error:
        print("failed", flush=True)
        raise BookError(
            f"The process that ran {name} was killed, most likely for want of memory. Take a "
            "smaller preset, or free some memory: the same command continues where it stopped."
        ) from error


def _refuse_anothers(out, name, files):
    """Raise BookError if the notebook `name` wrote a file that another notebook leaves.

    If the code of the other one has changed since, it may leave other files now; a clash then shows
    when it is executed.
    """
    for mark in Mark.all(out):
        taken = sorted(mark.files().keys() & files.keys())
        if not taken or mark.name == name:
            continue
        source = BOOK / "notebooks" / f"{mark.name}.ipynb"
        code = digest([c.source for c in code_cells(nbformat.read(source, as_version=4))])
        if mark.read().get("code") == code:
            mark.path.unlink()  # what it left is no longer there
            print("failed", flush=True)
            raise BookError(
                f"{name} wrote {taken[0]}, which is what {mark.name} leaves: give what {name} "
                "writes names of its own, and run again."
            )


def _inputs(preset, out):
    """Return the digests of what every notebook may depend on beside the other notebooks."""
    code = [path for package in PACKAGES for path in (BOOK / package).glob("*.py")]
    tables = [path for root in (BOOK, out) for pattern in TABLES for path in root.glob(pattern)]
    tables += [p for p in BOOK.glob("results/*/[0-9]*.json") if p.parent.name != preset]  # steps
    return [
        sorted([p.relative_to(BOOK).as_posix(), code_of(p.read_text("utf-8"))] for p in code),
        sorted(
            [p.relative_to(out if p.is_relative_to(out) else BOOK).as_posix(), digest_of(p)]
            for p in tables
        ),
    ]
