"""The command line and the book run: what it leaves, and what it says when something is wrong."""

import contextlib
import functools
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import nbformat
import pytest

from book import contents
from book import run as book
from book.__main__ import main
from book.publish import publish
from book.repository import uncommitted
from lib.files import write_json

from ..conftest import ROOT


def command_line(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "book", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_run_says_a_line_for_each_notebook_in_order(smoke_book):
    _, printed = smoke_book
    *lines, last = [line.split() for line in printed.strip().splitlines()]
    assert [line[0] for line in lines] == contents.notebooks()
    assert last[-1].endswith("/book")  # and then how to see it
    assert all(float(line[1]) > 0 and line[2] == "s" for line in lines)


def test_a_run_leaves_a_whole_book(smoke_book):
    out, _ = smoke_book
    for name in contents.notebooks():
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
        (["seeds", "--preset", "tiny", "--stories", "nowhere.csv"], "nowhere.csv"),
        (["seeds", "--preset", "smoke", "--seeds", "1"], "at least 2"),
        (["peer", "--preset", "tiny", "--stories", "nowhere.csv"], "nowhere.csv"),
        (["ladder", "--preset", "smoke", "--levers", "magic"], "There is no lever 'magic'"),
        (["github", "not a slug"], "owner/name"),
    ],
)
def test_bad_input_gets_a_plain_error(arguments, said, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and "Traceback" not in error


def test_where_an_error_comes_from_can_be_seen():
    with pytest.raises(ValueError, match="no preset 'huge'"):
        main(["--traceback", "run", "--preset", "huge"])


def test_the_command_line_has_help():
    run = command_line("--help")
    assert run.returncode == 0
    own = "book run publish seeds peer ladder search bench export site serve github"
    assert re.findall(r"(?m)^    ([a-z]+)", run.stdout) == own.split()


@pytest.mark.parametrize("driver", [None, "/usr/bin/nvidia-smi"])
def test_a_run_says_on_which_device(monkeypatch, capsys, driver):
    monkeypatch.setattr(shutil, "which", lambda name: driver)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    book._say_where()
    first, *more = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"Running on \S+ CPU, \d+ cores\.", first)
    assert [line.startswith("PyTorch cannot use the GPU") for line in more] == [True] * bool(driver)


def test_stories_come_from_the_option_then_the_variable_then_the_preset(tmp_path, monkeypatch):
    monkeypatch.setattr(book, "load_titles", lambda config, stories: (config.preset, stories))

    def resolved(*arguments):
        stories, read = book.resolve_stories(*arguments)
        assert read == (arguments[0], stories)
        return stories

    monkeypatch.setenv("HN_STORIES", str(tmp_path / "mine.csv"))
    assert resolved("small", None) == str(tmp_path / "mine.csv")
    assert resolved("small", str(tmp_path / "yours.csv")) == str(tmp_path / "yours.csv")
    assert resolved("small", "hub") == "hub"
    assert resolved("smoke", None) == "synthetic"
    monkeypatch.delenv("HN_STORIES")
    assert resolved("full", None) == "hub"


PROGRESS = """
import time
for i in range(3):
    print(f"\\r{i}", end="", flush=True)
    time.sleep(0.3)
print()
"""


@pytest.fixture
def tiny_book(tmp_path, monkeypatch):
    """A book of two notebooks, the second of which fails in its third cell."""
    good = [cell(PROGRESS)]
    bad = [cell("print('before')"), cell("1 / 0"), cell("print('after')")]
    return make_book(tmp_path / "root", monkeypatch, {"01_good": good, "02_bad": bad})


cell, prose = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell


def make_book(root, monkeypatch, notebooks):
    """A book in `root` of these notebooks, each of which begins with a parameters cell."""
    (root / "notebooks").mkdir(parents=True)
    files = "".join(f"        - file: notebooks/{name}.ipynb\n" for name in notebooks)
    (root / "myst.yml").write_text(
        f"project:\n  toc:\n    - title: Steps\n      children:\n{files}"
    )
    for name, cells in notebooks.items():
        parameters = cell(
            'preset = "full"\nstories = "hub"\nout = ""', metadata={"tags": ["parameters"]}
        )
        notebook = nbformat.v4.new_notebook(cells=[parameters, *cells])
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")
    monkeypatch.setattr(book, "BOOK", root)
    monkeypatch.setattr("book.mirror.BOOK", root)
    monkeypatch.setattr("book.publish.BOOK", root)
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
    assert [output.text for output in done.cells[-1].outputs] == ["2\n"]


