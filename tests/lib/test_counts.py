"""Counted n-grams against modified Kneser–Ney written down a second time, with dictionaries."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch

from lib.batches import IGNORED, cuts, windows
from lib.config import load_step
from lib.counts import Counts, _discounts
from lib.evaluate import nll, official, token_losses
from lib.model import GPT
from lib.tokenizer import EOS_ID

VOCAB, ORDER = 12, 4


class Reference:
    """Interpolated modified Kneser–Ney as Chen and Goodman (1999) tell it, a token at a time."""

    def __init__(self, titles, order, vocab):
        self.order, self.vocab = order, vocab
        self.raw = [defaultdict(Counter) for _ in range(order)]
        for title in titles:
            for i in range(1, len(title)):
                for k in range(min(order, i + 1)):
                    self.raw[k][tuple(title[i - k : i])][title[i]] += 1
        self.counts = [self._counts(k) for k in range(order)]
        self.discounts = [self._discounts(k) for k in range(order)]

    def _counts(self, k):
        """Raw counts of longest contexts and titles' beginnings, else continuation counts."""
        if k == self.order - 1:
            return self.raw[k]
        table = defaultdict(Counter)
        for context, tokens in self.raw[k + 1].items():
            for token in tokens:
                table[context[1:]][token] += 1
        for context, tokens in self.raw[k].items():
            if context and context[0] == EOS_ID:
                table[context] = tokens
        return table

    def _discounts(self, k):
        n = Counter(count for tokens in self.counts[k].values() for count in tokens.values())
        if not all(n[i] for i in (1, 2, 3, 4)):
            return [0.0, 0.5, 1.0, 1.5]
        y = n[1] / (n[1] + 2 * n[2])
        found = [i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3)]
        return [0.0] + [d if d > 0 else i / 2 for i, d in enumerate(found, 1)]

    def p(self, context, token):
        """The probability of `token` after `context`, all that stands before it in its title."""
        p = 1 / self.vocab
        for k in range(min(self.order - 1, len(context)) + 1):
            tokens = self.counts[k].get(tuple(context[len(context) - k :]))
            if not tokens:
                break
            taken = self.discounts[k]
            kept = sum(taken[min(3, count)] for count in tokens.values())
            count = tokens[token]
            p = (max(0.0, count - taken[min(3, count)]) + kept * p) / sum(tokens.values())
        return p


@pytest.fixture(scope="module")
def titles():
    """Titles of a chain of tokens that favours some, each between two `<eos>`."""
    generator = torch.Generator().manual_seed(0)
    likely = torch.rand(VOCAB, VOCAB, generator=generator) ** 4
    found = []
    for _ in range(150):
        title = [EOS_ID]
        while len(title) < 9 and (title[-1] != EOS_ID or len(title) == 1):
            title.append(int(torch.multinomial(likely[title[-1]], 1, generator=generator)))
        found.append([*title, EOS_ID] if title[-1] != EOS_ID else title)
    return found


def stream(titles):
    return torch.tensor([token for title in titles for token in title[1:]])


@pytest.fixture(scope="module")
def counts(titles):
    return Counts(stream(titles[:100]), VOCAB, ORDER)


def whole(titles, block_size=32):
    """Inputs and targets of windows of whole titles."""
    ids = stream(titles)
    return windows(ids, torch.tensor(cuts(ids, block_size)), block_size)


def test_what_follows_is_as_probable_as_kneser_and_ney_have_it(titles, counts):
    reference, other = Reference(titles[:100], ORDER, VOCAB), titles[100:]
    x, y = whole(other)
    found = counts(x, y.clamp(min=0))[y != IGNORED]
    expected = [reference.p(title[:i], title[i]) for title in other for i in range(1, len(title))]
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize(
    ("often", "expected"),  # how many n-grams were counted once, twice, three and four times
    [
        # Y = 4 / (4 + 2·3); 1 - 2Y·3/4, 2 - 3Y·2/3, 3 - 4Y·1/2
        ((4, 3, 2, 1), [0, 0.4, 1.2, 2.2]),
        # Y = 1 / 3; 2 - 3Y·10/1 is below nothing: half of the count
        ((1, 1, 10, 1), [0, 1 / 3, 1, 3 - 4 / 30]),
        ((4, 3, 2, 0), [0, 0.5, 1, 1.5]),  # nothing to tell the last by
    ],
)
def test_the_discounts_by_hand(often, expected):
    counts = np.repeat([1, 2, 3, 4], often)
    assert _discounts(counts) == pytest.approx(np.array(expected))


def test_every_token_has_a_probability_and_they_come_to_one(titles, counts):
    x, y = whole(titles[100:])
    p = counts.distribution(x)
    torch.testing.assert_close(p.sum(-1), torch.ones(y.shape))
    y = y.clamp(min=0)
    torch.testing.assert_close(p.gather(-1, y[..., None])[..., 0], counts(x, y))
    more = Counts(stream(titles[:100]), VOCAB + 3, ORDER).distribution(x)  # three that never occur
    torch.testing.assert_close(more.sum(-1), torch.ones(y.shape))
    assert (more > 0).all() and more[..., VOCAB:].max() < 0.01


