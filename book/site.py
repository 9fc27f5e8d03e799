"""The site: rendered by MyST, checked, previewed.

- `build_site` renders the project in a folder and refuses a book that is broken: MyST's own
  `--strict` lets unresolved references, empty figures and missing alt texts through.
- `choose_theme`: the official theme where its registry answers, elsewhere the plain one, `theme/`.
"""

import functools
import http.server
import itertools
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

import yaml

from .contents import pages
from .repository import branch, elsewhere, github

NODE_MAJOR = 20
PROBE_SECONDS = 5
REGISTRY = "https://api.mystmd.org"  # MyST's own default; API_URL points it and us elsewhere
OFFICIAL_THEME = "templates/site/myst/book-theme"


class SiteError(RuntimeError):
    """The site cannot be rendered, or is broken: the message says page and name, or what to do."""


def build_site(root: Path, theme: str = "auto", base_url: str | None = None) -> Path:
    """Render the MyST project in `root` and check what was built.

    `theme` is "book" (official), "plain" (the one in theme/) or "auto"; `base_url` is the path
    that the site will be served from, such as /seven-epochs (default: the variable BASE_URL).
    Returns the folder of the finished site, `root/_build/html`.
    Raises SiteError where Node is missing, MyST fails or the book is broken, ValueError where
    `myst.yml` names no repository.
    """
    root = Path(root).resolve()
    if not (root / "myst.yml").is_file():
        raise SiteError(f"{root} has no myst.yml: it is not the folder of a book")
    slug = github(root)
    _check_node()
    theme, why = choose_theme(root, theme)
    print(f"theme: {theme} ({why})", flush=True)
    build = root / "_build"
    for stale in ("site", "html"):
        shutil.rmtree(build / stale, ignore_errors=True)
    command = [_myst(), "build", "--html", "--strict"]
    if theme == "plain":
        command[1:1] = ["--config", _plain_config(root).relative_to(root).as_posix()]
    env = os.environ | {"NO_COLOR": "1"}
    # The plain theme is started as `python`, and must find the Python that has its packages.
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    if base_url is not None:
        env["BASE_URL"] = base_url.rstrip("/")
    # The plugins ask no git: what they link to is what is known here.
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
    problems += check_site(root)
    if problems:
        raise SiteError("the book is broken:\n" + "\n".join(f"  {line}" for line in problems))
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
            answer.append(str(getattr(error, "reason", None) or error))

    # In a thread, because a name server that hangs heeds no timeout.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    if not answer:
        return "plain", f"{registry} did not answer within {PROBE_SECONDS} s"
    if answer[0]:
        return "plain", f"the official theme is out of reach at {registry}: {answer[0]}"
    return "book", f"the official theme, from {registry}"


def _check_node() -> None:
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
    path = root / "_build" / "plain.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _complaints(log: str) -> Iterator[str]:
    """MyST's errors, and its warnings about a page; a warning about a setting breaks no page."""
    for line in log.splitlines():
        if match := re.match(r"⛔️? +(\S.*)|⚠️? +(\S+\.(?:md|ipynb)\b.*)", line):
            yield match[1] or match[2]


def check_site(root: Path) -> list[str]:
    """What is broken in the site that MyST built in `root`, one line each: page, name, what."""
    root = Path(root)
    problems = []
    for path in sorted((root / "_build" / "site" / "content").rglob("*.json")):
        page = json.loads(path.read_text(encoding="utf-8"))
        where = page["location"].lstrip("/")
        problems += [where + problem for problem in _broken(page["mdast"], cell="", line="")]
    config = yaml.safe_load((root / "myst.yml").read_text(encoding="utf-8"))
    known = {*pages(root), *config["project"].get("exclude", [])}
    for path in sorted([*root.glob("*.md"), *root.glob("notebooks/*.ipynb")]):
        page = path.relative_to(root).as_posix()
        if page not in known:
            problems.append(f"{page}: is in no table of contents; list it in myst.yml")
    return problems


