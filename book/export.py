"""The models of the page *Try it*, written again from the weights that a run left."""

import os
from pathlib import Path

from lib.files import BOOK, results

from .finished import read_or_none
from .mirror import copy_file


def export(preset: str, out: Path | None = None) -> None:
    """Write the `model.bin` of each step on `preset` from its weights in `out`, a run's folder.

    Without `out` the run is the one that `publish` executes, and a model of the run that the book
    shows is copied into the book. Prints a line for each. Raises FileNotFoundError if there are no
    weights.
    """
    from lib.export import write_model  # needs PyTorch, which not every command loads
    from lib.record import load_model, read_record

    folder = out or BOOK / "_build" / f"publish-{preset}"
    weights = sorted((folder / "results" / preset).glob("[0-9]*.pt"))
    if not weights:
        raise FileNotFoundError(
            f"no weights in {os.path.relpath(folder)}/results/{preset}: run the steps first, or "
            "name the folder of a run (--out)"
        )
    for step in (path.stem for path in weights):
        model, tokenizer = load_model(folder, preset, step)
        record = read_record(folder, preset, step)
        written = results(folder, preset, f"{step}/model", ".bin")
        own = sorted({"rotate", "tokenizer"} & record["identity"]["notebook"].keys())
        if own and not written.exists():  # what was brought to its training is not in its weights
            print(f"{step} cannot be tried in a browser: its notebook brings its {own[0]}.")
        elif write_model(folder, model, tokenizer, record):
            shown = read_or_none(results(BOOK, preset, step)) or {}
            if out is None and shown.get("weights") != record["weights"]:
                print(f"{step}: the book shows another run, and keeps its model.")
                continue
            target = written if out else results(BOOK, preset, f"{step}/model", ".bin")
            if target != written:
                copy_file(written, target)
            print(os.path.relpath(target))
