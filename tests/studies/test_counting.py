"""What network and counts are worth apart and together, against a token at a time by hand."""

import math
import statistics
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lib.batches import cuts
from lib.config import load_preset, load_step
from lib.data import load_titles
from lib.details import read_detail
from lib.record import load_model, read_record
from studies.counting import SHARES, Tokens, parts_of, read_mixture

STEP = "05_counting"


@pytest.fixture(scope="module")
def tokens(smoke_book):
    """What the network and the counts gave each validation token."""
    out, found = smoke_book[0], []
    titles = load_titles(load_preset("smoke"), "synthetic")
    model, tokenizer = load_model(out, "smoke", STEP)
    ids = torch.from_numpy(tokenizer.stream(titles.val))
    bounds = cuts(ids, model.block_size)
    for start, end in pairwise(bounds):
        x = torch.cat((torch.tensor([tokenizer.eos_id]), ids[start : end - 1]))[None]
        with torch.no_grad():
            hidden = model.hidden(x)
            p = model.head(hidden).softmax(-1)[0]
            q = model.counts.distribution(x)[0]
        for i, token in enumerate(ids[start:end].tolist()):
            found.append((p[i, token].item(), q[i, token].item()))
    return titles, found


def test_the_parts_cost_what_each_costs_alone_and_mixed(smoke_book, tokens):
    titles, found = tokens
    chars = sum(len(title) + len("<eos>") for title in titles.val)
    told = read_mixture(smoke_book[0], "smoke", STEP)

    def cost(share):
        return -sum(math.log((1 - share) * p + share * q) for p, q in found) / chars

    assert told["network"] == pytest.approx(cost(0), rel=1e-4)
    assert told["counts"] == pytest.approx(cost(1), rel=1e-4)
    assert [point["share"] for point in told["shares"]] == SHARES
    for point in told["shares"]:
        assert point["loss"] == pytest.approx(cost(point["share"]), rel=1e-4)
    assert told["best"] in told["shares"]
    assert told["best"]["loss"] == min(point["loss"] for point in told["shares"])
    record = read_record(smoke_book[0], "smoke", STEP)
    assert told["mixed"]["share"] == record["config"]["counts"] == load_step(STEP, "smoke").counts
    assert told["mixed"]["loss"] == pytest.approx(record["losses"]["full_coverage"], rel=1e-4)


def test_the_gain_has_an_error_over_titles(smoke_book):
    """From what is kept of both steps, whose network is the same."""
    out = smoke_book[0]
    before, after = (
        read_detail(out, "smoke", step, "titles")["val"] for step in ("04_lowest_loss", STEP)
    )
    chars = read_record(out, "smoke", STEP)["titles"]["val_chars"]
    saved = [a - b for a, b in zip(before, after, strict=True)]
    told = read_mixture(out, "smoke", STEP)
    assert told["gain"] == pytest.approx(sum(saved) / chars, rel=1e-4)
    error = statistics.stdev(saved) * math.sqrt(len(saved)) / chars
    assert told["over_titles"] == pytest.approx(error, rel=1e-4)


def test_a_part_is_what_of_a_tokens_probability_came_from_the_counts():
    """By hand: two titles of two tokens and of one, each with its end; a quarter is the counts'."""
    tokens = Tokens(
        p=np.array([0.2, 0.1, 0.5, 0.4, 0.3]),
        q=np.array([0.2, 0.0, 0.1, 0.4, 0.9]),
        context=np.ones(5),
    )
    tokenizer = SimpleNamespace(encode=lambda titles: [[4, 2], [7]][: len(titles)], token=str)
    run = SimpleNamespace(
        config=SimpleNamespace(counts=0.25),
        titles=SimpleNamespace(val=["4 2", "7"]),
        tokenizer=tokenizer,
    )
    first, second = parts_of(run, tokens, 2)
    assert [first["title"], second["title"]] == ["4 2", "7"]
    assert [first["tokens"], second["tokens"]] == [["4", "2", "⏎"], ["7", "⏎"]]
    assert first["parts"] == pytest.approx([1 / 4, 0, 1 / 16])
    assert second["parts"] == pytest.approx([1 / 4, 1 / 2])
    assert parts_of(run, tokens, 1) == [first]


def test_contexts_add_up_to_all_tokens(smoke_book, tokens):
    _, found = tokens
    contexts = read_mixture(smoke_book[0], "smoke", STEP)["contexts"]
    assert sum(row["tokens"] for row in contexts) == pytest.approx(1)
    for name, mean in (
        ("network", lambda p, q: -math.log(p)),
        ("counts", lambda p, q: -math.log(q)),
    ):
        whole = sum(row["tokens"] * row[name] for row in contexts)
        assert whole == pytest.approx(sum(mean(*one) for one in found) / len(found), rel=1e-4)
    assert {row["context"] for row in contexts} <= {1, 2, 3, 4}


def test_the_weights_of_a_model_with_counts_come_back_with_them(smoke_book):
    """What was counted is kept beside them: the loss read back is the one that was recorded."""
    out = smoke_book[0]
    record = read_record(out, "smoke", STEP)
    model, _ = load_model(out, "smoke", STEP)
    assert model.counts.ngrams == record["counted"] > 10_000
    assert not any("counts" in name for name in model.state_dict())
