"""The table of steps gets the public recipe of the same preset beside them, where there is one."""

import shutil

import pytest

from drawing import tables
from lib.steps import STEPS

from ..conftest import ROOT
from .test_notebooks import cell


@pytest.mark.parametrize("there", [True, False])
def test_the_table_is_given_the_steps_and_the_public_recipe(tmp_path, monkeypatch, there):
    folder = tmp_path / "results" / "small"
    shutil.copytree(ROOT / "results" / "small", folder)
    if not there:
        (folder / "public_best.json").unlink()
    given = []
    monkeypatch.setattr(tables, "steps_table", lambda *arguments: given.append(arguments))
    exec(cell("results", "steps_table"), {"out": tmp_path, "preset": "small"})
    ((records, others),) = given
    assert [r["step"] for r in records] == list(STEPS)  # what sees more is not ranked with them
    assert [r["step"] for r in others] == ["public_best"] * there
