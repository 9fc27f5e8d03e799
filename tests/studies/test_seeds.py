"""Several seeds of a step: the numbers said of them, and a run of them that was stopped."""

import copy
import math

import numpy as np
import pytest
from scipy import stats

from lib.config import load_step
from lib.data import load_titles
from lib.files import BOOK, held, results, write_json
from lib.record import read_record, save
from lib.train import train
from studies import runs, seeds

from .small import CONFIG, TITLES, other_code, start, wait_until_it_waits


@pytest.fixture
def small_steps(monkeypatch):
    changes = {"01_baseline": {}, "02_adamw": {"learning_rate": 5e-3}}
    monkeypatch.setattr(seeds, "load_step", lambda step, preset: CONFIG.change(**changes[step]))


def train_three(out, step="01_baseline", **options):
    return seeds.train_steps([step], "smoke", TITLES, out, 3, **options)[step]


def path_of(out, step="01_baseline"):
    return results(out, "smoke", f"seeds/{step}")


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


def run_of(seed, loss, coverage=0.9, accepted=()):
    return {
        "preset": "tiny",
        "stories": {"source": "hub"},
        "titles": {"val": 500},
        "config": {"seed": seed},
        "environment": {"device": "CPU"},
        "identity": {"code": {"model": "a"}},
        "accepted": list(accepted),
        "losses": {
            "full_coverage": loss,
            "official": None if seed == 1337 else loss - 0.1,
            "coverage": coverage,
            "bits_per_byte": 2 * loss,
        },
        "title_nats": [10 * loss, 20 * loss],
    }


def test_the_numbers_by_hand():
    record = seeds.summary("02_adamw", "AdamW", [run_of(1337, 1.0), run_of(1338, 4.0)])
    assert seeds.check_seeds(record) is record
    assert record["mean"] == 2.5
    assert record["sd"] == pytest.approx(math.sqrt(2 * 1.5**2))  # n - 1 = 1
    assert record["standard_error"] == pytest.approx(1.5)
    assert record["official"] == [None, 3.9] and record["bits_per_byte"] == [2.0, 8.0]
    assert record["identity"] == {"code": {"model": "a"}} and record["accepted"] == []
    assert record["title_nats"] == [25.0, 50.0]


def test_the_coverage_is_that_of_the_runs(three):
    for coverage in (0.25, 0.75):
        runs = [run_of(seed, 1.0, coverage) for seed in (1337, 1338)]
        assert seeds.summary("01_baseline", "Baseline", runs)["coverage"] == coverage
    assert three[1]["coverage"] == train(CONFIG, TITLES).curve[-1]["coverage"]


def test_what_was_accepted_in_any_run_is_said_once():
    runs = [run_of(1337, 1), run_of(1338, 2, accepted=["torch"]), run_of(1339, 3)]
    runs += [run_of(1340, 1, accepted=["code.model", "torch"])]
    assert seeds.summary("01_baseline", "Baseline", runs)["accepted"] == ["code.model", "torch"]


def test_runs_of_two_precisions_have_no_mean():
    runs = [run_of(1337, 1), run_of(1338, 2), run_of(1339, 3)]
    for run in runs:
        run["identity"] = {"code": {}, "precision": "fp32" if run is runs[2] else "bf16"}
    with pytest.raises(ValueError, match=r"1339 differ in precision \('bf16' and 'fp32'\)"):
        seeds.summary("02_adamw", "AdamW", runs)
    assert seeds.summary("02_adamw", "AdamW", runs[:2])["mean"] == 1.5


