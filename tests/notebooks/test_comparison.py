"""The table of steps gets the public recipe beside them where it compares, and nothing else."""

import json
import shutil

import pytest

from drawing import tables

from ..conftest import ROOT
from .test_notebooks import cell


@pytest.mark.parametrize(("recipe", "count"), [("same", 1), ("other stories", 0), ("none", 0)])
def test_the_public_recipe_stands_beside_steps_that_it_compares_with(
    tmp_path, monkeypatch, recipe, count
):
    folder = tmp_path / "results" / "small"
    shutil.copytree(ROOT / "results" / "small", folder)
    path = folder / "public_best.json"
    if recipe == "none":
        path.unlink()
    elif recipe == "other stories":
        record = json.loads(path.read_text(encoding="utf-8"))
        record["stories"]["sha256"] = "0" * 64
        path.write_text(json.dumps(record), encoding="utf-8")
    given = []
    monkeypatch.setattr(
        tables, "steps_table", lambda records, others: given.append((records, others))
    )
    exec(cell("results", "steps_table"), {"out": tmp_path, "preset": "small"})
    ((records, others),) = given
    assert [r["step"] for r in records] == sorted(p.stem for p in folder.glob("0*.json"))
    assert [r["step"] for r in others] == ["public_best"] * count
