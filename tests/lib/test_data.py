"""`lib.data` and `lib.synthetic`, against `datasets`, plain recomputations and hand-made files."""

import csv
import gzip
import hashlib
import io
import json
import math
import os
import re
import tracemalloc
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sentencepiece
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from lib import data
from lib.config import load_preset
from lib.data import load_titles
from lib.synthetic import TOPICS, synthetic_titles

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


def write_jsonl(path: Path, titles: list) -> Path:
    rows = ({"id": i, "title": title, "score": -i} for i, title in enumerate(titles))
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return path


def write_csv(path: Path, titles: list[str], newline: str = "\r\n", **options) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator=newline, **options)
        writer.writerow(["id", "title", "score"])
        writer.writerows([i, title, -i] for i, title in enumerate(titles))
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


def test_every_kind_of_file_gives_the_same_titles(tmp_path):
    titles = (USABLE + BLANK) * 9
    text = "\n".join(titles)
    lines, marked, crlf, cr = (tmp_path / name for name in ("a.txt", "b.txt", "C.TXT", "d.txt"))
    lines.write_bytes(text.encode())
    marked.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\n")
    crlf.write_bytes(text.replace("\n", "\r\n").encode())
    cr.write_bytes(text.replace("\n", "\r").encode())
    parquets = [
        write_parquet(tmp_path / f"{i}.parquet", titles, kind)
        for i, kind in enumerate(
            [
                pa.string(),
                pa.large_string(),
                pa.string_view(),
                pa.binary(),
                pa.large_binary(),
                pa.binary_view(),
            ]
        )
    ]
    for name, kind in (("s", pa.string()), ("b", pa.binary()), ("l", pa.large_binary())):
        column = pa.array(titles, kind).dictionary_encode()
        parquets.append(write_parquet(tmp_path / f"{name}.parquet", column, row_group_size=7))
    tables = [write_csv(tmp_path / "a.csv", titles), write_csv(tmp_path / "b.csv", titles, "\n")]
    for i, separator in enumerate(",;\t|"):
        for kind in ("csv", "tsv"):
            path = tmp_path / f"separated{i}.{kind}"
            tables.append(write_csv(path, titles, delimiter=separator))
        path = tmp_path / f"quoted{i}.csv"
        tables.append(write_csv(path, titles, delimiter=separator, quoting=csv.QUOTE_ALL))
    objects = [write_jsonl(tmp_path / "a.jsonl", titles)]
    objects.append(_bytes(tmp_path / "b.JSONL", b"\xef\xbb\xbf" + objects[0].read_bytes() + b"\n"))
    paths = [lines, marked, crlf, cr, *parquets, *tables, *objects]
    paths += [zipped(path) for path in (lines, parquets[0], tables[0], tables[-1], objects[0])]

    expected = [title.strip() for title in shuffled(titles) if title.strip()]
    for path in paths:
        loaded = load_titles(ask(20), str(path))
        assert everything(loaded) == expected, path.name
        assert loaded.stories == {
            "source": "file",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "rows": 99,
            "dropped": 27,
        }


def test_a_title_may_span_lines_and_hold_quotes_in_csv(tmp_path):
    titles = ['two\nlines, "quoted"', "three\r\nlines", "plain"]
    loaded = load_titles(ask(3), str(write_csv(tmp_path / "stories.csv", titles)))
    assert sorted(everything(loaded)) == sorted(titles)


@pytest.mark.parametrize("length", [131_072, 131_073, 3_000_000])
def test_a_title_in_csv_may_be_of_any_length(tmp_path, length):
    titles = ["one", "x" * (length - 1) + ",", "two"]
    loaded = load_titles(ask(3), str(write_csv(tmp_path / "stories.csv", titles)))
    assert sorted(everything(loaded)) == sorted(titles)


@pytest.mark.parametrize("name", ["Title", "TITLE", " title ", "tItLe"])
def test_the_column_may_be_capitalised(tmp_path, name):
    table = pa.table({"Url": ["u"] * 3, name: ["a one", "b two", "c three"]})
    pq.write_table(table, tmp_path / "s.parquet")
    rows = table.to_pylist()
    _bytes(tmp_path / "s.csv", f"Url,{name}\nu,a one\nu,b two\nu,c three\n".encode())
    _bytes(tmp_path / "s.jsonl", "\n".join(map(json.dumps, rows)).encode())
    for path in tmp_path.iterdir():
        assert sorted(everything(load_titles(ask(3), str(path)))) == ["a one", "b two", "c three"]


