"""Figures that compare losses: a row for each, the first on top, and one scale for all.

- What cannot be ranked with the others says so in its row.
"""

import numpy as np
import pandas as pd

from lib.compare import refuse_mixed
from lib.steps import LADDER

from .style import FAINT, GREY, LOSS, Drawing, caption, color, draw, unranked

GAIN = "fall of the loss (nats per character)"


def final_losses(out, label: str, records: list[dict], names: list[str]) -> Drawing:
    """Draw the last full-coverage loss of each record as a point on one scale, by these names.

    What sees more than titles says so under its name.
    """
    shown = [
        f"{name}\n{unranked(r)}" if "sees" in r else name
        for name, r in zip(names, records, strict=True)
    ]
    said = [name.replace("\n", ", ") for name in shown]
    losses = [record["losses"]["full_coverage"] for record in records]

    def plot(axes):
        places = np.arange(len(names))
        axes.hlines(places, min(losses), losses, color=FAINT, linewidth=1)
        axes.scatter(losses, places, c=[color(r["step"]) for r in records], s=60, zorder=3)
        for place, loss in zip(places, losses, strict=True):
            axes.annotate(f"{loss:.3f}", (loss, place), (0, 9), textcoords="offset points",
                          ha="center", fontsize=10)  # fmt: skip
        axes.set_yticks(places, shown)
        axes.invert_yaxis()
        axes.margins(x=0.15, y=0.2)
        axes.set(xlabel=LOSS, title=caption(records[-1]))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")

    alt = "Full-coverage loss, nats per character: " + ", ".join(
        f"{name} {loss:.3f}" for name, loss in zip(said, losses, strict=True)
    )
    data = pd.DataFrame({"title": said, "full_coverage": losses})
    return draw(out, label, data, alt, plot, 1.2 + 0.45 * len(names))


def arms(out, label: str, records: list[dict]) -> Drawing:
    """Draw the full-coverage loss of each record; one that cannot be ranked is marked."""
    rows = [
        {
            "name": record["title"],
            "value": record["losses"]["full_coverage"],
            "color": color(record["step"]),
            "ranked": not unranked(record),
        }
        for record in records
    ]
    title = caption(records[-1])
    return points(out, label, rows, xlabel=LOSS, what="Full-coverage loss", title=title)


def points(
    out, label: str, rows: list[dict], *, xlabel: str, what: str, title="", low=None
) -> Drawing:
    """Draw a point for each of `rows`, `{name, value, color, ranked}`, the first on top, one scale.

    A point that is not ranked is hollow and says so. The scale starts at `low`; without it, the
    scale is at least 0.1 wide, so that a small difference looks small. `what` begins the alt text.
    """
    data = pd.DataFrame(rows)

    def plot(axes):
        start, end = data["value"].min(), data["value"].max()
        room = max(0.05 - (end - start) / 2, 0.15 * (end - start))
        axes.set_xlim(start - room if low is None else low, end + 2.5 * room)
        start = axes.get_xlim()[0] if low is None else 0  # a line that starts there has a length
        axes.hlines(data.index, start, data["value"], color=FAINT, linewidth=1)
        faces = [own if r else "none" for own, r in zip(data["color"], data["ranked"], strict=True)]
        axes.scatter(data["value"], data.index, s=60, c=faces, edgecolors=data["color"], zorder=3)
        for place, row in enumerate(data.itertuples()):
            text = f"{row.value:.3f}" + ("" if row.ranked else " not ranked")
            axes.annotate(text, (row.value, place), (9, 0), textcoords="offset points",
                          va="center", fontsize=10, color=row.color)  # fmt: skip
        name_rows(axes, data["name"])
        axes.set(xlabel=xlabel, title=title)

    alt = f"{what}: " + ", ".join(
        f"{r['name']} {r['value']:.3f}" + ("" if r["ranked"] else " (not ranked)") for r in rows
    )
    named = data.drop(columns="color").rename(columns={"value": xlabel})
    return draw(out, label, named, alt, plot, 1.1 + 0.36 * len(rows))


def pairs(
    out, label: str, rows: list[dict], *, columns, what: str, title="", xlabel=LOSS, digits=".3f"
) -> Drawing:
    """Draw two numbers of each of `rows`, `{name, color, first, second}`, joined by a line.

    The first is hollow, the second filled; `columns` are their names. Where one is None, the row's
    `note` may say why, and a dashed line show its `range`. `digits` is how numbers are written.
    """

    def plot(axes):
        for place, row in enumerate(rows):
            own, span = row["color"], row.get("range", ())
            ends = sorted(v for v in (row["first"], row["second"]) if v is not None)
            axes.plot(ends, [place] * len(ends), color=own, linewidth=1)
            for value, face in ((row["first"], "none"), (row["second"], own)):
                if value is not None:
                    axes.plot(value, place, "o", color=own, markerfacecolor=face, zorder=3)
            axes.plot(span, [place] * len(span), "--", color=own, linewidth=1)
            right = row.get("note") or f"{ends[-1]:{digits}}"
            for value, text, side in (
                (ends[0], f"{ends[0]:{digits}}" if len(ends) == 2 or "note" in row else "", -1),
                (max([*ends, *span]), right, 1),
            ):
                axes.annotate(text, (value, place), (8 * side, 0), textcoords="offset points",
                              ha="right" if side < 0 else "left", va="center", fontsize=10,
                              color=own)  # fmt: skip
        name_rows(axes, [row["name"] for row in rows])
        axes.margins(x=0.4 if "+" in digits else 0.32)  # room for the numbers
        axes.set(xlabel=xlabel, title=f"○ {columns[0]}   ● {columns[1]}\n{title}".rstrip())

    def told(value):
        return "–" if value is None else f"{value:{digits}}"

    alt = f"{what}, {columns[0]} and {columns[1]}: " + "; ".join(
        f"{r['name']} {told(r['first'])} and {r.get('note') or told(r['second'])}" for r in rows
    )
    names = ["name", *columns, "least", "most", "note"]
    ranges = (r.get("range", (None, None)) for r in rows)
    data = [
        [r["name"], r["first"], r["second"], *span, r.get("note", "")]
        for r, span in zip(rows, ranges, strict=True)
    ]
    data = pd.DataFrame(data, columns=names)
    data = data.drop(columns=[end for end in ("least", "most") if data[end].isna().all()])
    return draw(out, label, data, alt, plot, 1.3 + 0.36 * len(rows))


