"""The table of steps gets the public recipe of the same preset beside them, where there is one."""

import json
import shutil

import pytest

from drawing import tables
from lib.steps import STEPS

from ..conftest import ROOT
from .test_notebooks import cell


@pytest.mark.parametrize("there", [[], ["public_best"], ["public_best", "public_best_own"]])
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
