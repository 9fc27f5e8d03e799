"""What a run left, and leftovers that neither a notebook nor the book accounts for any more."""

from book.__main__ import _like
from book.finished import Mark
from lib.files import BOOK, write_json
from studies.ladder import read_ladder


def test_records_that_nobody_left_are_removed(tmp_path):
    out, book = tmp_path / "out", tmp_path / "book"
    there = "results/small/01.json", "results/small/02/words.json", "results/small/03.json"
    for file in (*there, "results/tiny/03.json", "figures/03.svg"):
        write_json(out / file, {})
    write_json(book / there[0], {})  # the book has it
    write_json(Mark(out, "02").path, {"files": {there[1]: "digest"}})  # a notebook left it
    Mark.remove_ghosts(out, book, "small")
    kept = {p.relative_to(out).as_posix() for p in out.glob("[!.]*/**/*") if p.is_file()}
    assert kept == {*there[:2], "results/tiny/03.json", "figures/03.svg"}


def test_a_ladder_to_follow_is_the_books_where_there_is_no_other(tmp_path):
    assert _like(read_ladder, tmp_path, "tiny") == read_ladder(BOOK, "tiny")
