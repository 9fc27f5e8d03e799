"""The table of contents: pages, the preset that each shows, and the names that notebooks use."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import yaml

from lib.files import BOOK

from .finished import read_or_none

REPORT = "results/report.json"  # which preset the pages show, and which pages another
LABEL = re.compile(r"#\| label: *(\S+)")


def pages(root: Path = BOOK) -> list[str]:
    """Return the files of the table of contents, in its order, as paths below `root`."""

    def files(entries):
        for entry in entries:
            if "file" in entry:
                yield entry["file"]
            yield from files(entry.get("children", []))

    text = (Path(root) / "myst.yml").read_text(encoding="utf-8")
    return list(files(yaml.safe_load(text)["project"].get("toc", [])))


def notebooks(root: Path = BOOK) -> list[str]:
    """Return the names of the notebooks of the table of contents, in its order."""
    return [Path(page).stem for page in pages(root) if page.endswith(".ipynb")]


def presets(root: Path = BOOK, default: str | None = None) -> Callable[[str], str | None]:
    """Return a function from a page's file or name to the preset that it shows.

    `default` is the preset where the book in `root` has no report yet.
    """
    report = read_or_none(Path(root) / REPORT) or {"preset": default}
    return lambda page: report.get("but", {}).get(Path(page).stem, report["preset"])


def refuse_doubles(root: Path = BOOK) -> None:
    """Raise ValueError if a notebook uses a step or a label that is not its own.

    A step has the name of its notebook's file. A label belongs to the first notebook that has it,
    in the order of the table of contents.
    """
    owners = {}
    for name in notebooks(root):
        file = f"notebooks/{name}.ipynb"
        for cell in nbformat.read(Path(root) / file, as_version=4).cells:
            if cell.cell_type != "code":
                continue
            step = _step(cell.source)
            if step not in (None, name):
                raise ValueError(
                    f"{file} says that its step is {step!r}, and would write over another's "
                    f"results: call the step {name!r}, as the notebook."
                )
            if label := LABEL.match(cell.source):
                first = owners.setdefault(label[1], file)
                if first != file:
                    raise ValueError(
                        f"{file} has a cell labelled {label[1]!r}, and so has {first}: a label "
                        f"names one cell of the book. Give the cell in {file} another."
                    )
                for figure in figures(cell.source):
                    if figure != label[1]:
                        raise ValueError(
                            f"{file} draws the figure {figure!r} in a cell labelled {label[1]!r}: "
                            "a figure is called as its cell."
                        )


def labels(notebook: Path) -> set[str]:
    """Return the labels of the cells of the notebook in a file."""
    cells = nbformat.read(notebook, as_version=4).cells
    found = (LABEL.match(cell.source) for cell in cells if cell.cell_type == "code")
    return {label[1] for label in found if label}


def _parsed(source):
    try:
        return ast.parse(source)
    except SyntaxError:  # IPython's own, such as %pip
        return ast.parse("")


def _step(source):
    """The value of `step = "…"` in a cell, or None."""
    for node in _parsed(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if "step" in names:
                return node.value.value
    return None


def figures(source: str) -> Iterator[str]:
    """Yield the names that a cell draws figures under: `curves.loss_curves(out, "name", …)`."""
    for node in ast.walk(_parsed(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            out, name = (*node.args[:2], None, None)[:2]
            named = isinstance(name, ast.Constant) and isinstance(name.value, str)
            if isinstance(out, ast.Name) and out.id == "out" and named:
                yield name.value
