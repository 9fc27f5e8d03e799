"""The model's options: attention within a title, gates, LayerScale."""

import pytest
import torch

from lib.config import Config
from lib.model import GPT, LayerScale, within_titles
from lib.tokenizer import EOS_ID
from lib.train import _losses

SHAPE = {"num_titles": 10, "vocab_size": 30, "n_layer": 2, "n_embd": 16, "n_head": 2}
SHAPE |= {"block_size": 16, "batch_size": 2}
A, B = [EOS_ID, 5, 6, 7], [EOS_ID, 8, 9]


def model(**changes):
    torch.manual_seed(0)
    config = Config(preset="smoke", position="rope", dropout=0.0, **SHAPE, **changes)
    gpt = GPT(config, config.vocab_size)
    with torch.no_grad():
        for parameter in gpt.parameters():
            parameter += 0.2 * torch.randn(parameter.shape)
    return gpt.eval()


def test_a_masked_title_is_read_alike_wherever_it_stands():
    gpt = model(title_mask=True)
    with torch.no_grad():
        alone = gpt(torch.tensor([B]))[0]
        after = gpt(torch.tensor([A + B]))[0, len(A) :]
        between = gpt(torch.tensor([A + A + B + A]))[0, 2 * len(A) : 2 * len(A) + len(B)]
    torch.testing.assert_close(after, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(between, alone, atol=1e-5, rtol=0)


def test_without_the_mask_the_titles_before_matter():
    gpt = model()
    with torch.no_grad():
        alone, after = gpt(torch.tensor([B]))[0], gpt(torch.tensor([A + B]))[0, len(A) :]
    assert (alone - after).abs().max() > 0.01


def test_the_mask_looks_back_to_the_eos_before_a_title_and_no_further():
    assert within_titles(torch.tensor([[4, EOS_ID, 5, EOS_ID, 6]]))[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 1, 1],
    ]


def test_a_gate_multiplies_what_attention_brings_before_its_projection():
    gated = model(gate=True).blocks[0].attention
    x = torch.randn(1, 5, 16)
    with torch.no_grad():
        inner = torch.zeros(1, 5, 16)
        hook = gated.proj.register_forward_pre_hook(lambda _, given: inner.copy_(given[0]))
        gated(x)
        with_gate, gate, gated.gate = inner.clone(), gated.gate, None
        gated(x)
        hook.remove()
        expected = inner / (1 + torch.exp(-(x @ gate.weight.T + gate.bias)))
    torch.testing.assert_close(with_gate, expected, atol=1e-6, rtol=1e-5)


def test_layer_scale_multiplies_each_channel_of_each_branch():
    block = model(layer_scale=0.1).blocks[0]
    x = torch.randn(1, 5, 16)
    with torch.no_grad():
        attention = block.attention(block.attention_norm(x))
        y = x + attention * block.attention_scale.weight
        y = y + block.mlp(block.mlp_norm(y)) * block.mlp_scale.weight
        torch.testing.assert_close(block(x), y)
    assert torch.equal(LayerScale(4, 0.25).weight, torch.full((4,), 0.25))


@pytest.mark.parametrize("options", [{}, {"gate": True, "layer_scale": 0.1}])
def test_options_that_are_off_have_no_parameters(options):
    names = " ".join(model(**options).state_dict())
    assert ("gate" in names, "_scale" in names) == (bool(options), bool(options))


def test_r_drop_adds_the_mean_divergence_of_two_passes():
    y = torch.tensor([[3, 4, -100], [5, -100, -100]])
    logits = torch.randn(4, 3, 7)  # two passes over two rows
    loss, objective = _losses(lambda x: logits, torch.zeros(2, 3, dtype=torch.long), y, 0.8)
    a, b = (half[y != -100].log_softmax(-1) for half in logits.split(2))
    targets = y[y != -100]
    picked = torch.cat([part[range(3), targets] for part in (a, b)])
    divergences = [(p.exp() * (p - q)).sum(-1).mean() for p, q in ((a, b), (b, a))]
    assert loss.item() == pytest.approx(-picked.mean().item(), abs=1e-6)
    # The paper's: CE + CE + α/2 · (KL + KL); halved.
    paper = -2 * picked.mean() + 0.8 / 2 * sum(divergences)
    assert objective.item() == pytest.approx(paper.item() / 2, abs=1e-6)
