"""How far two sets of losses are apart: by hand, by numpy, and by what chance does."""

import math

import numpy as np
import pytest

from studies.statistics import difference, holm, over_titles, standard_error


def test_the_standard_error_is_numpys():
    losses = [1.9, 2.0, 2.4, 2.1]
    assert standard_error(losses) == pytest.approx(np.std(losses, ddof=1) / np.sqrt(4), rel=1e-12)
    assert standard_error([1.0, 4.0]) == pytest.approx(1.5)  # sd 3/√2, over √2


def test_sets_of_unlike_size_have_each_their_own_error():
    before, after = [2.0, 2.2, 2.1], [1.9, 2.0]
    found = difference(before, after)
    error = np.sqrt(np.var(before, ddof=1) / 3 + np.var(after, ddof=1) / 2)
    assert found["standard_error"] == pytest.approx(error)
    assert found["difference"] == pytest.approx(1.95 - 2.1)


def test_p_is_of_students_distribution_with_welchs_degrees_of_freedom():
    """Two and two of one spread: two degrees, where P(|t| > x) = 1 - x / √(x² + 2)."""
    found = difference([3.7, 4.3], [1.7, 2.3])
    t = 2.0 / math.hypot(0.3, 0.3)
    assert found["p"] == pytest.approx(1 - t / math.sqrt(t**2 + 2))
    at_95 = 0.95 * math.sqrt(2 / (1 - 0.95**2))  # where that probability is 0.05
    reach = at_95 * found["standard_error"]
    assert (found["low"], found["high"]) == pytest.approx((-2 - reach, -2 + reach))


def test_pairs_are_compared_by_their_differences():
    """Far apart as seeds, always a tenth apart as pairs; two degrees again, by the same formula."""
    before, after = [1.0, 2.0, 3.0], [0.9, 1.8, 2.9]
    found = difference(before, after, paired=True)
    apart = np.subtract(after, before)
    t = abs(apart.mean()) / (apart.std(ddof=1) / math.sqrt(3))
    assert found["p_paired"] == pytest.approx(1 - t / math.sqrt(t**2 + 2))
    assert found["p"] > 0.5 and "p_paired" not in difference(before, after)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_chance_alone_is_called_real_no_more_often_than_it_says(count):
    """Where both sets are of one distribution; two standard errors call 18 % of them real."""
    rng = np.random.default_rng(0)
    found = [difference(*rng.normal(size=(2, count)).tolist())["p"] for _ in range(1000)]
    assert np.mean(np.array(found) < 0.05) < 0.065


def test_holms_correction_is_that_of_a_worked_example():
    """From the smallest: 4 × 0.005, 3 × 0.01, 2 × 0.03, and 0.04, which may not be less."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_bootstrap_is_as_wide_as_the_mean_of_the_titles_is_uncertain():
    rng = np.random.default_rng(1)
    before = rng.gamma(20.0, 3.0, size=2000)
    after = before - rng.normal(2.0, 10.0, size=2000)
    chars = 2000 * 55
    found = over_titles(before.tolist(), after.tolist(), chars)
    assert found["difference"] == pytest.approx((after.sum() - before.sum()) / chars)
    error = (after - before).std(ddof=1) / math.sqrt(2000) / 55
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * error, rel=0.05)
    assert found["low"] < found["difference"] < found["high"]
    assert over_titles(before.tolist(), after.tolist(), chars) == found  # the same draws again
