"""The commands that the pages give: what make would run, and how the command line reads it."""

import inspect
import re
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from book import __main__ as book
from book import export
from lib.files import BOOK
from studies import bench, ladder, search, seeds


def told():
    """Every command of a code block in README.md and reproduce.md that calls make."""
    for page in ("README.md", "reproduce.md"):
        for block in re.findall(r"```bash\n(.*?)```", (BOOK / page).read_text("utf-8"), re.S):
            for line in block.splitlines():
                yield from re.findall(r"\bmake [a-z][^&]*", line.split("#")[0])


def asked(command):
    """The arguments that make gives to `python -m book`, or None where it does not call it."""
    words = shlex.split(command.replace("$first:$port", "one:6379"))
    run = subprocess.run(["make", "-n", *words[1:]], cwd=BOOK, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    called = re.findall(r"python -m book (.*)", run.stdout)
    return shlex.split(called[-1]) if called else None


def test_there_are_commands():
    assert len(list(told())) > 15


@pytest.mark.parametrize("command", sorted(set(told())))
def test_a_command_that_a_page_tells_is_one(command):
    arguments = asked(command)
    if command.split()[1] in ("test", "workers", "cluster"):
        assert arguments is None
        return
    options = vars(book._parser().parse_args(arguments))
    for variable, value in re.findall(r'\b([A-Z]+)=("[^"]*"|\S+)', command):
        name, value = variable.lower(), value.strip('"')
        if variable in ("FRESH", "ACCEPT"):
            name, value = "resume", name
        given = next(options[key] for key in (name, f"{name}s", "slug") if key in options)
        given = given if isinstance(given, list) else [given]
        assert [str(one) for one in given] == value.split() or value.startswith("$"), variable


def test_a_notebook_that_is_named_twice_is_no_surprise(monkeypatch):
    ran = []
    monkeypatch.setattr(book, "run", lambda preset, stories, out, step, resume: ran.append(step))
    assert book.main(["run", "--step", "01_baseline", "--step", "02_adamw"]) == 0
    assert book.main(["run"]) == 0
    assert ran == ["01_baseline", "02_adamw", None]


def test_a_theme_is_the_books_too_and_node_is_looked_for_first(monkeypatch, capsys):
    done = []
    fake = SimpleNamespace(
        SiteError=book.site.SiteError,
        check_node=lambda: done.append("node"),
        build_site=lambda out, theme: done.append(theme) or out,
    )
    monkeypatch.setattr(book, "site", fake)
    monkeypatch.setattr(book, "run", lambda *given, **more: done.append("run"))
    assert book.main(asked("make book THEME=plain")) == 0
    assert done == ["node", "run", "plain"]

    def no_node():
        raise book.site.SiteError("Node is not installed.")

    done.clear()
    fake.check_node = no_node
    assert book.main(["book"]) == 1
    assert done == [] and "Node is not installed." in capsys.readouterr().err


HERE = Path("here")
COMMANDS = {  # what is called, and with what
    "publish --preset tiny --step 02_adamw --without 06_context --without try --accept": (
        (book, "publish"),
        {"preset_name": "tiny", "stories": None, "step": "02_adamw", "resume": "accept"}
        | {"without": ("06_context", "try")},
    ),
    "seeds --preset tiny --step 02_adamw --seeds 4 --fresh --out here": (
        (seeds, "train_steps"),
        {"steps": ["02_adamw"], "preset": "tiny", "out": HERE, "count": 4, "resume": "fresh"},
    ),
    "peer --preset small --recipe lowest_loss_tuned --accept --out here": (
        (seeds, "train_recipe"),
        {"preset": "small", "out": HERE, "resume": "accept", "recipe": "lowest_loss_tuned"},
    ),
    "ladder --preset small --seeds 1 --levers muon --like tiny --fresh --out here": (
        (ladder, "climb"),
        {"preset": "small", "out": HERE, "count": 1, "resume": "fresh"}
        | {"levers": {"muon": ladder.LEVERS["muon"]}, "like": (HERE, "tiny")},
    ),
    "search --preset small --step public_best --trials 3 --storage a:b --accept --out here": (
        (search, "search"),
        {"step": "public_best", "preset": "small", "out": HERE, "trials": 3}
        | {"storage": "a:b", "resume": "accept", "like": None, "first": {}},
    ),
    "search --try dropout=0.1 decay=4e-1 --out here": (
        (search, "search"),
        {"first": {"dropout": 0.1, "decay": 0.4}},
    ),
    "search --preset small --step public_best --like tiny --out other": (
        (search, "search"),
        {"resume": "same", "storage": None, "like": (BOOK, "public_best", "tiny")},
    ),
    "bench --preset tiny --rounds 2 --titles 90 --fresh --out here": (
        (bench, "bench"),
        {"preset": "tiny", "out": HERE, "rounds": 2, "count": 90, "fresh": True},
    ),
    "export --preset tiny --out here": ((export, "export"), {"preset": "tiny", "out": HERE}),
    "serve --root here --port 9 --theme plain": (
        (book.site, "serve_site"),
        {"root": HERE, "port": 9, "theme": "plain"},
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_asked_for_reaches_what_does_it(command, monkeypatch):
    (module, name), expected = COMMANDS[command]
    signature, called = inspect.signature(getattr(module, name)), []

    def note(*arguments, **named):
        called.append(signature.bind(*arguments, **named).arguments)
        return {"losses": {"full_coverage": 1.0, "test": None}}

    def read(out, *where):
        if out == Path("other"):
            raise FileNotFoundError
        return out, *where

    monkeypatch.setattr(module, name, note)
    monkeypatch.setattr(book, "resolve_stories", lambda preset, stories: (stories, "titles"))
    monkeypatch.setattr(ladder, "read_ladder", read)
    monkeypatch.setattr(search, "read_search", read)
    assert book.main(command.split()) == 0
    (given,) = called
    assert {key: given[key] for key in expected} == expected
    assert given.get("titles", "titles") == "titles"


def test_a_command_that_is_stopped_says_so(monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(book, "run", stop)
    assert book.main(["run", "--preset", "smoke"]) == 130
    assert capsys.readouterr().err == "stopped\n"
