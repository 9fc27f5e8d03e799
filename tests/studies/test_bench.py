"""The bench: what it measures of both loops, and the record it leaves."""

import json

import pytest
import torch

from studies import bench


def test_both_loops_are_measured_and_the_record_is_what_is_printed(tmp_path, capsys):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    options = ["--preset", "smoke", "--rounds", "2", "--titles", "200", "--out", str(tmp_path)]
    record = bench.main(options)
    torch.set_num_threads(threads)
    assert json.loads((tmp_path / "results" / "bench.json").read_text("utf-8")) == record
    row = record["rows"][0]
    assert row["precision"] == "fp32" and len(row["book"]) == len(row["reference"]) == 2
    assert all(speed > 0 for speed in row["book"] + row["reference"])
    assert row["ratio"] == pytest.approx(sum(row["book"]) / sum(row["reference"]))
    assert f"ratio {row['ratio']:.2f}" in capsys.readouterr().out
