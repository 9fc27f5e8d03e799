"""Step five's arms, and what is computed of them, against hand-made losses."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lib.config import load_step
from lib.context import exchanged
from lib.data import Titles, load_titles
from lib.files import results
from lib.origins import NO_LINK, Origin
from lib.predictions import title_losses
from lib.record import read_record
from lib.steps import CONTEXT, STEPS
from studies import context

from .small import CONFIG

SITES = ["a.com", "b.com", "a.com", NO_LINK, None, "b.com", "a.com"]
VAL = ["one two", "b once more", "A is here", "x", "y", "z", "w"]
TITLES = Titles([], VAL, [], {}, {"val": [Origin(site, 2020, 1) for site in SITES]})
CHARS = sum(len(title) + 5 for title in VAL)
BEFORE = np.array([9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0])
AFTER = np.array([5.0, 8.0, 6.0, 1.0, 5.5, 2.0, 3.5])


class Words:
    """A tokenizer of a word a token."""

    def encode(self, titles):
        return [title.split(" ") for title in titles]


def arm(title, by_title, losses, by_token=None):
    records = [{"losses": {"full_coverage": loss}} for loss in losses]
    run = SimpleNamespace(titles=TITLES, tokenizer=Words())
    return context.Arm(title, records, run, by_token, by_title)


def two(seeds=2):
    return {
        "titles": arm("titles alone", BEFORE, [2.0, 2.2][:seeds]),
        "all": arm("told", AFTER, [1.5, 1.3][:seeds]),
    }


def test_a_gain_has_an_error_over_seeds_and_one_over_titles():
    (found,) = context.gains(two()).values()
    assert found["title"] == "told" and found["gain"] == pytest.approx(0.7)
    # The standard error of each mean is half its two losses' distance.
    assert found["over_seeds"] == pytest.approx(math.hypot(0.1, 0.1))
    apart = BEFORE - AFTER  # of n titles the sum has n times the error of their mean
    mean_error = np.std(apart, ddof=1) / np.sqrt(7)
    assert found["over_titles"] == pytest.approx(7 * mean_error / CHARS)
    (single,) = context.gains(two(seeds=1)).values()
    assert single["gain"] == pytest.approx(0.5) and single["over_seeds"] is None


def test_sites_are_told_by_what_their_headlines_gain():
    rows = context.by_site(two(), least=2)
    assert [(row["site"], row["titles"]) for row in rows] == [("a.com", 3), ("b.com", 2)]
    assert rows[0]["gain"] == pytest.approx((4 + 1 - 0.5) / 3 / math.log(2))
    assert rows[0]["before"] == pytest.approx((9 + 7 + 3) / 3 / math.log(2))
    assert rows[1]["gain"] == pytest.approx((0 + 2) / 2 / math.log(2))
    assert [row["site"] for row in context.by_site(two(), least=1)] == [NO_LINK, "a.com", "b.com"]
    assert [row["site"] for row in context.by_site(two())] == ["a.com"]  # the largest there is


def test_the_largest_sites_have_a_share_of_the_titles_and_of_the_gain():
    whole = 4 + 0 + 1 + 5 - 0.5 + 2 - 0.5
    one = context.share_of_largest(two(), count=1)
    assert one["sites"] == ["a.com"]
    assert one["titles"] == pytest.approx(3 / 7) and one["gain"] == pytest.approx(4.5 / whole)
    both = context.share_of_largest(two())
    assert both["sites"] == ["a.com", "b.com"] and both["gain"] == pytest.approx(6.5 / whole)


def test_bits_are_told_of_a_headline_and_of_its_words():
    by_token = [[2.0, 1.0, 0.5], [4.0, 3.0, 2.0, 0.5], [6.0, 2.0, 1.0, 0.0], *[[1.0, 1.0]] * 4]
    bits = context.bits_left(arm("told", None, [1.0], by_token))
    nats = {name: value * math.log(2) for name, value in bits.items()}
    assert nats["headline"] == pytest.approx((3.5 + 9.5 + 9.0 + 4 * 2.0) / 7)
    assert nats["first"] == pytest.approx((2 + 4 + 6 + 4) / 7)
    assert nats["rest"] == pytest.approx((1 + 3 + 2 + 2 + 1) / 5)
    assert nats["word"] == pytest.approx((16 + 9) / 12)


def test_a_headline_is_given_away_where_it_begins_with_its_sites_name():
    assert context.given_away(TITLES) == [1, 2]  # "b once more" of b.com, "A is here" of a.com
    upper = replace(TITLES, val=["one", "two", *VAL[2:-1], "A once more"])
    assert context.given_away(upper) == [2, 6]  # "A is here", of a.com
    assert context.given_away(replace(TITLES, val=list("mnopqrs"))) == []


def test_a_words_gain_by_its_place_has_its_error_over_titles():
    before = [[2.0, 1.0, 0.5], [4.0, 3.0, 2.0, 0.5], [6.0, 2.0, 1.0, 0.0], *[[1.0, 1.0]] * 4]
    after = [[1.0, 1.0, 0.5], [1.0, 3.0, 1.0, 0.5], [5.0, 1.0, 1.0, 0.0], *[[1.0, 0.5]] * 4]
    arms = {"titles": arm("a", None, [1.0], before), "all": arm("b", None, [1.0], after)}
    rows = context.gain_by_place(arms)
    assert [(row["word"], row["titles"]) for row in rows] == [
        ("1", 7),
        ("2", 3),
        ("3", 2),
        ("end", 7),
    ]
    gains = {"1": [1, 3, 1, 0, 0, 0, 0], "2": [0, 0, 1], "3": [1, 0], "end": [0, 0, 0, *[0.5] * 4]}
    for row in rows:
        own = np.array(gains[row["word"]]) / math.log(2)
        assert row["gain"] == pytest.approx(own.mean())
        assert row["error"] == pytest.approx(own.std(ddof=1) / math.sqrt(len(own)))
    assert rows[0]["before"] == pytest.approx((2 + 4 + 6 + 4) / 7 / math.log(2))


def test_first_words_are_told_in_bits():
    by_token = [[2.0, 1.0, 0.5], [4.0, 3.0, 2.0, 0.5], [6.0, 2.0, 1.0, 0.0], *[[1.0, 1.0]] * 4]
    told = arm("told", None, [1.0], by_token)
    assert context.bits_of_first(told, [1, 2, 3]) == pytest.approx((4 + 6 + 1) / 3 / math.log(2))


def test_step_five_is_no_step_that_others_are_ranked_with():
    assert "06_context" not in STEPS and CONTEXT["from"] in STEPS
    arms = CONTEXT["arms"]
    assert arms[context.BASE]["sees"] == () and arms[context.FULL]["sees"] == ("domain", "time")
    assert arms["exchanged"] == {**arms["exchanged"], "sees": ("domain", "time"), "exchanged": True}
    load_step(CONTEXT["from"], "smoke").change(**CONTEXT["smoke"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of arms that were trained under two seeds, the titles, and the arms."""
    out = tmp_path_factory.mktemp("context")
    titles = load_titles(CONFIG, "synthetic", origins=True)
    origins = {**titles.origins, "test": titles.origins["test"][:20]}
    titles = replace(titles, test=titles.test[:20], origins=origins)
    config = CONFIG.change(evals_per_epoch=1, windows="titles")
    return out, titles, context.train_arms("06_context", config, titles, out, 2)


