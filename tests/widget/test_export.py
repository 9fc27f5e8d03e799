"""The file that a run leaves for the browser: what is in it, when none is left, its command."""

import hashlib
import json
import re

import numpy as np
import pytest
import torch

from book.__main__ import main
from lib.config import Config
from lib.data import Titles
from lib.export import in_8_bits, write_model
from lib.files import write_json
from lib.model import GPT, rope
from lib.record import read_record
from lib.steps import STEPS
from lib.synthetic import synthetic_titles
from lib.tokenizer import Tokenizer, train_tokenizer

COUNTS = "05_counting"  # its tables hold the training titles


def make(**changes):
    settings = {"tokenizer": "sp_bpe", "position": "rope", **changes}
    config = Config("smoke", 2_000, 600, 1, 16, 2, 8, 1, **settings)
    tokenizer = train_tokenizer(config, Titles(synthetic_titles()[:600], [], [], {}))
    torch.manual_seed(0)
    record = {"step": "01", "preset": "smoke", "weights": "0" * 64, "config": config.as_dict()}
    return config, tokenizer, record


def header_of(path):
    content = path.read_bytes()
    length = int.from_bytes(content[:4], "little")
    assert (4 + length) % 16 == 0
    return json.loads(content[4 : 4 + length]), content[4 + length :]


def test_8_bits_are_within_half_a_step_of_a_rows_largest_number():
    torch.manual_seed(0)
    matrix = torch.randn(30, 50) * torch.logspace(-4, 3, 30)[:, None]
    matrix[7] = 0
    numbers, scales = in_8_bits(matrix)
    assert numbers.dtype == np.int8 and scales.dtype == np.float32
    steps = matrix.abs().amax(1) / 127
    assert ((torch.from_numpy(numbers * scales[:, None]) - matrix).abs().amax(1)
            <= 0.501 * steps).all()  # fmt: skip
    assert (np.abs(numbers).max(1) == np.where(np.arange(30) == 7, 0, 127)).all()


def test_every_number_is_where_the_header_says(tmp_path):
    config, tokenizer, record = make(gate="head", layer_scale=0.1)
    model = GPT(config, tokenizer.vocab_size)
    assert write_model(tmp_path, model, tokenizer, record)
    header, content = header_of(tmp_path / "results/smoke/01/model.bin")
    state = model.state_dict()
    assert [t["name"] for t in header["tensors"]] == [n for n in state if n != "head.weight"]
    for tensor in header["tensors"]:
        own, at = state[tensor["name"]], tensor["at"]
        assert tensor["shape"] == list(own.shape) and at % 16 == 0
        if own.dim() == 1:
            found = np.frombuffer(content, "<f4", own.numel(), at)
            assert (found == own.numpy()).all()
            continue
        rows = np.frombuffer(content, "<f4", len(own), tensor["scales"])
        numbers = np.frombuffer(content, np.int8, own.numel(), at).reshape(own.shape)
        assert np.allclose(numbers * rows[:, None], own, atol=own.abs().max().item() / 250)
    assert header["weights"] == record["weights"] and header["window"] == config.window


def test_a_model_is_the_same_bytes_again(tmp_path):
    config, tokenizer, record = make()
    model, path = GPT(config, tokenizer.vocab_size), tmp_path / "results/smoke/01/model.bin"
    write_model(tmp_path, model, tokenizer, record)
    before = path.read_bytes()
    write_model(tmp_path, model, tokenizer, record)
    assert path.read_bytes() == before


def test_a_notebooks_own_tokenizer_is_not_one_that_the_page_knows(tmp_path, capsys):
    class Lowercasing(Tokenizer):
        pass

    config, tokenizer, record = make()
    own, model = Lowercasing(tokenizer.kind, tokenizer.state), GPT(config, tokenizer.vocab_size)
    assert not write_model(tmp_path, model, own, record)
    assert "its tokenizer is a notebook's own, Lowercasing" in capsys.readouterr().out


