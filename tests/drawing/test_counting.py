"""Step four's figures: what they tell a reader who cannot see them, and what their files hold."""

import pandas as pd

from drawing import counting

RECORD = {"step": "05_counting", "preset": "tiny", "stories": {"source": "file"}}
FOUND = {
    "network": 1.5,
    "counts": 1.6,
    "mixed": {"share": 0.5, "loss": 1.3},
    "shares": [{"share": s, "loss": loss} for s, loss in ((0, 1.5), (0.5, 1.3), (1, 1.6))],
    "best": {"share": 0.5, "loss": 1.3},
    "contexts": [
        {"context": 1, "tokens": 0.25, "network": 5.0, "counts": 7.0},
        {"context": 4, "tokens": 0.75, "network": 2.0, "counts": 1.75},
    ],
}


def test_the_shares_are_told_with_both_ends_and_the_steps_own(tmp_path):
    drawing = counting.shares(tmp_path, "shares", FOUND, RECORD)
    assert "the network alone 1.500, the counts alone 1.600" in drawing.alt
    assert "both 1.300 at the step's own share, 0.50" in drawing.alt
    data = pd.read_csv(tmp_path / "figures" / "shares.csv")
    assert data["loss"].tolist() == [1.5, 1.3, 1.6]


def test_contexts_are_rows_with_their_part_of_the_tokens(tmp_path):
    drawing = counting.contexts(tmp_path, "by_context", FOUND, RECORD)
    assert "1 token at most (25%)" in drawing.alt and "4 tokens (75%)" in drawing.alt
    data = pd.read_csv(tmp_path / "figures" / "by_context.csv")
    assert data["the network"].tolist() == [5, 2] and data["the counts"].tolist() == [7, 1.75]


def test_a_title_is_shaded_by_the_part_of_the_counts(tmp_path):
    rows = [{"title": "a <b>", "tokens": ["a", " <b>", "⏎"], "parts": [0.0, 0.5, 1.0]}]
    shown = counting.parts(tmp_path, "parts", rows)
    assert "&lt;b&gt;" in shown.html and "<b>" not in shown.html
    for part, strength in (("0%", "0.00"), ("50%", "0.30"), ("100%", "0.60")):
        assert f'title="{part}" style="background: rgba(208, 28, 72, {strength})' in shown.html
    assert shown.alt == "a <b>: the counts' part from 0% to 100%"
