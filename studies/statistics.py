"""How far two sets of losses are apart, and how surely.

Losses are in nats per character, one a seed.
"""

import math
import statistics


def standard_error(losses: list[float]) -> float:
    """Return the standard error of the mean of two `losses` or more: sd / √n, sd with n - 1."""
    return statistics.stdev(losses) / math.sqrt(len(losses))


def difference(before: list[float], after: list[float]) -> dict:
    """Return how far the mean of `after` lies from that of `before`: difference and its error.

    `difference` is after less before, `standard_error` that of the difference of two independent
    means, and `real` says whether the difference is more than two of them.
    """
    apart = statistics.mean(after) - statistics.mean(before)
    error = math.hypot(standard_error(before), standard_error(after))
    return {"difference": apart, "standard_error": error, "real": abs(apart) > 2 * error}
