"""The plain theme's renderer, a node at a time, against HTML written by hand."""

import base64
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from book.site import build_site
from lib.files import BOOK

from .conftest import THEME

sys.path.insert(0, str(THEME))
from render import Renderer, ansi, html_id, mathml

ATTRIBUTES = ("class", "href", "title", "src", "alt", "tabindex")


def text(value):
    return {"type": "text", "value": value}


def tight(markup):
    """HTML without the space between elements that templates leave."""
    return re.sub(r">\s+<", "><", str(markup)).strip()


def output(data):
    data = {"output_type": "display_data", "data": data, "metadata": {}}
    return {"type": "output", "jupyter_data": data}


def test_an_unknown_node_is_shown_by_its_children_and_warned_of(capsys):
    inner = {"type": "emphasis", "children": [text("seen")]}
    html = Renderer().render({"type": "hologram", "children": [text("All is "), inner]})
    assert html == "All is <em>seen</em>"
    assert "'hologram'" in capsys.readouterr().err
    assert Renderer().render({"type": "hologram", "value": "a < b"}) == "a &lt; b"


def test_a_known_node_is_not_warned_of(capsys):
    Renderer().render({"type": "paragraph", "children": [text("quiet")]})
    assert capsys.readouterr().err == ""


def test_the_outline_lists_no_heading_that_is_not_shown():
    def block(name, **more):
        heading = {"type": "heading", "depth": 2, "html_id": name, "children": [text(name)]}
        return {"type": "block", "children": [heading], **more}

    page = {"type": "root", "children": [block("gone", visibility="remove"), block("seen")]}
    assert Renderer().outline(page) == [(2, "seen", "seen")]
    assert "gone" not in Renderer().render(page["children"][0])


def test_a_reference_to_nothing_is_marked_and_warned_of(capsys):
    html = Renderer().render({"type": "crossReference", "label": "gone", "resolved": False})
    assert html == '<span class="missing">gone</span>'
    assert "gone" in capsys.readouterr().err


def test_citations_stand_in_parentheses_and_tell_what_they_cite():
    references = {"cite": {"data": {"a1": {"html": "A. <i>Title &amp; more</i>"}}}}
    cites = [{"type": "cite", "label": label, "children": [text(label)]} for label in ("a1", "b2")]
    group = {"type": "citeGroup", "kind": "parenthetical", "children": cites}
    first = '<a href="#cite-a1" title="A. Title &amp; more">a1</a>'
    second = '<a href="#cite-b2" title="">b2</a>'
    assert Renderer(references=references).render(group) == f"({first}; {second})"
    narrative = {**group, "kind": "narrative", "children": cites[:1]}
    assert Renderer(references=references).render(narrative) == first


def test_text_is_escaped_everywhere():
    bad = '<script>"&'
    nodes = [
        {"type": "paragraph", "class": bad, "children": [text(bad)]},
        {"type": "inlineCode", "value": bad},
        {"type": "code", "lang": "python", "value": bad, "filename": bad},
        {"type": "code", "lang": "no such language", "value": bad},
        {"type": "link", "url": bad, "title": bad, "children": [text(bad)]},
        {"type": "image", "url": bad, "alt": bad},
        {"type": "abbreviation", "title": bad, "children": [text(bad)]},
        output({"text/plain": {"content": bad}}),
        {
            "type": "output",
            "jupyter_data": {"output_type": "stream", "name": "stdout", "text": bad},
        },
    ]
    for node in nodes:
        html = Renderer().render(node)
        seen = []
        parser = HTMLParser()
        parser.handle_starttag = lambda tag, pairs, seen=seen: seen.extend([tag, *dict(pairs)])
        parser.feed(html)
        assert seen, node
        assert set(seen) <= {"p", "pre", "code", "span", "a", "img", "abbr", *ATTRIBUTES}, node


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/", "/base/"),
        ("/first", "/base/first/"),
        ("/first#cell", "/base/first/#cell"),
        ("https://example.org/a", "https://example.org/a"),
        ("#here", "#here"),
    ],
)
def test_addresses_of_pages_are_under_the_base(url, expected):
    assert Renderer("/base").url(url) == expected


def test_a_cross_reference_to_another_page():
    node = {"type": "crossReference", "url": "/first", "html_id": "loss", "children": [text("x")]}
    assert Renderer("/b").render(node) == '<a class="reference" href="/b/first/#loss">x</a>'


def test_ids_are_those_that_myst_writes(sample):
    """A label in the sample's notebooks, and the id beside it in the JSON that MyST wrote."""
    seen = 0
    for page in (sample[0].parent / "site" / "content").glob("*.json"):
        for block in json.loads(page.read_text("utf-8"))["mdast"]["children"]:
            if "label" in block:
                assert html_id(block["label"]) == block["html_id"]
                seen += 1
    assert seen
    assert html_id("02_two__three") == "id-02-two-three"


def test_terminal_colours():
    assert ansi("a\x1b[31mred\x1b[0m b") == 'a<span class="ansi-1">red</span> b'
    assert ansi("\x1b[1;32mx\x1b[39my\x1b[mz") == (
        '<span class="bold ansi-2">x</span><span class="bold">y</span>z'
    )
    assert ansi("\x1b[38;5;66;03mgrey\x1b[0m") == "grey"
    assert ansi("\x1b[38;2;31;31;31m<\x1b[0m\x1b[2K") == "&lt;"


