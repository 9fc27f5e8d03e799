"""The made headlines: what they look like, and that they are enough to train on."""

import io
import math
import re
from collections import Counter
from itertools import pairwise

import pytest
import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from lib.config import load_preset
from lib.data import load_titles
from lib.synthetic import TOPICS, synthetic_titles


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
