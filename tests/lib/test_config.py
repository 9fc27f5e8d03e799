"""The settings: what the steps ask of each preset, and what cannot be."""

import pytest

from lib.config import PRESETS, Config, load_preset, load_step
from lib.steps import PUBLIC_BEST, STEPS

# From the table of presets and the steps' factors: as it is, twice, then an eighth of that, but
# never below 512.
VOCABULARIES = {
    "smoke": (512, 512, 1_024, 512),
    "tiny": (2_000, 2_000, 4_000, 512),
    "small": (8_000, 8_000, 16_000, 2_000),
    "full": (16_000, 16_000, 32_000, 4_000),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_each_step_asks_for_its_share_of_the_presets_vocabulary(preset):
    assert tuple(load_step(step, preset).vocab_size for step in STEPS) == VOCABULARIES[preset]
    assert load_step(PUBLIC_BEST, preset).vocab_size == VOCABULARIES[preset][0]


def test_a_vocabulary_that_was_asked_for_is_left_as_it_is():
    assert load_preset("smoke", vocab_size=300).vocab_size == 300
    assert load_preset("smoke", vocab_size=300).change(vocab_factor=0.1).vocab_size == 300


@pytest.mark.parametrize("step", [*STEPS, PUBLIC_BEST])
def test_settings_come_back_from_json(step):
    config = load_step(step, "tiny")
    assert Config.from_dict(config.as_dict()) == config


@pytest.mark.parametrize(
    "changes",
    [{"optimizer": "adam"}, {"n_head": 3}, {"val_frac": 1.0}, {"dropout": 1.0}, {"warmup": -0.1}],
)
def test_what_cannot_be_is_refused_with_its_name(changes):
    (name,) = changes
    with pytest.raises(ValueError, match=name):
        load_preset("smoke", **changes)
