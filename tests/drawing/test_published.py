"""The published figures, drawn again from the published records: the same files, byte for byte.

A figure of one preset and one version of Matplotlib is one file. After a change of style, publish
the figures again.
"""

import json

import pytest

from drawing import bars, context, counting, curves, rows, text
from drawing.style import GREY, caption, color
from lib.config import PRESETS
from lib.details import read_detail
from lib.files import BOOK, read_json
from lib.record import read_record, read_steps
from lib.steps import PUBLIC_BEST
from studies.counting import read_mixture
from studies.ladder import read_ladder
from studies.peers import read_peers
from studies.seeds import read_seeds
from studies.sizes import gains_by_size

REPORT = json.loads((BOOK / "results" / "report.json").read_text("utf-8"))
PRESET = REPORT["preset"]
# These are of the stories' tokens, or of what a model gave each, which are not published.
NOT_FROM_RECORDS = {"token_frequency_first_run", "token_frequency_input", "parts"}


def redraw(out):
    """Draw under `out` every figure that follows from the published records."""
    steps = read_steps(BOOK, PRESET)
    one, two, three, four = steps[:4]
    measured = read_json(BOOK, PRESET, "measuring", "run notebooks/measuring_notebook.ipynb")

    curves.loss_curves(out, "loss_by_step", steps)
    for label, count in (("first_run", 1), ("step_one", 2), ("step_two", 3), ("step_three", 4)):
        curves.loss_curves(out, f"loss_{label}", steps[:count])
    curves.loss_by_batch(out, "loss_by_batch", three, measured["batch"]["sweep"])

    for label, record, which in (
        ("output_step_two_token_10", three, 0),
        ("token_predictions_two", three, 1),
        ("output_step_three_token_10", four, 0),
        ("token_predictions_three", four, 1),
    ):
        bars.next_tokens(out, label, record, which)

    bars.answers(out, "step_one_words", [one, two])
    kept = {
        name: {r["step"]: read_detail(BOOK, PRESET, r["step"], name) for r in steps}
        for name in ("words", "headlines", "samples")
    }
    curves.loss_by_word(out, "loss_by_word", kept["words"], steps)
    lines = [
        {"step": r["title"], **kept["headlines"][r["step"]][i]}
        for i in range(len(kept["headlines"][one["step"]]))
        for r in steps
        if " " in kept["headlines"][r["step"]][i]["title"]
    ]
    text.coloured_titles(out, "headlines_by_loss", lines)
    text.samples(out, "sampled_headlines", steps, kept["samples"])
    homes = {name: BOOK for name in PRESETS if name != "smoke"}
    curves.gains_by_size(out, "gains_by_size", gains_by_size(homes))
    draw_marks(out, measured)

    arms = [arm(f"03_rope_vocab-{name}") for name in ("rope", "vocab", "rope_vocab")]
    names = ["step one", *(record["title"] for record in arms), "step two whole"]
    rows.final_losses(out, "ablations_step_two", [two, *arms, three], names)
    rows.arms(out, "lower_case", [two, arm("lower_case")])
    rows.arms(out, "tokenizer_leak", [two, arm("tokenizer_train")])

    ladder = read_ladder(BOOK, "tiny")
    rows.ladder(out, "ladder", ladder)
    rows.ladders(out, "ladder_order", ladder, read_ladder(BOOK, "small"))
    names = ("02_adamw", "03_rope_vocab", PUBLIC_BEST, "04_lowest_loss")
    rows.seeds(out, "public_best", [read_seeds(BOOK, name, "tiny") for name in names])

    preset = REPORT.get("but", {}).get("06_context", PRESET)
    record = read_record(BOOK, preset, "06_context")
    found = read_json(BOOK, preset, "06_context/gains", "run notebooks/06_context.ipynb")
    context.gains(out, "context_gain", found["arms"], record)
    context.by_place(out, "context_by_word", found["words"], record)
    context.sites(out, "context_by_site", found["sites"], record)

    record = read_record(BOOK, PRESET, "05_counting")
    found = read_mixture(BOOK, PRESET, "05_counting")
    curves.loss_curves(out, "loss_step_four", steps)
    counting.shares(out, "shares", found, record)
    counting.contexts(out, "by_context", found, record)

    draw_repeated(out, steps, measured)
    draw_scale(out, steps, measured)
    draw_peers(out)


