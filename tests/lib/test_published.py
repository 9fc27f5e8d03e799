"""What a notebook opened alone reads: its own run's records first, the book's where it has none."""

import pytest

import lib.published
from lib.files import write_json
from lib.published import home_of, steps_before
from lib.record import save
from lib.train import train

from ..studies.small import CONFIG, TITLES


@pytest.fixture(scope="module")
def run():
    return train(CONFIG, TITLES, quiet=True)


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of its own, in which nothing is published yet."""
    monkeypatch.setattr(lib.published, "BOOK", tmp_path / "book")
    return tmp_path / "book"


def test_the_steps_are_read_where_they_were_run_else_from_the_book(run, book, tmp_path, capsys):
    out = tmp_path / "run"
    with pytest.raises(FileNotFoundError, match="has a record of a step on preset smoke"):
        home_of(out, "smoke")
    save(run, book, "01_baseline")
    assert home_of(out, "smoke") == book
    assert f"no record of a step under {out}: these are the published" in capsys.readouterr().out
    save(run, out, "02_adamw")
    assert home_of(out, "smoke") == out
    assert home_of(book, "smoke") == book  # as it is when the book itself is published
    assert capsys.readouterr().out == ""


def test_a_model_that_sees_more_than_titles_is_no_step_to_compare_with(run, book, tmp_path):
    save(run, book, "01_baseline")
    context = save(run, tmp_path / "run", "06_context") | {"sees": ["domain"]}
    write_json(tmp_path / "run" / "results" / "smoke" / "06_context.json", context)
    assert home_of(tmp_path / "run", "smoke") == book


def test_steps_that_were_not_run_are_the_published_ones_and_say_so(run, book, tmp_path):
    out = tmp_path / "run"
    now = save(run, out, "03_rope_vocab")
    assert steps_before(out, now) == []
    for step in ("01_baseline", "02_adamw", "03_rope_vocab"):
        save(run, book, step)
    own = save(run, out, "02_adamw")
    there = steps_before(out, now)
    assert [r["title"] for r in there] == ["Baseline (published)", "AdamW"]
    assert there[1] == own
    path = book / "results" / "smoke" / "01_baseline.json"
    other = {**there[0], "title": "Baseline", "stories": {**now["stories"], "sha256": "0" * 64}}
    write_json(path, other)
    assert steps_before(out, now) == [own]  # what is of other stories does not compare
