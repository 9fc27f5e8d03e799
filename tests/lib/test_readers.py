"""Every kind of file that headlines can be read from, and the errors for all others."""

import csv
import gzip
import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data import load_titles

from .test_data import BLANK, USABLE, ask, everything, shuffled, write_parquet, zipped


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
    # A reader who gave a file is told neither to give one nor of a command that notebooks lack.
    assert "stories =" not in str(error.value) and "--stories" not in str(error.value)
    if "cannot be read" in str(error.value):
        assert str(error.value).endswith("; mend it, or take another file")
