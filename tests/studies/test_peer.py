"""The best public recipe, trained beside the book's steps."""

import dataclasses

import pytest

from lib import peer
from lib.config import load_preset
from lib.data import load_titles
from lib.record import read_record, read_steps
from lib.train import train

CONFIG = load_preset("smoke").change(
    num_titles=200, vocab_size=300, n_embd=32, n_layer=1, batch_size=4, epochs=1
)
TITLES = load_titles(CONFIG, "synthetic")
TITLES = dataclasses.replace(TITLES, test=TITLES.test[:20])


def test_its_record_is_that_of_a_run_scored_on_the_test_titles(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(peer, "load_step", lambda *names: asked.append(names) or CONFIG)
    record = peer.train_peer("smoke", TITLES, tmp_path)
    assert asked == [("public_best", "smoke")]
    assert read_record(tmp_path, "public_best") == record
    assert record["losses"]["full_coverage"] == train(CONFIG, TITLES).curve[-1]["full_coverage"]
    assert record["losses"]["test"] > 0
    with pytest.raises(FileNotFoundError):
        read_steps(tmp_path)  # it is none of the book's steps

    capsys.readouterr()
    again = peer.train_peer("smoke", TITLES, tmp_path)
    assert "Trained before" in capsys.readouterr().out
    assert again["losses"] == record["losses"]
    peer.train_peer("smoke", TITLES, tmp_path, fresh=True)
    assert "Trained before" not in capsys.readouterr().out
