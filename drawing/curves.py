"""Line charts: losses over epochs, over the words of a title, over batches; gains over presets.

- Losses are in nats per character; per-token losses never share an axis with them.
"""

import numpy as np
import pandas as pd

from lib.config import title_of

from .style import FAINT, GREY, LOSS, Drawing, caption, color, draw, unranked


def loss_curves(out, label: str, records: list[dict], cost=None) -> Drawing:
    """Draw the validation loss of each record against the epoch, as a line named at its end.

    With `cost(record)`, the computation of an epoch in 10^12 operations, the losses are drawn
    against what was computed. A record with a single point is drawn as a point. The dashed line is
    the loss of a unigram over the first record's tokens. If there is only one record, the dotted
    line is its loss as the challenge prints it. A model that sees more than titles is marked as
    such at its end.
    """
    unigram = records[0]["losses"]["unigram"]
    x, over = ("operations", "computation (10¹² operations)") if cost else ("epoch", "epoch")
    points = {
        r["step"]: [p | ({x: p["epoch"] * cost(r)} if cost else {}) for p in r["curve"]]
        for r in records
    }
    rows = [
        {"step": r["step"], "title": r["title"], **p} for r in records for p in points[r["step"]]
    ]
    last = records[-1]

    def plot(axes):
        ends = []
        for record in records:
            places = [p[x] for p in points[record["step"]]]
            losses = [p["full_coverage"] for p in record["curve"]]
            own = color(record["step"])
            axes.plot(places, losses, "-" if losses[1:] else "o", color=own)
            more = f"\n{unranked(record)}" if "sees" in record else ""
            ends.append((losses[-1], f"{record['title']}\n{losses[-1]:.3f}{more}", own))
        if len(records) == 1:
            own = points[last["step"]]
            curve = [(p[x], p["official"]) for p in own if p["official"] is not None]
            if curve:
                axes.plot(*zip(*curve, strict=True), ":", color=color(last["step"]))
                ends.append((curve[-1][1], f"as the challenge\nprints it {curve[-1][1]:.3f}", GREY))
        axes.axhline(unigram, color=GREY, linestyle="--", linewidth=1)
        if len(records) > 1:  # what the first step left does not press the rest together
            later = [p["full_coverage"] for r in records for p in r["curve"][1:] or r["curve"]]
            axes.set_ylim(top=max(unigram, *later) + 0.05 * (max(later) - min(later)))
        ends.append((unigram, f"unigram\n{unigram:.3f}", GREY))
        _label_ends(axes, ends)
        axes.set(xlabel=over, ylabel=LOSS, xlim=(0, None), title=caption(last))
        axes.grid(axis="y")

    finals = ", ".join(f"{r['title']} {r['curve'][-1]['full_coverage']:.3f}" for r in records)
    alt = f"Validation loss against {x}, in nats per character; at the end: {finals}."
    data = pd.DataFrame(rows).assign(unigram=unigram)
    return draw(out, label, data, alt, plot)