def test_a_publication_that_fails_leaves_the_book_as_it_was(tiny_book):
    before = {p: p.read_bytes() for p in tiny_book.glob("notebooks/*")}
    with pytest.raises(book.BookError):
        publish("smoke", None)
    assert {p: p.read_bytes() for p in tiny_book.glob("notebooks/*")} == before


@pytest.mark.parametrize(("name", "told"), [("02_second", True), ("01_first", False)])
@pytest.mark.parametrize("folder", ["_build/x", "my runs"])
def test_whose_checkpoint_it_is_that_a_notebook_cannot_take(
    tmp_path, monkeypatch, name, told, folder
):
    """It starts afresh with the step that it belongs to, not with the notebook that reads it."""
    raised = (
        f'raise ValueError("The checkpoint a.pt in {folder}/runs/01_first is of another run: b")'
    )
    make_book(tmp_path / "root", monkeypatch, {name: [cell(raised)]})
    with pytest.raises(book.BookError, match=r"is of another run: b\n") as error:
        book.run("smoke", None, tmp_path / "out")
    assert ("\nThat run is 01_first's: begin with it.\n" in str(error.value)) == told


def test_a_killed_kernel_gets_a_plain_error(tmp_path, monkeypatch, caplog):
    cells = [cell("import os\nos.kill(os.getpid(), 9)")]
    make_book(tmp_path / "root", monkeypatch, {"01_killed": cells})
    with pytest.raises(book.BookError, match=r"01_killed was killed.* the same command continues"):
        book.run("smoke", None, tmp_path / "out")
    assert not [record for record in caplog.records if record.name == "papermill"]


