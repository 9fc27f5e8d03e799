"""No measured number in a page is typed by hand: it comes from a record.

The log is a diary, and is held to the ladder's record instead.
"""

import json
import re
from pathlib import Path

import pytest

from book import contents
from lib.record import read_record

ROOT = Path(__file__).parent.parent.parent

# Decimals that a page may hold as they are: constants of the task, none of them measured here.
ALLOWED = {
    "1.754": "the challenge's baseline to beat, as the challenge states it",
    "0.05": "the level of the tests, `studies.statistics.LEVEL`",
}

# What is not prose, or is not typed: front matter, code, roles and code spans, math, addresses.
NOT_PROSE = (
    r"\A---\n.*?\n---\n",
    r"^(`{3,})(?!\{)[^`]*?^\1`*\s*$",
    r"^(`{3,})\{code[\w-]*\}.*?^\1`*\s*$",
    r"\{(?:result|across|peer|math|eq|colab)\}(`+).*?\1",
    r"(?<!\})(`+)(?!`).*?(?<!`)\1(?!`)",
    r"\$\$.*?\$\$|\$[^$\n]+\$",
    r"https?://[^\s)>\"]+",
    r"^%.*?$",
)


def decimals(page: str) -> list[tuple[int, str]]:
    """The line and text of each decimal number in the prose of a page."""
    for pattern in NOT_PROSE:
        blank = lambda match: re.sub(r"[^\n]", " ", match[0])  # noqa: E731 (keeps line numbers)
        flags = re.MULTILINE | (re.DOTALL if pattern != r"^%.*?$" else 0)
        page = re.sub(pattern, blank, page, flags=flags)
    numbers = re.finditer(r"(?<![\w.])[-+−]?(\d+\.\d+)(?:e[-+]?\d+)?(?!\.?\d)", page)
    return [(page.count("\n", 0, n.start()) + 1, n[1]) for n in numbers]


def pages() -> list[str]:
    return [page for page in contents.pages(ROOT) if page.endswith(".md") and page != "LOG.md"]


@pytest.mark.parametrize("page", pages())
def test_page_holds_no_typed_decimal(page):
    found = decimals((ROOT / page).read_text(encoding="utf-8"))
    typed = [f"{page}:{line}: {number}" for line, number in found if number not in ALLOWED]
    assert not typed, (
        "typed by hand; use {result}`…` or {peer}`…`, or allow it in ALLOWED:\n" + "\n".join(typed)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The loss is 1.234 now.", [(1, "1.234")]),
        ("A drop of −0.12, or 5.0e-3, or 93.6%.", [(1, "0.12"), (1, "5.0"), (1, "93.6")]),
        ("---\nversion: 1.5\n---\nFrom 2.5 on.", [(4, "2.5")]),
        ("```python\nlr = 0.5\n```\nbut 0.25", [(4, "0.25")]),
        ("````\n```\n0.5\n```\n````\n0.75", [(6, "0.75")]),
        (":::{figure} #x\n:alt: falls to 1.5\nTo 1.25.\n:::", [(2, "1.5"), (3, "1.25")]),
        ("{result}`a.b:.3f` {peer}`c.d - 0.5:.2f` {across}`a.b / 0.5` `0.1` ``2.5``", []),
        ("{sub}`1.5` and **0.5**", [(1, "1.5"), (1, "0.5")]),
        ("$p = 0.5$ and $$\n0.25\n$$", []),
        ("[x](https://a.b/1.5) v1.2.3 and 1.2.3 and 7 epochs, 2,000 titles.", []),
        ("Step 1. Then 2. The end 3.", []),
        ("It fell by 5 % to 1.234.\n% not shown: 0.5", [(1, "1.234")]),
    ],
)
def test_decimals_are_found_in_prose_and_only_there(text, expected):
    assert decimals(text) == expected


def test_the_log_tells_each_rung_of_the_ladder_as_its_record_has_it():
    log = (ROOT / "LOG.md").read_text(encoding="utf-8")
    rungs = json.loads((ROOT / "results/tiny/ladder.json").read_text("utf-8"))["rungs"]
    tried = [rung for rung in rungs.values() if "gain" in rung]
    assert len(tried) == len(rungs) - 1 >= 8  # all but what the ladder stands on
    for rung in tried:
        told = f"{rung['gain']:+.4f} ± {rung['standard_error']:.4f} (mean {rung['mean']:.4f}"
        assert told in log, f"{rung['title']}: {told}"


def test_every_allowed_number_is_in_use():
    used = {
        number
        for page in pages()
        for _, number in decimals((ROOT / page).read_text(encoding="utf-8"))
    }
    assert set(ALLOWED) <= used


def test_the_stories_of_the_published_runs_are_told_as_their_records_have_them():
    text = (ROOT / "reproduce.md").read_text(encoding="utf-8")
    stories = read_record(ROOT, "small", "01_baseline")["stories"]
    assert f"`{stories['sha256']}`" in text and f"{stories['rows']:,} stories of" in text
