"""The run record: checked, written whole or not at all, never compared across conditions."""

import copy
import hashlib
import json
import math
import resource
import signal
from collections import Counter
from dataclasses import replace
from itertools import accumulate, chain, pairwise

import pytest
import torch
import torch.nn.functional as F

import lib.record
from lib.casing import MARKS
from lib.compare import compare_alike, refuse_mixed
from lib.config import load_preset
from lib.data import Titles, load_titles
from lib.details import read_detail
from lib.files import write_json
from lib.predictions import contexts, predict, title_losses, word_losses
from lib.record import (
    check_record,
    earlier,
    load_model,
    make_record,
    read_record,
    read_steps,
    refuse_other_stories,
    save,
)
from lib.steps import STEPS
from lib.tokenizer import train_tokenizer
from lib.train import train
from studies import reference

from ..windows import starts


def test_every_record_of_a_book_passes_its_own_check(smoke_book):
    out, _ = smoke_book
    folder = out / "results" / "smoke"
    paths = [*folder.glob("[0-9]*.json"), *folder.glob("ablations/*.json")]
    names = [path.relative_to(folder).with_suffix("") for path in paths]
    steps = {*STEPS}
    assert {str(n) for n in names} > steps | {"ablations/03_rope_vocab-rope"}
    for name in names:
        record = read_record(out, "smoke", name.as_posix())
        assert record["step"] == name.as_posix()
        assert str(out) not in json.dumps(record)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda r: r["losses"].pop("official"), "losses"),
        (lambda r: r["losses"].update(full_coverage="low"), "losses.full_coverage"),
        (lambda r: r.update(preset="huge"), "preset"),
        (lambda r: r["config"].update(n_leyer=3), "config"),
    ],
)
def test_a_damaged_record_is_refused_by_name(smoke_book, tmp_path, change, where):
    record = copy.deepcopy(read_record(smoke_book[0], "smoke", "01_baseline"))
    change(record)
    with pytest.raises(ValueError, match=f"record 01_baseline is damaged: {where}"):
        check_record(record, "01_baseline")
    path = tmp_path / "results" / "smoke" / "01_baseline.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"results/smoke/01_baseline\.json is damaged"):
        read_record(tmp_path, "smoke", "01_baseline")


