"""Checks of a built site. Each problem is one line: page, name, what is wrong.

- `check_content` checks what MyST made of the pages: references that resolve to nothing, empty
  figures, missing alt texts, roles that were not understood, figures of another preset.
- `check_html` checks what the theme wrote, whichever theme it was: figures, and where their Source
  links lead.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import yaml

from .contents import pages, presets

VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


def check_content(root: Path) -> list[str]:
    """What is broken in the pages that MyST read in `root`."""
    problems, shown = [], presets(root)
    for where, page in _built(root):
        problems += [where + problem for problem in _broken(page["mdast"], cell="", line="")]
        problems += [where + problem for problem in _of_another_preset(page["mdast"], where, shown)]
    config = yaml.safe_load((root / "myst.yml").read_text(encoding="utf-8"))
    known = {*pages(root), *config["project"].get("exclude", [])}
    for path in sorted([*root.glob("*.md"), *root.glob("notebooks/*.ipynb")]):
        page = path.relative_to(root).as_posix()
        if page not in known:
            problems.append(f"{page}: is in no table of contents; list it in myst.yml")
    return problems


def check_html(root: Path, base: str = "") -> list[str]:
    """Return what is broken in the HTML that the theme wrote for the site at the path `base`.

    Each image of a figure must be there without running a script, with alt text, and each Source
    must lead to an anchor that exists on the page it names.
    """
    folder = root / "_build" / "html"
    problems, read = [], {}

    def html(path: str) -> "_Html":
        if path not in read:
            file = folder / path.strip("/") / "index.html"
            read[path] = _Html(file.read_text(encoding="utf-8") if file.is_file() else "", base)
        return read[path]

    for where, page in _built(root):
        slug = page["slug"]
        here = html("/" if slug == "index" else f"/{slug.replace('.', '/')}")
        for node in _walk(page["mdast"]):
            name = node.get("label") or node.get("html_id")
            if node["type"] == "container" and name and (count := _images(node)):
                alts = here.images.get(node.get("html_id"), [])
                if len(alts) < count or not all(alts):
                    problems.append(
                        f"{where}: in the HTML, {sum(map(bool, alts))} of the images of figure "
                        f"{name} have alt text, of {count}"
                    )
            source = node.get("source", {}) if node["type"] in ("container", "embed") else {}
            if "url" not in source or source.get("remoteBaseUrl"):
                continue
            path, _, anchor = source["url"].partition("#")
            if f"{path}#{anchor}" not in here.links:
                problems.append(f"{where}: in the HTML, no Source leads to {source['url']}")
            elif anchor not in html(path).images:
                problems.append(f"{where}: in the HTML, {path} has no place #{anchor} for a Source")
    return problems


class _Html(HTMLParser):
    """A page's links within the site, and the alt texts of the images below each of its ids."""

    def __init__(self, text: str, base: str):
        super().__init__()
        self.base, self.links, self.images = base, set(), {}
        self.open: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if name := found.get("id"):
            self.images.setdefault(name, [])
        if tag == "a" and (found.get("href") or "").startswith(f"{self.base}/"):
            path, _, anchor = found["href"].removeprefix(self.base).partition("#")
            self.links.add(f"{path.rstrip('/') or '/'}#{anchor}")
        if tag == "img" or (tag == "svg" and found.get("role") == "img"):
            alt = found.get("alt" if tag == "img" else "aria-label") or ""
            for above in {name for _, name in self.open if name}:
                self.images[above].append(alt.strip())
        if tag not in VOID:
            self.open.append((tag, found.get("id")))

    def handle_endtag(self, tag):
        if tag in (kind for kind, _ in self.open):
            while self.open.pop()[0] != tag:
                pass


def _built(root: Path) -> Iterator[tuple[str, dict]]:
    """Each page that MyST built: its file in the book, and what it holds."""
    for path in sorted((root / "_build" / "site" / "content").rglob("*.json")):
        page = json.loads(path.read_text(encoding="utf-8"))
        yield page["location"].lstrip("/"), page


def _walk(node: dict) -> Iterator[dict]:
    yield node
    for child in node.get("children", []):
        yield from _walk(child)


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
    elif kind == "image" and not _alt(node) and not _images(node):
        yield f"{where}: the image {node.get('urlSource') or node['url']} has no alt text"
    elif kind == "container" and _embeds(node) and _images(node) and not node.get("alt"):
        yield f"{where}: figure {node.get('label', 'without a label')} has no alt text (:alt:)"
    elif kind in ("output", "image") and cell and _images(node):
        forms = node.get("jupyter_data", {}).get("data", {})
        text = forms.get("text/plain", {}).get("content", "") if forms else node.get("alt") or ""
        if not text.strip() or text.startswith("<"):
            yield f"{where}: its image has no text/plain that says what it shows (its alt text)"
    elif kind in ("mystRole", "mystDirective") and not children:
        yield f"{where}: the {kind[4:].lower()} {node.get('name')} was not rendered"
    if node.get("data", {}).get("type") == "output":
        return  # a title may hold what looks like a role
    for child, following in itertools.zip_longest(children, children[1:], fillvalue={}):
        if raw := _raw_role(child, following):
            yield f"{where}: {raw} stands there as text: a role that was not understood"
        yield from _broken(child, cell, line)


def _of_another_preset(page: dict, where: str, shown: Callable[[str], str]) -> Iterator[str]:
    """The figures of a page that a notebook drew of another preset than the page's numbers are."""
    for node in _walk(page):
        drawn = node["type"] == "container" and node.get("source", {}).get("location")
        if drawn and shown(drawn) != shown(where):
            yield (
                f":{_line(node)}: figure {node.get('label')} is of preset {shown(drawn)}, the "
                f"page of {shown(where)}; publish both, or neither (--without)"
            )


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
        return any(
            child["type"] != "output" or child.get("jupyter_data")
            for child in node.get("children", [])
        )
    return True


def _images(node: dict) -> int:
    """How many images a node shows that a notebook's cell put out."""
    data = node.get("jupyter_data", {}).get("data", {})
    own = node["type"] == "image" and node.get("data", {}).get("type") == "output"
    own = own or any(mime.startswith("image/") for mime in data)
    return own + sum(map(_images, node.get("children", [])))
