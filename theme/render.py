"""MyST's syntax tree, as the content server's JSON holds it, to HTML.

- A kind of node that is one HTML element is a line in `ELEMENTS`; any other is a method named after it.
- A kind that neither knows is shown by its children, with a line on stderr.
- Text is escaped where it is written; what MyST or a notebook made as HTML is passed on.
"""

import html
import re
import sys
import unicodedata
from urllib.parse import quote

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_by_name
from pygments.util import ClassNotFound

ELEMENTS = {
    "paragraph": "p",
    "emphasis": "em",
    "strong": "strong",
    "subscript": "sub",
    "superscript": "sup",
    "delete": "del",
    "underline": "u",
    "keyboard": "kbd",
    "smallcaps": "span.smallcaps",
    "blockquote": "blockquote",
    "definitionList": "dl",
    "definitionTerm": "dt",
    "definitionDescription": "dd",
    "summary": "summary",
    "details": "details",
    "caption": "figcaption",
    "legend": "div.legend",
    "admonitionTitle": "p.title",
    "cardTitle": "p.title",
    "header": "div.header",
    "footer": "div.footer",
    "aside": "div.aside",
    "tabSet": "div.tabs",
    "glossary": "div.glossary",
    "div": "div",
    "span": "span",
    "tableRow": "tr",
}
PASSED = {"root", "include", "citeGroup", "si", "mystDirective", "mystRole"}
DROPPED = {"comment", "mystComment", "mystTarget", "toc"}
MIME_TYPES = (  # the richest first
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "text/html",
    "text/markdown",
    "text/latex",
    "text/plain",
    "application/json",
)


def html_id(label):
    """The id that MyST gives to the target of a label."""
    name = re.sub(r"[^a-z0-9-]", "-", re.sub(r"['‘’\"“”]", "", label.strip().lower()))
    return re.sub(r"-+", "-", re.sub(r"^([0-9-])", r"id-\1", name)).strip("-")


def text_of(node):
    """The words of a node, without its caption number."""
    if node["type"] == "captionNumber":
        return ""
    return node.get("value", "") + "".join(text_of(child) for child in node.get("children", []))


def element(name, content, **attributes):
    """The element `name` (or `tag.class`); an attribute that is None or False is left out."""
    tag, _, class_ = name.partition(".")
    attributes["class"] = " ".join(filter(None, [class_, attributes.pop("class_", None)])) or None
    written = "".join(
        f" {key}" if value is True else f' {key}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return f"<{tag}{written}>" + ("" if tag in ("img", "input") else f"{content}</{tag}>")


def mathml(katex):
    """The MathML in what KaTeX made, its letter styles spelled as Unicode's own letters.

    Browsers know of `mathvariant` only `normal`.
    """

    def letter(match):
        tag, variant, char = match.groups()
        style = variant.upper().replace("-", " ").replace("DOUBLE STRUCK", "DOUBLE-STRUCK")
        case = unicodedata.name(char).replace("LATIN ", "").replace("GREEK ", "")
        case = case.replace(" LETTER", "")
        for name in (f"MATHEMATICAL {style} {case}", f"{style} {case}", f"BLACK-LETTER {case}"):
            try:
                return f"<{tag}>{unicodedata.lookup(name)}</{tag}>"
            except KeyError:
                continue
        return match.group()

    found = re.search(r"<math.*</math>", katex, re.S)
    source = re.sub(r"<annotation.*?</annotation>", "", found.group(), flags=re.S)
    return re.sub(r'<(m[ino]) mathvariant="((?!normal)[a-z-]+)">(\w)</\1>', letter, source)


def ansi(text):
    """Terminal text to HTML: colours and bold as classes, every other control sequence dropped."""
    parts, style = [], set()
    for i, part in enumerate(re.split(r"\x1b\[([0-9;]*)m", text)):
        if i % 2 == 0:
            part = html.escape(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part), quote=False)
            parts.append(element("span", part, class_=" ".join(sorted(style))) if style else part)
            continue
        codes = [int(code or 0) for code in part.split(";")]
        while codes:
            code = codes.pop(0)
            if code in (38, 48) and codes:  # a colour of the large palettes: not shown
                del codes[: 2 if codes[0] == 5 else 4]
            elif code == 0:
                style.clear()
            elif code == 1:
                style.add("bold")
            elif code == 22:
                style.discard("bold")
            elif 30 <= code <= 39 or 90 <= code <= 97:
                style = {name for name in style if not name.startswith("ansi-")}
                if code != 39:
                    style.add(f"ansi-{code % 10}")
    return "".join(parts)


