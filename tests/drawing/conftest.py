"""What the tests of figures share: the axes that a figure was drawn on, to be read back."""

import pytest
from matplotlib.figure import Figure

from drawing import style


@pytest.fixture
def drawn(monkeypatch):
    """The axes of each figure, in the order they are drawn."""
    axes = []

    class Kept(Figure):
        def subplots(self, *args, **kwargs):
            axes.append(super().subplots(*args, **kwargs))
            return axes[-1]

    monkeypatch.setattr(style, "Figure", Kept)
    return axes