def test_links_without_a_site_are_refused_before_anything_is_trained(tmp_path, monkeypatch):
    titles = load_titles(CONFIG, "synthetic", origins=True)
    none = {part: [o._replace(site=None) for o in those] for part, those in titles.origins.items()}
    monkeypatch.setattr(context, "train", lambda *_, **__: pytest.fail("it was trained"))
    with pytest.raises(ValueError, match="No url of these stories names a site"):
        context.train_arms("06_context", CONFIG, replace(titles, origins=none), tmp_path, 1)


def test_each_arm_leaves_a_record_of_each_seed(trained):
    out, _, arms = trained
    places = {
        name: [f"ablations/06_context-{name}", f"ablations/06_context-{name}-1338"]
        for name in CONTEXT["arms"]
    }
    places["all"][0] = "06_context"
    for name, arm in arms.items():
        assert [record["step"] for record in arm.records] == places[name]
        for record, seed in zip(arm.records, (1337, 1338), strict=True):
            assert record == read_record(out, "smoke", record["step"])
            assert record["config"]["seed"] == seed
            assert record.get("sees", []) == list(CONTEXT["arms"][name]["sees"])
            assert (record["losses"]["test"] is None) == (record["step"] != "06_context")
        assert arm.run.config.seed == 1337
    assert arms["all"].records[0]["title"] == "More context"
    there = results(out, "smoke", "06_context").parent.rglob("*context*.json")
    assert len(list(there)) == 2 * len(CONTEXT["arms"])


def test_each_arm_is_scored_on_the_same_titles_told_what_it_was_trained_on(trained):
    _, titles, arms = trained
    told = {name: arm.run.titles.origins["val"] for name, arm in arms.items()}
    other = exchanged(titles).origins["val"]
    for name, arm in arms.items():
        assert arm.run.titles.val == titles.val
        assert told[name] == (other if name == "exchanged" else titles.origins["val"])
        run = arm.run
        own = title_losses(run.model, run.tokenizer, titles.val, run.told("val"))
        assert arm.by_token == own
        chars = sum(len(title) + 5 for title in titles.val)
        mean = np.mean([record["losses"]["full_coverage"] for record in arm.records])
        assert arm.by_title.sum() / chars == pytest.approx(mean, abs=1e-6)
    for same in zip(*(arm.records for arm in arms.values()), strict=True):  # of one seed
        assert len({(record["steps"], record["tokens"]["train"]) for record in same}) == 1


def test_arms_that_were_trained_before_are_taken_as_they_are(trained):
    out, titles, arms = trained
    config = CONFIG.change(evals_per_epoch=1, windows="titles")
    again = context.train_arms("06_context", config, titles, out, 1)
    for name, arm in again.items():
        assert arm.run.resumed == arm.run.steps
        assert arm.by_token == arms[name].by_token
