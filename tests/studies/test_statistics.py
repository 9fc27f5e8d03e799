"""How far two sets of losses are apart: by hand, and as numpy has it."""

import numpy as np
import pytest

from studies.statistics import difference, standard_error


def test_the_standard_error_is_numpys():
    losses = [1.9, 2.0, 2.4, 2.1]
    assert standard_error(losses) == pytest.approx(np.std(losses, ddof=1) / np.sqrt(4), rel=1e-12)
    assert standard_error([1.0, 4.0]) == pytest.approx(1.5)  # sd 3/√2, over √2


def two(mean, error):
    """Two losses of this mean and standard error."""
    return [mean - error, mean + error]


@pytest.mark.parametrize(
    ("after", "apart", "real"),
    [
        (4.0, 0.0, False),
        (3.01, -0.99, False),
        (2.99, -1.01, True),
        (4.99, 0.99, False),
        (5.01, 1.01, True),
    ],
)
def test_a_difference_is_real_beyond_two_standard_errors(after, apart, real):
    found = difference(two(4.0, 0.3), two(after, 0.4))
    assert found["standard_error"] == pytest.approx(0.5)  # a triangle of 3, 4, 5
    assert found["difference"] == pytest.approx(apart)
    assert found["real"] is real


def test_sets_of_unlike_size_have_each_their_own_error():
    before, after = [2.0, 2.2, 2.1], [1.9, 2.0]
    found = difference(before, after)
    error = np.sqrt(np.var(before, ddof=1) / 3 + np.var(after, ddof=1) / 2)
    assert found["standard_error"] == pytest.approx(error)
    assert found["difference"] == pytest.approx(1.95 - 2.1)
