"""What step five shows: gains of arms and sites, the first words, what a headline still costs."""

import pandas as pd

from .rows import GAIN, name_rows, points
from .style import GREY, OTHER, Drawing, caption, draw
from .tables import Table
from .text import shown

NO_LINK = "no link"  # how a story without one is called
MOST = 6  # sites at either end of their list


def gains(out, label: str, found: dict, record: dict) -> Drawing:
    """Draw the gain of each arm with bars of two standard errors: over seeds, and over titles.

    `found` is what `studies.context.gains` gives; with one seed there is no bar over seeds.
    """
    arms = list(found.values())

    def plot(axes):
        axes.axvline(0, color=GREY, linewidth=1)
        for place, arm in enumerate(arms):
            gain, end = arm["gain"], max(0, arm["gain"])
            for error, own, side in ((arm["over_seeds"], OTHER, -1), (arm["over_titles"], GREY, 1)):
                if error is not None:
                    ends = [gain - 2 * error, gain + 2 * error]
                    axes.plot(ends, [place + 0.1 * side] * 2, color=own)
                    end = max(end, ends[1])
            axes.plot(gain, place, "o", color=OTHER, markersize=7, zorder=3)
            axes.annotate(f"{gain:+.4f}", (end, place), (8, 0), va="center",
                          textcoords="offset points", fontsize=10)  # fmt: skip
        name_rows(axes, [arm["title"] for arm in arms])
        axes.margins(x=0.25)
        axes.locator_params(axis="x", nbins=5)  # gains are small, and their numbers long
        bars = "bars: over seeds above, over titles below"
        axes.set(xlabel=GAIN, title=f"{bars}\n{caption(record)}")

    def told(arm):
        seeds = "" if arm["over_seeds"] is None else f" ± {arm['over_seeds']:.4f} over seeds"
        return f"{arm['title']} {arm['gain']:+.4f}{seeds} ± {arm['over_titles']:.4f} over titles"

    alt = "What each arm gains over titles alone, nats per character, ± one standard error: "
    data = pd.DataFrame(arms)
    return draw(out, label, data, alt + "; ".join(map(told, arms)), plot, 1.5 + 0.45 * len(arms))


def by_place(out, label: str, found: list[dict], record: dict) -> Drawing:
    """Draw what a word gains by its place, with bars of two standard errors over titles.

    `found` is what `studies.context.gain_by_place` gives.
    """

    def plot(axes):
        axes.axhline(0, color=GREY, linewidth=1)
        for place, row in enumerate(found):
            ends = [row["gain"] - 2 * row["error"], row["gain"] + 2 * row["error"]]
            axes.plot([place] * 2, ends, color=OTHER)
        axes.plot(range(len(found)), [row["gain"] for row in found], "o", color=OTHER, markersize=7)
        axes.annotate(f"{found[0]['gain']:.2f}", (0, found[0]["gain"]), (9, 0), va="center",
                      textcoords="offset points", fontsize=10)  # fmt: skip
        axes.set_xticks(range(len(found)), [row["word"] for row in found])
        axes.grid(axis="y")
        axes.set(xlabel="word of the title", ylabel="fewer bits a word", title=caption(record))

    alt = "Fewer bits a word, by its place in the title, ± one standard error over titles: "
    alt += ", ".join(f"{row['word']} {row['gain']:+.2f} ± {row['error']:.2f}" for row in found)
    return draw(out, label, pd.DataFrame(found), alt, plot)


def sites(out, label: str, found: list[dict], record: dict) -> Drawing:
    """Draw how many fewer bits a headline costs, for the sites that gain most and least.

    `found` is what `studies.context.by_site` gives.
    """
    chosen = found if len(found) <= 2 * MOST else [*found[:MOST], *found[-MOST:]]
    rows = [
        {
            "name": f"{row['site'] or NO_LINK} ({row['titles']})",
            "value": row["gain"],
            "color": OTHER,
            "ranked": True,
        }
        for row in chosen
    ]
    what = "Fewer bits a headline, by its site (number of validation titles)"
    low = min(0, *(row["value"] for row in rows))
    title, xlabel = caption(record), "fewer bits a headline"
    return points(out, label, rows, xlabel=xlabel, what=what, title=title, low=low)


def first_words(columns: dict[str, list[dict]], note: str = "", right: str = "") -> Table:
    """Return a table of the likeliest first words, with a column for each entry of `columns`.

    `columns` maps a column's name to what `lib.predictions.first_words` gives. The word that equals
    `right` is bold.
    """
    words, strong = {}, []
    for name, rows in columns.items():
        name = name or NO_LINK
        words[name] = pd.Series([f"{shown(row['word'])} {row['p']:.1%}" for row in rows])
        strong += [(place, name) for place, row in enumerate(rows) if row["word"] == right]
    data = pd.DataFrame(words).fillna("")
    return Table(data, tuple(data.columns), tuple(strong), note)


def left(arms: dict[str, dict], record: dict) -> Table:
    """Return a table of what a headline costs in bits, with a column for each of `arms`.

    `arms` maps an arm's title to what `studies.context.bits_left` gives.
    """
    rows = {
        "headline": "a headline",
        "word": "a word of it",
        "first": "the first word",
        "rest": "a word after the first",
    }
    data = {"bits for": list(rows.values())}
    data |= {title: [f"{bits[row]:.2f}" for row in rows] for title, bits in arms.items()}
    return Table(pd.DataFrame(data), ("bits for",), note=f"Validation titles, {caption(record)}.")
