"""The figures of the book, one style for all: `figures/<label>.svg`, and the numbers drawn as csv.

- A step has the same colour on every page; the colours can be told apart by colour-blind readers
  and, like the grey of text and axes, read on a light page and on a dark one.
- Losses in nats per character; per-token losses never share their axis.
- A figure is narrow, so that its text can still be read on a phone.
"""

import io
import textwrap
import warnings
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .tables import caption, shown, write_csv

GREY, FAINT = "#767c88", "#8f95a0"
COLORS = {
    "01_baseline": "#8a8f99",
    "02_adamw": "#d5651b",
    "03_rope_vocab": "#2b7fc4",
    "04_lowest_loss": "#1a9a6c",
}
OTHER = "#a85fb0"  # whatever is not a step
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


def draw(out, label: str, data: pd.DataFrame, alt: str, plot, height: float = 3.4) -> Drawing:
    """Draw with `plot(axes)`, write `figures/<label>.svg` and the numbers `data` under `out`."""
    write_csv(out, label, data)
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the browser has those that DejaVu lacks
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        plot(figure.subplots())
        svg = io.StringIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    # Verdana is as wide as DejaVu Sans, so that text keeps its place where that is not installed.
    svg = svg.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    (Path(out) / "figures" / f"{label}.svg").write_text(svg, encoding="utf-8")
    return Drawing(svg, alt)


def color(step: str) -> str:
    """Return the colour that `step` has on every page."""
    return COLORS.get(step, OTHER)


def loss_curves(out, label: str, records: list[dict]) -> Drawing:
    """Draw the validation loss of each record against the epoch, a line each, named at its end.

    Dashed, the loss of a unigram over the first record's tokens; dotted, where there is only one
    record, its loss as the challenge prints it.
    """
    unigram = records[0]["losses"]["unigram"]
    rows = [
        {"step": r["step"], "title": r["title"], **point} for r in records for point in r["curve"]
    ]
    last = records[-1]

    def plot(axes):
        ends = []
        for record in records:
            epochs = [p["epoch"] for p in record["curve"]]
            losses = [p["full_coverage"] for p in record["curve"]]
            own = color(record["step"])
            axes.plot(epochs, losses, color=own)
            ends.append((losses[-1], f"{record['title']}\n{losses[-1]:.3f}", own))
        if len(records) == 1:
            curve = [
                (p["epoch"], p["official"]) for p in last["curve"] if p["official"] is not None
            ]
            if curve:
                axes.plot(*zip(*curve, strict=True), ":", color=color(last["step"]))
                ends.append((curve[-1][1], f"as the challenge\nprints it {curve[-1][1]:.3f}", GREY))
        axes.axhline(unigram, color=GREY, linestyle="--", linewidth=1)
        ends.append((unigram, f"unigram\n{unigram:.3f}", GREY))
        _label_ends(axes, ends)
        axes.set(xlabel="epoch", ylabel=LOSS, xlim=(0, None), title=caption(last))
        axes.grid(axis="y")

    finals = ", ".join(f"{r['title']} {r['curve'][-1]['full_coverage']:.3f}" for r in records)
    alt = f"Validation loss against epoch, in nats per character; at the end: {finals}."
    data = pd.DataFrame(rows).assign(unigram=unigram)
    return draw(out, label, data, alt, plot)


