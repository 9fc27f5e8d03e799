"""How far other titles would change the difference between two published runs.

Each side is a single run, so this says nothing about other seeds; `studies.seeds` does.
"""

from itertools import pairwise
from pathlib import Path

from lib.compare import compare_alike, refuse_mixed
from lib.details import read_detail
from lib.record import read_record
from lib.steps import LADDER, LOWEST_TUNED, PUBLIC_BEST_TUNED

from .statistics import over_titles


def beside(records: list[dict], others: list[dict]) -> list[tuple[str, str]]:
    """Return which pairs of runs to compare: each of the steps `records` with the one before it.

    `others` are not steps. Each that is on the same titles is paired with step three, a tuned one
    with the tuned step three.
    """
    names = [record["step"] for record in records]
    there = {r["step"] for r in [*records, *others] if compare_alike([records[0], r])}
    pairs = list(pairwise(names))
    for name in [other["step"] for other in others]:
        first = LADDER["to"]
        if name == PUBLIC_BEST_TUNED and LOWEST_TUNED in there:
            first = LOWEST_TUNED
        if {first, name} <= there:
            pairs.append((first, name))
    return pairs


def differences(home: str | Path, preset: str, pairs: list[tuple[str, str]]) -> dict[str, dict]:
    """Return how far apart the two runs of each pair on `preset` are, by the name of the second.

    `title` and `before` name the second and the first run. `val` and `test` each hold, for those
    titles, the `difference` of the full-coverage losses, second minus first in nats per character,
    and `low` and `high`, between which it lies in 95% of draws of as many titles
    (`studies.statistics.over_titles`). `test` is None if there are no test titles.

    Raises FileNotFoundError for a run that is not in `home`, ValueError for two of other titles.
    """
    found = {}
    for names in pairs:
        first, second = records = [read_record(home, preset, name) for name in names]
        refuse_mixed(records)
        kept = [read_detail(home, preset, name, "titles") for name in names]
        found[names[1]] = told = {"title": second["title"], "before": first["title"]}
        chars = {"val": first["titles"]["val_chars"]}
        if kept[0]["test"]:  # a record has no count of these: it is in the loss
            chars["test"] = round(sum(kept[0]["test"]) / first["losses"]["test"])
        for part in ("val", "test"):
            nats = [titles[part] for titles in kept]
            told[part] = over_titles(*nats, chars[part]) if part in chars else None
    return found
