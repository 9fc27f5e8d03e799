"""Dropout from few random bits: on a CPU, drawing a number for each element costs more than the
product that it masks.

- Sixteen bits decide each element, four elements per draw, so that the rate is a multiple of 2⁻¹⁶;
  elements that are kept are divided by the share that is kept.
- Other devices use PyTorch's own dropout.
Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 1 << 16


def dropout(x: Tensor, rate: float) -> Tensor:
    """Return `x` with elements set to 0 at `rate`, independently, and the others scaled up."""
    if not rate:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    return _Dropout.apply(x, round(rate * LEVELS))


class Dropout(nn.Module):
    """`dropout` at `rate` while training; nothing at other times."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.rate) if self.training else x


def _kept(shape, level):
    """True where an element is kept: where its sixteen bits are at least `level`."""
    count = shape.numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None)
    return (bits.view(torch.int16)[:count] >= level - LEVELS // 2).view(shape)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, level):
        kept = _kept(x.shape, level)
        ctx.save_for_backward(kept)
        ctx.scale = LEVELS / (LEVELS - level)
        return (x * kept).mul_(ctx.scale)

    @staticmethod
    def backward(ctx, grad):
        (kept,) = ctx.saved_tensors
        return (grad * kept).mul_(ctx.scale), None
