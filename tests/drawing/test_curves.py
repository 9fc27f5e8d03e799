"""Curves, read back from the axes they were drawn on."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawing import curves
from drawing.style import GREY, color


def make_record(step, title, points, unigram=1.9):
    """A record whose curve is `points`, (epoch, full_coverage, official) each."""
    names = ("epoch", "full_coverage", "official")
    return {
        "step": step,
        "title": title,
        "preset": "tiny",
        "stories": {"source": "file"},
        "config": {"batch_size": 16, "block_size": 128},
        "losses": {"unigram": unigram},
        "curve": [{"train": 9.0, **dict(zip(names, point, strict=True))} for point in points],
    }


ONE = make_record("01_baseline", "One", [(0.5, 2.5, 2.4), (1, 2.2, 2.1), (7, 2.0, 1.85)])
TWO = make_record("02_adamw", "Two", [(0.5, 2.1, 1.6), (1, 1.5, 1.4), (7, 1.25, 1.0)])


def lines(axes, style="-"):
    """The points of each line of `style`, by its colour."""
    return {
        line.get_color(): line.get_xydata().tolist()
        for line in axes.lines
        if line.get_linestyle() == style
    }


def texts(axes):
    """What is written beside the curves: its height and colour by the text."""
    return {text.get_text(): (text.xy[1], text.get_color()) for text in axes.texts}


def test_a_curve_is_the_full_coverage_loss_against_the_epoch(tmp_path, drawn):
    curves.loss_curves(tmp_path, "loss", [ONE, TWO])
    (axes,) = drawn
    assert lines(axes) == {
        color("01_baseline"): [[0.5, 2.5], [1, 2.2], [7, 2.0]],
        color("02_adamw"): [[0.5, 2.1], [1, 1.5], [7, 1.25]],
    }
    assert lines(axes, ":") == {}
    assert lines(axes, "--") == {GREY: [[0, 1.9], [1, 1.9]]}  # across the axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "epoch",
        "validation loss (nats per character)",
    )
    assert axes.get_title(loc="left") == "file stories, preset tiny"


def test_a_curve_against_computation_is_as_long_as_its_epochs_cost(tmp_path, drawn):
    costs = {"01_baseline": 2.0, "02_adamw": 10.0}
    curves.loss_curves(tmp_path, "cost", [ONE, TWO], lambda record: costs[record["step"]])
    (axes,) = drawn
    assert lines(axes) == {
        color("01_baseline"): [[1, 2.5], [2, 2.2], [14, 2.0]],
        color("02_adamw"): [[5, 2.1], [10, 1.5], [70, 1.25]],
    }
    assert axes.get_xlabel() == "computation (10¹² operations)"
    told = pd.read_csv(tmp_path / "figures" / "cost.csv")
    assert told["operations"].tolist() == [1, 2, 14, 5, 10, 70]


def test_the_end_of_a_curve_is_labelled_with_its_last_loss(tmp_path, drawn):
    drawing = curves.loss_curves(tmp_path, "loss", [ONE, TWO])
    found = texts(drawn[0])
    assert found["One\n2.000"] == (pytest.approx(2.0, abs=0.15), color("01_baseline"))
    assert found["Two\n1.250"] == (pytest.approx(1.25), color("02_adamw"))
    assert found["unigram\n1.900"] == (pytest.approx(1.9, abs=0.15), GREY)
    assert len(found) == 3
    assert "One 2.000, Two 1.250" in drawing.alt
    # In the order of the losses, and far enough apart to be read.
    heights = [found[text][0] for text in ("Two\n1.250", "unigram\n1.900", "One\n2.000")]
    assert min(np.diff(heights)) > 0.1


def test_one_curve_alone_has_the_challenges_loss_dotted_beside_it(tmp_path, drawn):
    alone = make_record("02_adamw", "Two", [(1, 1.5, None), (3, 1.4, 1.2), (7, 1.25, 1.0)])
    curves.loss_curves(tmp_path, "loss", [alone])
    assert lines(drawn[0]) == {color("02_adamw"): [[1, 1.5], [3, 1.4], [7, 1.25]]}
    assert lines(drawn[0], ":") == {color("02_adamw"): [[3, 1.2], [7, 1.0]]}
    assert texts(drawn[0])["as the challenge\nprints it 1.000"] == (pytest.approx(1.0), GREY)


def test_a_loss_by_word_is_drawn_by_its_place_and_the_end_apart(tmp_path, drawn):
    def rows(*nats):
        words = [*map(str, range(1, len(nats))), "end"]
        return [{"word": w, "nats": n, "titles": 3} for w, n in zip(words, nats, strict=True)]

    losses = {"01_baseline": rows(5.0, 4.0, 7.0, 2.5), "02_adamw": rows(3.0, 1.5, 2.0, 0.5)}
    curves.loss_by_word(tmp_path, "words", losses, [ONE, TWO])
    (axes,) = drawn
    words = [line for line in axes.lines if line.get_marker() == "None"]
    ends = [line for line in axes.lines if line.get_marker() == "o"]
    one, two = color("01_baseline"), color("02_adamw")
    assert {line.get_color(): line.get_xydata().tolist() for line in words} == {
        one: [[1, 5.0], [2, 4.0], [3, 7.0]],
        two: [[1, 3.0], [2, 1.5], [3, 2.0]],
    }
    assert {line.get_color(): line.get_xydata().tolist() for line in ends} == {
        one: [[4.5, 2.5]],
        two: [[4.5, 0.5]],
    }
    assert axes.get_xticklabels()[-1].get_text() == "end"
    assert texts(axes)["One"] == (pytest.approx(7.0), one)
    assert (tmp_path / "figures" / "words.csv").read_text().splitlines()[1:5] == [
        "01_baseline,1,5.0,3",
        "01_baseline,2,4.0,3",
        "01_baseline,3,7.0,3",
        "01_baseline,end,2.5,3",
    ]


def test_a_loss_by_batch_falls_where_tokens_are_left_out(tmp_path, drawn):
    sweep = [
        {"batch": 1, "official": 1.50, "coverage": 1.0, "full_coverage": 1.5},
        {"batch": 8, "official": 0.75, "coverage": 0.6, "full_coverage": 1.5},
        {"batch": 17, "official": 0.90, "coverage": 0.7, "full_coverage": 1.5},
    ]
    own = {"official": 1.20, "coverage": 0.8, "full_coverage": 1.5}
    curves.loss_by_batch(tmp_path, "batch", {**TWO, "losses": own}, sweep)
    (axes,) = drawn
    own = color("02_adamw")
    assert lines(axes)[own] == [[1, 1.5], [8, 1.5], [16, 1.5], [17, 1.5]]
    divided = [[1, 1.5], [8, 1.25], [16, 1.5], [17, 0.9 / 0.7]]
    assert np.array(lines(axes)[GREY]) == pytest.approx(np.array(divided))
    assert lines(axes, ":") == {own: [[1, 1.5], [8, 0.75], [16, 1.2], [17, 0.9]]}
    assert [16, 0] in [line.get_xydata()[0].tolist() for line in axes.lines]  # the preset's batch
    written = {text.get_text(): text.xy for text in axes.texts}
    assert written["as printed 0.750"] == (8, 0.75)
    assert "every token scored 1.500" in written


def test_a_step_gains_so_much_on_each_preset(tmp_path, drawn):
    gains = {"tiny": {"02_adamw": 0.4, "03_rope_vocab": -0.1}, "small": {"03_rope_vocab": 0.2}}
    drawing = curves.gains_by_size(tmp_path, "sizes", gains)
    (axes,) = drawn
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["tiny", "small"]
    found = lines(axes)
    assert found[color("02_adamw")] == [[0, 0.4]]
    assert found[color("03_rope_vocab")] == [[0, -0.1], [1, 0.2]]
    assert {"RoPE + vocabulary\n+0.200", "AdamW\n+0.400 on tiny"} <= set(texts(axes))
    assert "on tiny AdamW +0.400, RoPE + vocabulary -0.100; on small" in drawing.alt


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=8), st.floats(0.01, 2))
def test_labels_do_not_touch_and_stand_as_near_as_they_can(heights, size):
    heights = sorted(heights)
    places = curves._apart(heights, [size] * len(heights), low=-3)
    gaps = np.diff(places)
    assert all(gaps >= size - 1e-9) and places[0] >= -3 + size / 2 - 1e-9
    free = all(np.diff(heights) >= size) and heights[0] >= -3 + size / 2
    assert not free or places == pytest.approx(heights)
    # Where two labels touch they do so around their heights: no block can move and be nearer.
    block = [0]
    for i in range(1, len(places) + 1):
        if i < len(places) and gaps[i - 1] < size + 1e-9:
            block.append(i)
            continue
        off = np.mean([places[j] - heights[j] for j in block])
        assert abs(off) < 1e-9 or (off > 0 and places[block[0]] == pytest.approx(-3 + size / 2))
        block = [i]


def test_labels_of_two_sizes_are_moved_apart_by_half_of_both():
    assert curves._apart([1, 1], [2, 4], low=-9) == pytest.approx([-0.5, 2.5])


def test_what_the_first_step_left_does_not_press_the_others_together(tmp_path, drawn):
    high = make_record("02_adamw", "High", [(0.1, 9.0, 8.0), (1, 1.5, 1.4), (7, 1.25, 1.0)])
    curves.loss_curves(tmp_path, "loss", [ONE, high])
    assert 2.2 < drawn[0].get_ylim()[1] < 2.3  # of the later points and the unigram