def test_each_step_is_compared_with_the_one_before_it(tmp_path, small_steps, capsys):
    train_three(tmp_path)
    assert seeds.read_differences(tmp_path, "smoke") == {}
    train_three(tmp_path, "02_adamw")
    a, b = (seeds.read_seeds(tmp_path, step, "smoke") for step in ("01_baseline", "02_adamw"))
    found = seeds.read_differences(tmp_path, "smoke")["02_adamw"]
    assert found["before"] == "01_baseline"
    assert found["difference"] == pytest.approx(
        np.mean(b["full_coverage"]) - np.mean(a["full_coverage"])
    )
    error = np.sqrt((np.var(a["full_coverage"], ddof=1) + np.var(b["full_coverage"], ddof=1)) / 3)
    assert found["standard_error"] == pytest.approx(error)
    own = stats.ttest_ind(b["full_coverage"], a["full_coverage"], equal_var=False)
    assert found["p"] == found["p_holm"] == pytest.approx(own.pvalue)  # of a single comparison
    assert found["p"] < 0.05 and found["verdict"] == "significant"  # ten times the step size
    assert found["titles"]["difference"] == pytest.approx(found["difference"], abs=1e-4)
    assert found["titles"]["low"] < found["difference"] < found["titles"]["high"]

    apart = np.mean(b["full_coverage"]) - np.mean(a["full_coverage"]) + 2.2 * error
    near = [loss + apart for loss in a["full_coverage"]]
    write_json(path_of(tmp_path), {**a, "full_coverage": near})
    train_three(tmp_path, "02_adamw")
    found = seeds.read_differences(tmp_path, "smoke")["02_adamw"]
    assert found["p"] > 0.05 and found["verdict"] == "not significant"

    others = {"preset": "tiny"}, {"stories": {"source": "hub"}}, {"titles": {"val": 7}}
    for other in others:
        write_json(path_of(tmp_path), {**a, **other})
        train_three(tmp_path, "02_adamw")
        assert seeds.read_differences(tmp_path, "smoke") == {}
    capsys.readouterr()
    code = {"code": {**a["identity"]["code"], "model": "0" * 16}}
    for made, named in ((code, "code.model"), ({"precision": "fp8"}, "precision")):
        write_json(path_of(tmp_path), {**a, "identity": {**a["identity"], **made}})
        train_three(tmp_path, "02_adamw")
        assert seeds.read_differences(tmp_path, "smoke") == {}
        told = capsys.readouterr().out
        assert f"02_adamw is not compared with 01_baseline: {named} (" in told


def test_steps_are_compared_in_turn_and_corrected_together(three, tmp_path):
    """And the best public recipe with step three; what is significant by itself may fall."""
    losses = np.array([1.5, 1.51, 1.53])
    near = stats.t.isf(0.02, 4) * losses.std(ddof=1) * np.sqrt(2 / 3)  # p is 0.04
    steps = ["01_baseline", "02_adamw", "03_rope_vocab", "04_lowest_loss", "public_best"]
    for i, shift in enumerate((0, -1, -1 - near, -2, -2 + near)):
        shifted = {"step": steps[i], "full_coverage": (np.roll(losses, i) + shift).tolist()}
        write_json(path_of(tmp_path, steps[i]), {**three[1], **shifted})
    seeds._write_differences(tmp_path, "smoke")
    found = seeds.read_differences(tmp_path, "smoke")
    assert [(step, row["before"]) for step, row in found.items()] == [
        ("02_adamw", "01_baseline"),
        ("03_rope_vocab", "02_adamw"),
        ("04_lowest_loss", "03_rope_vocab"),
        ("public_best", "04_lowest_loss"),
    ]
    for step in ("03_rope_vocab", "public_best"):  # two of four are surer
        assert found[step]["p"] == pytest.approx(0.04)
        assert found[step]["p_holm"] == pytest.approx(0.08)
    said = [row["verdict"] for row in found.values()]
    assert said == ["significant", "not significant"] * 2


def test_a_seed_that_was_trained_before_is_not_trained_again(three, monkeypatch, capsys):
    out, record = three
    monkeypatch.setattr(seeds, "load_step", lambda step, preset: CONFIG)
    with monkeypatch.context() as patch:
        patch.setattr("torch.nn.utils.clip_grad_norm_", None)
        again = train_three(out)
    assert {**again, "created": None} == {**record, "created": None}
    *lines, spread = capsys.readouterr().out.splitlines()
    assert f"mean {record['mean']:.4f}, standard deviation {record['sd']:.4f}" in spread
    assert spread.endswith(" results/smoke/seeds/01_baseline.json")
    assert [line.split()[2] for line in lines] == ["1337", "1338", "1339"]
    assert all("nats per character" in line and "Trained before" in line for line in lines)
    with monkeypatch.context() as patch, pytest.raises(TypeError):
        patch.setattr("torch.nn.utils.clip_grad_norm_", None)
        train_three(out, resume="fresh")
    train_three(out)


