"""Rows, read back from the axes they were drawn on."""

import pytest
from matplotlib.colors import to_hex

from drawing import rows
from drawing.style import color

HERE = {"preset": "tiny", "stories": {"source": "file"}, "titles": {"val": 9}}
MUON = {"title": "Muon", "gain": 0.5, "low": 0.46, "high": 0.54, "kept": True, "mean": 1.5}
GATE = {"title": "gate", "gain": -0.1, "low": -0.2, "high": 0.0, "kept": False, "mean": 1.6}
MASK = {"title": "mask", "gain": 0.2, "low": 0.18, "high": 0.22, "kept": True, "mean": 1.3}
LADDER = {
    **HERE,
    "seeds": 3,
    "rungs": {
        "03_rope_vocab": {"title": "step two", "mean": 2.0},
        "muon": MUON,
        "gate": GATE,
        "mask": MASK,
    },
}


def names(axes):
    """The name of each row by its height; the heights grow downwards."""
    low, high = axes.get_ylim()
    assert low > high
    return dict(zip(axes.get_yticks(), (t.get_text() for t in axes.get_yticklabels()), strict=True))


def markers(axes):
    """Each marker that is a line's: its place, and the colour of its inside ("none": hollow)."""
    return [
        (*point, line.get_markerfacecolor())
        for line in axes.lines
        if line.get_marker() == "o"
        for point in line.get_xydata().tolist()
    ]


def bars(axes):
    """The ends of each plain line, as a list by the height of a level one."""
    level = [line.get_xydata() for line in axes.lines if line.get_marker() == "None"]
    return {
        line[0, 1]: line[:, 0].tolist() for line in level if len(line) and line[0, 1] == line[-1, 1]
    }


def texts(axes):
    """What is written at the end of a row, by the row's height."""
    return {text.xy[1]: text.get_text() for text in axes.texts}


def test_a_rung_of_the_ladder_is_filled_where_it_was_kept(tmp_path, drawn):
    drawing = rows.ladder(tmp_path, "ladder", LADDER)
    (axes,) = drawn
    own = color("04_lowest_loss")
    assert names(axes) == {0: "Muon", 1: "gate", 2: "mask"}
    assert markers(axes) == [(0.5, 0, own), (-0.1, 1, "none"), (0.2, 2, own)]
    assert axes.get_title(loc="left").startswith("● kept   ○ not kept\n")
    assert axes.get_title(loc="left").endswith("file stories, preset tiny, 3 seeds")
    assert texts(axes) == {0: "+0.500", 1: "-0.100", 2: "+0.200"}
    assert drawing.alt.count("not kept") == 1
    assert "gate -0.1000 (-0.2000 to +0.0000), not kept" in drawing.alt


def test_the_bar_of_a_rung_is_where_its_gain_lies_with_95_percent(tmp_path, drawn):
    rows.ladder(tmp_path, "ladder", LADDER)
    assert bars(drawn[0]) == {
        0: pytest.approx([0.46, 0.54]),
        1: pytest.approx([-0.2, 0.0]),
        2: pytest.approx([0.18, 0.22]),
    }


def test_a_broad_bar_is_where_it_lies_over_titles(tmp_path, drawn):
    rungs = dict(LADDER["rungs"])
    rungs["muon"] = {**rungs["muon"], "titles": {"low": 0.3, "high": 0.7}}
    rows.ladder(tmp_path, "ladder", {**LADDER, "rungs": rungs})
    broad = [line for line in drawn[0].lines if line.get_linewidth() > 3]
    assert [line.get_xydata().tolist() for line in broad] == [[[0.3, 0], [0.7, 0]]]
    assert {text.xy for text in drawn[0].texts} >= {(0.7, 0)}  # the number stands beyond it


def test_two_ladders_compare_the_rungs_that_both_have(tmp_path, drawn):
    other = {
        "preset": "small",
        "stories": {"source": "file"},
        "seeds": 1,
        "rungs": {
            "03_rope_vocab": {"title": "step two", "mean": 1.9},
            "mask": {"title": "mask", "gain": 0.3, "kept": True, "mean": 1.6},
            "muon": {"title": "Muon", "gain": -0.4, "kept": True, "mean": 2.0},
        },
    }
    rows.ladders(tmp_path, "ladders", LADDER, other)
    (axes,) = drawn
    own = color("04_lowest_loss")
    assert names(axes) == {0: "mask", 1: "Muon"}
    assert markers(axes) == [(0.2, 0, "none"), (0.3, 0, own), (0.5, 1, "none"), (-0.4, 1, own)]
    assert axes.get_title(loc="left") == "○ tiny, 3 seeds   ● small, 1 seed"


