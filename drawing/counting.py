"""What step four shows: network and counts apart and mixed, and where the counts knew better."""

import pandas as pd

from .rows import pairs
from .style import LOSS, Drawing, caption, color, draw, write_csv
from .text import Html, shaded


def shares(out, label: str, found: dict, record: dict) -> Drawing:
    """Draw the loss of network and counts mixed against the share of the counts.

    `found` is what `studies.counting.mixture` gives.
    """
    own, data, mixed = color(record["step"]), pd.DataFrame(found["shares"]), found["mixed"]

    def plot(axes):
        axes.plot(data["share"], data["loss"], color=own)
        axes.plot([0, 1], [found["network"], found["counts"]], "o", color=own)
        axes.plot(mixed["share"], mixed["loss"], "o", color=own, markersize=9)
        for text, place, away, side in (
            (f"the network alone\n{found['network']:.3f}", (0, found["network"]), (9, 4), "left"),
            (f"the counts alone\n{found['counts']:.3f}", (1, found["counts"]), (-9, 0), "right"),
            (f"step four {mixed['loss']:.3f}", (mixed["share"], mixed["loss"]), (9, -9), "left"),
        ):
            axes.annotate(text, place, away, ha=side, va="center", textcoords="offset points",
                          fontsize=10, color=own)  # fmt: skip
        axes.margins(y=0.15)
        axes.set(xlabel="share of the counts", ylabel=LOSS, title=caption(record))
        axes.grid(axis="y")

    best = found["best"]
    alt = (
        f"The loss of network and counts mixed, nats per character: the network alone "
        f"{found['network']:.3f}, the counts alone {found['counts']:.3f}, both {mixed['loss']:.3f} "
        f"at the step's own share, {mixed['share']:.2f}; the lowest is "
        f"{best['loss']:.3f} at {best['share']:.2f}."
    )
    return draw(out, label, data, alt, plot)


def contexts(out, label: str, found: dict, record: dict) -> Drawing:
    """Draw what a token costs the network and the counts, by how much context had been counted.

    `found` is what `studies.counting.mixture` gives. The name of a row includes its share of the
    tokens.
    """
    rows = [
        {
            "name": f"{_length(row['context'])} ({row['tokens']:.0%})",
            "color": color(record["step"]),
            "first": row["network"],
            "second": row["counts"],
        }
        for row in found["contexts"]
    ]
    what = "What a token costs by how many tokens before it had been seen together, nats"
    columns, xlabel = ("the network", "the counts"), "mean loss (nats per token)"
    return pairs(
        out, label, rows, columns=columns, what=what, title=caption(record), xlabel=xlabel,
        digits=".2f",
    )  # fmt: skip


def _length(context):
    return f"{context} tokens" if context > 1 else "1 token at most"


def parts(out, label: str, rows: list[dict]) -> Html:
    """Show titles token by token, coloured more strongly where the counts' part is larger.

    `rows` are `{title, tokens, parts}`.
    """
    lines = [
        shaded(row["tokens"], row["parts"], [f"{part:.0%}" for part in row["parts"]], "208, 28, 72")
        for row in rows
    ]
    write_csv(out, label, pd.DataFrame(rows).explode(["tokens", "parts"]))
    alt = "\n".join(
        f"{row['title']}: the counts' part from {min(row['parts']):.0%} to {max(row['parts']):.0%}"
        for row in rows
    )
    return Html("".join(lines), alt)
