"""Where the book lies on GitHub: a remote is read however it is written, and never printed."""

import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

from book.repository import branch, elsewhere, github, parse_remote, set_github

from ..conftest import ROOT

KEY = "hidden-credential"


def setup_cell(path: Path) -> str:
    """The source of a notebook's setup cell: the one that names the repository."""
    cells = nbformat.read(path, as_version=4).cells
    (source,) = [c.source for c in cells if c.cell_type == "code" and "REPOSITORY = " in c.source]
    return source


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """An ssh whose configuration knows two aliases, written as a person writes them."""
    real = shutil.which("ssh")
    if real is None:
        pytest.skip("there is no ssh")
    config = tmp_path / "ssh_config"
    config.write_text(
        "Host work gh-*\n  HostName GitHub.com\n  User git\n"
        "Host behind\n  HostName ssh.github.com\n  Port 443\n"
        "Host lab\n  HostName gitlab.com\n"
    )
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(f'#!/bin/sh\nexec {real} -F {config} "$@"\n')
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


REMOTES = [
    "https://github.com/some-one/seven.epochs",
    "https://github.com/some-one/seven.epochs.git",
    "https://github.com/some-one/seven.epochs/",
    "https://github.com/some-one/seven.epochs.git/",
    "http://github.com/some-one/seven.epochs//",
    "https://GitHub.com/some-one/seven.epochs.git\n",
    "HTTPS://github.com:443/some-one/seven.epochs.git",
    "https://www.github.com/some-one/seven.epochs",
    f"https://some-one:{KEY}@github.com/some-one/seven.epochs.git",
    f"https://{KEY}@github.com/some-one/seven.epochs.git",
    f"https://{KEY}:x-oauth-basic@github.com/some-one/seven.epochs",
    f"https://x-access-token:{KEY}%40@github.com/some-one/seven.epochs/",
    f"https://some@one.org:p@{KEY}@github.com/some-one/seven.epochs.git",
    "git://github.com/some-one/seven.epochs.git",
    "git@github.com:some-one/seven.epochs.git",
    "git@github.com:/some-one/seven.epochs.git/",
    "github.com:some-one/seven.epochs",
    "org-1234@github.com:some-one/seven.epochs.git",
    "ssh://git@github.com/some-one/seven.epochs.git",
    "ssh://git@github.com:22/some-one/seven.epochs.git",
    "ssh://git@ssh.github.com:443/some-one/seven.epochs.git",
    "git@ssh.github.com:some-one/seven.epochs.git",
    "git+ssh://git@github.com/some-one/seven.epochs.git",
    "work:some-one/seven.epochs.git",
    "git@gh-2:some-one/seven.epochs",
    "ssh://git@behind/some-one/seven.epochs.git",
    "ssh://behind:443/some-one/seven.epochs",
]
OTHERS = [
    "",
    "some-one/seven.epochs",
    "/srv/git/seven.epochs.git",
    "../seven.epochs",
    "C:/books/seven.epochs",
    r"C:\books\seven.epochs",
    "file:///srv/git/some-one/seven.epochs",
    "https://gitlab.com/some-one/seven.epochs.git",
    "https://github.com.example.org/some-one/seven.epochs",
    "https://notgithub.com/some-one/seven.epochs",
    "https://github.com@example.org/some-one/seven.epochs",
    "https://example.org/@github.com/some-one/seven.epochs",
    f"https://{KEY}@example.org/github.com/some-one/seven.epochs",
    "https://github.com/some-one",
    "https://github.com/some-one/seven.epochs/tree/main",
    "https://github.com/some-one/seven epochs",
    "https://github.com/some-one/..",
    "https://github.com/some-one/.git",
    "https://github.com/-one/seven.epochs",
    f"https://github.com/{'o' * 40}/seven.epochs",
    "https://gist.github.com/some-one/0123456789abcdef",
    "https://work/some-one/seven.epochs",  # an alias is known to ssh alone
    "git@lab:some-one/seven.epochs.git",
    "git@-oProxyCommand=x:some-one/seven.epochs",
    "ssh://git@example.org/some-one/seven.epochs.git",
]


@pytest.mark.parametrize("remote", REMOTES)
def test_a_remote_on_github_is_understood_however_it_is_written(remote, ssh):
    assert parse_remote(remote) == "some-one/seven.epochs"


@pytest.mark.parametrize("remote", OTHERS)
def test_any_other_remote_is_not_known(remote, ssh):
    assert parse_remote(remote) is None


@pytest.mark.parametrize("owner", ["some_one", "o", "Some-One", "9", "one_corp", "o" * 39])
@pytest.mark.parametrize("name", ["n", "_n", ".github", "a..b", "N-1.0_x"])
def test_owners_and_names_of_github(owner, name):
    assert parse_remote(f"https://{KEY}@github.com/{owner}/{name}.git") == f"{owner}/{name}"


def test_an_ssh_that_fails_or_is_not_there_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert parse_remote("git@work:some-one/seven.epochs") is None
    (tmp_path / "ssh").write_text("#!/bin/sh\nexit 255\n")
    (tmp_path / "ssh").chmod(0o755)
    assert parse_remote("git@work:some-one/seven.epochs") is None


@pytest.fixture
def clone(tmp_path):
    """A book in a clone of git, and the way to call git there."""
    root = tmp_path / "book"
    root.mkdir()

    def git(*arguments, where=root):
        who = ("-c", "user.name=x", "-c", "user.email=x@x")
        subprocess.run(["git", *who, *arguments], cwd=where, check=True, capture_output=True)

    git("init", "-q", "-b", "trunk")
    (root / "myst.yml").write_text("version: 1\nproject:\n  title: Book\n")
    return root, git


