"""A GPT-2-style decoder, as in the challenge, with options that the steps turn on.

- pre-norm: LayerNorm with bias, or RMSNorm
- positions: learned and added to the input, or rotary (RoPE) on queries and keys
- exact GELU, MLP four times as wide, biases everywhere except on the head, or nowhere
- the head shares the token embedding's weights
- attention to all previous tokens, or only to those of the same title; by PyTorch's SDPA, which
  picks the device's fastest kernel, except on a CPU with dropout, for which SDPA has none
- heads whose output is gated by their own input, residual branches scaled by a learned vector
- what is known about a title beforehand, added to the input where the title begins
- counted n-grams (`lib.counts`), mixed with the network's predictions once it is trained
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .batches import NOTHING
from .config import Config
from .counts import mixed
from .dropout import Dropout, dropout
from .tokenizer import EOS_ID


def rope(x, base=10_000.0):
    """Rotate the channels of x (B, n_head, T, head_dim) in pairs.

    The angles grow with T, and the product of a rotated query and a rotated
    key depends only on how far apart they stand.
    Su et al. 2021, https://arxiv.org/abs/2104.09864
    """
    T, D = x.shape[-2:]
    # Radians a token, one for each pair: (D/2,)
    frequencies = base ** (-torch.arange(0, D, 2, device=x.device) / D)
    angles = torch.arange(T, device=x.device)[:, None] * frequencies  # (T, D/2)
    cos, sin = angles.cos(), angles.sin()
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).type_as(x)


def within_titles(ids: Tensor) -> Tensor:
    """Return the attention mask of ids (B, T): back to the `<eos>` before the token's own title.

    The mask is (B, 1, T, T), True where the row's token may attend to the column's.
    """
    title = (ids == EOS_ID).cumsum(1)
    return (title[:, :, None] == title[:, None, :]).tril()[:, None]


class Attention(nn.Module):
    """Causal self-attention: (B, T, n_embd) → (B, T, n_embd), restricted by `mask` if there is one.

    With a gate, each head's output is multiplied by a sigmoid of a linear map of the input: one
    value for each of its channels, or one for the whole head.
    Qiu et al. 2025, https://arxiv.org/abs/2505.06708
    """

    def __init__(self, config: Config, rotate):
        super().__init__()
        self.n_head, self.rotate = config.n_head, rotate
        self.dropout = config.dropout if config.attention_dropout else 0.0
        width, gates = config.n_embd, {"none": 0, "head": config.n_head, "channel": config.n_embd}
        self.qkv = nn.Linear(width, 3 * width, bias=config.bias)
        self.proj = nn.Linear(width, width, bias=config.bias)
        count = gates[config.gate]
        self.gate = nn.Linear(width, count, bias=config.bias) if count else None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)  # (B, H, T, D)
        if self.rotate is not None:
            q, k = self.rotate(q), self.rotate(k)
        y = self._attend(q, k, v, mask).transpose(1, 2)  # (B, T, H, D)
        if self.gate is not None:
            y = y * self.gate(x).sigmoid().view(B, T, self.n_head, -1)
        return self.proj(y.reshape(B, T, C))

    def _attend(self, q, k, v, mask):
        rate = self.dropout if self.training else 0.0
        if not rate or q.device.type != "cpu":
            return F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=rate, is_causal=mask is None
            )
        if mask is None:
            T = q.shape[-2]
            mask = torch.ones(T, T, dtype=torch.bool, device=q.device).tril()
        scores = q @ k.mT * (1 / math.sqrt(q.shape[-1]))
        weights = scores.masked_fill(~mask, -math.inf).softmax(-1)
        return dropout(weights.type_as(v), rate) @ v


class LayerScale(nn.Module):
    """A learned factor for each channel: (B, T, n_embd) → (B, T, n_embd), all `start` at first.

    Touvron et al. 2021, https://arxiv.org/abs/2103.17239
    """

    def __init__(self, width: int, start: float):
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Block(nn.Module):
    """One layer: attention and MLP, each on a normalised copy, each added back with dropout."""

    def __init__(self, config: Config, rotate):
        super().__init__()
        width = config.n_embd
        self.attention_norm, self.attention = _norm(config), Attention(config, rotate)
        self.mlp_norm = _norm(config)
        self.mlp = nn.Sequential(
            nn.Linear(width, config.mlp_ratio * width, bias=config.bias),
            nn.GELU(),
            nn.Linear(config.mlp_ratio * width, width, bias=config.bias),
        )
        self.dropout = Dropout(config.dropout)
        self.attention_scale, self.mlp_scale = _scale(config), _scale(config)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.attention_scale(self.dropout(self.attention(self.attention_norm(x), mask)))
        return x + self.mlp_scale(self.dropout(self.mlp(self.mlp_norm(x))))


class GPT(nn.Module):
    """The model: ids (B, T) → logits (B, T, vocab_size), T at most `config.window`.

    `rotate` rotates queries and keys by their position if `config.position` is "rope"; a notebook
    may pass its own.

    Given (B, T, 1 + F), the model reads F numbers with each token, for what is known there
    (`lib.context`), and adds a vector for each: the embedding of a token or, from `vocab_size` on,
    one of `values` extra vectors. NOTHING adds no vector.

    Once `counts` (`lib.counts.Counts`) and their `share` are set, it predicts the mixture, as
    log-probabilities.
    """

    def __init__(self, config: Config, vocab_size: int, rotate=rope, values: int | None = None):
        super().__init__()
        self.block_size, self.title_mask = config.window, config.title_mask
        learned = config.position == "learned"
        self.embedding = nn.Embedding(vocab_size, config.n_embd)
        shape = (config.window, config.n_embd)
        self.position = nn.Parameter(torch.zeros(shape)) if learned else None
        self.dropout = Dropout(config.dropout)
        rotate = None if learned else rotate
        self.blocks = nn.ModuleList(Block(config, rotate) for _ in range(config.n_layer))
        self.norm = _norm(config)
        self.head = nn.Linear(config.n_embd, vocab_size, bias=False)
        self.apply(_init)
        # All zeros: a value in no training title adds nothing, and no random numbers are drawn.
        told = values is not None
        self.values = nn.Parameter(torch.zeros(values, config.n_embd)) if told else None
        self.head.weight = self.embedding.weight
        self.counts, self.share = None, 0.0

    def forward(self, ids: Tensor) -> Tensor:
        logits = self.head(self.hidden(ids))
        if self.counts is None:
            return logits
        return mixed(logits.float().log_softmax(-1), self.counts.distribution(ids), self.share)

    def hidden(self, ids: Tensor) -> Tensor:
        """Return the head's input for ids (B, T) or (B, T, 1 + F): (B, T, n_embd)."""
        if ids.shape[1] > self.block_size:
            raise ValueError(f"{ids.shape[1]} tokens do not fit a block of {self.block_size}.")
        known = None
        if ids.ndim == 3:
            ids, known = ids[..., 0], ids[..., 1:]
        x = self.embedding(ids)
        if known is not None:
            x = x + self._known(known)
        if self.position is not None:
            x = x + self.position[: ids.shape[1]]
        x = self.dropout(x)
        mask = within_titles(ids) if self.title_mask else None
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)

    def _known(self, known):
        """The sum of the vectors of what is known beside each token: (B, T, F) → (B, T, n_embd)."""
        table = torch.cat((self.embedding.weight, self.values))
        rows = known.flatten(0, 1)
        return F.embedding_bag(rows, table, mode="sum", padding_idx=NOTHING).view(
            *known.shape[:2], -1
        )

    def count_parameters(self) -> int:
        """Return how many numbers are learned; those that the head shares count once."""
        return sum(p.numel() for p in self.parameters())


def _scale(config):
    return LayerScale(config.n_embd, config.layer_scale) if config.layer_scale else nn.Identity()


def _norm(config):
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.n_embd, eps=1e-6)
    return nn.LayerNorm(config.n_embd, bias=config.bias)


def _init(module):
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, mean=0.0, std=0.02)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)
