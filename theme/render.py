"""MyST's syntax tree, as the content server's JSON holds it, to HTML.

- `nodes.html` holds the HTML, a macro for each kind of node; here is what those macros call.
- A kind that it does not know is shown by its children, with a line on stderr.
"""

import re
import sys
import unicodedata
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_by_name
from pygments.util import ClassNotFound

HERE = Path(__file__).parent
TEMPLATES = Environment(
    loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
TEXTS = ("text/markdown", "text/latex", "application/json", "text/plain")


def html_id(label):
    """The id that MyST gives to the target of `label`."""
    name = re.sub(r"[^a-z0-9-]", "-", re.sub(r"['‘’\"“”]", "", label.strip().lower()))
    return re.sub(r"-+", "-", re.sub(r"^([0-9-])", r"id-\1", name)).strip("-")


def css(style):
    """A node's `style` as CSS: `{"fontSize": "1em"}` is `font-size: 1em`."""
    kebab = {name: re.sub("([A-Z])", r"-\1", name).lower() for name in style or {}}
    return "; ".join(f"{kebab[name]}: {value}" for name, value in (style or {}).items())


def words(node):
    """The plain text of a node, without its caption number."""
    if node["type"] == "captionNumber":
        return ""
    return node.get("value", "") + "".join(map(words, node.get("children", [])))


def mathml(katex):
    """The MathML in what KaTeX made, with letter styles and spacing that browsers leave out."""
    found = re.search(r"<math.*</math>", katex, re.S).group()
    found = re.sub(r' xmlns="[^"]*"|<annotation.*?</annotation>', "", found, flags=re.S)
    tree, edge = ElementTree.fromstring(found), ElementTree.Element("mo")
    for parent in tree.iter():
        around = [edge, *parent, edge]
        for before, sign, after in zip(around, around[1:], around[2:], strict=False):
            if sign.tag != "mo":
                continue
            if sign.text == "\u2061":  # log p, but log(p)
                if after.tag != "mo" and after.find("mo[@fence]") is None:
                    sign.set("rspace", "0.167em")
            elif (
                sign.text in ("+", "−", "±") and before.tag == "mo" and before.text in tuple("=<(,")
            ):
                sign.set("form", "prefix")
            elif parent.get("accent"):
                sign.attrib.setdefault("stretchy", "false")
        if parent.tag in ("msub", "msup", "msubsup"):
            for sign in (sign for script in parent[1:] for sign in script.iter("mo")):
                sign.attrib.update(lspace="0", rspace="0")
        if (style := parent.get("mathvariant", "normal")) != "normal" and len(parent.text) == 1:
            parent.text = styled(parent.text, style.upper())
            parent.set("mathvariant", "normal")
    return Markup(ElementTree.tostring(tree, encoding="unicode", short_empty_elements=False))


def styled(char, style):
    """`char` as Unicode's own letter of a style: DOUBLE-STRUCK, SCRIPT, FRAKTUR, BOLD-ITALIC…"""
    letter = re.sub(r"LATIN |GREEK |LETTER ", "", unicodedata.name(char))
    for name in (f"MATHEMATICAL {style}", f"MATHEMATICAL {style.replace('-', ' ')}", style):
        with suppress(KeyError):
            return unicodedata.lookup(f"{name} {letter}")
    return char


def ansi(text):
    """Terminal text to HTML: its eight colours and bold as classes, any other sequence dropped."""
    text = re.sub(r"[^\n]*\r(?=[^\n])", "", text)  # a progress bar: what it ended as
    html, bold, colour = Markup(), "", ""
    split = re.split(r"\x1b\[([0-9;]*)m", f"\x1b[m{text}")[1:]
    for codes, part in zip(split[::2], split[1::2], strict=True):
        codes = re.sub(r"[34]8;(5;\d+|2;\d+;\d+;\d+)", "", codes or "0")  # no large palettes
        for code in map(int, re.findall(r"\d+", codes)):
            bold = {0: "", 1: "bold", 22: ""}.get(code, bold)
            if code in (0, 39):
                colour = ""
            elif code // 10 in (3, 9):
                colour = f"ansi-{code % 10}"
        part = escape(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part))
        classes = f"{bold} {colour}".strip()
        html += Markup('<span class="{}">{}</span>').format(classes, part) if classes else part
    return html


