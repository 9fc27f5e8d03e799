"""The run record: checked, written whole or not at all, never compared across conditions."""

import copy
import json
import math
import resource
import signal
from itertools import accumulate, chain, pairwise

import pytest
import torch
import torch.nn.functional as F

from lib.config import load_preset
from lib.data import Titles, load_titles
from lib.predictions import contexts, predict, title_losses, word_losses
from lib.files import write_json
from lib.record import check_record, load_model, loss_on, read_record, read_steps
from lib.tokenizer import train_tokenizer


def test_every_record_of_a_book_passes_its_own_check(smoke_book):
    out, _ = smoke_book
    folder = out / "results" / "smoke"
    paths = [*folder.glob("[0-9]*.json"), *folder.glob("ablations/*.json")]
    names = [path.relative_to(folder).with_suffix("") for path in paths]
    steps = {"01_baseline", "02_adamw", "03_rope_vocab", "04_lowest_loss"}
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


def test_losses_of_the_record_come_back_from_the_weights(smoke_book):
    """Scored again token by token, each with its window's tokens before it and nothing else."""
    out, _ = smoke_book
    config = load_preset("smoke")
    titles = load_titles(config, "synthetic")
    for step in ("01_baseline", "03_rope_vocab", "04_lowest_loss"):
        model, tokenizer = load_model(out, "smoke", step)
        record = read_record(out, "smoke", step)
        read = [[*ids, tokenizer.eos_id] for ids in tokenizer.encode(titles.val)]
        stream = list(chain(*read))
        starts = range(0, len(stream), config.block_size)
        if model.title_mask:  # each title by itself
            starts = accumulate(map(len, read[:-1]), initial=0)
        nats = 0.0
        for start, end in pairwise([*starts, len(stream)]):
            window = stream[start:end]
            before = [stream[start - 1] if start else tokenizer.eos_id, *window[:-1]]
            logits = model(torch.tensor([before]))[0].double()
            nats += F.cross_entropy(logits, torch.tensor(window), reduction="sum").item()
        chars = sum(len(t) for t in titles.val) + 5 * len(titles.val)
        size = sum(len(t.encode()) for t in titles.val) + len(titles.val)
        assert record["losses"]["full_coverage"] == pytest.approx(nats / chars, abs=1e-5)
        assert record["losses"]["bits_per_byte"] == pytest.approx(
            nats / size / math.log(2), abs=1e-5
        )
        assert record["losses"]["test"] == pytest.approx(
            loss_on(model, tokenizer, titles.test), abs=1e-6
        )


def test_contexts_are_the_same_text_for_every_step(smoke_book):
    out, _ = smoke_book
    texts = [[p["context"] for p in r["predictions"]] for r in read_steps(out, "smoke")]
    assert texts[0] == texts[1] == texts[2]
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


def test_words_add_up_to_titles_and_titles_to_the_loss(smoke_book):
    out, _ = smoke_book
    titles = load_titles(load_preset("smoke"), "synthetic").val
    for step in ("01_baseline", "03_rope_vocab"):
        model, tokenizer = load_model(out, "smoke", step)
        by_title = title_losses(model, tokenizer, titles)
        by_word = word_losses(model, tokenizer, titles)
        assert sum(map(sum, by_title)) / sum(len(t) + 5 for t in titles) == pytest.approx(
            read_record(out, "smoke", step)["losses"]["full_coverage"], abs=1e-5
        )
        for title, tokens, words in zip(titles, by_title, by_word, strict=True):
            assert len(words) == len(title.split(" ")) + 1
            assert sum(words) == pytest.approx(sum(tokens))
            assert words[-1] == tokens[-1]
