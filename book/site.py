"""The site: rendered by MyST, checked and previewed.

- `build_site` renders the project in a folder and refuses a broken book. It needs checks of its own
  because MyST's `--strict` lets unresolved references, empty figures and missing alt texts through.
- `choose_theme` picks the official theme if its registry answers, otherwise the plain one, in
  `theme/`.
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
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from .checks import check_content, check_html
from .repository import branch, elsewhere, github

NODE_MAJOR = 20
PROBE_SECONDS = 5
REGISTRY = "https://api.mystmd.org"  # MyST's own default; API_URL points it and us elsewhere
SOURCES = (  # what a site is made of
    *("*.md", "peers.csv", "*.bib", "myst.yml"),
    *(f"{f}/**/*.*" for f in ("docs", "figures", "notebooks", "plugins", "results", "widget")),
    *("theme/*.*", "theme/public/*.*"),
)
OFFICIAL_THEME = "templates/site/myst/book-theme"
SERVED_FROM = "base-url.txt"  # in _build, of a whole site: the path that it is to be served from


class SiteError(RuntimeError):
    """The site cannot be rendered, or is broken: the message says page and name, or what to do."""


def build_site(root: Path, theme: str = "auto", base_url: str | None = None) -> Path:
    """Render the MyST project in `root` and check what was built.

    `theme` is "book" (official), "plain" (the one in theme/) or "auto". `base_url` is where the
    site will be served from (default: the variable BASE_URL): a path such as /seven-epochs, or the
    full address, which then also appears in the sitemap and on the pages' social cards.

    Returns the folder of the finished site, `root/_build/html`.

    Raises SiteError if Node is missing, MyST fails or the book is broken, ValueError if
    `project.github` in `myst.yml` is not a repository.
    """
    root = Path(root).resolve()
    if not (root / "myst.yml").is_file():
        raise SiteError(f"{root} has no myst.yml: it is not the folder of a book")
    slug = github(root)
    check_node()
    theme, why = choose_theme(root, theme)
    print(f"theme: {theme} ({why})", flush=True)
    build = root / "_build"
    (build / SERVED_FROM).unlink(missing_ok=True)
    for stale in ("site", "html"):
        shutil.rmtree(build / stale, ignore_errors=True)
    command = [_myst(), "build", "--html", "--strict"]
    if theme == "plain":
        command[1:1] = ["--config", _plain_config(root).relative_to(root).as_posix()]
    env = os.environ | {"NO_COLOR": "1"}  # what it says is read below
    env.pop("FORCE_COLOR", None)
    # The plain theme is started as `python`, and must find the Python that has its packages.
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    address = (base_url if base_url is not None else env.get("BASE_URL", "")).rstrip("/")
    base = urlsplit(address).path  # all that MyST takes
    env["BASE_URL"], env["SITE_URL"] = base, address if base != address else ""
    # The plugins do not call git: they link to the repository and branch found here.
    env |= {"BOOK_GITHUB": slug or "", "BOOK_BRANCH": branch(root)}
    run = subprocess.run(
        command,
        cwd=root,
        env=env,
        text=True,
        encoding="utf-8",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    problems = list(dict.fromkeys(_complaints(run.stdout)))
    html = build / "html"
    if run.returncode or not (html / "index.html").is_file():
        advice = "\n(the plain theme needs no download: THEME=plain)" if theme == "book" else ""
        said = "\n".join(f"  {line}" for line in problems) or run.stdout
        raise SiteError(f"MyST could not build the site:\n{said}{advice}")
    problems += check_content(root) or check_html(root, base)
    if problems:
        raise SiteError("the book is broken:\n" + "\n".join(f"  {line}" for line in problems))
    if env["SITE_URL"]:
        _write_sitemap(html, address)
    (build / SERVED_FROM).write_text(base, encoding="utf-8")
    once = "Set it once: make github SLUG=owner/name, then commit and push"
    if slug is None:
        print(f"no Open in Colab links: this book does not know its repository. {once}")
    elif others := elsewhere(root, slug):
        print(
            f"the Open in Colab links lead to {slug}, and the setup cells there do not know it: "
            f"REPOSITORY is empty, or another's, in {', '.join(others)}. {once}"
        )
    return html


def choose_theme(root: Path, theme: str = "auto") -> tuple[str, str]:
    """Which theme to render with, "book" or "plain", and why, in a few words.

    "auto" takes the official theme if it was downloaded before or can be within 5 s.
    """
    if theme in ("book", "plain"):
        return theme, "asked for"
    if theme != "auto":
        raise SiteError(f"there is no theme {theme!r}; choose auto, book or plain")
    downloaded = Path(root) / "_build" / OFFICIAL_THEME
    if (downloaded / "template.yml").is_file() and (downloaded / "node_modules").is_dir():
        return "book", "downloaded earlier"
    registry = os.environ.get("API_URL", REGISTRY).rstrip("/")
    answer: list[str] = []

    def probe():
        try:
            with urllib.request.urlopen(f"{registry}/{OFFICIAL_THEME}", timeout=PROBE_SECONDS) as r:
                link = json.load(r)["links"]["download"]
            link = re.sub(r"\.git$", "/archive/refs/heads/main.zip", link)
            with urllib.request.urlopen(link, timeout=PROBE_SECONDS):
                answer.append("")
        except Exception as error:  # whatever is wrong there, the plain theme serves
            reason = getattr(error, "reason", None) or error
            if not isinstance(reason, TimeoutError):  # a timeout is no answer, here or there
                answer.append(str(reason))

    # In a thread, because a name server that hangs heeds no timeout.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    if not answer:
        return "plain", f"{registry} did not answer within {PROBE_SECONDS} s"
    if answer[0]:
        return "plain", f"the official theme is out of reach at {registry}: {answer[0]}"
    return "book", f"the official theme, from {registry}"


def check_node() -> None:
    """Raise SiteError where there is no Node that MyST can run on."""
    node = shutil.which("node")
    advice = f"MyST needs Node {NODE_MAJOR} or later: install it from nodejs.org and run again"
    if node is None:
        raise SiteError(f"Node is not installed. {advice}.")
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
    major = re.match(r"v(\d+)\.", version)
    if major is None or int(major[1]) < NODE_MAJOR:
        raise SiteError(f"Node is {version or 'of an unknown version'}. {advice}.")


def _myst() -> str:
    myst = shutil.which("myst", path=Path(sys.executable).parent) or shutil.which("myst")
    if myst is None:
        raise SiteError("MyST is not installed: pip install -r requirements.txt")
    return myst


def _plain_config(root: Path) -> Path:
    """The book's configuration with the plain theme; MyST reads its paths as relative to root."""
    text = (root / "myst.yml").read_text(encoding="utf-8")
    text, found = re.subn(r"(?m)^  template:.*$", "  template: ./theme", text)
    if found != 1:
        raise SiteError("myst.yml has no line `  template: book-theme` under site")
    # These are relative to its own folder.
    text = re.sub(r"(?m)^( +)(favicon|style|thumbnail): ", r"\1\2: ../", text)
    path = root / "_build" / "plain.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _write_sitemap(html: Path, address: str) -> None:
    """List the pages by their full addresses, which a theme that answers MyST does not know."""
    folders = sorted(page.parent.relative_to(html).as_posix() for page in html.rglob("index.html"))
    places = [f"{address}/" if at == "." else f"{address}/{at}/" for at in folders]
    urls = "".join(f"<url><loc>{escape(place)}</loc></url>\n" for place in places)
    (html / "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}</urlset>\n',
        encoding="utf-8",
    )
    robots = f"User-agent: *\nAllow: /\nSitemap: {address}/sitemap.xml\n"
    (html / "robots.txt").write_text(robots, encoding="utf-8")