class Renderer:
    """Renders one page.

    `base` is the site's path (`""` or `/name`), `fetch(path)` answers the bytes of a file of the
    site, `references` are the page's, `titled` says that the text holds the page's title.
    """

    def __init__(self, base="", fetch=None, references=None, titled=False):
        self.base, self.fetch, self.top, self.alt = base, fetch, 1 if titled else 2, ""
        self.references = ((references or {}).get("cite") or {}).get("data") or {}
        names = {"page": self, "inner": self.inner, "url": self.url, "file": self.file}
        names |= {"ansi": ansi, "css": css, "words": words, "html_id": html_id, "mathml": mathml}
        self.macros = vars(TEMPLATES.get_template("nodes.html").make_module(names))

    def render(self, node):
        """The HTML of a node of any kind."""
        kind, elements = node["type"], self.macros["elements"]
        if kind in self.macros and kind not in elements:
            return self.macros[kind](node)
        if kind not in elements:
            self.warn(f"a node of kind {kind!r} is not known: it is shown by its children")
        return self.macros["element"](node, *elements.get(kind, "").split("."))

    def warn(self, message):
        print(f"theme: {message}", file=sys.stderr, flush=True)

    def inner(self, node):
        return Markup("").join(map(self.render, node.get("children", [])))

    def url(self, url, target=""):
        """A page's address under `base`; one of another site as it is."""
        path, _, fragment = url.partition("#")
        if re.match(r"/(?!/)", url):
            named = path.endswith("/") or "." in path.rsplit("/", 1)[-1]
            path = f"{self.base}{path}" + ("" if named else "/")
        return path + (f"#{target or fragment}" if target or fragment else "")

    def file(self, url):
        """A file's address, in the folder that MyST renames when it writes the site."""
        return f"/myst_assets_folder{url}" if re.match(r"/(?!/)", url) else url

    def level(self, node):
        return min(6, max(self.top, node["depth"]))

    def outline(self, node):
        """The headings to list beside the page: `(level, id, HTML)` each."""
        if node.get("visibility") == "remove":
            return []
        if node["type"] == "heading" and node.get("html_id") and self.level(node) in (2, 3):
            title = re.sub(r"</?a\b[^>]*>", "", self.inner(node))
            return [(self.level(node), node["html_id"], title)]
        return [found for child in node.get("children", []) for found in self.outline(child)]

    def lines(self, node):
        """The lines of a listing, its syntax and its emphasized lines marked."""
        try:
            lexer = get_lexer_by_name(node.get("lang") or "text", stripnl=False)
        except ClassNotFound:
            lexer = TextLexer()
        formatter = HtmlFormatter(nowrap=True, hl_lines=node.get("emphasizeLines") or [])
        marked = highlight(node["value"], lexer, formatter).replace("\n</span>", "</span>\n")
        return Markup(marked.rstrip("\n")).split("\n")

    def rows(self, node):
        """A table's head and body."""
        rows = [row for row in node.get("children", []) if row["type"] == "tableRow"]
        body = [row for row in rows if not all(cell.get("header") for cell in row["children"])]
        return [row for row in rows if row not in body], body

    def figure(self, node):
        """What a figure holds; its alt text, or else its caption, is that of its images."""
        captions = [words(c) for c in node.get("children", []) if c["type"] == "caption"]
        caption = " ".join(captions).strip()
        before, self.alt = self.alt, node.get("alt") or caption or self.alt
        content = self.inner(node)
        self.alt = before
        return content

    def load(self, item, field="content"):
        """The text of an output; MyST keeps a long one in a file of its own."""
        if item.get("path"):
            return self.fetch(item["path"]).decode()
        return "".join(item.get(field) or "")

    def richest(self, forms):
        """An output in the richest form that a page can show: `(kind, an image's address or text)`.

        SVG and HTML are not among them: `plugins/outputs.mjs` made nodes of those.
        """
        kind = next((kind for kind in IMAGES + TEXTS if kind in forms), None)
        if forms and not kind:
            self.warn(f"an output of kind {', '.join(forms)} is not known")
        item = forms.get(kind, {})
        if kind in IMAGES and item.get("path"):
            return "image", self.file(item["path"])
        content = self.load(item)
        if kind in IMAGES:
            return "image", f"data:{kind};base64,{''.join(content.split())}"
        return kind and "text", ansi(content)
