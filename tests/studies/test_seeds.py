"""Several seeds of a step: the numbers said of them, and a run of them that was stopped."""

import copy
import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from lib.config import load_preset
from lib.data import load_titles
from lib.record import save, write_json
from lib.train import train
from studies import seeds

CONFIG = load_preset("smoke", optimizer="adamw", learning_rate=5e-4, betas=(0.9, 0.95)).change(
    num_titles=200, vocab_size=300, n_embd=32, n_layer=1, batch_size=4, epochs=1
)
TITLES = load_titles(CONFIG, "synthetic")
TITLES = dataclasses.replace(TITLES, test=TITLES.test[:20])


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Models as small as these train no faster on two, and far slower beside another process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small_steps(monkeypatch):
    changes = {"01_baseline": {}, "02_adamw": {"learning_rate": 5e-3}}
    monkeypatch.setattr(seeds, "load_step", lambda step, preset: CONFIG.change(**changes[step]))


def train_three(out, step="01_baseline", **options):
    return seeds.train_seeds(step, "smoke", TITLES, out, 3, **options)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """The folder of a step trained under three seeds, and its record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeds, "load_step", lambda step, preset: CONFIG)
        out = tmp_path_factory.mktemp("seeds")
        return out, train_three(out)


def test_the_first_seed_is_the_step_itself_and_the_others_are_not(three):
    _, record = three
    assert record["seeds"] == [1337, 1338, 1339] and record["test"] is None
    plain = train(CONFIG, TITLES).curve[-1]
    assert record["full_coverage"][0] == plain["full_coverage"]
    assert len(set(record["full_coverage"])) == 3


def test_titles_split_tokenizer_and_order_are_the_same_under_every_seed():
    for seed in (1338, 7):
        config = CONFIG.change(seed=seed, epochs=1)
        other = load_titles(config, "synthetic")
        assert (other.train, other.val, other.test[:20]) == (
            TITLES.train,
            TITLES.val,
            TITLES.test,
        )
    a, b = (train(CONFIG.change(seed=seed, epochs=1), TITLES) for seed in (1337, 1338))
    assert a.tokenizer.state == b.tokenizer.state
    assert a.train_ids.equal(b.train_ids) and a.val_ids.equal(b.val_ids)
    assert not a.model.embedding.weight.equal(b.model.embedding.weight)


def test_mean_spread_and_standard_error_are_numpys(three):
    _, record = three
    losses = np.array(record["full_coverage"])
    assert record["mean"] == pytest.approx(losses.mean(), rel=1e-12)
    assert record["sd"] == pytest.approx(losses.std(ddof=1), rel=1e-9)
    assert record["standard_error"] == pytest.approx(losses.std(ddof=1) / 3**0.5, rel=1e-9)


def run_of(seed, loss):
    return {
        "preset": "tiny",
        "stories": {"source": "hub"},
        "titles": {"val": 500},
        "config": {"seed": seed},
        "environment": {"device": "CPU"},
        "losses": {
            "full_coverage": loss,
            "official": None if seed == 1337 else loss - 0.1,
            "coverage": 0.9,
            "bits_per_byte": 2 * loss,
        },
    }


def test_the_numbers_by_hand():
    record = seeds.summary("02_adamw", "AdamW", [run_of(1337, 1.0), run_of(1338, 4.0)])
    assert seeds.check_seeds(record, "seeds/02_adamw") is record
    assert record["mean"] == 2.5
    assert record["sd"] == pytest.approx(math.sqrt(2 * 1.5**2))  # n - 1 = 1
    assert record["standard_error"] == pytest.approx(1.5)
    assert record["official"] == [None, 3.9] and record["bits_per_byte"] == [2.0, 8.0]


def seeds_of(step, mean, error, **changes):
    record = seeds.summary(step, step, [run_of(1337, mean - error), run_of(1338, mean + error)])
    assert (record["mean"], record["standard_error"]) == (mean, pytest.approx(error))
    return {**record, "standard_error": error, **changes}


@pytest.mark.parametrize(
    ("after", "difference", "real"),
    [(3.0, -1.0, False), (2.9, -1.1, True), (5.1, 1.1, True), (4.5, 0.5, False)],
)
def test_a_difference_is_real_beyond_two_standard_errors(after, difference, real):
    found = seeds.compare(seeds_of("01_baseline", 4.0, 0.3), seeds_of("02_adamw", after, 0.4))
    assert found["standard_error"] == 0.5  # a triangle of 3, 4, 5
    assert found["difference"] == pytest.approx(difference)
    assert found["real"] is real


@pytest.mark.parametrize(
    "changes",
    [{"preset": "small"}, {"stories": {"source": "file"}}, {"titles": {"val": 400}}],
)
def test_seeds_on_other_titles_are_not_compared(changes):
    with pytest.raises(ValueError, match="do not compare"):
        seeds.compare(seeds_of("01_baseline", 3, 1), seeds_of("02_adamw", 2, 1, **changes))


def test_each_step_is_compared_with_the_one_before_it(tmp_path, small_steps):
    folder = tmp_path / "results" / "seeds" / "smoke"
    train_three(tmp_path)
    assert json.loads((folder / "differences.json").read_text()) == {}
    train_three(tmp_path, "02_adamw")
    a, b = (seeds.read_seeds(tmp_path, step, "smoke") for step in ("01_baseline", "02_adamw"))
    found = seeds.read_differences(tmp_path, "smoke")["02_adamw"]
    assert found["before"] == "01_baseline"
    assert found["difference"] == pytest.approx(
        np.mean(b["full_coverage"]) - np.mean(a["full_coverage"])
    )
    error = np.sqrt((np.var(a["full_coverage"], ddof=1) + np.var(b["full_coverage"], ddof=1)) / 3)
    assert found["standard_error"] == pytest.approx(error)
    assert found["real"] and found["verdict"] == "real"  # ten times the step size
    write_json(folder / "01_baseline.json", {**a, "mean": b["mean"] + error})
    train_three(tmp_path, "02_adamw")
    found = seeds.read_differences(tmp_path, "smoke")["02_adamw"]
    assert not found["real"] and found["verdict"] == "within two standard errors"
    write_json(folder / "01_baseline.json", {**a, "preset": "tiny"})
    train_three(tmp_path, "02_adamw")
    assert seeds.read_differences(tmp_path, "smoke") == {}


def test_a_seed_that_was_trained_before_is_not_trained_again(three, monkeypatch, capsys):
    out, record = three
    monkeypatch.setattr(seeds, "load_step", lambda step, preset: CONFIG)
    with monkeypatch.context() as patch:
        patch.setattr("lib.train._losses", None)
        again = train_three(out)
    assert again["full_coverage"] == record["full_coverage"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == ["1337", "1338", "1339"]
    assert all("nats per character" in line and "Trained before" in line for line in lines)
    with monkeypatch.context() as patch, pytest.raises(TypeError):
        patch.setattr("lib.train._losses", None)
        train_three(out, fresh=True)
    train_three(out)


def test_the_published_run_of_a_step_is_its_first_seed(three, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(seeds, "load_step", lambda step, preset: CONFIG)
    published = save(train(CONFIG, TITLES), tmp_path, "01_baseline", "Baseline")
    spoiled = {**published, "losses": {**published["losses"], "full_coverage": 9.0}}
    path = tmp_path / "results" / "01_baseline.json"
    write_json(path, spoiled)  # so that it is seen where it is taken from
    record = train_three(tmp_path)
    assert record["full_coverage"] == [9.0, *three[1]["full_coverage"][1:]]
    assert record["seeds"] == [1337, 1338, 1339] and record["title"] == "Baseline"
    first, *others = capsys.readouterr().out.splitlines()[-3:]
    assert "seed 1337 9.0000 nats per character. Published before." in first
    assert len(others) == 2
    assert train_three(tmp_path, fresh=True)["full_coverage"] == three[1]["full_coverage"]
    for other in ({"config": CONFIG.change(dropout=0.3).as_dict()}, {"stories": {"source": "hub"}}):
        stories = {**spoiled["stories"], **other.get("stories", {})}
        write_json(path, {**spoiled, **other, "stories": stories})
        assert train_three(tmp_path)["full_coverage"] == three[1]["full_coverage"]


def test_each_preset_has_its_records_by_themselves(three, tmp_path):
    out, record = three
    there = seeds.read_seeds(out, "01_baseline", "smoke")
    assert there["preset"] == "smoke" and there["full_coverage"] == record["full_coverage"]
    with pytest.raises(FileNotFoundError, match=r"results/seeds/01_baseline\.json"):
        seeds.read_seeds(out, "01_baseline")
    write_json(tmp_path / "results" / "seeds" / "01_baseline.json", {**record, "preset": "tiny"})
    assert seeds.read_seeds(tmp_path, "01_baseline")["preset"] == "tiny"


def test_seeds_that_were_interrupted_continue_to_the_same_numbers(
    three, tmp_path, small_steps, monkeypatch, capsys
):
    import lib.train as module

    measure, calls = module._measure, []

    def stop_in_the_second_seed(*arguments):
        calls.append(1)
        if len(calls) == len(train_points) + 3:
            raise KeyboardInterrupt
        return measure(*arguments)

    train_points = train(CONFIG, TITLES).curve
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "_measure", stop_in_the_second_seed)
        train_three(tmp_path)
    assert not (tmp_path / "results").exists()
    capsys.readouterr()
    again = train_three(tmp_path)
    first, second, third = capsys.readouterr().out.splitlines()
    assert "Trained before" in first and "Continuing after step" in second
    assert third.split()[2] == "1339" and "rained" not in third
    for name in ("full_coverage", "official", "bits_per_byte", "mean", "sd"):
        assert again[name] == three[1][name]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda r: r.pop("sd"), "'sd' is a required property"),
        (lambda r: r["full_coverage"].append("low"), r"full_coverage\.3"),
        (lambda r: r["bits_per_byte"].pop(), "bits_per_byte has 2 losses for 3 seeds"),
        (lambda r: r.update(test=1.2), "test"),
    ],
)
def test_a_damaged_record_of_seeds_is_refused_by_name(three, tmp_path, change, where):
    record = copy.deepcopy(three[1])
    change(record)
    path = tmp_path / "results" / "seeds" / "01_baseline.json"
    write_json(path, record)
    with pytest.raises(ValueError, match=rf"seeds/01_baseline\.json is damaged: .*{where}"):
        seeds.read_seeds(tmp_path, "01_baseline")
    path.write_text("{")
    with pytest.raises(ValueError, match=r"seeds/01_baseline\.json is damaged"):
        seeds.read_seeds(tmp_path, "01_baseline")
    with pytest.raises(FileNotFoundError, match="python -m lib seeds"):
        seeds.read_seeds(tmp_path, "02_adamw")


def test_one_seed_has_no_spread(tmp_path):
    with pytest.raises(ValueError, match="1 seeds have no spread"):
        seeds.train_seeds("01_baseline", "smoke", TITLES, tmp_path, 1)
