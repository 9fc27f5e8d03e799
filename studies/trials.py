"""The settings that the trials of a search try: those it begins with, and those it draws."""

import json

from lib.config import Config
from lib.files import as_json

TAKEN = 2  # trials of a smaller preset that a search begins with: its best are much alike


def suggest(trial, config: Config, space: dict) -> dict:
    """Return the changes to `config` that `trial` tries, from `space` (`lib.steps.SEARCHES`).

    Of vocabulary factors that give `config` the same size only one is offered: otherwise one
    configuration would have two names, and be two trials.
    """
    drawn = {}
    for name in space:
        values = _values(name, space, config)
        if isinstance(values, list):
            drawn[name] = trial.suggest_categorical(name, values)
        else:
            low, high, *scale = values
            drawn[name] = trial.suggest_float(name, low, high, log=scale == ["log"])
    if "batch_factor" in drawn:
        drawn["batch_factor"] *= config.batch_factor
    return drawn


def _values(name, space, config):
    """Return what may be drawn of `name`: one of the vocabularies that come to one size."""
    if name != "vocab_factor":
        return space[name]
    kept = {}
    for factor in sorted(space[name], key=lambda f: f != 1):  # the step's own size is as itself
        kept.setdefault(config.change(vocab_factor=factor).vocab_size, factor)
    return sorted(kept.values())


def as_it_is(config: Config, space: dict) -> dict:
    """Return what a trial draws from `space` where nothing of `config` is changed."""
    return {n: 1.0 if n.endswith("_factor") else getattr(config, n) for n in space}


def best(like: dict | None, config: Config, space: dict) -> list[dict]:
    """Return what the best trials of the record `like` drew, the best first.

    Without those whose vocabulary `config` cannot have. Raises ValueError where `like` was searched
    in other ranges than `space`.
    """
    if like is None:
        return []
    if like["space"] != as_json(space):
        raise ValueError(
            f"The search on {like['preset']} was in other ranges than those of lib/steps.py: "
            "search there again first."
        )
    trials = sorted(like["trials"], key=lambda trial: trial["loss"])
    drawn = [trial["changes"] for trial in trials]
    if "vocab_factor" in space:
        sizes = _values("vocab_factor", space, config)
        drawn = [d for d in drawn if d["vocab_factor"] in sizes]
    return drawn[:TAKEN]


def chosen(changes: dict, config: Config, space: dict) -> dict:
    """Return what a trial draws that leaves `config` as it is except for `changes`.

    Each value is as the sampler would draw it, 4.0 for 4, since its checkpoint is found by that
    name. Raises ValueError for a setting that is not in `space`, or a value that is not.
    """
    drawn = as_it_is(config, space)
    for name, value in changes.items():
        if name not in space:
            raise ValueError(f"The search turns {', '.join(space)}, and not {name}.")
        values = _values(name, space, config)
        found = _among(value, values)
        if not found:
            raise ValueError(f"The search tries no {name} of {value!r}: it tries {values}.")
        drawn[name] = found[0]
    return drawn


def _among(value, values):
    """Return the one of `values` that `value` is, in a list; an empty list where it is none."""
    if isinstance(values, list):
        return [v for v in values if value == v and isinstance(value, bool) == isinstance(v, bool)]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return [float(value)] if number and values[0] <= value <= values[1] else []


def read(settings: list[str]) -> dict:
    """Return the settings that were given as `name=value`, a number, true or false.

    Raises ValueError for one that was not.
    """
    changes = {}
    for text in settings:
        name, _, value = text.partition("=")
        try:
            changes[name] = json.loads(value)
        except ValueError as error:
            raise ValueError(f"{text!r} is no setting as dropout=0.1.") from error
    return changes
