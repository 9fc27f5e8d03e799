"""Step five's figures and tables, and the mark of what sees more than titles wherever it stands."""

from xml.etree import ElementTree

import pandas as pd
import pytest

from drawing import context, curves, rows, tables
from drawing.style import GREY, OTHER

from .test_rows import HERE, bars, markers, names, texts
from .test_tables import make_record
from .test_tables import texts as cells

TOLD = {"title": "told", "gain": 0.2, "over_seeds": 0.01, "over_titles": 0.03}
CONTROL = {"title": "exchanged", "gain": -0.1, "over_seeds": None, "over_titles": 0.02}


def test_a_gain_has_a_bar_over_seeds_and_one_over_titles(tmp_path, drawn):
    drawing = context.gains(tmp_path, "gain", {"all": TOLD, "exchanged": CONTROL}, HERE)
    (axes,) = drawn
    assert names(axes) == {0: "told", 1: "exchanged"}
    assert [(x, y) for x, y, _ in markers(axes)] == [(0.2, 0), (-0.1, 1)]
    found = {round(height, 6): pytest.approx(ends) for height, ends in bars(axes).items()}
    assert found == {-0.1: [0.18, 0.22], 0.1: [0.14, 0.26], 1.1: [-0.14, -0.06]}
    own = {line.get_color() for line in axes.lines if line.get_ydata()[0] == -0.1}
    assert own == {OTHER} != {GREY}
    assert texts(axes) == {0: "+0.2000", 1: "-0.1000"}
    assert "told +0.2000 ± 0.0100 over seeds ± 0.0300 over titles; " in drawing.alt
    assert drawing.alt.endswith("exchanged -0.1000 ± 0.0200 over titles")
    data = pd.read_csv(tmp_path / "figures" / "gain.csv")
    assert data["gain"].tolist() == [0.2, -0.1] and data["over_titles"].tolist() == [0.03, 0.02]


def test_a_words_gain_is_drawn_by_its_place_with_its_error(tmp_path, drawn):
    rows = [("1", 0.5, 0.125), ("2", 0.25, 0.0625), ("end", -0.125, 0.25)]
    found = [{"word": w, "titles": 9, "before": 8.0, "gain": g, "error": e} for w, g, e in rows]
    drawing = context.by_place(tmp_path, "places", found, HERE)
    (axes,) = drawn
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "end"]
    assert [(x, y) for x, y, _ in markers(axes)] == [(0, 0.5), (1, 0.25), (2, -0.125)]
    ends = [line.get_ydata() for line in axes.lines if line.get_marker() == "None"][1:]
    assert [list(pair) for pair in ends] == [[0.25, 0.75], [0.125, 0.375], [-0.625, 0.375]]
    assert "1 +0.50 ± 0.12" in drawing.alt
    assert pd.read_csv(tmp_path / "figures" / "places.csv")["gain"].tolist() == [0.5, 0.25, -0.125]


def test_the_sites_that_gain_most_and_least_are_drawn(tmp_path, drawn):
    found = [
        {"site": f"s{i}.com" if i else "", "titles": 30 + i, "before": 90.0, "gain": 9.0 - i}
        for i in range(15)
    ]
    context.sites(tmp_path, "sites", found, HERE)
    context.sites(tmp_path, "few", found[:2], HERE)
    shown = [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14]
    expected = [f"s{i}.com ({30 + i})" if i else "no link (30)" for i in shown]
    assert list(names(drawn[0]).values()) == expected
    assert list(names(drawn[1]).values()) == expected[:2]
    data = pd.read_csv(tmp_path / "figures" / "sites.csv")
    assert data["fewer bits a headline"].tolist() == [9.0 - i for i in shown]


def test_first_words_stand_side_by_side_and_the_right_one_is_bold():
    columns = {
        "a.com": [{"word": "Alpha", "p": 0.5}, {"word": "<b>", "p": 0.25}],
        "": [{"word": "Ask", "p": 0.125}],
    }
    table = context.first_words(columns, "posted then", "Ask")
    assert cells(table)[0] == ["a.com", "no link"]
    root = ElementTree.fromstring(table._repr_html_())
    assert [cell.text for cell in root.iter("strong")] == ["Ask 12.5%"]
    body = [[cell.text for cell in row.iter("td")] for row in root.iter("tr")][1:]
    assert body == [["Alpha 50.0%", None], ["<b> 25.0%", None]]  # the bold one's text is inside
    assert [note.text for note in root.iter("caption")] == ["posted then"]


def test_what_is_left_is_told_in_bits():
    bits = {"headline": 60.0, "word": 9.125, "first": 10.5, "rest": 8.0}
    table = context.left({"titles alone": bits, "told": {**bits, "first": 6.0}}, HERE)
    assert cells(table) == [
        ["bits for", "titles alone", "told"],
        ["a headline", "60.00", "60.00"],
        ["a word of it", "9.12", "9.12"],
        ["the first word", "10.50", "6.00"],
        ["a word after the first", "8.00", "8.00"],
    ]
    assert table.note == "Validation titles, file stories, preset tiny."


POINT = {"step": 1, "epoch": 1.0, "train": 5.0, "official": 1.0, "coverage": 0.9}


@pytest.fixture
def records():
    """A step, and a lower one that sees more than titles."""
    alone, told = make_record("03_alone", 1.5), make_record("06_context", 1.2)
    for record in (alone, told):
        record["curve"] = [{**POINT, "full_coverage": record["losses"]["full_coverage"]}]
    return [alone, {**told, "title": "More context", "sees": ["domain", "time"]}]


def test_a_table_marks_what_sees_more_and_does_not_rank_it(records):
    table = tables.steps_table(records[:1], records[1:])
    names = [row[0] for row in cells(table)[1:]]
    assert names[1] == "More context (sees domain and time, not ranked)"
    assert table.strong == ((0, "Full coverage"),)  # not the lower loss below it
    summary = dict(cells(tables.summary_table(records[1]))[1:])
    assert summary["not ranked"] == "it sees domain and time"
    assert "not ranked" not in dict(cells(tables.summary_table(records[0]))[1:])


def test_figures_of_losses_mark_what_sees_more(records, tmp_path, drawn):
    curves.loss_curves(tmp_path, "curves", records)
    rows.final_losses(tmp_path, "final", records, ["alone", "told"])
    drawing = rows.arms(tmp_path, "arms", records)
    ends = [text.get_text() for text in drawn[0].texts]
    assert "More context\n1.200\nsees domain and time" in ends and "03_alone\n1.500" in ends
    assert list(names(drawn[1]).values()) == ["alone", "told\nsees domain and time"]
    assert texts(drawn[2])[1] == "1.200 not ranked" and texts(drawn[2])[0] == "1.500"
    assert "More context 1.200 (not ranked)" in drawing.alt
