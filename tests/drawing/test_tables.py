"""Tables as a notebook shows them."""

from xml.etree import ElementTree

import pandas as pd
import pytest

from drawing import tables
from lib.config import load_step


def cells(table):
    """The text and style of each cell, a list a row, from HTML that is well formed."""
    rows = ElementTree.fromstring(table._repr_html_()).iter("tr")
    return [[(cell.text, cell.get("style")) for cell in row] for row in rows]


def test_words_are_set_to_the_left_and_numbers_to_the_right_in_one_line():
    data = pd.DataFrame({"change": ["a < b & c"], "gain": ["+0.1 ± 0.2"]})
    head, row = cells(tables.Table(data, ("change",)))
    assert head == [("change", "text-align: left"), ("gain", "text-align: right")]
    numbers = "text-align: right; white-space: nowrap"
    assert row == [("a < b & c", "text-align: left"), ("+0.1 ± 0.2", numbers)]


def test_settings_stand_as_people_write_them():
    old, new = (load_step(step, "small") for step in ("03_rope_vocab", "04_lowest_loss"))
    rows = [[text for text, _ in row] for row in cells(tables.settings_table(old, new))]
    assert rows[0] == ["setting", "old", "new"]
    found = {name: values for name, *values in rows[1:]}
    assert found["vocab_size"] == ["16,000", "2,000"]
    assert found["title_mask"] == ["no", "yes"]
    assert found["r_drop"] == ["0", "1"]
    assert found["learning_rate"] == ["0.0005", "0.003"]
    assert found["schedule"] == ["cosine", "wsd"]
    assert "n_layer" not in found


def texts(table):
    """The rows of a table as text, its head first."""
    return [[text for text, _ in row] for row in cells(table)]


def test_a_cell_that_is_set_off_is_bold_and_a_note_stands_below():
    data = pd.DataFrame({"change": ["a", "b"], "loss": ["1 < 2", "2"]})
    table = tables.Table(data, ("change",), ((0, "loss"),), "a & b")
    root = ElementTree.fromstring(table._repr_html_())
    assert [cell.text for cell in root.iter("strong")] == ["1 < 2"]
    assert [(note.text, note.get("style")) for note in root.iter("caption")] == [
        ("a & b", "caption-side: bottom")
    ]
    assert " ".join(repr(table).split()) == "change loss a *1 < 2* b 2 a & b"
    assert data.loc[0, "loss"] == "1 < 2"
    assert "caption" not in tables.Table(data)._repr_html_()


def make_record(title, full_coverage, lossless=True, **other):
    """A record as far as a table shows it, each number unlike all others."""
    return {
        "step": title,
        "title": title,
        "preset": "tiny",
        "stories": {"source": "file", "sha256": "0123456789abcdef"},
        "titles": {"train": 900, "val": 100},
        "tokenizer": {"lossless": lossless},
        "losses": {
            "official": 1.23456,
            "coverage": 0.8754,
            "full_coverage": full_coverage,
            "bits_per_byte": 2.34567,
            "test": 1.45678,
            "unigram": 1.9,
        },
        "parameters": 1234567,
        "steps": 4321,
        "speed": {"seconds": 754.0, "tokens_per_second": 9876.5},
        "environment": {"device": "a CPU", "precision": "float32", "torch": "2.0"},
        **other,
    }


def strong(table):
    """The first cell of each row that has a cell set off, and that cell."""
    rows = ElementTree.fromstring(table._repr_html_()).iter("tr")
    return [(row[0].text, cell.text) for row in rows for cell in row.iter("strong")]


def test_the_steps_have_their_losses_and_size_and_the_lowest_is_set_off():
    table = tables.steps_table([make_record("one", 2.00004), make_record("two", 1.76543)])
    head, one, _ = texts(table)
    assert head == [
        "Step",
        "Full coverage",
        "Test titles",
        "Official (coverage)",
        "Bits per byte",
        "Parameters",
    ]
    assert one == ["one", "2.0000", "1.4568", "1.2346 (87.5%)", "2.346", "1,234,567"]
    assert strong(table) == [("two", "1.7654")]
    assert repr(table).count("*") == 2 and "*1.7654*" in repr(table)
    assert table.note.startswith("Preset tiny, file stories (01234567). Losses in nats per char")


