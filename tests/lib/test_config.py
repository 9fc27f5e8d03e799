"""The settings: what the steps ask of each preset, and what cannot be."""

import json
from dataclasses import replace

import pytest

from lib.config import LATER, PRESETS, Config, load_preset, load_step
from lib.steps import CONTEXT, PUBLIC_BEST, STEPS

from ..conftest import ROOT

# The challenge's baseline, from its description and its `train.py`: what no one may change.
CHALLENGE = {
    "num_titles": 100_000,
    "val_frac": 0.10,
    "seed": 1337,
    "epochs": 7,
    "evals_per_epoch": 3,
    "block_size": 128,
    "batch_size": 64,
    "n_layer": 6,
    "n_head": 8,
    "n_embd": 512,
    "vocab_size": 16_000,
    "dropout": 0.1,
    "learning_rate": 6e-3,
    "weight_decay": 0.0,
    "grad_clip": 1.0,
    "tokenizer": "bpe",
    "tokenizer_titles": "train+val",
    "position": "learned",
    "norm": "layernorm",
    "mlp_ratio": 4,
    "optimizer": "sgd",
    "schedule": "cosine",
    "windows": "stream",
    "batch_factor": 1.0,
    "title_mask": False,
    "gate": "none",
    "bias": True,
    "block_factor": 1,
    "attention_dropout": True,
    "layer_scale": 0.0,
    "r_drop": 0.0,
    "ema": 0.0,
}

# From the table of presets and the steps' factors: as it is, twice, then an eighth of that, but
# never below 512.
VOCABULARIES = {
    "smoke": (512, 512, 1_024, 512, 512),
    "tiny": (2_000, 2_000, 4_000, 512, 512),
    "small": (8_000, 8_000, 16_000, 2_000, 2_000),
    "full": (16_000, 16_000, 32_000, 4_000, 4_000),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_each_step_asks_for_its_share_of_the_presets_vocabulary(preset):
    assert tuple(load_step(step, preset).vocab_size for step in STEPS) == VOCABULARIES[preset]
    assert load_step(PUBLIC_BEST, preset).vocab_size == VOCABULARIES[preset][0]


def test_a_step_is_the_same_on_every_preset_but_for_what_it_changes_on_one():
    """The vocabulary and the preset's own settings apart; the steps after it have it as well."""
    sizes = ("num_titles", "n_layer", "n_head", "n_embd", "vocab_size", "block_size", "batch_size")
    for step in STEPS:
        small, full = (load_step(step, preset).as_dict() for preset in ("small", "full"))
        differ = {n: full[n] for n in full if full[n] != small[n] and n not in (*sizes, "preset")}
        after = step in ("04_lowest_loss", "05_counting")
        assert differ == ({"r_drop": 3.0, "attention_dropout": False} if after else {})


def test_a_vocabulary_that_was_asked_for_is_left_as_it_is():
    assert load_preset("smoke", vocab_size=300).vocab_size == 300
    assert load_preset("smoke", vocab_size=300).change(vocab_factor=0.1).vocab_size == 300


@pytest.mark.parametrize("step", [*STEPS, PUBLIC_BEST])
def test_settings_come_back_from_json(step):
    config = load_step(step, "tiny")
    assert Config.from_dict(config.as_dict()) == config
    settings = {name: value for name, value in config.as_dict().items() if name not in LATER}
    assert Config.from_dict(settings) == replace(config, **LATER)
    with pytest.raises(ValueError, match=r"^magic: no setting of this code\.$"):
        Config.from_dict(settings | {"magic": 1})


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adam"},
        {"optimizer": "muon"},
        {"n_head": 3},
        {"val_frac": 1.0},
        {"dropout": 1.0},
        {"warmup": -0.1},
        {"epochs": 0},
        {"evals_per_epoch": 0},
        {"muon_learning_rate": 0.0, "optimizer": "muon", "betas": (0.9, 0.95)},
        {"position": "rope", "n_embd": 12, "n_head": 4},
        {"warmup": 0.5, "decay": 0.6, "schedule": "wsd"},
    ],
)
def test_what_cannot_be_is_refused_with_its_name(changes):
    name = next(iter(changes))
    with pytest.raises(ValueError, match=name):
        load_preset("smoke", **changes)


def test_the_baseline_of_full_is_the_challenges():
    config = load_step("01_baseline", "full")
    assert {name: getattr(config, name) for name in CHALLENGE} == CHALLENGE
    # Of each preset, but for its size.
    sizes = {"num_titles", "block_size", "batch_size", "n_layer", "n_head", "n_embd", "vocab_size"}
    for preset in PRESETS:
        other = load_step("01_baseline", preset)
        for name in CHALLENGE.keys() - sizes:
            assert getattr(other, name) == CHALLENGE[name], (preset, name)


def test_presets_are_of_the_sizes_that_the_book_tells():
    """The table of reproduce.md, row by row."""
    text = (ROOT / "reproduce.md").read_text("utf-8")
    for preset in PRESETS:
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{preset}` ")]
        config = load_preset(preset)
        shape = f"{config.n_layer} × {config.n_embd}, {config.n_head}"
        assert f"| {config.num_titles:,} " in row and f"| {shape} |" in row
        assert f"| {config.vocab_size:,} |" in row
        assert f"| {config.block_size} × {config.batch_size} |" in row


def published():
    paths = [*ROOT.glob("results/*/[0-9]*.json"), *ROOT.glob(f"results/*/{PUBLIC_BEST}.json")]
    return sorted(path.relative_to(ROOT / "results").with_suffix("") for path in paths)


@pytest.mark.parametrize("name", published(), ids=str)
def test_a_published_record_is_of_the_settings_that_its_step_has(name):
    record = json.loads((ROOT / "results" / f"{name}.json").read_text("utf-8"))
    step = CONTEXT["from"] if record["step"] == CONTEXT["notebook"] else record["step"]
    assert Config.from_dict(record["config"]) == load_step(step, record["preset"])
    assert (record["preset"], record["step"]) == name.parts
