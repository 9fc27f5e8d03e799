"""What identifies a run or a worker, and in what two of them differ."""

import torch

from lib.config import Config
from lib.data import Titles
from lib.device import best_device, use_bf16
from lib.files import as_json
from lib.identity import digest, identity, modules
from lib.tokenizer import train_tokenizer


def identity_of(config: Config, titles: Titles) -> dict:
    """Return the `identity` that a run of `config`, trained here and now, will have in its record.

    It is what the run depends on apart from its settings and stories (see `lib.identity`).
    """
    device = best_device()
    tokenizer = train_tokenizer(config, titles)
    known = identity(config, titles, tokenizer, device, use_bf16(config.precision, device))
    return {k: v for k, v in as_json(known).items() if k not in ("config", "stories")}


def version(titles: Titles) -> dict:
    """Return what two processes must share to train the same run: code, PyTorch and stories."""
    stories = digest([titles.train, titles.val, titles.test, titles.stories])
    return {"code": modules(), "torch": str(torch.__version__), "stories": stories}


def differing(theirs: dict, ours: dict, within: str = "") -> dict[str, tuple]:
    """Return what differs, theirs and ours, by name: "code.model" where it is within another."""
    found = {}
    for key in sorted(theirs.keys() | ours.keys()):
        pair = [theirs.get(key), ours.get(key)]
        if all(isinstance(value, dict) for value in pair):
            found |= differing(*pair, f"{within}{key}.")
        elif pair[0] != pair[1]:
            found[within + key] = tuple(pair)
    return found


def refuse_another(shown: str, there: dict, now: dict, fixed: tuple, resume: str) -> list[str]:
    """Return the names of what differs from the record `shown` but is accepted.

    `there` is what the record says, `now` what it would say today. `resume` "accept" accepts every
    difference but those named in `fixed`, which nobody can vouch for. With "fresh" a record is
    overwritten, so callers do not ask here.

    Raises ValueError, naming what differs, unless all of it is accepted.
    """
    found = differing(there, now)
    differ = {name.removeprefix("identity."): pair for name, pair in found.items()}
    never = {name: pair for name, pair in differ.items() if name.split(".")[0] in fixed}
    if never or (differ and resume != "accept"):
        vouch = "Write" if never else "Vouch that this does not matter (--accept), or write"
        raise ValueError(
            f"{shown} is of another study; what differs is {tell(never or differ)}. "
            f"{vouch} over it with --fresh, or elsewhere (--out)."
        )
    return sorted(differ)


def refuse_unlike(name: str, runs: list[dict]) -> None:
    """Raise ValueError where the records `runs` differ in what they depend on beside settings."""
    for run in runs[1:]:
        if found := differing(runs[0]["identity"], run["identity"]):
            first, other = (r["config"]["seed"] for r in (runs[0], run))
            told = ", ".join(f"{key} ({a!r} and {b!r})" for key, (a, b) in found.items())
            raise ValueError(
                f"The runs of {name} are not alike, and have no mean: seeds {first} and {other} "
                f"differ in {told}. Train them on machines of one kind."
            )


def refuse_other_stories(shown: str, there: dict, titles: Titles) -> None:
    """Raise ValueError where the record `there`, called `shown`, is of other stories."""
    both = {"stories": there["stories"]}, {"stories": titles.stories}
    refuse_another(shown, *both, ("stories",), "same")


def tell(differ: dict[str, tuple]) -> str:
    """Return what `differing` found, in words: "seeds (2, here 3)"."""
    return ", ".join(f"{name} ({a!r}, here {b!r})" for name, (a, b) in differ.items())
