"""What all tests of the studies run with."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def few_threads(one_thread):
    """One, since what they train is small."""
