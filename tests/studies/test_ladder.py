"""The ladder: what is kept, what is not, and the numbers said of each rung."""

import copy
import json
import math
import statistics

import pandas as pd
import pytest
from scipy import stats

from drawing import rows, tables
from lib.config import Config, load_step
from lib.data import load_titles
from lib.files import BOOK, held, results, write_json
from lib.steps import LADDER, LEVERS
from studies import ladder
from studies.statistics import judge

from .small import CONFIG as ADAMW_CONFIG
from .small import TITLES, other_code, start, wait_until_it_waits

CONFIG = ADAMW_CONFIG.change(optimizer="sgd", learning_rate=6e-3, betas=None)
ADAMW = {"optimizer": "adamw", "betas": (0.9, 0.95), "learning_rate": 3e-3}
FOUR = {
    "still": {"title": "no learning rate", "why": "it cannot help"},
    "adamw": {"title": "AdamW", "why": "it helps"},
    "slow": {"title": "a tenth of the learning rate", "why": "it harms"},
    "position": {"title": "RoPE", "why": "who knows"},
}
FOUR["still"]["changes"] = {"learning_rate": 1e-12}
FOUR["adamw"]["changes"] = ADAMW
FOUR["slow"]["changes"] = {"learning_rate": 3e-4}
FOUR["position"]["changes"] = {"position": "rope"}


def some(*names):
    return {name: FOUR[name] for name in names}


