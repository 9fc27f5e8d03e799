"""A model that counts: how often tokens followed one another in the training titles.

- n-grams within titles, smoothed by interpolated modified Kneser–Ney (Chen and Goodman 1999,
  https://doi.org/10.1006/csla.1999.0128): a context that was seen often is believed, one that was
  not hands over to the context one token shorter, where it counts after how many different tokens
  a token came, not how often.
- Nothing is learned by steps. It is made from the training tokens in one pass, and its tables are
  the same in every epoch.
- A network beside it learns from a token of the training titles what the counts say of it without
  that one occurrence (`leave_one_out`): of what it counted itself, a table is always sure.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tokenizer import EOS_ID


class Counts(nn.Module):
    """Modified Kneser–Ney over the stream `ids` (N,), titles that end with `<eos>`.

    `order` is the length of the longest n-gram, `vocab_size` the number of tokens V. The context of
    a token is what stands before it in its title, the `<eos>` before the title as its first.

    Raises ValueError where a context does not fit 63 bits: V^(order - 1) is too large.
    """

    def __init__(self, ids: Tensor, order: int, vocab_size: int):
        super().__init__()
        if vocab_size ** (order - 1) >= 2**63:
            raise ValueError(f"{order}-grams of {vocab_size:,} tokens: fewer of one, or the other.")
        self.order, self.vocab_size = order, vocab_size
        for name, table in _tables(ids.cpu().numpy(), order, vocab_size).items():
            self.register_buffer(name, torch.from_numpy(table).to(ids.device), persistent=False)
        self.ngrams = sum(len(self._table(level, "entries")) for level in range(order))

    def forward(self, x: Tensor, y: Tensor, leave_one_out: bool = False) -> Tensor:
        """Return the probability of targets y (B, T) after inputs x (B, T, …): float32 (B, T).

        With `leave_one_out` it is what the counts say without the one occurrence of y after x,
        which must be of the titles that were counted.
        """
        p = torch.full(y.shape, 1 / self.vocab_size, device=y.device)
        contexts, depth = self._contexts(x)
        found = [self._find(level, key) for level, key in enumerate(contexts)]
        entries = [self._entry(level, row, y) for level, row in enumerate(found)]
        for level, (row, entry) in enumerate(zip(found, entries, strict=True)):
            seen = row >= 0
            count = self._at(level, "counts", entry, entry >= 0)
            total, kept = (self._at(level, name, row, seen) for name in ("totals", "kept"))
            if leave_one_out:
                less = (entry >= 0) & (count > 0)
                if level < self.order - 1:  # other tokens before it may have stood there as well
                    longer = entries[level + 1]
                    last = self._at(level + 1, "raw", longer, longer >= 0) == 1
                    less &= (depth == level) | last
                kept = kept - self._discount(level, count) * less
                count, total = count - less.float(), total - less.float()
                kept = kept + self._discount(level, count) * less
            above = (count - self._discount(level, count)).clamp(min=0)
            p = torch.where(total > 0, (above + kept * p) / total.clamp(min=1), p)
        return p

    def distribution(self, x: Tensor) -> Tensor:
        """Return the probability of every token after each of x (B, T, …): float32 (B, T, V)."""
        contexts, _ = self._contexts(x)
        shape = (*x.shape[:2], self.vocab_size)
        p = torch.full(shape, 1 / self.vocab_size, device=x.device).flatten(0, 1)
        for level, key in enumerate(contexts):
            row = self._find(level, key).flatten()
            places = torch.nonzero(row >= 0).flatten()
            row = row[places]
            total, kept = self._table(level, "totals")[row], self._table(level, "kept")[row]
            first, last = self._table(level, "starts")[row], self._table(level, "starts")[row + 1]
            each = last - first
            entry = torch.arange(int(each.sum()), device=x.device)
            entry += (first - (each.cumsum(0) - each)).repeat_interleave(each)
            token = self._table(level, "entries")[entry] % self.vocab_size
            count = self._table(level, "counts")[entry]
            above = (count - self._discount(level, count)) / total.repeat_interleave(each)
            p[places] *= (kept / total)[:, None]
            p[places.repeat_interleave(each), token] += above
        return p.view(shape)

    def reach(self, x: Tensor) -> Tensor:
        """Return of how many tokens the longest context at x (B, T, …) is that was seen: (B, T)."""
        contexts, _ = self._contexts(x)
        return sum((self._find(level, key) >= 0).long() for level, key in enumerate(contexts)) - 1

    def _contexts(self, x):
        """Keys (B, T) of the contexts of 0, 1, … tokens; -1 where the title is not as long.

        And of how many tokens the longest of each place is, (B, T). What is known of a title beside
        its tokens was not counted.
        """
        x = x if x.ndim == 2 else x[..., 0]
        key, reach = torch.zeros_like(x), torch.ones_like(x, dtype=torch.bool)
        keys, depth = [key], torch.zeros_like(x)
        for back in range(self.order - 1):
            before = F.pad(x, (back, 0), value=-1)[:, : x.shape[1]]
            reach = reach & (before >= 0)
            key = key + before.clamp(min=0) * self.vocab_size**back
            keys.append(torch.where(reach, key, -1))
            depth += reach
            reach = reach & (before != EOS_ID)
        return keys, depth

    def _find(self, level, key):
        """The row of each context `key` (B, T) in the tables of its length; -1: never seen."""
        return _search(self._table(level, "contexts"), key)

    def _entry(self, level, row, y):
        """The place of each n-gram, of contexts `row` and tokens `y`; -1: never seen."""
        return _search(
            self._table(level, "entries"), (row * self.vocab_size + y).where(row >= 0, -1)
        )

    def _table(self, level, name):
        return getattr(self, f"{name}_{level}")

    def _at(self, level, name, places, there):
        """What a table has at `places`, 0 where nothing is `there`."""
        table = self._table(level, name)
        return table[places.clamp(min=0)] * there

    def _discount(self, level, count):
        """What is taken off a count: by whether it is 1, 2, or more."""
        return self._table(level, "discounts")[count.long().clamp(max=3)]


def mixed(log_p: Tensor, gate: Tensor, q: Tensor) -> Tensor:
    """Return log((1 - g) p + g q), g the sigmoid of `gate`."""
    network = log_p + F.logsigmoid(-gate)
    counts = q.log() + F.logsigmoid(gate)
    return torch.logaddexp(network, counts)


def _search(table, keys):
    """Where each of `keys` stands in the sorted `table`; -1 where it does not."""
    places = torch.searchsorted(table, keys.contiguous()).clamp(max=len(table) - 1)
    return torch.where(table[places] == keys, places, -1)


def _tables(ids, order, vocab_size):
    """The tables of every length of context, by name and length.

    For contexts of `level` tokens: `contexts` (C,), their keys, sorted; `totals` and `kept` (C,),
    their counts and what discounting leaves of them for shorter contexts; `entries` (E,), row of
    the context times V plus the token, sorted; `starts` (C + 1,), where the entries of a context
    begin; `counts` (E,), how many different tokens stood before the n-gram, or how often it
    occurred where nothing stands before it or it is of the longest; `raw` (E,), how often it
    occurred; `discounts` (4,), what is taken off a count of 0, 1, 2 and more.
    """
    before = np.concatenate(([EOS_ID], ids[:-1])).astype(np.int64)
    opens = np.flatnonzero(before == EOS_ID)
    since = np.arange(len(ids)) - opens[np.searchsorted(opens, np.arange(len(ids)), "right") - 1]
    levels, key = [], np.zeros(len(ids), np.int64)
    for level in range(order):
        there = np.flatnonzero(since + 1 >= level)
        contexts, row = np.unique(key[there], return_inverse=True)
        entries, first, entry, raw = np.unique(
            row * vocab_size + ids[there],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        whole = since[there[first]] + 1 == level  # the context begins where the title does
        levels.append((there, contexts, entries, entry, raw, there[first], whole))
        if level < order - 1:
            key = key + np.roll(before, level) * vocab_size**level
    tables = {}
    for level, (_, contexts, entries, _, raw, _, whole) in enumerate(levels):
        counts = raw
        if level < order - 1:
            there, _, _, entry, *_ = levels[level]
            at = np.full(len(ids), -1)
            at[there] = entry
            longer = at[levels[level + 1][5]]  # the entry here of each n-gram one token longer
            counts = np.where(whole & (level > 0), raw, np.bincount(longer, minlength=len(entries)))
        discounts = _discounts(counts)
        rows = entries // vocab_size
        taken = discounts[np.minimum(counts, 3)]
        tables |= {
            f"contexts_{level}": contexts,
            f"entries_{level}": entries,
            f"starts_{level}": np.searchsorted(rows, np.arange(len(contexts) + 1)),
            f"counts_{level}": counts.astype(np.float32),
            f"raw_{level}": raw.astype(np.float32),
            f"totals_{level}": np.bincount(rows, counts, len(contexts)).astype(np.float32),
            f"kept_{level}": np.bincount(rows, taken, len(contexts)).astype(np.float32),
            f"discounts_{level}": discounts.astype(np.float32),
        }
    return tables


def _discounts(counts):
    """What is taken off a count of 0, 1, 2 and 3 or more: (4,), as Chen and Goodman have it."""
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(float)
    y = n[1] / max(n[1] + 2 * n[2], 1)
    return np.array([0.0, *(i - (i + 1) * y * n[i + 1] / max(n[i], 1) for i in (1, 2, 3))]).clip(0)
