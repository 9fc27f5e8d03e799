"""MyST's syntax tree, as the content server's JSON holds it, to HTML.

- `nodes.html` holds the HTML, a macro for each kind of node; here is what those macros call.
- A kind that neither knows is shown by its children, with a line on stderr.
"""

import re
import sys
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_by_name
from pygments.util import ClassNotFound

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
CONTAINERS = {"root", "_lift", "include", "citeGroup", "si"}
SILENT = {"comment", "mystComment", "mystTarget", "toc"}
IMAGES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp")
TEXTS = ("text/html", "text/markdown", "text/latex", "application/json", "text/plain")
NUMBER = re.compile(r"[-+−–~≈±×%.,()\d\s]*(e[-−]?\d+)?(\s[A-Za-zµ]{1,3})?")  # 1.25 ± 0.01, 2 min


def html_id(label):
    """The id that MyST gives to the target of `label`."""
    name = re.sub(r"[^a-z0-9-]", "-", re.sub(r"['‘’\"“”]", "", label.strip().lower()))
    return re.sub(r"-+", "-", re.sub(r"^([0-9-])", r"id-\1", name)).strip("-")


def words(node):
    """The plain text of a node, without its caption number."""
    if node["type"] == "captionNumber":
        return ""
    return node.get("value", "") + "".join(map(words, node.get("children", [])))


def mathml(katex):
    """The MathML in what KaTeX made, without the TeX that it keeps beside it."""
    found = re.search(r"<math.*</math>", katex, re.S).group()
    return Markup(re.sub(r"<annotation.*</annotation>", "", found, flags=re.S))


def ansi(text):
    """Terminal text to HTML: its eight colours and bold as classes, any other sequence dropped."""
    text = re.sub(r"[^\n]*\r(?=[^\n])", "", text)  # a progress bar: what it ended as
    parts, bold, colour = [], "", ""
    for i, part in enumerate(re.split(r"\x1b\[([0-9;]*)m", text)):
        if i % 2 == 0:
            part = escape(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part))
            classes = f"{bold} {colour}".strip()
            parts.append(Markup(f'<span class="{classes}">{part}</span>') if classes else part)
            continue
        codes = re.sub(r"[34]8;(5;\d+|2;\d+;\d+;\d+)", "", part).split(";")  # no large palettes
        for code in (int(code or 0) for code in codes if code or not part):
            bold = {0: "", 1: "bold", 22: ""}.get(code, bold)
            if code in (0, 39):
                colour = ""
            elif code // 10 in (3, 9):
                colour = f"ansi-{code % 10}"
    return Markup("").join(parts)