def test_a_run_that_is_not_lossless_is_marked_and_not_ranked():
    records = [make_record("one", 2.0), make_record("low", 1.1, lossless=False)]
    table = tables.steps_table(records)
    assert [row[0] for row in texts(table)[1:]] == ["one", "low (not lossless, not ranked)"]
    assert strong(table) == [("one", "2.0000")]
    assert strong(tables.steps_table(records[1:])) == []


def test_what_is_not_known_is_a_dash():
    record = make_record("one", 2.0)
    record["losses"] |= {"official": None, "test": None}
    (row,) = texts(tables.steps_table([record]))[1:]
    assert row[2:4] == ["–", "– (87.5%)"]


def test_the_public_recipe_comes_last_and_is_ranked_where_it_compares():
    steps, peer = [make_record("one", 2.0), make_record("two", 1.8)], make_record("peer", 1.5)
    table = tables.steps_table(steps, [peer])
    assert [row[0] for row in texts(table)[1:]] == ["one", "two", "peer"]
    assert strong(table) == [("peer", "1.5000")]
    assert table.note.endswith("No step of this book, but trained beside them: peer.")


@pytest.mark.parametrize(
    "other",
    [
        {"preset": "small"},
        {"stories": {"source": "file", "sha256": "another"}},
        {"titles": {"train": 900, "val": 99}},
    ],
)
def test_what_does_not_compare_with_the_steps_is_left_out_or_refused(other):
    steps, peer = [make_record("one", 2.0)], make_record("peer", 1.5, **other)
    table = tables.steps_table(steps, [peer])
    assert [row[0] for row in texts(table)[1:]] == ["one"]
    assert strong(table) == [("one", "2.0000")]
    assert "peer" not in table.note
    with pytest.raises(ValueError, match=r"do not compare \(one: preset tiny.*peer: preset"):
        tables.steps_table([*steps, peer])


def test_a_run_is_summed_up_with_the_unit_of_each_number():
    rows = texts(tables.summary_table(make_record("one", 2.00004)))[1:]
    assert dict(rows) == {
        "full-coverage loss": "2.0000 nats per character",
        "official loss": "1.2346 nats per character (coverage 0.875)",
        "bits per byte": "2.3457",
        "loss on the test titles": "1.4568 nats per character",
        "measured on": "100 validation titles, file stories, preset tiny",
        "parameters": "1,234,567",
        "trained": "4,321 steps in 754 s, 9,876 tokens per second",
        "on": "a CPU, float32, torch 2.0",
    }


def test_the_ladder_is_told_in_two_tables_with_where_a_gain_lies():
    rungs = {
        "03_rope_vocab": {"title": "step two", "mean": 2.0},
        "muon": {"title": "Muon", "why": "it moves", "gain": 0.5, "low": 0.48, "high": 0.52},
        "gate": {"title": "gate", "why": "it shuts", "gain": -0.1, "low": -0.2, "high": 0.0},
        "mask": {"title": "mask", "why": "it hides", "gain": 0.25},
    }
    for name, kept in (("muon", True), ("gate", False), ("mask", True)):
        rungs[name]["kept"] = kept
    head, *kept = texts(tables.ladder_table({"rungs": rungs}, kept=True))
    assert head == ["change", "what we expected", "gain"]
    between = "+0.5000 (+0.4800\xa0to\xa0+0.5200)"
    assert kept == [["Muon", "it moves", between], ["mask", "it hides", "+0.2500"]]
    (left,) = texts(tables.ladder_table({"rungs": rungs}, kept=False))[1:]
    assert left == ["gate", "it shuts", "-0.1000 (-0.2000\xa0to\xa0+0.0000)"]
