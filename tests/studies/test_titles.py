"""How far two published runs are apart over titles, against their records and NumPy."""

import shutil

import numpy as np
import pytest

from drawing.tables import apart_table
from lib.config import load_preset
from lib.data import load_titles
from lib.details import read_detail
from lib.files import results, write_json
from lib.record import read_record
from studies.titles import differences

PAIR = ("01_baseline", "02_adamw")
UNREAD = shutil.ignore_patterns("*.pt", "*.bin", "*.tmp")  # another worker may be writing these


def test_the_differences_are_those_of_the_records_and_drawn_anew_they_lie_where_it_says(smoke_book):
    out, _ = smoke_book
    found = differences(out, "smoke", [PAIR])
    before, after = (read_record(out, "smoke", name) for name in PAIR)
    assert found.keys() == {PAIR[1]}
    told = found[PAIR[1]]
    assert (told["before"], told["title"]) == (before["title"], after["title"])
    rng = np.random.default_rng(1)
    titles = load_titles(load_preset("smoke"), "synthetic")
    for part, loss in (("val", "full_coverage"), ("test", "test")):
        difference = after["losses"][loss] - before["losses"][loss]
        assert told[part]["difference"] == pytest.approx(difference, abs=1e-5)
        one, two = (np.array(read_detail(out, "smoke", name, "titles")[part]) for name in PAIR)
        chars = sum(len(title) + len("<eos>") for title in getattr(titles, part))
        places = rng.integers(len(one), size=(2000, len(one)))
        drawn = (two - one)[places].sum(axis=1) / chars
        spread = drawn.std()
        for end, share in (("low", 2.5), ("high", 97.5)):
            assert told[part][end] == pytest.approx(np.percentile(drawn, share), abs=spread / 4)


def test_without_test_titles_there_is_nothing_to_say_of_them(smoke_book, tmp_path):
    out, _ = smoke_book
    shutil.copytree(out / "results" / "smoke", tmp_path / "results" / "smoke", ignore=UNREAD)
    for name in PAIR:
        kept = read_detail(out, "smoke", name, "titles") | {"test": []}
        write_json(results(tmp_path, "smoke", f"{name}/titles"), kept)
    found = differences(tmp_path, "smoke", [PAIR])
    assert found["02_adamw"]["test"] is None
    assert found["02_adamw"]["val"] == differences(out, "smoke", [PAIR])["02_adamw"]["val"]
    assert repr(apart_table(found)).split()[-1] == "–"


def test_two_runs_of_other_titles_are_not_compared(smoke_book, tmp_path):
    out, _ = smoke_book
    shutil.copytree(out / "results" / "smoke", tmp_path / "results" / "smoke", ignore=UNREAD)
    record = read_record(out, "smoke", PAIR[1])
    record["titles"] = record["titles"] | {"val": 7}
    write_json(results(tmp_path, "smoke", PAIR[1]), record)
    with pytest.raises(ValueError, match="do not compare"):
        differences(tmp_path, "smoke", [PAIR])


def test_the_table_says_each_difference_and_between_what_it_lies():
    apart = {"difference": -0.01234, "low": -0.02, "high": 0.001}
    found = {"b": {"title": "B", "before": "A", "val": apart, "test": None}}
    (row,) = apart_table(found).data.to_dict("records")
    assert row == {
        "run": "B",
        "set against": "A",
        "validation titles": "-0.0123 (-0.0200\xa0to\xa0+0.0010)",
        "test titles": "–",
    }
