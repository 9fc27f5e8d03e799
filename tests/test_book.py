"""The command line and the book run: what it leaves, and what it says when something is wrong."""

import os
import subprocess
import sys

import nbformat
import pytest

from lib import book
from lib.__main__ import main

from .conftest import ROOT


def lib(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "lib", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_run_says_a_line_for_each_notebook_in_order(smoke_book):
    _, printed = smoke_book
    lines = [line.split() for line in printed.strip().splitlines()]
    assert [line[0] for line in lines] == book.notebooks()
    assert all(float(line[1]) > 0 and line[2] == "s" for line in lines)


def test_a_run_leaves_a_whole_book(smoke_book):
    out, _ = smoke_book
    for name in book.notebooks():
        notebook = nbformat.read(out / "notebooks" / f"{name}.ipynb", as_version=4)
        text = nbformat.writes(notebook)
        assert "injected-parameters" not in text and '"papermill"' not in text
        assert str(out) not in text and "\\r" not in text
        code = [c for c in notebook.cells if c.cell_type == "code"]
        assert all(c.execution_count for c in code)
    for page in ("index.md", "reproduce.md", "myst.yml", "plugins", "theme"):
        assert (out / page).exists()
    labels = {path.stem for path in (out / "figures").glob("*.svg")}
    assert labels >= {"loss_first_run", "loss_step_one", "loss_step_two", "loss_by_step"}
    for label in labels:
        assert (out / "figures" / f"{label}.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--preset", "huge"], "There is no preset 'huge'; choose one of smoke"),
        (["run", "--preset", "smoke", "--step", "09_magic"], "There is no step '09_magic'"),
        (["run", "--preset", "small", "--stories", "nowhere.csv"], "nowhere.csv"),
        (["run", "--preset", "small", "--stories", "synthetic"], "smoke"),
        (["github", "not a slug"], "owner/name"),
    ],
)
def test_bad_input_gets_a_plain_error(arguments, said, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and "Traceback" not in error


def test_the_command_line_has_help():
    run = lib("--help")
    assert run.returncode == 0
    for command in ("book", "run", "publish", "site", "serve", "github"):
        assert command in run.stdout


def test_stories_come_from_the_option_then_the_variable_then_the_preset(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(book, "load_titles", lambda config, stories: seen.append(stories))
    monkeypatch.setenv("HN_STORIES", str(tmp_path / "mine.csv"))
    assert book.resolve_stories("small", None) == str(tmp_path / "mine.csv")
    assert book.resolve_stories("small", str(tmp_path / "yours.csv")) == str(tmp_path / "yours.csv")
    assert book.resolve_stories("small", "hub") == "hub"
    assert book.resolve_stories("smoke", None) == "synthetic"
    monkeypatch.delenv("HN_STORIES")
    assert book.resolve_stories("full", None) == "hub"
    assert len(seen) == 5


@pytest.fixture
def tiny_book(tmp_path, monkeypatch):
    """A book of two notebooks, the second of which fails in its third cell."""
    root = tmp_path / "root"
    (root / "notebooks").mkdir(parents=True)
    (root / "myst.yml").write_text(
        "project:\n  toc:\n    - title: Steps\n      children:\n"
        "        - file: notebooks/01_good.ipynb\n        - file: notebooks/02_bad.ipynb\n"
    )
    cell = nbformat.v4.new_code_cell
    parameters = cell(
        'preset = "full"\nstories = "hub"\nout = ""', metadata={"tags": ["parameters"]}
    )
    good = [parameters, cell("import sys\nsys.stdout.write('one\\rtwo\\n')")]
    bad = [parameters, cell("print('before')"), cell("1 / 0"), cell("print('after')")]
    for name, cells in (("01_good", good), ("02_bad", bad)):
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")
    monkeypatch.setattr(book, "ROOT", root)
    monkeypatch.setattr(book.notebooks, "__defaults__", (root,))
    return root


def test_a_failed_notebook_is_kept_and_named_with_its_cell(tiny_book, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(
        book.BookError, match="of 02_bad failed: ZeroDivisionError: division by zero"
    ):
        book.run("smoke", None, out)
    kept = nbformat.read(out / "notebooks" / "02_bad.ipynb", as_version=4)
    text = nbformat.writes(kept)
    assert "before" in text and "ZeroDivisionError" in text
    done = nbformat.read(out / "notebooks" / "01_good.ipynb", as_version=4)
    assert done.cells[-1].outputs[0].text == "two\n"


def test_a_publication_that_fails_leaves_the_book_as_it_was(tiny_book):
    before = {p: p.read_bytes() for p in tiny_book.glob("notebooks/*")}
    with pytest.raises(book.BookError):
        book.publish("smoke", None)
    assert {p: p.read_bytes() for p in tiny_book.glob("notebooks/*")} == before
