"""Bars, read back from the axes they were drawn on."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from matplotlib.figure import SubFigure

from drawing import bars
from drawing.style import color

TOP = [(" of", 0.5), ("<eos>", 0.25), (" and", 0.125), ("\n", 0.0625)]


def make_record(target):
    """A record of one prediction, of which `target` is what really follows."""
    top = [{"token": token, "p": p} for token, p in TOP]
    return {
        "step": "02_adamw",
        "predictions": [{"context": "The end", "top": top, "target": target}],
    }


def read(axes):
    """Each bar from the top on: its name, length and opacity."""
    low, high = axes.get_ylim()
    assert low > high  # so that the first is on top
    names = [label.get_text() for label in axes.get_yticklabels()]
    return [
        (name, bar.get_width(), bar.get_alpha())
        for name, bar in zip(names, axes.patches, strict=True)
    ]


@pytest.mark.parametrize(
    ("target", "place"),
    [(" of", "number 1"), (" and", "number 3"), (" the", "not among the ten")],
)
def test_the_true_token_has_its_rank_and_the_darker_bar(tmp_path, drawn, target, place):
    drawing = bars.next_tokens(tmp_path, "next", make_record(target), 0)
    (axes,) = drawn
    words = target.replace(" ", "␣")
    names = ["␣of", "<eos>", "␣and", "\\x0a"]
    # Where no bar is the true token's, none is darker than another.
    opacity = [1.0 if name == words else 0.45 for name in names]
    if words not in names:
        opacity = [0.45] * 4
    assert read(axes) == [
        (name, p, alpha) for name, (_, p), alpha in zip(names, TOP, opacity, strict=True)
    ]
    title = axes.get_title(loc="left")
    assert title == f"after: The end\nreally next: {words} ({place})"
    assert drawing.alt.endswith(f"The true next token, {words}, is {place}.")
    assert [bar.get_facecolor()[:3] for bar in axes.patches] == [
        tuple(int(color("02_adamw")[i : i + 2], 16) / 255 for i in (1, 3, 5))
    ] * 4


def test_a_prediction_is_the_one_that_was_asked_for(tmp_path, drawn):
    record = make_record(" of")
    record["predictions"].append(make_record("<eos>")["predictions"][0] | {"context": "Another"})
    bars.next_tokens(tmp_path, "next", record, 1)
    title = drawn[0].get_title(loc="left")
    assert title == "after: Another\nreally next: <eos> (number 2)"


def test_the_most_frequent_tokens_in_percent_of_the_stream(tmp_path, drawn):
    tokenizer = SimpleNamespace(vocab_size=5, token=lambda i: f"t{i}")
    run = SimpleNamespace(
        train_ids=torch.tensor([3, 1, 3, 0, 3, 1, 4, 3, 0, 3]), tokenizer=tokenizer
    )
    bars.token_frequency(tmp_path, "often", run, count=3)
    (axes,) = drawn
    assert [(name, width) for name, width, _ in read(axes)] == [("t3", 50), ("t0", 20), ("t1", 20)]
    assert axes.get_xlabel() == "share of the training tokens (%)"


def test_rings_are_the_shares_of_the_tokens_in_training(tmp_path, drawn):
    names = [token for token, _ in TOP]
    tokenizer = SimpleNamespace(vocab_size=5, token=["?", *names].__getitem__, mark_ids=[])
    run = SimpleNamespace(train_ids=torch.tensor([1, 1, 1, 2, 3, 3, 0, 0, 0, 0]))
    run.tokenizer = tokenizer
    bars.next_tokens(tmp_path, "next", make_record(" of"), 0, run)
    (line,) = drawn[0].lines
    assert line.get_xydata().tolist() == [[0.3, 0], [0.1, 1], [0.2, 2], [0.0, 3]]
    numbers = pd.read_csv(tmp_path / "figures" / "next.csv")
    assert numbers["share of the training tokens"].tolist() == [0.3, 0.1, 0.2, 0.0]
    assert len(read(drawn[0])) == 4
    tokenizer.mark_ids = [2]  # a name may be a mark's and a token's together
    bars.next_tokens(tmp_path, "marks", make_record(" of"), 0, run)
    assert len(drawn[1].lines) == 0


def test_answers_stand_side_by_side_for_each_context(tmp_path, monkeypatch):
    panels, subplots = [], SubFigure.subplots

    def kept(self, *args, **kwargs):
        panels.append((self, subplots(self, *args, **kwargs)))
        return panels[-1][1]

    monkeypatch.setattr(SubFigure, "subplots", kept)
    pair = [make_record(" of"), make_record(" and")]
    for record, step in zip(pair, ("01_baseline", "02_adamw"), strict=True):
        record |= {"step": step, "title": step}
        other = record["predictions"][0] | {"context": "Another", "target": "<eos>"}
        record["predictions"].append(other)
    pair[1]["predictions"][1] |= {"top": [{"token": "<eos>", "p": 0.75}]}
    drawing = bars.answers(tmp_path, "answers", pair)
    assert [strip.get_suptitle() for strip, _ in panels] == ["after: The end", "after: Another"]
    names = ["␣of", "<eos>", "␣and", "\\x0a"]
    (a, b), (c, d) = [axes[0] for _, axes in panels]
    assert [name for name, _, _ in read(a)] == names == [name for name, _, _ in read(b)]
    dark = [[name for name, _, alpha in read(axes) if alpha == 1] for axes in (a, b, c, d)]
    assert dark == [["␣of"], ["␣and"], ["<eos>"], ["<eos>"]]
    assert read(d) == [("<eos>", 0.75, 1.0)]
    titles = [axes.get_title(loc="left") for axes in (a, b, c, d)]
    assert titles[1] == "02_adamw\nreally: ␣and" and titles[2] == "01_baseline\nreally: <eos>"
    assert "01_baseline ␣of 0.500, 02_adamw <eos> 0.750 (really <eos>)" in drawing.alt
    numbers = pd.read_csv(tmp_path / "figures" / "answers.csv")
    assert len(numbers) == 4 + 4 + 4 + 1


def test_the_answers_of_one_record_stand_alone(tmp_path):
    assert (
        "02_adamw ␣of 0.500"
        in bars.answers(tmp_path, "answers", [make_record(" of") | {"title": "02_adamw"}]).alt
    )
