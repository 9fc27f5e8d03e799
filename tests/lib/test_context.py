"""What a model is told about a title: as ids, beside the right `<eos>`, and with what effect."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import evaluate, predictions
from lib.batches import IGNORED, NOTHING, Shuffled, Stream, inputs
from lib.config import load_preset
from lib.context import LEAST, PIECES, Known, exchanged, told, train_known
from lib.data import Titles, load_titles
from lib.model import GPT
from lib.origins import NO_LINK, Origin
from lib.predictions import Context, predict, sample, title_losses
from lib.record import earlier, load_model, make_record, read_record, read_steps, save
from lib.tokenizer import EOS_ID, train_tokenizer
from lib.train import train

from .test_data import ask

pytestmark = pytest.mark.usefixtures("one_thread")

BOTH = ("domain", "time")
CONFIG = load_preset("smoke", optimizer="adamw", learning_rate=3e-3, betas=(0.9, 0.95)).change(
    tokenizer="sp_bpe",
    vocab_size=300,
    n_embd=32,
    n_layer=1,
    batch_size=4,
    epochs=2,
    windows="titles",
    num_titles=200,
)


@pytest.fixture(scope="module")
def made():
    """A few made headlines, with their origins."""
    titles = load_titles(CONFIG, "synthetic", origins=True)
    origins = {**titles.origins, "test": titles.origins["test"][:20]}
    return replace(titles, test=titles.test[:20], origins=origins)


def titles_from(train, val):
    """Titles that come from these origins; their text is of no matter."""
    return Titles(
        [f"a headline, number {i}" for i in range(len(train))],
        [f"a headline, number {i}" for i in range(len(val))],
        [],
        {"source": "file", "sha256": "0", "rows": len(train) + len(val), "dropped": 0},
        {"train": train, "val": val, "test": []},
    )


OFTEN = LEAST["site"]
TRAIN = [
    *[Origin("github.com", 2019, 5)] * OFTEN,
    *[Origin(NO_LINK, 2020, 1)] * OFTEN,
    *[Origin("rare.org", 2020, 2)] * (OFTEN - 1),
    Origin(None, None, None),
]
VALUES = [
    *[("month", 1), ("month", 2), ("month", 5)],
    *[("site", NO_LINK), ("site", "github.com")],
    *[("year", 2019), ("year", 2020)],
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(CONFIG, load_titles(CONFIG, "synthetic"))


@pytest.mark.parametrize(
    ("origin", "values", "spelt"),
    [
        (Origin("github.com", 2019, 5), [("site", "github.com"), ("year", 2019), ("month", 5)], ""),
        (Origin(NO_LINK, 2020, 1), [("site", NO_LINK), ("year", 2020), ("month", 1)], ""),
        (Origin("rare.org", 2020, 2), [("year", 2020), ("month", 2)], "rare.org"),
        (Origin("unseen.io", 2020, 2), [("year", 2020), ("month", 2)], "unseen.io"),
        (Origin("192.0.2.7", 2020, 2), [("year", 2020), ("month", 2)], "192.0.2.7"),
        (Origin("münchen.de", 2020, 2), [("year", 2020), ("month", 2)], "münchen.de"),
        (Origin("github.com", 2031, 5), [("site", "github.com"), ("month", 5)], ""),  # no such year
        (Origin("github.com", 2019, 9), [("site", "github.com"), ("year", 2019)], ""),
        (Origin("github.com", None, None), [("site", "github.com")], ""),
        (Origin(None, 2019, 5), [("year", 2019), ("month", 5)], ""),
        (Origin(None, None, None), [], ""),
    ],
)
@pytest.mark.parametrize("sees", [BOTH, ("domain",), ("time",)])
def test_a_title_is_told_what_training_titles_had_and_a_site_by_its_pieces(
    tokenizer, origin, values, spelt, sees
):
    parts = {"domain": ("site",), "time": ("year", "month")}
    seen = [name for part in sees for name in parts[part]]
    known = train_known(sees, titles_from(TRAIN, []))
    assert known.values == [value for value in VALUES if value[0] in seen]
    numbers = {tokenizer.vocab_size + i: value for i, value in enumerate(known.values)}
    row = [i for i in known.encode([origin], tokenizer)[0].tolist() if i != NOTHING]
    assert {numbers[i] for i in row if i in numbers} == {v for v in values if v[0] in seen}
    pieces = [i for i in row if i < tokenizer.vocab_size]
    whole = tokenizer.encode([spelt])[0] if "domain" in sees else []
    assert pieces == whole[:PIECES]
    if len(whole) <= PIECES:
        assert tokenizer.decode(pieces) == (spelt if whole else "")


def test_what_cannot_be_known_is_refused(made):
    with pytest.raises(ValueError, match="'score' cannot be known; choose from domain, time"):
        train_known(("domain", "score"), made)
    with pytest.raises(ValueError, match=r"without origins: load_titles\(…, origins=True\)"):
        train(CONFIG, replace(made, origins=None), sees=BOTH, quiet=True)


stream = st.lists(st.lists(st.integers(3, 9), max_size=6), min_size=1, max_size=9)


@settings(max_examples=150, deadline=None)
@given(stream, st.randoms(use_true_random=False))
def test_what_is_known_of_a_title_stands_beside_the_eos_before_it(titles, random):
    ids = [i for title in titles for i in (*title, EOS_ID)]
    known = [[100 + n, 200 + n] for n in range(len(titles))]
    expected = []  # by hand: what stands before each token
    for n, title in enumerate(titles):
        expected += [[EOS_ID, *known[n]], *([i, 0, 0] for i in title)]
    places = [random.randrange(len(ids)) for _ in range(12)]
    got = inputs(torch.tensor(ids), torch.tensor(places).view(3, 4), torch.tensor(known))
    assert got.view(12, 3).tolist() == [expected[place] for place in places]
    plain = inputs(torch.tensor(ids), torch.tensor(places))
    assert plain.tolist() == [expected[place][0] for place in places]


LENGTHS = [3, 1, 5, 7, 2, 2, 9, 20, 1, 4, 6, 3, 3]


def numbered():
    """A stream of titles, every token of which says which title it is of, and what is known."""
    ids = [i for n, length in enumerate(LENGTHS) for i in (*[10 + n] * length, EOS_ID)]
    return torch.tensor(ids), torch.arange(len(LENGTHS))[:, None] + 110


@pytest.mark.parametrize("kind", [Stream, Shuffled])
def test_in_every_batch_a_title_has_its_own_beside_its_beginning(kind):
    config = CONFIG.change(block_size=8, batch_size=3, epochs=3)
    ids, known = numbered()
    plain, data = kind(ids, config), kind(ids, config, known)
    assert (data.steps, data.tokens) == (plain.steps, plain.tokens)
    opened = []
    for step in range(data.steps):
        (x, y), (a, b) = data.batch(step), plain.batch(step)
        assert torch.equal(x[..., 0], a) and torch.equal(y, b)
        for token, beside, target in zip(
            a.flatten(), x[..., 1].flatten(), y.flatten(), strict=True
        ):
            if token != EOS_ID:
                assert beside == NOTHING
            elif target not in (IGNORED, EOS_ID):
                assert beside == target + 100
                opened.append(target.item())
    if kind is Shuffled:
        assert sorted(opened) == sorted([10 + n for n in range(len(LENGTHS))] * config.epochs)


class Reader(torch.nn.Module):
    """A model that notes what it is shown."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def hidden(self, x):
        self.seen.append(x)
        return torch.zeros(*x.shape[:2], 2)

    def head(self, states):
        return torch.zeros(len(states), 40)


