"""What a model is told about a title before reading it: where the story comes from, as numbers.

- The numbers are extra inputs at the `<eos>` before the title (`lib.batches`), and the model adds a
  vector for each to its input there (`lib.model`). Windows, targets, steps and random numbers are
  therefore those of a run without them, and the two runs differ only in what is known.
- A site with many training titles has a vector of its own. Any other site is given as its pieces,
  the tokens that the same letters have in a title, so that a site never seen before can still be
  read.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .batches import NOTHING
from .data import Titles
from .origins import Origin
from .tokenizer import Tokenizer

PARTS = ("domain", "time")  # what can be known
LEAST = {"site": 10, "year": 1, "month": 1}  # training titles needed for a vector of its own
PIECES = 8  # tokens at most, for a site without a vector of its own


@dataclass(frozen=True)
class Known:
    """What a model is told about titles: `sees`, some of PARTS.

    A number below the tokenizer's `vocab_size` is a token id; `vocab_size` + i stands for
    `values[i]`, one of the pairs ("site", …), ("year", …) and ("month", …) of the training titles.
    """

    sees: tuple[str, ...]
    values: list[tuple[str, str | int]]

    def encode(self, origins: list[Origin], tokenizer: Tokenizer) -> np.ndarray:
        """Return what is told about titles that come from `origins`: (titles, F), int64.

        A title's numbers are in no particular order, padded with NOTHING up to F. A year or month
        that no training title has is left out; a site without a vector of its own is given as its
        pieces.
        """
        numbers = {value: tokenizer.vocab_size + i for i, value in enumerate(self.values)}
        told = np.full((len(origins), PIECES + 2), NOTHING, np.int64)
        pieces = tokenizer.encode([origin.site or "" for origin in origins])
        for row, origin, spelt in zip(told, origins, pieces, strict=True):
            own = [numbers[pair] for pair in _pairs(origin, self.sees) if pair in numbers]
            if "domain" in self.sees and ("site", origin.site) not in numbers:
                own += spelt[:PIECES]
            row[: len(own)] = own
        return told


def train_known(sees: tuple[str, ...], titles: Titles) -> Known:
    """Return the `Known` for `sees`, its `values` taken from the training titles.

    Raises ValueError for a part that is not one of PARTS, and for titles read without origins.
    """
    for part in sees:
        if part not in PARTS:
            raise ValueError(f"{part!r} cannot be known; choose from {', '.join(PARTS)}.")
    if titles.origins is None:
        raise ValueError("These titles were read without origins: load_titles(…, origins=True).")
    counts = Counter(pair for origin in titles.origins["train"] for pair in _pairs(origin, sees))
    often = [pair for pair, count in counts.items() if count >= LEAST[pair[0]]]
    return Known(tuple(sees), sorted(often))


def told(known: Known | None, titles: Titles, of, tokenizer, device) -> Tensor | None:
    """Return what a model is told about titles, (titles, F), or None if it is told nothing.

    `of` is a part of the titles ("train", "val", "test"), or a list of origins.
    """
    if known is None:
        return None
    origins = titles.origins[of] if isinstance(of, str) else of
    return torch.from_numpy(known.encode(origins, tokenizer)).to(device)


def exchanged(titles: Titles, seed: int = 1337) -> Titles:
    """Return the titles with their origins exchanged at random among them, within each part."""
    origins = {}
    for i, (part, own) in enumerate(titles.origins.items()):
        order = np.random.default_rng([seed, i]).permutation(len(own))
        origins[part] = [own[j] for j in order]
    return replace(titles, origins=origins)


def _pairs(origin, sees):
    """What an origin has for what is seen, as ("site", …), ("year", …), ("month", …)."""
    names = ("site",) * ("domain" in sees) + ("year", "month") * ("time" in sees)
    pairs = [(name, getattr(origin, name)) for name in names]
    return [pair for pair in pairs if pair[1] is not None]