def test_a_column_called_title_exactly_comes_first(tmp_path):
    table = pa.table({"Title": ["wrong"] * 2, "title": ["right", "right too"], "TITLE": ["no"] * 2})
    pq.write_table(table, tmp_path / "s.parquet")
    assert set(everything(load_titles(ask(2), str(tmp_path / "s.parquet")))) == set(
        table["title"].to_pylist()
    )


def test_json_lines_with_gaps(tmp_path):
    lines = [
        '{"title": "one"}',
        "",
        '{"id": 2}',
        '{"Title": "two", "title": "three"}',
        '{"title": null}',
        r'{"title": "lone \ud800"}',
        r'{"title": "\u6771\u4eac \ud83d\ude80"}',
    ]
    path = _bytes(tmp_path / "s.jsonl", "\r\n".join(lines).encode())
    loaded = load_titles(ask(3), str(path))
    assert sorted(everything(loaded)) == ["one", "three", "東京 🚀"]
    assert (loaded.stories["rows"], loaded.stories["dropped"]) == (6, 3)


@pytest.mark.parametrize("first", ["title", "Title", " TITLE ", '"title"'])
@pytest.mark.parametrize("gz", [False, True])
def test_a_text_whose_first_line_names_the_column_loses_it_and_says_so(tmp_path, capsys, first, gz):
    path = _bytes(tmp_path / "s.txt", f"\ufeff{first}\none\ntitle\ntwo\n".encode())
    loaded = load_titles(ask(3), str(zipped(path) if gz else path))
    assert sorted(everything(loaded)) == ["one", "title", "two"]
    assert loaded.stories["rows"] == 3
    assert f"{first!r}, names the column: it is no headline" in capsys.readouterr().out


def test_numbers_among_headlines_are_headlines(tmp_path, capsys):
    titles = ["1984", "", "42", "3.14159", "Title case", "title, and more"]
    path = _bytes(tmp_path / "s.txt", "\n".join(titles).encode())
    assert sorted(everything(load_titles(ask(5), str(path)))) == sorted(filter(None, titles))
    assert capsys.readouterr().out == ""


def test_a_path_is_taken_from_here_then_from_where_colab_puts_uploads(tmp_path, monkeypatch):
    uploads, book = tmp_path / "content", tmp_path / "content" / "book"
    book.mkdir(parents=True)
    monkeypatch.setattr(data, "UPLOADS", uploads)
    monkeypatch.chdir(book)
    with pytest.raises(
        FileNotFoundError, match=re.escape(f"at {book / 'mine.txt'} (nor in {uploads})")
    ):
        load_titles(ask(2), "mine.txt")
    _bytes(uploads / "mine.txt", b"uploaded one\nuploaded two\n")
    assert sorted(everything(load_titles(ask(2), "mine.txt"))) == ["uploaded one", "uploaded two"]
    assert data.find_stories("mine.txt") == uploads / "mine.txt"
    _bytes(book / "mine.txt", b"one here\ntwo here\n")
    assert sorted(everything(load_titles(ask(2), "mine.txt"))) == ["one here", "two here"]
    assert data.find_stories("mine.txt") == book / "mine.txt"
    assert data.find_stories(str(uploads / "mine.txt")) == uploads / "mine.txt"


def test_titles_that_are_not_utf8_are_dropped_and_counted(tmp_path):
    surrogate, broken = "lone \ud800".encode("utf-8", "surrogatepass"), b"caf\xe9"
    raw = pa.array([b"one", surrogate, b"two", broken, None, b" "], pa.binary())
    buffers = raw.buffers()
    column = pa.Array.from_buffers(pa.string(), len(raw), buffers)  # as a careless writer would
    path = write_parquet(tmp_path / "stories.parquet", column)
    loaded = load_titles(ask(2, val_frac=0.5), str(path))
    assert sorted(everything(loaded)) == ["one", "two"]
    assert (loaded.stories["rows"], loaded.stories["dropped"]) == (6, 4)


def test_only_the_titles_are_read(tmp_path):
    """Damage in another column goes unseen; the same damage among the titles does not."""
    path = tmp_path / "stories.parquet"
    marks = {name: [f"{name} {i:04}" for i in range(500)] for name in ("url", "title")}
    pq.write_table(
        pa.table(marks), path, compression="none", use_dictionary=False, write_page_checksum=True
    )
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"url 0250", b"URL 0250"))
    assert path.read_bytes() != whole
    assert set(everything(load_titles(ask(500), str(path)))) == set(marks["title"])
    path.write_bytes(whole.replace(b"title 0250", b"TITLE 0250"))
    with pytest.raises(ValueError, match="CRC"):
        load_titles(ask(500), str(path))


def _bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