def _broken(node: dict, cell: str, line: str) -> Iterator[str]:
    """What is broken in a node and below it: `:line` (or the cell), the name, what is wrong."""
    kind, children = node["type"], node.get("children", [])
    if kind == "block":
        cell, line = node.get("label") or _captioned(node), ""
    elif at := _line(node):
        line = f":{at}"
    where = f" cell {cell}" if cell else line
    if kind == "crossReference" and not node.get("resolved"):
        yield f"{where}: the reference to {node.get('label')} resolves to nothing"
    elif kind == "link" and not re.match(r"[a-z][a-z0-9+.-]*:|/", node["url"]):
        yield f"{where}: the reference to {node['url'].lstrip('#')} resolves to nothing"
    elif kind in ("container", "embed") and not any(map(_has_content, children)):
        source = node.get("source", {}).get("label")
        yield f"{where}: {node.get('kind', 'embed')} {node.get('label', source)} shows nothing" + (
            f"; is there a cell labelled {source}, and has it run?" if source else ""
        )
    elif kind == "image" and not _alt(node):
        yield f"{where}: the image {node.get('urlSource') or node['url']} has no alt text"
    elif kind == "container" and _embeds(node) and _images(node) and not node.get("alt"):
        yield f"{where}: figure {node.get('label', 'without a label')} has no alt text (:alt:)"
    elif kind == "output" and cell and _images(node):
        text = node["jupyter_data"]["data"].get("text/plain", {}).get("content", "")
        if not text.strip() or text.startswith("<"):
            yield f"{where}: its image has no text/plain that says what it shows (its alt text)"
    elif kind in ("mystRole", "mystDirective") and not children:
        yield f"{where}: the {kind[4:].lower()} {node.get('name')} was not rendered"
    for child, following in itertools.zip_longest(children, children[1:], fillvalue={}):
        if raw := _raw_role(child, following):
            yield f"{where}: {raw} stands there as text: a role that was not understood"
        yield from _broken(child, cell, line)


def _captioned(block: dict) -> str:
    """The label of a cell with `#| caption:`, which MyST makes a figure in the cell's block."""
    figures = (c for c in block.get("children", []) if c["type"] == "container")
    name = block.get("html_id")
    return next((f.get("label", name) for f in figures if name and f.get("html_id") == name), "")


def _embeds(figure: dict) -> bool:
    """Whether a figure shows what a cell put out elsewhere."""
    return "source" in figure or any(map(_embeds, figure.get("children", [])))


def _raw_role(node: dict, following: dict) -> str | None:
    """The {name} of a role that MyST took for text, in `node` or across it and the next one."""
    text, pair = node.get("value", ""), (node["type"], following.get("type"))
    raw = None
    if pair == ("text", "inlineCode"):  # {name} `body`, with a space
        raw = re.search(r"\{[a-z:_-]+\}\s*$", text)
    elif pair == ("inlineCode", "text") and following["value"][0].isalnum():  # `{name}`body``
        raw = re.fullmatch(r"\{[a-z:_-]+\}", text)
    if node["type"] == "text":  # {name}`body, without an end
        raw = raw or re.search(r"\{[a-z:_-]+\}`", text)
    return raw and raw[0].strip()


def _line(node: dict) -> int | None:
    """The line of a node, or of the first node in it that has one."""
    if at := node.get("position"):
        return at["start"]["line"]
    return next(filter(None, map(_line, node.get("children", []))), None)


def _alt(image: dict) -> str | None:
    generated = image.get("data", {}).get("altTextIsAutoGenerated")
    return None if generated else image.get("alt")


def _has_content(node: dict) -> bool:
    """Whether a child of a container is something to see: not its caption, legend or a husk."""
    if node["type"] in ("caption", "legend", "_lift", "embed"):
        return False
    if node["type"] == "outputs":
        return any(child.get("jupyter_data") for child in node.get("children", []))
    return True


def _images(node: dict) -> bool:
    """Whether a node shows an image that a notebook's cell put out."""
    data = node.get("jupyter_data", {}).get("data", {})
    return any(mime.startswith("image/") for mime in data) or any(
        map(_images, node.get("children", []))
    )


def serve_site(root: Path, port: int = 8000, theme: str = "auto") -> None:
    """Show `root/_build/html` at http://localhost:<port>.

    It is rendered first where it is not there, or where a theme is asked for.
    """
    html = Path(root) / "_build" / "html"
    if theme != "auto" or not (html / "index.html").is_file():
        html = build_site(root, theme)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=html)
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise SiteError(f"port {port} cannot be used ({error.strerror}); choose another") from error
    with server:
        print(f"http://localhost:{server.server_port} (Ctrl+C to stop)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
