"""The widget's inference against PyTorch's, on every option a model has, and what it writes."""

import hashlib
import math

import pytest
import torch
import torch.nn.functional as F

from lib.config import Config
from lib.data import Titles, load_titles
from lib.export import in_8_bits
from lib.model import GPT
from lib.predictions import word_losses
from lib.record import load_model, read_record
from lib.synthetic import synthetic_titles
from lib.tokenizer import EOS_ID, train_tokenizer

TITLES = synthetic_titles()
LONG = " and ".join(TITLES[:40])  # than a window
ROPE = {"position": "rope", "norm": "rmsnorm"}
OPTIONS = {
    "baseline": {},
    "step two": ROPE,
    "step three": {**ROPE, "gate": "channel", "title_mask": True, "tokenizer": "sp_bpe_case"},
    "public": {**ROPE, "gate": "head", "layer_scale": 0.1, "bias": False, "block_factor": 2},
    "narrow": {"n_embd": 20, "n_head": 5},  # no multiple of 8
}


def losses(model, ids):
    """The loss of each token of a title by itself, and of its `<eos>`, by PyTorch in fp32."""
    with torch.no_grad():
        x, y = [EOS_ID, *ids], [*ids, EOS_ID]
        x, y = x[: model.block_size], y[: model.block_size]
        logits = model(torch.tensor([x]))[0]
        return F.cross_entropy(logits, torch.tensor(y), reduction="none").tolist()


def rounded(model):
    """The model as its file has it: its matrices to 8 bits and back."""
    state = {
        name: torch.from_numpy(in_8_bits(t)[0]) * torch.from_numpy(in_8_bits(t)[1])[:, None]
        if t.dim() == 2
        else t
        for name, t in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model


@pytest.fixture(scope="module", params=OPTIONS)
def made(request, written):
    """A model with large random weights, so that every part of it counts, and its file."""
    changes = {"tokenizer": "bpe", "n_embd": 48, "n_head": 4, **OPTIONS[request.param]}
    config = Config("smoke", 2_000, 600, n_layer=2, block_size=32, batch_size=1, **changes)
    tokenizer = train_tokenizer(config, Titles(TITLES[:600], [], [], {}))
    torch.manual_seed(0)
    model = GPT(config, tokenizer.vocab_size).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    file = written(model, tokenizer, config)
    return rounded(model), tokenizer, file


def test_losses_are_pytorchs(made, ask):
    model, tokenizer, file = made
    titles = [*TITLES[-8:], "x", LONG, TITLES[-1]]
    answers = ask("scores", titles, file)
    for ids, answer in zip(tokenizer.encode(titles), answers, strict=True):
        expected = losses(model, ids)
        assert answer["ids"] == [*ids, EOS_ID][: model.block_size]
        assert answer["losses"] == pytest.approx(expected, abs=2e-3)
        assert answer["plain"] == pytest.approx(answer["losses"], abs=1e-3)
        assert answer["cut"] is (len(ids) >= model.block_size)
    assert answers[0]["hasSimd"] is (model.embedding.embedding_dim % 8 == 0)


def test_at_temperature_zero_it_writes_the_likeliest(made, ask):
    model, tokenizer, file = made
    title = TITLES[-1][:9]
    (answer,) = ask("writes", [[title, 0, 1]], file)
    ids = [EOS_ID, *tokenizer.encode([title])[0]]
    written = []
    with torch.no_grad():
        while len(ids) < model.block_size:
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
            if ids[-1] == EOS_ID:
                break
            written.append(ids[-1])
    assert answer == written


def test_a_seed_writes_the_same_and_another_seed_another(made, ask):
    *_, file = made
    asked = [["Show", 1, 7], ["Show", 1, 7], ["Show", 1, 8], ["Show", 2, 7]]
    first, again, other, hot = ask("writes", asked, file)
    assert first == again == ask("interrupted", asked[:1], file)[0]
    assert first not in (other, hot)


def test_without_webassembly_the_losses_are_the_same(made, ask):
    *_, file = made
    titles = TITLES[:3]
    plain = [answer["plain"] for answer in ask("scores", titles, file)]
    assert ask("without", titles, file) == plain


def test_tokens_are_drawn_as_often_as_they_are_likely(made, ask):
    model, _, file = made
    with torch.no_grad():
        p = (model(torch.tensor([[EOS_ID]]))[0, -1] / 0.5).softmax(-1)
    best = int(p.argmax())
    count = 300
    answers = ask("writes", [["", 0.5, seed, 1] for seed in range(count)], file)
    drawn = sum((ids or [EOS_ID])[0] == best for ids in answers)
    assert abs(drawn / count - p[best]) < 4 * math.sqrt(p[best] * (1 - p[best]) / count) + 1e-9


def test_the_hardest_word_is_the_one_whose_tokens_cost_most(made, ask):
    """Against words cut out of the text: the tokens of a title up to the end of each word."""
    _, tokenizer, file = made
    titles = TITLES[-20:]
    scored, named = ask("scores", titles, file), ask("hardest", titles, file)
    compared = 0
    for title, losses, hard in zip(
        titles, word_losses(tokenizer, titles, [a["losses"] for a in scored]), named, strict=True
    ):
        if losses is None or len(losses) - 1 != len(title.split(" ")):
            continue  # cut, or a token reaches across a space
        words = dict(zip(losses[:-1], title.split(" "), strict=True))
        assert hard == {"word": words[max(words)], "nats": pytest.approx(max(words))}
        compared += 1
    assert compared >= 5


def test_what_a_kernel_sends_is_held_to_its_digest(made, ask):
    *_, file = made
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    size, refused = ask("asked", [right, "0" * 64], file)
    assert size == file.stat().st_size
    assert refused.startswith("This is not the file that the page was made with: its SHA-256")


@pytest.mark.parametrize("step", ["01_baseline", "02_adamw", "03_rope_vocab", "04_lowest_loss"])
def test_200_validation_titles_of_a_run_cost_what_they_cost_in_pytorch(smoke_book, ask, step):
    """Within 0.01 nats per character each, and within 0.003 in the mean."""
    out = smoke_book[0]
    model, tokenizer = load_model(out, "smoke", step)
    config = Config.from_dict(read_record(out, "smoke", step)["config"])
    titles = load_titles(config, "synthetic").val[:200]
    answers = ask("scores", titles, out / "results" / "smoke" / step / "model.bin")
    apart, chars = [], []
    for title, ids, answer in zip(titles, tokenizer.encode(titles), answers, strict=True):
        apart.append(sum(answer["losses"]) - sum(losses(model, ids)))
        chars.append(len(title) + len("<eos>"))
    assert len(titles) == 200
    assert max(abs(a) / c for a, c in zip(apart, chars, strict=True)) < 0.01
    assert abs(sum(apart)) / sum(chars) < 0.003