FIRST = """import json, time
from pathlib import Path
record = Path(out, "results", preset, "01_first.json")
record.parent.mkdir(parents=True, exist_ok=True)
record.write_text(json.dumps({"preset": preset, "at": time.time_ns()}))
record.with_suffix(".pt").write_text("weights")
run = Path(out, "runs", "first.txt")
run.parent.mkdir(parents=True, exist_ok=True)
run.write_text("trained")
print("first")"""
SECOND = """import json
from pathlib import Path
at = json.loads(Path(out, "results", preset, "01_first.json").read_text())["at"]
figure = Path(out, "figures", "second.svg")
figure.parent.mkdir(parents=True, exist_ok=True)
figure.write_text(f"<svg>{at}</svg>")
print("second")"""


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """A book of two notebooks, the second of which reads the record of the first.

    Papermill is replaced by one that runs the cells in this process: returns a function that runs
    the book and says which notebooks were executed.
    """
    cells = {"01_first": [prose("# First"), cell(FIRST)], "02_second": [cell(SECOND)]}
    root = make_book(tmp_path / "root", monkeypatch, cells)
    (root / "peers.csv").write_text("key,source\n")
    shutil.copytree(ROOT / "lib", root / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    executed = []

    def execute_notebook(source, target, parameters, **options):
        notebook, names = nbformat.read(source, as_version=4), {}
        nbformat.write(notebook, target)
        executed.append(notebook)
        run.given = parameters
        injected = cell(repr(parameters), metadata={"tags": ["injected-parameters"]})
        notebook.cells.insert(1, injected)
        for c in notebook.cells:
            if c.cell_type == "code":
                with contextlib.redirect_stdout(io.StringIO()) as said:
                    exec(c.source, names)
                names |= parameters
                c.outputs = [nbformat.v4.new_output("stream", name="stdout", text=said.getvalue())]
                c.metadata.papermill = {"status": "completed"}
        nbformat.write(notebook, target)
        return notebook

    monkeypatch.setattr(book.papermill, "execute_notebook", execute_notebook)
    monkeypatch.setattr(book, "train_tokenizer", lambda *_: None)  # no step is trained here

    def load_titles(*arguments):
        titles = LOAD(*arguments)
        return replace(titles, stories=dict(titles.stories))

    monkeypatch.setattr(book, "load_titles", load_titles)
    monkeypatch.setattr(book, "code_of", CODE_OF)

    def run(preset="smoke", out=tmp_path / "out", **options):
        executed.clear()
        book.run(preset, None, out, **options)
        return ["02_second" if "second" in nbformat.writes(n) else "01_first" for n in executed]

    run.root, run.out = root, tmp_path / "out"
    return run


# Once for all tests: of so small a book, these two would take longer than all the rest.
LOAD, CODE_OF = functools.cache(book.load_titles), functools.cache(book.code_of)


BOTH = ["01_first", "02_second"]


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def output(steps, name):
    return nbformat.read(steps.out / "notebooks" / f"{name}.ipynb", as_version=4)


def test_what_is_unchanged_is_not_executed_again(steps, capsys):
    assert steps() == BOTH
    first = capsys.readouterr().out
    assert re.fullmatch(r"01_first +[\d.]+ s\n02_second +[\d.]+ s\n", first)
    before = {path: path.read_bytes() for path in steps.out.rglob("*") if path.is_file()}
    assert steps() == []
    assert re.fullmatch(r"01_first +unchanged\n02_second +unchanged\n", capsys.readouterr().out)
    assert before == {path: path.read_bytes() for path in steps.out.rglob("*") if path.is_file()}
    assert "injected" not in nbformat.writes(output(steps, "01_first"))
    assert "papermill" not in nbformat.writes(output(steps, "01_first"))


@pytest.mark.parametrize(
    ("path", "old", "new", "executed"),
    [
        ("root/notebooks/01_first.ipynb", "trained", "trained well", BOTH),
        ("root/notebooks/02_second.ipynb", "</svg>", "!</svg>", BOTH[1:]),
        ("root/peers.csv", "key", "name", BOTH),
        ("root/lib/model.py", "GELU()", "ReLU()", BOTH),
        ("root/lib/model.py", "import torch\n", "import torch  # as ever\n", []),
        ("out/results/smoke/01_first.json", "smoke", "small", BOTH),
        ("out/figures/second.svg", "</svg>", "</svg", BOTH[1:]),
        ("out/notebooks/02_second.ipynb", "stdout", "stderr", BOTH[1:]),
        ("out/.finished/02_second.json", "{", "", BOTH[1:]),
    ],
)
def test_what_changed_is_executed_again_and_what_follows_it(
    steps, tmp_path, path, old, new, executed
):
    steps()
    edit(tmp_path / path, old, new)
    assert steps() == executed
    assert steps() == []


@pytest.mark.parametrize(
    ("lost", "executed"),
    [
        ("results/smoke/01_first.json", BOTH),
        ("figures/second.svg", BOTH[1:]),
        ("notebooks/02_second.ipynb", BOTH[1:]),
    ],
)
def test_what_is_lost_is_made_again(steps, lost, executed):
    steps()
    (steps.out / lost).unlink()
    assert steps() == executed
    assert (steps.out / lost).exists()


def test_other_parameters_and_other_stories_are_executed_again(steps, monkeypatch, tmp_path):
    steps()
    assert steps(out=tmp_path / "another") == BOTH
    load = book.load_titles

    def load_others(config, stories):
        titles = load(config, stories)
        titles.stories["sha256"] = "0" * 64
        return titles

    with monkeypatch.context() as patch:
        patch.setattr(book, "load_titles", load_others)
        assert steps() == BOTH
        assert steps() == []
    assert steps() == BOTH
    smoke = book.load_preset("smoke")
    monkeypatch.setattr(book, "load_titles", lambda config, stories: load(smoke, "synthetic"))
    assert steps("small") == BOTH


def test_new_prose_lands_without_an_execution(steps):
    steps()
    edit(steps.root / "notebooks" / "01_first.ipynb", "# First", "# First of all")
    assert steps() == []
    heading, code = output(steps, "01_first").cells[1:]
    assert heading.source == "# First of all"
    assert code.outputs[0].text == "first\n" and code.execution_count == 2


def test_a_step_executed_alone_does_not_hide_what_it_read(steps):
    steps()
    edit(steps.root / "notebooks" / "01_first.ipynb", "trained", "trained well")
    assert steps(step="02_second") == []  # the first has not run again yet
    assert steps() == BOTH


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, book.BookError])
def test_a_run_that_failed_is_not_finished(steps, error, monkeypatch):
    steps()
    second = steps.root / "notebooks" / "02_second.ipynb"
    good = second.read_text()
    edit(second, "import json", "raise StopHere")
    monkeypatch.setattr("builtins.StopHere", error, raising=False)
    with pytest.raises(error):
        steps()
    assert not (steps.out / ".finished" / "02_second.json").exists()
    second.write_text(good)
    assert steps() == BOTH[1:]


