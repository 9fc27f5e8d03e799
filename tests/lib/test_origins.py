"""Where a story comes from: the site of its link, the year and the month, and nothing else."""

import csv
import json
import socket

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib import origins
from lib.context import Known, train_known
from lib.data import load_titles
from lib.origins import NO_LINK, Origin, origin, site_of
from lib.synthetic import synthetic_stories, synthetic_titles
from lib.tokenizer import train_tokenizer

from .test_data import ask, shuffled

SITES = {
    "https://www.nytimes.com/2019/12/26/a-headline.html?s=1#top": "nytimes.com",
    "http://someone:secret@Blog.Example.CO.UK:8080/post": "example.co.uk",
    "https://someone.github.io/project": "github.io",
    "//github.com/owner/name": "github.com",
    "HTTPS://WWW.EXAMPLE.COM./": "example.com",
    "http://192.0.2.7:8000/a/path": "192.0.2.7",
    "http://[2001:db8::7]/a/path": "[2001:db8::7]",
    "http://localhost/a/path": "localhost",
    "http://co.uk/": "co.uk",
    "https://münchen.de/rathaus": "münchen.de",
    "https://xn--mnchen-3ya.de/rathaus": "münchen.de",  # the same, as DNS spells it
    "https://例え.テスト/": "テスト",
    "http://xn--a.com/": "xn--a.com",  # what spells no name stays as it is
    "": NO_LINK,
    None: NO_LINK,
    "   ": None,
    "not a link": None,
    "github.com/owner/name": None,  # without a scheme it may be anything
    "mailto:someone@example.com": None,
    "http:///a/path": None,
    "http://[2001:db8::7/a/path": None,
    "http://example.com\\a headline": None,
    "http://a headline/": None,
}


@pytest.mark.parametrize(("url", "site"), SITES.items())
def test_a_site_is_the_domain_that_was_registered(url, site):
    assert site_of(url) == site


def test_nothing_is_fetched_and_nothing_kept(monkeypatch, tmp_path):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TLDEXTRACT_CACHE", str(tmp_path / "cache"))
    origins._extract.cache_clear()
    assert site_of("https://a.b.example.co.uk/") == "example.co.uk"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("time", "year", "month"),
    [
        (b"0", None, None),
        (b"20191226", None, None),  # no seconds, and no date that is known
        (b"2019", None, None),
        (b"1136073599", None, None),  # the last second of 2005
        (b"1136073600", 2006, 1),
        (b"2019-12-31T23:30:00-05:00", 2019, 12),
        (b"1577404799", 2019, 12),  # 26 December 2019, a second before midnight, UTC
        (b"1577836800", 2020, 1),  # the first second of 2020, UTC
        (b"1577404799.5", 2019, 12),
        (b"2019-12-26 23:59:59", 2019, 12),
        (b"2019-12", 2019, 12),
        (b"2019-13-01", None, None),
        (b"1e300", None, None),
        (b"nan", None, None),
        (b"yesterday", None, None),
        (b"\xff", None, None),
        (b"", None, None),
        (None, None, None),
    ],
)
def test_a_date_is_a_year_and_a_month(time, year, month):
    assert origin(b"https://a.example.com/", time) == Origin("example.com", year, month)


def test_a_link_that_is_no_text_names_no_site():
    assert origin(b"http://\xff.com/", None).site is None


ROWS = [
    {
        "title": f"title {i}",
        "url": [f"https://site{i}.com/a-path-{i}", None, ""][i % 3],
        "time": 1_500_000_000 + 5_000_000 * i if i % 5 else None,
        "score": i,
    }
    for i in range(40)
]


