"""The ladder: what is kept, what is not, and the numbers said of each rung."""

import copy
import json
import math
import statistics

import pandas as pd
import pytest
import torch

from drawing import rows, tables
from lib.config import load_preset
from lib.data import load_titles
from studies import ladder

CONFIG = load_preset("smoke").change(
    num_titles=200, vocab_size=300, n_embd=32, n_layer=1, batch_size=4, epochs=1
)
TITLES = load_titles(CONFIG, "synthetic")
ADAMW = {"optimizer": "adamw", "betas": (0.9, 0.95), "learning_rate": 3e-3}
LEVERS = [
    ("still", "no learning rate", {"learning_rate": 1e-12}, "it cannot help"),
    ("adamw", "AdamW", ADAMW, "it helps"),
    ("slow", "a tenth of the learning rate", {"learning_rate": 3e-4}, "it harms"),
    ("position", "RoPE", {"position": "rope"}, "who knows"),
]


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    """The folder of a ladder, its record, and the configurations of all that was trained."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trained, run_seeds = [], ladder.run_seeds

    def noted(name, config, *rest):
        trained.append(config)
        return run_seeds(name, config, *rest)

    out = tmp_path_factory.mktemp("ladder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder, "load_step", lambda step, preset: CONFIG)
        patch.setattr(ladder, "run_seeds", noted)
        yield out, ladder.climb("smoke", TITLES, out, 2, LEVERS), trained
    torch.set_num_threads(threads)


def test_a_change_is_kept_where_it_gains_more_than_two_standard_errors(climbed):
    _, record, _ = climbed
    assert [rung.get("kept") for rung in record["rungs"][:4]] == [None, False, True, False]
    below = record["rungs"][0]
    for rung in record["rungs"][1:]:
        gain = statistics.mean(below["losses"]) - statistics.mean(rung["losses"])
        errors = [statistics.stdev(r["losses"]) / math.sqrt(2) for r in (below, rung)]
        assert rung["gain"] == pytest.approx(gain)
        assert rung["standard_error"] == pytest.approx(math.hypot(*errors))
        assert rung["kept"] == (gain > 2 * math.hypot(*errors))
        below = rung if rung["kept"] else below


def test_each_change_is_tried_on_those_that_were_kept(climbed):
    _, _, trained = climbed
    kept = CONFIG.change(**ADAMW)
    assert trained[:5] == [
        CONFIG,
        CONFIG.change(learning_rate=1e-12),
        kept,
        kept.change(learning_rate=3e-4),
        kept.change(position="rope"),
    ]


def test_a_ladder_that_is_climbed_again_trains_nothing_again(climbed, capsys):
    out, record, _ = climbed
    again = ladder.climb("smoke", TITLES, out, 2, LEVERS)
    assert again == record
    assert capsys.readouterr().out == ""
    (out / "results" / "ladder" / "smoke.json").unlink()  # but for its checkpoints
    assert ladder.climb("smoke", TITLES, out, 2, LEVERS)["rungs"] == record["rungs"]
    assert capsys.readouterr().out.count("Trained before") == 2 * len(record["rungs"])


def test_a_ladder_goes_on_above_what_was_kept(climbed, tmp_path, capsys):
    _, record, _ = climbed
    path = tmp_path / "results" / "ladder" / "smoke.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**record, "rungs": record["rungs"][:-1]}))
    again = ladder.climb("smoke", TITLES, tmp_path, 2, LEVERS)
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0].split("-")[0] for line in told] == ["position"] * 2 + ["RoPE:"]
    kept = {"seconds": None}
    assert [r | kept for r in again["rungs"]] == [r | kept for r in record["rungs"]]


def test_a_ladder_that_follows_another_keeps_what_that_one_kept(climbed, tmp_path):
    like = copy.deepcopy(climbed[1])
    like["rungs"][1]["kept"] = True  # whatever it gains
    trained, run_seeds = [], ladder.run_seeds
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder, "load_step", lambda step, preset: CONFIG)
        patch.setattr(
            ladder,
            "run_seeds",
            lambda name, *rest: trained.append(rest[0]) or run_seeds(name, *rest),
        )
        record = ladder.climb("smoke", TITLES, tmp_path, 1, LEVERS[:2], like)
    start, still, adamw = record["rungs"]
    assert trained[1:] == [CONFIG.change(learning_rate=1e-12), CONFIG.change(**ADAMW)]
    assert [len(rung["losses"]) for rung in record["rungs"]] == [1, 1, 1]
    assert still["gain"] == start["losses"][0] - still["losses"][0] < 0 and still["kept"]
    assert adamw["gain"] == still["losses"][0] - adamw["losses"][0]
    assert "standard_error" not in adamw
    assert ladder.read_ladder(tmp_path, "smoke") == record
    shown = tables.ladder_table(record, kept=True).data
    assert shown["gain"].tolist() == [f"{rung['gain']:+.4f}" for rung in (still, adamw)]
    drawn = rows.ladders(tmp_path, "ladder_order", climbed[1], record)
    numbers = pd.read_csv(tmp_path / "figures" / "ladder_order.csv")
    alone = repr(rows.ladder(tmp_path, "ladder", record))
    assert f"AdamW {adamw['gain']:+.4f}" in alone and "±" not in alone
    for name, gains in (("2 seeds", climbed[1]["rungs"][1:3]), ("1 seed", record["rungs"][1:])):
        assert numbers[f"smoke, {name}"].tolist() == pytest.approx([r["gain"] for r in gains])
        assert f"smoke, {name}" in repr(drawn)


def test_one_seed_or_an_unknown_rung_to_follow_is_refused(climbed, tmp_path):
    with pytest.raises(ValueError, match="1 seed has no spread"):
        ladder.climb("smoke", TITLES, tmp_path, 1, LEVERS)
    other = [("gate", "gate", {"gate": True}, "who knows")]
    with pytest.raises(ValueError, match="ladder on smoke has no rung 'gate' to follow"):
        ladder.climb("smoke", TITLES, tmp_path, 1, other, climbed[1])


def test_levers_are_chosen_by_name_in_the_ladders_order():
    assert ladder.choose(None) == ladder.LEVERS
    assert [name for name, *_ in ladder.choose(["mask", "muon"])] == ["muon", "mask"]
    with pytest.raises(ValueError, match="no lever 'magic'; choose from muon, wsd"):
        ladder.choose(["muon", "magic"])


@pytest.mark.parametrize("levers", [LEVERS[1:], LEVERS[::-1], LEVERS[:3]])
def test_another_ladder_is_not_gone_on_with(climbed, levers):
    out, record, _ = climbed
    assert ladder._begun(out, "smoke", TITLES, 2, LEVERS, {})["rungs"] == record["rungs"]
    assert ladder._begun(out, "smoke", TITLES, 2, levers, {}) is None
    assert ladder._begun(out, "smoke", TITLES, 3, LEVERS, {}) is None


def test_a_ladder_that_kept_other_changes_is_not_gone_on_with(climbed):
    out, record, _ = climbed
    verdicts = {rung["name"]: rung["kept"] for rung in record["rungs"][1:]}
    assert ladder._begun(out, "smoke", TITLES, 2, LEVERS, verdicts)["rungs"] == record["rungs"]
    for name, kept in verdicts.items():
        other = verdicts | {name: not kept}
        assert ladder._begun(out, "smoke", TITLES, 2, LEVERS, other) is None


def test_the_record_is_read_back_and_a_damaged_one_refused(climbed):
    out, record, _ = climbed
    assert ladder.read_ladder(out, "smoke")["rungs"] == record["rungs"]
    path = out / "results" / "ladder" / "smoke.json"
    path.write_text(json.dumps({**record, "rungs": [{"name": "still"}]}))
    with pytest.raises(ValueError, match=r"ladder/smoke\.json is damaged: rungs\.0"):
        ladder.read_ladder(out, "smoke")
    with pytest.raises(FileNotFoundError, match="lib ladder"):
        ladder.read_ladder(out, "tiny")