def test_fresh_starts_over(steps):
    steps()
    assert steps() == []
    assert steps(resume="fresh") == BOTH and steps.given["resume"] == "fresh"
    assert steps() == []
    assert steps(resume="fresh", step="02_second") == BOTH[1:]
    assert steps(resume="accept", step="01_first") == BOTH[:1] and steps.given["resume"] == "accept"


def test_a_publication_copies_what_its_notebooks_left_and_nothing_else(steps):
    seeds = steps.root / "results" / "tiny" / "seeds" / "01_first.json"
    seeds.parent.mkdir(parents=True)
    seeds.write_text("{}")
    publish("smoke", None)
    out = steps.root / "_build" / "publish-smoke"
    assert (out / "results" / "tiny" / "seeds" / "01_first.json").exists()  # for pages that read it
    (out / "results" / "tiny" / "seeds" / "01_first.json").write_text("old")
    (out / "results" / "smoke" / "stale.json").write_text("{}")
    seeds.write_text('{"new": 1}')
    publish("smoke", None)
    assert seeds.read_text() == '{"new": 1}'
    assert not (steps.root / "results" / "smoke" / "stale.json").exists()
    assert (out / "results" / "smoke" / "01_first.pt").exists()
    assert not (steps.root / "results" / "smoke" / "01_first.pt").exists()
    record = json.loads((steps.root / "results" / "smoke" / "01_first.json").read_text())
    figure = (steps.root / "figures" / "second.svg").read_text()
    assert figure == f"<svg>{record['at']}</svg>"
    published = nbformat.read(steps.root / "notebooks" / "01_first.ipynb", as_version=4)
    assert published.cells[-1].outputs[0].text == "first\n"


def test_what_a_notebook_that_is_gone_had_left_goes_with_it(steps):
    publish("smoke", None)
    book, out = steps.root, steps.root / "_build" / "publish-smoke"
    theirs = ["results/smoke/03_gone.json", "results/smoke/03_gone/words.json"]
    theirs += ["results/smoke/ablations/03_gone-arm.json", "results/tiny/03_gone.json"]
    for file in [*theirs, "figures/gone.svg", "results/smoke/seeds/03_gone.json"]:
        (book / file).parent.mkdir(parents=True, exist_ok=True)
        (book / file).write_text("{}")
    (out / theirs[0]).write_text("{}")  # as it was published from here
    dashed = book / "results" / "tiny" / "03-still-here.json"
    dashed.write_text("{}")
    shutil.copy(book / "notebooks" / "01_first.ipynb", book / "notebooks" / "03-still-here.ipynb")
    publish("smoke", None)
    assert dashed.exists()
    assert not [file for file in [*theirs, "figures/gone.svg"] if (book / file).exists()]
    assert not (out / theirs[0]).exists() and not (out / theirs[1]).exists()
    assert (book / "results/smoke/seeds/03_gone.json").exists()  # no notebook leaves these
    assert (book / "results/smoke/01_first.json").exists()
    assert (book / "figures/second.svg").exists()


def test_a_figure_of_a_notebook_that_stays_as_it_is_is_kept(steps):
    second = steps.root / "notebooks" / "02_second.ipynb"
    edit(second, '"import json\\n', '"#| label: second\\n",\n    "import json\\n')
    publish("smoke", None)
    shutil.rmtree(steps.root / "_build")  # as in another clone
    publish("smoke", None, without=("02_second",))
    assert (steps.root / "figures" / "second.svg").exists()


def test_a_step_of_another_preset_is_published_as_a_record_only(steps):
    publish("smoke", None)
    assert json.loads((steps.root / "results" / "report.json").read_text()) == {"preset": "smoke"}
    before = {p: p.read_bytes() for p in steps.root.glob("*/0*.ipynb")}
    figure = (steps.root / "figures" / "second.svg").read_bytes()
    write_json(steps.root / "results" / "report.json", {"preset": "small"})
    publish("smoke", None, step="01_first", resume="fresh")
    publish("smoke", None, step="02_second")
    assert before == {path: path.read_bytes() for path in before}
    assert (steps.root / "figures" / "second.svg").read_bytes() == figure
    record = json.loads((steps.root / "results" / "smoke" / "01_first.json").read_text())
    assert str(record["at"]).encode() not in figure  # the record is the new one
    assert json.loads((steps.root / "results" / "report.json").read_text()) == {"preset": "small"}
    publish("smoke", None)  # the whole: the report is of this preset now
    assert json.loads((steps.root / "results" / "report.json").read_text()) == {"preset": "smoke"}
    assert str(record["at"]).encode() in (steps.root / "figures" / "second.svg").read_bytes()