def _is_stale(root, rendered):
    """Whether the page `rendered` has to be built again before it is shown.

    It has to if it is missing or older than a source in `root`, if its book was refused, or if it
    was made to be served from a folder, where a preview would find nothing that a page asks for.
    """
    base = Path(root) / "_build" / SERVED_FROM
    if not rendered.is_file() or not base.exists() or base.read_text("utf-8"):
        return True
    sources = (path for pattern in SOURCES for path in root.glob(pattern))
    return any(path.stat().st_mtime > rendered.stat().st_mtime for path in sources)


def _complaints(log: str) -> Iterator[str]:
    """MyST's errors, and its warnings about a page; a warning about a setting breaks no page."""
    for line in log.splitlines():
        if match := re.match(r"⛔️? +(\S.*)|⚠️? +(\S+\.(?:md|ipynb)\b.*)", line):
            yield match[1] or match[2]


def serve_site(root: Path, port: int = 8000, theme: str = "auto") -> None:
    """Show `root/_build/html` at http://localhost:<port>.

    It is rendered first where it is not there, where something of the book is newer, or where a
    theme is asked for.
    """
    html = Path(root) / "_build" / "html"
    if theme != "auto" or _is_stale(Path(root), html / "index.html"):
        html = build_site(root, theme, "")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=html)
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:  # taken, or no port
        why = f"port {port} cannot be used ({getattr(error, 'strerror', error)})"
        raise SiteError(f"{why}; choose another, as in make serve PORT=8001") from error
    with server:
        print(f"http://localhost:{server.server_port} (Ctrl+C to stop)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