class Renderer:
    """Renders one page.

    `base` is the site's path (`""` or `/name`), `fetch(path)` answers the bytes of a file of the
    site, `cite` is the page's `references.cite`, `warn(message)` hears of what is not known.
    """

    def __init__(self, base="", fetch=None, cite=None, warn=None, titled=False):
        self.base, self.fetch, self.cite = base, fetch, (cite or {}).get("data", {})
        self.warn = warn or (lambda message: print(message, file=sys.stderr, flush=True))
        self.top = 1 if titled else 2  # the level of the page's first headings
        self.outline, self.footnotes, self.alt, self.cited = [], [], None, False

    def page(self, tree):
        """The page's HTML, its footnotes and references at its end; fills `outline`."""
        body = self.render(tree)
        if self.footnotes:
            notes = "".join(self.footnotes)
            body += f'<section class="footnotes" aria-label="Footnotes"><ol>{notes}</ol></section>'
        return body + ("" if self.cited else self._bibliography({}))

    def render(self, node):
        kind = node["type"]
        if kind in ELEMENTS:
            return self.wrap(ELEMENTS[kind], node)
        if kind in DROPPED:
            return ""
        if method := getattr(self, f"_{kind}", None):
            return method(node)
        if kind not in PASSED:
            self.warn(f"theme: a node of kind {kind!r} is not known: shown by its children")
        return self.children(node) or html.escape(str(node.get("value", "")))

    def children(self, node):
        return "".join(self.render(child) for child in node.get("children", []))

    def wrap(self, name, node, content=None, **attributes):
        """`node` as the element `name`, with its id and classes."""
        class_ = " ".join(filter(None, [attributes.pop("class_", None), node.get("class")]))
        content = self.children(node) if content is None else content
        attributes.setdefault("id", node.get("html_id"))
        return element(name, content, class_=class_ or None, **attributes)

    def url(self, url, target=None):
        """A page's address under `base`; one of another site as it is."""
        if not url.startswith("/") or url.startswith("//"):
            return url + (f"#{target}" if target else "")
        path, _, fragment = url.partition("#")
        fragment = target or fragment
        path = path if path.endswith("/") or "." in path.rsplit("/", 1)[-1] else path + "/"
        return f"{self.base}{path}" + (f"#{fragment}" if fragment else "")

    def file(self, url):
        """The address of a file of the site: MyST writes the folder's name, with the base."""
        return f"/myst_assets_folder{url}" if re.match(r"/[^/]", url) else url

    # Text

    def _text(self, node):
        return html.escape(node["value"], quote=False)

    def _html(self, node):
        return node["value"]

    def _break(self, _):
        return "<br>"

    def _inlineCode(self, node):
        return element("code", html.escape(node["value"], quote=False), class_=node.get("class"))

    def _abbreviation(self, node):
        return self.wrap("abbr", node, title=node.get("title"))

    def _thematicBreak(self, _):
        return "<hr>"

    def _heading(self, node):
        level = min(6, max(self.top, node["depth"]))
        content, target = self.children(node), node.get("html_id")
        if not target:
            return element(f"h{level}", content)
        if level in (2, 3):
            self.outline.append((level, target, re.sub(r"</?a\b[^>]*>", "", content)))
        anchor = element(
            "a.anchor", "#", href=f"#{target}", **{"aria-label": f"Link to “{text_of(node)}”"}
        )
        return element(f"h{level}", f"{content} {anchor}", id=target)

    def _inlineMath(self, node):
        return mathml(node["html"]) if "html" in node else self._inlineCode(node)

    def _math(self, node):
        content = self._inlineMath(node)
        number = node.get("enumerator")
        if number and node.get("html_id"):
            number = element("a.number", f"({number})", href=f"#{node['html_id']}")
        elif number:
            number = element("span.number", f"({number})")
        box = element("div.scroll", content, tabindex=0)
        return self.wrap("div.math", node, box + (number or ""))

    # References

    def _link(self, node):
        url = self.file(node["url"]) if node.get("static") else self.url(node["url"])
        return self.wrap("a", node, href=url, title=node.get("title"))

    def _linkBlock(self, node):
        return self._card(node)

    def _crossReference(self, node):
        if not node.get("resolved", True):
            self.warn(f"theme: a reference resolves to nothing: {node.get('label')!r}")
            return element("span.missing", self.children(node) or html.escape(node["label"]))
        target = node.get("html_id") or node.get("identifier")
        url = (node.get("remoteBaseUrl") or "") + (node.get("url") or "")
        content = self.children(node) or html.escape(target)
        return element("a.reference", content, href=self.url(url, target))

    def _cite(self, node):
        content = self.children(node) or html.escape(node["label"])
        return element("a.cite", content, href=f"#cite-{html_id(node['label'])}")

    def _footnoteReference(self, node):
        name, number = html_id(node["identifier"]), html.escape(str(node["enumerator"]))
        link = element("a", number, href=f"#fn-{name}", id=f"fnref-{name}")
        return element("sup.footnote", link)

    def _footnoteDefinition(self, node):
        name = html_id(node["identifier"])
        back = element("a", "↩", href=f"#fnref-{name}", **{"aria-label": "Back to the text"})
        content = f"{self.children(node)} {back}"
        self.footnotes.append(element("li", content, id=f"fn-{name}", value=node["enumerator"]))
        return ""

    def _bibliography(self, _):
        self.cited = True
        items = "".join(
            element("li", entry["html"], id=f"cite-{html_id(label)}")
            for label, entry in self.cite.items()
        )
        return (
            f'<section class="references" aria-label="References"><ol>{items}</ol></section>'
            * bool(items)
        )

    # Blocks

    def _list(self, node):
        start = node.get("start")
        tag = "ol" if node.get("ordered") else "ul"
        return self.wrap(tag, node, start=start if start not in (None, 1) else None)

    def _listItem(self, node):
        if (checked := node.get("checked")) is None:
            return self.wrap("li", node)
        box = element(
            "input", "", type="checkbox", checked=checked, disabled=True, **{"aria-label": "done"}
        )
        return self.wrap("li.task", node, box + self.children(node))

    def _admonition(self, node):
        kind = node.get("kind", "note")
        if "dropdown" not in (node.get("class") or ""):
            return self.wrap(f"div.admonition {kind}", node, role="note")
        title, *rest = node["children"]
        content = element("summary", self.children(title)) + self.children({"children": rest})
        return self.wrap(f"details.admonition {kind}", node, content, open=node.get("open"))

    def _proof(self, node):
        """A theorem, an exercise and their like: what it is and its number before its title."""
        kind = (node.get("kind") or node["type"]).split(":")[-1]
        number = html.escape(f"{kind.capitalize()} {node.get('enumerator', '')}".strip())
        title, rest = "", node.get("children", [])
        if rest and rest[0]["type"] == "admonitionTitle":
            title, rest = f" ({self.children(rest[0])})", rest[1:]
        content = element("p.title", number + title) + self.children({"children": rest})
        return self.wrap(f"div.admonition {kind}", node, content)

    _exercise = _solution = _proof

    def _grid(self, node):
        return self.wrap("div.grid", node, style=f"--columns: {node.get('columns', [2])[-1]}")

    def _card(self, node):
        if not node.get("url"):
            return self.wrap("div.card", node)
        return self.wrap("a.card", node, href=self.url(node["url"]))

    def _tabItem(self, node):
        title = element("p.title", html.escape(node["title"]))
        return self.wrap("div.tab", node, title + self.children(node))

    def _iframe(self, node):
        """A link: a page asks no other host for anything."""
        return element("p", element("a", html.escape(node["src"]), href=node["src"]))

    def _table(self, node):
        rows = [row["children"] for row in node.get("children", []) if row["type"] == "tableRow"]
        body = [row for row in rows if not all(cell.get("header") for cell in row)]
        number = re.compile(r"[-+−–~≈±×%.,\d\s]*(e-?\d+)?")
        for column in zip(*body, strict=False):
            if all(number.fullmatch(text_of(cell)) for cell in column):
                for row in rows:
                    row[body[0].index(column[0])].setdefault("align", "right")
        head = len(rows) - len(body)
        lines = [element("tr", "".join(map(self.render, row))) for row in rows]
        content = element("thead", "".join(lines[:head])) * bool(head)
        content += element("tbody", "".join(lines[head:]))
        return element("div.scroll", self.wrap("table", node, content), tabindex=0)

    def _tableCell(self, node):
        return self.wrap(
            "th" if node.get("header") else "td",
            node,
            class_=node.get("align"),
            colspan=node.get("colspan"),
            rowspan=node.get("rowspan"),
        )

    def _code(self, node):
        try:
            lexer = get_lexer_by_name(node.get("lang") or "text", stripnl=False)
        except ClassNotFound:
            lexer = TextLexer()
        marked = HtmlFormatter(
            nowrap=True,
            linenos="inline" if node.get("showLineNumbers") else False,
            linenostart=node.get("startingLineNumber", 1),
            hl_lines=node.get("emphasizeLines", []),
        )
        name = element("p.filename", html.escape(node.get("filename") or "")) * bool(
            node.get("filename")
        )
        code = element("code", highlight(node["value"], lexer, marked).rstrip("\n"))
        return name + self.wrap("pre.code", node, code, tabindex=0)

    def _mermaid(self, node):
        return self._code({**node, "lang": "text"})

    # Figures

    def _image(self, node):
        size = "; ".join(f"{k}: {node[k]}" for k in ("width", "height") if node.get(k))
        alt = node.get("alt") or self.alt or ""
        return self.wrap("img", node, "", src=self.file(node["url"]), alt=alt, style=size or None)

    def _container(self, node):
        """A figure, table or listing with its caption, and the link to what drew it."""
        before = self.alt
        captions = [text_of(c) for c in node.get("children", []) if c["type"] == "caption"]
        self.alt = node.get("alt") or " ".join(captions) or before
        content = self.children(node)
        self.alt = before
        parts = node.get("subcontainer") or any(c.get("subcontainer") for c in node["children"])
        kind = node.get("kind", "figure") + (
            " parts" if parts and not node.get("subcontainer") else ""
        )
        return self.wrap(f"figure.{kind}", node, self.source(node) + content)

    def source(self, node):
        """The link to the notebook cell that a figure or an embedded cell comes from."""
        if not (source := node.get("source") or {}).get("url"):
            return ""
        title = f"Source: the cell in “{source.get('title', source['url'])}”"
        url = (source.get("remoteBaseUrl") or "") + source["url"]
        href = self.url(url, html_id(source["label"]))
        return element("a.source", "Source", href=href, title=title)

    def _captionNumber(self, node):
        return element("a.number", self.children(node), href=f"#{node.get('html_id', '')}") + " "

    def _embed(self, node):
        return self.wrap("div.embed", node, self.source(node) + self.children(node))

    # Notebooks

    def _block(self, node):
        """A part of a page; a notebook's cell folds, its label inside so that a link to it unfolds it."""
        if node.get("visibility") == "remove":
            return ""
        if node.get("kind") != "notebook-code":
            part = (node.get("data") or {}).get("part")
            return self.wrap(f"div.{part}", node) if part else self.children(node)
        content, target = "", node.get("html_id")
        for child in node["children"]:
            shown, inner = child.get("visibility", "show"), self.render(child)
            if shown == "remove" or not inner:
                continue
            if child["type"] == "code":
                inner = element("div", inner, id=target)
                target = None
                inner = element(
                    "details.fold", f"<summary>Code</summary>{inner}", open=shown == "show"
                )
            elif shown == "hide":
                inner = element("details.fold", f"<summary>Output</summary>{inner}")
            content += inner
        if node.get("visibility") == "hide":
            content = element("details.fold", f"<summary>Cell</summary>{content}")
        return element("div.cell", content, id=target)

    def _outputs(self, node):
        content = self.children(node)
        return self.wrap("div.outputs", node, content) if content else ""

    def _output(self, node):
        data = node.get("jupyter_data") or {}
        kind = data.get("output_type")
        if kind == "stream":
            return self.terminal(f"stream {data['name']}", self.load(data, "text"))
        if kind == "error":
            return self.terminal("error", self.load(data, "traceback"))
        bundle, metadata = data.get("data") or {}, data.get("metadata") or {}
        mime = next((mime for mime in MIME_TYPES if mime in bundle), None)
        if mime is None:
            if bundle:
                self.warn(f"theme: an output of kind {', '.join(bundle)!r} is not known")
            return self.children(node)
        item = bundle[mime]
        if mime.startswith("image/"):
            alt = (metadata.get(mime) or metadata).get("alt") or node.get("alt") or self.alt
            return element(
                "img", "", src=self.image(mime, item), alt=alt or "Drawn by the code above"
            )
        content = self.load(item, "content")
        if mime == "text/html":
            content = re.sub(
                r"<style scoped>.*?</style>|(?<=<table) border=\"1\"", "", content, flags=re.S
            )
            return element("div.html scroll", content, tabindex=0)
        return self.terminal("text", content)

    def terminal(self, kind, text):
        return element(f"pre.{kind}", ansi(text), tabindex=0)

    def load(self, item, field):
        """An output's text; MyST keeps a long one in a file of its own."""
        if path := item.get("path"):
            return self.fetch(path).decode()
        value = item.get(field, "")
        return value if isinstance(value, str) else "".join(value)

    def image(self, mime, item):
        if path := item.get("path"):
            return self.file(path)
        if mime == "image/svg+xml":  # as an image: its styles and ids stay its own
            return "data:image/svg+xml," + quote(
                self.load(item, "content"), safe=" :/=;,()'!*$&@?+"
            )
        return f"data:{mime};base64," + re.sub(r"\s", "", item["content"])
