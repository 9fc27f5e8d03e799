"""What the widget tells a model about a story's origin, and its effect, compared with `lib`."""

import json
from dataclasses import asdict

import pytest
import torch

from lib.batches import NOTHING
from lib.config import Config, load_preset
from lib.context import PARTS, PIECES, Known, told, train_known
from lib.data import load_titles
from lib.export import write_model
from lib.files import results
from lib.model import GPT
from lib.origins import NO_LINK, Origin, site_of
from lib.predictions import title_losses
from lib.record import load_model, read_record
from lib.tokenizer import EOS_ID, train_tokenizer

from .test_model import rounded

STEP = "06_context"
UNSEEN = [
    "unseen.io",
    "192.0.2.7",
    "münchen.de",
    "日本.jp",
    "שלום.קום",
    "x" * 5_000,
    "null",
    "a_b.de",
]
CPU = torch.device("cpu")


def asked(titles, origins):
    return [[title, origin._asdict()] for title, origin in zip(titles, origins, strict=True)]


def numbers(known, origin, tokenizer):
    """What `lib` tells a model of an origin: numbers in any order."""
    return sorted(i for i in known.encode([origin], tokenizer)[0].tolist() if i != NOTHING)


def losses(model, tokenizer, known, title, origin):
    """The loss of each token of a title by itself, and of its `<eos>`, by `lib`."""
    rows = told(known, None, [origin], tokenizer, next(model.parameters()).device)
    return title_losses(model, tokenizer, [title], rows)[0]


@pytest.fixture(scope="module")
def titles():
    return load_titles(load_preset("smoke"), "synthetic", origins=True)


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """`write(model, tokenizer, known, config)` answers the file that a browser would load."""

    def writing(model, tokenizer, known, config):
        out = tmp_path_factory.mktemp("told")
        path = results(out, "smoke", STEP, ".pt")
        path.parent.mkdir(parents=True)
        torch.save({"known": asdict(known)}, path)
        record = {"step": STEP, "preset": "smoke", "weights": "0" * 64, "sees": list(known.sees)}
        assert write_model(out, model, tokenizer, {**record, "config": config.as_dict()})
        return results(out, "smoke", f"{STEP}/model", ".bin")

    return writing


@pytest.fixture(scope="module", params=["bpe", "sp_bpe", "sp_bpe_case"])
def made(request, titles, write):
    """A model with large random weights that is told all there is, and its file."""
    config = Config("smoke", 2_000, 600, 1, 48, 4, 64, 1, tokenizer=request.param)
    tokenizer, known = train_tokenizer(config, titles), train_known(PARTS, titles)
    torch.manual_seed(0)
    model = GPT(config, tokenizer.vocab_size, values=len(known.values)).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    file = write(model, tokenizer, known, config)
    return rounded(model), tokenizer, known, file


def test_titles_cost_what_they_cost_in_pytorch_told_the_same(made, titles, ask):
    model, tokenizer, known, file = made
    those, origins = titles.val[:50], titles.origins["val"][:50]
    sites = [("site", origin.site) in known.values for origin in origins]
    assert any(sites) and not all(sites)  # by vectors of their own and by pieces
    for title, origin, answer in zip(
        those, origins, ask("told", asked(those, origins), file), strict=True
    ):
        expected = losses(model, tokenizer, known, title, origin)
        untold = losses(model, tokenizer, known, title, Origin(None, None, None))
        assert answer["losses"] == pytest.approx(expected, abs=2e-3)
        assert untold != pytest.approx(expected, abs=0.05)


def test_an_origin_is_told_as_lib_tells_it(made, ask):
    _, tokenizer, known, file = made
    often = next(site for name, site in known.values if name == "site" and site != NO_LINK)
    year = next(year for name, year in known.values if name == "year")
    origins = [
        *[Origin(site, None, None) for site in (None, NO_LINK, often, *UNSEEN)],
        Origin(None, year, 5),
        Origin(often, year, 12),
        Origin("unseen.io", 1901, 5),  # a year of no title
    ]
    answers = ask("told", asked([""] * len(origins), origins), file)
    found = [sorted(answer["known"]) for answer in answers]
    assert found == [numbers(known, origin, tokenizer) for origin in origins]
    assert found[0] == [] and len(found[8]) == PIECES