def test_seeds_of_other_code_are_refused_by_name_and_accepted_by_word(
    three, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(seeds, "load_step", lambda step, preset: CONFIG)
    record = train_three(tmp_path)
    code = record["identity"]["code"]["model"]
    assert record["accepted"] == [] and code != "0" * 16
    other_code(monkeypatch)
    with pytest.raises(ValueError, match=rf"01_baseline-1337 .* its code\.model is '{code}'"):
        train_three(tmp_path)
    assert seeds.read_seeds(tmp_path, "01_baseline", "smoke") == record
    capsys.readouterr()
    taken = train_three(tmp_path, resume="accept")
    assert taken["accepted"] == ["code.model"]
    assert taken["full_coverage"] == record["full_coverage"]
    assert capsys.readouterr().out.count("Trained before. Accepted: code.model.") == 3
    assert seeds.read_seeds(tmp_path, "01_baseline", "smoke") == taken
    fresh = train_three(tmp_path, resume="fresh")
    assert fresh["accepted"] == [] and fresh["identity"]["code"]["model"] == "0" * 16


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dropout": 0.3}, r"config\.dropout is 0\.1, this run's is 0\.3"),
        (
            None,
            r"smoke/seeds/01_baseline\.json .* differs is stories\.sha256 .* over it with --fresh",
        ),
    ],
)
def test_seeds_of_other_settings_or_stories_are_refused(three, monkeypatch, change, named):
    config = CONFIG.change(**change or {})
    titles = TITLES if change else load_titles(CONFIG, "synthetic")
    if change is None:
        titles.stories["sha256"] = "0" * 64
    monkeypatch.setattr(seeds, "load_step", lambda step, preset: config)
    with pytest.raises(ValueError, match=named):
        seeds.train_steps(["01_baseline"], "smoke", titles, three[0], 3)


def test_fewer_seeds_than_there_are_are_refused(three):
    out, there = three[0], seeds.read_seeds(three[0], "01_baseline", "smoke")
    with pytest.raises(ValueError, match=r"holds 3 seeds.*--seeds 3"):
        seeds.train_steps(["01_baseline"], "smoke", TITLES, out, 2)
    assert seeds.read_seeds(out, "01_baseline", "smoke") == there


def test_a_recipe_on_other_stories_does_not_write_over_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(seeds, "load_step", lambda step, preset: CONFIG)
    record = save(train(CONFIG, TITLES), tmp_path, "public_best")
    titles = load_titles(CONFIG, "synthetic")
    titles.stories["sha256"] = "0" * 64
    monkeypatch.setattr(seeds, "trained", lambda *_, **__: pytest.fail("it was trained"))
    with pytest.raises(ValueError, match=r"smoke/public_best\.json .* differs is stories\.sha256"):
        seeds.train_recipe("smoke", titles, tmp_path)
    assert read_record(tmp_path, "smoke", "public_best") == record


def test_a_step_that_only_counts_is_trained_with_the_step_before_it(tmp_path, monkeypatch, capsys):
    steps = {"04_lowest_loss": CONFIG, "05_counting": CONFIG.change(counts=0.2)}
    other = CONFIG.change(dropout=0.2)
    for module in (seeds, runs):
        monkeypatch.setattr(module, "load_step", lambda step, preset: steps.get(step, other))
    alone, counted = seeds.train_steps(list(steps), "smoke", TITLES, tmp_path, 2).values()
    told = [line for line in capsys.readouterr().out.splitlines() if " seed " in line]
    assert ["Trained before." in line for line in told] == [False, False, True, True]
    seeds.train_steps(list(steps), "smoke", TITLES, tmp_path, 2, "fresh")
    told = [line for line in capsys.readouterr().out.splitlines() if " seed " in line]
    assert ["Trained before." in line for line in told] == [False, False, True, True]
    again = [train(steps["05_counting"].change(seed=seed), TITLES) for seed in alone["seeds"]]
    assert counted["full_coverage"] == [run.curve[-1]["full_coverage"] for run in again]
    assert counted["mean"] != alone["mean"]


def test_a_step_that_counts_and_changes_more_has_a_folder_of_its_own(tmp_path):
    step = load_step("05_counting", "tiny")
    for change, name in ({"dropout": 0.2}, "07_own-1337"), ({"seed": 7}, "04_lowest_loss-7"):
        assert runs.Asked("07_own", step.change(**change), tmp_path).folder.name == name


