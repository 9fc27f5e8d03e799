"""A GPT-2-style decoder, as the challenge has it, with the options the steps turn on.

- pre-norm: LayerNorm with bias, or RMSNorm
- positions: learned and added to the input, or rotary (RoPE) on queries and keys
- exact GELU, MLP four times as wide, biases everywhere but on the head
- the head shares the token embedding's weights
- attention by PyTorch's SDPA, which picks the fastest kernel the device has
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import Config


def rope(x, base=10_000.0):
    """Rotate the channels of x (B, n_head, T, head_dim) in pairs, by angles that grow with T.

    The product of a rotated query and a rotated key depends only on how far apart they stand.
    Su et al. 2021, https://arxiv.org/abs/2104.09864
    """
    T, D = x.shape[-2:]
    frequencies = base ** (-torch.arange(0, D, 2, device=x.device) / D)  # (D/2,), radians a token
    angles = torch.arange(T, device=x.device)[:, None] * frequencies  # (T, D/2)
    cos, sin = angles.cos(), angles.sin()
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).type_as(x)


class Attention(nn.Module):
    """Causal self-attention: (B, T, n_embd) → (B, T, n_embd)."""

    def __init__(self, config: Config, rotate):
        super().__init__()
        self.n_head, self.dropout, self.rotate = config.n_head, config.dropout, rotate
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)  # (B, H, T, D)
        if self.rotate is not None:
            q, k = self.rotate(q), self.rotate(k)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(B, T, C))


class Block(nn.Module):
    """One layer: attention and MLP, each on a normalised copy, each added back with dropout."""

    def __init__(self, config: Config, rotate):
        super().__init__()
        width = config.n_embd
        self.attention_norm, self.attention = _norm(config), Attention(config, rotate)
        self.mlp_norm = _norm(config)
        self.mlp = nn.Sequential(
            nn.Linear(width, config.mlp_ratio * width),
            nn.GELU(),
            nn.Linear(config.mlp_ratio * width, width),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))


class GPT(nn.Module):
    """The model: ids (B, T) → logits (B, T, vocab_size), T at most `config.block_size`.

    `rotate` is the function that turns queries and keys by their position where
    `config.position` is "rope"; a notebook may pass its own.
    """

    def __init__(self, config: Config, vocab_size: int, rotate=rope):
        super().__init__()
        self.block_size = config.block_size
        learned = config.position == "learned"
        self.embedding = nn.Embedding(vocab_size, config.n_embd)
        shape = (config.block_size, config.n_embd)
        self.position = nn.Parameter(torch.zeros(shape)) if learned else None
        self.dropout = nn.Dropout(config.dropout)
        rotate = None if learned else rotate
        self.blocks = nn.ModuleList(Block(config, rotate) for _ in range(config.n_layer))
        self.norm = _norm(config)
        self.head = nn.Linear(config.n_embd, vocab_size, bias=False)
        self.apply(_init)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        if ids.shape[1] > self.block_size:
            raise ValueError(f"{ids.shape[1]} tokens do not fit a block of {self.block_size}.")
        x = self.embedding(ids)
        if self.position is not None:
            x = x + self.position[: ids.shape[1]]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def count_parameters(self) -> int:
        """Return how many numbers are learned; those that the head shares count once."""
        return sum(p.numel() for p in self.parameters())


def _norm(config):
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.n_embd, eps=1e-5)
    return nn.LayerNorm(config.n_embd)


def _init(module):
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, mean=0.0, std=0.02)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)
