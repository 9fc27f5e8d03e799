"""What notebooks put out, after a real build: images, tables and text that need no script."""

import json
import re
import subprocess

import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_output

from book.site import build_site
from drawing.tables import Table
from drawing.text import coloured_titles

from .test_plugins import ROOT, SVG, find, make_book, make_cell, make_notebook, page, words

NASTY = ["$5M to $10B & <b>more</b>", 'it\'s "quoted"', "{result}`x` &amp;", "  two  spaces", "–"]
DATA = pd.DataFrame(
    {
        "title": NASTY,
        "loss": ["1.2500", "0.3100 ± 0.0020", "-1.2e-5", "0.9240 (92.5%)", "–"],
        "time": ["9.6 min", "41 s", "1,200 s", "≈ 3 h", "–"],
        "setting": ["8,000", "yes", "3", "4", "–"],
    }
)
TABLE = Table(DATA, ("title",), ((0, "loss"),), note="Lower is <better>.")


def show(label, **forms):
    data = {kind.replace("__", "/"): form for kind, form in forms.items()}
    outputs = [new_output("display_data", data={"text/plain": "told", **data})]
    return new_code_cell(f"#| label: {label}\nshow()", outputs=outputs)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    root = tmp_path_factory.mktemp("outputs") / "book"
    lines = [{"title": "a  $1 $2", "step": "S", "tokens": ["a ", " $1 $2"], "losses": [0.5, 6.0]}]
    titles = coloured_titles(root.parent / "drawn", "titles", lines)
    figures = [
        f":::{{figure}} #{label}\n:label: fig_{label}\n:alt: What it shows\nCaption.\n:::\n"
        for label in ("Loss__First-run", "table", "titles")
    ]
    markdown = "| name | loss |\n|---|---|\n| $a$ | 1.5 s |\n| b | – |\n"
    make_book(root, "# Report\n\n" + "\n".join(figures) + "\n" + markdown)
    make_notebook(
        root / "notebooks" / "01_baseline.ipynb",
        make_cell("Loss__First-run"),
        show("table", text__html=TABLE._repr_html_()),
        show("titles", text__html=titles._repr_html_()),
        show("latex", text__latex="$x$", application__json={}),
        show("both", text__html="<p>$5M to $10B</p>", image__png="cG5n"),
        show("frame", text__html=pd.DataFrame({"n": [1.5, 2], "w": ["x", "y"]})._repr_html_()),
        show(
            "script", text__html="<script>alert('$')</script><custom-tag>kept<br/>on</custom-tag>"
        ),
    )
    (root / "figures").mkdir()
    (root / "figures" / "table.csv").write_text("a,b\n")
    build_site(root, "plain")
    return root


def block(book, label):
    (found,) = [b for b in find(page(book, "baseline"), "block") if b.get("label") == label]
    return found


def test_nothing_is_left_that_a_script_would_draw(book):
    for slug in ("index", "baseline"):
        for output in find(page(book, slug), "output"):
            forms = output["jupyter_data"]["data"]
            assert set(forms) <= {"image/png", "text/plain"}, (slug, forms)
    assert not find(page(book, "baseline"), "inlineMath")


def test_a_drawing_is_a_file_with_alt_text(book):
    for slug, alt in (("baseline", "A falling line"), ("index", "What it shows")):
        (image,) = find(page(book, slug), "image")
        assert image["alt"] == alt
        assert (book / "_build" / "html" / "build" / image["url"].strip("/")).read_text() == SVG


@pytest.mark.parametrize("slug", ["index", "baseline"])
def test_a_table_has_the_cells_that_it_was_made_of(book, slug):
    shown = block(book, "table") if slug == "baseline" else page(book, "index")
    first = find(shown, "table")[0]
    rows = [find(row, "tableCell") for row in find(first, "tableRow")]
    assert [words(cell) for cell in rows[0]] == list(DATA.columns)
    assert [[words(cell) for cell in row] for row in rows[1:]] == DATA.to_numpy().tolist()
    assert [cell.get("header") for cell in rows[0]] == [True] * 4
    assert not any(cell.get("header") for row in rows[1:] for cell in row)
    assert [words(node) for node in find(first, "strong")] == ["1.2500"]
    notes = [words(node) for node in find(shown, "div", **{"class": "note"})]
    assert notes == ["Lower is <better>."]


def test_numbers_are_to_the_right_and_words_to_the_left(book):
    for table, sides in (
        (find(page(book, "index"), "table")[0], [None, "right", "right", None]),
        (find(page(book, "index"), "table")[-1], [None, "right"]),  # the page's own
        (find(block(book, "frame"), "table")[0], [None, "right", None]),  # after its index
    ):
        for row in find(table, "tableRow"):
            assert [cell.get("align") for cell in row["children"]] == sides


def test_coloured_titles_keep_their_spaces_and_colours(book):
    shown = block(book, "titles")
    spans = [s for s in find(shown, "span") if s.get("title")]
    assert [(words(s), s["title"]) for s in spans] == [("a ", "0.50 nats"), (" $1 $2", "6.00 nats")]
    opacities = [re.findall(r"[\d.]+", s["style"]["background"])[-1] for s in spans]
    assert float(opacities[1]) == pytest.approx(12 * float(opacities[0]), abs=0.15)
    assert {"whiteSpace": "pre-wrap", "lineHeight": "1.9"} in [
        node.get("style") for node in find(shown, "div")
    ]


def test_of_what_is_not_known_the_text_stays_and_of_a_script_nothing(book):
    assert words(find(block(book, "script"), "div")[0]) == "kepton"
    assert len(find(block(book, "script"), "break")) == 1


def test_a_source_leads_to_the_cell(book):
    (container,) = find(page(book, "index"), "container", label="fig_Loss__First-run")
    path, anchor = container["source"]["url"].split("#")
    assert (path, anchor) == ("/baseline", block(book, "Loss__First-run")["html_id"])


def test_the_numbers_of_a_cell_can_be_downloaded_below_it(book):
    (link,) = [x for x in find(page(book, "baseline"), "link") if words(x) == "table.csv"]
    assert link["static"] is True
    file = book / "_build" / "site" / "public" / link["url"].strip("/")
    assert file.read_text() == "a,b\n"
    assert not [x for x in find(page(book, "index"), "link") if "csv" in x["url"]]


def test_entities_and_attributes_are_read_as_a_browser_reads_them():
    html = "<p title='a>b' style=\"color:red\">&lt;&#36;&#x24;&nbsp;&unknown; 1 < 2</p>"
    script = (
        f"import {{ parseHtml }} from {json.dumps((ROOT / 'plugins' / 'html.mjs').as_uri())};"
        f"console.log(JSON.stringify(parseHtml({json.dumps(html)})));"
    )
    command = ["node", "--input-type=module", "-e", script]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    (node,) = json.loads(run.stdout)
    assert words(node) == "<$$\xa0&unknown; 1 < 2"
    assert node["style"] == {"color": "red"}
