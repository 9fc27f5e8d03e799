"""A run's identity: everything its numbers depend on, by name, so that two can be compared.

- The code that trains and measures, compared as a syntax tree without docstrings and comments: a
  file that was only reformatted is the same code.
- What a notebook defines itself: its functions, and whatever of its own they reach.
- The titles, the trained tokenizer, the settings, PyTorch's version, the kind of device, the
  precision and, on a CPU, the number of threads, which determines the order of summation. (Where a
  precision is set by hand, the device still decides that of Muon's products, and nothing tells.)
"""

import ast
import functools
import hashlib
import inspect
import json
import re
import subprocess
import sys
import textwrap
import types

from .files import BOOK, as_json

# Not compared as code: their results are compared instead (settings, titles, what is told about
# them), or no number depends on them.
NOT_COMPARED = {
    "__init__", "config", "steps", "data", "readers", "origins", "synthetic", "context", "files",
    "identity", "checkpoint", "compression", "colab", "published", "export",
}  # fmt: skip


def digest(value) -> str:
    """Return the first 16 hex digits of the SHA-256 of `value`: bytes, or what JSON can hold."""
    if not isinstance(value, bytes):
        value = json.dumps(as_json(value), sort_keys=True, ensure_ascii=False).encode()
    return hashlib.sha256(value).hexdigest()[:16]


def code_of(source: str) -> str:
    """Return the digest of Python code, the same however it is formatted and documented."""
    return digest(_shape(ast.parse(textwrap.dedent(source))))


@functools.cache  # as they were loaded: a file that is edited later is not what runs here
def modules() -> dict[str, str]:
    """Return the digest of each module of `lib` that trains and measures, by name."""
    paths = sorted((BOOK / "lib").glob("*.py"))
    return {p.stem: code_of(p.read_text("utf-8")) for p in paths if p.stem not in NOT_COMPARED}


def identity(config, titles, tokenizer, device, bf16: bool, known=None, **functions) -> dict:
    """Return everything a run's numbers depend on, as a dictionary of what JSON can hold.

    `known` is what the model is told about the titles, one array for each part, if anything.

    `functions` are those that a notebook brings; None and `lib`'s own functions are left out. So is
    a copy of one of `lib`'s: a notebook that shows a function trains the same run as one that
    imports it.
    """
    import torch  # the command line reads digests, and needs no PyTorch

    brought = {name: f for name, f in functions.items() if not (_is_ours(f) or _copied(f))}
    own = {name: function_of(f) for name, f in brought.items()}
    if not _is_ours(type(tokenizer)):
        own["tokenizer"] = function_of(type(tokenizer))
    return {
        "config": config.as_dict(),
        "stories": titles.stories,
        "titles": digest([titles.train, titles.val]),
        "tokenizer": digest(tokenizer.state),
        **({"known": digest([part.tolist() for part in known])} if known else {}),
        "code": modules(),
        "notebook": own,
        "torch": str(torch.__version__),
        "device": device.type,
        "precision": "bf16" if bf16 else "fp32",
        **({"threads": torch.get_num_threads()} if device.type == "cpu" else {}),
    }


def function_of(thing) -> str:
    """Return the digest of a function or class with the helpers and globals that it reaches."""
    return digest(_described(thing, set()))


def commit() -> str | None:
    """Return the commit of this code, with -dirty if `lib` has changed since.

    Records and figures that earlier runs have left do not count as changes.
    """

    def git(*words):
        run = subprocess.run(["git", *words], cwd=BOOK, capture_output=True, text=True, check=True)
        return run.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "lib", "requirements.txt")
        return git("describe", "--always", "--exclude", "*") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None  # no git, or not a clone


def _is_ours(thing):
    return thing is None or getattr(thing, "__module__", "").split(".")[0] == "lib"


def _copied(thing):
    """Whether a function is one of `lib`, written down again: the same code, the same globals."""
    name, there = getattr(thing, "__name__", ""), None
    for module in ("lib.model", "lib.optim"):  # who brings a function has loaded them
        there = there or getattr(sys.modules.get(module), name, None)
    if not (isinstance(thing, types.FunctionType) and isinstance(there, types.FunctionType)):
        return False
    alike = _code(thing) == _code(there) and thing.__defaults__ == there.__defaults__
    reached = [[f.__globals__.get(n) for n in _names(f.__code__)] for f in (thing, there)]
    return alike and all(a is b for a, b in zip(*reached, strict=True))