def loss_by_word(out, label: str, losses: dict, records: list[dict]) -> Drawing:
    """Draw the mean loss of a word by its place in the title, a line a step.

    `losses` holds, for each record's step, what `lib.details` keeps of its words. The point set
    apart on the right is the end of the title. A step whose tokens cross words has no such losses.
    """
    records = [record for record in records if losses[record["step"]]]
    rows = [{"step": r["step"], **row} for r in records for row in losses[r["step"]]]
    data = pd.DataFrame(rows, columns=["step", "word", "nats", "titles"])
    last = data.groupby("step").size().max() + 0.5  # where the end of a title stands, apart

    def plot(axes):
        ends = []
        for record in records:
            own, lines = color(record["step"]), data[data["step"] == record["step"]]
            nats = lines["nats"].to_numpy()
            axes.plot(np.arange(1, len(nats)), nats[:-1], color=own)
            axes.plot([last], nats[-1:], "o", color=own)
            ends.append((nats[-2], record["title"], own))
        axes.set_xticks([1, 5, 10, last], ["1", "5", "10", "end"])
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

    `sweep` are `{batch, official, coverage, full_coverage}`, from the smallest batch on; the
    record's own batch is added to them.
    """
    kept = ("official", "coverage", "full_coverage")
    itself = {"batch": record["config"]["batch_size"], **{n: record["losses"][n] for n in kept}}
    data = pd.DataFrame([*sweep, itself]).drop_duplicates("batch").sort_values("batch")
    data["official / coverage"] = data["official"] / data["coverage"]
    own, low = color(record["step"]), data.loc[data["official"].idxmin()]
    full = data["full_coverage"].iloc[0]

    def plot(axes):
        axes.plot(data["batch"], data["full_coverage"], color=own)
        axes.plot(data["batch"], data["official / coverage"], color=GREY, linewidth=1)
        axes.plot(data["batch"], data["official"], ":", marker="o", markersize=3, color=own)
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


def gains_by_size(out, label: str, gains: dict[str, dict[str, float]]) -> Drawing:
    """Draw how much lower each step is than the one before it, from preset to preset, a line each.

    `gains` is what `studies.sizes` has, the smallest preset first.
    """
    rows = [
        {"preset": preset, "step": step, "title": title_of(step), "gain": gain}
        for preset, by_step in gains.items()
        for step, gain in by_step.items()
    ]
    data = pd.DataFrame(rows, columns=["preset", "step", "title", "gain"])
    presets = list(gains)

    def plot(axes):
        ends = []
        axes.axhline(0, color=GREY, linewidth=1)
        for step, those in data.groupby("step"):
            own, places = color(step), [presets.index(preset) for preset in those["preset"]]
            axes.plot(places, those["gain"], "o-", color=own)
            last, end = those["gain"].iloc[-1], presets[places[-1]]
            where = "" if end == presets[-1] else f" on {end}"  # which ends before the others
            ends.append((last, f"{title_of(step)}\n{last:+.3f}{where}", own))
        axes.set_xticks(range(len(presets)), presets)
        axes.margins(x=0.1)
        _label_ends(axes, ends)
        axes.set(
            xlabel="preset, the smallest first",
            ylabel="lower than the step before\n(nats per character)",
        )
        axes.grid(axis="y")

    alt = "How much lower each step is than the one before it, nats per character: " + "; ".join(
        f"on {preset} " + ", ".join(f"{title_of(step)} {gain:+.3f}" for step, gain in own.items())
        for preset, own in gains.items()
    )
    return draw(out, label, data, alt, plot)


def _label_ends(axes, ends):
    """Write each (height, text, colour) right of the axes, a thin line from where it belongs."""
    low, high = axes.get_ylim()
    line, ends = (high - low) / 14, sorted(ends)  # one line of text
    sizes = [line * (text.count("\n") + 1.2) for _, text, _ in ends]
    places = _apart([height for height, *_ in ends], sizes, low)
    where = ("axes fraction", "data")
    for (height, text, own), place in zip(ends, places, strict=True):
        axes.annotate(
            text,
            (1, height),
            (1.06, place),
            xycoords=where,
            textcoords=where,
            color=own,
            va="center",
            annotation_clip=False,
            fontsize=10,
            arrowprops={
                "arrowstyle": "-",
                "color": own,
                "linewidth": 0.8,
                "shrinkA": 2,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def _apart(heights, sizes, low):
    """Return a place for each of `heights`, which ascend, so that what is as tall as `sizes` fits.

    As near to the heights as can be, and none below `low`.
    """
    blocks = []  # of labels that touch: where each would have the block begin, and their sizes
    for height, size in zip(heights, sizes, strict=True):
        begins, tall = [height - size / 2], [size]
        while blocks and _begin(blocks[-1][0], low) + sum(blocks[-1][1]) > _begin(begins, low):
            before, those = blocks.pop()
            begins = [*before, *(begin - sum(those) for begin in begins)]
            tall = [*those, *tall]
        blocks.append((begins, tall))
    places = []
    for begins, tall in blocks:
        at = _begin(begins, low)
        for size in tall:
            places.append(at + size / 2)
            at += size
    return places


def _begin(begins, low):
    return max(low, sum(begins) / len(begins))
