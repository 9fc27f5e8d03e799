"""What others report on the same challenge, and what it would be with every token scored.

`peers.csv` holds a row for each public result:

- the loss that its `evaluate()` printed;
- the block and the batch of that evaluation;
- how many training tokens one of its logs counted;
- whether its titles are the hub's old ones or the new ones that replaced them;
- why it cannot be compared with any other, if that is so.

Hardly anyone reports the number of validation tokens, so it is estimated. There are nine times as
many training titles as validation titles, but the validation titles are a little shorter (see
NINTH).
"""

import csv
from pathlib import Path

from lib.files import BOOK

# Validation tokens divided by a ninth of the training tokens: the likely, lowest and highest ratio.
# `old`: the validation text counted by https://github.com/ruodingt/mainrun
# (docs/analysis/tokenizer_profiler.md), at the challenge's own tokenizer; `new`: both counts in
# one log of https://github.com/undivisible/mainrun (experiment_results/baseline.log). The bounds
# follow from the first evaluations in the logs of https://github.com/arshchawla21/mainrun: an
# untrained model costs ln(vocabulary) a token, which tells how many spans were scored.
NINTH = {"old": (0.989, 0.9885, 0.9930), "new": (0.998, 0.9934, 1.0094)}


def read_peers(path: Path = BOOK / "peers.csv") -> dict[str, dict]:
    """Return the rows of `peers.csv` by their `key`, with numbers parsed and empty fields as None.

    Estimates are added to each row: `val_tokens`; the `coverage` that follows from them;
    `corrected`, which is `reported` (nats per character) divided by that coverage; and its bounds,
    `least` and `most`. All are None if the training tokens are not known, and the last three also
    if the result cannot be compared.

    Raises ValueError for a row without a source or an address, and for a field that is not a
    number.
    """
    with open(path, newline="", encoding="utf-8") as file:
        return {row["key"]: _parse(row) for row in csv.DictReader(file)}


def coverage_of(tokens: int, block: int, batch: int) -> float:
    """Return the share of `tokens` that `evaluate()` scores.

    It scores whole spans of block × batch tokens, and skips one token between two spans.
    """
    span = block * batch
    return tokens // (span + 1) * span / tokens


def _parse(row):
    key = row["key"]
    if None in row or None in row.values():
        raise ValueError(f"peers.csv: {key} has not as many fields as the header.")
    for name in ("source", "url"):
        if not row[name]:
            raise ValueError(f"peers.csv: {key} has no {name}.")
    if row["titles"] not in NINTH:
        raise ValueError(f"peers.csv: titles of {key} is {row['titles']!r}, not old or new.")
    peer = {name: value or None for name, value in row.items()}
    kinds = {"reported": float, "block": int, "batch": int, "train_tokens": int}
    for name, kind in kinds.items():
        if name == "train_tokens" and not row[name]:
            continue
        try:
            peer[name] = kind(row[name])
        except ValueError as error:
            message = f"peers.csv: {name} of {key} is {row[name]!r}, which is no such number."
            raise ValueError(message) from error
    return peer | _estimates(peer)


def _estimates(peer):
    names = ("val_tokens", "coverage", "corrected", "least", "most")
    found = dict.fromkeys(names)
    if peer["train_tokens"] is None:
        return found
    likely, fewest, most = (round(peer["train_tokens"] / 9 * f) for f in NINTH[peer["titles"]])
    span = peer["block"], peer["batch"]
    found |= {"val_tokens": likely, "coverage": coverage_of(likely, *span)}
    if not peer["unfair"]:
        losses = [peer["reported"] / coverage_of(n, *span) for n in range(fewest, most + 1)]
        found |= {"corrected": peer["reported"] / found["coverage"]}
        found |= {"least": min(losses), "most": max(losses)}
    return found