TITLES = [f"title {i}" for i in range(40)]
DIGITS = [str(i) for i in range(40)]
GZIP = gzip.compress("\n".join(TITLES).encode())
BAD = {
    "missing": (lambda d: d / "absent.parquet", r"no stories at .*absent\.parquet: check the path"),
    "folder": (lambda d: d, r"is a folder: give the file in it \(\.parquet, \.csv"),
    "no extension": (lambda d: _bytes(d / "stories", b"x"), r"unknown kind: save the headlines as"),
    "unknown extension": (lambda d: _bytes(d / "s.json", b"[]"), r"as \.parquet, \.csv, \.tsv"),
    "gzip of what": (lambda d: _bytes(d / "stories.gz", GZIP), r"or one of these and \.gz"),
    "empty": (lambda d: _bytes(d / "s.csv", b""), r"is empty \(0 bytes\): take another file"),
    "not a table": (lambda d: _bytes(d / "s.parquet", b"hello" * 50), "cannot be read as parquet"),
    "no title in parquet": (
        lambda d: (
            (pq.write_table(pa.table({"id": [1], "name": ["a"]}), d / "s.parquet"), d)[1]
            / "s.parquet"
        ),
        "no column 'title'; its columns are id, name, so rename the one that holds the headlines",
    ),
    "no title in csv": (
        lambda d: _bytes(d / "s.csv", b"id;Headline;url\n1;a;b\n"),
        "no column 'title'; its columns are id, Headline, url, so rename",
    ),
    "no title in a quoted csv": (
        lambda d: _bytes(d / "s.csv", b'"id";"Headline"\n"1";"a"\n'),
        "no column 'title'; its columns are id, Headline, so rename",
    ),
    "no header in csv": (
        lambda d: _bytes(d / "s.csv", b"1,One headline\n2,Another\n"),
        "no column 'title'; its columns are 1, One headline, so rename",
    ),
    "no title in jsonl": (
        lambda d: _bytes(d / "s.jsonl", b'{"id": 1}\n{"name": "a"}\n'),
        "no column 'title'; its columns are id, name, so rename",
    ),
    "many columns": (
        lambda d: _bytes(d / "s.csv", ",".join(f"column{i}" for i in range(999)).encode()),
        "its columns are column0, column1, .{100,200} …, so rename",
    ),
    "two titles": (
        lambda d: _bytes(d / "s.csv", b"Title,TITLE\na,b\n"),
        "more than one column 'title', so rename all but one",
    ),
    "not JSON": (
        lambda d: _bytes(d / "s.jsonl", b'{"title": "a"}\n{"title"\n'),
        "line 2 is no JSON",
    ),
    "a JSON list": (
        lambda d: _bytes(d / "s.jsonl", b'["a"]\n'),
        "line 1 is no JSON object, such as",
    ),
    "deep JSON": (lambda d: _bytes(d / "s.jsonl", b"[" * 200_000), "line 1 is no JSON"),
    "numbers in jsonl": (
        lambda d: _bytes(d / "s.jsonl", b'{"title": "a"}\n{"title": 5}\n'),
        "the title in line 2 is no text",
    ),
    "numbers in csv": (
        lambda d: write_csv(d / "s.csv", ["", *DIGITS]),
        "its titles are numbers, such as 0, not headlines",
    ),
    "numbers in txt": (
        lambda d: _bytes(d / "s.txt", b"\n\n1,234.5\n-2\n3e-5\n+.5\n"),
        r"its titles are numbers, such as 1,234\.5, not headlines",
    ),
    "numbers as text in parquet": (
        lambda d: write_parquet(d / "s.parquet", [None, *DIGITS]),
        "its titles are numbers, such as 0, not headlines",
    ),
    "a table called txt": (
        lambda d: _bytes(d / "s.txt", b'id;"Title";url\n1;a;b\n'),
        r"first line names columns \(id, Title, url\), so it is a table: let its name end in \.csv",
    ),
    "titles are numbers": (
        lambda d: write_parquet(d / "s.parquet", list(range(40)), pa.int64()),
        "column 'title' holds int64, not text",
    ),
    "ragged csv": (
        lambda d: _bytes(d / "s.csv", b"id,title\n1,a\n2,b,c\n"),
        "line 3 has 3 fields, and the header has 2",
    ),
    "csv cut in a quote": (
        lambda d: _bytes(d / "s.csv", b'id,title\n1,a\n2,"b'),
        r"cannot be read as csv: unexpected end of data \(line 3\): a field that holds quotation",
    ),
    "quotes not doubled": (
        lambda d: _bytes(d / "s.tsv", b'id\ttitle\n1\t"This" is it\n'),
        r"cannot be read as tsv: .*\(line 2\): a field that holds quotation marks must stand in",
    ),
    "too few": (
        lambda d: write_parquet(d / "s.parquet", [*TITLES[:19], "", None]),
        "19 usable titles in 21 rows, and the preset 'tiny' asks for 20",
    ),
    "all null": (
        lambda d: write_parquet(d / "s.parquet", pa.nulls(30, pa.string())),
        "0 usable titles in 30 rows",
    ),
    "truncated gzip": (
        lambda d: _bytes(d / "s.txt.gz", GZIP[:-9]),
        "cannot be read as txt: .*end-of-stream",
    ),
    "gzip without its checksum": (
        lambda d: _bytes(d / "s.txt.gz", GZIP[:-4]),
        "cannot be read as txt: .*end-of-stream",
    ),
    "not gzip": (lambda d: _bytes(d / "s.txt.gz", b"title\n" * 99), "Not a gzipped file"),
    "latin-1": (
        lambda d: _bytes(d / "s.txt", "café\n".encode("latin-1") * 99),
        "not UTF-8 text .*0xe9.*so save it as UTF-8",
    ),
    "UTF-16": (lambda d: _bytes(d / "s.csv", "id,title\n1,a".encode("utf-16")), "not UTF-8 text"),
    "NUL": (lambda d: _bytes(d / "s.txt", b"one\ntw\0o\n"), "line 2 holds a NUL"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_stories_get_a_plain_error(tmp_path, case):
    make, message = BAD[case]
    kind = FileNotFoundError if case == "missing" else ValueError
    with pytest.raises(kind, match=message) as error:
        load_titles(ask(20), str(make(tmp_path)))
    assert "\n" not in str(error.value)
    # A reader who gave a file is not told to give one, nor of a command that a notebook has not.
    assert "stories =" not in str(error.value) and "--stories" not in str(error.value)
    if "cannot be read" in str(error.value):
        assert str(error.value).endswith("; mend it, or take another file")


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


def test_synthetic_titles_look_like_headlines():
    titles = synthetic_titles()
    assert all(title == title.strip() and "{" not in title for title in titles)
    assert max(map(len, titles)) < 120
    assert len(set(titles)) > 0.95 * len(titles)
    assert 0.1 < sum(title.startswith("Show HN: ") for title in titles) / len(titles) < 0.4
    words = Counter(word for title in titles for word in title.split())
    counts = sorted(words.values(), reverse=True)
    assert len(counts) > 1_000 and sum(counts[:100]) > 0.4 * sum(counts)  # skewed, with a long tail


def test_synthetic_words_depend_on_the_words_before():
    """Nats per word of validation titles: an interpolated bigram needs far fewer than a unigram."""
    loaded = load_titles(load_preset("smoke"), "synthetic")

    def pairs(titles):
        for title in titles:
            words = ["<eos>", *title.split(), "<eos>"]
            yield from pairwise(words)

    after, single, double = Counter(), Counter(), Counter()
    for first, second in pairs(loaded.train):
        after[first] += 1
        single[second] += 1
        double[first, second] += 1
    total, unigram, bigram, count = sum(single.values()), 0.0, 0.0, 0
    for first, second in pairs(loaded.val):
        p = (single[second] + 1) / (total + len(single) + 1)
        q = double[first, second] / after[first] if after[first] else 0
        unigram -= math.log(p)
        bigram -= math.log(0.2 * p + 0.8 * q)
        count += 1
    assert unigram / count > 5
    assert bigram < 0.65 * unigram


def test_synthetic_titles_keep_to_their_topic():
    topics = [block.replace("\n", " ").split("|") for block in TOPICS.split("\n\n")]
    of_thing, of_task = (
        {word: n for n, parts in enumerate(topics) for word in parts[i].strip().split(", ")}
        for i in (1, 2)
    )
    pattern = re.compile(f" ({'|'.join(of_thing)}) for ({'|'.join(of_task)})")
    found = [match.groups() for match in map(pattern.search, synthetic_titles()) if match]
    assert len(found) > 1_000
    assert all(of_thing[thing] == of_task[task] for thing, task in found)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_synthetic_titles_give_sentencepiece_its_vocabulary(kind):
    """1,024 is what `smoke` needs; a quarter more leaves room."""
    train = load_titles(load_preset("smoke"), "synthetic").train
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(train),
        model_writer=written,
        model_type=kind,
        vocab_size=1_280,
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    assert (
        sentencepiece.SentencePieceProcessor(model_proto=written.getvalue()).vocab_size() == 1_280
    )


def test_synthetic_titles_give_byte_level_bpe_its_vocabulary():
    train = load_titles(load_preset("smoke"), "synthetic").train
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1_280, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(train, trainer)
    assert tokenizer.get_vocab_size() == 1_280


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