def path_of(out):
    return results(out, "smoke", "ladder")


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    """The folder of a ladder, its record, and the configurations of all that was trained."""
    trained, run_seeds = [], ladder.run_seeds

    def noted(name, config, *rest):
        trained.append(config)
        return run_seeds(name, config, *rest)

    out = tmp_path_factory.mktemp("ladder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder, "load_step", lambda step, preset: CONFIG)
        patch.setattr(ladder, "run_seeds", noted)
        yield out, ladder.climb("smoke", TITLES, out, 2, FOUR), trained


@pytest.fixture
def part(climbed, tmp_path):
    """A folder in which all rungs of the ladder but the last are recorded, and no run is kept."""
    _, record, trained = climbed
    rungs = dict(list(record["rungs"].items())[:-1])
    write_json(path_of(tmp_path), {**record, "rungs": rungs})
    trained.clear()
    return tmp_path


def test_a_change_is_kept_where_it_gains_more_than_chance_does(climbed):
    _, record, _ = climbed
    assert list(record["rungs"]) == ["03_rope_vocab", *FOUR]
    below, *tried = record["rungs"].values()
    assert "kept" not in below
    assert [rung["kept"] for rung in tried[:3]] == [False, True, False]
    for rung in tried:
        gain = statistics.mean(below["losses"]) - statistics.mean(rung["losses"])
        errors = [statistics.stdev(r["losses"]) / math.sqrt(2) for r in (below, rung)]
        assert rung["gain"] == pytest.approx(gain)
        assert rung["standard_error"] == pytest.approx(math.hypot(*errors))
        own = stats.ttest_ind(rung["losses"], below["losses"], equal_var=False)
        assert rung["p"] == pytest.approx(own.pvalue)
        assert rung["low"] < gain < rung["high"]
        assert rung["kept"] == (gain > 0 and own.pvalue < 0.05)
        below = rung if rung["kept"] else below


@pytest.mark.parametrize(
    ("gain", "kept"), [(1.80, False), (1.85, True), (-1.80, False), (-1.85, False)]
)
def test_the_verdict_by_hand(gain, kept):
    """Two errors of 0.3 are one of 0.424, and two degrees of freedom want 4.303 of them: 1.826."""
    below = {"losses": [3.7, 4.3], "mean": 4.0, "title_nats": [8.0, 12.0]}
    rung = {"losses": [4.3 - gain, 3.7 - gain], "mean": 4 - gain}
    rung["title_nats"] = [8.0 - gain, 12.0 - 2 * gain]
    judged = judge(below, rung, None, 10)
    assert judged["gain"] == pytest.approx(gain)
    assert judged["standard_error"] == pytest.approx(0.3 * math.sqrt(2))
    assert sorted(judged["titles"].values()) == pytest.approx(sorted([gain / 5, gain / 2.5]))
    assert judged["kept"] is kept
    assert judge(below, rung, not kept, 10)["kept"] is not kept  # another ladder's


def test_holms_correction_is_over_all_rungs_that_were_tried(climbed):
    _, record, _ = climbed
    tried = list(record["rungs"].values())[1:]
    for test, corrected in (("p", "p_holm"), ("p_paired", "p_paired_holm")):
        p = [rung[test] for rung in tried]
        assert min(rung[corrected] for rung in tried) == pytest.approx(min(1, len(p) * min(p)))
        assert max(rung[corrected] for rung in tried) >= max(p)


def test_the_nats_of_titles_add_up_to_the_loss(climbed):
    _, record, _ = climbed
    for rung in record["rungs"].values():
        total = sum(rung["title_nats"]) / record["titles"]["val_chars"]
        assert total == pytest.approx(rung["mean"], abs=1e-4)


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
    again = ladder.climb("smoke", TITLES, out, 2, FOUR)
    assert again == record == ladder.read_ladder(out, "smoke")
    assert capsys.readouterr().out == ""
    path_of(out).unlink()  # but for its checkpoints
    assert ladder.climb("smoke", TITLES, out, 2, FOUR)["rungs"] == record["rungs"]
    assert capsys.readouterr().out.count("Trained before") == 2 * len(record["rungs"])


def test_a_ladder_goes_on_above_what_was_kept(climbed, part):
    _, record, trained = climbed
    again = ladder.climb("smoke", TITLES, part, 2, FOUR)
    assert trained == [CONFIG.change(**ADAMW, position="rope")]
    kept = {"seconds": None}
    assert list(again["rungs"]) == list(record["rungs"])
    assert [r | kept for r in again["rungs"].values()] == [
        r | kept for r in record["rungs"].values()
    ]


def test_levers_that_are_asked_for_never_cost_a_rung_that_is_there(climbed, part):
    _, record, trained = climbed
    there = ladder.read_ladder(part, "smoke")
    assert ladder.climb("smoke", TITLES, part, 2, some("adamw")) == there  # it was tried
    assert not trained and ladder.read_ladder(part, "smoke") == there
    again = ladder.climb("smoke", TITLES, part, 2, some("position"))
    assert again == ladder.read_ladder(part, "smoke")
    assert list(again["rungs"]) == list(record["rungs"])
    assert {**again["rungs"], "position": None} == {**there["rungs"], "position": None}
    with pytest.raises(ValueError, match=r"would lose the other rungs of .*: still, slow, pos"):
        ladder.climb("smoke", TITLES, part, 2, some("adamw"), resume="fresh")
    assert ladder.read_ladder(part, "smoke") == again


def test_fresh_starts_over(climbed, part):
    _, record, trained = climbed
    ladder.climb("smoke", TITLES, part, 2, some("still", "adamw", "slow"), resume="fresh")
    assert len(trained) == 4
    again = ladder.read_ladder(part, "smoke")["rungs"]
    for name, rung in again.items():
        assert rung["losses"] == record["rungs"][name]["losses"]


def test_a_ladder_that_follows_another_keeps_what_that_one_kept(climbed, tmp_path):
    _, tiny, trained = climbed
    like = copy.deepcopy(tiny)
    like["rungs"]["still"]["kept"] = True  # whatever it gains
    trained.clear()
    record = ladder.climb("smoke", TITLES, tmp_path, 1, some("still", "adamw"), like)
    below, still, adamw = record["rungs"].values()
    assert trained[1:] == [CONFIG.change(learning_rate=1e-12), CONFIG.change(**ADAMW)]
    assert [len(rung["losses"]) for rung in record["rungs"].values()] == [1, 1, 1]
    assert still["gain"] == below["losses"][0] - still["losses"][0] < 0 and still["kept"]
    assert adamw["gain"] == still["losses"][0] - adamw["losses"][0]
    assert "standard_error" not in adamw and record["like"] == "smoke"
    assert ladder.read_ladder(tmp_path, "smoke") == record
    shown = tables.ladder_table(record, kept=True).data
    assert shown["gain"].tolist() == [f"{rung['gain']:+.4f}" for rung in (still, adamw)]
    drawn = rows.ladders(tmp_path, "ladder_order", tiny, record)
    numbers = pd.read_csv(tmp_path / "figures" / "ladder_order.csv")
    alone = repr(rows.ladder(tmp_path, "ladder", record))
    assert f"AdamW {adamw['gain']:+.4f}" in alone and " to " not in alone
    for name, ladder_ in (("2 seeds", tiny), ("1 seed", record)):
        gains = [ladder_["rungs"][rung]["gain"] for rung in ("still", "adamw")]
        assert numbers[f"smoke, {name}"].tolist() == pytest.approx(gains)
        assert f"smoke, {name}" in repr(drawn)


def test_one_seed_or_an_unknown_rung_to_follow_is_refused(climbed, tmp_path):
    _, record, _ = climbed
    with pytest.raises(ValueError, match="Too few seeds for a spread: 1"):
        ladder.climb("smoke", TITLES, tmp_path, 1, FOUR)
    with pytest.raises(ValueError, match="Too few seeds for a spread: 0"):
        ladder.climb("smoke", TITLES, tmp_path, 0, FOUR, record)
    gate = {"gate": {"title": "gate", "why": "who knows", "changes": {"gate": True}}}
    with pytest.raises(ValueError, match="ladder on smoke has no rung 'gate' to follow"):
        ladder.climb("smoke", TITLES, tmp_path, 1, gate, record)
    other = {"still": {**FOUR["still"], "changes": {"learning_rate": 1e-9}}}
    with pytest.raises(ValueError, match=r"tried \{'learning_rate': 1e-12\} as 'still'; it is"):
        ladder.climb("smoke", TITLES, tmp_path, 1, other, record)


def test_levers_are_chosen_by_name_in_the_ladders_order():
    assert list(ladder.choose(None).items()) == list(LEVERS.items())
    assert list(ladder.choose(["mask", "muon"])) == ["muon", "mask"]
    with pytest.raises(ValueError, match="no lever 'magic'; choose from rate, muon"):
        ladder.choose(["muon", "magic"])


def other_titles():
    titles = load_titles(CONFIG, "synthetic")
    titles.stories["sha256"] = "0" * 64
    return titles


@pytest.mark.parametrize("resume", ["same", "accept"])
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (lambda like: (TITLES, 3, FOUR, None), r"seeds \(2"),
        (lambda like: (TITLES, 2, FOUR, like), "like"),
        (lambda like: (other_titles(), 2, FOUR, None), "stories.sha256"),
        (
            lambda like: (TITLES, 2, {"slow": {**FOUR["slow"], "changes": {"gate": True}}}, None),
            "rungs.slow.changes",
        ),
    ],
)
def test_a_ladder_that_does_not_compare_is_refused_by_name(climbed, part, arguments, named, resume):
    _, record, trained = climbed
    titles, count, levers, like = arguments(record)
    before = path_of(part).read_bytes()
    with pytest.raises(
        ValueError,
        match=rf"smoke/ladder\.json is of another study.* is {named}.*, here .*\)\. Write",
    ):
        ladder.climb("smoke", titles, part, count, levers, like, resume)
    assert not trained and path_of(part).read_bytes() == before


