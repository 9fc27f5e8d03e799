"""What is measured about measuring: recomputed plainly, on the book of the smoke preset."""

import json
import lzma
import math
import random
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pandas as pd
import pyppmd
import pytest
import torch
import torch.nn.functional as F

from drawing import rows
from lib.compression import PPMD_MEMORY, bits_per_byte, ppmd, text, xz
from lib.config import Config, changed, load_preset, load_step
from lib.data import load_titles
from lib.evaluate import size_in_bytes
from lib.record import load_model, read_record, read_steps
from lib.steps import STEPS
from lib.tokenizer import train_tokenizer
from studies import reference
from studies.peers import coverage_of, read_peers

from ..windows import starts
from .test_notebooks import cell

TITLES = ["Show HN: a é thing", "日本", "😀 <eos>", "tabs\tand more", "Show HN: a é thing"]


@pytest.fixture(scope="module")
def titles():
    return load_titles(load_preset("smoke"), "synthetic")


@pytest.fixture(scope="module")
def measured(smoke_book):
    return json.loads(
        (smoke_book[0] / "results" / "smoke" / "measuring.json").read_text(encoding="utf-8")
    )


def unpack_ppmd(data, order):
    return pyppmd.decompress(data, max_order=order, mem_size=PPMD_MEMORY, variant="I")


def test_the_titles_come_back_from_what_the_compressors_are_charged_for(titles):
    for those in (TITLES, titles.train + titles.val):
        plain = text(those)
        assert len(plain) == size_in_bytes(those)
        assert plain.decode().split("\n") == [*those, ""]
        assert lzma.decompress(xz(plain)) == plain
        for order in (2, 5, 12):
            assert unpack_ppmd(ppmd(plain, order), order) == plain


def test_bits_per_byte_of_texts_whose_cost_is_known():
    """Hexadecimal digits at random hold four bits each, and no compressor can do with fewer."""
    generator = random.Random(5)
    first, then = ([f"{generator.getrandbits(512):0128x}" for _ in range(300)] for _ in range(2))
    compressors = (xz, lambda data: ppmd(data, 12))
    assert bits_per_byte(bytes, first, then) == 8
    for compress in compressors:
        assert 4 * 128 / 129 <= bits_per_byte(compress, first, then) < 4.7
        assert bits_per_byte(compress, first, first) < 0.35  # it has read them before


