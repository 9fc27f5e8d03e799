"""Putting a finished run over the book's own notebooks, figures and records."""

import re
import shutil
from pathlib import Path

from lib.files import BOOK, results, write_json

from .contents import REPORT, labels, notebooks, pages, presets
from .finished import Mark
from .mirror import copy_file
from .repository import uncommitted
from .run import PACKAGES, BookError, run


def publish(
    preset_name: str,
    stories: str | None,
    step: str | None = None,
    resume: str = "same",
    without: tuple[str, ...] = (),
) -> None:
    """Execute the notebooks as `run` does, then copy them, figures and records into the book.

    Nothing in the book is touched until all have succeeded. Then the files of notebooks that no
    longer exist are removed, and the files beside a step's record that the step no longer leaves. A
    single step, on another preset than the one its notebook is published on, updates its records
    only. The notebooks and pages in `without` stay as they are and keep the preset that they show;
    `results/report.json` says so.

    Raises BookError if the code is not as it was committed, since a record names its commit;
    ValueError for a name in `without` that is not a page.
    """
    known = [Path(page).stem for page in pages(BOOK)]
    if unknown := set(without) - set(known):
        raise ValueError(f"There is no page {min(unknown)!r}; choose of {', '.join(known)}.")
    if changed := uncommitted(BOOK, [*PACKAGES, "book", "notebooks", "requirements.txt"]):
        raise BookError(
            "What is published is of one commit, and these are not committed: "
            f"{', '.join(changed)}. Commit them first."
        )
    out = BOOK / "_build" / f"publish-{preset_name}"
    for published in (BOOK / "results" / preset_name).rglob("*"):  # what a later step reads
        target = out / published.relative_to(BOOK)
        there = target.stat().st_mtime if target.exists() else 0
        if published.is_file() and there < published.stat().st_mtime:
            copy_file(published, target)
    Mark.remove_ghosts(out, BOOK, preset_name)
    _remove_orphans(out)
    run(preset_name, stories, out, step, resume, without)
    _remove_orphans(BOOK)
    shown = presets(BOOK, preset_name)
    for name in [n for n in notebooks(BOOK) if n not in without] if step is None else [step]:
        if Mark(out, name).read() is None:  # left out: what the book has of it is of other stories
            results(BOOK, preset_name, name).unlink(missing_ok=True)
            shutil.rmtree(results(BOOK, preset_name, name, ""), ignore_errors=True)
            for arm in (BOOK / "results" / preset_name / "ablations").glob(f"{name}-*.json"):
                arm.unlink()
        whole = step is None or shown(name) == preset_name
        if whole:
            shutil.copy(out / "notebooks" / f"{name}.ipynb", BOOK / "notebooks")
        _remove_others(name, out, preset_name)
        for file in Mark(out, name).files():
            wanted = file.startswith("results/") or (whole and file.startswith("figures/"))
            if wanted and not file.endswith(".pt"):  # weights are not
                copy_file(out / file, BOOK / file)
    if step is None:
        drawn = {Path(file).stem for mark in Mark.all(out) for file in mark.files()}
        for name in set(without) & set(notebooks(BOOK)):
            drawn |= labels(BOOK / "notebooks" / f"{name}.ipynb")
        for figure in (BOOK / "figures").glob("*.*"):
            if figure.stem not in drawn:
                figure.unlink()
        stay = {name: shown(name) for name in without}
        but = {name: preset for name, preset in stay.items() if preset != preset_name}
        write_json(BOOK / REPORT, {"preset": preset_name} | ({"but": but} if but else {}))


def _remove_others(name, out, preset):
    """Remove from the book what stands beside a notebook's record and is no longer left in `out`.

    Its model for *Try it* stays where it is there: `export` may have written it.
    """
    left, there = Mark(out, name).files(), BOOK / "results" / preset
    for path in [*(there / name).rglob("*"), *there.glob(f"ablations/{name}-*.json")]:
        file = path.relative_to(BOOK)
        exported = path.suffix == ".bin" and (out / file).exists()
        if path.is_file() and file.as_posix() not in left and not exported:
            path.unlink()


def _remove_orphans(root):
    """Remove the records under `root`, and what stands beside them, that no notebook leaves."""
    own = tuple(path.stem + end for path in (BOOK / "notebooks").glob("*.ipynb") for end in "./-")
    for path in (root / "results").rglob("*"):
        name = path.relative_to(root).as_posix()
        step = re.match(r"results/\w+/(?:ablations/)?(\d.*)", name)
        if path.is_file() and step and not step[1].startswith(own):
            path.unlink()