def _shape(node):
    """A syntax tree as lists: no places, no docstrings, nothing that is empty."""
    if isinstance(node, list):
        return [_shape(inner) for inner in node]
    if not isinstance(node, ast.AST):
        return node if isinstance(node, str | int | float | bool | None) else repr(node)
    documented = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    if isinstance(node, ast.Constant):
        fields = {"value": [type(node.value).__name__, repr(node.value)]}
    return [type(node).__name__, *([name, _shape(value)] for name, value in fields.items())]


def _described(thing, seen):
    """What decides how `thing` works, as lists and text; what was seen is its name."""
    if isinstance(thing, functools.partial):
        parts = thing.func, thing.args, sorted(thing.keywords.items())
        return ["partial", *(_described(part, seen) for part in parts)]
    if isinstance(thing, types.MethodType):
        return ["method", _described(thing.__func__, seen), _described(thing.__self__, seen)]
    if isinstance(thing, list | tuple | set | frozenset):
        inner = [_described(value, seen) for value in thing]
        return sorted(inner, key=repr) if isinstance(thing, set | frozenset) else inner
    if isinstance(thing, dict):
        return [[repr(key), _described(value, seen)] for key, value in thing.items()]
    is_class = isinstance(thing, type)
    if not is_class and hasattr(thing, "dtype") and hasattr(thing, "tolist"):  # tensor, array
        return [str(thing.dtype), digest(repr(thing.tolist()))]
    if isinstance(thing, types.ModuleType):
        return thing.__name__
    if not isinstance(thing, types.FunctionType | type):
        if isinstance(wrapped := getattr(thing, "__wrapped__", None), types.FunctionType):
            return _described(wrapped, seen)  # what functools.cache gives back
        text = re.sub(r" at 0x[0-9a-f]+", "", repr(thing))
        if id(thing) in seen or not _of_a_notebook(type(thing)):
            return text
        seen.add(id(thing))
        held = getattr(thing, "__dict__", {})
        return [text, _described(type(thing), seen), _described(held, seen)]
    name = f"{thing.__module__}.{thing.__qualname__}"
    if id(thing) in seen or not _of_a_notebook(thing):
        return name
    seen.add(id(thing))
    if is_class:
        own = {k: v for k, v in vars(thing).items() if k not in ("__doc__", "__dict__")}
        own = {k: v for k, v in own.items() if not isinstance(v, types.GetSetDescriptorType)}
        bases = [_described(base, seen) for base in thing.__bases__]
        return [name, bases, [[k, _described(_plain(v), seen)] for k, v in sorted(own.items())]]
    reached = {n: thing.__globals__[n] for n in _names(thing.__code__) if n in thing.__globals__}
    if thing.__closure__:
        cells = zip(thing.__code__.co_freevars, thing.__closure__, strict=True)
        reached |= {n: cell.cell_contents for n, cell in cells}
    defaults = [thing.__defaults__ or (), thing.__kwdefaults__ or {}]
    reached = [[n, _described(value, seen)] for n, value in sorted(reached.items())]
    return [_code(thing), _described(defaults, seen), reached]


def _of_a_notebook(thing):
    """Whether the code of `thing` is a notebook's or a script's own: no installed package's."""
    if thing.__module__ == "__main__":
        return True
    if thing.__module__.split(".")[0] in sys.stdlib_module_names:
        return False
    try:
        file = inspect.getfile(thing)
    except (TypeError, OSError):
        return False
    return "site-packages" not in file and "dist-packages" not in file and not _is_ours(thing)


def _plain(member):
    if isinstance(member, staticmethod | classmethod):
        return member.__func__
    if isinstance(member, functools.cached_property):
        return member.func
    return member.fget if isinstance(member, property) else member


def _names(code):
    """The names that compiled code may look up, those of the functions within it as well."""
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return sorted({*code.co_names, *(name for c in inner for name in _names(c))})


def _code(function):
    try:
        return code_of(inspect.getsource(function))
    except (OSError, TypeError, SyntaxError):  # no source, or part of a line: what it compiles to
        return _compiled(function.__code__)


def _compiled(code):
    consts = [_compiled(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return [code.co_code.hex(), consts, list(code.co_names)]
