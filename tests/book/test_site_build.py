"""Rendering the site: every kind of breakage is found, the theme is chosen, Colab is served."""

import functools
import http.server
import importlib.metadata
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import types
import urllib.request
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell

from book import site
from book.repository import github, set_github
from book.site import SiteError, build_site, choose_theme
from lib.colab import install_missing

from .test_plugins import ROOT, make_book, make_cell, make_notebook, make_theme


def setup_cell(path: Path) -> str:
    """The source of a notebook's setup cell: the one that names the repository."""
    cells = nbformat.read(path, as_version=4).cells
    (source,) = [c.source for c in cells if c.cell_type == "code" and "REPOSITORY = " in c.source]
    return source


BROKEN = """---
title: Report
---

See [](#nowhere), [a section](#lost), {ref}`no_label` and [a page](gone.md).

:::{figure} #no_such_cell
:label: fig_missing
:alt: Nothing
A cell that is not there.
:::

:::{figure} #silent
:label: fig_silent
:alt: Nothing
A cell that put nothing out.
:::

:::{figure} #loss
:label: fig_no_alt
A figure without alt text.
:::

![](drawn.svg)

:::{embed} #no_such_code
:::

Raw {result} `01_baseline.losses.official` here.

Quoted `{result}`01_baseline.losses.official`` here.
"""


def test_every_kind_of_breakage_is_found_with_page_and_name(tmp_path):
    root = make_book(tmp_path / "book", BROKEN)
    (root / "drawn.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (root / "forgotten.md").write_text("# Forgotten\n")
    (root / "README.md").write_text("# Listed under exclude\n")
    config = root / "myst.yml"
    config.write_text(config.read_text().replace("  toc:", "  exclude: [README.md]\n  toc:"))
    make_notebook(
        root / "notebooks" / "01_baseline.ipynb",
        make_cell("loss"),
        make_cell("mute", alt="<Figure size 640x480 with 1 Axes>"),
        new_code_cell("#| label: silent\nx = 1"),
    )
    with pytest.raises(SiteError) as error:
        build_site(root, "plain")
    found = str(error.value)
    for line in (
        "index.md:5: the reference to nowhere resolves to nothing",
        "index.md:5: the reference to lost resolves to nothing",
        "index.md:5: the reference to no_label resolves to nothing",
        "index.md:5: the reference to gone.md resolves to nothing",
        "index.md:10: figure fig_missing shows nothing; is there a cell labelled no_such_cell",
        "index.md:16: figure fig_silent shows nothing; is there a cell labelled silent",
        "index.md:21: figure fig_no_alt has no alt text",
        "index.md:24: the image drawn.svg has no alt text",
        "index.md: embed no_such_code shows nothing; is there a cell labelled no_such_code",
        "index.md:29: {result} stands there as text",
        "index.md:31: {result} stands there as text",
        "notebooks/01_baseline.ipynb cell mute: its image has no text/plain",
        "forgotten.md: is in no table of contents",
    ):
        assert line in found, f"{line}\nis not in\n{found}"
    assert "README" not in found and "cell loss" not in found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("![A picture](missing.png)", 'Cannot find image "missing.png"'),
        ("{no-such-role}`x`", "unknown role: no-such-role"),
        (":::{no-such-directive}\n:::", "unknown directive: no-such-directive"),
    ],
)
def test_what_myst_itself_complains_of_stops_the_build(tmp_path, text, why):
    root = make_book(tmp_path / "book", f"# Report\n\n{text}\n", notebooks=())
    with pytest.raises(SiteError) as error:
        build_site(root, "plain")
    assert "index.md" in str(error.value) and why in str(error.value)


def test_a_sound_book_is_rendered_afresh_under_a_base_url(tmp_path, capsys):
    root = make_book(tmp_path / "book", "# Report\n")
    stale = root / "_build" / "site" / "content" / "stale.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    html = build_site(root, "plain", base_url="/seven-epochs/")
    assert html == root / "_build" / "html"
    assert "plain at /seven-epochs" in (html / "index.html").read_text()
    assert not stale.exists()
    out = capsys.readouterr().out
    assert "theme: plain (asked for)" in out
    assert "make github SLUG=owner/name" in out  # no repository is known


