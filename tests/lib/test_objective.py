"""What is minimised, taken in parts, against the whole of it by PyTorch's own functions."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lib import objective

VOCAB, WIDTH, ROWS, TIME, IGNORED = 50, 8, 3, 11, -100


class Model(nn.Module):
    """An embedding under a fixed dropout a pass, and a head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(VOCAB, WIDTH), nn.Linear(WIDTH, VOCAB, bias=False)
        self.kept = (torch.rand(2 * ROWS, TIME, WIDTH) > 0.3).float()

    def hidden(self, ids):
        return self.embedding(ids) * self.kept[: len(ids)]


def whole(model, x, y, r_drop):
    """The cross-entropy and the objective from all logits at once."""
    passes = 2 if r_drop else 1
    logits = model.head(model.hidden(x.repeat(passes, 1))).float().view(passes, -1, VOCAB)
    entropy = sum(F.cross_entropy(part, y.flatten()) for part in logits) / passes
    if not r_drop:
        return entropy, entropy
    p, q = logits[:, y.flatten() != IGNORED].log_softmax(-1)
    there, back = (
        F.kl_div(b, a, log_target=True, reduction="none").sum(-1).mean()
        for a, b in ((p, q), (q, p))
    )
    return entropy, entropy + r_drop * (there + back) / 2


@pytest.fixture
def batch():
    torch.manual_seed(1)
    x, y = torch.randint(VOCAB, (2, ROWS, TIME))
    y[0, 3] = y[2, 5:] = IGNORED
    return x, y


@pytest.mark.parametrize("at_once", [2, 7, 12, 1000])
@pytest.mark.parametrize("r_drop", [0.0, 2.0])
def test_losses_and_gradients_in_parts_are_those_of_the_whole(batch, at_once, r_drop, monkeypatch):
    monkeypatch.setattr(objective, "AT_ONCE", {"cpu": at_once})
    model = Model()
    entropy, minimised = objective.losses(model, *batch, r_drop)
    (3 * minimised).backward()  # whatever is made of it
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    expected = whole(model, *batch, r_drop)
    (3 * expected[1]).backward()
    assert entropy.item() == pytest.approx(expected[0].item(), rel=1e-6)
    assert minimised.item() == pytest.approx(expected[1].item(), rel=1e-6)
    assert (minimised - entropy).item() > 0.01 or not r_drop
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-6, rtol=1e-5)


def test_in_bf16_it_is_as_near_as_autocast_comes(batch):
    model = Model()
    with torch.autocast("cpu", torch.bfloat16):
        entropy, minimised = objective.losses(model, *batch, 2.0)
    minimised.backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    expected = whole(model, *batch, 2.0)
    expected[1].backward()
    assert entropy.dtype == torch.float32
    assert entropy.item() == pytest.approx(expected[0].item(), rel=3e-3)
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        assert (gradient - parameter.grad).norm() < 0.02 * parameter.grad.norm()


class _Largest(TorchDispatchMode):
    """Notes the most rows of logits that any operation makes."""

    rows = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        made = function(*arguments, **(keywords or {}))
        if isinstance(made, torch.Tensor) and made.shape[-1:] == (VOCAB,):
            self.rows = max(self.rows, made.numel() // VOCAB)
        return made


@pytest.mark.parametrize("r_drop", [0.0, 1.0])
def test_logits_of_a_batch_are_never_held_whole(monkeypatch, batch, r_drop):
    """Except for the head's weights, nothing as wide as logits has more rows than AT_ONCE."""
    monkeypatch.setattr(objective, "AT_ONCE", {"cpu": 10})
    model = Model()
    with _Largest() as largest:
        objective.losses(model, *batch, r_drop)
    assert largest.rows == 10
    with _Largest() as largest:
        whole(model, *batch, r_drop)
    assert largest.rows == ROWS * TIME * (2 if r_drop else 1)  # which is seen where it is made
