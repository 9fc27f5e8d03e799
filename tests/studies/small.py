"""What the tests of studies train: a run of a second, of the smallest model and some titles."""

import dataclasses
import multiprocessing
import sys
import time

import torch

from lib.config import load_preset
from lib.data import load_titles

CONFIG = load_preset("smoke", optimizer="adamw", learning_rate=5e-4, betas=(0.9, 0.95)).change(
    num_titles=200, vocab_size=300, n_embd=32, n_layer=1, batch_size=4, epochs=1
)
TITLES = load_titles(CONFIG, "synthetic")
TITLES = dataclasses.replace(TITLES, test=TITLES.test[:20])
CONTEXT = multiprocessing.get_context("forkserver")


def start(printed, function, *arguments):
    """Call `function` in a process of its own, which prints to the file `printed`; return it."""
    process = CONTEXT.Process(target=_work, args=(printed, function, *arguments))
    process.start()
    return process


def wait_until_it_waits(process, printed):
    """Wait until a process that was started says that it waits for another."""
    deadline = time.monotonic() + 600
    while "is held by process" not in (printed.read_text("utf-8") if printed.exists() else ""):
        assert time.monotonic() < deadline and process.is_alive(), "it does not wait"
        time.sleep(0.05)


def _work(printed, function, *arguments):
    torch.set_num_threads(1)
    with open(printed, "w", encoding="utf-8") as sys.stdout:
        function(*arguments)
        sys.stdout.flush()


def other_code(monkeypatch, *modules):
    """Make it seem as if a line of the model had been changed since."""
    from lib import identity

    code = {**identity.modules(), "model": "0" * 16}
    for module in (identity, *modules):
        monkeypatch.setattr(module, "modules", lambda: code)