def test_the_repository_is_that_of_myst_yml_then_the_remote(clone):
    root, git = clone
    assert github(root) is None  # no remote
    git("remote", "add", "origin", f"https://{KEY}@github.com/some_one/book.git/")
    assert github(root) == "some_one/book"
    git("remote", "set-url", "origin", f"https://{KEY}@example.org/some_one/book.git")
    assert github(root) is None
    for written in (
        "an-other/book",
        "'an-other/book'  # a comment",
        "https://github.com/an-other/book.git",
    ):
        (root / "myst.yml").write_text(
            f"version: 1\nproject:\n    github: {written}\n    title: Book\n"
        )
        assert github(root) == "an-other/book"
    (root / "myst.yml").write_text("version: 1\nproject:\n  github:\n  title: Book\n")
    assert github(root) is None


def test_a_folder_that_is_no_clone_has_no_repository(clone, tmp_path, monkeypatch):
    root, _ = clone
    shutil.rmtree(root / ".git")
    assert (github(root), branch(root)) == (None, "main")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (github(root), branch(root)) == (None, "main")  # no git either


@pytest.mark.parametrize(
    "written",
    [
        f"https://{KEY}@github.com/some-one/book",  # MyST would write it into the site
        f"https://{KEY}@example.org/some-one/book",
        f"git@example.org:{KEY}/some-one/book.git",
        "bookname",
        "[some-one, book]",
        "512",
    ],
)
def test_what_is_no_repository_in_myst_yml_is_an_error_that_repeats_nothing(clone, written):
    root, _ = clone
    (root / "myst.yml").write_text(f"version: 1\nproject:\n  github: {written}\n")
    with pytest.raises(ValueError, match=r"project\.github in myst\.yml .* write owner/name") as e:
        github(root)
    assert KEY not in str(e.value) and written not in str(e.value)


def test_the_branch_is_the_remotes_default(clone, tmp_path):
    root, git = clone
    assert branch(root) == "main"  # nothing is known
    git("add", ".")
    git("commit", "-qm", "Book")
    git("branch", "main")
    cloned = tmp_path / "clone"
    git("clone", "-q", str(root), str(cloned))
    git("checkout", "-q", "main", where=cloned)
    assert branch(cloned) == "trunk"
    git("remote", "set-head", "origin", "main", where=cloned)
    assert branch(cloned) == "main"
    git("remote", "set-head", "origin", "--delete", where=cloned)
    assert branch(cloned) == "main"  # two branches, and no word about either
    git("update-ref", "-d", "refs/remotes/origin/main", where=cloned)
    assert branch(cloned) == "trunk"  # as a workflow's checkout has it: the only one there is
    git("branch", "-q", "-M", "work/two", where=root)
    fresh = tmp_path / "fresh"
    git("clone", "-q", str(root), str(fresh))
    assert branch(fresh) == "work/two"


@pytest.fixture
def book(tmp_path):
    """This book's myst.yml and one of its notebooks."""
    shutil.copy(ROOT / "myst.yml", tmp_path)
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "run_all.ipynb", tmp_path / "notebooks")
    return tmp_path


def test_set_github_writes_one_place_and_keeps_the_rest(book):
    before = (book / "myst.yml").read_text().splitlines()
    notebook = book / "notebooks" / "run_all.ipynb"
    raw = notebook.read_text(encoding="utf-8").splitlines()
    for slug in ("some-one/seven.epochs", f"https://{KEY}@github.com/other_one/book_2.git/"):
        name = set_github(book, slug)
        assert name == ("other_one/book_2" if KEY in slug else slug)
        after = (book / "myst.yml").read_text().splitlines()
        changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        assert [new for _, new in changed] == [f"  github: {name}"]
        assert github(book) == name
        assert f'REPOSITORY = "{name}"' in setup_cell(notebook)
        now = notebook.read_text(encoding="utf-8").splitlines()
        assert sum(a != b for a, b in zip(raw, now, strict=True)) == 1


def test_set_github_adds_the_line_where_there_is_none(clone):
    root, _ = clone
    set_github(root, "some-one/book")
    text = (root / "myst.yml").read_text()
    assert text == "version: 1\nproject:\n  github: some-one/book\n  title: Book\n"


@pytest.mark.parametrize(
    "slug",
    ["", "name", "a/b/c", "own er/name", "owner/na me", "-a/b", "a/..", f"https://{KEY}@x.org/a/b"],
)
def test_set_github_refuses_what_is_no_repository(book, slug):
    before = (book / "myst.yml").read_text()
    with pytest.raises(ValueError, match="write it as owner/name") as error:
        set_github(book, slug)
    assert KEY not in str(error.value)
    assert (book / "myst.yml").read_text() == before


def test_notebooks_that_fetch_another_book_are_found(book):
    (book / "notebooks" / "prose.ipynb").write_text("{}")  # has no setup cell
    assert elsewhere(book, "some-one/book") == ["run_all.ipynb"]  # empty
    set_github(book, "some-one/book")
    assert elsewhere(book, "some-one/book") == []
    assert elsewhere(book, "a-fork/book") == ["run_all.ipynb"]


def test_setup_cells_are_one_text_and_in_step_with_myst_yml():
    cells = {path.name: setup_cell(path) for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert len(set(cells.values())) == 1, cells.keys()
    known = "\n  github: " in (ROOT / "myst.yml").read_text(encoding="utf-8")
    assert f'REPOSITORY = "{github(ROOT) if known else ""}"' in cells["run_all.ipynb"]
