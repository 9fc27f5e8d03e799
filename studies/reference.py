"""The challenge's baseline written a second time, as plainly as possible, to compare with.

It comes from the challenge's description alone and shares no code with `lib`:

- titles → BPE (ByteLevel at its defaults) → one stream of ids, `<eos>` after each title;
- a pre-LayerNorm GPT, eager, in float32, with the softmax of its attention written out;
- batches in order from the stream, SGD without momentum, cosine to 0, gradients clipped at 1.0;
- the challenge's `evaluate()`: summed NLL of the whole spans over all validation characters.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn


@dataclass(frozen=True)
class Settings:
    """The baseline's settings; the defaults are the challenge's own."""

    vocab_size: int = 16_000
    n_layer: int = 6
    n_head: int = 8
    n_embd: int = 512
    block_size: int = 128
    batch_size: int = 64
    dropout: float = 0.1
    learning_rate: float = 6e-3
    epochs: int = 7
    evals_per_epoch: int = 3
    val_frac: float = 0.10


def split(titles, settings):
    """Titles → (training titles, validation titles)."""
    n = int(len(titles) * (1 - settings.val_frac))
    return titles[:n], titles[n:]


def train_bpe(titles, vocab_size):
    """The challenge's tokenizer: byte-level BPE, learned from every title it is given."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=["<pad>", "<eos>", "<unk>"], show_progress=False
    )
    tokenizer.train_from_iterator(titles, trainer)
    return tokenizer


def encode(tokenizer, titles):
    """Titles → one stream of ids (T,), `<eos>` after each title.

    Words go straight to the BPE model, past the search for special tokens, so that `<eos>`
    written in a title is only text.
    """
    eos = tokenizer.token_to_id("<eos>")
    ids = []
    for title in titles:
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(title):
            ids += [token.id for token in tokenizer.model.tokenize(word)]
        ids.append(eos)
    return torch.tensor(ids)


class Attention(nn.Module):
    """Causal self-attention, (B, T, n_embd) → (B, T, n_embd), every step of it written out."""

    def __init__(self, s):
        super().__init__()
        self.n_head = s.n_head
        self.query = nn.Linear(s.n_embd, s.n_embd)
        self.key = nn.Linear(s.n_embd, s.n_embd)
        self.value = nn.Linear(s.n_embd, s.n_embd)
        self.out = nn.Linear(s.n_embd, s.n_embd)
        self.weights_dropout = nn.Dropout(s.dropout)
        self.out_dropout = nn.Dropout(s.dropout)

    def forward(self, x):
        B, T, C = x.shape
        heads = (B, T, self.n_head, C // self.n_head)
        q, k, v = (f(x).view(heads).transpose(1, 2) for f in (self.query, self.key, self.value))
        scores = q @ k.transpose(-2, -1) / math.sqrt(C // self.n_head)  # (B, n_head, T, T)
        future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
        weights = scores.masked_fill(future, -math.inf).softmax(-1)
        y = (self.weights_dropout(weights) @ v).transpose(1, 2).reshape(B, T, C)
        return self.out_dropout(self.out(y))


class Block(nn.Module):
    """Attention, then an MLP of four times the width, each on what LayerNorm makes of its input."""

    def __init__(self, s):
        super().__init__()
        self.norm1 = nn.LayerNorm(s.n_embd)
        self.attention = Attention(s)
        self.norm2 = nn.LayerNorm(s.n_embd)
        self.up = nn.Linear(s.n_embd, 4 * s.n_embd)
        self.down = nn.Linear(4 * s.n_embd, s.n_embd)
        self.dropout = nn.Dropout(s.dropout)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm2(x)))))


class Baseline(nn.Module):
    """(B, T) ids → (B, T, vocab_size) logits; the head is the token embedding, transposed."""

    def __init__(self, settings):
        super().__init__()
        s = settings
        self.tokens = nn.Embedding(s.vocab_size, s.n_embd)
        self.positions = nn.Parameter(torch.zeros(s.block_size, s.n_embd))
        self.dropout = nn.Dropout(s.dropout)
        self.blocks = nn.ModuleList(Block(s) for _ in range(s.n_layer))
        self.norm = nn.LayerNorm(s.n_embd)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, 0.0, 0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, ids):
        x = self.dropout(self.tokens(ids) + self.positions[: ids.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.tokens.weight.T


def nll(model, x, y, reduction):
    """Negative log-likelihood in nats of the tokens `y` (B, T), each following `x` (B, T)."""
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction=reduction)


def batches(stream, settings):
    """Endlessly (x, y), each (batch_size, block_size), in the stream's order."""
    size = settings.batch_size * settings.block_size
    position = 0
    while True:
        if position + size + 1 >= len(stream):
            position = 0
        x, y = stream[position : position + size], stream[position + 1 : position + size + 1]
        yield x.view(settings.batch_size, -1), y.view(settings.batch_size, -1)
        position += size


@torch.no_grad()
def evaluate(model, stream, titles, settings):
    """The challenge's loss: nats of every whole span per character of every validation title."""
    model.eval()
    size = settings.batch_size * settings.block_size
    total = 0.0
    for start in range(0, len(stream) - size, size + 1):
        x, y = stream[start : start + size], stream[start + 1 : start + size + 1]
        rows = (settings.batch_size, settings.block_size)
        total += nll(model, x.view(rows), y.view(rows), "sum").item()
    model.train()
    return total / sum(len(title + "<eos>") for title in titles)


def train(model, stream, val_stream, val_titles, settings):
    """Trains `model` in place → ([nats per token of each step], {step: validation loss})."""
    per_epoch = len(stream) // (settings.block_size * settings.batch_size)
    steps = settings.epochs * per_epoch
    interval = max(1, per_epoch // settings.evals_per_epoch)
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    source = batches(stream, settings)
    losses, evaluations = [], {}
    model.train()
    for step in range(1, steps + 1):
        loss = nll(model, *next(source), "mean")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step == 1 or step % interval == 0 or step == steps:
            evaluations[step] = evaluate(model, val_stream, val_titles, settings)
    return losses, evaluations
