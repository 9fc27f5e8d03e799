"""Figures of bars, a token each: what a model expects next, and what occurs most."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from .style import GREY, Drawing, color, draw
from .text import shown


def bars(
    out, label: str, names, values, *, xlabel: str, alt: str, own=GREY, title="", marked=()
) -> Drawing:
    """Draw a horizontal bar for each of `names`, the first on top; those `marked` are darker."""
    names, values = [shown(name) for name in names], list(values)
    marked = [shown(name) for name in marked]

    def plot(axes):
        places = np.arange(len(names))
        full = [name in marked or not marked for name in names]
        for place, value, strong in zip(places, values, full, strict=True):
            axes.barh(place, value, color=own, alpha=1.0 if strong else 0.45, height=0.72)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.set(xlabel=xlabel, title=title)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.margins(y=0.02)

    data = pd.DataFrame({"token": names, xlabel: values})
    height = 1.2 + 0.22 * len(names) + 0.2 * title.count("\n")
    return draw(out, label, data, alt, plot, height)


def next_tokens(out, label: str, record: dict, which: int) -> Drawing:
    """Draw the ten most probable next tokens of the record's prediction number `which`.

    The context stands above; the bar of the token that really follows is the darker one.
    """
    prediction = record["predictions"][which]
    names = [entry["token"] for entry in prediction["top"]]
    target = prediction["target"]
    context = prediction["context"]
    short = context if len(context) <= 110 else "…" + context[-110:]
    place = f"number {names.index(target) + 1}" if target in names else "not among the ten"
    title = "\n".join(
        [*textwrap.wrap("after: " + short, 56), f"really next: {shown(target)} ({place})"]
    )
    return bars(
        out,
        label,
        names,
        [entry["p"] for entry in prediction["top"]],
        xlabel="probability of the next token",
        alt=f"The ten most probable next tokens; first {shown(names[0])} with probability "
        f"{prediction['top'][0]['p']:.3f}. The true next token, {shown(target)}, is {place}.",
        own=color(record["step"]),
        title=title,
        marked=[target],
    )


def token_frequency(out, label: str, run, count: int = 20) -> Drawing:
    """Draw the `count` most frequent tokens of a run's training stream, in percent of it."""
    counts = np.bincount(run.train_ids.cpu().numpy(), minlength=run.tokenizer.vocab_size)
    top = np.argsort(-counts, kind="stable")[:count]
    names = [run.tokenizer.token(int(i)) for i in top]
    share = 100 * counts[top] / counts.sum()
    alt = f"The {count} most frequent tokens; first {shown(names[0])}, {share[0]:.1f} % of all."
    return bars(out, label, names, share, xlabel="share of the training tokens (%)", alt=alt)
