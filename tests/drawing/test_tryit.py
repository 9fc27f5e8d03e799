"""The widget in a notebook: what it is told of the models, and what the kernel answers."""

import hashlib

from drawing.tryit import TryIt
from lib.record import read_record, read_steps


def test_a_notebook_offers_every_model_of_its_run_and_sends_what_is_asked(smoke_book, monkeypatch):
    out = smoke_book[0]
    records = read_steps(out, "smoke")
    widget, sent = TryIt(out, records), []
    monkeypatch.setattr(
        widget, "send", lambda message, buffers=None: sent.append((message, buffers))
    )
    records = [record for record in records if "counted" not in record]  # not for a browser
    assert [step["step"] for step in widget.steps] == [record["step"] for record in records]
    assert len(widget.titles) == 4
    assert repr(widget).endswith(f"{', '.join(record['title'] for record in records)}.")
    for step in widget.steps:
        widget._answer(widget, {"step": step["step"]}, [])
        message, (content,) = sent.pop()
        assert message == {"step": step["step"]} and len(content) == step["bytes"]
        assert hashlib.sha256(content).hexdigest() == step["sha256"]
    widget._answer(widget, {"step": "../secret"}, [])
    assert sent.pop() == ({"step": "../secret"}, [])


def test_a_model_that_sees_more_than_titles_is_marked(smoke_book):
    out = smoke_book[0]
    records = [*read_steps(out, "smoke"), read_record(out, "smoke", "06_context")]
    steps = TryIt(out, records).steps
    names = [record["step"] for record in records if record["step"] != "05_counting"]
    assert [step["step"] for step in steps] == names  # what counts has no model for a browser
    assert steps[-1]["mark"] == "sees domain and time, not ranked"
    assert not any("mark" in step for step in steps[:-1])


def test_a_notebook_that_was_run_keeps_what_it_says_and_no_widget(smoke_book):
    """Whose kernel is gone: a page that shows the notebook has the text alone."""
    text = (smoke_book[0] / "notebooks" / "results.ipynb").read_text("utf-8")
    assert "Models to try" in text and "widget-view" not in text


def test_a_run_without_models_says_so(smoke_book, tmp_path):
    widget = TryIt(tmp_path, read_steps(smoke_book[0], "smoke"))
    assert widget.steps == [] and repr(widget).startswith("There is nothing to try")
