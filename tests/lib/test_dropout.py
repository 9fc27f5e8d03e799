"""Dropout from few bits: how often, how independently, and what is left."""

import pytest
import torch

from lib.dropout import Dropout, dropout


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.9])
def test_the_rate_is_the_one_that_was_asked(rate):
    """Within five standard deviations of twenty million draws, which is less than 1e-3."""
    torch.manual_seed(0)
    count = 20_000_000
    dropped = (dropout(torch.ones(count), rate) == 0).float().mean().item()
    assert dropped == pytest.approx(rate, abs=5 * (rate * (1 - rate) / count) ** 0.5)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 1 / 3, 0.5, 0.9])
def test_of_all_that_can_be_drawn_the_rate_drops_within_a_ten_thousandth(rate, monkeypatch):
    everything = torch.arange(1 << 16).to(torch.int16).view(torch.int64)
    monkeypatch.setattr(torch.Tensor, "random_", lambda self, *_: self.copy_(everything))
    dropped = (dropout(torch.ones(1 << 16), rate) == 0).double().mean().item()
    assert abs(dropped - rate) < 1e-4


def test_what_is_kept_is_scaled_so_that_the_mean_stays():
    torch.manual_seed(0)
    y = dropout(torch.full((1000, 1000), 3.0), 0.25)
    assert y.unique().tolist() == pytest.approx([0.0, 4.0])
    assert y.mean().item() == pytest.approx(3.0, abs=0.01)


def test_elements_drop_independently_of_their_neighbours():
    """Four elements share a draw: none of the distances within it, nor the next, is correlated."""
    torch.manual_seed(0)
    kept = (dropout(torch.ones(4_000_000), 0.3) != 0).double()
    centred = kept - kept.mean()
    for distance in (1, 2, 3, 4, 5, 8, 16):
        correlation = (centred[:-distance] * centred[distance:]).mean() / centred.var()
        assert abs(correlation) < 5 / len(kept) ** 0.5, distance
    lanes = kept.view(-1, 4).mean(0)
    assert (lanes - 0.7).abs().max() < 5 * (0.21 / 1_000_000) ** 0.5


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 4, 5)])
def test_any_shape_has_a_gradient_where_it_was_kept(shape):
    torch.manual_seed(0)
    x = torch.randn(shape, requires_grad=True)
    y = dropout(x, 0.5)
    (7 * y).sum().backward()
    assert y.shape == x.shape
    torch.testing.assert_close(x.grad, torch.where(y != 0, 14.0, 0.0))


def test_a_seed_gives_the_same_elements_and_the_next_draw_others():
    x = torch.ones(1000)
    torch.manual_seed(5)
    first, second = dropout(x, 0.5), dropout(x, 0.5)
    torch.manual_seed(5)
    assert torch.equal(dropout(x, 0.5), first) and not torch.equal(first, second)


def test_it_keeps_the_type_and_does_nothing_when_not_training():
    layer = Dropout(0.5)
    x = torch.randn(100, dtype=torch.bfloat16)
    assert layer.train()(x).dtype == torch.bfloat16
    assert layer.eval()(x) is x and Dropout(0.0).train()(x) is x
