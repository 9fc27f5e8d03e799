"""What others report on the same challenge, and what it would be with every token scored.

`peers.csv` holds a row for each public result: the loss that its `evaluate()` printed, the block
and the batch of its evaluation, and the coverage that follows, where it is known.
"""

import csv
from pathlib import Path

from lib.files import BOOK


def read_peers(path: Path = BOOK / "peers.csv") -> dict[str, dict]:
    """Return the rows of `peers.csv` by their `key`, numbers parsed, what is empty None.

    `reported` is in nats per character, `lossless` whether every title comes back from its tokens.
    `corrected` is reported / coverage, an estimate of the loss at full coverage; None where the
    coverage is not known, and where the titles do not come back.

    Raises ValueError for a row without a source and for a number that is none.
    """
    with open(path, newline="", encoding="utf-8") as file:
        return {row["key"]: _parse(row) for row in csv.DictReader(file)}


def coverage_of(tokens, block: int, batch: int):
    """Return the share of `tokens`, a number or an array, that `evaluate()` scores.

    It scores those of whole spans of block × batch tokens, with one more between two of them.
    """
    span = block * batch
    return tokens // (span + 1) * span / tokens


def explains(tokens, peer: dict):
    """Return whether `tokens` validation tokens give the coverage told of `peer`, as it is told."""
    return abs(coverage_of(tokens, peer["block"], peer["batch"]) - peer["coverage"]) <= 0.0005


def _parse(row):
    key = row["key"]
    if None in row or None in row.values():
        raise ValueError(f"peers.csv: {key} has not as many fields as the header.")
    if not row["source"]:
        raise ValueError(f"peers.csv: {key} has no source.")
    peer = {name: value or None for name, value in row.items()}
    for name, kind in (("reported", float), ("block", int), ("batch", int), ("coverage", float)):
        if name == "coverage" and not row[name]:
            continue
        try:
            peer[name] = kind(row[name])
        except ValueError as error:
            message = f"peers.csv: {name} of {key} is {row[name]!r}, which is no such number."
            raise ValueError(message) from error
    peer["lossless"] = row["lossless"] == "yes"
    fair = peer["lossless"] and peer["coverage"]
    peer["corrected"] = peer["reported"] / peer["coverage"] if fair else None
    return peer
