"""An n-gram model: how often tokens followed one another in the training titles.

- n-grams within titles, smoothed by interpolated modified Kneser–Ney (Chen and Goodman 1999,
  https://doi.org/10.1006/csla.1999.0128). A context passes part of its probability on to the
  context one token shorter, a larger part the less often it was seen. In a shorter context, an
  n-gram's count is the number of different tokens seen before it; its frequency counts only in the
  longest contexts, and at the beginning of a title, where nothing else can precede it.
- Nothing is learned by gradient steps: the tables are built from the training tokens in one pass.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tokenizer import EOS_ID

ORDER = 5  # tokens of the longest n-gram


class Counts(nn.Module):
    """Modified Kneser–Ney over the stream `ids` (N,) of titles, each ended by `<eos>`.

    `vocab_size` is the number of tokens V, `order` the length of the longest n-gram, `ngrams` the
    number of different n-grams. The context of a token is what precedes it in its title, beginning
    with the `<eos>` before the title; what is known about a title besides its tokens is not read.

    Raises ValueError if there are no tokens, or if a context does not fit into 63 bits: V to the
    (order - 1) is too large.
    """

    def __init__(self, ids: Tensor, vocab_size: int, order: int = ORDER):
        super().__init__()
        if vocab_size ** (order - 1) >= 2**63:
            raise ValueError(
                f"Contexts of {order}-grams of {vocab_size:,} tokens do not fit 63 bits: count "
                "shorter ones, or take fewer tokens."
            )
        if not len(ids):
            raise ValueError("There are no tokens to count.")
        levels = _levels(ids.cpu().numpy(), vocab_size, order)
        self.vocab_size, self.order = vocab_size, len(levels)  # no more than the longest title has
        for level, tables in enumerate(levels):
            for name, table in tables.items():
                table = torch.from_numpy(table).to(ids.device)
                self.register_buffer(f"{name}_{level}", table, persistent=False)
        self.ngrams = sum(len(self._table("entries", level)) for level in range(self.order))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the probability of targets y (B, T) after inputs x (B, T, …): float32 (B, T)."""
        p = torch.full(y.shape, 1 / self.vocab_size, device=y.device)
        for level, row in enumerate(self._rows(x)):
            entry = _find(self._table("entries", level), row * self.vocab_size + y)
            above = self._table("above", level)[entry.clamp(min=0)] * (entry >= 0)
            left = self._table("left", level)[row.clamp(min=0)]
            p = torch.where(row >= 0, above + left * p, p)
        return p

    def distribution(self, x: Tensor) -> Tensor:
        """Return the probability of every token after each of x (B, T, …): float32 (B, T, V)."""
        shape = (*x.shape[:2], self.vocab_size)
        p = torch.full(shape, 1 / self.vocab_size, device=x.device).flatten(0, 1)
        for level, row in enumerate(self._rows(x)):
            places = torch.nonzero(row.flatten() >= 0).flatten()
            row = row.flatten()[places]
            starts = self._table("starts", level)
            first, count = starts[row], starts[row + 1] - starts[row]
            entry = torch.arange(int(count.sum()), device=x.device)
            entry += (first - (count.cumsum(0) - count)).repeat_interleave(count)
            token = self._table("entries", level)[entry] % self.vocab_size
            p[places] *= self._table("left", level)[row, None]
            p[places.repeat_interleave(count), token] += self._table("above", level)[entry]
        return p.view(shape)

    def reach(self, x: Tensor) -> Tensor:
        """Return the length in tokens of the longest seen context at each x (B, T, …): (B, T)."""
        return sum((row >= 0).long() for row in self._rows(x)) - 1

    def _rows(self, x):
        """The rows (B, T) of the contexts of 0, 1, … tokens at x in their tables; -1: not seen.

        One that reaches beyond its title never is: only as its first token does a context have
        `<eos>`.
        """
        x = x if x.ndim == 2 else x[..., 0]
        key, inside = torch.zeros_like(x), torch.ones_like(x, dtype=torch.bool)
        rows = [key]
        for back in range(self.order - 1):
            before = F.pad(x, (back, 0), value=-1)[:, : x.shape[1]]
            inside = inside & (before >= 0)
            key = key + before.clamp(min=0) * self.vocab_size**back
            rows.append(_find(self._table("contexts", back + 1), key).where(inside, -1))
        return rows

    def _table(self, name, level):
        return getattr(self, f"{name}_{level}")


def mixed(log_p, q, share):
    """Return log((1 - share) p + share q), for p given as log p."""
    return torch.logaddexp(
        log_p + math.log(1 - share),
        q.log() + math.log(share),
    )


def _find(table, keys):
    """Where each of `keys` stands in the sorted `table`; -1 where it does not."""
    places = torch.searchsorted(table, keys.contiguous()).clamp(max=len(table) - 1)
    return torch.where(table[places] == keys, places, -1)


def _levels(ids, vocab_size, order):
    """The tables, by name, for each length of context that occurs in the titles.

    `contexts` (C,), sorted: a number for each context; `left` (C,): the share of its probability
    that it leaves to the context one token shorter; `entries` (E,), sorted: for each n-gram, its
    context's row times V plus its token; `above` (E,): an n-gram's own probability; `starts` (C +
    1,): where the entries of each context begin.
    """
    before = np.concatenate(([EOS_ID], ids[:-1])).astype(np.int64)
    places = np.arange(len(ids))
    opens = np.flatnonzero(before == EOS_ID)
    reach = places - opens[np.searchsorted(opens, places, "right") - 1] + 1  # of the title so far
    key, found = np.zeros(len(ids), np.int64), []
    for level in range(order):
        there = np.flatnonzero(reach >= level)
        if not len(there):
            break
        contexts, row = np.unique(key[there], return_inverse=True)
        entries, first, entry, counts = np.unique(
            row * vocab_size + ids[there],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        first = there[first]  # a place where each n-gram stands
        entry_at = np.full(len(ids), -1)
        entry_at[there] = entry
        found.append((contexts, entries, counts, first, entry_at))
        if level < order - 1:
            key = key + np.roll(before, level) * vocab_size**level
    levels = []
    for level, (contexts, entries, counts, first, entry_at) in enumerate(found):
        if level < len(found) - 1:  # by how many different tokens stand before it, if any can
            longer = found[level + 1][3]
            different = np.bincount(entry_at[longer], minlength=len(entries))
            counts = np.where((reach[first] == level) & (level > 0), counts, different)
        rows, taken = entries // vocab_size, _discounts(counts)[np.minimum(counts, 3)]
        totals = np.bincount(rows, counts, len(contexts))
        tables = {
            "contexts": contexts,
            "entries": entries,
            "starts": np.searchsorted(rows, np.arange(len(contexts) + 1)),
            "above": ((counts - taken) / totals[rows]).astype(np.float32),
            "left": (np.bincount(rows, taken, len(contexts)) / totals).astype(np.float32),
        }
        levels.append(tables)
    return levels


def _discounts(counts):
    """The discounts of counts of 0, 1, 2 and 3 or more: (4,).

    As Chen and Goodman estimate them, or half of the count where that is impossible, for lack of
    counts or because the estimate is not positive, so that every context leaves something over.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(float)
    taken = [0.0, 0.5, 1.0, 1.5]
    if n[1:5].all():
        y = n[1] / (n[1] + 2 * n[2])
        found = [i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3)]
        taken[1:] = [d if d > 0 else i / 2 for i, d in enumerate(found, 1)]
    return np.array(taken)
