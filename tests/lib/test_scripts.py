"""Titles in scripts that have more characters than a small vocabulary has tokens."""

from functools import cache

import numpy as np
import pytest

from lib import tokenizer as module
from lib.config import load_preset, load_step
from lib.data import Titles, load_titles
from lib.steps import STEPS
from lib.synthetic import synthetic_titles
from lib.tokenizer import train_tokenizer

KINDS = ("bpe", "unigram", "sp_bpe", "sp_unigram", "sp_bpe_case")
SCRIPTS = {"Chinese": range(0x4E00, 0x9FA5), "Korean": range(0xAC00, 0xD7A4)}
COUNT = 2_400  # smoke's 2,000 titles and some to test on


@cache
def made(script: str, spaced: bool = False) -> list[str]:
    """Headlines of made words in a script, some characters and words far more frequent."""
    chance = np.random.default_rng(1337)
    letters = chance.permutation([chr(code) for code in SCRIPTS[script]])[:3_000]

    def skewed(count):
        weights = 1 / np.arange(5, count + 5)
        return weights / weights.sum()

    words = ["".join(chance.choice(letters, chance.integers(1, 4), p=skewed(3_000)))
             for _ in range(2_000)]  # fmt: skip
    words += ["GitHub", "AI", "iOS 17", "Python"]
    between = " " if spaced else ""
    return [
        between.join(chance.choice(words, chance.integers(5, 12), p=skewed(len(words))))
        for _ in range(COUNT)
    ]


@pytest.fixture
def load(tmp_path):
    """Read titles as a preset does, from a file."""

    def load(titles, config) -> Titles:
        path = tmp_path / "stories.txt"
        path.write_text("\n".join(titles), encoding="utf-8")
        return load_titles(config, str(path))

    return load


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("kind", KINDS)
def test_any_script_gives_the_smallest_vocabulary(kind, script, load):
    config = load_preset("smoke", tokenizer=kind)
    titles = load(made(script), config)
    letters = set("".join(titles.train + titles.val))
    assert len(letters) > 2 * config.vocab_size  # which is what is hard about it
    tokenizer = train_tokenizer(config, titles)
    assert tokenizer.vocab_size == config.vocab_size == 512
    everything = titles.train + titles.val + titles.test
    assert tokenizer.lossy(everything) == []
    tokens = sum(map(len, tokenizer.encode(everything)))
    assert tokens < 0.7 * sum(len(title.encode()) for title in everything)  # not bytes alone
    if kind.startswith("sp_"):
        pieces = {tokenizer.token(id_).strip() for id_ in range(512)}
        assert len(pieces & letters) > 100
        assert any(len(piece) > 1 and set(piece) <= letters for piece in pieces)  # and words


@pytest.mark.parametrize("size", [512, 3_000])  # with and without room for every character
@pytest.mark.parametrize("kind", ["sp_bpe", "sp_unigram", "sp_bpe_case"])
def test_what_is_rare_comes_back_too(kind, size, load):
    """Spaces that are rarer than any character, capitals, and characters never seen."""
    config = load_preset("smoke", tokenizer=kind, vocab_size=size)
    corpus = [title.replace(" ", "") for title in made("Chinese")]
    corpus[0] += " and a space"
    tokenizer = train_tokenizer(config, load(corpus, config))
    titles = [f"{corpus[1]} {corpus[2]}", "One Space  two", "IBM 買 GitHub", "한국 😀 ⇧ é"]
    assert tokenizer.lossy(titles) == []


@pytest.mark.parametrize("kind", ["sp_bpe", "sp_unigram", "sp_bpe_case"])
@pytest.mark.parametrize("size", [512, 3_000])
def test_spaces_that_no_title_has_come_back(kind, size):
    corpus = [title.replace(" ", "") for title in made("Chinese")]
    config = load_preset("smoke", tokenizer=kind, vocab_size=size)
    tokenizer = train_tokenizer(config, Titles(corpus, [], [], {}))
    assert tokenizer.lossy(["a  b", f"{corpus[0]} {corpus[1]}"]) == []


@pytest.mark.parametrize("step", STEPS)
def test_every_step_has_a_tokenizer_of_titles_in_chinese(step, load):
    config = load_step(step, "smoke")
    titles = load(made("Chinese", spaced=True), config)
    tokenizer = train_tokenizer(config, titles)
    assert tokenizer.vocab_size == config.vocab_size
    assert tokenizer.lossy(titles.val) == []


@pytest.mark.parametrize("kind", ["sp_bpe", "sp_unigram", "sp_bpe_case"])
def test_titles_whose_characters_fit_are_left_whole(kind, monkeypatch):
    """A published tokenizer is sentencepiece's own, of the titles as they are."""

    def refuse(*_):
        raise AssertionError("the titles were cut")

    titles = Titles(synthetic_titles()[:2_000], [], [], {})
    config = load_preset("smoke", tokenizer=kind)
    state = train_tokenizer(config, titles).state
    monkeypatch.setattr(module, "_without_rare", refuse)
    assert train_tokenizer(config, titles).state == state
    with pytest.raises(AssertionError, match="were cut"):
        train_tokenizer(config, Titles(made("Chinese"), [], [], {}))