def test_an_evaluation_tells_of_each_title_once_and_scores_no_more_tokens():
    ids, known = numbered()
    for score in (
        lambda model, **more: evaluate.token_losses(model, ids, 24, **more),
        lambda model, **more: evaluate.official(model, ids, 1, 4, 3, **more),
    ):
        reader, plain = Reader(), Reader()
        told, alone = score(reader, known=known), score(plain)
        assert np.array_equal(np.asarray(told), np.asarray(alone))
        x, a = torch.cat(reader.seen), torch.cat(plain.seen)
        assert torch.equal(x[..., 0], a)
        beside = x[..., 1][a == EOS_ID]
        assert (x[..., 1][a != EOS_ID] == NOTHING).all()
        first = [110, 111, 112] if x.shape[1] == 24 else [111, 112, 113]  # a span drops its first
        assert beside[:3].tolist() == first and len(set(beside.tolist())) > 8


def test_a_model_adds_the_vectors_of_what_is_known():
    torch.manual_seed(0)
    config = CONFIG.change(dropout=0.0)
    model = GPT(config, 40, values=3).eval()
    assert model.values.shape == (3, 32) and not model.values.any()
    with torch.no_grad():
        model.values.normal_()
    kept = []
    model.dropout.register_forward_hook(lambda module, args, out: kept.append(args[0]))
    x = torch.tensor([[[EOS_ID, 7, 41, 0], [9, 0, 0, 0], [EOS_ID, 42, 0, 40]]])
    with torch.no_grad():
        model(x)
        model(x[..., 0])
    e, v = model.embedding.weight, model.values
    added = torch.stack([e[7] + v[1], torch.zeros(32), v[2] + v[0]])
    assert torch.allclose((kept[0] - kept[1])[0], added, atol=1e-6)
    assert GPT(config, 40).values is None and "values" not in GPT(config, 40).state_dict()


