"""The notebook that compares the steps: what it reads, and that published records are enough."""

import json
import shutil
from itertools import pairwise

import pytest

from drawing import tables
from lib.steps import RECIPES, STEPS
from studies import titles

from ..conftest import ROOT
from .test_notebooks import cell, read

THREE = "04_lowest_loss"


@pytest.mark.parametrize(
    ("there", "pairs"),
    [
        ([], []),
        (["public_best"], [(THREE, "public_best")]),
        (["public_best_tuned"], [(THREE, "public_best_tuned")]),
        (
            ["public_best", "public_best_tuned", "lowest_loss_tuned"],
            [
                (THREE, "public_best"),
                ("lowest_loss_tuned", "public_best_tuned"),
                (THREE, "lowest_loss_tuned"),
            ],
        ),
    ],
)
def test_the_tables_are_given_the_steps_and_what_was_trained_beside_them(
    tmp_path, monkeypatch, there, pairs
):
    folder = tmp_path / "results" / "small"
    shutil.copytree(ROOT / "results" / "small", folder)
    for name in {*RECIPES} - {*there}:
        (folder / f"{name}.json").unlink(missing_ok=True)
    given, names = [], {"out": tmp_path, "preset": "small"}
    monkeypatch.setattr(tables, "steps_table", lambda *arguments: given.append(arguments))
    monkeypatch.setattr(titles, "differences", lambda *_: given.append(_[2]) or {})
    for label in ("steps_table", "over_titles"):
        exec(cell("results", label), names)
    (records, others), beside = given
    assert [r["step"] for r in records] == list(STEPS)  # what sees more is not ranked with them
    assert [r["step"] for r in others] == there
    assert beside == [*pairwise(STEPS), *pairs]


def test_what_was_trained_on_other_titles_or_without_step_three_is_set_beside_nothing():
    def record(step, source="file"):
        return {"step": step, "preset": "small", "stories": {"source": source}, "titles": {}}

    steps, recipe = [record("01_baseline"), record(THREE)], record("public_best")
    assert titles.beside(steps, [recipe]) == [("01_baseline", THREE), (THREE, "public_best")]
    assert titles.beside(steps[:1], [recipe]) == []
    assert titles.beside(steps, [record("public_best", "hub")]) == [("01_baseline", THREE)]


def test_it_runs_on_what_is_published_without_weights_or_stories(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("this is not published")

    monkeypatch.setattr("torch.load", refuse)
    monkeypatch.setattr("lib.data.load_titles", refuse)
    names = {}
    code = [c.source for c in read("results").cells if c.cell_type == "code"]
    setup, parameters, *cells = code
    assert "REPOSITORY" in setup and 'preset = "full"' in parameters
    report = json.loads((ROOT / "results" / "report.json").read_text("utf-8"))
    shown = report.get("but", {}).get("results", report["preset"])
    given = {"preset": shown, "stories": "hub", "out": str(tmp_path), "resume": "same"}
    names |= given
    for source in cells:
        exec(source, names)
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert drawn == {"loss_by_step", "loss_by_computation", "gains_by_size", "loss_by_word"}
    assert (tmp_path / "figures" / "loss_by_step.svg").read_bytes() == (
        ROOT / "figures" / "loss_by_step.svg"
    ).read_bytes()
