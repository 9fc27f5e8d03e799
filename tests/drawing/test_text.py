"""Coloured titles, samples and windows, read back from their HTML."""

import re
from types import SimpleNamespace

import pytest

from drawing import text

from .wcag import contrast

ROWS = [
    {"title": "A <b>", "step": "AdamW", "tokens": ["A", " <b>", "⏎"], "losses": [3.0, 6.0, 24.0]},
    {"title": "A <b>", "step": "RoPE", "tokens": ["A <b>", "⏎"], "losses": [1.5, 0.0]},
]


def test_a_token_is_the_darker_the_higher_its_loss(tmp_path):
    shown = text.coloured_titles(tmp_path, "titles", ROWS, most=12.0)
    found = re.findall(r'title="(.*?) nats".*?, ([\d.]+)\);.*?>(.*?)</span>', shown.html)
    assert found == [
        ("3.00", "0.15", "A"),
        ("6.00", "0.30", " &lt;b&gt;"),
        ("24.00", "0.60", "⏎"),  # no darker than the darkest
        ("1.50", "0.07", "A &lt;b&gt;"),
        ("0.00", "0.00", "⏎"),
    ]
    assert shown.html.count("<strong>A &lt;b&gt;</strong>") == 1
    assert re.findall(r"<small>(.*?)</small>", shown.html) == ["AdamW, 33.0 nats", "RoPE, 1.5 nats"]
    assert repr(shown) == "A <b> (AdamW): 33.0 nats\nA <b> (RoPE): 1.5 nats"
    assert (tmp_path / "figures" / "titles.csv").read_text("utf-8").splitlines() == [
        "title,step,tokens,losses",
        "A <b>,AdamW,A,3.0",
        "A <b>,AdamW, <b>,6.0",
        "A <b>,AdamW,⏎,24.0",
        "A <b>,RoPE,A <b>,1.5",
        "A <b>,RoPE,⏎,0.0",
    ]


@pytest.mark.parametrize(
    ("ink", "paper"), [((28, 32, 36), (253, 253, 251)), ((220, 223, 226), (21, 24, 27))]
)
def test_the_worst_token_can_be_read_on_a_light_and_on_a_dark_page(tmp_path, ink, paper):
    row = {"title": "a", "step": "b", "tokens": ["a"], "losses": [99.0]}
    html = text.coloured_titles(tmp_path, "shades", [row]).html
    *shade, opacity = map(float, re.search(r"rgba\((.*?)\)", html)[1].split(","))
    mixed = [opacity * s + (1 - opacity) * p for s, p in zip(shade, paper, strict=True)]
    assert contrast(ink, mixed) >= 4.5


def test_samples_stand_under_the_step_that_wrote_them(tmp_path):
    records = [{"step": "01", "title": "One"}, {"step": "02", "title": "Two"}]
    written = {"02": ["c & d"], "01": ["a", ""]}
    shown = text.samples(tmp_path, "samples", records, written)
    assert shown.html == (
        "<p><strong>One</strong></p><ol><li>a</li><li>(nothing)</li></ol>"
        "<p><strong>Two</strong></p><ol><li>c &amp; d</li></ol>"
    )
    assert repr(shown) == "One: a\nOne: \nTwo: c & d"


def test_a_window_has_every_target_under_its_input_and_each_once():
    tokenizer = SimpleNamespace(token=lambda i: f" {i}")
    lines = text.window(tokenizer, range(10, 30), width=20).splitlines()
    ins = [line.removeprefix("in:   ").split("|") for line in lines if line.startswith("in:")]
    outs = [line.removeprefix("out:  ").split("|") for line in lines if line.startswith("out:")]
    flat = [[token for line in part for token in line] for part in (ins, outs)]
    assert flat == [[f" {i}" for i in range(10, 29)], [f" {i}" for i in range(11, 30)]]
    assert [len(a) for a in ins] == [len(b) for b in outs]
    assert max(map(len, lines)) <= 20 + len("out:  ")


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, "–"), (1.23456, "1.2346"), (5e-4, "0.0005"), (16000, "16,000"), ("cosine", "cosine")],
)
def test_a_value_is_written_as_people_write_it(value, written):
    assert text.plain(value) == written


def test_spaces_and_control_characters_can_be_seen():
    assert text.shown(" a\t\n") == "␣a\\x09\\x0a"


def test_conditions_say_what_outputs_came_from():
    stories = {"source": "file", "sha256": "ab5714471234", "rows": 110_000, "dropped": 3}
    titles = {"train": 18_000, "val": 2_000, "test": 10_000, "val_chars": 1, "val_bytes": 1}
    assert text.conditions("small", stories, titles) == (
        "These outputs: preset small, file stories ab571447 (110,000 rows)\n"
        "Titles: 18,000 train, 2,000 val, 10,000 test"
    )
    hub = {"source": "hub", "revision": "9e21b0f3c36b", "rows": 4, "dropped": 0}
    assert "hub stories 9e21b0f3 (4 rows)" in text.conditions("full", hub, titles)
