"""The widget's tokenizers against `lib`'s, id for id, on every kind of title."""

import random

import pytest

from lib.config import Config
from lib.data import Titles
from lib.model import GPT
from lib.synthetic import synthetic_titles
from lib.tokenizer import train_tokenizer

from ..lib.test_tokenizer import ODD

KINDS = ("bpe", "sp_bpe", "sp_bpe_case")
TITLES = synthetic_titles()
TRAIN, VAL = TITLES[:2_000], TITLES[2_000:4_000]
# A space for JavaScript that is none for Rust: it matters only to a tokenizer trained on it.
MET = ["first!\ufeff!second"] * 60
MORE = ["", "x", "Café ☕ naïve", "a <0x41> b", "\ufefffirst", "oh!\ufeff!no"]
# Letters of every kind that Unicode has, spaces of every kind, what has a meaning to a tokenizer.
LETTERS = (
    [chr(code) for code in (*range(0x0, 0x250), *range(0x5D0, 0x5F0), *range(0x2000, 0x2070))]
    + ["\u0085", "\u1680", "\u3000", "\ufeff", "\u180e", "\u0660", "\u0967", "\u2167", "½", "²"]
    + ["日", "本", "語", "😀", "👩‍👩‍👧", "🇪🇺", "e\u0301", "\u2581", "⇧", "⇈", "<0x41>", "<eos>"]
    + ["'s", "'ll", " the", "  ", "A", "AB", "Ab", " A", " AB", "GitHub", "İ", "ß"] * 9
)


def fuzz(count=1_000):
    draw = random.Random(1337)
    return ["".join(draw.choices(LETTERS, k=draw.randint(1, 25))) for _ in range(count)]


@pytest.fixture(scope="module", params=KINDS)
def both(request, written):
    """A tokenizer trained on made titles and a few odd ones, and the file of a model with it."""
    config = Config("smoke", 2_000, 700, 1, 8, 1, 8, 1, tokenizer=request.param)
    tokenizer = train_tokenizer(config, Titles([*TRAIN, *ODD[:8], *MET], [], [], {}))
    return tokenizer, written(GPT(config, tokenizer.vocab_size), tokenizer, config)


@pytest.mark.parametrize("titles", [VAL, [*ODD, *MORE], fuzz()],
                         ids=["validation", "odd", "fuzz"])  # fmt: skip
def test_ids_and_what_they_say_are_those_of_lib(both, ask, titles):
    tokenizer, file = both
    answers = ask("tokens", titles, file)
    for title, ids, answer in zip(titles, tokenizer.encode(titles), answers, strict=True):
        assert answer["ids"] == ids, title
        assert answer["text"] == tokenizer.decode(ids), title
        assert answer["tokens"] == [tokenizer.token(i) for i in ids], title


def test_half_a_title_is_read_as_lib_reads_it(both, ask):
    """What is being typed, letter by letter."""
    tokenizer, file = both
    titles = [title[:end] for title in (*VAL[:10], *ODD[:8]) for end in range(len(title))]
    assert [a["ids"] for a in ask("tokens", titles, file)] == tokenizer.encode(titles)
