"""What network and counts are worth apart and together, against a token at a time by hand."""

import math
from itertools import pairwise

import pytest
import torch

from lib.batches import cuts
from lib.config import load_preset
from lib.data import load_titles
from lib.record import load_model, read_record
from studies.counting import SHARES, read_mixture

STEP = "05_counting"


@pytest.fixture(scope="module")
def tokens(smoke_book):
    """Of each validation token what the network and the counts gave it, its share and context."""
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
            share = (hidden @ model.trust[:-1] + model.trust[-1]).sigmoid()[0]
        for i, token in enumerate(ids[start:end].tolist()):
            found.append((p[i, token].item(), q[i, token].item(), share[i].item()))
    return titles, found


def test_the_parts_cost_what_each_costs_alone_and_mixed(smoke_book, tokens):
    titles, found = tokens
    chars = sum(len(title) + len("<eos>") for title in titles.val)
    told = read_mixture(smoke_book[0], "smoke", STEP)

    def cost(share):
        return -sum(math.log((1 - s) * p + s * q) for p, q, s in share) / chars

    assert told["network"] == pytest.approx(cost([(p, q, 0) for p, q, _ in found]), rel=1e-4)
    assert told["counts"] == pytest.approx(cost([(p, q, 1) for p, q, _ in found]), rel=1e-4)
    assert told["learned"] == pytest.approx(cost(found), rel=1e-4)
    assert [point["share"] for point in told["fixed"]] == SHARES
    for point in told["fixed"]:
        mixed = cost([(p, q, point["share"]) for p, q, _ in found])
        assert point["loss"] == pytest.approx(mixed, rel=1e-4)
    assert told["best"] in told["fixed"]
    assert told["best"]["loss"] == min(point["loss"] for point in told["fixed"])
    record = read_record(smoke_book[0], "smoke", STEP)
    assert told["learned"] == pytest.approx(record["losses"]["full_coverage"], rel=1e-4)


def test_contexts_add_up_to_all_tokens(smoke_book, tokens):
    _, found = tokens
    contexts = read_mixture(smoke_book[0], "smoke", STEP)["contexts"]
    assert sum(row["tokens"] for row in contexts) == pytest.approx(1)
    for name, mean in (
        ("share", lambda p, q, s: s),
        ("network", lambda p, q, s: -math.log(p)),
        ("counts", lambda p, q, s: -math.log(q)),
    ):
        whole = sum(row["tokens"] * row[name] for row in contexts)
        assert whole == pytest.approx(sum(mean(*one) for one in found) / len(found), rel=1e-4)
    assert {row["context"] for row in contexts} <= set(range(5))


def test_the_weights_of_a_model_with_counts_come_back_with_them(smoke_book):
    """What was counted is kept beside them: the loss read back is the one that was recorded."""
    out = smoke_book[0]
    record = read_record(out, "smoke", STEP)
    model, _ = load_model(out, "smoke", STEP)
    assert model.counts.ngrams == record["counted"] > 10_000
    assert "trust" in model.state_dict() and not any("counts" in k for k in model.state_dict())
