"""How far apart two sets of losses are, and how certain that is.

Losses are in nats per character, one per seed; the nats of a title are summed over it.

- Two means are compared by Welch's test, which lets each set have its own spread. With only three
  to five seeds, a difference of two standard errors is far too weak a requirement.
- Among many comparisons, some succeed by chance. Holm's correction makes each of them stricter, so
  that the chance of even one false positive stays below LEVEL.
- Seeds say nothing about which titles were drawn. A bootstrap over the titles does.
"""

import math
import statistics

import numpy as np

LEVEL = 0.05  # the p below which a difference is called significant
RESAMPLES = 10_000
SURELY = ("low", "high", "p", "p_paired")  # what `difference` says beside its error


def standard_error(losses: list[float]) -> float:
    """Return the standard error of the mean of two `losses` or more: sd / √n, sd with n - 1."""
    return statistics.stdev(losses) / math.sqrt(len(losses))


def difference(before: list[float], after: list[float], paired: bool = False) -> dict:
    """Return how far the mean of `after` lies from that of `before`, by Welch's test.

    - `difference` is after minus before, and `standard_error` its error.
    - `low` to `high` is its 95% confidence interval.
    - `p` is how often chance makes a difference as large.
    - `p_paired`, only with `paired`, is the p of Student's test of the differences seed by seed:
      losses at the same place are then of the same seed.

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
    """Return the p-values `p` corrected for testing all of them at once, by Holm's method.

    The smallest is multiplied by their number n, the next by n - 1, and so on. No result is smaller
    than the one before it, or larger than 1. Holm 1979, https://www.jstor.org/stable/4615733
    """
    corrected, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        corrected[i] = least = max(least, min(1.0, (len(p) - rank) * p[i]))
    return corrected


def over_titles(before: list[float], after: list[float], chars: int) -> dict:
    """Return a difference and how far other titles would change it, by a bootstrap over the titles.

    `before` and `after` are the nats of each title under two models; `chars` is the number of
    characters in all titles. The result has the `difference`, after minus before in nats per
    character, and `low` and `high`, between which it lies in 95% of RESAMPLES draws of as many
    titles.
    """
    apart = (np.asarray(after) - np.asarray(before)) * (len(before) / chars)
    rng, count = np.random.default_rng(1337), len(apart)
    drawn = [apart[rng.integers(count, size=count)].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return {"difference": float(apart.mean()), "low": float(low), "high": float(high)}


def judge(below: dict, rung: dict, kept: bool | None, chars: int) -> dict:
    """Return a rung's gain over the rung below, how certain it is, and whether it is kept.

    Both rungs have `losses`, one per seed, their `mean`, and `title_nats`, the nats of each title;
    `chars` is the number of characters in all titles. A rung is kept if its gain is positive and p
    is below LEVEL, unless `kept` gives the verdict, as it must with a single seed.
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