def loss_by_word(out, label: str, losses: dict, records: list[dict], most: int = 14) -> Drawing:
    """Draw the mean loss of a word by its place in the title, a line a step.

    `losses` holds, for each record's step, what `lib.predictions.word_losses` gives. The point set
    apart on the right is the end of the title.
    """
    rows = []
    for record in records:
        titles = [t for t in losses[record["step"]] if t is not None]
        for place in range(most):
            words = [t[place] for t in titles if place < len(t) - 1]
            if words:
                rows.append((record["step"], str(place + 1), np.mean(words), len(words)))
        rows.append((record["step"], "end", np.mean([t[-1] for t in titles]), len(titles)))
    data = pd.DataFrame(rows, columns=["step", "word", "nats", "titles"])

    def plot(axes):
        ends = []
        for record in records:
            own, lines = color(record["step"]), data[data["step"] == record["step"]]
            nats = lines["nats"].to_numpy()
            axes.plot(np.arange(1, len(nats)), nats[:-1], color=own)
            axes.plot([most + 1.5], nats[-1:], "o", color=own)
            ends.append((nats[-2], record["title"], own))
        axes.set_xticks([1, 5, 10, most + 1.5], ["1", "5", "10", "end"])
        axes.set(xlabel="word of the title", ylabel="mean loss (nats per word)", ylim=(0, None),
                 title=caption(records[-1]))  # fmt: skip
        _label_ends(axes, ends)
        axes.grid(axis="y")

    alt = "Mean loss of a word by its place in the title, in nats. " + "; ".join(
        f"{r['title']}: first word {d['nats'].iloc[0]:.1f}, end {d['nats'].iloc[-1]:.1f}"
        for r in records
        for d in [data[data["step"] == r["step"]]]
    )
    return draw(out, label, data, alt, plot)


def loss_by_batch(out, label: str, record: dict, sweep: list[dict]) -> Drawing:
    """Draw what one trained model scores as the batch of its evaluation grows.

    `sweep` are `{batch, official, coverage, full_coverage}`, from the smallest batch on.
    """
    data = pd.DataFrame(sweep)
    data["official / coverage"] = data["official"] / data["coverage"]
    own, low = color(record["step"]), data.loc[data["official"].idxmin()]
    full = data["full_coverage"].iloc[0]

    def plot(axes):
        axes.plot(data["batch"], data["full_coverage"], color=own)
        axes.plot(data["batch"], data["official / coverage"], color=GREY, linewidth=1)
        axes.plot(data["batch"], data["official"], ":", color=own)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda batch, _: f"{batch:g}")
        axes.margins(y=0.3)
        batch, offset = record["config"]["batch_size"], {"textcoords": "offset points"}
        axes.axvline(batch, color=FAINT, linewidth=1)
        axes.annotate("the preset's own", (batch, 0), (-4, 4), ha="right", fontsize=10,
                      xycoords=("data", "axes fraction"), **offset)  # fmt: skip
        axes.annotate(f"as printed {low['official']:.3f}", (low["batch"], low["official"]), (0, -6),
                      ha="center", va="top", color=own, fontsize=10, **offset)  # fmt: skip
        axes.annotate("as printed ÷ coverage (thin)", (0, 1), (6, -20), va="top", fontsize=10,
                      xycoords="axes fraction", **offset)  # fmt: skip
        axes.annotate(f"every token scored {full:.3f}", (0, 1), (6, -4), va="top", color=own,
                      fontsize=10, xycoords="axes fraction", **offset)  # fmt: skip
        axes.set(xlabel=f"batch of the evaluation (windows of {record['config']['block_size']} "
                 "tokens)", ylabel=LOSS, title=caption(record))  # fmt: skip
        axes.grid(axis="y")

    alt = (
        f"The loss of one model against the batch it is evaluated with, nats per character: as "
        f"the challenge prints it, down to {low['official']:.3f} at batch {low['batch']:.0f}; "
        f"with every token scored, {full:.3f} at every batch."
    )
    return draw(out, label, data, alt, plot)


def _label_ends(axes, ends):
    """Write each (height, text, colour) right of the axes, moved apart where they would touch."""
    low, high = axes.get_ylim()
    line = (high - low) / 14  # one line of text
    bottom = -np.inf
    for height, text, own in sorted(ends):
        lines = text.count("\n") + 1
        place = max(height, bottom + line * lines / 2)
        bottom = place + line * (lines / 2 + 0.2)
        axes.annotate(
            text,
            (1.02, place),
            xycoords=("axes fraction", "data"),
            color=own,
            va="center",
            annotation_clip=False,
            fontsize=10,
        )


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
