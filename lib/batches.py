"""What the model reads, and in which order: windows of the stream of titles, in batches.

- `stream`, as in the challenge: the titles in their own order, the same every epoch, cut every
  `block_size` tokens wherever that falls.
- `titles`: the titles reshuffled each epoch and packed whole into windows, as many as fit one after
  another; only a title longer than a window is cut. Each title is seen exactly once an epoch.
- What is known about a title beforehand (`lib.context`), if anything, is an extra input at the
  `<eos>` before it. Nothing else changes: neither the windows nor the targets.
"""

import numpy as np
import torch
from torch import Tensor

from .config import Config
from .tokenizer import EOS_ID

IGNORED = -100  # marks a position without a target, as in PyTorch
NOTHING = 0  # where nothing is known about a token: the id of `<pad>`, which no title contains


def cuts(ids: Tensor, block_size: int) -> list[int]:
    """Return where windows of whole titles begin in the stream `ids` (N,), followed by N."""
    ends = np.concatenate(([0], np.flatnonzero(ids.cpu().numpy() == EOS_ID) + 1, [len(ids)]))
    found = [0]
    while found[-1] < len(ids):
        full = found[-1] + block_size
        last = int(ends[np.searchsorted(ends, full, side="right") - 1])
        found.append(last if last > found[-1] else full)
    return found


def inputs(ids: Tensor, places: Tensor, known: Tensor | None = None) -> Tensor:
    """Return the inputs from which a model predicts the tokens at `places` (…) of `ids` (N,).

    The input is the token before each, `<eos>` for the first of the stream: (…). With `known`
    (titles, F), there are F more numbers for each: at the `<eos>` before a title, what is known
    about that title; everywhere else, NOTHING: (…, 1 + F).
    """
    before = torch.cat((ids.new_full((1,), EOS_ID), ids))
    tokens = before[places]
    if known is None:
        return tokens
    opens = before == EOS_ID
    titles = (opens.cumsum(0) - 1)[places].clamp(max=len(known) - 1)
    return torch.cat((tokens[..., None], known[titles] * opens[places][..., None]), -1)


def windows(
    ids: Tensor, cuts: Tensor, block_size: int, known: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return inputs and targets (W, block_size) of the W windows of `ids` (N,) between `cuts`.

    Each token between the first and the last of `cuts` (W+1,) is a target once; its input is the
    token before it in the stream, as in `inputs`. A window shorter than `block_size` is padded with
    targets that are IGNORED.
    """
    places = cuts[:-1, None] + torch.arange(block_size, device=ids.device)
    inside = places < cuts[1:, None]
    places = places.clamp(max=len(ids) - 1)
    return inputs(ids, places, known), torch.where(inside, ids[places], IGNORED)


class Stream:
    """The challenge's own batches of `ids` (N,), in order; tokens that do not fill one are dropped.

    `batch(step)` returns the inputs and targets of a step, counting from 0. There are `steps`
    steps, with `tokens` targets in all. `known` (titles, F) is what is known about each title.
    """

    def __init__(self, ids: Tensor, config: Config, known: Tensor | None = None):
        self.ids, self.known, self.shape = ids, known, (_batch_size(config), config.window)
        self.span = self.shape[0] * self.shape[1]
        if len(ids) <= self.span:
            raise ValueError(
                f"{len(ids):,} training tokens do not fill one batch of {self.span:,} and the "
                "token after it. Use more titles, or a smaller block_size or batch_size."
            )
        self.steps = config.epochs * (len(ids) // self.span)
        self.tokens = self.steps * self.span
        # Back to the start where less than a batch, its next token and one more are left.
        self.before_start = max(1, (len(ids) - 2) // self.span)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets, each (batch_size, block_size)."""
        start = step % self.before_start * self.span
        places = torch.arange(start + 1, start + self.span + 1, device=self.ids.device)
        places = places.view(self.shape)
        return inputs(self.ids, places, self.known), self.ids[places]


class Shuffled:
    """Batches of whole titles of `ids` (N,): every title once an epoch, in a new order each epoch.

    Used like `Stream`, but a window may be padded with targets that are IGNORED, and the batches of
    an epoch, as equal in size as possible, may be a little smaller than asked.
    """

    def __init__(self, ids: Tensor, config: Config, known: Tensor | None = None):
        self.block_size = config.window
        lengths = torch.diff(
            torch.nonzero(ids == EOS_ID).flatten().cpu(), prepend=torch.tensor([-1])
        )
        titles = ids.split(lengths.tolist())
        self.epochs, self.plan = [], []
        for epoch in range(config.epochs):
            order = np.random.default_rng([config.seed, epoch]).permutation(len(titles))
            stream = torch.cat([titles[i] for i in order])
            bounds = torch.tensor(cuts(stream, config.window), device=ids.device)
            self.epochs.append(
                (stream, bounds, None if known is None else known[torch.from_numpy(order)])
            )
            count = len(bounds) - 1
            parts = np.array_split(np.arange(count), -(-count // _batch_size(config)))
            self.plan += [(epoch, part[0], part[-1] + 2) for part in parts]
        self.steps, self.tokens = len(self.plan), config.epochs * len(ids)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets, each (at most batch_size, block_size)."""
        epoch, first, last = self.plan[step]
        ids, bounds, known = self.epochs[epoch]
        return windows(ids, bounds[first:last], self.block_size, known)


BATCHES = {"stream": Stream, "titles": Shuffled}


def _batch_size(config):
    return max(1, round(config.batch_size * config.batch_factor))