def test_the_published_run_of_a_step_is_its_first_seed(three, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(seeds, "load_step", lambda step, preset: CONFIG)
    published = save(train(CONFIG, TITLES), tmp_path, "01_baseline")
    spoiled = {**published, "losses": {**published["losses"], "full_coverage": 9.0}}
    path = results(tmp_path, "smoke", "01_baseline")
    write_json(path, spoiled)  # so that it is seen where it is taken from
    capsys.readouterr()
    record = train_three(tmp_path)
    assert record["full_coverage"] == [9.0, *three[1]["full_coverage"][1:]]
    assert record["seeds"] == [1337, 1338, 1339] and record["title"] == "Baseline"
    first, *others, _ = capsys.readouterr().out.splitlines()
    assert "seed 1337 9.0000 nats per character. Published before." in first
    assert len(others) == 2
    assert train_three(tmp_path, resume="fresh")["full_coverage"] == three[1]["full_coverage"]


def test_a_published_run_that_is_another_is_not_the_first_seed(three, tmp_path, monkeypatch):
    out, record = three
    monkeypatch.setattr(seeds, "load_step", lambda step, preset: CONFIG)
    published = save(train(CONFIG, TITLES), tmp_path, "01_baseline")
    known, code = published["identity"], published["identity"]["code"]
    others = [
        {"config": CONFIG.change(dropout=0.3).as_dict()},
        {"stories": {**published["stories"], "sha256": "0" * 64}},
        *(
            {"identity": {**known, **change}}
            for change in (
                {"code": {**code, "model": "0" * 16}},
                {"notebook": {"get_optimizer": "0" * 16}},
                {"torch": "1.0"},
                {"tokenizer": "0" * 16},
            )
        ),
    ]
    for other in others:
        spoiled = {**published, **other}
        spoiled["losses"] = {**published["losses"], "full_coverage": 9.0}
        write_json(results(out, "smoke", "01_baseline"), spoiled)
        assert train_three(out)["full_coverage"] == record["full_coverage"], other
    results(out, "smoke", "01_baseline").unlink()


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
    first, second, third, _ = capsys.readouterr().out.splitlines()
    assert "Trained before" in first and "Went on after" in second
    assert third.split()[2] == "1339" and third.endswith(" s.")
    for name in ("full_coverage", "official", "bits_per_byte", "mean", "sd"):
        assert again[name] == three[1][name]


def _train(out, step):
    rates = {"01_baseline": 5e-4, "02_adamw": 5e-3}
    seeds.load_step = lambda step, _: CONFIG.change(learning_rate=rates[step])
    train_three(out, step)


def test_two_processes_at_one_step_train_each_seed_once(three, tmp_path):
    printed = [tmp_path / f"{i}.txt" for i in range(2)]
    processes = [start(path, _train, tmp_path, "01_baseline") for path in printed]
    for process in processes:
        process.join(600)
        assert process.exitcode == 0
    told = "".join(path.read_text("utf-8") for path in printed)
    assert told.count("nats per character") == 6 and told.count("Trained before.") == 3
    record = seeds.read_seeds(tmp_path, "01_baseline", "smoke")
    assert record["full_coverage"] == three[1]["full_coverage"]


def test_the_comparison_waits_for_the_process_that_writes_it(three, tmp_path):
    """Else that one, which knows nothing of this step, would write it without."""
    printed, folder = tmp_path / "printed.txt", tmp_path / "_build" / "seeds-smoke"
    record = seeds.check_seeds(three[1])
    with held(folder):
        process = start(printed, _train, tmp_path, "02_adamw")
        wait_until_it_waits(process, printed)
        assert not path_of(tmp_path, "02_adamw").exists()
        write_json(path_of(tmp_path), record)
        write_json(path_of(tmp_path, "differences"), {})
    process.join(600)
    assert process.exitcode == 0
    assert list(seeds.read_differences(tmp_path, "smoke")) == ["02_adamw"]


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
    path = path_of(tmp_path)
    write_json(path, record)
    with pytest.raises(ValueError, match=rf"seeds/01_baseline\.json is damaged: .*{where}"):
        seeds.read_seeds(tmp_path, "01_baseline", "smoke")
    path.write_text("{")
    with pytest.raises(ValueError, match=r"seeds/01_baseline\.json is damaged"):
        seeds.read_seeds(tmp_path, "01_baseline", "smoke")
    with pytest.raises(FileNotFoundError, match="python -m book seeds"):
        seeds.read_seeds(tmp_path, "02_adamw", "smoke")


@pytest.mark.parametrize("path", sorted((BOOK / "results").glob("*/seeds/[!d]*.json")), ids=str)
def test_a_published_record_of_seeds_says_what_its_losses_say(path):
    record = seeds.read_seeds(BOOK, path.stem, path.parts[-3])
    losses = np.array(record["full_coverage"])
    assert record["mean"] == pytest.approx(losses.mean())
    assert record["standard_error"] == pytest.approx(losses.std(ddof=1) / len(losses) ** 0.5)


def test_one_seed_has_no_spread(tmp_path):
    with pytest.raises(ValueError, match="1 seeds have no spread"):
        seeds.train_steps(["01_baseline"], "smoke", TITLES, tmp_path, 1)