def name_rows(axes, names: list[str]) -> None:
    """Name the rows of a figure, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def ladder(out, label: str, record: dict) -> Drawing:
    """Draw each rung's gain over the rung below it, with 95% intervals.

    The thin line is the interval over seeds; a ladder of one seed has none. The broad, faint line
    is the interval over draws of titles. A filled point is a change that was kept, a hollow one a
    change that was not.
    """
    rungs, count, own = _tried(record), record["seeds"], color(LADDER["to"])

    def plot(axes):
        axes.axvline(0, color=GREY, linewidth=1)
        for place, rung in enumerate(rungs):
            face = own if rung["kept"] else "none"
            ends = [rung["gain"]]
            for span, width, alpha in ((rung.get("titles", {}), 7, 0.2), (rung, 1.5, 1)):
                if "low" in span:
                    ends += [span["low"], span["high"]]
                    axes.plot(ends[-2:], [place] * 2, color=own, linewidth=width, alpha=alpha)
            axes.plot(rung["gain"], place, "o", color=own, markerfacecolor=face, markersize=7,
                      zorder=3)  # fmt: skip
            axes.annotate(f"{rung['gain']:+.3f}", (max(*ends, 0), place), (8, 0), va="center",
                          textcoords="offset points", fontsize=10)  # fmt: skip
        name_rows(axes, [rung["title"] for rung in rungs])
        axes.margins(x=0.2)
        axes.set(xlabel=GAIN, title=f"● kept   ○ not kept\n{caption(record)}, {_seeds(count)}")

    def error(rung):
        return f" ({rung['low']:+.4f} to {rung['high']:+.4f})" if "low" in rung else ""

    alt = "What each change gained over the rung below, nats per character: " + "; ".join(
        f"{rung['title']} {rung['gain']:+.4f}{error(rung)}" + ("" if rung["kept"] else ", not kept")
        for rung in rungs
    )
    columns = ["name", "title", "gain", "low", "high", "p", "p_holm", "kept", "mean", "seconds"]
    data = pd.DataFrame([{name: rung.get(name) for name in columns} for rung in rungs])
    for end in ("low", "high"):
        data[f"titles_{end}"] = [rung.get("titles", {}).get(end) for rung in rungs]
    return draw(out, label, data, alt, plot, 1.3 + 0.4 * len(rungs))


def ladders(out, label: str, record: dict, other: dict) -> Drawing:
    """Draw what each change gained on two ladders, for the rungs that both have."""

    def name(ladder):
        return f"{ladder['preset']}, {_seeds(ladder['seeds'])}"

    own, gains = color(LADDER["to"]), {rung["name"]: rung["gain"] for rung in _tried(record)}
    rows = [
        {"name": r["title"], "color": own, "first": gains[r["name"]], "second": r["gain"]}
        for r in _tried(other)
        if r["name"] in gains
    ]
    what = "What each change gained over the rung below, nats per character"
    columns = (name(record), name(other))
    return pairs(out, label, rows, columns=columns, what=what, xlabel=GAIN, digits="+.3f")


def _tried(ladder):
    """The rungs of a ladder above its lowest, which has no gain, each with its name."""
    return [{"name": n, **rung} for n, rung in ladder["rungs"].items() if "gain" in rung]


def _seeds(count):
    return f"{count} seed{'s' if count > 1 else ''}"


def seeds(out, label: str, records: list[dict]) -> Drawing:
    """Draw the losses of several seeds of each of `records`, a row each; a bar is their mean."""
    refuse_mixed(records)

    def plot(axes):
        for place, record in enumerate(records):
            own = color(record["step"])
            losses, mean = record["full_coverage"], record["mean"]
            axes.plot(losses, [place] * len(losses), "o", color=own, alpha=0.5)
            axes.plot([mean] * 2, [place - 0.25, place + 0.25], color=own)
            axes.annotate(f"{mean:.3f}", (max(losses), place), (9, 0), va="center", color=own,
                          textcoords="offset points", fontsize=10)  # fmt: skip
        name_rows(axes, [record["title"] for record in records])
        axes.margins(x=0.2)
        axes.set(xlabel=LOSS, title=f"{caption(records[-1])}, a point a seed")

    alt = "Mean full-coverage loss over seeds, nats per character: " + ", ".join(
        f"{r['title']} {r['mean']:.4f} (standard deviation {r['sd']:.4f})" for r in records
    )
    rows = [
        {"title": record["title"], "seed": seed, "full_coverage": loss}
        for record in records
        for seed, loss in zip(record["seeds"], record["full_coverage"], strict=True)
    ]
    return draw(out, label, pd.DataFrame(rows), alt, plot, 1.2 + 0.5 * len(records))