class Registry(http.server.BaseHTTPRequestHandler):
    """A template registry as the MyST command asks it: a description, then a zip."""

    asked: list
    bundle: bytes

    def do_GET(self):
        self.asked.append(self.path)
        link = f"http://127.0.0.1:{self.server.server_port}/book-theme.zip"
        if self.path == "/templates/site/myst/book-theme":
            body = json.dumps({"links": {"download": link}}).encode()
        elif self.path == "/book-theme.zip":
            body = self.bundle
        else:
            return self.send_error(404)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def registry(tmp_path, monkeypatch):
    folder = make_theme(tmp_path / "stand-in", "stand-in-book-theme")
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as file:
        for path in folder.rglob("*"):
            file.write(path, path.relative_to(folder))
    handler = type("Handler", (Registry,), {"asked": [], "bundle": bundle.getvalue()})
    server, address = serve(handler)
    monkeypatch.setenv("API_URL", address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield handler
    server.shutdown()


def test_official_theme_is_taken_where_its_registry_answers(tmp_path, registry, capsys):
    root = make_book(tmp_path / "book", "# Report\n", notebooks=())
    html = build_site(root)
    assert "theme: book (the official theme, from http://127.0.0.1" in capsys.readouterr().out
    assert "stand-in-book-theme" in (html / "index.html").read_text()
    assert registry.asked.count("/templates/site/myst/book-theme") == 2  # the probe, then MyST
    registry.asked.clear()
    assert choose_theme(root) == ("book", "downloaded earlier")
    assert choose_theme(root, "plain") == ("plain", "asked for")
    assert registry.asked == []


def test_plain_theme_serves_where_there_is_no_registry(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    root = make_book(tmp_path / "book", "# Report\n", notebooks=())
    html = build_site(root)
    out = capsys.readouterr().out
    assert "theme: plain (the official theme is out of reach at http://127.0.0.1:9: " in out
    assert out.count("theme:") == 1
    assert "plain at" in (html / "index.html").read_text()
    with pytest.raises(SiteError, match=r"(?s)could not build the site.*THEME=plain"):
        build_site(root, "book")


@pytest.mark.parametrize("answer", ["hangs", "drips", "404", "not json", "no zip"])
def test_registry_that_is_no_use_is_given_up_in_time(tmp_path, monkeypatch, answer):
    class Useless(Registry):
        def do_GET(self):
            if answer == "hangs":
                time.sleep(8)
            self.send_response(404 if answer == "404" else 200)
            self.end_headers()
            for _ in range(40 if answer == "drips" else 0):  # never silent for long
                self.wfile.write(b" ")
                time.sleep(0.2)
            if answer == "no zip":
                self.wfile.write(b'{"links": {"download": "http://127.0.0.1:9/x.zip"}}')

        asked, bundle = [], b""

    server, address = serve(Useless)
    monkeypatch.setenv("API_URL", address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(site, "PROBE_SECONDS", 0.5)
    start = time.monotonic()
    theme, why = choose_theme(tmp_path)
    assert time.monotonic() - start < 5
    assert theme == "plain" and address in why
    server.shutdown()


def test_unknown_theme_and_missing_book_are_plain_errors(tmp_path):
    with pytest.raises(SiteError, match="no theme 'pretty'; choose auto, book or plain"):
        choose_theme(tmp_path, "pretty")
    with pytest.raises(SiteError, match=r"has no myst\.yml"):
        build_site(tmp_path)


def test_node_that_is_missing_or_old_is_a_plain_error(tmp_path, monkeypatch):
    root = make_book(tmp_path / "book", "# Report\n", notebooks=())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(SiteError, match=r"Node is not installed\. MyST needs Node 20 or later"):
        build_site(root)
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text("#!/bin/sh\necho v18.19.1\n")
    node.chmod(0o755)
    with pytest.raises(SiteError, match=r"Node is v18\.19\.1\. MyST needs Node 20 or later"):
        build_site(root)


def test_serve_site_shows_what_was_rendered(tmp_path, capsys):
    html = tmp_path / "_build" / "html"
    html.mkdir(parents=True)
    (html / "index.html").write_text("the front page")
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as taken:
        port = taken.server_port
        with pytest.raises(SiteError, match=f"port {port} cannot be used"):
            site.serve_site(tmp_path, port)
    threading.Thread(target=site.serve_site, args=(tmp_path, port), daemon=True).start()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(50):
        try:
            with opener.open(f"http://127.0.0.1:{port}/") as answer:
                assert answer.read() == b"the front page"
            break
        except OSError:
            time.sleep(0.1)
    else:
        pytest.fail("the server did not start")


def test_set_github_writes_one_place_and_keeps_the_rest(tmp_path):
    shutil.copy(ROOT / "myst.yml", tmp_path)
    before = (tmp_path / "myst.yml").read_text().splitlines()
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "run_all.ipynb", tmp_path / "notebooks")
    notebook = tmp_path / "notebooks" / "run_all.ipynb"
    raw = notebook.read_text(encoding="utf-8").splitlines()
    for slug in ("some-one/seven.epochs", "https://github.com/other/book_2.git"):
        set_github(tmp_path, slug)
        name = slug.removeprefix("https://github.com/").removesuffix(".git")
        after = (tmp_path / "myst.yml").read_text().splitlines()
        changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        assert [new for _, new in changed] == [f"  github: {name}"]
        assert github(tmp_path) == name
        assert f'REPOSITORY = "{name}"' in setup_cell(notebook)
        now = notebook.read_text(encoding="utf-8").splitlines()
        assert sum(a != b for a, b in zip(raw, now, strict=True)) == 1


@pytest.mark.parametrize("slug", ["", "name", "a/b/c", "own er/name", "owner/na me", "-a/b"])
def test_set_github_refuses_what_is_no_repository(tmp_path, slug):
    shutil.copy(ROOT / "myst.yml", tmp_path)
    before = (tmp_path / "myst.yml").read_text()
    with pytest.raises(ValueError, match="write it as owner/name"):
        set_github(tmp_path, slug)
    assert (tmp_path / "myst.yml").read_text() == before


def test_setup_cells_are_one_text_and_in_step_with_myst_yml():
    cells = {path.name: setup_cell(path) for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert len(set(cells.values())) == 1, cells.keys()
    text = (ROOT / "myst.yml").read_text(encoding="utf-8")
    known = "\n  github: " in text
    assert f'REPOSITORY = "{github(ROOT) if known else ""}"' in cells["run_all.ipynb"]


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
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.file://{remote}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/owner/seven-epochs")
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


def test_setup_cell_fetches_the_book_in_colab(colab):
    content, cell = colab
    cell = cell.replace('REPOSITORY = ""', 'REPOSITORY = "owner/seven-epochs"')
    exec(cell, {})
    book = content / "seven-epochs"
    assert Path.cwd() == book and sys.path[0] == str(book)
    assert sys.modules["lib.colab"].__file__ == str(book / "lib" / "colab.py")
    (book / "mine.txt").write_text("kept")
    exec(cell, {})  # again in the same kernel: nothing to do
    os.chdir(content)
    exec(cell, {})  # after a restart of the kernel: the clone is there
    assert Path.cwd() == book and (book / "mine.txt").exists()


def test_setup_cell_without_a_repository_says_what_to_do(colab):
    content, cell = colab
    with pytest.raises(RuntimeError, match="Set REPOSITORY above to the book's owner/name"):
        exec(cell, {})
    assert list(content.iterdir()) == []


def test_setup_cell_does_nothing_elsewhere(colab, monkeypatch):
    content, cell = colab
    monkeypatch.delitem(sys.modules, "google.colab")
    paths = list(sys.path)
    exec(cell.replace('REPOSITORY = ""', 'REPOSITORY = "owner/seven-epochs"'), {})
    assert Path.cwd() == content and list(content.iterdir()) == [] and sys.path == paths


def make_wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


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
    return tmp_path


def test_install_missing_asks_only_for_what_is_not_there(pip):
    (pip / "requirements.txt").write_text(
        "# packages\npytest==9999\nPy_Test.None==1\nAbsent-One==1.5  # pinned\n"
    )
    with pytest.raises(subprocess.CalledProcessError):
        install_missing()  # Py_Test.None is in no index
    text = (pip / "requirements.txt").read_text()
    (pip / "requirements.txt").write_text(text.replace("Py_Test.None==1\n", ""))
    assert install_missing() == ["Absent-One==1.5"]


def test_install_missing_leaves_out_what_colab_has_no_use_for(pip, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: [])
    (pip / "requirements.txt").write_text("ipykernel==1\nmystmd==1\n")
    assert install_missing() == []


def test_install_missing_never_replaces_what_is_loaded(pip, capfd):
    (pip / "requirements.txt").write_text("greedy==1.0\n")
    with pytest.raises(subprocess.CalledProcessError):
        install_missing()
    said = capfd.readouterr()
    assert "greedy 1.0 depends on pytest>=9999" in said.out + said.err


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")))
def test_workflows_have_least_permissions_and_pinned_actions(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        granted = {name for name, level in job.get("permissions", {}).items() if level == "write"}
        deploys = any("deploy-pages" in step.get("uses", "") for step in job["steps"])
        assert granted == ({"pages", "id-token"} if deploys else set())
        for step in job["steps"]:
            assert re.fullmatch(
                r"actions/[\w-]+@(v\d+|[0-9a-f]{40})", step.get("uses", "actions/x@v1")
            )