def test_the_official_loss_moves_with_the_batch_and_full_coverage_does_not(
    smoke_book, titles, measured
):
    model, tokenizer = load_model(smoke_book[0], "smoke", "03_rope_vocab")
    stream = torch.from_numpy(tokenizer.stream(titles.val))
    block, sweep = measured["batch"]["block"], measured["batch"]["sweep"]
    assert block == load_step("03_rope_vocab", "smoke").block_size
    largest = sweep[-1]["batch"]
    assert block * largest + 1 <= len(stream) < block * (largest + 1) + 1
    assert sweep[0]["batch"] == 1
    for point in sweep[:: len(sweep) // 5]:
        settings = reference.Settings(block_size=block, batch_size=point["batch"])
        expected = reference.evaluate(model, stream, titles.val, settings)
        assert point["official"] == pytest.approx(expected, abs=1e-5)
        size = block * point["batch"]
        spans = len(range(0, len(stream) - size, size + 1))
        assert point["coverage"] == pytest.approx(spans * size / len(stream))
    printed = [point["official"] for point in sweep]
    assert max(printed) - min(printed) > 0.1
    assert measured["batch"]["lowest"]["official"] == min(printed)
    expected = read_record(smoke_book[0], "smoke", "03_rope_vocab")["losses"]["full_coverage"]
    assert {point["full_coverage"] for point in sweep} == {measured["batch"]["full_coverage"]}
    assert measured["batch"]["full_coverage"] == pytest.approx(expected, abs=1e-6)
    assert max(printed) < expected  # a part of the sum over all of the divisor


def test_lower_casing_is_told_marked_and_not_among_the_steps(smoke_book, titles):
    out, _ = smoke_book
    record = read_record(out, "smoke", "ablations/lower_case")
    lossy = {part: sum(t != t.lower() for t in getattr(titles, part)) for part in ("val", "test")}
    assert record["tokenizer"]["lossless"] is False
    assert {part: record["tokenizer"]["lossy"][part] for part in lossy} == lossy
    assert record["tokenizer"]["lossy"]["why"] == f"{sum(lossy.values()):,} hold capitals"
    step_one = read_record(out, "smoke", "02_adamw")
    assert record["config"] == step_one["config"]
    assert record["titles"]["val_chars"] == step_one["titles"]["val_chars"]
    assert record["losses"]["full_coverage"] < step_one["losses"]["full_coverage"]
    assert tuple(step["step"] for step in read_steps(out, "smoke")) == tuple(STEPS)
    drawn = pd.read_csv(out / "figures" / "lower_case.csv")
    assert drawn["ranked"].tolist() == [True, False]
    assert (out / "figures" / "lower_case.svg").read_text(encoding="utf-8").count("not ranked") == 1


def test_the_lower_casing_tokenizer_reads_any_case_alike(titles):
    names = {}
    exec(cell("measuring_notebook", "lowercasing"), names)
    config = load_step("02_adamw", "smoke")
    plain = train_tokenizer(config, titles)
    tokenizer = names["Lowercasing"](plain.kind, plain.state)
    assert tokenizer.encode(["Show HN: Ä"]) == plain.encode(["show hn: ä"])
    assert tokenizer.lossy(["a b", "A b"]) == ["A b"]
    assert tokenizer.why_lossy("A b") == "hold capitals"
    assert tokenizer.why_lossy("a b") == plain.why_lossy("a b")


def test_the_tokenizer_without_the_leak_differs_in_its_titles_only(smoke_book, titles):
    record = read_record(smoke_book[0], "smoke", "ablations/tokenizer_train")
    settings = Config.from_dict(record["config"])
    assert changed(load_step("02_adamw", "smoke"), settings) == [
        {"setting": "tokenizer_titles", "old": "train+val", "new": "train"}
    ]
    blind = train_tokenizer(settings, replace(titles, val=["nothing"]))
    assert record["tokens"]["val"] == len(blind.stream(titles.val))


def test_titles_in_both_parts_are_counted_and_left_out(smoke_book, titles, measured):
    """Compared one by one; the losses from windows cut by hand, a token at a time."""
    again = [any(title == other for other in titles.train) for title in titles.val]
    assert measured["repeated"]["count"] == sum(again) > 0
    assert measured["repeated"]["share"] == pytest.approx(sum(again) / len(titles.val))
    for step in STEPS:
        model, tokenizer = load_model(smoke_book[0], "smoke", step)
        ids, owner = [], []
        for i, title in enumerate(titles.val):
            own = [*tokenizer.encode([title])[0], tokenizer.eos_id]
            ids, owner = ids + own, owner + [i] * len(own)
        nats = [0.0] * len(titles.val)
        begin = starts(ids, model.block_size, tokenizer.eos_id)
        if model.title_mask:  # what stands before a title is nothing to it
            begin = [i for i in range(len(ids)) if i == 0 or owner[i] != owner[i - 1]]
        for start, end in pairwise([*begin, len(ids)]):
            window = ids[start:end]
            before = [ids[start - 1] if start else tokenizer.eos_id, *window[:-1]]
            with torch.no_grad():
                logits = model(torch.tensor([before]))[0].double()
            losses = F.cross_entropy(logits, torch.tensor(window), reduction="none").tolist()
            for i, loss in zip(owner[start:end], losses, strict=True):
                nats[i] += loss
        told = measured["repeated"]["steps"][step]
        for part, chosen in (
            ("all", range(len(again))),
            ("repeated", [i for i, inside in enumerate(again) if inside]),
            ("without", [i for i, inside in enumerate(again) if not inside]),
        ):
            expected = sum(nats[i] for i in chosen) / sum(len(titles.val[i]) + 5 for i in chosen)
            assert told[part] == pytest.approx(expected, abs=1e-5), (step, part)


def test_the_coverage_of_a_public_result_is_that_of_walked_spans():
    def walked(tokens, block, batch):
        size = block * batch
        return sum(size for _ in range(0, tokens - size, size + 1)) / tokens

    for tokens in (8193, 8192, 16_386, 16_385, 122_470):
        for batch in (16, 64):
            expected = walked(tokens, 128, batch)
            assert coverage_of(tokens, 128, batch) == pytest.approx(expected)
    for peer in read_peers().values():
        if peer["val_tokens"]:
            expected = walked(peer["val_tokens"], peer["block"], peer["batch"])
            assert peer["coverage"] == pytest.approx(expected)


def test_marks_that_are_counted_divide_the_same_nats_by_more(smoke_book, titles, measured):
    """Step three's nats over characters counted letter by letter."""
    losses = read_record(smoke_book[0], "smoke", "04_lowest_loss")["losses"]
    chars = sum(len(title) + len("<eos>") for title in titles.val)
    words = sum(any("A" <= c <= "Z" for c in w) for t in titles.val for w in t.split(" "))
    _, _, mark = marks = measured["marks"].values()
    assert mark["times"] == pytest.approx((chars + len("<caps>") * words) / chars)
    assert list(measured["marks"]) == ["characters", "with_its_marks", "with_words_as_marks"]
    for mark in marks:
        assert mark["loss"] * mark["times"] == pytest.approx(losses["full_coverage"])
    capitals = sum(1 for t in titles.val for _ in re.findall("[A-Z]{2,}(?![A-Za-z])|[A-Z]", t))
    its_own = measured["marks"]["with_its_marks"]["times"]
    assert its_own == pytest.approx((chars + capitals) / chars)


def test_the_scale_is_in_bits_of_the_validation_titles(smoke_book, titles, measured):
    scale = measured["scale"]
    baseline = train_tokenizer(load_preset("smoke"), titles)
    stream = [i for t in titles.train for i in (*baseline.encode([t])[0], baseline.eos_id)]
    counts, total = Counter(stream), len(stream) + baseline.vocab_size  # one is added to each
    bits = sum(
        -math.log2((counts[i] + 1) / total)
        for t in titles.val
        for i in (*baseline.encode([t])[0], baseline.eos_id)
    )
    size = len("".join(t + "\n" for t in titles.val).encode())
    assert scale["unigram"] == pytest.approx(bits / size, rel=1e-6)
    assert scale["uniform"] == 8
    before, both = ("".join(t + "\n" for t in those).encode() for those in
                    (titles.train, titles.train + titles.val))  # fmt: skip
    packed = [len(xz(data)) for data in (before, both)]
    assert scale["xz"] == 8 * (packed[1] - packed[0]) / size
    packed = [len(ppmd(data, scale["order"])) for data in (before, both)]
    assert scale["ppmd"] == 8 * (packed[1] - packed[0]) / size
    cut = len(titles.train) - len(titles.train) // 10
    parts = [text(those) for those in (titles.train[:cut], titles.train)]
    added = {n: len(ppmd(parts[1], n)) - len(ppmd(parts[0], n)) for n in range(2, 13)}
    assert added[scale["order"]] == min(added.values())  # chosen without the validation titles
    drawn = pd.read_csv(smoke_book[0] / "figures" / "scale.csv")
    assert drawn["bits per byte"].is_monotonic_decreasing
    for step in STEPS:
        record = read_record(smoke_book[0], "smoke", step)
        (value,) = drawn.loc[drawn["name"] == record["title"], "bits per byte"]
        assert value == pytest.approx(record["losses"]["bits_per_byte"])


def test_a_result_that_is_not_lossless_is_hollow_and_named(tmp_path):
    lines = [
        {"name": "fair", "value": 1.0, "color": "#111111", "ranked": True},
        {"name": "lossy", "value": 0.5, "color": "#222222", "ranked": False},
    ]
    drawing = rows.points(tmp_path, "x", lines, xlabel="bits per byte", what="Two")
    assert drawing.alt == "Two: fair 1.000, lossy 0.500 (not ranked)"
    assert drawing.svg.count("fill: #111111; stroke: #111111") == 1
    assert "fill: #222222; stroke: #222222" not in drawing.svg
