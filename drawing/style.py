"""The look of every figure: one style, one colour per step, and how a figure is written.

- A figure is written to `figures/<label>.svg`, and the numbers drawn in it to
  `figures/<label>.csv`.
- A step has the same colour on every page. Colour-blind readers can tell the colours apart, and the
  colours stand out from a light page and a dark one. Text uses a legible shade of its step's
  colour.
- A figure is narrow, so that its text can still be read on a phone.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from lib.files import write_text
from lib.steps import STEPS

GREY, FAINT = "#767c88", "#8f95a0"
PALETTE = ("#8a8f99", "#d5651b", "#2b7fc4", "#1a9a6c", "#d01c48")  # of the steps, in their order
OTHER = "#a85fb0"  # whatever is not a step
# A line needs only one colour to stand out from a light page and from a dark one. Text needs more
# contrast (WCAG: 4.5), so it may be a little darker than its line on a light page, or a little
# lighter on a dark one.
INK = {
    GREY: ("#6e747f", "#7e838f"),
    PALETTE[0]: ("#6f747f", "#8a8f99"),
    PALETTE[1]: ("#b95817", "#d5651b"),
    PALETTE[2]: ("#2978b9", "#2e88d1"),
    PALETTE[3]: ("#16835c", "#1a9a6c"),
    PALETTE[4]: ("#d01c48", "#e24d6e"),
    OTHER: ("#a355ab", "#ae6ab5"),
}
STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be selected, and the browser has the glyphs
    "svg.hashsalt": "seven-epochs",
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 11,
    "text.parse_math": False,  # a dollar in a headline is a dollar
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "axes.edgecolor": FAINT,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "grid.color": FAINT,
    "grid.alpha": 0.25,
    "axes.axisbelow": True,
    "lines.linewidth": 2,
}
WIDTH = 5.2  # inches
LOSS = "validation loss (nats per character)"


@dataclass(frozen=True)
class Drawing:
    """A figure as a notebook shows it: an SVG, and `alt`, what it shows in one line of text."""

    svg: str
    alt: str

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/svg+xml": self.svg, "text/plain": self.alt}

    def __repr__(self):
        return self.alt


def draw(
    out, label: str, data: pd.DataFrame, alt: str, plot, height: float = 3.4, strips: int = 0
) -> Drawing:
    """Draw with `plot(axes)`; write `figures/<label>.svg` and the numbers `data` under `out`.

    With `strips`, `plot` gets a list of that many figures instead, one above another, so that each
    can have panels of its own.
    """
    write_csv(out, label, data)
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the browser has those that DejaVu lacks
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        plot(figure.subfigures(strips, squeeze=False)[:, 0] if strips else figure.subplots())
        svg = io.StringIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    # Verdana is as wide as DejaVu Sans, so that text keeps its place where that is not installed.
    svg = svg.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    svg = svg.replace("</style>", f"{_ink()}</style>", 1)
    write_text(Path(out) / "figures" / f"{label}.svg", svg)
    return Drawing(svg, alt)


def color(step: str) -> str:
    """Return the colour that `step` has on every page."""
    return dict(zip(STEPS, PALETTE, strict=False)).get(step, OTHER)


def caption(record: dict) -> str:
    """Return on what stories and preset a record's numbers were measured, for a figure's corner."""
    return f"{record['stories']['source']} stories, preset {record['preset']}"


def unranked(record: dict) -> str:
    """Return why a record cannot be ranked with those of lossless models that see titles alone."""
    reasons = [] if record["tokenizer"]["lossless"] else ["not lossless"]
    if "sees" in record:
        reasons.append(f"sees {' and '.join(record['sees'])}")
    return ", ".join(reasons)


def write_csv(out, label: str, data: pd.DataFrame) -> None:
    """Write what a figure shows as `figures/<label>.csv` under `out`."""
    text = data.to_csv(index=False, lineterminator="\n")
    write_text(Path(out) / "figures" / f"{label}.csv", text)


def _ink():
    """Return the rules that give text its colour on a light page, and on a dark one.

    Within a page, that is the page's own scheme; a figure that is an image asks for it by `:root`.
    What does not know `light-dark()` shows text in the colour of its line.
    """
    rules = (
        f'text[style*="fill: {own}"] {{fill: light-dark({light}, {dark}) !important}}'
        for own, (light, dark) in INK.items()
    )
    return "\n".join(["", "svg:root {color-scheme: light dark}", *rules, ""])