def test_the_command_writes_no_model_of_what_its_notebook_brought(tmp_path, capsys, monkeypatch):
    """Its weights do not have it: what is read back is another model."""
    config, tokenizer, record = make()
    record["identity"] = {"notebook": {"rotate": "0" * 16, "get_optimizer": "1" * 16}}
    weights = tmp_path / "results/smoke/01.pt"
    weights.parent.mkdir(parents=True)
    weights.touch()
    model = GPT(config, tokenizer.vocab_size)
    monkeypatch.setattr("lib.record.load_model", lambda *_: (model, tokenizer))
    monkeypatch.setattr("lib.record.read_record", lambda *_: record)
    written = tmp_path / "results/smoke/01/model.bin"
    for brought, there in ({"rotate"}, False), ({"get_optimizer"}, True), ({"tokenizer"}, True):
        record["identity"]["notebook"] = dict.fromkeys(brought, "0" * 16)
        assert main(["export", "--preset", "smoke", "--out", str(tmp_path)]) == 0
        assert written.exists() == there
    assert "its notebook brings its rotate" in capsys.readouterr().out


@pytest.mark.parametrize("shown", [True, False])
def test_the_command_gives_the_book_the_model_of_the_run_that_it_shows(
    tmp_path, capsys, monkeypatch, shown
):
    config, tokenizer, record = make()
    record["identity"] = {"notebook": {}}
    run, book = tmp_path / "_build/publish-smoke", tmp_path
    weights = run / "results/smoke/01.pt"
    weights.parent.mkdir(parents=True)
    weights.touch()
    model = GPT(config, tokenizer.vocab_size)
    published = record | ({} if shown else {"weights": "1" * 64})
    write_json(book / "results/smoke/01.json", published)
    monkeypatch.setattr("book.export.BOOK", book)
    monkeypatch.setattr("lib.record.load_model", lambda *_: (model, tokenizer))
    monkeypatch.setattr("lib.record.read_record", lambda *_: record)
    assert main(["export", "--preset", "smoke"]) == 0
    assert (run / "results/smoke/01/model.bin").exists()
    assert (book / "results/smoke/01/model.bin").exists() == shown
    assert ("the book shows another run" in capsys.readouterr().out) != shown
    weights.unlink()
    assert main(["export", "--preset", "smoke"]) == 1
    assert "_build/publish-smoke/results/smoke: run the steps first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "rotate", "why"),
    [
        ({"tokenizer": "sp_unigram"}, rope, "its tokenizer is 'sp_unigram'"),
        ({}, lambda x: rope(x, base=500.0), "its positions are not those of lib.model.rope"),
    ],
)
def test_what_the_page_cannot_run_is_not_left_there(tmp_path, capsys, changes, rotate, why):
    config, tokenizer, record = make(**changes)
    path = tmp_path / "results/smoke/01/model.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"of a run before")
    model = GPT(config, tokenizer.vocab_size, rotate)
    assert not write_model(tmp_path, model, tokenizer, record)
    assert not path.exists()
    assert f"01 cannot be tried in a browser: {why}" in capsys.readouterr().out


def test_a_notebooks_own_rope_is_libs(tmp_path):
    """Step two brings it: a function of another name, and of the same numbers."""
    config, tokenizer, record = make()
    model = GPT(config, tokenizer.vocab_size, lambda x: rope(x.double()).float())
    assert write_model(tmp_path, model, tokenizer, record)


def test_every_step_of_a_book_leaves_its_model_and_the_command_writes_the_same(smoke_book, capsys):
    out = smoke_book[0]
    names = [*(step for step in STEPS if step != COUNTS), "06_context"]
    assert not (out / "results" / "smoke" / COUNTS / "model.bin").exists()
    paths = {step: out / "results" / "smoke" / step / "model.bin" for step in names}
    digests = {step: hashlib.sha256(p.read_bytes()).hexdigest() for step, p in paths.items()}
    for step, path in paths.items():
        assert header_of(path)[0]["weights"] == read_record(out, "smoke", step)["weights"]
    assert not list((out / "results" / "smoke").glob("[!0]*/**/model.bin"))  # of arms, none
    assert main(["export", "--preset", "smoke", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"{COUNTS} cannot be tried in a browser" in said
    assert re.findall(r"results/smoke/(\w+)/model\.bin", said) == names
    assert digests == {s: hashlib.sha256(p.read_bytes()).hexdigest() for s, p in paths.items()}
