"""The setup cell of the notebooks in an emulated Colab, and what it installs there."""

import functools
import importlib.metadata
import os
import random
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest
from packaging.version import InvalidVersion, Version

from book.run import resolve_stories
from lib import data
from lib.colab import PIN, install_missing

from ..book.test_repository import setup_cell
from ..conftest import ROOT

EMPTY, SLUG = 'REPOSITORY = ""', 'REPOSITORY = "owner/seven-epochs"'


@pytest.fixture
def colab(tmp_path, monkeypatch):
    """A Python that looks like Colab's, a remote repository on this disk, and its setup cell."""
    remote = tmp_path / "remote"
    (remote / "lib").mkdir(parents=True)
    (remote / "lib" / "__init__.py").write_text("")
    shutil.copy(ROOT / "lib" / "colab.py", remote / "lib")
    (remote / "requirements.txt").write_text("pytest==0.0.1  # there, at another version\n")
    git = functools.partial(subprocess.run, cwd=remote, check=True)
    git(["git", "init", "-q"])
    git(["git", "add", "."])
    git(["git", "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "Book"])
    monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.file://{remote}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/owner/seven-epochs")
    monkeypatch.setenv("GIT_CONFIG_KEY_1", f"url.file://{tmp_path}/absent.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_1", "https://github.com/owner/absent")
    content = tmp_path / "content"
    content.mkdir()
    monkeypatch.chdir(content)
    monkeypatch.setattr(sys, "path", list(sys.path))
    loaded = {name for name in sys.modules if name == "lib" or name.startswith("lib.")}
    for name in loaded:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    cell = setup_cell(ROOT / "notebooks" / "run_all.ipynb").replace("/content", str(content))
    yield content, cell
    for name in [n for n in sys.modules if n == "lib" or n.startswith("lib.")]:
        del sys.modules[name]


def test_setup_cell_fetches_the_book_in_colab(colab, capfd):
    content, cell = colab
    cell = cell.replace(EMPTY, SLUG)
    exec(cell, {})
    book = content / "seven-epochs"
    assert Path.cwd() == book and sys.path[0] == str(book)
    assert sys.modules["lib.colab"].__file__ == str(book / "lib" / "colab.py")
    (book / "mine.txt").write_text("kept")
    exec(cell, {})  # again in the same kernel: nothing to do
    os.chdir(content)
    exec(cell, {})  # after a restart of the kernel: the clone is there
    assert Path.cwd() == book and (book / "mine.txt").exists()
    assert capfd.readouterr() == ("", "")


def test_a_setup_cell_that_failed_fails_again(colab, monkeypatch):
    content, cell = colab
    cell = cell.replace(EMPTY, SLUG)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (content / "seven-epochs").mkdir()  # of a clone that was interrupted
    exec(cell, {})
    wanted = content / "seven-epochs" / "requirements.txt"
    wanted.write_text("absent-one==1.5\n")
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"pip could not install absent-one==1\.5"):
            exec(cell, {})


@pytest.mark.parametrize("written", ["", "seven-epochs"])
def test_setup_cell_without_a_repository_says_what_to_do(colab, written):
    content, cell = colab
    with pytest.raises(RuntimeError, match="Set REPOSITORY above to the book's owner/name"):
        exec(cell.replace(EMPTY, f'REPOSITORY = "{written}"'), {})
    assert list(content.iterdir()) == []


def test_setup_cell_of_a_repository_that_cannot_be_had_is_a_sentence(colab, monkeypatch):
    content, cell = colab
    with pytest.raises(RuntimeError) as error:
        exec(cell.replace(EMPTY, 'REPOSITORY = "owner/absent"'), {})
    said = str(error.value)
    assert said.startswith("https://github.com/owner/absent cannot be cloned. Is it spelt right, ")
    assert "fatal: " in said and "/absent" in said.split("git says")[1]
    assert list(content.iterdir()) == []
    git = content.parent / "bin" / "git"  # a private repository: git would ask who we are
    git.parent.mkdir()
    git.write_text(
        '#!/bin/sh\n[ "$GIT_TERMINAL_PROMPT" = 0 ] || exit 0\necho no asking >&2\nexit 1\n'
    )
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(git.parent), prepend=os.pathsep)
    with pytest.raises(RuntimeError, match=r"and public.*no asking"):
        exec(cell.replace(EMPTY, SLUG), {})


def test_setup_cell_does_nothing_elsewhere(colab, monkeypatch):
    content, cell = colab
    monkeypatch.delitem(sys.modules, "google.colab")
    paths = list(sys.path)
    exec(cell.replace(EMPTY, SLUG), {})
    assert Path.cwd() == content and list(content.iterdir()) == [] and sys.path == paths