def test_it_goes_on_as_it_was_told(made, ask):
    """What is expected first, and a headline, though the model reads something else between."""
    model, tokenizer, known, file = made
    origins = [Origin("unseen.io", 2012, 3), Origin(NO_LINK, None, None)]
    for origin, answer in zip(origins, ask("told", asked(["", ""], origins), file), strict=True):
        (row,) = known.encode([origin], tokenizer).tolist()
        ids, none = [[EOS_ID, *row]], [NOTHING] * len(row)
        with torch.no_grad():
            p = model(torch.tensor([ids]))[0, -1].softmax(-1)
            while len(ids) < model.block_size:
                following = int(model(torch.tensor([ids]))[0, -1].argmax())
                if following == EOS_ID:
                    break
                ids.append([following, *none])
        assert answer["p"] == pytest.approx(p.tolist(), abs=1e-3)
        assert answer["written"] == [i for i, *_ in ids[1:]]


@pytest.mark.parametrize("sees", [("domain",), ("time",)])
def test_what_is_not_seen_is_not_told(titles, write, ask, sees):
    config = Config("smoke", 2_000, 600, 1, 8, 1, 64, 1)
    tokenizer, known = train_tokenizer(config, titles), train_known(sees, titles)
    model = GPT(config, tokenizer.vocab_size, values=len(known.values))
    origins = [*titles.origins["val"][:20], Origin("unseen.io", None, None)]
    answers = ask("told", asked([""] * 21, origins), write(model, tokenizer, known, config))
    found = [sorted(answer["known"]) for answer in answers]
    assert found == [numbers(known, origin, tokenizer) for origin in origins]


def test_a_site_is_what_lib_takes_of_a_link(titles, write, ask):
    often = "thebolpost.co.uk"
    sites = [NO_LINK, "github.io", "null", often]
    known = Known(PARTS, [("site", site) for site in sites])
    config = Config("smoke", 2_000, 600, 1, 8, 1, 64, 1)
    tokenizer = train_tokenizer(config, titles)
    file = write(GPT(config, tokenizer.vocab_size, values=len(sites)), tokenizer, known, config)
    links = [
        *["https://www.example.com/a/b.c?d=e.f#g", "http://example.com", "https://www.com"],
        *[f"https://{often}", f"https://news.{often}:80/x", f"HTTPS://me:you@{often.upper()}."],
        *["https://someone.github.io/", "https://192.0.2.7/x", "https://münchen.de", "https://a b"],
        *["https://", "https:///x", "https://!?", "https://a_b.de", "https://😀.com"],
    ]
    expected = [site_of(link) for link in links]
    assert ask("sites", links, file) == expected
    assert ask("sites", [link.split("//", 1)[1] for link in links], file) == expected
    odd = [
        "no link",
        " No Link ",
        "",
        "  ",
        "...",
        "\x00",
        "\u202e\u202c",
        "😀" * 2_500,
        "/",
        "a, b",
    ]
    assert ask("sites", odd, file) == ["", ""] + [None] * 8
    assert ask("sites", ["a." * 2_500], file) == ["a." * 2_499 + "a"]
    origins = [Origin(site, None, None) for site in (None, *sites)]
    answers = ask("told", asked([""] * len(origins), origins), file)
    assert [a["known"] for a in answers] == [numbers(known, o, tokenizer) for o in origins]


def test_50_validation_titles_of_step_five_cost_what_they_cost_in_pytorch(smoke_book, titles, ask):
    """Within 0.01 nats per character each, and within 0.003 in the mean; its header by the run."""
    out = smoke_book[0]
    model, tokenizer = load_model(out, "smoke", STEP)
    config = Config.from_dict(read_record(out, "smoke", STEP)["config"])
    assert config.num_titles == load_preset("smoke").num_titles
    known = train_known(PARTS, titles)
    file = results(out, "smoke", f"{STEP}/model", ".bin")
    content = file.read_bytes()
    header = json.loads(content[4 : 4 + int.from_bytes(content[:4], "little")])
    values = [list(pair) for pair in known.values]
    assert header["known"] == {"sees": list(PARTS), "values": values, "pieces": PIECES}
    those, origins = titles.val[:50], titles.origins["val"][:50]
    apart, chars = [], []
    for title, origin, answer in zip(
        those, origins, ask("told", asked(those, origins), file), strict=True
    ):
        expected = losses(model, tokenizer, known, title, origin)
        apart.append(sum(answer["losses"]) - sum(expected))
        chars.append(len(title) + len("<eos>"))
    assert max(abs(a) / c for a, c in zip(apart, chars, strict=True)) < 0.01
    assert abs(sum(apart)) / sum(chars) < 0.003
