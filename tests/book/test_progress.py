"""What a long run says while it goes on, and what stops it before it begins."""

import json
import os
import sys
import time

import pytest

import book.run
from book import progress
from lib.files import last_line, write_text


def leave(out, run, *points):
    """Leave the log of a run as training does, a line an evaluation."""
    lines = "".join(json.dumps({"epoch": e, "full_coverage": loss}) + "\n" for e, loss in points)
    write_text(out / "runs" / run / "log.jsonl", lines)


def told_while(monkeypatch, capsys, out, tty=True):
    monkeypatch.setattr(progress, "EVERY", 0.01)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: tty, raising=False)
    with progress.progress("02_adamw", out):
        leave(out, "02_adamw", (0.1, 2.5), (1.25, 1.8126))
        told, until = "", time.monotonic() + (60 if tty else 0.3)
        while "loss" not in told and time.monotonic() < until:
            time.sleep(0.01)
            told += capsys.readouterr().out
    return told + capsys.readouterr().out


def test_the_line_of_a_notebook_says_how_far_its_training_is(monkeypatch, capsys, tmp_path):
    leave(tmp_path, "01_baseline", (7.0, 9.9))  # of before: it says nothing of this one
    told = told_while(monkeypatch, capsys, tmp_path)
    assert "\r02_adamw         epoch 1.2, loss 1.813" in told and "9.9" not in told
    assert told.endswith("\r02_adamw         ")  # and the time comes after the name


def test_a_log_that_is_being_written_is_read_later(monkeypatch, capsys, tmp_path):
    leave(tmp_path, "02_adamw", (1.0, 2.0))
    log = tmp_path / "runs" / "02_adamw" / "log.jsonl"
    log.write_text('{"epoch": 1')
    os.utime(log, ns=(0, 0))  # what follows has another time, however coarse a file system's are
    assert last_line(log) is None
    assert "loss 1.813" in told_while(monkeypatch, capsys, tmp_path)


def test_where_nobody_looks_nothing_is_said(monkeypatch, capsys, tmp_path):
    assert told_while(monkeypatch, capsys, tmp_path, tty=False) == ""


def test_the_vocabulary_of_every_step_is_tried_before_the_first_one_trains(tmp_path, monkeypatch):
    """Titles of three words give the baseline no 2,000 tokens; and step two wants more yet."""
    few = tmp_path / "few.txt"
    few.write_text("".join(f"word {n % 7} again\n" for n in range(6000)), encoding="utf-8")
    monkeypatch.setattr(book.run, "_update", lambda *_: pytest.fail("a notebook was executed"))
    with pytest.raises(ValueError, match="A vocabulary of 2,000 tokens is larger than these"):
        book.run.run("tiny", str(few), tmp_path / "out")