def test_a_context_begins_where_its_title_does(counts, titles):
    x, _ = whole(titles[100:])
    x[0, :6] = torch.tensor([3, 5, EOS_ID, 2, 4, 6])
    other = x.clone()
    other[0, :2] = torch.tensor([7, 8])
    p, q = counts.distribution(x), counts.distribution(other)
    torch.testing.assert_close(p[0, 2:], q[0, 2:], rtol=0, atol=0)
    assert not torch.equal(p[0, 1], q[0, 1])


def test_contexts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"6-grams of 16,000 tokens"):
        Counts(torch.tensor([3, EOS_ID]), 16_000, 6)
    with pytest.raises(ValueError, match="no tokens to count"):
        Counts(torch.tensor([], dtype=torch.long), 10)


@pytest.mark.parametrize("title", [[EOS_ID], [3, EOS_ID], [3, EOS_ID, 4, EOS_ID], [3, 4, EOS_ID]])
def test_titles_shorter_than_the_longest_run_are_counted_as_far_as_they_go(title):
    counts = Counts(torch.tensor(title), VOCAB)
    x = torch.tensor([[EOS_ID, 3, 4, 5, EOS_ID, 4, 6]])
    p = counts.distribution(x)
    torch.testing.assert_close(p.sum(-1), torch.ones(x.shape))
    torch.testing.assert_close(p.gather(-1, x[..., None])[..., 0], counts(x, x))
    assert p[0, 0].argmax() == title[0] and (p > 0).all()


def test_a_window_that_begins_inside_a_title_has_what_it_holds_as_context(titles, counts):
    reference, title = Reference(titles[:100], ORDER, VOCAB), max(titles[100:], key=len)
    for start in range(1, len(title) - 2):
        x = torch.tensor([title[start:-1]])
        p = counts.distribution(x)[0]
        for i in range(x.shape[1]):
            found = [p[i, token].item() for token in range(VOCAB)]
            context = title[start : start + i + 1]
            expected = [reference.p(context, token) for token in range(VOCAB)]
            assert found == pytest.approx(expected, rel=1e-4)


def test_what_is_known_beside_the_tokens_is_not_read(titles, counts):
    x, y = whole(titles[100:])
    beside = torch.stack((x, torch.randint_like(x, 99), torch.randint_like(x, 99)), -1)
    assert torch.equal(counts(beside, y.clamp(min=0)), counts(x, y.clamp(min=0)))
    assert torch.equal(counts.distribution(beside), counts.distribution(x))


def test_how_far_back_a_context_was_seen(titles, counts):
    reference, other = Reference(titles[:100], ORDER, VOCAB), titles[100:]
    x, y = whole(other)
    expected = [
        max(
            k
            for k in range(min(ORDER, i + 1))
            if not k or all(tuple(title[i - j : i]) in reference.raw[j] for j in range(1, k + 1))
        )
        for title in other
        for i in range(1, len(title))
    ]
    assert counts.reach(x)[y != IGNORED].tolist() == expected
    assert {1, ORDER - 1} <= {*expected}
    x[0, 3] = VOCAB  # a token that was never counted: no context holds it
    assert Counts(stream(titles[:100]), VOCAB + 1, ORDER).reach(x)[0, 3] == 0


@pytest.fixture
def model(counts):
    torch.manual_seed(0)
    model = GPT(replace(load_step("04_lowest_loss", "smoke"), vocab_size=VOCAB), VOCAB).eval()
    model.counts, model.share = counts, 0.3
    return model


def test_the_model_gives_the_logarithms_of_the_mixture(model, titles):
    x, _ = whole(titles[100:])
    p = model.head(model.hidden(x)).softmax(-1)
    expected = 0.7 * p + 0.3 * model.counts.distribution(x)
    torch.testing.assert_close(model(x).exp(), expected)


def test_every_loss_is_that_of_what_the_model_gives(model, titles):
    x, y = whole(titles[100:])
    log_p = model(x).gather(-1, y.clamp(min=0)[..., None])[..., 0]
    loss = nll(model, x, y)
    torch.testing.assert_close(loss[y != IGNORED], -log_p[y != IGNORED])
    assert loss[y == IGNORED].eq(0).all() and (y == IGNORED).any()
    ids = stream(titles[100:])
    torch.testing.assert_close(token_losses(model, ids, 32), -log_p[y != IGNORED])
    loss, _ = official(model, ids, 1, 16, 2)
    spans = ids[: len(ids) // 33 * 33].view(-1, 33)
    expected = sum(
        -model(span[:-1].view(2, 16)).log_softmax(-1)[i, j, span[1 + 16 * i + j]].item()
        for span in spans
        for i in range(2)
        for j in range(16)
    )
    assert loss == pytest.approx(expected, rel=1e-5)
