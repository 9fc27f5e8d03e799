"""What the widget's tests share: Node asked as `harness.mjs` tells, and models to ask about."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from lib.export import write_model

HARNESS = Path(__file__).parent / "harness.mjs"


@pytest.fixture(scope="session")
def ask():
    """`ask(what, questions, model)` answers a list, an answer for each of the questions."""
    if shutil.which("node") is None:
        pytest.fail("Node is not installed")

    def answer(what, questions, model=None):
        command = ["node", str(HARNESS), what, *([str(model)] if model else [])]
        given = json.dumps(questions)
        run = subprocess.run(
            command, input=given, capture_output=True, text=True, encoding="utf-8", timeout=300
        )
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    return answer


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """`written(model, tokenizer, config)` answers the file that a browser would load."""

    def write(model, tokenizer, config):
        out = tmp_path_factory.mktemp("models")
        record = {"step": "01", "preset": "smoke", "weights": "0" * 64, "config": config.as_dict()}
        assert write_model(out, model, tokenizer, record)
        return out / "results" / "smoke" / "01" / "model.bin"

    return write
