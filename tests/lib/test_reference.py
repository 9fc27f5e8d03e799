"""The book's baseline against `reference.py`: the same weights and titles, the same losses.

`train` hands its model to `get_optimizer` before the first step: there the weights are copied into
the reference, which then trains by itself.
"""

import itertools
import random
from dataclasses import fields

import pytest
import torch

from lib.batches import Stream
from lib.config import Config
from lib.data import Titles
from lib.model import GPT
from lib.optim import sgd
from lib.train import train
from studies import reference

from ..windows import starts

WORDS = ["How", "Show", "HN:", "the", "of", "in", "it", "time", "to", "<eos>", "Rust", "déjà"]
WORDS += ["日本", "–", "😀", "don't", "2024"]
SHAPE = {"vocab_size": 90, "n_layer": 2, "n_embd": 32, "n_head": 4}
SPAN = {"block_size": 16, "batch_size": 8}


pytestmark = pytest.mark.usefixtures("one_thread")


def headlines(count):
    generator = random.Random(0)
    return [" ".join(generator.choices(WORDS, k=generator.randint(2, 9))) for _ in range(count)]


def tiny(**changes):
    """A tiny baseline without dropout, measured after every step."""
    rest = {"num_titles": 150, "dropout": 0.0, "evals_per_epoch": 1_000, "precision": "fp32"}
    return Config(preset="smoke", **(SHAPE | SPAN | rest | changes))


def settings_of(config):
    names = [field.name for field in fields(reference.Settings)]
    return reference.Settings(**{name: getattr(config, name) for name in names})


def copied(model, settings):
    """The reference with the weights of `model`, a GPT of lib."""
    state = model.state_dict()
    own = {
        "tokens.weight": state.pop("embedding.weight"),
        "positions": state.pop("position"),
        "norm.weight": state.pop("norm.weight"),
        "norm.bias": state.pop("norm.bias"),
    }
    assert torch.equal(state.pop("head.weight"), own["tokens.weight"])  # tied
    names = {
        "norm1": "attention_norm",
        "attention.out": "attention.proj",
        "norm2": "mlp_norm",
        "up": "mlp.0",
        "down": "mlp.2",
    }
    for i, part in itertools.product(range(settings.n_layer), ("weight", "bias")):
        qkv = state.pop(f"blocks.{i}.attention.qkv.{part}").chunk(3)
        for name, tensor in zip(("query", "key", "value"), qkv, strict=True):
            own[f"blocks.{i}.attention.{name}.{part}"] = tensor
        for name, theirs in names.items():
            own[f"blocks.{i}.{name}.{part}"] = state.pop(f"blocks.{i}.{theirs}.{part}")
    assert not state, f"weights that the reference does not have: {list(state)}"
    baseline = reference.Baseline(settings)
    baseline.load_state_dict({name: tensor.clone() for name, tensor in own.items()})
    return baseline.to(own["positions"].device)


def stir(model, scale=0.1):
    """Move every weight, so that positions, biases and norms matter from the first step."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter += scale * noise.to(parameter.device)


def both(config):
    """Train lib's baseline and the reference from the same weights → (lib's run, reference's)."""
    settings = settings_of(config)
    train_titles, val_titles = reference.split(headlines(config.num_titles), settings)
    models = []

    def get_optimizer(model, config):
        stir(model)
        models.append(copied(model, settings))
        return sgd(model, config)

    run = train(config, Titles(train_titles, val_titles, [], {}), get_optimizer=get_optimizer)
    bpe = reference.train_bpe(train_titles + val_titles, config.vocab_size)
    train_ids = reference.encode(bpe, train_titles).to(run.train_ids.device)
    val_ids = reference.encode(bpe, val_titles).to(run.train_ids.device)
    assert torch.equal(run.train_ids, train_ids)
    assert torch.equal(run.val_ids, val_ids)
    return run, reference.train(models[0], train_ids, val_ids, val_titles, settings)


short = {"num_titles": 240, "val_frac": 0.4, "block_size": 32, "batch_size": 16, "epochs": 25}


@pytest.mark.parametrize(
    ("changes", "batches"),
    [
        pytest.param({}, 9, id="challenge"),
        pytest.param({"learning_rate": 0.2}, 9, id="weights-move-far"),
        pytest.param(short, 2, id="wraps-every-other-step"),
    ],
)
def test_every_loss_is_the_references(changes, batches):
    config = tiny(**changes)
    run, (losses, evaluations) = both(config)
    assert run.steps == len(losses) == config.epochs * batches >= 50
    assert [point["step"] for point in run.curve] == list(evaluations)
    assert [point["train"] for point in run.curve] == pytest.approx(losses, abs=1e-4)
    official = [point["official"] for point in run.curve]
    assert official == pytest.approx(list(evaluations.values()), abs=1e-4)


