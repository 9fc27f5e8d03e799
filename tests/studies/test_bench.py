"""The bench: what it measures of both loops, and the record it leaves."""

import json
import statistics
import time
from dataclasses import replace

import pytest
import torch

import lib.train
from lib.config import load_preset
from lib.data import load_titles
from lib.files import results
from studies import reference
from studies.bench import bench

CONFIG = load_preset("smoke")
TITLES = load_titles(CONFIG, "synthetic")
SECONDS = 0.25  # of a step, by a clock that only steps and evaluations move


@pytest.fixture
def clock(monkeypatch):
    """A clock that a step moves by SECONDS, in either loop, and an evaluation by a minute."""
    now, clip, measure = [0.0], torch.nn.utils.clip_grad_norm_, lib.train._measure

    def step(*arguments):
        now[0] += SECONDS
        return clip(*arguments)

    def evaluation(*arguments):
        now[0] += 60
        return measure(*arguments)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", step)
    monkeypatch.setattr(lib.train, "_measure", evaluation)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])


def test_both_loops_speeds_are_tokens_by_the_seconds_of_training(tmp_path, clock):
    record = bench("smoke", TITLES, tmp_path, rounds=2, count=300)
    tokens = CONFIG.block_size * CONFIG.batch_size  # of a step
    for row in record["rows"]:
        assert row["book"] == row["reference"] == [tokens / SECONDS] * 2
        assert row["ratio"] == 1.0


def test_the_plain_loop_is_given_as_many_steps_of_the_same_tokens(tmp_path, clock, monkeypatch):
    streams, runs, plain = [], [], reference.train

    def noted(model, stream, *rest):
        streams.append(stream)
        return plain(model, stream, *rest)

    def train(*arguments, **more):
        runs.append(lib.train.train(*arguments, **more))
        return runs[-1]

    monkeypatch.setattr(reference, "train", noted)
    monkeypatch.setattr("studies.bench.train", train)
    bench("smoke", TITLES, tmp_path, rounds=1)
    tokens = CONFIG.block_size * CONFIG.batch_size
    assert len(streams) == len(runs) >= 2
    assert all(run.train_ids.equal(stream) for run, stream in zip(runs, streams, strict=True))
    assert all(run.steps == len(run.train_ids) // tokens for run in runs)
    assert 10 < runs[0].steps < 20  # about 15


def test_the_record_is_what_is_printed(tmp_path, capsys):
    record = bench("smoke", TITLES, tmp_path, rounds=2, count=200)
    path = results(tmp_path, "smoke", "bench")
    assert json.loads(path.read_text("utf-8")) == record
    row = record["rows"][0]
    assert row["precision"] == "fp32" and len(row["book"]) == len(row["reference"]) == 2
    assert all(speed > 0 for speed in row["book"] + row["reference"])
    medians = [statistics.median(row[name]) for name in ("book", "reference")]
    assert [row["medians"][name] for name in ("book", "reference")] == medians
    assert row["ratio"] == pytest.approx(medians[0] / medians[1])
    printed = capsys.readouterr().out
    assert f"ratio {row['ratio']:.2f}" in printed
    assert all(f"{median:,.0f}" in printed for median in medians)


def test_a_bench_of_other_stories_is_not_written_over(tmp_path, clock):
    there = bench("smoke", TITLES, tmp_path, rounds=1, count=200)
    others = replace(TITLES, stories=TITLES.stories | {"sha256": "0" * 64})
    with pytest.raises(ValueError, match=r"smoke/bench\.json is of another study; .*sha256"):
        bench("smoke", others, tmp_path, rounds=1, count=200)
    assert json.loads(results(tmp_path, "smoke", "bench").read_text("utf-8")) == there
    assert bench("smoke", others, tmp_path, rounds=1, count=200, fresh=True)["stories"] != there
