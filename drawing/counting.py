"""What step four shows: network and counts apart and mixed, and where the counts are trusted."""

from html import escape

import pandas as pd

from .rows import pairs
from .style import GREY, LOSS, Drawing, caption, color, draw, write_csv
from .text import Html


def shares(out, label: str, found: dict, record: dict) -> Drawing:
    """Draw the loss against the share of the counts, the same for all tokens, and as learned.

    `found` is what `studies.counting.mixture` gives.
    """
    own, data = color(record["step"]), pd.DataFrame(found["fixed"])

    def plot(axes):
        axes.plot(data["share"], data["loss"], color=own)
        axes.plot([0, 1], [found["network"], found["counts"]], "o", color=own)
        axes.axhline(found["learned"], color=GREY, linestyle="--", linewidth=1)
        for text, place, away, side in (
            (f"the network alone\n{found['network']:.3f}", (0, found["network"]), (9, 4), "left"),
            (f"the counts alone\n{found['counts']:.3f}", (1, found["counts"]), (-9, 0), "right"),
        ):
            axes.annotate(text, place, away, ha=side, va="center", textcoords="offset points",
                          fontsize=10, color=own)  # fmt: skip
        axes.annotate(f"a share for each token, learned {found['learned']:.3f}",
                      (0.5, found["learned"]), (0, -6), ha="center", va="top", fontsize=10,
                      textcoords="offset points")  # fmt: skip
        axes.margins(y=0.15)
        axes.set(xlabel="share of the counts, the same for every token", ylabel=LOSS,
                 title=caption(record))  # fmt: skip
        axes.grid(axis="y")

    best = found["best"]
    alt = (
        f"The loss of network and counts mixed, nats per character: the network alone "
        f"{found['network']:.3f}, the counts alone {found['counts']:.3f}, one share for all tokens "
        f"at best {best['loss']:.3f} (share {best['share']:.2f}), a share for each token, learned, "
        f"{found['learned']:.3f}."
    )
    return draw(out, label, data.assign(learned=found["learned"]), alt, plot)


def contexts(out, label: str, found: dict, record: dict) -> Drawing:
    """Draw what a token costs network and counts, by how much of its context had been counted.

    `found` is what `studies.counting.mixture` gives; its share of the tokens stands in the name.
    """
    rows = [
        {
            "name": f"{row['context']} token{'s' * (row['context'] != 1)} ({row['tokens']:.0%})",
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


def trusted(out, label: str, rows: list[dict]) -> Html:
    """Show titles token by token, the stronger coloured the more the counts are trusted there.

    `rows` are `{title, tokens, shares}`.
    """
    parts = []
    for row in rows:
        spans = "".join(
            f'<span title="{share:.0%}" style="background: rgba(26, 154, 108, {0.6 * share:.2f}); '
            f'padding: 0.15em 0; border-radius: 3px">{escape(token)}</span>'
            for token, share in zip(row["tokens"], row["shares"], strict=True)
        )
        parts.append(f'<p style="white-space: pre-wrap; line-height: 1.9">{spans}</p>')
    write_csv(out, label, pd.DataFrame(rows).explode(["tokens", "shares"]))
    alt = "\n".join(
        f"{row['title']}: the counts' share from {min(row['shares']):.0%} to "
        f"{max(row['shares']):.0%}"
        for row in rows
    )
    return Html("".join(parts), alt)
