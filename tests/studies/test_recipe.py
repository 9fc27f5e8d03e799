"""The best public recipe: what it is, and its run beside the book's steps."""

import csv
import re
from pathlib import Path

import pytest
import torch

from lib.config import changed, load_preset, load_step
from lib.files import BOOK, held
from lib.model import GPT
from lib.record import load_model, read_record, read_steps
from lib.steps import LADDER, LOWEST_TUNED, PUBLIC_BEST, PUBLIC_BEST_TUNED, RECIPES
from lib.train import train
from studies import search, seeds

from .small import CONFIG, TITLES, other_code, start, wait_until_it_waits

PEERS = Path(__file__).parents[2] / "peers.csv"
RECIPE = load_step("public_best", "full")


# What its author's own configuration says, by the author's names: at eefc38f of
# https://github.com/arshchawla21/mainrun, config.json in the folder that the row best_pinned of
# peers.csv links to. (Positions and norms are those of its second model, `gpt_v2`, whatever
# `pos_type` and `norm_type` say.)
THEIRS = {
    "block_size": 256,
    "batch_size": 16,
    "vocab_size": 16_000,
    "n_layer": 12,
    "n_head": 8,
    "d_model": 512,
    "dropout": 0.2,
    "lr": 0.01,
    "lr_hybird": 0.0003,
    "weight_decay": 0.01,
    "evals_per_epoch": 3,
    "token_type": "unigram",
    "optim_type": "wsd",
    "optim_alg": "muonhybrid",
    "warmup_frac": 0.05,
    "decay_frac": 0.1,
    "decay_type": "sqrt",
    "bias": "off",
    "title_masking": True,
    "attn_type": "output_gated",
    "residual": "layerscale",
    "rdrop": 2.0,
    "muon_weight_decay": 0.1,
    "epochs": 7,
    "seed": 1337,
    "num_titles": 100_000,
    "val_frac": 0.1,
}


def test_its_settings_are_those_of_its_authors_own_configuration():
    own = load_step("public_best_own", "full")
    assert own.change(n_layer=RECIPE.n_layer) == RECIPE
    schedule, _, decay_type = own.schedule.partition("_")
    ours = {
        "block_size": own.window,
        "batch_size": own.batch_size * own.batch_factor,
        "vocab_size": own.vocab_size,
        "n_layer": own.n_layer,
        "n_head": own.n_head,
        "d_model": own.n_embd,
        "dropout": own.dropout,
        "lr": own.muon_learning_rate,
        "lr_hybird": own.learning_rate,
        "weight_decay": own.weight_decay,
        "evals_per_epoch": own.evals_per_epoch,
        "token_type": own.tokenizer,
        "optim_type": schedule,
        "optim_alg": own.optimizer + "hybrid",
        "warmup_frac": own.warmup,
        "decay_frac": own.decay,
        "decay_type": decay_type,
        "bias": "on" if own.bias else "off",
        "title_masking": own.title_mask,
        "attn_type": {"head": "output_gated"}[own.gate],
        "residual": "layerscale" if own.layer_scale else "none",
        "rdrop": own.r_drop,
        "muon_weight_decay": own.muon_weight_decay,
        "epochs": own.epochs,
        "seed": own.seed,
        "num_titles": own.num_titles,
        "val_frac": own.val_frac,
    }
    assert ours == THEIRS


@pytest.fixture(scope="module")
def row():
    """The row of the best public result in the table of the challenge's others."""
    (row,) = [r for r in csv.DictReader(PEERS.open(encoding="utf-8")) if r["key"] == "best"]
    return row


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("dropout", r"dropout ([\d.]+)"),
        ("r_drop", r"R-Drop ([\d.]+)"),
        ("muon_learning_rate", r"Muon \(([\d.]+),"),
        ("muon_weight_decay", r"decoupled weight decay ([\d.]+)"),
        ("learning_rate", r"AdamW \(([\de.-]+)\)"),
    ],
)
def test_its_numbers_are_those_of_the_peers_table(row, setting, words):
    assert getattr(RECIPE, setting) == float(re.search(words, row["what"])[1])


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("optimizer", "muon", "Muon"),
        ("tokenizer", "unigram", "unigram"),
        ("position", "rope", "RoPE"),
        ("norm", "rmsnorm", "RMSNorm"),
        ("title_mask", True, "attention within a title"),
        ("gate", "head", "output-gated attention"),
        ("schedule", "wsd_sqrt", "WSD with a square-root tail"),
    ],
)
def test_its_kinds_are_those_of_the_peers_table(row, setting, value, words):
    assert words in row["what"]
    assert getattr(RECIPE, setting) == value


def test_its_sizes_are_those_of_the_peers_table(row):
    what = row["what"].replace(",", "")
    assert "LayerScale" in what and RECIPE.layer_scale > 0
    assert RECIPE.vocab_size == 1000 * int(re.search(r"unigram of (\d+)k tokens", what)[1])
    assert RECIPE.window == int(row["block"])
    windows = RECIPE.batch_size * RECIPE.batch_factor
    assert windows == int(row["batch"])
    assert windows * RECIPE.window == int(re.search(r"(\d+) tokens a step", what)[1])