def test_a_whole_run_in_colab_finds_what_was_uploaded(tmp_path, monkeypatch):
    """The notebooks that `run_all` executes get a path that holds wherever they run."""
    book = tmp_path / "seven-epochs"
    book.mkdir()
    (tmp_path / "mine.txt").write_text("".join(f"A headline, the {i}th\n" for i in range(2_000)))
    monkeypatch.setattr(data, "UPLOADS", tmp_path)
    monkeypatch.chdir(book)
    stories, titles = resolve_stories("smoke", "mine.txt")
    assert stories == str(tmp_path / "mine.txt") and len(titles.train) == 1_800


def make_wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def install(folder: Path, name: str, version: str) -> Path:
    """Put the metadata of an installed package into `folder`."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "INSTALLER").write_text("test")
    return info


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """The real pip, resolving from a folder of hand-made wheels and installing nothing."""
    monkeypatch.setenv("PIP_DRY_RUN", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    make_wheel(tmp_path, "absent_one", "1.5", "pytest")
    make_wheel(tmp_path, "absent_one", "2.0", "pytest")
    make_wheel(tmp_path, "greedy", "1.0", "pytest>=9999")
    make_wheel(tmp_path, "pytest", "9999")
    make_wheel(tmp_path, "wants_twice", "1.0", "twice")
    make_wheel(tmp_path, "twice", "4.12")
    return tmp_path


def test_install_missing_asks_only_for_what_is_not_there(pip, capfd):
    (pip / "requirements.txt").write_text(
        "# packages\npytest==9999\nPy_Test.None==1\nAbsent-One==1.5  # pinned\n"
    )
    with pytest.raises(RuntimeError, match=r"install Py_Test\.None==1, Absent-One==1\.5"):
        install_missing()  # Py_Test.None is in no index
    text = (pip / "requirements.txt").read_text()
    (pip / "requirements.txt").write_text(text.replace("Py_Test.None==1\n", ""))
    assert install_missing() == ["Absent-One==1.5"]
    assert capfd.readouterr() == ("", "")


def test_install_missing_leaves_out_what_colab_has_no_use_for(pip, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: [])
    (pip / "requirements.txt").write_text("ipykernel==1\nmystmd==1\n")
    assert install_missing() == []


def test_install_missing_never_replaces_what_is_loaded(pip):
    (pip / "requirements.txt").write_text("greedy==1.0\n")
    with pytest.raises(RuntimeError, match=r"greedy 1\.0 depends on pytest>=9999"):
        install_missing()


def test_of_a_package_that_lies_twice_the_first_on_the_path_is_kept(pip, monkeypatch):
    first, second = pip / "colab", pip / "debian"
    install(first, "twice", "4.15")
    install(second, "Twice", "4.12")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (first, second))))  # of pip
    monkeypatch.setattr(sys, "path", [*map(str, (first, second)), *sys.path])
    (pip / "requirements.txt").write_text("wants_twice==1.0\n")
    assert install_missing() == ["wants_twice==1.0"]
    pins = (pip / "_build" / "preinstalled.txt").read_text().splitlines()
    assert [pin for pin in pins if pin.startswith("twice==")] == ["twice==4.15"]


def test_a_package_of_colab_that_is_odd_does_not_stop_the_cell(pip, monkeypatch):
    colab = pip / "colab"
    install(colab, "odd", "2.0-custom.build")
    install(colab, "older", "2011k-1ubuntu2")
    install(colab, "bad name!", "1.0")
    (install(colab, "empty", "1.0") / "METADATA").write_text("")
    (install(colab, "bare", "1.0") / "METADATA").unlink()
    (install(colab, "binary", "1.0") / "METADATA").write_bytes(b"Name: caf\xe9\xff\nVersion: 1\n")
    monkeypatch.setattr(sys, "path", [str(colab), *sys.path])
    (pip / "requirements.txt").write_text("odd==1.0\nolder==1.0\nabsent_one==1.5\n")
    assert install_missing() == ["absent_one==1.5"]  # the odd ones are there


def test_a_version_is_read_as_packaging_reads_it():
    chance = random.Random(1337)
    parts = ["1", "0", "22", ".", "!", "v", "a", "b1", "rc", "-", "_", "+", "post", "dev", "cu126",
             "alpha", "rev", "preview3", "ubuntu2", " ", "~", "1.2", ".dev0", "+g1f"]  # fmt: skip
    versions = ["".join(chance.choices(parts, k=chance.randint(1, 5))) for _ in range(20_000)]

    def valid(version):
        try:
            return bool(Version(version)) and version == version.strip()
        except InvalidVersion:
            return False

    expected = [version for version in versions if valid(version)]
    assert [v for v in versions if PIN.fullmatch(f"name=={v}\n")] == expected
    assert 1_000 < len(expected) < 19_000