def arm(name):
    return read_record(BOOK, PRESET, f"ablations/{name}")


def draw_marks(out, measured):
    own = color("04_lowest_loss")
    lines = [
        {"name": name.replace("_", " "), "value": mark["loss"], "color": own}
        | {"ranked": mark["times"] == 1}
        for name, mark in measured["marks"].items()
    ]
    xlabel = "loss (nats per character of the divisor)"
    what = "Step three's loss, divided by"
    rows.points(out, "counted_marks", lines, xlabel=xlabel, what=what)


def draw_repeated(out, steps, measured):
    parts = measured["repeated"]["steps"]
    lines = [
        {
            "name": record["title"],
            "color": color(record["step"]),
            "first": parts[record["step"]]["repeated"],
            "second": parts[record["step"]]["without"],
        }
        for record in steps
    ]
    what = "Full-coverage loss of each step"
    columns = (f"{measured['repeated']['count']} titles in training as well", "other titles")
    title = caption(steps[0])
    rows.pairs(out, "repeated_titles", lines, columns=columns, what=what, title=title)


def draw_scale(out, steps, measured):
    scale = measured["scale"]
    names = {
        "uniform": "uniform bytes",
        "unigram": "unigram, baseline's tokens",
        "xz": "xz",
        "ppmd": f"PPMd, order {scale['order']}",
    }
    lines = [(name, scale[key], GREY, True) for key, name in names.items()]
    for r in steps:
        bits, lossless = r["losses"]["bits_per_byte"], r["tokenizer"]["lossless"]
        lines.append((r["title"], bits, color(r["step"]), lossless))
    lines.sort(key=lambda line: -line[1])
    lines = [dict(zip(("name", "value", "color", "ranked"), line, strict=True)) for line in lines]
    title = caption(steps[0])
    rows.points(
        out, "scale", lines, xlabel="bits per byte", what="Bits per byte", title=title, low=0
    )


def draw_peers(out):
    parts = {"old": [], "new": []}
    for key, peer in read_peers().items():
        if peer["unfair"]:
            continue
        name = key.replace("_", " ").replace("step", "report, step")
        line = {"name": name, "first": peer["reported"], "second": peer["corrected"]}
        line["color"] = GREY
        if not peer["train_tokens"]:
            line["note"] = "not known"
        else:
            line["range"] = peer["least"], peer["most"]
        parts[peer["titles"]].append(line)
    rows.pairs(
        out,
        "peers_corrected",
        parts["old"] + parts["new"],
        columns=("as reported", "divided by coverage, an estimate"),
        what="Public results on the challenge",
        title=f"the last {len(parts['new'])} on the hub's new titles",
    )


@pytest.fixture(scope="module")
def redrawn(tmp_path_factory):
    """The folder of the figures drawn again."""
    out = tmp_path_factory.mktemp("redrawn")
    redraw(out)
    return out / "figures"


@pytest.mark.parametrize("suffix", [".csv", ".svg"])
def test_a_published_figure_is_what_the_published_records_give(redrawn, suffix):
    published = {p.name: p for p in (BOOK / "figures").glob(f"*{suffix}")}
    ours = {p.name: p for p in redrawn.glob(f"*{suffix}")}
    there = {name for name in published if name.removesuffix(suffix) not in NOT_FROM_RECORDS}
    assert set(ours) == there
    differ = [name for name in ours if ours[name].read_bytes() != published[name].read_bytes()]
    assert not differ
