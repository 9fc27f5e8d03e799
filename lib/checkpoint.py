"""Checkpoints of a training run, so that a run that was killed can continue.

- A checkpoint is written whole or not at all: there is never half of one under its name. The last
  two are kept.
- Each file begins with the SHA-256 of the rest. A file that does not match is set aside under
  another name, and the checkpoint before it is used.
- Each stores the identity of its run (`lib.identity`). A checkpoint of a different run is refused,
  naming what differs. Where only code, PyTorch or the machine differ, a user who knows that this
  does not matter may accept it, and the record says so; a run with other settings, titles or tokens
  is never continued.
"""

import hashlib
import io
import os
import random
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .config import LATER
from .files import as_json, write_bytes

DIGEST = 32  # bytes of SHA-256
KEPT = 2
RESUME = ("same", "fresh", "accept")
FIXED = ("config", "stories", "titles", "tokenizer", "known")  # what nobody can vouch for


class Checkpoints:
    """The checkpoints of one run, in a folder of their own.

    `identity` identifies the run: a dictionary of what JSON can hold, all of whose values must
    match for a checkpoint to be used. `resume` says which ones are used: "same" (those that match),
    "accept" (also those that differ in none of FIXED), or "fresh" (none: what is there is removed).
    """

    def __init__(self, folder: str | Path, identity: dict, resume: str = "same"):
        if resume not in RESUME:
            raise ValueError(f"resume is {resume!r}; choose one of {', '.join(RESUME)}.")
        self.folder, self.identity, self.resume = Path(folder), _flat(as_json(identity)), resume
        if resume == "fresh":
            for path in (*self.folder.glob("step-*"), self.folder / "log.jsonl"):
                path.unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("step-*.tmp"):  # of a process that was killed as it wrote
            path.unlink()

    def save(self, step: int, state: dict) -> None:
        """Write `state` (tensors and plain values) as the checkpoint of `step`."""
        buffer = io.BytesIO()
        torch.save({"identity": self.identity, "state": state}, buffer)
        content = buffer.getbuffer()
        path = self.folder / f"step-{step:08d}.pt"
        write_bytes(path, hashlib.sha256(content).digest(), content)
        for old in self._paths()[:-KEPT]:
            old.unlink()

    def latest(self, device: torch.device) -> tuple[dict | None, list[str]]:
        """Return the newest intact state, or None, and which of its values differ but are accepted.

        A damaged checkpoint is renamed to `….damaged`, and a line is printed. Raises ValueError,
        naming the differences, if the checkpoint is from a different run, unless they can be
        accepted, and are.
        """
        for path in reversed(self._paths()):
            content = path.read_bytes()
            digest, content = content[:DIGEST], content[DIGEST:]
            if hashlib.sha256(content).digest() != digest:
                aside = path.with_suffix(".damaged")
                os.replace(path, aside)
                print(f"The checkpoint {path.name} is damaged and was set aside as {aside.name}.")
                continue
            saved = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
            later = {f"config.{name}": value for name, value in LATER.items()}
            later = {key: value for key, value in later.items() if key in self.identity}
            theirs = later | saved["identity"]
            differ = sorted(
                key
                for key in theirs.keys() | self.identity.keys()
                if theirs.get(key) != self.identity.get(key)
            )
            never = [key for key in differ if key.split(".")[0] in FIXED]
            if never or (differ and self.resume != "accept"):
                raise ValueError(self._another(path, theirs, never or differ, bool(never)))
            return saved["state"], differ
        return None, []

    def _paths(self):
        return sorted(self.folder.glob("step-*.pt"))

    def _another(self, path, theirs, differ, never):
        def told(key):
            values = _apart(repr(theirs.get(key)), repr(self.identity.get(key)))
            return f"its {key} is {values[0]}, this run's is {values[1]}"

        more = f"; and {len(differ) - 3} more differ" if len(differ) > 3 else ""
        vouch = 'vouch that this does not matter (--accept, or resume = "accept"), '
        return (
            f"The checkpoint {path.name} in {os.path.relpath(self.folder)} is of another run: "
            f"{'; '.join(map(told, differ[:3]))}{more}. Train again (--fresh, or "
            f'resume = "fresh" in a notebook), {"" if never else vouch}'
            "or write to another folder (out)."
        )


def state_of(parts: list, finished: bool) -> dict:
    """Return everything that the rest of a run depends on; for a finished run, only its weights.

    `parts` are modules, optimizers and schedulers.
    """
    wanted = (nn.Module,) if finished else object
    name, keys, *rest = np.random.get_state()
    return {
        "parts": {i: p.state_dict() for i, p in enumerate(parts) if isinstance(p, wanted)},
        "random": {
            "torch": torch.get_rng_state(),
            "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
            "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
            "numpy": (name, keys.tolist(), *rest),
            "python": random.getstate(),
        },
    }


def restore(state: dict, parts: list) -> None:
    """Restore `parts` and the random number generators to the state that `state_of` returned."""
    for i, kept in state["parts"].items():
        parts[i].load_state_dict(kept)
    torch.set_rng_state(state["random"]["torch"].cpu())
    if torch.cuda.is_available():
        for own in state["random"]["cuda"][:1]:  # a run is on one GPU, whichever that is
            torch.cuda.set_rng_state(own.cpu())
    if torch.backends.mps.is_available() and state["random"]["mps"] is not None:
        torch.mps.set_rng_state(state["random"]["mps"].cpu())
    np.random.set_state(state["random"]["numpy"])
    random.setstate(state["random"]["python"])


def _flat(value, prefix=""):
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        k: v
        for key, inner in value.items()
        for k, v in _flat(inner, f"{prefix}.{key}".lstrip(".")).items()
    }


def _apart(a, b, room=60):
    """Two texts that differ, cut to `room` characters where they begin to."""
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0)
    start = max(0, start - room // 3)

    def short(text):
        cut = text[start : start + room] if len(text) > room else text
        begun = "…" if len(text) > room and start else ""
        return begun + cut + ("…" if len(text) > room and start + room < len(text) else "")

    return short(a), short(b)