def test_a_ladder_whose_verdicts_the_other_does_not_share_is_refused(climbed, tmp_path):
    _, tiny, trained = climbed
    ladder.climb("smoke", TITLES, tmp_path, 1, some("still"), tiny)
    like = copy.deepcopy(tiny)
    like["rungs"]["still"]["kept"] = True
    trained.clear()
    with pytest.raises(
        ValueError, match=r"what differs is rungs\.still\.kept \(False, here True\)"
    ):
        ladder.climb("smoke", TITLES, tmp_path, 1, some("still", "adamw"), like)
    assert not trained


def test_a_ladder_of_other_code_is_refused_and_accepted_by_word(climbed, part, monkeypatch):
    _, record, trained = climbed
    other_code(monkeypatch)
    with pytest.raises(
        ValueError, match=r"differs is code\.model \(.*\)\. Vouch .* \(--accept\), or write"
    ):
        ladder.climb("smoke", TITLES, part, 2, FOUR)
    assert not trained
    again = ladder.climb("smoke", TITLES, part, 2, FOUR, resume="accept")
    assert again["accepted"] == ["code.model"] and len(trained) == 1
    assert again == ladder.read_ladder(part, "smoke")
    assert again["rungs"]["position"]["losses"] == record["rungs"]["position"]["losses"]
    assert ladder.climb("smoke", TITLES, part, 2, FOUR) == again  # and is this code's from now on


