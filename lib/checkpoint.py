"""Checkpoints of a training run, so that one that was killed continues where it was.

- Written to a temporary file, flushed, then renamed: there is never half a checkpoint under a
  checkpoint's name. The last two are kept.
- Each begins with the SHA-256 of the rest. One that does not match is set aside by another name,
  and the one before it is used.
- Each knows which run it is of, by configuration and stories; that of another run is refused.
"""

import hashlib
import io
import os
from pathlib import Path

import torch

DIGEST = 32  # bytes of SHA-256
KEPT = 2


class Checkpoints:
    """The checkpoints of one run, in a folder of their own.

    `identity` says which run it is: a dictionary of what JSON can hold, every value of which must
    be the same for a checkpoint to be continued from.
    """

    def __init__(self, folder: str | Path, identity: dict):
        self.folder, self.identity = Path(folder), _flat(identity)
        self.folder.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, state: dict) -> None:
        """Write `state` (tensors and plain values) as the checkpoint of `step`."""
        buffer = io.BytesIO()
        torch.save({"identity": self.identity, "state": state}, buffer)
        content = buffer.getvalue()
        path = self.folder / f"step-{step:08d}.pt"
        temporary = path.with_suffix(".tmp")
        with open(temporary, "wb") as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        for old in self._paths()[:-KEPT]:
            old.unlink()

    def latest(self, device: torch.device) -> dict | None:
        """Return the newest whole state, or None where there is none.

        A damaged checkpoint is renamed to `….damaged` and named on the screen. Raises ValueError
        where the checkpoint is another run's, naming the first difference.
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
            self._refuse_another(saved["identity"], path)
            return saved["state"]
        return None

    def _paths(self):
        return sorted(self.folder.glob("step-*.pt"))

    def _refuse_another(self, identity, path):
        for key in sorted(identity.keys() | self.identity.keys()):
            theirs, ours = identity.get(key), self.identity.get(key)
            if theirs != ours:
                raise ValueError(
                    f"The checkpoint {path.parent.name}/{path.name} is of another run: its {key} "
                    f"is {_short(theirs)}, this run's is {_short(ours)}. Remove its folder, run "
                    "with --fresh, or use another `out`."
                )


def _flat(value, prefix=""):
    if not isinstance(value, dict):
        return {prefix: list(value) if isinstance(value, tuple) else value}
    return {
        k: v
        for key, inner in value.items()
        for k, v in _flat(inner, f"{prefix}.{key}".lstrip(".")).items()
    }


def _short(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