def test_at_its_own_depth_it_has_the_shape_and_parameters_of_the_peers_table(row):
    own = load_step("public_best_own", "full")
    shape = re.search(r"(\d+) layers × (\d+)", row["what"])
    assert [own.n_layer, own.n_embd] == [int(number) for number in shape.groups()]
    assert own.change(n_layer=RECIPE.n_layer) == RECIPE
    with torch.device("meta"):
        parameters = GPT(own, own.vocab_size).count_parameters()
    assert round(parameters / 1e6) == int(re.search(r"(\d+) M parameters", row["what"])[1])


def test_what_the_peers_table_does_not_tell_is_as_its_own_code_has_it():
    """Typed once more, from the settings that `lib.steps` names; all else is the baseline's."""
    told = "optimizer tokenizer position norm title_mask gate schedule dropout r_drop "
    told += "learning_rate muon_learning_rate muon_weight_decay block_factor batch_factor"
    more = {
        "bias": False,
        "attention_dropout": False,
        "layer_scale": 0.1,
        "betas": (0.9, 0.999),
        "weight_decay": 0.01,
        "warmup": 0.05,
        "decay": 0.1,
    }
    found = {row["setting"]: row["new"] for row in changed(load_preset("full"), RECIPE)}
    assert found.keys() == {*told.split(), *more}
    assert {name: found[name] for name in more} == more
    assert (RECIPE.windows, RECIPE.tokenizer_titles) == ("stream", "train+val")


@pytest.mark.parametrize(
    ("name", "step"), [(PUBLIC_BEST_TUNED, PUBLIC_BEST), (LOWEST_TUNED, LADDER["to"])]
)
def test_a_tuned_one_is_what_the_search_on_small_came_to(name, step):
    """The best trial, to two digits; and its record is that trial's, run again."""
    found = search.read_search(BOOK, step, "small")
    best = min(found["trials"], key=lambda trial: trial["loss"])
    rounded = {name: float(f"{value:.2g}") for name, value in best["changes"].items()}
    base = load_step(step, "small")
    factors = {name: rounded.pop(name) for name in [*rounded] if name.endswith("_factor")}
    assert set(factors.values()) <= {1.0}  # as the step has it
    tuned = load_step(name, "small")
    assert RECIPES[name]["from"] == step and base.change(**rounded) == tuned != base
    record = read_record(BOOK, "small", name)
    assert record["losses"]["full_coverage"] == pytest.approx(best["loss"], abs=5e-4)
    assert found["stories"] == record["stories"]
    assert best["precision"] == record["environment"]["precision"]


@pytest.fixture
def small(monkeypatch):
    asked = []
    monkeypatch.setattr(seeds, "load_step", lambda *names: asked.append(names) or CONFIG)
    return asked


def test_another_is_trained_by_its_name(tmp_path, small):
    record = seeds.train_recipe("smoke", TITLES, tmp_path, recipe=LOWEST_TUNED)
    assert small == [(LOWEST_TUNED, "smoke")]
    assert read_record(tmp_path, "smoke", LOWEST_TUNED) == record


def test_its_record_is_that_of_a_run_scored_on_the_test_titles(tmp_path, small, monkeypatch):
    record = seeds.train_recipe("smoke", TITLES, tmp_path)
    assert small == [("public_best", "smoke")]
    assert read_record(tmp_path, "smoke", "public_best") == record
    assert record["title"] == "Best public recipe"
    assert record["losses"]["full_coverage"] == train(CONFIG, TITLES).curve[-1]["full_coverage"]
    assert record["losses"]["test"] > 0
    load_model(tmp_path, "smoke", "public_best")  # the weights are the record's
    with pytest.raises(FileNotFoundError):
        read_steps(tmp_path, "smoke")  # it is none of the book's steps
    with monkeypatch.context() as patch:
        patch.setattr("torch.nn.utils.clip_grad_norm_", None)  # nothing is trained
        again = seeds.train_recipe("smoke", TITLES, tmp_path)
        assert again == record
        with pytest.raises(TypeError):
            seeds.train_recipe("smoke", TITLES, tmp_path, resume="fresh")


def test_a_run_of_other_code_is_refused_by_name_and_accepted_by_word(tmp_path, small, monkeypatch):
    record = seeds.train_recipe("smoke", TITLES, tmp_path)
    other_code(monkeypatch)
    with pytest.raises(ValueError, match=r"best-smoke is of another run: its code\.model is"):
        seeds.train_recipe("smoke", TITLES, tmp_path)
    assert read_record(tmp_path, "smoke", "public_best") == record
    taken = seeds.train_recipe("smoke", TITLES, tmp_path, resume="accept")
    assert taken["accepted"] == ["code.model"] and taken["losses"] == record["losses"]
    fresh = seeds.train_recipe("smoke", TITLES, tmp_path, resume="fresh")
    assert fresh["accepted"] == [] and fresh["identity"]["code"]["model"] == "0" * 16


def _recipe(out):
    seeds.load_step = lambda *_: CONFIG
    seeds.train_recipe("smoke", TITLES, out)


def test_a_second_process_waits_and_the_weights_stay_the_records(tmp_path):
    printed, folder = tmp_path / "printed.txt", tmp_path / "_build" / "public_best-smoke"
    with held(folder):
        process = start(printed, _recipe, tmp_path)
        wait_until_it_waits(process, printed)
        assert not list(folder.glob("step-*"))
    process.join(600)
    assert process.exitcode == 0
    load_model(tmp_path, "smoke", "public_best")