def test_a_ladder_on_other_settings_is_refused_and_accepted_by_word(climbed, part, monkeypatch):
    changed = CONFIG.change(dropout=0.3)
    monkeypatch.setattr(ladder, "load_step", lambda step, preset: changed)
    with pytest.raises(ValueError, match=r"differs is base\.dropout \(0\.1, here 0\.3\)\. Vouch"):
        ladder.climb("smoke", TITLES, part, 2, FOUR)
    again = ladder.climb("smoke", TITLES, part, 2, FOUR, resume="accept")
    assert again["accepted"] == ["base.dropout"]
    assert climbed[2] == [changed.change(**ADAMW, position="rope")]


@pytest.mark.parametrize("kept", ["03_rope_vocab", "still"])
def test_a_run_that_was_accepted_is_said_in_the_record(climbed, tmp_path, monkeypatch, kept):
    ladder.climb("smoke", TITLES, tmp_path, 2, some("still"))
    path_of(tmp_path).unlink()
    for path in (tmp_path / "_build" / "ladder-smoke").glob("*/step-*"):
        if not path.parent.name.startswith(kept):
            path.unlink()
    other_code(monkeypatch)
    with pytest.raises(ValueError, match=r"its code\.model is"):
        ladder.climb("smoke", TITLES, tmp_path, 2, some("still"))
    again = ladder.climb("smoke", TITLES, tmp_path, 2, some("still"), resume="accept")
    assert again["accepted"] == ["code.model"]


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_a_published_ladder_can_be_read_and_says_of_which_settings_it_is(preset):
    record = ladder.read_ladder(BOOK, preset)
    names = [name for name in record["rungs"] if name != LADDER["from"]]
    levers = ladder.choose(names)
    assert set(levers) == set(names)
    assert Config.from_dict(record["base"]) == load_step(LADDER["from"], preset)
    assert ladder._verdicts(levers, record).keys() == set(names)  # the changes are today's


def test_step_three_is_what_the_published_ladder_kept_but_for_two_settings():
    config = load_step(LADDER["from"], "small")
    for name, rung in ladder.read_ladder(BOOK, "tiny")["rungs"].items():
        if rung.get("kept"):
            config = config.change(**LEVERS[name]["changes"])
    but = config.change(r_drop=2 * config.r_drop, vocab_factor=0.5)
    assert but == load_step(LADDER["to"], "small")


def _climb(out):
    ladder.load_step = lambda step, preset: CONFIG
    ladder.climb("smoke", TITLES, out, 2, some("still"))


def test_of_two_processes_the_second_waits_and_finds_all_done(climbed, tmp_path):
    printed = tmp_path / "printed.txt"
    with held(tmp_path / "_build" / "ladder-smoke"):
        process = start(printed, _climb, tmp_path)
        wait_until_it_waits(process, printed)
        # What another would have left meanwhile: a record which the second goes on from.
        rungs = {name: climbed[1]["rungs"][name] for name in ("03_rope_vocab", "still")}
        write_json(path_of(tmp_path), {**climbed[1], "rungs": rungs})
    process.join(600)
    assert process.exitcode == 0
    assert "nats per character" not in printed.read_text("utf-8")


def test_the_record_is_read_back_and_a_damaged_one_refused(climbed, tmp_path):
    out, record, _ = climbed
    assert ladder.read_ladder(out, "smoke")["rungs"] == record["rungs"]
    path_of(tmp_path).parent.mkdir(parents=True)
    path_of(tmp_path).write_text(json.dumps({**record, "rungs": {"still": {"mean": 1}}}))
    with pytest.raises(ValueError, match=r"smoke/ladder\.json is damaged: rungs\.still"):
        ladder.read_ladder(tmp_path, "smoke")
    with pytest.raises(FileNotFoundError, match="python -m book ladder"):
        ladder.read_ladder(tmp_path, "tiny")