def test_what_is_not_published_stays_as_it_is_with_its_own_preset(steps):
    """For example where a notebook would take days on the report's new preset."""
    report = steps.root / "results" / "report.json"
    publish("smoke", None)
    write_json(report, {"preset": "small"})  # as if it had been this one
    kept = {p: p.read_bytes() for p in steps.root.glob("[nf]*/*second*")}
    assert len(kept) == 1 + 1  # the notebook and its figure
    publish("smoke", None, resume="fresh", without=("02_second",))
    assert kept == {path: path.read_bytes() for path in kept}
    here = {"preset": "smoke", "but": {"02_second": "small"}}
    assert json.loads(report.read_text()) == here
    publish("smoke", None, without=("02_second",))
    assert json.loads(report.read_text()) == here  # still another preset's
    publish("smoke", None, step="02_second")  # by itself it is a record of another preset
    assert kept == {path: path.read_bytes() for path in kept}
    with pytest.raises(ValueError, match=r"There is no page '03_none'; choose of 01_first, 02_"):
        publish("smoke", None, without=("03_none",))
    publish("smoke", None)
    assert json.loads(report.read_text()) == {"preset": "smoke"}
    assert kept != {path: path.read_bytes() for path in kept}


def test_a_step_published_alone_finds_the_records_that_are_published(steps):
    publish("smoke", None)
    shutil.rmtree(steps.root / "_build")  # as in another clone
    model = "results/smoke/01_first/model.bin"
    (steps.root / model).parent.mkdir()
    (steps.root / model).write_bytes(b"weights")
    publish("smoke", None, step="02_second")
    assert (steps.root / "_build" / "publish-smoke" / model).read_bytes() == b"weights"
    record = json.loads((steps.root / "results" / "smoke" / "01_first.json").read_text())
    assert str(record["at"]) in (steps.root / "figures" / "second.svg").read_text()

    published = steps.root / "results" / "smoke" / "01_first.json"
    write_json(published, record | {"at": "from elsewhere"})  # as a pull brings it
    later = time.time() + 9
    os.utime(published, (later, later))
    publish("smoke", None, step="02_second")
    assert "from elsewhere" in (steps.root / "figures" / "second.svg").read_text()
    publish("smoke", None)  # whole: now the first has a mark of what it left
    write_json(published, record | {"at": "from afar"})
    os.utime(published, (later + 9, later + 9))
    publish("smoke", None, step="02_second")
    assert "from afar" in (steps.root / "figures" / "second.svg").read_text()


def test_the_steps_of_another_preset_count_as_what_a_notebook_read(steps):
    record = steps.root / "results" / "tiny" / "01_first.json"
    record.parent.mkdir(parents=True)
    assert steps() == BOTH
    record.write_text("{}")
    assert steps() == BOTH
    assert steps() == []


def test_what_is_not_committed_is_not_published(steps):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", *who, *arguments]
        run = subprocess.run(command, cwd=steps.root, check=True, capture_output=True)
        return run.stdout

    git("init")
    (steps.root / ".gitignore").write_text("_build\n")
    git("add", ".")
    git("commit", "-m", "all")
    publish("smoke", None)
    publish("smoke", None)  # what it has left, outputs in notebooks too, is no change of code
    second = steps.root / "notebooks" / "02_second.ipynb"
    executed = second.read_text("utf-8")
    assert git("status", "--porcelain", "--", "notebooks")
    notebook = nbformat.reads(executed, 4)
    notebook.cells[-1].source += "  # changed"
    nbformat.write(notebook, second)
    with pytest.raises(book.BookError, match=r"not committed: .*02_second"):
        publish("smoke", None)
    second.write_text(executed, "utf-8")
    for path, named in (("lib/model.py", "lib/model.py"), ("notebooks/new.ipynb", "notebooks/new")):
        git("add", ".")
        git("commit", "-m", "published", "--allow-empty")
        with open(steps.root / path, "a") as file:
            file.write("\n")
        with pytest.raises(book.BookError, match=rf"not committed: .*{named}"):
            publish("smoke", None)
        (steps.root / path).unlink()
        subprocess.run(["git", "checkout", "--", "."], cwd=steps.root, check=True)
    (steps.root / "my notes.txt").write_text("of no record's concern")
    publish("smoke", None)
    spaced = second.with_name("my idée.ipynb")
    second.rename(spaced)
    git("add", ".")
    git("commit", "-m", "renamed")
    notebook = nbformat.read(spaced, 4)
    notebook.cells[-1].execution_count = 99
    nbformat.write(notebook, spaced)
    assert git("status", "--porcelain", "--", "notebooks")
    assert uncommitted(steps.root, ["notebooks"]) == []
    notebook.cells[-1].source += "  # changed"
    nbformat.write(notebook, spaced)
    assert uncommitted(steps.root, ["notebooks"]) == ["notebooks/my idée.ipynb"]


