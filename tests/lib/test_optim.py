"""Muon and the schedules, against their definitions written out."""

import math

import pytest
import torch

import lib.optim
from lib.config import load_preset
from lib.model import GPT
from lib.optim import Muon, get_muon, orthogonalize, schedule

CONFIG = load_preset(
    "smoke",
    n_embd=16,
    optimizer="muon",
    muon_learning_rate=0.05,
    muon_weight_decay=0.2,
    learning_rate=1e-3,
    betas=(0.9, 0.99),
    gate="channel",
    layer_scale=0.1,
)


@pytest.fixture
def exact(monkeypatch):
    """Products in float32, whatever this device has."""
    monkeypatch.setattr(lib.optim, "use_bf16", lambda *_: False)


def test_each_parameter_is_moved_by_one_optimizer_and_only_the_blocks_matrices_by_muon():
    model = GPT(CONFIG, 40)
    muon, adamw = (
        {id(p) for group in optimizer.param_groups for p in group["params"]}
        for optimizer in get_muon(model, CONFIG)
    )
    assert not muon & adamw
    assert muon | adamw == {id(p) for p in model.parameters()}
    names = {name for name, p in model.named_parameters() if id(p) in muon}
    assert names == {
        f"blocks.{i}.{part}.weight"
        for i in range(CONFIG.n_layer)
        for part in ("attention.qkv", "attention.proj", "attention.gate", "mlp.0", "mlp.2")
    }


def orthogonalised(matrix):
    """Newton–Schulz as Jordan et al. write it, in double precision."""
    a, b, c = 3.4445, -4.775, 2.0315
    x = matrix.double()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / x.norm()
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


@pytest.mark.parametrize("name", ["attention.qkv", "mlp.2"])  # one tall, one wide
def test_two_steps_of_muon_are_as_it_is_defined(name, exact):
    torch.manual_seed(0)
    model = GPT(CONFIG, 40)
    weight = model.get_submodule(f"blocks.0.{name}").weight
    muon, _ = get_muon(model, CONFIG)
    expected, momentum = weight.detach().double().clone(), 0.0
    for _ in range(2):
        gradient = torch.randn(weight.shape)
        weight.grad = gradient.clone()
        muon.step()
        momentum = 0.95 * momentum + 0.05 * gradient.double()
        update = orthogonalised(0.95 * momentum + 0.05 * gradient.double())  # Nesterov's
        rows, columns = weight.shape
        rate = CONFIG.muon_learning_rate
        expected *= 1 - rate * CONFIG.muon_weight_decay
        expected -= rate * math.sqrt(max(1, rows / columns)) * update
    assert (weight - expected).norm() < 1e-4 * rate * update.norm()


def test_steps_of_muon_are_those_of_pytorchs_but_for_its_bfloat16(exact):
    torch.manual_seed(0)
    shapes = [(48, 16), (16, 16), (16, 16), (64, 16), (16, 64)]
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    settings = {"lr": 0.05, "weight_decay": 0.2}
    optimizers = Muon(ours, **settings), torch.optim.Muon(theirs, **settings)
    before = [p.detach().clone() for p in ours]
    for _ in range(3):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape)
            q.grad = p.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for p, q, start in zip(ours, theirs, before, strict=True):
        assert (p - q).norm() < 0.03 * (q - start).norm()  # bfloat16 has 8 bits


@pytest.mark.parametrize(("bf16", "error"), [(False, 1e-3), (True, 0.05)])
def test_orthogonalized_matrices_keep_their_directions_and_have_singular_values_near_1(
    bf16, error, monkeypatch
):
    monkeypatch.setattr(lib.optim, "use_bf16", lambda *_: bf16)
    torch.manual_seed(0)
    given = torch.randn(3, 24, 40)
    u, _, v = torch.linalg.svd(given, full_matrices=False)
    core = u.mT @ orthogonalize(given) @ v.mT  # S', where U S Vᵀ was given
    values = core.diagonal(dim1=1, dim2=2)
    assert values.min() > 0.6 and values.max() < 1.3
    assert (core - torch.diag_embed(values)).abs().max() < error


def test_muon_leaves_a_matrix_without_a_gradient_alone():
    still, moved = (torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2))
    moved.grad = torch.randn(4, 4)
    Muon([still, moved], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(still, torch.ones(4, 4)) and not torch.equal(moved, still)


def rates(steps, **changes):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    scheduler = schedule(optimizer, CONFIG.change(**changes), steps)
    found = []
    for _ in range(steps):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return [*found, scheduler.get_last_lr()[0]]


def test_wsd_rises_stays_and_falls_to_zero():
    found = rates(10, schedule="wsd", warmup=0.2, decay=0.4)
    assert found == pytest.approx([2 / 3, 4 / 3, 2, 2, 2, 2, 2, 1.5, 1, 0.5, 0])


def test_wsd_sqrt_falls_faster_at_first():
    found = rates(10, schedule="wsd_sqrt", warmup=0.0, decay=0.4)
    tail = [2 * (1 - math.sqrt(part / 4)) for part in range(5)]
    assert found == pytest.approx([2] * 6 + tail)


def test_the_challenges_schedule_is_a_cosine():
    found = rates(8, schedule="cosine")
    assert found == pytest.approx([1 + math.cos(math.pi * step / 8) for step in range(9)])