@pytest.mark.parametrize("windows", ["titles", "stream"])
def test_a_model_that_is_told_nothing_ends_where_one_without_does(made, windows):
    """The same windows, steps, first weights and dropout: bit for bit the same losses.

    Gradients are not clipped: one more parameter, even an empty one, can change how a norm rounds.
    """
    config = CONFIG.change(windows=windows, r_drop=0.5, grad_clip=1e9, epochs=1)
    nothing = [Origin(None, None, None)]
    blank = replace(made, origins={p: nothing * len(o) for p, o in made.origins.items()})
    plain, run = (train(config, blank, sees=s, quiet=True) for s in ((), BOTH))
    assert run.curve == plain.curve and run.steps == plain.steps
    weights = run.model.state_dict()
    assert all(torch.equal(weights[n], w) for n, w in plain.model.state_dict().items())
    assert plain.known is None and run.known.values == []
    assert run.identity.keys() - plain.identity.keys() == {"known"}
    without = train(config, replace(made, origins=None), quiet=True)
    assert without.curve == plain.curve and without.identity == plain.identity


WORDS = {"ask.com": "Alpha", "show.org": "Bravo", "tell.net": "Gamma", NO_LINK: "Delta"}


@pytest.fixture(scope="module")
def given_away():
    """Titles whose first word is what their site says, and whose others say nothing."""
    draw = np.random.default_rng(3)

    def part(count):
        origins = [
            Origin(site, year, 1)
            for site, year in zip(
                draw.choice(list(WORDS), count).tolist(),
                draw.choice([2019, 2020], count).tolist(),
                strict=True,
            )
        ]
        numbers = draw.integers(10, 99, count)
        return [f"{WORDS[o.site]} says {n}" for o, n in zip(origins, numbers, strict=True)], origins

    (train_, a), (val, b) = part(600), part(80)
    origins = {"train": a, "val": b, "test": b[:4]}
    stories = {"source": "file", "sha256": "0", "rows": 680, "dropped": 0}
    return Titles(train_, val, val[:4], stories, origins)


@pytest.fixture(scope="module")
def runs(given_away):
    """Step five in small: told nothing, all, the date only, and all of another title."""
    config = CONFIG.change(epochs=8, batch_size=2)
    other = exchanged(given_away)
    return {
        "titles": train(config, given_away, quiet=True),
        "all": train(config, given_away, sees=BOTH, quiet=True),
        "time": train(config, given_away, sees=("time",), quiet=True),
        "exchanged": train(config, other, sees=BOTH, quiet=True),
    }


def test_a_site_that_gives_the_first_word_away_is_worth_that_word(runs):
    """Four words alike: two bits a title. The date and another title's origin are worth nothing."""
    first = {}
    for name, run in runs.items():
        losses = title_losses(run.model, run.tokenizer, run.titles.val, run.told("val"))
        first[name] = np.mean([losses[i][0] for i in range(len(losses))])
        chars = evaluate.characters(run.titles.val)
        whole = run.curve[-1]["full_coverage"]
        assert np.sum([sum(title) for title in losses]) / chars == pytest.approx(whole, abs=1e-6)
    assert first["titles"] == pytest.approx(np.log(4), abs=0.15)
    assert first["all"] < 0.1
    assert abs(first["time"] - first["titles"]) < 0.15
    assert first["exchanged"] > first["titles"] - 0.1


