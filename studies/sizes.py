"""What a run computes, and what each step gains over the one before it from preset to preset.

The gains are those of a preset's published steps, one run each; if it has none, they are
differences of means over seeds.
"""

from itertools import pairwise
from pathlib import Path

from lib.config import PRESETS
from lib.record import read_steps
from lib.steps import STEPS

from .seeds import read_differences


def gains_by_size(homes: dict[str, str | Path]) -> dict[str, dict[str, float]]:
    """Return how much lower each step's loss is than that of the step before it, by preset.

    Full coverage, nats per character; the smallest preset comes first. `homes` says where each
    preset's `results/` are. A preset that has neither steps nor seeds is left out, and so is a step
    without the one before it.

    Raises ValueError for damaged records.
    """
    found = {}
    for preset in [name for name in PRESETS if name in homes]:
        gains = _of_steps(homes[preset], preset) or _of_seeds(homes[preset], preset)
        if gains:
            found[preset] = gains
    return found


def computation(record: dict) -> float:
    """Return what an epoch of the run computes, in 10^12 floating-point operations.

    That is C = 6ND: six operations for each parameter and token, two of them forward (Kaplan et
    al. 2020, https://arxiv.org/abs/2001.08361), without the scores of attention; and twice as many
    with R-Drop, which takes every token twice.
    """
    passes = 2 if record["config"]["r_drop"] else 1
    return 6 * record["parameters"] * record["tokens"]["train"] * passes / 1e12


def _of_steps(home, preset):
    try:
        records = read_steps(home, preset)
    except FileNotFoundError:
        return {}
    losses = {record["step"]: record["losses"]["full_coverage"] for record in records}
    order = sorted({*STEPS, *losses})
    pairs = [pair for pair in pairwise(order) if losses.keys() >= set(pair)]
    return {step: losses[before] - losses[step] for before, step in pairs}


def _of_seeds(home, preset):
    try:
        differences = read_differences(home, preset)
    except FileNotFoundError:
        return {}
    return {step: -found["difference"] for step, found in differences.items() if step[0].isdigit()}
