"""The published figures, drawn again by the notebooks' cells from the published records.

A figure of one preset and one version of Matplotlib is one file, byte for byte. After a change of
style, publish the figures again.
"""

import json
import shutil

import pandas as pd
import pytest

from book.contents import figures, notebooks
from lib import record as record_module
from lib.details import read_detail
from lib.files import BOOK, read_json, results
from lib.record import read_record, read_steps
from lib.steps import PUBLIC_BEST
from studies import context, counting
from studies.counting import read_mixture
from studies.peers import read_peers

from ..notebooks.test_notebooks import read

REPORT = json.loads((BOOK / "results" / "report.json").read_text("utf-8"))
PRESET = REPORT["preset"]
# These are of the stories' tokens, or of what a model gave each, which are not published.
NOT_FROM_RECORDS = {"token_frequency_first_run", "token_frequency_input", "parts"}


def before(notebook, out, preset):
    """What the cells of `notebook` before those that draw have computed, from what is published."""
    if notebook == "06_context":
        found = read_json(out, preset, "06_context/gains", "run notebooks/06_context.ipynb")
        return {"record": read_record(out, preset, notebook), "arms": found}
    if notebook == "results":
        parts = ("words", "headlines", "samples")
        steps = [record["step"] for record in read_steps(out, preset)]
        kept = {part: {s: read_detail(out, preset, s, part) for s in steps} for part in parts}
        trained = results(out, preset, PUBLIC_BEST).exists()
        others = [read_record(out, preset, PUBLIC_BEST)] if trained else []
        return {"kept": kept, "home": out, "records": read_steps(out, preset), "others": others}
    if notebook != "measuring_notebook":
        names = [f"03_rope_vocab-{name}" for name in ("rope", "vocab", "rope_vocab")]
        arms = [read_record(out, preset, f"ablations/{name}") for name in names]
        return {"run": None, "record": read_record(out, preset, notebook), "ablations": arms}
    measured = read_json(out, preset, "measuring", "run notebooks/measuring_notebook.ipynb")
    records = read_steps(out, preset)
    steps = {record["step"]: record for record in records}
    chars = records[0]["titles"]["val_chars"]
    repeated, scale = measured["repeated"], measured["scale"]
    count = repeated["count"]
    return {
        "measured": measured,
        "records": records,
        "steps": steps,
        "chars": chars,
        "studied": steps["03_rope_vocab"],
        "sweep": measured["batch"]["sweep"],
        "lower_case": read_record(out, preset, "ablations/lower_case"),
        "train_only": read_record(out, preset, "ablations/tokenizer_train"),
        "nats": steps["04_lowest_loss"]["losses"]["full_coverage"] * chars,
        "divisors": {
            name.replace("_", " "): round(mark["times"] * chars)
            for name, mark in measured["marks"].items()
        },
        "losses": pd.DataFrame(repeated["steps"]).T,
        "again": pd.Series([True] * count + [False] * round(count / repeated["share"] - count)),
        "names": scale_names(scale),
        "public": read_peers(),
    }


def scale_names(scale):
    """The names that the measuring notebook gives the lines of its scale."""
    (source,) = [
        c.source
        for c in read("measuring_notebook").cells
        if c.source.startswith("from lib import evaluate")
    ]
    names = {"best": scale}
    exec(source[source.index("names = ") :], names)
    return names["names"]


@pytest.fixture(scope="module")
def redrawn(tmp_path_factory):
    """The folder of the figures drawn again."""
    out = tmp_path_factory.mktemp("redrawn")
    shutil.copytree(BOOK / "results", out / "results", ignore=shutil.ignore_patterns("model.bin"))
    with pytest.MonkeyPatch.context() as patch:
        # What a run comes to is read where it was published; nothing is trained or scored.
        patch.setattr(record_module, "save", lambda _, out, step: read_record(out, PRESET, step))
        patch.setattr(counting, "by_token", lambda _: None)
        patch.setattr(counting, "mixture", lambda *_: read_mixture(out, PRESET, "05_counting"))
        patch.setattr(context, "gains", lambda found: found["arms"])
        patch.setattr(context, "gain_by_place", lambda found: found["words"])
        patch.setattr(context, "by_site", lambda found: found["sites"])
        for notebook in notebooks():
            preset = REPORT.get("but", {}).get(notebook, PRESET)
            names = {"out": out, "preset": preset, "step": notebook}
            names |= before(notebook, out, preset)
            for source in [c.source for c in read(notebook).cells if c.cell_type == "code"]:
                if set(figures(source)) - NOT_FROM_RECORDS:
                    exec(source, names)
    return out / "figures"


@pytest.mark.parametrize("suffix", [".csv", ".svg"])
def test_a_published_figure_is_what_the_published_records_give(redrawn, suffix):
    published = {p.name: p for p in (BOOK / "figures").glob(f"*{suffix}")}
    ours = {p.name: p for p in redrawn.glob(f"*{suffix}")}
    there = {name for name in published if name.removesuffix(suffix) not in NOT_FROM_RECORDS}
    assert set(ours) == there
    differ = [name for name in there if ours[name].read_bytes() != published[name].read_bytes()]
    assert not differ
