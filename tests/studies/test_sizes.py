"""The gains of the steps on each preset, against the records they are read from; computation."""

import shutil

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lib.config import load_step
from lib.files import results, write_json
from lib.model import GPT
from lib.objective import losses
from lib.record import read_record
from lib.steps import STEPS
from studies.seeds import DIFFERENCES
from studies.sizes import computation, gains_by_size


def test_gains_are_those_of_steps_and_without_them_of_seeds(smoke_book, tmp_path):
    out, _ = smoke_book
    found = {"difference": -0.25, "standard_error": 0.1, "low": -0.4, "high": -0.1, "p": 0.01}
    found |= {"p_holm": 0.02, "verdict": "significant"}
    found["titles"] = {"difference": -0.25, "low": -0.3, "high": -0.2}
    differences = {"02_adamw": found | {"before": "01_baseline"}}
    differences["public_best"] = found | {"before": "04_lowest_loss"}  # which is no step
    write_json(results(tmp_path, "tiny", f"seeds/{DIFFERENCES}"), differences)
    gains = gains_by_size({"full": tmp_path, "tiny": tmp_path, "smoke": out})
    assert list(gains) == ["smoke", "tiny"] and gains["tiny"] == {"02_adamw": 0.25}
    names = list(STEPS)
    losses = [read_record(out, "smoke", name)["losses"]["full_coverage"] for name in names]
    assert gains["smoke"] == {
        names[i]: pytest.approx(losses[i - 1] - losses[i]) for i in range(1, len(names))
    }
    assert gains_by_size({"small": tmp_path}) == {}


def test_a_step_without_the_one_before_it_is_left_out(smoke_book, tmp_path):
    out, _ = smoke_book
    unread = shutil.ignore_patterns("*.pt", "*.bin", "*.tmp")  # another worker may be writing these
    shutil.copytree(out / "results" / "smoke", tmp_path / "results" / "smoke", ignore=unread)
    results(tmp_path, "smoke", "02_adamw").unlink()
    gains, whole = (gains_by_size({"smoke": home})["smoke"] for home in (tmp_path, out))
    assert gains == {name: whole[name] for name in ("04_lowest_loss", "05_counting")}


def test_damaged_differences_are_said(tmp_path):
    write_json(results(tmp_path, "tiny", f"seeds/{DIFFERENCES}"), {"02_adamw": {}})
    with pytest.raises(ValueError, match="differences"):
        gains_by_size({"tiny": tmp_path})


@pytest.mark.parametrize("step", ["01_baseline", "04_lowest_loss"])
def test_computation_is_what_pytorch_counts_but_for_attention(step):
    """One window of tokens, forward and backward, as PyTorch counts its products of matrices."""
    config = load_step(step, "tiny")
    model = GPT(config, config.vocab_size)
    x = torch.randint(1, config.vocab_size, (1, config.block_size))
    with FlopCounterMode(display=False) as counter:
        losses(model, x, x, config.r_drop)[1].backward()
    scores = 12 * config.n_layer * config.n_embd * config.block_size  # a token, all pairs
    record = {
        "config": config.as_dict(),
        "parameters": model.count_parameters(),
        "tokens": {"train": x.numel()},
    }
    attention = scores * x.numel() * (2 if config.r_drop else 1) / 1e12
    counted = counter.get_total_flops() / 1e12
    assert computation(record) + attention == pytest.approx(counted, rel=0.05)