def test_origins_are_exchanged_within_each_part_and_nothing_else_is(made):
    other = exchanged(made)
    assert (other.train, other.val, other.stories) == (made.train, made.val, made.stories)
    for part, own in made.origins.items():
        assert other.origins[part] != own
        assert sorted(map(repr, other.origins[part])) == sorted(map(repr, own))
    assert exchanged(made).origins == other.origins != exchanged(made, seed=1).origins


def test_a_record_says_what_was_seen_and_the_weights_come_back(
    runs, given_away, tmp_path, monkeypatch
):
    baseline = load_preset("smoke").change(vocab_size=140)  # of what so few words can give
    monkeypatch.setattr(predictions, "load_preset", lambda name: baseline)
    run, alone = runs["all"], runs["titles"]
    save(alone, tmp_path, "04_lowest_loss", "Alone")
    record = save(run, tmp_path, "06_context", "Told")
    later = save(alone, tmp_path, "06_later", "Later")
    assert record == read_record(tmp_path, "smoke", "06_context")
    assert record["sees"] == ["domain", "time"] and "sees" not in later
    assert record["tokens"] == later["tokens"] and record["steps"] == later["steps"]
    assert record["titles"] == later["titles"] and record["config"] == later["config"]
    assert record["losses"]["coverage"] == later["losses"]["coverage"]
    assert [r["step"] for r in read_steps(tmp_path, "smoke")] == ["04_lowest_loss", "06_later"]
    assert [r["step"] for r in earlier(tmp_path, later)] == ["04_lowest_loss"]
    assert [r["step"] for r in earlier(tmp_path, record)] == ["04_lowest_loss"]

    model, tokenizer = load_model(tmp_path, "smoke", "06_context")
    known = Known(BOTH, run.known.values)
    rows = told(known, given_away, "val", tokenizer, next(model.parameters()).device)
    again = title_losses(model, tokenizer, given_away.val, rows)
    expected = title_losses(run.model, run.tokenizer, run.titles.val, run.told("val"))
    assert again == expected
    # On the test titles as well, each told its own.
    by_test = title_losses(run.model, run.tokenizer, given_away.test, run.told("test"))
    nats = sum(map(sum, by_test))
    assert record["losses"]["test"] == pytest.approx(
        nats / evaluate.characters(given_away.test), abs=1e-6
    )
    arm = make_record(run, "ablations/06_context-all", "Told")
    assert arm["sees"] == ["domain", "time"] and arm["losses"]["test"] is None


def test_predictions_and_samples_are_told_of_their_own_title(runs, given_away):
    run = runs["all"]
    sites = [o.site for o in given_away.origins["val"]]
    scored = title_losses(run.model, run.tokenizer, given_away.val[:5], run.told("val")[:5])
    for place in (1, 2, 3, 4):
        context = Context(given_away.val[:place], "", given_away.val[place], place)
        found = predict(run.model, run.tokenizer, context, 1, run.told("val"))
        assert WORDS[sites[place]].startswith(found["top"][0]["token"].strip())
        assert found["top"][0]["token"] == found["target"] and found["top"][0]["p"] > 0.9
        # The same as when it is scored: the titles before are told their own as well.
        assert found["top"][0]["p"] == pytest.approx(np.exp(-scored[place][0]), rel=1e-5)
    written = sample(run.model, run.tokenizer, 8, known=run.told("val"))
    assert [title.split()[0] for title in written] == [WORDS[site] for site in sites[:8]]


def test_a_checkpoint_that_was_told_something_else_is_refused(made, tmp_path):
    config = CONFIG.change(epochs=1, evals_per_epoch=1)
    train(config, made, sees=BOTH, folder=tmp_path, quiet=True)
    again = train(config, made, sees=BOTH, folder=tmp_path, quiet=True)
    assert again.resumed == again.steps
    for other, sees in ((exchanged(made), BOTH), (made, ("domain",)), (made, ())):
        with pytest.raises(ValueError, match="its known is"):
            train(config, other, sees=sees, folder=tmp_path, quiet=True)


def test_a_step_that_asks_for_origins_reads_the_same_titles():
    config = ask(20, "smoke")
    plain, more = (load_titles(config, "synthetic", origins=flag) for flag in (False, True))
    assert replace(more, origins=None) == plain