def test_a_notebook_that_is_renamed_leaves_nothing_behind(steps):
    steps()
    assert (steps.out / "figures" / "second.svg").exists()
    old = steps.root / "notebooks" / "02_second.ipynb"
    old.rename(old.with_name("03_third.ipynb"))
    edit(old.with_name("03_third.ipynb"), "second.svg", "third.svg")
    edit(steps.root / "myst.yml", "02_second", "03_third")
    (steps.root / "old.md").write_text("a page")
    steps()
    (steps.root / "old.md").rename(steps.root / "new.md")
    steps()
    there = {path.name for path in steps.out.rglob("*") if path.is_file()}
    assert {"03_third.ipynb", "third.svg", "new.md", "01_first.ipynb", "01_first.json"} <= there
    assert not there & {"02_second.ipynb", "second.svg", "old.md", "02_second.json"}


def test_what_somebody_else_keeps_in_the_folder_is_left_alone(steps):
    mine = [steps.out / name for name in ("notes.md", "theme/mine.css", "notebooks/mine.ipynb")]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    steps()
    steps()
    assert [path.read_text() for path in mine] == ["mine"] * 3
    with pytest.raises(ValueError, match="is the book itself"):
        steps(out=steps.root)
    assert (steps.root / "notebooks" / "01_first.ipynb").exists()


def test_a_figure_that_is_no_longer_drawn_goes(steps):
    steps()
    edit(steps.root / "notebooks" / "02_second.ipynb", "second.svg", "other.svg")
    assert steps() == BOTH[1:]
    assert {path.name for path in (steps.out / "figures").iterdir()} == {"other.svg"}


def test_a_notebook_that_writes_what_another_left_is_refused_by_its_name(steps):
    edit(steps.root / "notebooks" / "02_second.ipynb", "figures", "results")
    edit(steps.root / "notebooks" / "02_second.ipynb", "second.svg", "smoke/01_first.json")
    with pytest.raises(book.BookError, match=r"02_second wrote results/smoke/01_first\.json"):
        steps()
    assert not (steps.out / ".finished" / "01_first.json").exists()  # what it left is lost


def test_a_figure_moves_to_an_earlier_notebook(steps):
    steps()
    first, second = (steps.root / "notebooks" / f"{name}.ipynb" for name in BOTH)
    draw = (
        "from pathlib import Path\nPath(out, 'figures/second.svg').write_text('<svg>first</svg>')"
    )
    notebook = nbformat.read(first, as_version=4)
    notebook.cells.append(cell(draw))
    nbformat.write(notebook, first)
    edit(second, "second.svg", "third.svg")
    assert len(steps()) == 2
    drawn = {path.name: path.read_text() for path in (steps.out / "figures").iterdir()}
    assert drawn.keys() == {"second.svg", "third.svg"}
    assert drawn["second.svg"] == "<svg>first</svg>"


TABLE = "results/smoke/seeds/01_first.json"
RECIPE = "results/smoke/public_best/words.json"


@pytest.mark.parametrize("when", ["before the run", "after it"])
def test_what_another_command_left_in_the_folder_is_not_written_over(steps, when):
    """For example by `make seeds OUT=…`, which writes into the folder of a run."""
    theirs, ours = steps.root / TABLE, steps.out / TABLE
    theirs.parent.mkdir(parents=True)
    theirs.write_text("the book's")
    if when == "after it":
        steps()
        assert ours.read_text() == "the book's"
    ours.parent.mkdir(parents=True, exist_ok=True)
    ours.write_text("mine")
    assert steps() == BOTH  # which may read it
    assert steps() == []
    theirs.write_text("the book's, again")
    steps()
    assert ours.read_text() == "mine"
    theirs.unlink()
    steps()
    assert ours.read_text() == "mine"


