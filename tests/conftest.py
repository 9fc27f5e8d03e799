"""What the tests share: a book executed on the smoke preset, once for all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def smoke_book(tmp_path_factory):
    """The folder of a book run on `smoke` through the command line, and what it printed."""
    out = tmp_path_factory.mktemp("book")
    command = [sys.executable, "-m", "lib", "run", "--preset", "smoke", "--out", str(out)]
    environment = {k: v for k, v in os.environ.items() if k != "HN_STORIES"}
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=540
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return out, run.stdout
