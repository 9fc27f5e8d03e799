"""Tables as a notebook shows them."""

from xml.etree import ElementTree

import pandas as pd

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
    assert found["r_drop"] == ["0", "2"]
    assert found["learning_rate"] == ["0.0005", "0.003"]
    assert found["schedule"] == ["cosine", "wsd"]
    assert "n_layer" not in found
