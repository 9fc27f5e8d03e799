"""A step's colour, which is the same in every figure, and what a figure's file holds."""

import re
from xml.etree import ElementTree

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from drawing import bars, curves, rows, style
from lib.steps import LADDER, STEPS

from .wcag import contrast

# Typed once here, in the order of the steps: that a published figure keeps its colours.
COLORS = {
    "01_baseline": "#8a8f99",
    "02_adamw": "#d5651b",
    "03_rope_vocab": "#2b7fc4",
    "04_lowest_loss": "#1a9a6c",
    "05_counting": "#d01c48",
}
OTHER = "#a85fb0"


def make_record(step):
    """A record of a step that every kind of figure can draw."""
    points = [(1, 2.0, 1.9), (7, 1.5, 1.4)]
    names = ("epoch", "full_coverage", "official")
    return {
        "step": step,
        "title": f"Title of {step}",
        "preset": "tiny",
        "stories": {"source": "file"},
        "config": {"batch_size": 16, "block_size": 128},
        "tokenizer": {"lossless": True},
        "losses": {"unigram": 1.9, "full_coverage": 1.5, "official": 1.4, "coverage": 0.9},
        "curve": [dict(zip(names, point, strict=True)) for point in points],
        "predictions": [{"context": "a", "top": [{"token": "b", "p": 0.5}], "target": "b"}],
    }


def curve(out, step):
    curves.loss_curves(out, "figure", [make_record(step)])


def words(out, step):
    kept = [{"word": word, "nats": 3.0, "titles": 1} for word in ("1", "end")]
    curves.loss_by_word(out, "figure", {step: kept}, [make_record(step)])


def batches(out, step):
    sweep = [{"batch": b, "official": 1 / b, "coverage": 0.9, "full_coverage": 2} for b in (1, 2)]
    curves.loss_by_batch(out, "figure", make_record(step), sweep)


def final(out, step):
    rows.final_losses(out, "figure", [make_record(step)], ["name"])


def arms(out, step):
    rows.arms(out, "figure", [make_record(step)])


def seeds(out, step):
    several = {"seeds": [1, 2], "full_coverage": [1.0, 2.0], "mean": 1.5, "sd": 0.7}
    rows.seeds(out, "figure", [make_record(step) | several | {"titles": {"val": 9}}])


def tokens(out, step):
    bars.next_tokens(out, "figure", make_record(step), 0)


FIGURES = [curve, words, batches, final, arms, seeds, tokens]


def colors_of(axes):
    """All colours of the lines, points and bars of a figure, and of the text beside them."""
    faces = [face for c in axes.collections for face in c.get_facecolors()]
    faces += [patch.get_facecolor() for patch in axes.patches]
    others = [x.get_color() for x in (*axes.lines, *axes.texts)]
    return {to_hex(own) for own in (*faces, *others)} - {style.GREY, style.FAINT}


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("step", [*STEPS, "public_best"])
def test_a_step_has_its_colour_in_every_kind_of_figure(tmp_path, drawn, figure, step):
    figure(tmp_path, step)
    assert colors_of(drawn[0]) == {COLORS.get(step, OTHER)}


def test_the_ladders_have_the_colour_of_the_step_they_lead_to(tmp_path, drawn):
    rung = {"title": "a", "gain": 0.1, "kept": True, "mean": 1.0}
    record = {"preset": "tiny", "stories": {"source": "file"}, "seeds": 1, "rungs": {"a": rung}}
    rows.ladder(tmp_path, "ladder", record)
    rows.ladders(tmp_path, "ladders", record, record)
    assert [colors_of(axes) for axes in drawn] == [{COLORS[LADDER["to"]]}] * 2


def test_every_step_has_a_colour_and_no_two_have_the_same():
    found = [style.color(step) for step in STEPS]
    assert len({*found, style.OTHER, style.GREY}) == len(STEPS) + 2


def test_a_figure_is_written_with_the_numbers_drawn(tmp_path):
    data = pd.DataFrame({"epoch": [1, 7], "loss": [2.5, 1 / 3]})
    drawing = style.draw(tmp_path, "line", data, "A line.", lambda axes: axes.plot([1, 2]))
    csv = (tmp_path / "figures" / "line.csv").read_bytes()
    assert csv == b"epoch,loss\n1,2.5\n7,0.3333333333333333\n"
    svg = (tmp_path / "figures" / "line.svg").read_text("utf-8")
    assert svg == drawing.svg
    assert drawing._repr_mimebundle_() == {"image/svg+xml": svg, "text/plain": "A line."}


def test_text_in_a_figure_is_text_and_a_dollar_no_formula(tmp_path):
    def plot(axes):
        axes.set_title("from $1 to $2 ␣")

    svg = style.draw(tmp_path, "text", pd.DataFrame(), "Text.", plot).svg
    assert "from $1 to $2 ␣" in re.findall(r"<text [^>]*>(.*?)</text>", svg)


PAPERS = {
    "light": ("#fdfdfb", "#ffffff"),  # of the plain theme, of the official one
    "dark": ("#15181b", "#1c1917"),
}


def rgb(color):
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


@pytest.mark.parametrize(
    ("figure", "step"),
    [*((curve, step) for step in (*STEPS, "public_best")), *((f, "02_adamw") for f in FIGURES[1:])],
)
def test_text_in_a_figure_can_be_read_on_a_light_and_on_a_dark_page(tmp_path, figure, step):
    """By the rules in its SVG: each text's own colour leads to the two that it is shown in."""
    figure(tmp_path, step)
    svg = (tmp_path / "figures" / "figure.svg").read_text("utf-8")
    rule = r'text\[style\*="fill: (#\w{6})"\] \{fill: light-dark\((#\w{6}), (#\w{6})\) !important\}'
    inks = {own: {"light": light, "dark": dark} for own, light, dark in re.findall(rule, svg)}
    found = re.findall(r"<text style=\"[^\"]*fill: (#\w{6})", svg)
    assert len(found) == svg.count("<text ") > 3
    for own in set(found):
        for scheme, papers in PAPERS.items():
            for paper in papers:
                assert contrast(rgb(inks[own][scheme]), rgb(paper)) >= 4.5


@pytest.mark.parametrize("paper", ["#fdfdfb", "#15181b"])
def test_a_line_can_be_told_from_the_page(paper):
    """WCAG asks for a contrast of 3 of what is not text."""
    for own in (*style.PALETTE, style.OTHER, style.GREY):
        assert contrast(rgb(own), rgb(paper)) >= 3


def test_a_figure_asks_for_the_scheme_of_the_page_where_it_is_an_image(tmp_path):
    """And only there: in a page, `:root` is the page."""
    svg = style.draw(tmp_path, "line", pd.DataFrame(), "", lambda axes: None).svg
    ElementTree.fromstring(svg)
    assert svg.count("color-scheme") == svg.count("svg:root {color-scheme: light dark}") == 1


def test_a_caption_says_stories_and_preset():
    record = {"stories": {"source": "hub"}, "preset": "full"}
    assert style.caption(record) == "hub stories, preset full"
