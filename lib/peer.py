"""The best public recipe, trained on the same titles and at the same shape as the book's steps."""

import shutil
from pathlib import Path

from .config import PUBLIC_BEST, PUBLIC_BEST_TITLE, load_step
from .data import Titles
from .record import save
from .train import train


def train_peer(preset: str, titles: Titles, out: str | Path, fresh: bool = False) -> dict:
    """Train the recipe once, at the steps' own seed, and return its record.

    Writes `out/results/public_best.json`, the weights beside it. As a published step's, its losses
    are on the validation titles and, once, on the test titles. A run that was stopped continues
    from its checkpoint under `out/_build/peer-<preset>/`; `fresh` removes that first.

    Raises ValueError for a preset that is not there, and for the checkpoint of another run.
    """
    config = load_step(PUBLIC_BEST, preset)
    folder = Path(out) / "_build" / f"peer-{preset}"
    if fresh and folder.exists():
        shutil.rmtree(folder)
    return save(train(config, titles, folder=folder), out, PUBLIC_BEST, PUBLIC_BEST_TITLE)
