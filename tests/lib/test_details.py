"""What is kept beside a record: computed again from the weights, and read back whole."""

import json
import math

import pytest
import torch

from lib.config import load_preset, load_step
from lib.data import load_titles
from lib.details import SCHEMAS, batch_sweep, details, read_detail
from lib.files import write_json
from lib.predictions import mean_by_place, sample, title_losses
from lib.record import load_model, read_record
from lib.steps import STEPS
from lib.train import train
from studies import reference

from ..studies.small import CONFIG, TITLES


def test_a_mean_by_place_is_over_the_titles_that_have_the_word():
    """Titles of two, three and one words: their last loss is that of `<eos>`, which is no word."""
    by_word = [[8.0, 5.0, 1.0], [6.0, 3.0, 7.0, 4.0], None, [1.0, 2.5]]
    assert mean_by_place(by_word, most=4) == [
        {"word": "1", "nats": 5.0, "titles": 3},
        {"word": "2", "nats": 4.0, "titles": 2},
        {"word": "3", "nats": 7.0, "titles": 1},
        {"word": "end", "nats": 2.5, "titles": 3},
    ]
    assert [row["word"] for row in mean_by_place(by_word, most=1)] == ["1", "end"]


@pytest.mark.parametrize("step", STEPS)
def test_what_is_kept_is_of_the_steps_own_weights(smoke_book, step):
    out, _ = smoke_book
    titles = load_titles(load_preset("smoke"), "synthetic")
    model, tokenizer = load_model(out, "smoke", step)
    losses = read_record(out, "smoke", step)["losses"]
    kept = {name: read_detail(out, "smoke", step, name) for name in SCHEMAS}
    for part, told in (("val", "full_coverage"), ("test", "test")):
        chars = sum(len(title) + 5 for title in getattr(titles, part))
        assert len(kept["titles"][part]) == len(getattr(titles, part))
        assert math.fsum(kept["titles"][part]) / chars == pytest.approx(losses[told], abs=1e-6)
    assert [row["title"] for row in kept["headlines"]] == titles.val[:4]
    for row, nats in zip(kept["headlines"], kept["titles"]["val"], strict=False):
        assert sum(row["losses"]) == pytest.approx(nats, abs=1e-4)
        assert len(row["tokens"]) == len(row["losses"])
        own = [tokenizer.token(i) for i in tokenizer.encode([row["title"]])[0]]
        assert row["tokens"] == [*own, "⏎"]
    assert kept["samples"] == sample(model, tokenizer, 10, seed=1337)
    by_token = title_losses(model, tokenizer, titles.val)
    assert kept["words"][-1]["word"] == "end"
    ends = sum(tokens[-1] for tokens in by_token) / len(titles.val)
    assert kept["words"][-1]["nats"] == pytest.approx(ends, abs=1e-4)


def test_a_file_that_is_lost_or_damaged_is_named(smoke_book, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"smoke/02_adamw/words\.json; run that step"):
        read_detail(tmp_path, "smoke", "02_adamw", "words")
    write_json(tmp_path / "results" / "smoke" / "02_adamw" / "words.json", [{"word": "1"}])
    with pytest.raises(ValueError, match=r"02_adamw/words\.json is damaged: 0"):
        read_detail(tmp_path, "smoke", "02_adamw", "words")
    arm = smoke_book[0] / "results" / "smoke" / "ablations"
    assert not [path for path in arm.iterdir() if path.is_dir()]  # an arm keeps none


def test_other_batches_of_the_evaluation_are_the_references():
    config = load_step("03_rope_vocab", "smoke").change(
        num_titles=400, vocab_size=300, n_embd=32, n_layer=1, epochs=1
    )
    run = train(config, load_titles(config, "synthetic"), quiet=True)
    sweep = batch_sweep(run, 5)
    assert sweep[0]["batch"] == 1
    largest, tokens = sweep[-1]["batch"], len(run.val_ids)
    assert 64 * largest + 1 <= tokens < 64 * (largest + 1) + 1
    for point in sweep:
        settings = reference.Settings(block_size=64, batch_size=point["batch"])
        printed = reference.evaluate(run.model, run.val_ids, run.titles.val, settings)
        assert point["official"] == pytest.approx(printed, abs=1e-5)
        assert (
            point["coverage"] == tokens // (64 * point["batch"] + 1) * 64 * point["batch"] / tokens
        )
        assert point["full_coverage"] == run.curve[-1]["full_coverage"]


def test_keeping_draws_no_random_numbers_of_the_run():
    run = train(CONFIG, TITLES, quiet=True)
    before = torch.get_rng_state()
    first = details(run)
    assert torch.equal(torch.get_rng_state(), before)
    assert json.dumps(details(run)) == json.dumps(first)
