"""Text as a figure: titles coloured by their loss, titles that a model wrote, windows of tokens.

- A missing number is a dash, and a token's spaces and control characters can be seen.
"""

from dataclasses import dataclass
from html import escape

import pandas as pd

from .style import write_csv

STRONGEST = 0.6  # opacity of the worst token's shade: text on it is legible on a dark page as well


@dataclass(frozen=True)
class Html:
    """Text that a notebook shows as HTML, or as `alt` where there is none."""

    html: str
    alt: str

    def _repr_html_(self):
        return self.html

    def __repr__(self):
        return self.alt


def coloured_titles(out, label: str, rows: list[dict], most: float = 12.0) -> Html:
    """Show titles token by token, coloured by loss, steps one under another.

    `rows` are `{title, step, tokens, losses}`, losses in nats; `most` is the loss of the
    strongest colour.
    """
    parts = []
    for i, row in enumerate(rows):
        if i == 0 or row["title"] != rows[i - 1]["title"]:
            parts.append(f"<p><strong>{escape(row['title'])}</strong></p>")
        told = [f"{loss:.2f} nats" for loss in row["losses"]]
        shades = [min(loss / most, 1) for loss in row["losses"]]
        after = f" <small>{escape(row['step'])}, {sum(row['losses']):.1f} nats</small>"
        parts.append(shaded(row["tokens"], shades, told, "213, 101, 27", after))
    data = pd.DataFrame(rows).explode(["tokens", "losses"])
    write_csv(out, label, data)
    alt = "\n".join(f"{r['title']} ({r['step']}): {sum(r['losses']):.1f} nats" for r in rows)
    return Html("".join(parts), alt)


def shaded(tokens: list[str], shades, told: list[str], rgb: str, after: str = "") -> str:
    """Return tokens as a line of HTML, each coloured as strongly as its shade, from 0 to 1, says.

    `told` is what each token shows when it is pointed at, `after` the HTML that follows the tokens.
    """
    spans = "".join(
        f'<span title="{told}" style="background: rgba({rgb}, {shade * STRONGEST:.2f}); '
        f'padding: 0.15em 0; border-radius: 3px">{escape(token)}</span>'
        for token, shade, told in zip(tokens, shades, told, strict=True)
    )
    return f'<p style="white-space: pre-wrap; line-height: 1.9">{spans}{after}</p>'


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


def conditions(preset: str, stories: dict, titles: dict) -> str:
    """Return what a notebook's outputs came from, whatever its parameters say now.

    `stories` and `titles` are as a record has them: source, digest and rows; how many of each.
    """
    digest = (stories.get("sha256") or stories.get("revision"))[:8]
    counts = ", ".join(f"{titles[part]:,} {part}" for part in ("train", "val", "test"))
    return (
        f"These outputs: preset {preset}, {stories['source']} stories {digest} "
        f"({stories['rows']:,} rows)\nTitles: {counts}"
    )


def plain(value) -> str:
    """Return a value as a table shows it: a dash for none, four digits of a loss."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}" if value > 0.1 else f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def shown(token: str) -> str:
    """Return a token as a figure shows it: spaces and control characters made visible."""
    token = token.replace(" ", "␣")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in token)
