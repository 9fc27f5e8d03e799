"""The losses, against examples small enough to work out on paper.

Two models whose answers are known: `Bigram`, whose probabilities are powers of two, and `Spy`,
which gives each context a distribution of its own, so that a token predicted from the wrong
context has the wrong loss.
"""

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lib import evaluate

from ..windows import starts

A, EOS, B = 0, 1, 2
TITLES = ["é", "日本", "é"]
IDS = torch.tensor([A, EOS, B, A, EOS, A, EOS])
CHARACTERS = (1 + 5) + (2 + 5) + (1 + 5)  # each title and the five of "<eos>"
BYTES = (2 + 1) + (6 + 1) + (2 + 1)  # each title in UTF-8 and one for its end
VOCAB = 5


class Bigram(nn.Module):
    """What follows a token costs this many bits, whatever came before."""

    bits = torch.tensor([[2.0, 1.0, 2.0], [1.0, 2.0, 2.0], [2.0, 2.0, 1.0]])  # [token, the next]
    head = nn.Identity()

    def hidden(self, ids):
        assert not self.training
        return -self.bits[ids] * math.log(2)


class Spy(nn.Module):
    """Each context, the tokens of the window so far, has random logits of its own."""

    head = nn.Identity()

    @staticmethod
    def logits(context):
        generator = random.Random(repr(list(context)))
        return [generator.gauss(0, 2) for _ in range(VOCAB)]

    def hidden(self, ids):
        rows = [[self.logits(row[: t + 1]) for t in range(len(row))] for row in ids.tolist()]
        return torch.tensor(rows)


def spied_nll(context, target):
    """The nats of `target` after `context`, by the definition of the softmax."""
    logits = Spy.logits(context)
    return math.log(sum(map(math.exp, logits))) - logits[target]


def test_official_on_paper():
    # Spans of 3: (A, EOS, B) and (A, EOS, A); the last EOS is left over.
    scored = 1 + 2 + 1 + 1  # bits: A→EOS, EOS→B, A→EOS, EOS→A
    for block_size, batch_size in ((2, 1), (1, 2)):
        loss, coverage = evaluate.official(Bigram(), IDS, CHARACTERS, block_size, batch_size)
        assert loss == pytest.approx(scored * math.log(2) / 19, rel=1e-6)
        assert coverage == pytest.approx(4 / 7)


def test_full_coverage_on_paper():
    bits = [1, 1, 2, 2, 1, 1, 1]  # EOS→A, A→EOS, EOS→B, B→A, A→EOS, EOS→A, A→EOS
    for block_size in (1, 2, 3, 7, 100):
        losses = evaluate.token_losses(Bigram(), IDS, block_size)
        assert losses / math.log(2) == pytest.approx(bits)
    per_character = evaluate.total(losses) / evaluate.characters(TITLES)
    assert per_character == pytest.approx(9 * math.log(2) / 19, rel=1e-6)


def test_bits_per_byte_on_paper():
    assert evaluate.bits_per_byte(9 * math.log(2), TITLES) == pytest.approx(9 / 13)


def test_size_of_titles():
    assert evaluate.characters(TITLES) == CHARACTERS == 19
    assert evaluate.size_in_bytes(TITLES) == BYTES == 13
    assert evaluate.characters(["😀 <eos>"]) == 7 + 5  # an emoji is one character, four bytes
    assert evaluate.size_in_bytes(["😀 <eos>"]) == 10 + 1


@pytest.mark.parametrize(("tokens", "coverage"), [(6, 0.0), (7, 6 / 7), (8, 6 / 8), (14, 12 / 14)])
def test_coverage_where_a_span_just_fits(tokens, coverage):
    loss, seen = evaluate.official(Bigram(), torch.zeros(tokens, dtype=torch.long), 100, 3, 2)
    assert seen == pytest.approx(coverage)
    if coverage == 0:
        assert math.isnan(loss)
    else:
        assert loss == pytest.approx(tokens * coverage * 2 * math.log(2) / 100)  # A→A: 2 bits


stream = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=40)
size = st.integers(1, 7)


@settings(max_examples=100, deadline=None)
@given(ids=stream, block_size=size, at_once=st.integers(1, 20))
def test_full_coverage_scores_each_token_once_in_its_window(ids, block_size, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "TOKENS_AT_ONCE", at_once)
        patch.setattr(evaluate, "LOGITS_AT_ONCE", max(1, at_once // 3))
        losses = evaluate.token_losses(Spy(), torch.tensor(ids), block_size)
    before, begin = [EOS, *ids], starts(ids, block_size, EOS)
    expected = [
        spied_nll(before[max(b for b in begin if b <= i) : i + 1], token)
        for i, token in enumerate(ids)
    ]
    assert losses.tolist() == pytest.approx(expected, abs=1e-5)


@settings(max_examples=100, deadline=None)
@given(ids=stream, block_size=size, batch_size=size, at_once=st.integers(1, 20))
def test_official_scores_the_rows_of_each_span(ids, block_size, batch_size, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "TOKENS_AT_ONCE", at_once)
        patch.setattr(evaluate, "LOGITS_AT_ONCE", max(1, at_once // 3))
        loss, coverage = evaluate.official(Spy(), torch.tensor(ids), 1, block_size, batch_size)
    expected, start = [], 0
    while start + block_size * batch_size + 1 <= len(ids):
        for row in range(start, start + block_size * batch_size, block_size):
            for i in range(row, row + block_size):
                expected.append(spied_nll(ids[row : i + 1], ids[i + 1]))
        start += block_size * batch_size + 1
    assert coverage == pytest.approx(len(expected) / len(ids))
    assert math.isnan(loss) if not expected else loss == pytest.approx(sum(expected), abs=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_a_model_is_scored_without_dropout_and_left_as_it_was(training):
    model = Bigram().train(training)  # which itself refuses to answer while training
    evaluate.token_losses(model, IDS, 3)
    assert model.training is training


def test_losses_are_float32_even_where_training_is_not():
    torch.manual_seed(0)
    model = nn.Module()
    model.hidden, model.head = nn.Embedding(3, 16), nn.Linear(16, 3)
    expected = evaluate.token_losses(model, IDS, 3)
    with torch.autocast("cpu", torch.bfloat16):
        losses = evaluate.token_losses(model, IDS, 3)
    assert losses.dtype == torch.float32
    assert torch.equal(losses, expected)
    assert not losses.requires_grad
    lower = evaluate.token_losses(model, IDS, 3, bf16=True)  # asked for, as on the way to the end
    assert lower.dtype == torch.float32 and not torch.equal(lower, expected)
    torch.testing.assert_close(lower, expected, atol=0.02, rtol=0.02)


def test_a_total_of_many_losses_is_summed_in_double():
    losses = torch.full((1 << 16,), 1e-4)
    losses[0] = 1e4  # in float32 the small ones, added one by one, would be lost
    assert evaluate.total(losses) == pytest.approx(1e4 + 65_535e-4, rel=1e-9)


def test_unigram_on_paper():
    train = np.array([0, 0, 1])  # counts 2, 1, 0, 0 and one more each: 3, 2, 1, 1 of 7
    losses = evaluate.unigram_losses(train, np.array([0, 1, 3, 0]), 4)
    expected = [math.log(7 / 3), math.log(7 / 2), math.log(7), math.log(7 / 3)]
    assert losses == pytest.approx(expected)
