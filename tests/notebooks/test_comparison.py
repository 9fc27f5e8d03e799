"""The notebook that compares the steps: what it reads, and that published records are enough."""

import json
import shutil

import pytest

from drawing import tables
from lib.steps import STEPS

from ..conftest import ROOT
from .test_notebooks import cell, read


@pytest.mark.parametrize("there", [[], ["public_best"], ["public_best", "public_best_tuned"]])
def test_the_table_is_given_the_steps_and_the_public_recipe(tmp_path, monkeypatch, there):
    folder = tmp_path / "results" / "small"
    shutil.copytree(ROOT / "results" / "small", folder)
    record = json.loads((folder / "public_best.json").read_text("utf-8"))
    for path in folder.glob("public_best*.json"):
        path.unlink()
    for name in there:
        (folder / f"{name}.json").write_text(json.dumps({**record, "step": name}), "utf-8")
    given = []
    monkeypatch.setattr(tables, "steps_table", lambda *arguments: given.append(arguments))
    exec(cell("results", "steps_table"), {"out": tmp_path, "preset": "small"})
    ((records, others),) = given
    assert [r["step"] for r in records] == list(STEPS)  # what sees more is not ranked with them
    assert [r["step"] for r in others] == there


def test_it_runs_on_what_is_published_without_weights_or_stories(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("this is not published")

    monkeypatch.setattr("torch.load", refuse)
    monkeypatch.setattr("lib.data.load_titles", refuse)
    names = {}
    code = [c.source for c in read("results").cells if c.cell_type == "code"]
    setup, parameters, *cells = code
    assert "REPOSITORY" in setup and 'preset = "full"' in parameters
    given = {"preset": "small", "stories": "hub", "out": str(tmp_path), "resume": "same"}
    names |= given
    for source in cells:
        exec(source, names)
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert drawn == {"loss_by_step", "gains_by_size", "loss_by_word"}
    assert (tmp_path / "figures" / "loss_by_step.svg").read_bytes() == (
        ROOT / "figures" / "loss_by_step.svg"
    ).read_bytes()