def write(path, rows=ROWS, columns=("title", "url", "time", "score")):
    """A file of these columns, of the kind that its name says."""
    rows = [{name: row[name] for name in columns} for row in rows]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)) + "\n", "utf-8")
    elif path.suffix == ".txt":
        path.write_text("\n".join(row["title"] for row in rows) + "\n", "utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, delimiter="," if path.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("kind", ["parquet", "csv", "tsv", "jsonl"])
def test_each_title_keeps_its_origin_through_the_split(tmp_path, kind):
    blank = {"title": " ", "url": "https://dropped.com/", "time": 0, "score": 0}
    rows = [row for i, row in enumerate(ROWS) for row in ([row, blank] if i % 4 == 0 else [row])]
    titles = load_titles(ask(20), str(write(tmp_path / f"s.{kind}", rows)), origins=True)
    expected = [
        (row["title"], origin(*(str(row[n]).encode() if row[n] else None for n in ("url", "time"))))
        for row in shuffled(rows)
        if row["title"].strip()
    ]
    got = [
        pair
        for part in ("train", "val", "test")
        for pair in zip(getattr(titles, part), titles.origins[part], strict=True)
    ]
    assert got == expected
    assert len(titles.origins["val"]) == 2 and len({o.site for _, o in got}) > 10
    plain = load_titles(ask(20), str(tmp_path / f"s.{kind}"))
    assert plain.origins is None
    assert (plain.train, plain.val, plain.test) == (titles.train, titles.val, titles.test)
    assert plain.stories == titles.stories


@pytest.mark.parametrize("kind", ["parquet", "csv", "tsv", "jsonl", "txt"])
def test_a_file_without_the_columns_says_which_it_lacks_and_serves_the_other_steps(tmp_path, kind):
    both = write(tmp_path / f"both.{kind}", columns=("title", "score"))
    with pytest.raises(ValueError, match=rf"both\.{kind} .* no column 'url' and no column 'time'"):
        load_titles(ask(20), str(both), origins=True)
    assert len(load_titles(ask(20), str(both)).train) == 18
    if kind != "txt":
        one = write(tmp_path / f"one.{kind}", columns=("title", "url"))
        with pytest.raises(ValueError) as error:
            load_titles(ask(20), str(one), origins=True)
        said = str(error.value)
        assert "no column 'time', which this step reads" in said and "column 'url'" not in said
        assert "its columns are title, url. The other steps need titles only" in said


def test_a_file_whose_times_cannot_be_read_says_so_before_anything_is_trained(tmp_path):
    rows = [row | {"time": "Dec 26 2019"} for row in ROWS]
    path = write(tmp_path / "s.csv", rows)
    with pytest.raises(ValueError, match=r"no `time` of .*s\.csv can be read: .* 2019-12-26"):
        load_titles(ask(20), str(path), origins=True)
    assert len(load_titles(ask(20), str(path)).train) == 18


def test_no_path_no_points_no_comment_and_no_title_goes_further(tmp_path):
    """Two files alike in what is known and in nothing else: the model is told the same of both."""
    hosts = ["www.example.com", "blog.example.org", "192.0.2.7", "münchen.de", None]
    rows = [
        {"host": hosts[i % 5], "time": 1_500_000_000 + 40_000_000 * (i % 7), "number": i}
        for i in range(60)
    ]

    def story(row, title, link, points, comments):
        url = row["host"] and link.format(row["host"])
        found = {"title": title.format(row["number"]), "url": url, "time": row["time"]}
        return {**found, "score": points, "comments": comments}

    ways = [
        ("A headline, number {}", "https://{}/a-headline", 1, 0),
        (
            "Another altogether ({})",
            "http://me:secret@{}:99/else?title=another#altogether",
            900,
            77,
        ),
    ]
    loaded = []
    for i, way in enumerate(ways):
        path = tmp_path / f"{i}.parquet"
        pq.write_table(pa.Table.from_pylist([story(row, *way) for row in rows]), path)
        loaded.append(load_titles(ask(40), str(path), origins=True))
    first, second = loaded
    assert not {*first.train, *first.val} & {*second.train, *second.val}
    assert first.origins == second.origins
    config = ask(40, tokenizer="sp_bpe", vocab_size=300)
    tokenizer = train_tokenizer(config, first)
    told = [
        train_known(("domain", "time"), titles).encode(titles.origins["val"], tokenizer)
        for titles in loaded
    ]
    assert (told[0] == told[1]).all() and (told[0] != 0).any()


def test_an_origin_has_no_more_than_what_is_known():
    assert Origin._fields == ("site", "year", "month")
    assert set(Known.__dataclass_fields__) == {"sees", "values"}


def test_made_headlines_have_links_whose_paths_would_give_them_away():
    """And they are the headlines that there were before there were links."""
    rows = list(synthetic_stories())
    assert [title for title, _, _ in rows] == synthetic_titles()
    assert rows == list(synthetic_stories())
    asked = [url for title, url, _ in rows if title.startswith(("Ask HN", "Tell HN"))]
    assert asked and not any(asked)
    linked = [(title, url, time) for title, url, time in rows if url]
    assert len(linked) + len(asked) == len(rows)
    spelt = sum(title.split()[-1].lower().strip(".?()[]") in url for title, url, _ in linked)
    assert spelt > 0.8 * len(linked)
    own = [title for title, url, _ in linked if site_of(url).split(".")[0] in title.lower()]
    assert len(own) > 0.1 * len(linked)
    dated = [
        origin(None, time and time.encode()).year - int(title.split("(")[-1][:4])
        for title, _, time in linked
        if title.endswith(")") and title.split("(")[-1][:4].isdigit() and time
    ]
    assert len(dated) > 1_000 and set(dated) == {0, 1}
