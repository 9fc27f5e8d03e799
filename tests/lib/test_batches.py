"""What the model is shown: every title once an epoch, whole, and every token once a target."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.batches import IGNORED, Shuffled, cuts, windows
from lib.config import load_preset
from lib.tokenizer import EOS_ID

BLOCK = 8
CONFIG = load_preset("smoke", block_size=BLOCK, batch_size=3, epochs=4, windows="titles")


def stream(lengths):
    """Titles of these lengths, each with tokens of its own: 10, 11, …"""
    ids, token = [], 10
    for length in lengths:
        ids += [*range(token, token + length), EOS_ID]
        token += length
    return torch.tensor(ids)


IDS = stream([3, 1, 5, 7, 2, 2, 9, 20, 1, 4, 6, 3, 3])


def titles(ids):
    """The titles of a list of ids, each without its end."""
    found, title = [], []
    for id_ in ids:
        if id_ == EOS_ID:
            found.append(tuple(title))
            title = []
        else:
            title.append(id_)
    assert not title
    return found


def epochs(data, config=CONFIG):
    """The batches of each epoch, told apart by when all tokens have been seen."""
    found, seen = [[]], 0
    for step in range(data.steps):
        x, y = data.batch(step)
        found[-1].append((x, y))
        seen += int((y != IGNORED).sum())
        if seen == len(IDS) * len(found) and len(found) < config.epochs:
            found.append([])
    return found


def test_every_title_is_seen_once_an_epoch_in_another_order_each_time():
    orders = []
    for batches in epochs(Shuffled(IDS, CONFIG)):
        seen = [i for _, y in batches for i in y[y != IGNORED].tolist()]
        orders.append(titles(seen))
        assert sorted(orders[-1]) == sorted(titles(IDS.tolist()))
    assert len(orders) == CONFIG.epochs and len({tuple(order) for order in orders}) == len(orders)
    other = Shuffled(IDS, CONFIG.change(seed=1))
    assert titles([i for _, y in epochs(other)[0] for i in y[y != IGNORED].tolist()]) != orders[0]


def test_an_input_is_the_token_before_its_target():
    for batches in epochs(Shuffled(IDS, CONFIG)):
        before = EOS_ID
        for x, y in batches:
            for given_, target in zip(
                x[y != IGNORED].tolist(), y[y != IGNORED].tolist(), strict=True
            ):
                assert given_ == before
                before = target


def test_batches_of_an_epoch_are_as_equal_as_can_be_and_counted():
    data = Shuffled(IDS, CONFIG)
    assert data.tokens == CONFIG.epochs * len(IDS)
    for batches in epochs(data):
        sizes = [len(x) for x, _ in batches]
        assert max(sizes) <= CONFIG.batch_size and max(sizes) - min(sizes) <= 1
    halved = Shuffled(IDS, CONFIG.change(batch_factor=1 / 3))
    assert {len(halved.batch(step)[0]) for step in range(halved.steps)} == {1}


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40), st.integers(1, 9))
def test_windows_hold_as_many_whole_titles_as_fit(lengths, block):
    ids = stream(lengths)
    bounds = cuts(ids, block)
    ends = set((torch.nonzero(ids == EOS_ID).flatten() + 1).tolist())
    assert bounds[0] == 0 and bounds[-1] == len(ids)
    for start, end in pairwise(bounds):
        assert 0 < end - start <= block
        if end not in ends:  # inside a title that no window holds
            assert end - start == block and not any(start < e <= start + block for e in ends)
        else:
            later = [e for e in ends if e > end]
            assert not later or min(later) - start > block


@given(st.lists(st.integers(0, 12), min_size=1, max_size=20), st.integers(1, 9))
def test_every_token_is_a_target_once(lengths, block):
    ids = stream(lengths)
    x, y = windows(ids, torch.tensor(cuts(ids, block)), block)
    assert torch.equal(y[y != IGNORED], ids)
    assert torch.equal(x[y != IGNORED], torch.cat((torch.tensor([EOS_ID]), ids[:-1])))


def test_the_order_is_numpys_permutation_of_seed_and_epoch():
    first = titles(
        [i for _, y in epochs(Shuffled(IDS, CONFIG))[0] for i in y[y != IGNORED].tolist()]
    )
    own = titles(IDS.tolist())
    order = np.random.default_rng([CONFIG.seed, 0]).permutation(len(own))
    assert first == [own[i] for i in order]


def test_too_few_tokens_for_a_batch_of_the_stream_are_refused():
    from lib.batches import Stream

    with pytest.raises(ValueError, match="do not fill one batch"):
        Stream(IDS, CONFIG.change(batch_size=100))
