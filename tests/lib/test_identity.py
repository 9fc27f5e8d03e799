"""Which run a run is: what changes it, and what does not."""

import functools
import importlib.util
import inspect
import subprocess
import textwrap
from dataclasses import replace

import pytest
import torch

import lib.identity
from lib import optim
from lib.config import load_preset
from lib.data import load_titles
from lib.identity import code_of, function_of, identity
from lib.tokenizer import train_tokenizer

CODE = '''
"""What it is about."""

import math


def area(radius):
    """Return the area of a circle."""
    return math.pi * radius**2  # as ever


class Circle:
    """A circle."""

    sides = 1
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # as ever", ""),
        ("Return the area of a circle.", "Return its area, in squares of the radius' unit."),
        ('"""What it is about."""\n', ""),
        ("math.pi * radius**2", "(\n        math.pi\n        * radius ** 2\n    )"),
        ("sides = 1", "sides = 0x1"),
        ('    """A circle."""\n\n', ""),
    ],
)
def test_code_that_is_only_written_another_way_is_the_same(old, new):
    assert old in CODE
    assert code_of(CODE.replace(old, new)) == code_of(CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("radius**2", "radius**3"),
        ("radius**2", "radius**2.0"),
        ("math.pi * ", ""),
        ("sides = 1", "sides = True"),
        ("sides = 1", 'sides = "1"'),
        ("def area", "def size"),
        ("import math", "import cmath as math"),
    ],
)
def test_code_that_does_something_else_is_other_code(old, new):
    assert old in CODE
    assert code_of(CODE.replace(old, new)) != code_of(CODE)


NOTEBOOK = """
import functools
import torch
from dataclasses import dataclass

rate, unused = 0.1, 1
table = {"a": [1, 2]}
weights = torch.ones(2)

class Base:
    factor = 2
    def scale(self, x):
        return self.factor * x

class Scaler(Base):
    def __init__(self, by=5):
        self.by = by

    @property
    def twice(self):
        return 2

    @functools.cached_property
    def thrice(self):
        return 33

@functools.cache
def kept(x):
    return x + 44

scaler = Scaler(6)

def helper(x):
    return deeper(x) + 1

def deeper(x):
    return x * rate

def makes():
    inner = 3
    def closure(x):
        return x + inner
    return closure

made = makes()
partly = functools.partial(helper, 3)

def get_optimizer(model, config, momentum=0.9):
    '''What a notebook defines.'''
    a = lambda x: helper(x) + table["a"][0] + Scaler().scale(2)
    return [a(1), weights.sum(), made(1), partly(), kept(1), scaler.scale(1)]

class Rotation(torch.nn.Module):
    def forward(self, x):
        return x * 77

rotation = Rotation()
"""


def found(source, name="get_optimizer"):
    """The digest of a function of a notebook with this source, as a kernel would have it."""
    import linecache

    file = f"<cell {abs(hash(source))}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names = {"__name__": "__main__"}
    exec(compile(source, file, "exec"), names)
    return function_of(names[name])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rate, unused = 0.1", "rate, unused = 0.2"),
        ("return deeper(x) + 1", "return deeper(x) + 2"),
        ("return x * rate", "return x / rate"),
        ('"a": [1, 2]', '"a": [1, 3]'),
        ("torch.ones(2)", "torch.ones(2) * 2"),
        ("factor = 2", "factor = 3"),
        ("return self.factor * x", "return self.factor + x"),
        ("        return 2\n", "        return 3\n"),
        ("inner = 3", "inner = 4"),
        ("partial(helper, 3)", "partial(helper, 4)"),
        ("momentum=0.9", "momentum=0.95"),
        ("helper(x) + table", "helper(x) - table"),
        ("return 33", "return 34"),
        ("return x + 44", "return x + 45"),
        ("scaler = Scaler(6)", "scaler = Scaler(7)"),
    ],
)
def test_a_notebooks_function_is_another_where_anything_that_it_reaches_is(old, new):
    assert NOTEBOOK.count(old) == 1
    assert found(NOTEBOOK.replace(old, new)) != found(NOTEBOOK)


def test_an_object_of_a_notebook_is_another_where_its_class_is():
    source = NOTEBOOK.replace("return x * 77", "return x * 78")
    assert found(source, "rotation") != found(NOTEBOOK, "rotation") == found(NOTEBOOK, "rotation")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("unused = 0.1, 1", "unused = 0.1, 2"),
        ("'''What a notebook defines.'''", "'''Told otherwise.'''"),
        ("    return x * rate", "    return (x  # so it is\n        * rate)"),
    ],
)
def test_a_notebooks_function_is_the_same_where_nothing_that_it_reaches_changed(old, new):
    assert NOTEBOOK.count(old) == 1
    assert found(NOTEBOOK.replace(old, new)) == found(NOTEBOOK)


def test_a_notebooks_function_may_reach_a_class_of_tensors():
    code = "import torch\nkind = torch.Tensor\ndef rotate(x):\n    return isinstance(x, kind)\n"
    assert found(code, "rotate") != found(
        code.replace("torch.Tensor", "torch.nn.Parameter"), "rotate"
    )


def test_helpers_that_call_each_other_come_to_an_end():
    source = textwrap.dedent(
        """
        def even(n):
            return n == 0 or odd(n - 1)

        def odd(n):
            return n != 0 and even(n - 1)
        """
    )
    assert found(source, "even") != found(source.replace("n != 0", "n > 0"), "even")


CONFIG = load_preset("smoke").change(num_titles=100, vocab_size=300)
TITLES = load_titles(CONFIG, "synthetic")
CPU = torch.device("cpu")


COPY = """
import torch
from lib.optim import Muon

{source}
"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("", "", True),
        ("over the rest.", "over what is left.", True),  # its docstring
        ("weight_decay=config.weight_decay", "weight_decay=0.5", False),
        ("from lib.optim import Muon", "class Muon(torch.optim.SGD): pass", False),
    ],
)
def test_a_notebooks_copy_of_a_function_of_lib_is_that_function(tmp_path, old, new, same):
    """Step three's notebook shows its optimizer, which step four's imports: they share a run."""
    source = COPY.format(source=inspect.getsource(optim.get_muon))
    assert old in source
    path = tmp_path / f"notebook_{len(old)}.py"
    path.write_text(source.replace(old, new, 1) if old else source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (of(get_optimizer=module.get_muon) == of(get_optimizer=optim.get_muon)) is same
    assert bool(of(get_optimizer=module.get_muon)["notebook"]) is not same


def of(config=CONFIG, titles=TITLES, tokenizer=None, device=CPU, bf16=False, **functions):
    tokenizer = tokenizer or train_tokenizer(config, titles)
    return identity(config, titles, tokenizer, device, bf16, **functions)


def test_what_a_runs_numbers_depend_on_is_all_there():
    plain = of(get_optimizer=None)
    others = {
        "config": of(CONFIG.change(dropout=0.3)),
        "stories": of(titles=replace(TITLES, stories={"source": "hub"})),
        "titles": of(titles=replace(TITLES, val=TITLES.val[::-1])),
        "tokenizer": of(titles=replace(TITLES, train=TITLES.train[:-9])),
        "device": of(device=torch.device("cuda")),
        "precision": of(bf16=True),
        "notebook": of(get_optimizer=functools.partial(print, 1)),
    }
    for name, other in others.items():
        assert other[name] != plain[name], name
    assert plain["torch"] == torch.__version__ and plain["notebook"] == {}
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert of()["threads"] == threads + 1 == plain["threads"] + 1
    finally:
        torch.set_num_threads(threads)
    assert of(tokenizer=_Another(*_state()))["notebook"].keys() == {"tokenizer"}
    assert set(plain["code"]) == {
        "batches", "casing", "compare", "counts", "details", "device", "dropout", "evaluate",
        "model", "objective", "optim", "predictions", "record", "tokenizer", "train", "watch",
    }  # fmt: skip


def _state():
    tokenizer = train_tokenizer(CONFIG, TITLES)
    return tokenizer.kind, tokenizer.state


class _Another(type(train_tokenizer(CONFIG, TITLES))):
    """A tokenizer of a notebook's own."""


def test_the_commit_is_dirty_where_the_code_was_changed_and_not_by_what_a_run_left(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(lib.identity, "BOOK", tmp_path)

    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        run = ["git", *who, *words]
        return subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert lib.identity.commit() is None  # no clone
    (tmp_path / "lib").mkdir()
    code, record = tmp_path / "lib" / "model.py", tmp_path / "record.json"
    for path in (code, record):
        path.write_text("1\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    git("tag", "v1")
    head = git("rev-parse", "--short", "HEAD").strip()
    record.write_text("2\n")
    assert lib.identity.commit() == head
    code.write_text("2\n")
    assert lib.identity.commit() == f"{head}-dirty"
    code.write_text("1\n")
    (tmp_path / "lib" / "new.py").write_text("")
    assert lib.identity.commit() == f"{head}-dirty"