def test_a_full_disk_leaves_the_record_that_was_there(tmp_path):
    path = tmp_path / "01_baseline.json"
    write_json(path, {"old": True})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(OSError):
            write_json(path, {"new": "x" * 5000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert json.loads(path.read_text()) == {"old": True}
    assert [p.name for p in tmp_path.iterdir()] == ["01_baseline.json"]


def test_a_number_that_is_none_is_not_written(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "r.json", {"loss": math.nan})


def test_steps_on_other_stories_are_not_compared(smoke_book, tmp_path):
    for step in ("01_baseline", "02_adamw"):
        record = read_record(smoke_book[0], "smoke", step)
        if step == "02_adamw":
            record["stories"]["sha256"] = "0" * 64
        write_json(tmp_path / "results" / "smoke" / f"{step}.json", record)
    with pytest.raises(ValueError, match="do not compare"):
        read_steps(tmp_path, "smoke")


def nats_of(model, tokenizer, titles, block_size):
    """The nats of all tokens of `titles`: each with its window's tokens before it and no others."""
    read = [[*ids, tokenizer.eos_id] for ids in tokenizer.encode(titles)]
    stream = list(chain(*read))
    begin = starts(stream, block_size, tokenizer.eos_id)
    if model.title_mask:  # each title by itself
        begin = accumulate(map(len, read[:-1]), initial=0)
    nats = 0.0
    with torch.no_grad():
        for start, end in pairwise([*begin, len(stream)]):
            window = stream[start:end]
            before = [stream[start - 1] if start else tokenizer.eos_id, *window[:-1]]
            logits = model(torch.tensor([before]))[0].double()
            nats += F.cross_entropy(logits, torch.tensor(window), reduction="sum").item()
    return nats


@pytest.mark.parametrize("step", ["01_baseline", "03_rope_vocab", "04_lowest_loss"])
def test_losses_of_the_record_come_back_from_the_weights(smoke_book, step):
    out, _ = smoke_book
    config = load_preset("smoke")
    titles = load_titles(config, "synthetic")
    model, tokenizer = load_model(out, "smoke", step)
    losses = read_record(out, "smoke", step)["losses"]
    nats = nats_of(model, tokenizer, titles.val, config.block_size)
    chars = sum(len(t) for t in titles.val) + 5 * len(titles.val)
    size = sum(len(t.encode()) for t in titles.val) + len(titles.val)
    assert losses["full_coverage"] == pytest.approx(nats / chars, abs=1e-5)
    assert losses["bits_per_byte"] == pytest.approx(nats / size / math.log(2), abs=1e-5)
    # Only the first test titles; test_details.py checks that all sum to the record's loss.
    first = titles.test[:1_000]
    nats = nats_of(model, tokenizer, first, config.block_size)
    told = math.fsum(read_detail(out, "smoke", step, "titles")["test"][: len(first)])
    assert told / nats == pytest.approx(1, abs=1e-5)
    # The challenge's, at the preset's block and batch, whatever the step trains with.
    settings = reference.Settings(block_size=64, batch_size=16)
    stream = torch.from_numpy(tokenizer.stream(titles.val))
    printed = reference.evaluate(model, stream, titles.val, settings)
    assert losses["official"] == pytest.approx(printed, abs=1e-5)
    spans = len(stream) // (64 * 16 + 1)
    assert losses["coverage"] == pytest.approx(spans * 64 * 16 / len(stream), rel=1e-12)


def test_the_unigram_of_a_record_counts_training_tokens_only(smoke_book):
    out, _ = smoke_book
    titles = load_titles(load_preset("smoke"), "synthetic")
    _, tokenizer = load_model(out, "smoke", "01_baseline")
    counts = Counter(tokenizer.stream(titles.train).tolist())
    total = sum(counts.values()) + tokenizer.vocab_size
    nats = sum(-math.log((counts[i] + 1) / total) for i in tokenizer.stream(titles.val).tolist())
    chars = sum(len(t) + 5 for t in titles.val)
    losses = read_record(out, "smoke", "01_baseline")["losses"]
    assert losses["unigram"] == pytest.approx(nats / chars, abs=1e-6)


def test_arms_of_a_comparison_are_not_scored_on_the_test_titles(smoke_book):
    folder = smoke_book[0] / "results" / "smoke"
    arms = [json.loads(path.read_text("utf-8")) for path in folder.glob("ablations/*.json")]
    assert len(arms) == 9 and all(arm["losses"]["test"] is None for arm in arms)
    steps = [json.loads(path.read_text("utf-8")) for path in folder.glob("[0-9]*.json")]
    assert len(steps) == len(STEPS) + 1 and all(step["losses"]["test"] > 0 for step in steps)


CONFIG = load_preset("smoke").change(
    num_titles=200, vocab_size=300, n_embd=32, n_layer=1, batch_size=4, epochs=1
)
TITLES = load_titles(CONFIG, "synthetic")
TITLES = replace(TITLES, test=TITLES.test[:20])


@pytest.fixture(scope="module")
def run():
    return train(CONFIG, TITLES, quiet=True)


def test_where_no_title_is_left_for_the_test_its_loss_is_none(run, tmp_path):
    record = save(replace(run, titles=replace(TITLES, test=[])), tmp_path, "01_baseline")
    assert record["losses"]["test"] is None and record["titles"]["test"] == 0
    assert read_record(tmp_path, CONFIG.preset, "01_baseline") == record


@pytest.mark.parametrize(("part", "lossless"), [("test", True), ("val", False), ("train", True)])
def test_lossless_is_what_comes_back_of_the_validation_titles(run, part, lossless):
    lossy = replace(TITLES, **{part: [*getattr(TITLES, part), "日本"]})  # no byte of it was seen
    record = make_record(replace(run, titles=lossy), "01_baseline", "Baseline")
    assert record["tokenizer"]["lossless"] is lossless
    expected = {"val": 0, "test": 0} | ({part: 1} if part != "train" else {})
    assert {k: record["tokenizer"]["lossy"][k] for k in expected} == expected


def test_a_record_and_its_weights_are_one(run, tmp_path):
    save(run, tmp_path, "02_adamw")
    record = read_record(tmp_path, "smoke", "02_adamw")
    path = tmp_path / "results" / "smoke" / "02_adamw.pt"
    assert record["weights"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["title"] == "AdamW" and save(run, tmp_path, "09_mine")["title"] == "09_mine"
    model, _ = load_model(tmp_path, "smoke", "02_adamw")
    assert torch.equal(model.embedding.weight, run.model.embedding.weight)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"02_adamw\.pt are not the weights of the record"):
        load_model(tmp_path, "smoke", "02_adamw")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no weights results/smoke/02_adamw\.pt"):
        load_model(tmp_path, "smoke", "02_adamw")


def test_weights_are_written_before_the_record_that_names_them(run, tmp_path, monkeypatch):
    """A disk that is full after the weights leaves no record of them."""

    def full(path, data):
        raise OSError("no room")

    monkeypatch.setattr(lib.record, "write_json", full)
    path = tmp_path / "results" / "smoke" / "02_adamw.json"
    with pytest.raises(OSError):
        save(run, tmp_path, "02_adamw")
    assert not path.exists() and path.with_suffix(".pt").exists()


def test_the_record_counts_how_often_the_test_titles_were_looked_at(run, tmp_path):
    def looks(made, step="02_adamw"):
        return save(made, tmp_path, step)["test_looks"]

    assert [looks(run), looks(run)] == [1, 1]  # the same run, scored again
    state = run.model.state_dict()
    other = copy.deepcopy(run)
    other.model.load_state_dict({k: v + 0.5 for k, v in state.items()})
    assert looks(other) == 2
    assert looks(run) == 3
    assert looks(run, "ablations/rope") == 0  # which is not scored on them
    path = tmp_path / "results" / "smoke" / "02_adamw.json"
    there = json.loads(path.read_text())
    there["stories"]["sha256"] = "0" * 64
    path.write_text(json.dumps(there))
    assert looks(run) == 1  # the titles of other stories are other titles


def test_what_a_record_says_of_its_making_is_the_runs_own(run):
    record = make_record(run, "02_adamw", "AdamW")
    for name in ("created", "speed", "environment", "accepted", "curve"):
        assert record[name] == getattr(run, name)
    assert record["identity"]["code"] == run.identity["code"]
    assert "config" not in record["identity"] and record["config"] == CONFIG.as_dict()


@pytest.mark.parametrize(
    "other",
    [
        {"preset": "tiny"},
        {"stories": {"source": "synthetic", "sha256": "0" * 64, "rows": 13_000, "dropped": 0}},
        {"titles": {"train": 1, "val": 1, "test": 1, "val_chars": 1, "val_bytes": 1}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_does_not_compare_is_refused_and_left_out(run, other):
    record = make_record(run, "02_adamw", "AdamW")
    before = {**make_record(run, "01_baseline", "Baseline"), **other}
    assert compare_alike([record, record]) and not compare_alike([before, record])
    with pytest.raises(ValueError, match="do not compare"):
        refuse_mixed([before, record])
    refuse_mixed([record, record])


def test_earlier_steps_are_those_before_on_the_same_titles(run, tmp_path):
    records = {s: save(run, tmp_path, s) for s in ("01_baseline", "02_adamw", "04_lowest_loss")}
    now = {**records["02_adamw"], "step": "03_rope_vocab"}
    assert [r["step"] for r in earlier(tmp_path, now)] == ["01_baseline", "02_adamw"]
    others = {**records["01_baseline"]["stories"], "sha256": "0" * 64}
    write_json(
        tmp_path / "results" / "smoke" / "01_baseline.json",
        {**records["01_baseline"], "stories": others},
    )
    assert [r["step"] for r in earlier(tmp_path, now)] == ["02_adamw"]


def test_models_are_not_asked_about_other_titles(run):
    record = make_record(run, "02_adamw", "AdamW")
    refuse_other_stories([record], TITLES)
    for other in (
        replace(TITLES, stories={**TITLES.stories, "sha256": "0" * 64}),
        replace(TITLES, val=TITLES.val[:-1]),
        replace(TITLES, train=TITLES.train[:-1]),
    ):
        with pytest.raises(ValueError, match="02_adamw was trained on preset smoke"):
            refuse_other_stories([record], other)


def test_contexts_are_the_same_text_for_every_step(smoke_book):
    out, _ = smoke_book
    texts = [[p["context"] for p in r["predictions"]] for r in read_steps(out, "smoke")]
    assert len(texts) == len(STEPS) and texts == [texts[0]] * len(texts)
    inside, between = texts[0]
    titles = load_titles(load_preset("smoke"), "synthetic")
    assert any(t.startswith(inside) and t[len(inside)] == " " for t in titles.val[:5])
    assert between.endswith("<eos>") and between.startswith(titles.val[0])


def test_a_context_inside_a_title_ends_at_the_word_nearest_the_tenth_token():
    config = load_preset("smoke").change(num_titles=300, vocab_size=300)
    titles = load_titles(config, "synthetic")
    long = "one two three four five six seven eight nine ten eleven twelve thirteen"
    for first in (long, "ab cd"):
        changed = Titles(titles.train, ["Oneword", first, *titles.val], [], titles.stories)
        tokenizer = train_tokenizer(load_preset("smoke"), changed)
        words = first.split(" ")
        starts = [" ".join(words[:n]) for n in range(1, len(words))]
        nearest = min(starts, key=lambda start: abs(len(tokenizer.encode([start])[0]) - 10))
        inside, _ = contexts(config, changed)
        assert (inside.start, inside.start + inside.rest) == (nearest, first)


def test_predictions_are_the_models_own(smoke_book):
    out, _ = smoke_book
    titles = load_titles(load_preset("smoke"), "synthetic")
    model, tokenizer = load_model(out, "smoke", "03_rope_vocab")
    inside, _ = contexts(load_preset("smoke"), titles)
    prediction = predict(model, tokenizer, inside)
    ids = [tokenizer.eos_id, *tokenizer.encode([inside.start])[0]]
    p = model(torch.tensor([ids]))[0, -1].softmax(-1)
    assert prediction["top"][0]["p"] == pytest.approx(p.max().item(), rel=1e-4)
    assert prediction["top"][0]["token"] == tokenizer.token(int(p.argmax()))
    assert (inside.start + inside.rest).startswith(inside.start + prediction["target"])


def test_a_mark_of_capitals_comes_with_the_token_after_it(smoke_book):
    out, _ = smoke_book
    titles = load_titles(load_preset("smoke"), "synthetic")
    model, tokenizer = load_model(out, "smoke", "04_lowest_loss")
    _, between = contexts(load_preset("smoke"), titles)
    prediction = predict(model, tokenizer, between, count=30)

    def p_of(ids):  # of a run of tokens after where a title has ended, by the model alone
        before = [tokenizer.eos_id, *tokenizer.stream(between.titles).tolist()]
        rows = [[*before, *ids[:i]][-model.block_size :] for i in range(len(ids))]
        steps = [model(torch.tensor([row]))[0, -1].softmax(-1) for row in rows]
        return math.prod(step[i].item() for step, i in zip(steps, ids, strict=True))

    pieces = {tokenizer.token(i): i for i in range(tokenizer.vocab_size)}
    marked = [top for top in prediction["top"] if top["token"][0] in MARKS]
    assert marked and not {*MARKS} & {top["token"] for top in prediction["top"]}
    for top in marked:
        ids = [pieces[top["token"][0]], pieces[top["token"][1:]]]
        assert top["p"] == pytest.approx(p_of(ids), rel=1e-4)
    every = [p_of([i]) for i in range(tokenizer.vocab_size) if i not in tokenizer.mark_ids]
    every += [p_of([m, i]) for m in tokenizer.mark_ids for i in range(tokenizer.vocab_size)]
    best = sorted(every, reverse=True)[:30]
    assert [top["p"] for top in prediction["top"]] == pytest.approx(best, rel=1e-3)
    assert prediction["target"][0] in MARKS and len(prediction["target"]) > 1


def test_words_add_up_to_titles_and_titles_to_the_loss(smoke_book):
    out, _ = smoke_book
    titles = load_titles(load_preset("smoke"), "synthetic").val
    for step in ("01_baseline", "03_rope_vocab"):
        model, tokenizer = load_model(out, "smoke", step)
        by_title = title_losses(model, tokenizer, titles)
        by_word = word_losses(tokenizer, titles, by_title)
        assert sum(map(sum, by_title)) / sum(len(t) + 5 for t in titles) == pytest.approx(
            read_record(out, "smoke", step)["losses"]["full_coverage"], abs=1e-5
        )
        for title, tokens, words in zip(titles, by_title, by_word, strict=True):
            assert len(words) == len(title.split(" ")) + 1
            assert sum(words) == pytest.approx(sum(tokens))
            assert words[-1] == tokens[-1]


def test_a_run_of_fewer_titles_than_its_presets_is_saved(tmp_path):
    """So few cannot give the preset's own vocabulary, by which contexts are cut."""
    config = load_preset("smoke", num_titles=12, vocab_size=270, n_embd=32, n_layer=1).change(
        batch_size=1, epochs=1, optimizer="adamw", betas=(0.9, 0.95)
    )
    titles = load_titles(config, "synthetic")
    titles = replace(titles, test=titles.test[:20])
    with pytest.raises(ValueError, match="larger than these 12 titles can give"):
        train_tokenizer(load_preset("smoke"), titles)
    record = save(train(config, titles), tmp_path, "07_mine", "Mine")
    assert read_record(tmp_path, "smoke", "07_mine") == record
