"""How far two sets of losses are apart, and how surely.

Losses are in nats per character, one a seed; nats of a title are its own sum.

- Two means are compared by Welch's test, which lets each set have a spread of its own: with the
  three to five seeds that there are, twice the standard error is far too little to ask for.
- Where many comparisons are made, some come out by chance. Holm's correction asks so much more of
  each that the chance of even one false one stays below LEVEL.
- Seeds say nothing of which titles were drawn. That is what a bootstrap over the titles says.
"""

import math
import statistics

import numpy as np

LEVEL = 0.05  # of a difference that is called significant: how often chance alone makes one
RESAMPLES = 10_000
SURELY = ("low", "high", "p", "p_paired")  # what `difference` says beside its error


def standard_error(losses: list[float]) -> float:
    """Return the standard error of the mean of two `losses` or more: sd / √n, sd with n - 1."""
    return statistics.stdev(losses) / math.sqrt(len(losses))


def difference(before: list[float], after: list[float], paired: bool = False) -> dict:
    """Return how far the mean of `after` lies from that of `before`, by Welch's test.

    `difference` is after less before and `standard_error` its error; `low` and `high` hold it with
    95 % confidence, and `p` is how often chance makes one as large. With `paired` the losses at one
    place are of one seed, and `p_paired` is that of the test of their differences (Student's).

    Welch 1947, https://doi.org/10.1093/biomet/34.1-2.28
    """
    from scipy import stats  # what is only read needs no SciPy

    apart = statistics.mean(after) - statistics.mean(before)
    found = stats.ttest_ind(after, before, equal_var=False)
    low, high = found.confidence_interval(0.95)

    def p(test):  # where nothing varies there is no test, and nothing to ask it
        return float(apart == 0) if math.isnan(test.pvalue) else float(test.pvalue)

    return {
        "difference": apart,
        "standard_error": math.hypot(standard_error(before), standard_error(after)),
        "low": apart if math.isnan(low) else float(low),
        "high": apart if math.isnan(high) else float(high),
        "p": p(found),
        **({"p_paired": p(stats.ttest_rel(after, before))} if paired else {}),
    }


def holm(p: list[float]) -> list[float]:
    """Return each of `p` as it is where all of them are asked at once, by Holm's correction.

    The smallest is multiplied by their number n, the next by n - 1, …; none becomes smaller than
    one before it, or larger than 1. Holm 1979, https://www.jstor.org/stable/4615733
    """
    corrected, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        corrected[i] = least = max(least, min(1.0, (len(p) - rank) * p[i]))
    return corrected


def over_titles(before: list[float], after: list[float], chars: int) -> dict:
    """Return how surely a difference is one on other titles too, by a bootstrap over these.

    `before` and `after` are the nats of each title under two models, `chars` the characters of all.
    The result has the `difference`, after less before in nats per character, and `low` and `high`,
    between which it lies in 95 % of RESAMPLES draws of as many titles.
    """
    apart = (np.asarray(after) - np.asarray(before)) * (len(before) / chars)
    rng, count = np.random.default_rng(1337), len(apart)
    drawn = [apart[rng.integers(count, size=count)].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return {"difference": float(apart.mean()), "low": float(low), "high": float(high)}


def judge(below: dict, rung: dict, kept: bool | None, chars: int) -> dict:
    """Return what a rung of a ladder gained over the one below it, how surely, whether it is kept.

    Each has `losses`, a seed each, their `mean`, and `title_nats`, the nats of each title; `chars`
    are the characters of all. A rung is kept where its gain is positive and p is below LEVEL;
    `kept` says so in place of that, and must where there is one seed.
    """
    drawn = over_titles(rung["title_nats"], below["title_nats"], chars)
    found = {
        "gain": below["mean"] - rung["mean"],
        "titles": {name: drawn[name] for name in ("low", "high")},
    }
    if len(rung["losses"]) > 1:
        surely = difference(rung["losses"], below["losses"], paired=True)
        found |= {name: surely[name] for name in ("standard_error", *SURELY)}
    if kept is None:
        kept = found["gain"] > 0 and found["p"] < LEVEL
    return {**found, "kept": kept}


def ask_all_at_once(rungs: dict[str, dict]) -> None:
    """Put Holm's correction of `p` and of `p_paired` in each of `rungs` that has them."""
    for test, corrected in (("p", "p_holm"), ("p_paired", "p_paired_holm")):
        tested = [rung for rung in rungs.values() if test in rung]
        for rung, p in zip(tested, holm([rung[test] for rung in tested]), strict=True):
            rung[corrected] = p
