"""`lib.data`, against `datasets`, plain recomputations and hand-made files."""

import errno
import functools
import gzip
import os
import re
import tempfile
import tracemalloc
from pathlib import Path

import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from lib import data
from lib.config import load_preset
from lib.data import load_titles
from lib.synthetic import synthetic_titles

USABLE = [
    "Show HN: A parser, in Zig",
    '  He said "no" twice, then left  ',
    "naïve café — 東京 🚀",
    "\u200bzero width\u200b",
    "tab\tin the middle",
    "<eos> and ▁ are only text",
    "x",
    "'single'",
]
BLANK = ["", " ", "\t \u00a0\u2003"]


def ask(num_titles: int, name: str = "tiny", **fields):
    return load_preset(name).change(num_titles=num_titles, **fields)


def shuffled(rows: list) -> list:
    """What the challenge does to the hub's rows, by the library that it uses."""
    order = Dataset.from_dict({"row": list(range(len(rows)))}).shuffle(seed=1337)["row"]
    return [rows[i] for i in order]


def write_parquet(path: Path, titles, kind=None, **options) -> Path:
    column = titles if isinstance(titles, pa.Array) else pa.array(titles, kind or pa.string())
    ids = pa.array(range(len(column)))
    pq.write_table(pa.table({"id": ids, "title": column, "score": ids}), path, **options)
    return path


