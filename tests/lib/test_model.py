"""The model's options: attention within a title, gates, LayerScale."""

import pytest
import torch

from lib.config import Config
from lib.model import GPT, Attention, LayerScale, rope, within_titles
from lib.tokenizer import EOS_ID

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


@pytest.mark.parametrize(("gate", "channels"), [("channel", 1), ("head", 8)])
def test_a_gate_multiplies_what_attention_brings_before_its_projection(gate, channels):
    """One number for each channel, or one for each head's eight."""
    gated = model(gate=gate).blocks[0].attention
    x = torch.randn(1, 5, 16)
    with torch.no_grad():
        inner = torch.zeros(1, 5, 16)
        hook = gated.proj.register_forward_pre_hook(lambda _, given: inner.copy_(given[0]))
        gated(x)
        with_gate, layer, gated.gate = inner.clone(), gated.gate, None
        gated(x)
        hook.remove()
        numbers = (x @ layer.weight.T + layer.bias).repeat_interleave(channels, -1)
        expected = inner / (1 + torch.exp(-numbers))
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


@pytest.mark.parametrize("options", [{}, {"gate": "head", "layer_scale": 0.1}])
def test_options_that_are_off_have_no_parameters(options):
    names = " ".join(model(**options).state_dict())
    assert ("gate" in names, "_scale" in names) == (bool(options), bool(options))


@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
def test_without_biases_there_are_none(norm):
    names = model(bias=False, gate="head", norm=norm).state_dict()
    assert not [name for name in names if name.endswith("bias")]
    assert [name for name in model(gate="head", norm=norm).state_dict() if name.endswith("bias")]


def test_rmsnorm_divides_by_the_root_of_the_mean_square():
    norm = model(norm="rmsnorm").norm
    x = torch.randn(3, 16) / 100
    expected = x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight
    torch.testing.assert_close(norm(x), expected)


@pytest.mark.parametrize("mask", [False, True])
def test_attention_with_dropout_is_on_average_attention_without(mask):
    """Written out on a CPU, where SDPA has no dropout: the mean of many is the eval mode's."""
    torch.manual_seed(0)
    config = Config(preset="smoke", position="rope", dropout=0.3, **SHAPE, title_mask=mask)
    attention = Attention(config, rope)
    x = torch.randn(1, 7, 16).expand(20_000, -1, -1)
    allowed = within_titles(torch.tensor([A + B])) if mask else None
    with torch.no_grad():
        drawn = attention.train()(x, allowed)
        expected = attention.eval()(x[:1], allowed)
    error = drawn.std(0) / len(drawn) ** 0.5
    assert ((drawn.mean(0) - expected[0]).abs() < 5 * error + 1e-6).all()
    assert drawn.std(0)[1:].min() > 0  # but the first token has itself only to look at


def test_attention_weights_are_left_alone_where_they_shall_be():
    config = Config(preset="smoke", position="rope", dropout=0.5, **SHAPE, attention_dropout=False)
    attention = Attention(config, rope)
    x = torch.randn(2, 7, 16)
    torch.testing.assert_close(attention.train()(x), attention.eval()(x))
    model = GPT(config, config.vocab_size)
    ids = torch.tensor([A + B])
    assert not torch.equal(model.train()(ids), model(ids))  # dropout elsewhere stays
