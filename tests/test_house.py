"""The house: imports point down, modules are short, and each package's `__init__` is its map."""

import ast
import json
import re

import nbformat
import pytest

from lib.record import read_record
from studies.peers import read_peers

from .conftest import ROOT

# What each room stands on. A notebook may import the packages, but not the book that holds it.
BELOW = {
    "lib": set(),
    "studies": {"lib"},
    "drawing": {"lib"},
    "book": {"lib", "studies"},
    "notebooks": {"lib", "drawing", "studies"},
    "theme": set(),
}
ROOMS = {"lib", "studies", "drawing", "book", "plugins", "theme", "widget", "notebooks", "tests"}
PACKAGES = ("lib", "studies", "drawing", "book")
MODULES = [path for room in (*PACKAGES, "theme") for path in sorted((ROOT / room).glob("*.py"))]


def names(path):
    return path.relative_to(ROOT).as_posix()


def imported(source):
    """The rooms that Python code imports from, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    return found & ROOMS


@pytest.mark.parametrize("path", MODULES, ids=names)
def test_a_module_imports_from_the_rooms_below_it_only(path):
    room = path.parent.name
    assert imported(path.read_text("utf-8")) <= BELOW[room] | {room}


NOTEBOOKS = [p for p in (ROOT / "notebooks").glob("*.ipynb") if p.stem != "run_all"]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS), ids=names)
def test_a_notebook_imports_from_the_rooms_below_it_only(path):
    cells = nbformat.read(path, as_version=4).cells
    source = "\n".join(c.source for c in cells if c.cell_type == "code")
    assert imported(source) <= BELOW["notebooks"]


@pytest.mark.parametrize("room", PACKAGES)
def test_within_a_package_no_two_modules_import_each_other(room):
    """Each module can be put after those that it imports."""
    needs = {}
    for path in (ROOT / room).glob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        relative = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level]
        needs[path.stem] = {n.module or alias.name for n in relative for alias in n.names}
    done = set()
    while ready := [name for name in needs if name not in done and needs[name] <= done]:
        done |= set(ready)
    assert done == set(needs)


def test_an_import_that_points_up_is_found():
    assert imported("import numpy\ndef f():\n    from book.run import run") == {"book"}
    assert imported("import lib.data, drawing") == {"lib", "drawing"}
    assert imported("from . import book") == set()


@pytest.mark.parametrize("path", MODULES, ids=names)
def test_a_module_is_short_and_what_is_public_is_documented(path):
    source = path.read_text("utf-8")
    assert source.count("\n") <= 300
    tree = ast.parse(source)
    assert ast.get_docstring(tree) or (path.name == "__init__.py" and not source)
    if path.parent.name == "theme":
        return
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) and node.name[0] != "_" else []
        for thing in (node, *inner):
            public = isinstance(thing, ast.FunctionDef | ast.ClassDef) and thing.name[0] != "_"
            # What a module of PyTorch's does is told by its class.
            if public and thing.name not in ("forward", "step"):
                assert ast.get_docstring(thing), f"{names(path)}: {thing.name}"


@pytest.mark.parametrize("room", PACKAGES)
def test_the_map_of_a_package_names_each_module_once(room):
    text = (ROOT / room / "__init__.py").read_text("utf-8")
    there = {path.stem for path in (ROOT / room).glob("*.py")} - {"__init__", "__main__"}
    lines = re.findall(r"(?m)^(\w+) {2,}\S.*$", ast.get_docstring(ast.parse(text)))
    assert sorted(lines) == sorted(there)


def embedded():
    """The functions that a notebook shows and a package has as well, by name."""
    pages = "".join(path.read_text("utf-8") for path in ROOT.glob("*.md"))
    labels = set(re.findall(r"\{embed\} #(\w+)", pages))
    for path in MODULES:
        source = path.read_text("utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in labels:
                yield node.name, ast.get_source_segment(source, node)


def test_code_that_pages_show_fits_their_width():
    shown = dict(embedded())
    assert {"rope", "get_muon", "get_optimizer"} <= shown.keys()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        shown |= {(path.stem, i): c.source for i, c in enumerate(cells) if c.cell_type == "code"}
    wide = [
        (where, line)
        for where, code in shown.items()
        for line in code.split("\n")
        if len(line) > 80
    ]
    assert not wide


def test_the_readme_tells_the_losses_of_the_published_run():
    front = (ROOT / "index.md").read_text("utf-8")
    preset = re.search(r"run_preset: (\w+)", front)[1]
    first, last = (
        json.loads((ROOT / "results" / preset / f"{step}.json").read_text("utf-8"))
        for step in ("01_baseline", "05_counting")
    )
    losses = [f"{record['losses']['full_coverage']:.3f}" for record in (first, last)]
    said = f"On {first['titles']['train']:,} headlines (preset `{preset}`) the loss fell from "
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"{said}{losses[0]} to {losses[1]} nats" in readme
    full, adamw = (
        read_record(ROOT, "full", step)["losses"] for step in ("01_baseline", "02_adamw")
    )
    theirs = read_peers()["baseline"]["reported"]
    printed = f"prints {full['official']:.3f} on our headlines"
    assert f"{printed}, where the challenge has {theirs:.3f}" in readme
    both = [f"{losses['full_coverage']:.3f}" for losses in (full, adamw)]
    assert f"AdamW takes the loss from {both[0]} to {both[1]}" in readme


def test_what_is_pinned_is_among_the_constraints():
    def pins(path):
        lines = (ROOT / path).read_text("utf-8").splitlines()
        return {
            re.split(" ;| #", line)[0].replace("_", "-").lower() for line in lines if "==" in line
        }

    wanted = [pins(path.name) for path in ROOT.glob("requirements*.txt")]
    assert len(wanted) == 3 and all(wanted)
    assert set().union(*wanted) <= pins("constraints.txt")