def zipped(path: Path) -> Path:
    target = path.with_name(path.name + ".gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    return target


def everything(titles) -> list[str]:
    return titles.train + titles.val + titles.test


@pytest.mark.parametrize("rows", [1, 2, 1_000, 12_345])
def test_rows_are_permuted_as_datasets_permutes_them(tmp_path, rows):
    titles = [f"title {i}" for i in range(rows)]
    path = tmp_path / "stories.txt"
    path.write_text("\n".join(titles) + "\n", encoding="utf-8")
    loaded = load_titles(ask(max(1, rows - 10_000)), str(path))
    assert everything(loaded) == shuffled(titles)


def test_the_seed_of_a_run_does_not_move_the_split(tmp_path):
    path = write_parquet(tmp_path / "stories.parquet", [f"title {i}" for i in range(50)])
    assert load_titles(ask(20, seed=1), str(path)) == load_titles(ask(20, seed=2), str(path))


@pytest.mark.parametrize("num_titles, val_frac", [(100, 0.1), (37, 0.1), (10, 0.25), (999, 1 / 3)])
def test_split_is_that_of_a_plain_recomputation(tmp_path, num_titles, val_frac):
    rows = []
    for i in range(1_500):
        blank = [*BLANK, None][i % 4]
        rows.append(blank if i % 7 == 0 else f" {USABLE[i % len(USABLE)]} {i} ")
    path = write_parquet(tmp_path / "stories.parquet", rows, row_group_size=400)
    loaded = load_titles(ask(num_titles, val_frac=val_frac), str(path))

    kept = []
    for row in shuffled(rows):
        if row is not None and row.strip() != "":
            kept.append(row.strip())
    train = int(num_titles * (1 - val_frac))
    assert loaded.train == kept[:train]
    assert loaded.val == kept[train:num_titles]
    assert loaded.test == kept[num_titles : num_titles + 10_000]
    assert len(loaded.train) + len(loaded.val) == num_titles
    assert loaded.stories["rows"] == 1_500
    assert loaded.stories["dropped"] == sum(i % 7 == 0 for i in range(1_500))


def test_test_titles_are_the_next_ten_thousand_and_no_more(tmp_path):
    titles = [f"title {i}" for i in range(10_120)]
    path = write_parquet(tmp_path / "stories.parquet", titles)
    loaded = load_titles(ask(100), str(path))
    assert len(loaded.test) == 10_000
    assert everything(loaded) == shuffled(titles)[:10_100]


def test_a_path_is_taken_from_here_then_from_where_colab_puts_uploads(tmp_path, monkeypatch):
    uploads, book = tmp_path / "content", tmp_path / "content" / "book"
    book.mkdir(parents=True)
    monkeypatch.setattr(data, "UPLOADS", uploads)
    monkeypatch.chdir(book)
    with pytest.raises(
        FileNotFoundError, match=re.escape(f"at {book / 'mine.txt'} (nor in {uploads})")
    ):
        load_titles(ask(2), "mine.txt")
    (uploads / "mine.txt").write_bytes(b"uploaded one\nuploaded two\n")
    assert sorted(everything(load_titles(ask(2), "mine.txt"))) == ["uploaded one", "uploaded two"]
    assert data.find_stories("mine.txt") == uploads / "mine.txt"
    (book / "mine.txt").write_bytes(b"one here\ntwo here\n")
    assert sorted(everything(load_titles(ask(2), "mine.txt"))) == ["one here", "two here"]
    assert data.find_stories("mine.txt") == book / "mine.txt"
    assert data.find_stories(str(uploads / "mine.txt")) == uploads / "mine.txt"


def test_a_pipe_is_refused_rather_than_waited_on(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "stories.csv")
    with pytest.raises(ValueError, match="not a regular file"):
        load_titles(ask(20), str(tmp_path / "stories.csv"))


@pytest.mark.parametrize("nothing", ["", None])
def test_no_stories_says_what_to_do(nothing):
    with pytest.raises(ValueError, match="no stories given: name a file") as error:
        load_titles(load_preset("tiny"), nothing)
    check_advice(str(error.value))
    assert 'or take the hub\'s ("hub" for PATH)' in str(error.value)


def check_advice(message: str):
    """How to name a file, in either place where a reader may be."""
    for part in (
        '(stories = "PATH" in a notebook; ',
        "--stories PATH, ",
        "HN_STORIES, on the command",
    ):
        assert part in message


@pytest.mark.parametrize("name", ["tiny", "small", "full"])
def test_synthetic_serves_smoke_only(name):
    with pytest.raises(
        ValueError, match=rf"'smoke' only, and this is '{name}': name a file"
    ) as error:
        load_titles(load_preset(name), "synthetic")
    check_advice(str(error.value))


def test_synthetic_split():
    loaded = load_titles(load_preset("smoke"), "synthetic")
    assert (len(loaded.train), len(loaded.val), len(loaded.test)) == (1_800, 200, 10_000)
    assert everything(loaded) == shuffled(synthetic_titles())[:12_000]
    digest = "a8d24c7eba117dd38abf2d59c25e788f7742af8d7016e7533df4c32fdfa9c3d2"
    assert loaded.stories == {
        "source": "synthetic",
        "sha256": digest,  # the same on every machine and every Python
        "rows": 13_000,
        "dropped": 0,
    }


def test_many_rows_stay_in_arrow_memory(tmp_path):
    """400,000 titles of 60 bytes: all of them at once as Python objects would take 40 MB."""
    titles = pa.array([f"title {i:054}" for i in range(1_000)])
    path = tmp_path / "stories.parquet"
    pq.write_table(pa.table({"title": pa.concat_arrays([titles] * 400)}), path)
    tracemalloc.start()
    loaded = load_titles(ask(1_000), str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert loaded.stories["rows"] == 400_000
    order = np.random.default_rng(1337).permutation(400_000)[:11_000]
    assert everything(loaded) == [f"title {i % 1_000:054}" for i in order]
    assert peak < 25e6, peak


def test_a_full_disk_is_not_called_damage(tmp_path, monkeypatch):
    """/dev/full takes no byte, as a disk without room."""
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    path = zipped(write_parquet(tmp_path / "s.parquet", ["one", "two"]))
    full = functools.partial(open, "/dev/full", "r+b", buffering=0)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(
        OSError, match=r"no room .* to unpack .*s\.parquet\.gz: set TMPDIR"
    ) as error:
        load_titles(ask(2), str(path))
    assert error.value.errno == errno.ENOSPC and "mend" not in str(error.value)


def test_a_disk_too_full_for_the_hubs_stories_says_where_they_would_go(monkeypatch):
    calls = []

    def download(*_, **__):
        calls.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(OSError, match="set HF_HOME to a larger disk") as error:
        load_titles(load_preset("tiny"), "hub")
    assert error.value.errno == errno.ENOSPC and len(calls) == 1  # trying again does not help
