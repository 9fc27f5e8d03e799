"""The losses of the book, all computed from the negative log-likelihood of each token, in nats.

- `official` is the challenge's own `evaluate()`. It drops the last partial span of tokens but
  divides by all characters, so it depends on where that span begins. `coverage` is the fraction of
  the tokens that it scored, and is always shown beside it.
- `full_coverage` predicts every token exactly once, in windows as long as the model's own that end
  where titles end. The report ranks by it.
- `bits_per_byte` is the same likelihood per byte of text, the unit in which compressors are
  measured as well.

Evaluation runs with dropout off and does not adapt to what it scores. It is in fp32, except for the
points of a curve during training, which may be in the run's own precision.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .batches import IGNORED, cuts, inputs, windows
from .counts import mixed
from .tokenizer import EOS

TOKENS_AT_ONCE, LOGITS_AT_ONCE = 2048, 256  # bound the memory that states and logits take


def characters(titles: list[str]) -> int:
    """Return the characters of the titles, each followed by `<eos>`: the challenge's divisor."""
    return sum(len(title) + len(EOS) for title in titles)


def size_in_bytes(titles: list[str]) -> int:
    """Return the bytes of the titles in UTF-8, with one byte a title for where it ends."""
    return sum(len(title.encode()) + 1 for title in titles)


@torch.no_grad()
def nll(model, x: Tensor, y: Tensor, bf16: bool = False, seen=None) -> Tensor:
    """Return the negative log-likelihood of targets y (B, T) after inputs x (B, T, …), in nats.

    The result is float32, (B, T), and 0 where y is IGNORED; with `bf16` the products before it are
    in bf16. The model keeps the mode it was in. It is a `lib.model.GPT`, or has the same `hidden`
    and `head`. `seen(n)` is called whenever n more targets have been scored.
    """
    training, counts = model.training, getattr(model, "counts", None)
    model.eval()
    rows, losses = max(1, TOKENS_AT_ONCE // x.shape[1]), []
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
        for a, b in zip(x.split(rows), y.split(rows), strict=True):
            states = model.hidden(a).flatten(0, 1).split(LOGITS_AT_ONCE)
            for part, right in zip(states, b.flatten().split(LOGITS_AT_ONCE), strict=True):
                logits = model.head(part).float()
                losses.append(F.cross_entropy(logits, right, reduction="none"))
            if seen is not None:
                seen(b.numel())
    model.train(training)
    loss = torch.cat(losses).view(y.shape)
    if counts is not None:
        loss = -mixed(-loss, counts(x, y.clamp(min=0)), model.share)
    return loss.where(y != IGNORED, 0.0)


def official(
    model,
    ids: Tensor,
    chars: int,
    block_size: int,
    batch_size: int,
    bf16=False,
    seen=None,
    known=None,
) -> tuple[float, float]:
    """Return the challenge's loss in nats per character, and its coverage of `ids` (N,).

    Spans of `block_size × batch_size + 1` tokens, without overlap; in each, all tokens but the
    first are predicted; the last partial span is dropped. Returns (nan, 0.0) if no span fits.
    `known` (titles, F) is what the model is told about each title.
    Source: `evaluate()` of https://github.com/maincodehq/mainrun.
    """
    span = block_size * batch_size + 1
    count = len(ids) // span
    if count == 0:
        return math.nan, 0.0
    places = torch.arange(count * span, device=ids.device).view(count, span)[:, 1:]
    places = places.reshape(-1, block_size)
    x, y = inputs(ids, places, known), ids[places]
    return total(nll(model, x, y, bf16, seen)) / chars, y.numel() / len(ids)


def token_losses(model, ids: Tensor, block_size: int, bf16=False, seen=None, known=None) -> Tensor:
    """Return the negative log-likelihood of every token of `ids` (N,), once each, in nats.

    Consecutive windows of at most `block_size` tokens, each ending where a title ends, so that no
    title is separated from its beginning; only a title longer than a window is cut. A token's
    context is everything before it in its window, and the one token before the window: `<eos>`,
    or for the later windows of a title that needs several the last token of the one before.
    `known` (titles, F) is what the model is told about each title.
    """
    bounds = torch.tensor(cuts(ids, block_size), device=ids.device)
    x, y = windows(ids, bounds, block_size, known)
    return nll(model, x, y, bf16, seen)[y != IGNORED]


def total(losses: Tensor) -> float:
    """Return the sum of `losses` in double precision, on the CPU: MPS has none."""
    return losses.cpu().double().sum().item()


def bits_per_byte(nats: float, titles: list[str]) -> float:
    """Return a sum of `nats` over the titles in bits per byte of their text."""
    return nats / math.log(2) / size_in_bytes(titles)


def unigram_losses(train_ids: np.ndarray, ids: np.ndarray, vocab_size: int) -> np.ndarray:
    """Return the negative log-likelihood of `ids` under the tokens' frequencies in `train_ids`.

    In nats, one value per token. One is added to each count, so that an unseen token has a finite
    loss (Laplace).
    """
    counts = np.bincount(train_ids, minlength=vocab_size) + 1
    return -np.log(counts / counts.sum())[ids]
