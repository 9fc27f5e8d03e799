"""The tables of the book: settings that changed, what a run came to, the steps, the ladder."""

from dataclasses import dataclass
from html import escape

import pandas as pd

from lib.config import changed

from .style import caption
from .text import plain


@dataclass(frozen=True)
class Table:
    """A table as a notebook shows it: HTML, and plain text where there is none.

    The columns named in `words` are set to the left, the others to the right.
    """

    data: pd.DataFrame
    words: tuple[str, ...] = ()

    def _repr_html_(self):
        def row(tag, values, more=""):
            sides = ("left" if name in self.words else f"right{more}" for name in self.data.columns)
            cells = "".join(
                f'<{tag} style="text-align: {side}">{escape(str(value))}</{tag}>'
                for side, value in zip(sides, values, strict=True)
            )
            return f"<tr>{cells}</tr>"

        head = row("th", self.data.columns)
        unbroken = "; white-space: nowrap"
        rows = self.data.itertuples(index=False)
        body = "\n".join(row("td", values, unbroken) for values in rows)
        return (
            f'<table class="dataframe">\n<thead>\n{head}\n</thead>\n<tbody>\n{body}\n'
            "</tbody>\n</table>"
        )

    def __repr__(self):
        return self.data.to_string(index=False)


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
        "measured on": f"{record['titles']['val']:,} validation titles, {caption(record)}",
        "parameters": f"{record['parameters']:,}",
        "trained": f"{record['steps']:,} steps in {speed['seconds']:,.0f} s, "
        f"{speed['tokens_per_second']:,.0f} tokens per second",
        "on": f"{environment['device']}, {environment['precision']}, torch {environment['torch']}",
    }
    return Table(pd.DataFrame({"": rows.keys(), "this run": rows.values()}), ("", "this run"))


def steps_table(records: list[dict]) -> Table:
    """Return the losses of each step, a row each; a step that is not lossless is marked."""
    rows = [
        {
            "step": r["title"] + ("" if r["tokenizer"]["lossless"] else " (not lossless)"),
            "official": plain(r["losses"]["official"]),
            "coverage": f"{r['losses']['coverage']:.3f}",
            "full coverage": f"{r['losses']['full_coverage']:.4f}",
            "bits per byte": f"{r['losses']['bits_per_byte']:.4f}",
            "test titles": plain(r["losses"]["test"]),
        }
        for r in records
    ]
    return Table(pd.DataFrame(rows), ("step",))


def ladder_table(ladder: dict, kept: bool) -> Table:
    """Return the changes of a ladder that were kept, or those that were not: reason and gain.

    Gains are how much lower the loss was than on the rung below, ± one standard error where there
    are several seeds, in nats per character.
    """

    def gain(rung):
        error = f" ± {rung['standard_error']:.4f}" if "standard_error" in rung else ""
        return f"{rung['gain']:+.4f}{error}"

    rows = [
        {
            "change": rung["title"],
            "what we expected": rung["why"],
            "gain": gain(rung),
        }
        for rung in ladder["rungs"].values()
        if rung.get("kept") == kept
    ]
    columns = ["change", "what we expected", "gain"]
    return Table(pd.DataFrame(rows, columns=columns), ("change", "what we expected"))


def _setting(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else plain(value)