def test_a_table_follows_that_of_the_book(steps):
    theirs, ours = steps.root / TABLE, steps.out / TABLE
    theirs.parent.mkdir(parents=True)
    for text in ("one", "two"):
        theirs.write_text(text)
        steps()
        assert ours.read_text() == text
    theirs.unlink()
    steps()
    assert not ours.exists()


@pytest.mark.parametrize("file", [TABLE, RECIPE])
def test_what_another_command_writes_meanwhile_is_none_of_the_notebook_s(steps, file):
    """As a search does after each trial, and `peer` at its end."""
    for name in BOTH:
        notebook = nbformat.read(path := steps.root / "notebooks" / f"{name}.ipynb", as_version=4)
        write = f"table = Path(out, {file!r})\ntable.parent.mkdir(parents=True, exist_ok=True)"
        write = f"from pathlib import Path\n{write}\ntable.write_text({name!r})"
        notebook.cells.append(cell(write))
        nbformat.write(notebook, path)
    assert steps() == BOTH
    for name in BOTH:
        edit(steps.root / "notebooks" / f"{name}.ipynb", "table.write_text", "print")
    (steps.out / file).write_text("a later trial")
    assert steps() == BOTH
    assert (steps.out / file).read_text() == "a later trial"


def test_an_interrupted_notebook_is_left_as_one_that_was_not_run(steps, monkeypatch):
    steps()

    def interrupted(source, target, parameters, **options):
        notebook = nbformat.read(source, as_version=4)
        notebook.cells.insert(1, cell(repr(parameters)))
        notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text="half")]
        nbformat.write(notebook, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(book.papermill, "execute_notebook", interrupted)
    with pytest.raises(KeyboardInterrupt):
        steps(step="02_second", resume="fresh")
    left = output(steps, "02_second")
    source = nbformat.read(steps.root / "notebooks" / "02_second.ipynb", as_version=4)
    assert [c.source for c in left.cells] == [c.source for c in source.cells]
    assert not [c for c in left.cells if c.cell_type == "code" and c.outputs]


def test_what_a_step_no_longer_leaves_beside_its_record_goes_from_the_book_too(steps):
    first = steps.root / "notebooks" / "01_first.ipynb"
    arm = steps.root / "results" / "smoke" / "ablations" / "01_first-arm.json"
    model, words = (steps.root / "results/smoke/01_first" / n for n in ("model.bin", "words.json"))
    notebook = nbformat.read(first, as_version=4)
    draw = "from pathlib import Path\nfor name in NAMES:\n"
    draw += "    path = Path(out, 'results/smoke', name)\n"
    draw += "    path.parent.mkdir(parents=True, exist_ok=True)\n    path.write_text('{}')"
    names = [
        "ablations/01_first-arm.json",
        "01_first/words.json",
        "01_first/old.json",
        "01_first/model.bin",
    ]
    notebook.cells.append(cell(draw.replace("NAMES", repr(names))))
    nbformat.write(notebook, first)
    publish("smoke", None)
    assert arm.exists() and model.exists()
    published = nbformat.read(first, as_version=4)
    published.cells[-1].source = draw.replace("NAMES", repr(["01_first/words.json"]))
    nbformat.write(published, first)
    publish("smoke", None)
    assert not arm.exists() and not model.exists()
    assert words.exists() and not words.with_name("old.json").exists()
    exported = steps.root / "_build" / "publish-smoke" / model.relative_to(steps.root)
    for path in (exported, model):  # as `export` writes it, after the run
        path.write_bytes(b"model")
    publish("smoke", None)
    assert model.exists()


def test_another_run_in_the_folder_waits(steps, monkeypatch):
    """While another process holds it, nothing there is touched."""
    code = (
        "import sys\nfrom lib.files import held\n"
        "with held(sys.argv[1]):\n    print('held', flush=True)\n    sys.stdin.readline()"
    )
    command, said = [sys.executable, "-c", code, str(steps.out)], []
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as other:

        def say(text, **_):
            said.append(text)
            assert not (steps.out / "notebooks").exists()
            other.stdin.close()  # it may go

        monkeypatch.setattr("lib.files.print", say, raising=False)
        assert other.stdout.readline() == "held\n"
        assert steps() == BOTH
    assert f"is held by process {other.pid} on " in said[0]


@pytest.mark.parametrize("through", ["a command", "book.run"])
def test_on_a_cpu_runs_keep_their_memory_and_soon_sleep(steps, monkeypatch, through):
    def start():
        if through == "book.run":
            return steps()
        assert main(["seeds", "--preset", "none"]) == 1

    for variable in book.ON_CPU:
        monkeypatch.setenv(variable, "7")
        monkeypatch.delenv(variable)  # so that it is as before after the test
    monkeypatch.setattr(book.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    start()
    assert not book.ON_CPU.keys() & os.environ.keys()
    monkeypatch.setattr(book.shutil, "which", lambda name: None)
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    start()
    assert os.environ["MALLOC_MMAP_THRESHOLD_"] == "4294967296"
    assert os.environ["MALLOC_TRIM_THRESHOLD_"] == "17179869184"
    assert os.environ["GOMP_SPINCOUNT"] == "3000"
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"


RUN = """import sys
from pathlib import Path
from book import contents, run as book
book.BOOK = Path(sys.argv[1])
book.run("smoke", None, Path(sys.argv[2]))
"""
SLOW = """import time
from pathlib import Path
print("whole")
get_ipython().kernel.log.error("KeyboardInterrupt caught in kernel.")  # as where it is ended busy
if not Path(out, "was here").exists():
    Path(out, "was here").touch()
    time.sleep(60)"""


def test_a_run_that_was_killed_continues_where_it_was(tmp_path, monkeypatch):
    """With papermill and kernels of its own, killed while it executes the second notebook."""
    out = tmp_path / "out"
    cells = {"01_first": [cell(FIRST)], "02_slow": [cell(SLOW)]}
    root = make_book(tmp_path / "root", monkeypatch, cells)
    command = [sys.executable, "-c", RUN, str(root), str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (out / "was here").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [path.stem for path in (out / ".finished").iterdir()] == ["01_first"]
    record = (out / "results" / "smoke" / "01_first.json").read_text()

    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert not re.search("(?i)kernel|papermill|traceback", again.stderr), again.stderr
    assert re.fullmatch(r"01_first +unchanged\n02_slow +[\d.]+ s\n", again.stdout)
    assert (out / "results" / "smoke" / "01_first.json").read_text() == record
    slow = nbformat.read(out / "notebooks" / "02_slow.ipynb", as_version=4)
    assert slow.cells[-1].outputs[0].text == "whole\n"


@pytest.fixture
def needs_more(steps, monkeypatch):
    """The same book, whose second notebook needs more than the titles that there are."""
    monkeypatch.setitem(book.CONTEXT, "notebook", "02_second")

    def load(config, stories, origins=False):
        if origins:
            raise ValueError("There are no columns url and time.")
        return titles

    titles = book.load_titles(book.load_preset("smoke"), "synthetic")
    monkeypatch.setattr(book, "load_titles", load)
    return steps


def test_what_needs_more_than_titles_is_left_out_where_there_is_no_more(needs_more, capsys):
    steps = needs_more
    assert steps() == ["01_first"]
    assert "02_second        left out: There are no columns url" in capsys.readouterr().out
    assert output(steps, "02_second").cells[-1].outputs == []
    assert not (steps.out / "figures" / "second.svg").exists()
    assert steps(step="02_second") == ["02_second"]  # asked for, it says itself what is wrong


def test_what_is_left_out_leaves_nothing_of_a_run_before(steps, request):
    steps()
    assert (steps.out / "figures" / "second.svg").exists()
    request.getfixturevalue("needs_more")
    assert steps() == []
    assert not (steps.out / "figures" / "second.svg").exists()


def test_a_publication_without_a_step_takes_away_what_the_book_has_of_it(needs_more):
    record = needs_more.root / "results" / "smoke" / "02_second.json"
    details = record.with_suffix("") / "gains.json"
    details.parent.mkdir(parents=True)
    arm = record.with_name("ablations") / "02_second-less.json"
    arm.parent.mkdir()
    for file in (details, record, arm):
        file.write_text("{}")
    publish("smoke", None)
    assert not record.exists() and not details.parent.exists() and not arm.exists()
    assert record.with_name("01_first.json").exists()


def test_fresh_removes_a_figure_that_is_no_longer_drawn(steps):
    steps()
    edit(steps.root / "notebooks" / "02_second.ipynb", "second.svg", "renamed.svg")
    assert steps(resume="fresh") == BOTH
    assert [path.name for path in (steps.out / "figures").iterdir()] == ["renamed.svg"]
