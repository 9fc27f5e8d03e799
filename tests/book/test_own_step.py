"""Adding a step of one's own as reproduce.md says, and the omissions that are refused."""

import json
import re
import shutil
import subprocess
import sys

import nbformat
import pytest

from book.contents import refuse_doubles

from ..conftest import ROOT

# What each labelled cell of the copy is called, and the name that the step gets.
LABELS = {"get_optimizer": "get_mine", "step_one_settings": "my_settings",
          "loss_step_one": "loss_mine", "step_one_words": "my_words",
          "summary_02_adamw": "my_summary"}  # fmt: skip
LINE = "        - file: notebooks/05_counting.ipynb\n"


@pytest.fixture
def book(tmp_path):
    """The book's files as they are committed, in a folder of their own."""
    for name in ("lib", "studies", "drawing", "book", "plugins", "theme", "notebooks", "results"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for path in (*ROOT.glob("*.md"), *ROOT.glob("*.csv"), ROOT / "myst.yml"):
        shutil.copy(path, tmp_path)
    for file, as_it_is, smaller in (  # a run of seconds
        ("config", '"smoke": (2_000, 2, 64,', '"smoke": (2_000, 1, 32,'),
        ("data", "TEST_TITLES = 10_000", "TEST_TITLES = 200"),
    ):
        path = tmp_path / "lib" / f"{file}.py"
        text = path.read_text("utf-8")
        assert text.count(as_it_is) == 1
        path.write_text(text.replace(as_it_is, smaller), "utf-8")
    return tmp_path


def copy(book, *, step=True, labels=True, figures=True, listed=True):
    """Copy step one's notebook and do what the page says next, or leave a part of it out."""
    notebook = nbformat.read(book / "notebooks" / "02_adamw.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if step:
            cell.source = cell.source.replace('step = "02_adamw"', 'step = "07_mine"')
        for old, new in LABELS.items():
            if labels:
                cell.source = cell.source.replace(f"#| label: {old}\n", f"#| label: {new}\n")
            if figures:
                cell.source = cell.source.replace(f'"{old}"', f'"{new}"')
        cell.source = cell.source.replace("lr=config.learning_rate", "lr=10 * config.learning_rate")
    nbformat.write(notebook, book / "notebooks" / "07_mine.ipynb")
    if listed:
        text = (book / "myst.yml").read_text("utf-8")
        assert LINE in text
        line = LINE.replace("05_counting", "07_mine")
        (book / "myst.yml").write_text(text.replace(LINE, LINE + line), "utf-8")


def test_the_page_says_what_is_done_here():
    """Each of its numbered lines is a part of `copy`."""
    text = (ROOT / "reproduce.md").read_text("utf-8")
    section = text.split("## A step of your own")[1].split("\n## ")[0]
    steps = re.findall(r"(?m)^\d\. (.*)$", section)
    said = ("cp notebooks/02_adamw.ipynb notebooks/07_mine.ipynb", 'step = "07_mine"',
            "#| label: loss_mine", "Change the one cell", "notebooks/07_mine.ipynb`.")  # fmt: skip
    assert len(steps) == len(said)
    assert all(part in line for part, line in zip(said, steps, strict=True))


def test_a_copied_step_leaves_its_own_results_and_the_originals_as_they_were(book):
    copy(book)
    out = book / "_build" / "out"

    def run(*arguments):
        command = [sys.executable, "-m", "book", "run", "--preset", "smoke", "--out", str(out)]
        return subprocess.run(
            [*command, *arguments], cwd=book, capture_output=True, text=True, timeout=300
        )

    done = run("--step", "02_adamw")
    assert done.returncode == 0, done.stderr
    kept = [path for path in out.rglob("*") if path.is_file()]
    kept = [p for p in kept if "02_adamw" in str(p.relative_to(out)) or p.suffix == ".svg"]
    original = {path: path.read_bytes() for path in kept}
    before = {path: path.stat().st_mtime_ns for path in (out / "runs" / "02_adamw").iterdir()}
    done = run("--step", "07_mine", "--fresh")  # it alone starts over
    assert done.returncode == 0, done.stderr
    assert original == {path: path.read_bytes() for path in original}
    assert before == {path: path.stat().st_mtime_ns for path in before}
    records = {
        step: json.loads((out / "results" / "smoke" / f"{step}.json").read_text("utf-8"))
        for step in ("02_adamw", "07_mine")
    }
    assert records["07_mine"]["step"] == records["07_mine"]["title"] == "07_mine"
    losses = {step: record["losses"]["full_coverage"] for step, record in records.items()}
    assert losses["07_mine"] < losses["02_adamw"] - 0.05  # ten times the rate, on so few steps
    assert (out / "figures" / "loss_mine.svg").exists()
    checkpoints = {path.parent.name for path in (out / "runs").glob("*/step-*.pt")}
    assert checkpoints == {"02_adamw", "07_mine"}


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("step", r"07_mine\.ipynb says that its step is '02_adamw'.*call the step '07_mine'"),
        ("labels", r"07_mine\.ipynb has a cell labelled 'get_optimizer', and so has .*02_adamw"),
        ("figures", r"07_mine\.ipynb draws the figure 'loss_step_one' in a cell labelled 'loss_mi"),
    ],
)
def test_what_is_left_out_is_refused_by_the_name_of_the_copy(book, left_out, said):
    copy(book, **{left_out: False})
    with pytest.raises(ValueError, match=said):
        refuse_doubles(book)


def test_the_book_itself_has_no_doubles(book):
    refuse_doubles(book)
    copy(book)
    refuse_doubles(book)
