"""Figures of bars, a token each: what a model expects next, and what occurs most."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from .style import GREY, OTHER, Drawing, color, draw
from .text import shown


def bars(
    out,
    label: str,
    names,
    values,
    *,
    xlabel: str,
    alt: str,
    own=GREY,
    title="",
    marked=(),
    rings=None,
) -> Drawing:
    """Draw a horizontal bar for each of `names`, the first on top; those `marked` are darker.

    `rings` are other values of the same, drawn as rings.
    """
    names, values = [shown(name) for name in names], list(values)
    marked = [shown(name) for name in marked]

    def plot(axes):
        _bars(axes, names, values, own, marked)
        if rings is not None:
            axes.plot(rings, range(len(names)), "o", color=OTHER, markerfacecolor="none")
        axes.set(xlabel=xlabel, title=title)

    data = pd.DataFrame({"token": names, xlabel: values})
    if rings is not None:
        data["share of the training tokens"] = rings
    height = 1.2 + 0.22 * len(names) + 0.2 * title.count("\n")
    return draw(out, label, data, alt, plot, height)


def _bars(axes, names, values, own, marked, ticks=5):
    places = np.arange(len(names))
    full = [name in marked or not marked for name in names]
    for place, value, strong in zip(places, values, full, strict=True):
        axes.barh(place, value, color=own, alpha=1.0 if strong else 0.45, height=0.72)
    axes.xaxis.set_major_locator(MaxNLocator(ticks))
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.margins(y=0.02)


def answers(out, label: str, records: list[dict]) -> Drawing:
    """Draw the ten most probable next tokens of each of `records`, side by side for each context.

    The bar of the token that really follows is the darker one; its name stands above.
    """
    contexts = [prediction["context"] for prediction in records[0]["predictions"]]

    def plot(strips):
        for which, strip in enumerate(strips):
            end = contexts[which] if len(contexts[which]) <= 46 else "…" + contexts[which][-46:]
            strip.suptitle("after: " + shown(end).replace("␣", " "), x=0.01, ha="left", fontsize=11)
            (panels,) = strip.subplots(1, len(records), squeeze=False)
            for axes, record in zip(panels, records, strict=True):
                prediction = record["predictions"][which]
                own, right = color(record["step"]), shown(prediction["target"])
                names = [shown(entry["token"]) for entry in prediction["top"]]
                _bars(axes, names, [e["p"] for e in prediction["top"]], own, [right], ticks=3)
                axes.set_title(f"{record['title']}\nreally: {right}", fontsize=10)
                axes.set_xlabel("probability" if which == len(contexts) - 1 else "")

    rows = [
        {"context": p["context"], "step": r["title"], "token": e["token"], "probability": e["p"]}
        for which in range(len(contexts))
        for r in records
        for p in [r["predictions"][which]]
        for e in p["top"]
    ]
    alt = "The likeliest next token: " + "; ".join(
        ", ".join(
            f"{r['title']} {shown(r['predictions'][which]['top'][0]['token'])} "
            f"{r['predictions'][which]['top'][0]['p']:.3f}"
            for r in records
        )
        + f" (really {shown(records[-1]['predictions'][which]['target'])})"
        for which in range(len(contexts))
    )
    height = 3.4 * len(contexts)
    return draw(out, label, pd.DataFrame(rows), alt, plot, height, strips=len(contexts))


def next_tokens(out, label: str, record: dict, which: int, run=None) -> Drawing:
    """Draw the ten most probable next tokens of the record's prediction number `which`.

    The context stands above; the bar of the token that really follows is the darker one. With `run`
    a ring marks how often each of them occurs among its training tokens.
    """
    prediction = record["predictions"][which]
    names = [entry["token"] for entry in prediction["top"]]
    target = prediction["target"]
    context = prediction["context"]
    short = context if len(context) <= 110 else "…" + context[-110:]
    place = f"number {names.index(target) + 1}" if target in names else "not among the ten"
    lines = [*textwrap.wrap("after: " + short, 56), f"really next: {shown(target)} ({place})"]
    often = _often(run, names) if run is not None else None
    if often is not None:
        lines.append("○ its share of the training tokens")
    return bars(
        out,
        label,
        names,
        [entry["p"] for entry in prediction["top"]],
        xlabel="probability of the next token",
        alt=f"The ten most probable next tokens; first {shown(names[0])} with probability "
        f"{prediction['top'][0]['p']:.3f}. The true next token, {shown(target)}, is {place}.",
        own=color(record["step"]),
        title="\n".join(lines),
        marked=[target],
        rings=often,
    )


def _often(run, names):
    """The share of a run's training tokens that each token called one of `names` has.

    None if the tokenizer marks capitals: a name may then join a mark and the token after it, and
    such a pair has no share of its own.
    """
    if run.tokenizer.mark_ids:
        return None
    counts = np.bincount(run.train_ids.cpu().numpy(), minlength=run.tokenizer.vocab_size)
    ids = {run.tokenizer.token(i): i for i in range(run.tokenizer.vocab_size)}
    return (counts[[ids[name] for name in names]] / counts.sum()).tolist()


def token_frequency(out, label: str, run, count: int = 20) -> Drawing:
    """Draw the `count` most frequent tokens of a run's training stream, in percent of it."""
    counts = np.bincount(run.train_ids.cpu().numpy(), minlength=run.tokenizer.vocab_size)
    top = np.argsort(-counts, kind="stable")[:count]
    names = [run.tokenizer.token(int(i)) for i in top]
    share = 100 * counts[top] / counts.sum()
    alt = f"The {count} most frequent tokens; first {shown(names[0])}, {share[0]:.1f} % of all."
    return bars(out, label, names, share, xlabel="share of the training tokens (%)", alt=alt)