def test_a_pair_without_its_second_number_says_why(tmp_path, drawn):
    lines = [
        {"name": "a", "color": "#112233", "first": 1.0, "second": 1.5},
        {"name": "b", "color": "#445566", "first": 1.2, "second": None, "note": "not known"},
    ]
    lines[1]["range"] = (1.2, 1.4)
    rows.pairs(tmp_path, "pairs", lines, columns=("told", "corrected"), what="What")
    (axes,) = drawn
    assert markers(axes) == [(1.0, 0, "none"), (1.5, 0, "#112233"), (1.2, 1, "none")]
    dashed = [line.get_xydata().tolist() for line in axes.lines if line.get_linestyle() == "--"]
    assert [line for line in dashed if line] == [[[1.2, 1], [1.4, 1]]]
    written = {(*text.xy, text.get_text()) for text in axes.texts}
    assert written == {
        (1.0, 0, "1.000"),
        (1.5, 0, "1.500"),
        (1.2, 1, "1.200"),
        (1.4, 1, "not known"),
    }


def test_the_bar_among_the_seeds_is_their_mean(tmp_path, drawn):
    losses = [1.9, 1.5, 1.4]
    seeds = {**HERE, "step": "02_adamw", "title": "AdamW", "seeds": [1337, 1338, 1339]}
    seeds |= {"full_coverage": losses, "mean": 1.6, "sd": 0.2646}
    rows.seeds(tmp_path, "seeds", [seeds, seeds | {"step": "public_best", "title": "Best"}])
    (axes,) = drawn
    assert names(axes) == {0: "AdamW", 1: "Best"}
    assert [(x, y) for x, y, _ in markers(axes)] == [(x, y) for y in (0, 1) for x in losses]
    means = [line.get_xydata() for line in axes.lines if line.get_marker() == "None"]
    assert [line.tolist() for line in means] == [
        [[1.6, -0.25], [1.6, 0.25]],
        [[1.6, 0.75], [1.6, 1.25]],
    ]
    assert texts(axes) == {0: "1.600", 1: "1.600"}
    with pytest.raises(ValueError, match="do not compare"):
        rows.seeds(tmp_path, "seeds", [seeds, seeds | {"titles": {"val": 8}}])


def make_arm(step, title, loss, lossless=True):
    losses, tokenizer = {"full_coverage": loss, "official": 9.0}, {"lossless": lossless}
    return {**HERE, "step": step, "title": title, "losses": losses, "tokenizer": tokenizer}


def test_an_arm_that_is_not_lossless_is_hollow_and_not_ranked(tmp_path, drawn):
    records = [make_arm("02_adamw", "AdamW", 1.5), make_arm("ablations/low", "lower", 1.3, False)]
    rows.arms(tmp_path, "arms", records)
    (axes,) = drawn
    (points,) = [c for c in axes.collections if len(c.get_offsets()) == 2]
    assert names(axes) == {0: "AdamW", 1: "lower"}
    assert points.get_offsets().tolist() == [[1.5, 0], [1.3, 1]]
    assert [to_hex(c, keep_alpha=True)[-2:] for c in points.get_facecolors()] == ["ff", "00"]
    assert [to_hex(c) for c in points.get_edgecolors()] == [color("02_adamw"), color("other")]
    assert texts(axes) == {0: "1.500", 1: "1.300 not ranked"}


def test_final_losses_are_those_of_full_coverage(tmp_path, drawn):
    records = [make_arm("02_adamw", "AdamW", 1.5), make_arm("03_rope_vocab", "RoPE", 1.75)]
    rows.final_losses(tmp_path, "final", records, ["before", "after"])
    (axes,) = drawn
    (points,) = [c for c in axes.collections if len(c.get_facecolors()) == 2]
    assert names(axes) == {0: "before", 1: "after"}
    assert points.get_offsets().tolist() == [[1.5, 0], [1.75, 1]]
    assert texts(axes) == {0: "1.500", 1: "1.750"}