class Renderer:
    """Renders one page.

    `base` is the site's path (`""` or `/name`), `fetch(path)` answers the bytes of a file of the
    site, `references` are the page's, `titled` says that the text holds the page's title.
    """

    def __init__(self, base="", fetch=None, references=None, titled=False):
        self.base, self.fetch, self.top, self.alt = base, fetch, 1 if titled else 2, ""
        self.references = ((references or {}).get("cite") or {}).get("data") or {}
        names = {"page": self, "inner": self.inner, "url": self.url, "file": self.file}
        names |= {"at": self.at, "words": words, "html_id": html_id, "mathml": mathml}
        self.macros = vars(TEMPLATES.get_template("nodes.html").make_module(names))
        self.elements = self.macros["elements"]

    def render(self, node):
        """The HTML of a node of any kind."""
        kind = node["type"]
        if kind == "text":
            return escape(node["value"])
        if kind in self.elements:
            tag, _, class_ = self.elements[kind].partition(".")
            return Markup(f"<{tag}{self.at(node, class_)}>{self.inner(node)}</{tag}>")
        if kind in SILENT:
            return Markup("")
        if kind in self.macros:
            return self.macros[kind](node)
        if kind not in CONTAINERS:
            self.warn(f"a node of kind {kind!r} is not known: it is shown by its children")
        return self.inner(node) or escape(node.get("value", ""))

    def warn(self, message):
        print(f"theme: {message}", file=sys.stderr, flush=True)

    def inner(self, node):
        return Markup("").join(map(self.render, node.get("children", [])))

    def at(self, node, classes=""):
        """The attributes of a node's element."""
        classes = " ".join(filter(None, [classes, node.get("class")]))
        pairs = (("id", node.get("html_id")), ("class", classes))
        return Markup("").join(Markup(' {}="{}"').format(*pair) for pair in pairs if pair[1])

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
        if node["type"] == "heading" and node.get("html_id") and self.level(node) in (2, 3):
            return [
                (self.level(node), node["html_id"], re.sub(r"</?a\b[^>]*>", "", self.inner(node)))
            ]
        return [found for child in node.get("children", []) for found in self.outline(child)]

    def take_references(self):
        """The page's references, once."""
        taken, self.references = self.references, {}
        return taken.items()

    def highlight(self, node):
        try:
            lexer = get_lexer_by_name(node.get("lang") or "text", stripnl=False)
        except ClassNotFound:
            lexer = TextLexer()
        formatter = HtmlFormatter(nowrap=True, hl_lines=node.get("emphasizeLines") or [])
        marked = highlight(node["value"], lexer, formatter).replace("\n</span>", "</span>\n")
        lines = marked.rstrip("\n").split("\n")
        if node.get("showLineNumbers"):
            start = node.get("startingLineNumber") or 1
            width = len(str(start + len(lines)))
            number = '<span class="linenos">{:>{}}</span>{}'.format
            lines = [number(i, width, line) for i, line in enumerate(lines, start)]
        return Markup("\n".join(lines))

    def rows(self, node):
        """A table's head and body; a column of numbers is set to the right."""
        rows = [row for row in node.get("children", []) if row["type"] == "tableRow"]
        body = [row for row in rows if not all(cell.get("header") for cell in row["children"])]
        for i, column in enumerate(zip(*(row["children"] for row in body), strict=False)):
            if all(NUMBER.fullmatch(words(cell).strip()) for cell in column):
                for row in rows:
                    row["children"][i].setdefault("align", "right")
        return [row for row in rows if row not in body], body

    def figure(self, node):
        """What a figure holds; its alt text, or else its caption, is that of its images."""
        before = self.alt
        captions = [words(c) for c in node.get("children", []) if c["type"] == "caption"]
        self.alt = node.get("alt") or " ".join(captions).strip() or before
        content = self.inner(node)
        self.alt = before
        return content

    def output(self, node):
        """A notebook's output as `(kind, content, alt)`, in the richest form a page can show."""
        data = node.get("jupyter_data") or {}
        if data.get("output_type") == "stream":
            shown = ansi(self.load(data, "text"))
            return f"stream {data['name']}" if shown.strip() else "", shown, ""
        if data.get("output_type") == "error":
            return "error", ansi(self.load(data, "traceback")), ""
        forms = data.get("data") or {}
        kind = next((kind for kind in IMAGES + TEXTS if kind in forms), None)
        if kind in IMAGES:
            alt = self.load(forms.get("text/plain", {}), "content")  # matplotlib's says nothing
            return "image", self.image(kind, forms[kind]), "" if alt.startswith("<Figure") else alt
        if kind == "text/html":
            table = re.compile(r'<style scoped>.*?</style>|(?<=<table) border="1"', re.S)
            return "html", table.sub("", self.load(forms[kind], "content")), ""
        if forms and not kind:
            self.warn(f"an output of kind {', '.join(forms)} is not known")
        return (kind and "text", ansi(self.load(forms[kind], "content")) if kind else "", "")

    def load(self, item, field):
        """The text of an output; MyST keeps a long one in a file of its own."""
        if item.get("path"):
            return self.fetch(item["path"]).decode()
        return "".join(item.get(field) or "")

    def image(self, kind, item):
        """The address of an output's image; an SVG stays an image, its ids and styles its own."""
        if item.get("path"):
            return self.file(item["path"])
        if kind == "image/svg+xml":
            return "data:image/svg+xml," + quote(self.load(item, "content"), safe=" :/=;,()!*$@?+'")
        return f"data:{kind};base64,{''.join(item['content'].split())}"
