"""The tables of the book: settings that changed, what a run came to, the steps, the ladder."""

from dataclasses import dataclass
from html import escape

import pandas as pd

from lib.compare import compare_alike, refuse_mixed
from lib.config import changed

from .style import caption, unranked
from .text import plain


@dataclass(frozen=True)
class Table:
    """A table as a notebook shows it: HTML, or plain text where there is no HTML.

    The columns named in `words` are left-aligned, the others right-aligned. `strong` lists cells,
    each by row number and column name, that are bold, or between asterisks in plain text. The
    `note` is below the table.
    """

    data: pd.DataFrame
    words: tuple[str, ...] = ()
    strong: tuple[tuple[int, str], ...] = ()
    note: str = ""

    def _repr_html_(self):
        def row(tag, values, more="", place=None):
            cells = ""
            for name, value in zip(self.data.columns, values, strict=True):
                side = "left" if name in self.words else f"right{more}"
                text = escape(str(value))
                if (place, name) in self.strong:
                    text = f"<strong>{text}</strong>"
                cells += f'<{tag} style="text-align: {side}">{text}</{tag}>'
            return f"<tr>{cells}</tr>"

        head = row("th", self.data.columns)
        unbroken = "; white-space: nowrap"
        rows = enumerate(self.data.itertuples(index=False))
        body = "\n".join(row("td", values, unbroken, place) for place, values in rows)
        note = f'<caption style="caption-side: bottom">{escape(self.note)}</caption>\n'
        return (
            f'<table class="dataframe">\n{note if self.note else ""}<thead>\n{head}\n</thead>\n'
            f"<tbody>\n{body}\n</tbody>\n</table>"
        )

    def __repr__(self):
        data = self.data.copy()
        for place, name in self.strong:
            data.loc[place, name] = f"*{data.loc[place, name]}*"
        return "\n".join([data.to_string(index=False), *([self.note] if self.note else [])])


def settings_table(old, new) -> Table:
    """Return the settings that differ between two configurations, old and new beside each other."""
    rows = [{k: _setting(v) for k, v in row.items()} for row in changed(old, new)]
    return Table(pd.DataFrame(rows), ("setting",))


def summary_table(record: dict) -> Table:
    """Return what a run came to: its losses, and the time and the device it took."""
    losses, speed, environment = (record[key] for key in ("losses", "speed", "environment"))
    rows = {
        "full-coverage loss": f"{losses['full_coverage']:.4f} nats per character",
        "official loss": f"{plain(losses['official'])} nats per character "
        f"(coverage {losses['coverage']:.3f})",
        "bits per byte": f"{losses['bits_per_byte']:.4f}",
        "loss on the test titles": f"{plain(losses['test'])} nats per character",
        **({"not ranked": f"it {unranked(record)}"} if "sees" in record else {}),
        "measured on": f"{record['titles']['val']:,} validation titles, {caption(record)}",
        "parameters": f"{record['parameters']:,}",
        "trained": f"{record['steps']:,} steps in {speed['seconds']:,.0f} s, "
        f"{speed['tokens_per_second']:,.0f} tokens per second",
        "on": f"{environment['device']}, {environment['precision']}, torch {environment['torch']}",
    }
    return Table(pd.DataFrame({"": rows.keys(), "this run": rows.values()}), ("", "this run"))


def steps_table(records: list[dict], others=()) -> Table:
    """Return the losses of each step, a row each, the lowest at full coverage in bold.

    A run that is not lossless, or sees more than titles, is marked, and not ranked. `others` are
    records of what is no step, such as the best public recipe: they come last, and those that do
    not compare are left out.

    Raises ValueError where the steps themselves do not compare.
    """
    refuse_mixed(records)
    others = [other for other in others if compare_alike([records[0], other])]
    every = [*records, *others]
    ranked = [r["losses"]["full_coverage"] for r in every if not unranked(r)]
    rows, strong = [], []
    for place, record in enumerate(every):
        losses, why = record["losses"], unranked(record)
        rows.append(
            {
                "Step": record["title"] + (f" ({why}, not ranked)" if why else ""),
                "Full coverage": f"{losses['full_coverage']:.4f}",
                "Test titles": plain(losses["test"]),
                "Official (coverage)": f"{plain(losses['official'])} ({losses['coverage']:.1%})",
                "Bits per byte": f"{losses['bits_per_byte']:.3f}",
                "Parameters": f"{record['parameters']:,}",
            }
        )
        if not why and losses["full_coverage"] == min(ranked):
            strong.append((place, "Full coverage"))
    note = f"{_conditions(records[0])} Losses in nats per character; lower is better."
    note += " The lowest at full coverage is set off."
    if others:
        titles = "; ".join(other["title"] for other in others)
        note += f" No step of this book, but trained beside them: {titles}."
    return Table(pd.DataFrame(rows), ("Step",), tuple(strong), note)


def apart_table(found: dict[str, dict]) -> Table:
    """Return how far the runs of `studies.titles.differences` are apart, a pair a row."""

    def told(apart):
        return _between(apart, "difference") if apart else plain(None)

    rows = [
        {
            "run": pair["title"],
            "set against": pair["before"],
            "validation titles": told(pair["val"]),
            "test titles": told(pair["test"]),
        }
        for pair in found.values()
    ]
    columns = ["run", "set against", "validation titles", "test titles"]
    return Table(pd.DataFrame(rows, columns=columns), ("run", "set against"))


def ladder_table(ladder: dict, kept: bool) -> Table:
    """Return the changes of a ladder that were kept, or those that were not, with reason and gain.

    A gain is how much lower the loss was than on the rung below, in nats per character; if there
    are several seeds, its 95% interval follows.
    """

    rows = [
        {
            "change": rung["title"],
            "what we expected": rung["why"],
            "gain": _between(rung, "gain"),
        }
        for rung in ladder["rungs"].values()
        if rung.get("kept") == kept
    ]
    columns = ["change", "what we expected", "gain"]
    return Table(pd.DataFrame(rows, columns=columns), ("change", "what we expected"))


def _between(found, name):
    """A difference, and between what it lies with 95% where that is known."""
    low, high = (f"{found[end]:+.4f}" if end in found else "" for end in ("low", "high"))
    return f"{found[name]:+.4f}" + (f" ({low}\xa0to\xa0{high})" if low else "")


def _setting(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else plain(value)


def _conditions(record):
    stories = record["stories"]
    version = stories.get("sha256") or stories.get("revision")
    which = f" ({version[:8]})" if version else ""
    return f"Preset {record['preset']}, {stories['source']} stories{which}."
