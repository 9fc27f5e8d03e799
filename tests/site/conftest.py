"""What the browser's tests share: a built book, its server, and a Chromium whose errors are noted.

Most tests run on two books, both built with the plain theme: the sample beside this file, which has
everything that a page can hold, and the book itself, executed on `smoke`. `BOOK_HTML` names another
book (an `html` folder written by MyST) to test instead. Without Chromium these tests are skipped,
or fail if `CI` is set.

The official theme is taken from the folder that BOOK_THEME_DIR names (with its packages installed),
or downloaded if THEME is `book`; otherwise the tests on it are skipped.
"""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from filelock import FileLock
from playwright.sync_api import expect, sync_playwright

from book.site import OFFICIAL_THEME, build_site

from ..conftest import IN_PARALLEL

HERE = Path(__file__).parent
THEME = HERE.parents[1] / "theme"
LIMIT = 120_000  # milliseconds, of whatever is waited for: other work may share the cores
expect.set_options(timeout=LIMIT)
ABSENT = "no official theme here: name its folder in BOOK_THEME_DIR, or set THEME=book"


def build_sample(folder, base=""):
    """Builds the sample with the plain theme; returns its html folder and what MyST said."""
    shutil.copytree(HERE / "sample", folder, ignore=shutil.ignore_patterns("_build"))
    config = folder / "myst.yml"
    text = config.read_text("utf-8").replace("../../..", THEME.parent.as_posix())
    config.write_text(text, "utf-8")
    scripts = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "BASE_URL": base}
    myst = shutil.which("myst", path=env["PATH"])
    command = [myst, "build", "--html"]
    run = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder / "_build" / "html", run.stdout + run.stderr


def serious_issues(page, within: str | None = None) -> list[str]:
    """What axe finds serious or critical in a page, or in what the selector `within` names."""
    return [
        f"{page.url}: {issue['id']}: {node['html'][:120]}: {node['failureSummary']}"
        for issue in Axe().run(page, context=within).response["violations"]
        if issue["impact"] in ("serious", "critical")
        for node in issue["nodes"]
    ]


def build_in(root, theme, base=""):
    """Builds the book in `root` with a theme, to be served from `base`; returns its html folder.

    Skips where the theme is not here.
    """
    if theme == "book":
        if folder := os.environ.get("BOOK_THEME_DIR"):
            place = root / "_build" / OFFICIAL_THEME
            place.parent.mkdir(parents=True)
            place.symlink_to(Path(folder).resolve(), target_is_directory=True)
        elif os.environ.get("THEME") != "book":
            pytest.skip(ABSENT)
    return build_site(root, theme, base)


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """`once(name, build)` returns what `build(folder)` returned; one process calls it for all.

    That is the html folder and what was printed.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if IN_PARALLEL else base

    def built(name, build):
        kept = base / f"{name}.json"
        with FileLock(base / f"{name}.lock"):
            if not kept.exists():
                html, said = build(base / name)
                kept.write_text(json.dumps([str(html), said]), "utf-8")
        html, said = json.loads(kept.read_text("utf-8"))
        return Path(html), said

    return built


@pytest.fixture(scope="session")
def sample(once):
    """The built sample's html folder and what MyST said."""
    return once("sample", build_sample)


@pytest.fixture(scope="session")
def sample_below(once):
    """The html folder of the sample built to be served from `/some/where`."""
    return once("sample_below", lambda folder: build_sample(folder, "/some/where"))[0]


@pytest.fixture(scope="session")
def smoke_html(once, smoke_book):
    """The html folder of the book that was executed on `smoke`, in the plain theme."""
    return once("smoke_html", lambda _: (build_site(smoke_book[0], "plain"), ""))[0]


@pytest.fixture(scope="session", params=["sample", "book"])
def book_html(request):
    """The html folder of the book under test."""
    if named := os.environ.get("BOOK_HTML"):
        assert (Path(named) / "index.html").is_file(), f"BOOK_HTML={named} holds no index.html"
        return Path(named)
    if request.param == "sample":
        return request.getfixturevalue("sample")[0]
    return request.getfixturevalue("smoke_html")


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64  # a browser opens more connections at once than five


class Files(http.server.SimpleHTTPRequestHandler):
    """Files of `directory` under the path `prefix`, as a static host serves them."""

    prefix = ""

    def do_GET(self):
        if not self.path.startswith(self.prefix + "/"):
            return self.send_error(404)
        self.path = self.path.removeprefix(self.prefix)
        with suppress(ConnectionError):  # a browser that left before it had the whole page
            super().do_GET()

    def send_header(self, name, value):
        super().send_header(name, self.prefix + value if name == "Location" else value)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def serve():
    """`serve(folder, prefix="")` answers the address at which the folder is now served."""
    servers = []

    def start(folder, prefix=""):
        handler = type("Handler", (Files,), {"prefix": prefix})
        server = Server(("127.0.0.1", 0), functools.partial(handler, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}{prefix}"

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture(scope="session")
def site(book_html, serve):
    """The address of the book under test."""
    return serve(book_html)


@pytest.fixture(scope="session")
def paths(book_html):
    """The path of every page: `/`, `/name/`."""
    found = [
        page.parent.relative_to(book_html).as_posix() for page in book_html.rglob("index.html")
    ]
    return sorted("/" if path == "." else f"/{path}/" for path in found)


@pytest.fixture(scope="session")
def chromium():
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        missing = (
            "no Chromium on this machine: install Debian's `chromium` to run the browser's tests"
        )
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    options += ["--disable-dev-shm-usage"]  # which is small in a container
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options, timeout=LIMIT)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, site):
    """`open_page(path, …)` opens a page in a context of its own, which gets further arguments.

    A test fails at its end if any of its pages complained: an error on the console or in a script,
    a request that failed or was answered with an error, a request to another host.
    """
    complaints, contexts = [], []

    def start(path="/", root=None, **options):
        options.setdefault("viewport", {"width": 1280, "height": 900})
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(LIMIT)
        context.on(
            "console", lambda m: m.type in ("error", "warning") and complaints.append(m.text)
        )
        context.on("weberror", lambda e: complaints.append(str(e.error)))
        context.on("requestfailed", note_failure)
        context.on("request", lambda r: check_host(r.url))
        context.on(
            "response", lambda r: r.status >= 400 and complaints.append(f"{r.url}: {r.status}")
        )
        page = context.new_page()
        page.goto((root or site) + path)
        return page

    def note_failure(request):
        if request.failure != "net::ERR_ABORTED":  # the test left the page before it was all there
            complaints.append(f"{request.url}: {request.failure}")

    def check_host(url):
        if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname != "127.0.0.1":
            complaints.append(f"{url}: another host")

    yield start
    for context in contexts:
        context.close()
    assert not complaints, "\n".join(complaints)


def without_images(html):
    """A page's text without the images written into it."""
    return re.sub(r'"data:image/[^"]*"', '""', html)
