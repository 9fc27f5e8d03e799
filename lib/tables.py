"""What the book shows as text: tables, titles set by hand, and the words that figures share.

- A missing number is a dash, and a token's spaces and control characters can be seen.
- What has a label of its own is written as `figures/<label>.csv`, as a drawing's numbers are.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from .config import changed

DARKEST = 0.6  # opacity of the worst token's shade: text on it is legible on a dark page as well


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


@dataclass(frozen=True)
class Html:
    """Text set by hand as a notebook shows it, and `alt` where there is no HTML."""

    html: str
    alt: str

    def _repr_html_(self):
        return self.html

    def __repr__(self):
        return self.alt


def coloured_titles(out, label: str, rows: list[dict], most: float = 12.0) -> Html:
    """Show titles token by token, the darker the higher a token's loss, steps one under another.

    `rows` are `{title, step, tokens, losses}`, losses in nats; `most` is the loss of the darkest.
    """
    parts = []
    for i, row in enumerate(rows):
        if i == 0 or row["title"] != rows[i - 1]["title"]:
            parts.append(f"<p><strong>{escape(row['title'])}</strong></p>")
        spans = "".join(
            f'<span title="{loss:.2f} nats" style="background: rgba(213, 101, 27, '
            f'{min(loss / most, 1) * DARKEST:.2f}); padding: 0.15em 0; border-radius: 3px">'
            f"{escape(token)}</span>"
            for token, loss in zip(row["tokens"], row["losses"], strict=True)
        )
        parts.append(
            f'<p style="white-space: pre-wrap; line-height: 1.9">{spans} '
            f"<small>{escape(row['step'])}, {sum(row['losses']):.1f} nats</small></p>"
        )
    data = pd.DataFrame(rows).explode(["tokens", "losses"])
    write_csv(out, label, data)
    alt = "\n".join(f"{r['title']} ({r['step']}): {sum(r['losses']):.1f} nats" for r in rows)
    return Html("".join(parts), alt)


def samples(out, label: str, records: list[dict], written: dict) -> Html:
    """Show the titles that each step's model wrote, as a list a step."""
    parts, rows = [], []
    for record in records:
        titles = written[record["step"]]
        items = "".join(f"<li>{escape(t) or '(nothing)'}</li>" for t in titles)
        parts.append(f"<p><strong>{escape(record['title'])}</strong></p><ol>{items}</ol>")
        rows += [{"step": record["title"], "headline": title} for title in titles]
    write_csv(out, label, pd.DataFrame(rows))
    alt = "\n".join(f"{row['step']}: {row['headline']}" for row in rows)
    return Html("".join(parts), alt)


def window(tokenizer, ids, width: int = 58) -> str:
    """Return inputs over targets, a bar between tokens, in lines of at most about `width`."""
    tokens = [shown(tokenizer.token(i)).replace("␣", " ") for i in ids]
    rows, start = [], 0
    while start < len(tokens) - 1:
        end = start + 1
        while end < len(tokens) - 1 and len("|".join(tokens[start : end + 2])) <= width:
            end += 1
        rows += [
            f"in:   {'|'.join(tokens[start:end])}",
            f"out:  {'|'.join(tokens[start + 1 : end + 1])}",
        ]
        rows.append("")
        start = end
    return "\n".join(rows).rstrip()


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
        for rung in ladder["rungs"][1:]
        if rung["kept"] == kept
    ]
    columns = ["change", "what we expected", "gain"]
    return Table(pd.DataFrame(rows, columns=columns), ("change", "what we expected"))


def plain(value) -> str:
    """Return a value as a table shows it: a dash for none, four digits of a loss."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}" if value > 0.1 else f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _setting(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else plain(value)


def shown(token: str) -> str:
    """Return a token as a figure shows it: spaces and control characters made visible."""
    token = token.replace(" ", "␣")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in token)


def caption(record: dict) -> str:
    """Return on what stories and preset a record's numbers were measured, for a figure's corner."""
    return f"{record['stories']['source']} stories, preset {record['preset']}"


def write_csv(out, label: str, data: pd.DataFrame) -> None:
    """Write what a figure shows as `figures/<label>.csv` under `out`."""
    folder = Path(out) / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    data.to_csv(folder / f"{label}.csv", index=False, lineterminator="\n")