def test_a_progress_bar_is_shown_as_it_ended():
    assert ansi("\r  0%\r 50%\r100%\ndone\r\n") == "100%\ndone\r\n"
    blank = {"output_type": "stream", "name": "stderr", "text": "\r\n"}
    assert tight(Renderer().render({"type": "output", "jupyter_data": blank})) == ""


def test_mathematics_keeps_its_letters_and_its_spacing():
    katex = (
        '<span><math xmlns="http://www.w3.org/1998/Math/MathML"><semantics><mrow>'
        '<mi mathvariant="script">L</mi><mi mathvariant="double-struck">R</mi>'
        '<mi mathvariant="bold">x</mi><mi mathvariant="normal">∇</mi><mo>=</mo><mo>−</mo>'
        "<mi>log</mi><mo>\u2061</mo><mi>p</mi><msub><mi>x</mi><mrow><mo>&lt;</mo><mi>t</mi></mrow>"
        "</msub></mrow><annotation>L</annotation></semantics></math></span>"
    )
    tree = ElementTree.fromstring(mathml(katex))
    assert [mi.text for mi in tree.iter("mi")][:4] == ["ℒ", "ℝ", "𝐱", "∇"]
    equals, minus, applied, less = tree.iter("mo")
    assert (equals.get("form"), minus.get("form")) == (None, "prefix")
    assert applied.get("rspace") == "0.167em"
    assert (less.text, less.get("lspace")) == ("<", "0")
    assert tree.find(".//annotation") is None


def test_the_richest_form_of_an_output_is_shown():
    png = base64.b64encode(b"png").decode()
    image = {"image/png": {"content": png}, "text/plain": {"content": "It falls"}}
    assert tight(Renderer().render(output(image))) == (
        f'<img src="data:image/png;base64,{png}" alt="It falls">'
    )
    widget = {"application/vnd.jupyter.widget-view+json": {"content": "{}"}}
    shown = Renderer().render(output({**widget, "text/plain": {"content": "100%"}}))
    assert tight(shown) == '<pre class="text" tabindex="0">100%</pre>'


def test_a_span_keeps_its_style_and_title():
    style = {"background": "rgba(1, 2, 3, 0.5)", "borderRadius": "3px"}
    span = {"type": "span", "style": style, "title": "1.20 nats", "children": [text("a")]}
    css = "background: rgba(1, 2, 3, 0.5); border-radius: 3px"
    assert Renderer().render(span) == f'<span style="{css}" title="1.20 nats">a</span>'


def test_an_output_that_no_page_can_show_is_warned_of(capsys):
    Renderer().render(output({"application/x-hologram": {"content": "?"}}))
    assert "application/x-hologram" in capsys.readouterr().err


def test_a_long_output_is_read_from_its_file():
    files = {"/long.txt": b"the whole text"}
    stream = {"output_type": "stream", "name": "stdout", "text": "the wh...", "path": "/long.txt"}
    html = Renderer(fetch=files.__getitem__).render({"type": "output", "jupyter_data": stream})
    assert tight(html) == '<pre class="stream stdout" tabindex="0">the whole text</pre>'
    image = output({"image/png": {"path": "/drawn.png"}})
    assert 'src="/myst_assets_folder/drawn.png"' in Renderer("/base").render(image)


def test_an_image_in_a_figure_has_the_figures_alt_text_else_its_caption():
    caption = {"type": "caption", "children": [text("It falls.")]}
    image = output({"image/png": {"path": "/a.png"}, "text/plain": {"content": "<Figure size 9>"}})
    figure = {"type": "container", "kind": "figure", "children": [image, caption]}
    assert 'alt="It falls."' in Renderer().render(figure)
    assert 'alt="A curve"' in Renderer().render({**figure, "alt": "A curve"})


@pytest.mark.parametrize("visibility", ["show", "hide"])
def test_a_cells_label_is_inside_its_fold(visibility):
    """So that a browser unfolds the cell that a link leads to, without a script."""
    code = {"type": "code", "lang": "python", "value": "x", "visibility": visibility}
    block = {"type": "block", "kind": "notebook-code", "html_id": "loss", "children": [code]}
    html = tight(Renderer().render(block))
    opened = " open" if visibility == "show" else ""
    assert (
        f'<details class="fold"{opened}><summary>Code</summary><div class="input" id="loss">'
        in html
    )
    gone = {**block, "children": [{**code, "visibility": "remove"}]}
    assert tight(Renderer().render(gone)) == '<div class="cell" id="loss"></div>'


def test_line_numbers_and_marked_lines():
    node = {"type": "code", "lang": "text", "value": "a\nb", "showLineNumbers": True}
    html = Renderer().render({**node, "startingLineNumber": 9, "emphasizeLines": [1]})
    first, second = '<span class="hll">a</span>', "b"
    number = '<span class="linenos">{}</span>'.format
    assert f"<code>{number(' 9')}{first}\n{number('10')}{second}</code>" in html


def test_a_card_shows_the_books_picture_by_its_full_address(smoke_book, tmp_path):
    book = tmp_path / "book"
    shutil.copytree(smoke_book[0], book, ignore=shutil.ignore_patterns("_build", "runs", "*.tmp"))
    html = build_site(book, "plain", base_url="https://some.one/base")
    for page in ("index.html", "adamw/index.html"):
        (card,) = re.findall(r'property="og:image" content="([^"]*)"', (html / page).read_text())
        path = re.fullmatch(r"https://some\.one/base(/build/front-page-\w+\.png)", card)[1]
        assert (html / path[1:]).read_bytes() == (BOOK / "docs" / "front-page.png").read_bytes()