def test_it_is_measured_at_the_references_steps():
    run, (losses, evaluations) = both(tiny(num_titles=180, evals_per_epoch=3, epochs=2))
    assert run.steps == 2 * 11  # so that a third of an epoch is not a whole number of steps
    assert [point["step"] for point in run.curve] == list(evaluations)
    assert [point["official"] for point in run.curve] == pytest.approx(
        list(evaluations.values()), abs=1e-4
    )
    ends = [0, *evaluations]
    means = [sum(losses[a:b]) / (b - a) for a, b in itertools.pairwise(ends)]
    assert [point["train"] for point in run.curve] == pytest.approx(means, abs=1e-4)


@pytest.mark.parametrize("tokens", [7, 8, 12, 13, 14, 18, 19, 20, 31])
def test_batches_are_the_references_where_the_stream_ends(tokens):
    stream = torch.arange(tokens)
    batches = reference.batches(stream, reference.Settings(block_size=3, batch_size=2))
    own = Stream(stream, tiny(block_size=3, batch_size=2))
    for step, (expected_x, expected_y) in enumerate(itertools.islice(batches, 25)):
        x, y = own.batch(step)
        assert torch.equal(x, expected_x)
        assert torch.equal(y, expected_y)


def test_full_coverage_is_the_references_one_token_at_a_time():
    config = tiny(evals_per_epoch=1, epochs=2, learning_rate=0.2)
    run, _ = both(config)
    baseline = copied(run.model, settings_of(config)).eval()
    ids = [run.tokenizer.eos_id, *run.val_ids.tolist()]
    nats, begin = 0.0, starts(ids[1:], config.block_size, run.tokenizer.eos_id)
    for i in range(len(ids) - 1):
        window = ids[max(b for b in begin if b <= i) : i + 1]
        context = torch.tensor([window], device=run.val_ids.device)
        with torch.no_grad():
            nats -= baseline(context)[0, -1].log_softmax(-1)[ids[i + 1]].item()
    text = "".join(title + "<eos>" for title in run.titles.val)
    assert run.curve[-1]["full_coverage"] == pytest.approx(nats / len(text), abs=1e-5)


def test_logits_are_the_references():
    """Weights are large here, so that what hardly moves a loss, such as GELU's tanh, is seen."""
    config = tiny()
    model = GPT(config, config.vocab_size).eval()
    stir(model, 0.3)
    ids = torch.arange(SPAN["block_size"] * 3).view(3, -1)
    with torch.no_grad():
        expected = copied(model, settings_of(config)).eval()(ids)
        torch.testing.assert_close(model(ids), expected, atol=1e-4, rtol=0)
        part = copied(model, settings_of(config)).eval()(ids[:, :5])
        torch.testing.assert_close(model(ids[:, :5]), part, atol=1e-4, rtol=0)


def test_a_model_starts_as_the_description_says():
    torch.manual_seed(0)
    config = tiny(vocab_size=2_000, n_embd=128)
    start = copied(GPT(config, config.vocab_size), settings_of(config)).state_dict()
    for name, weight in start.items():
        if name == "positions" or name.endswith("bias"):
            assert not weight.any(), name
        elif "norm" in name:
            assert (weight == 1).all(), name
        else:
            assert weight.mean().item() == pytest.approx(0, abs=0.001), name
            assert weight.std().item() == pytest.approx(0.02, rel=0.03), name


def test_dropout_falls_where_the_references_does():
    """Over many rows with the same ids, dropout moves the logits by the same mean and spread."""
    config = tiny(vocab_size=12, dropout=0.3, n_layer=1)
    torch.manual_seed(0)
    model = GPT(config, config.vocab_size)
    stir(model)
    model.embedding.weight.data *= 5  # so that dropout anywhere can be seen in the logits
    baseline = copied(model, settings_of(config))
    rows = 20_000
    ids = torch.tensor([3, 1, 4, 1, 5, 9]).expand(rows, -1)
    with torch.no_grad():
        lib, own = model.train()(ids), baseline.train()(ids)  # (rows, 6, vocab_size)
    spread = own.std(0)
    assert ((lib.mean(0) - own.mean(0)).abs() / spread).max() < 5 * (2 / rows) ** 0.5
    assert (lib.std(0) / spread - 1).abs().max() < 0.05
