"""After a change to a line of `lib`, a second run does not return the old code's numbers."""

import multiprocessing
import re
import shutil

import pytest

from lib.identity import code_of, modules

from ..conftest import ROOT
from .rerun import rerun

# Each module that a run's numbers depend on: code in it, its replacement, what is then refused.
LINES = {
    "batches": ("step % self.before_start", "(step + 1) % self.before_start", "code.batches"),
    "casing": ("rest.upper() if", "rest.lower() if", "code.casing"),
    "compare": ("r[key] == records", "r[key] is records", "code.compare"),
    "counts": ("ORDER = 5", "ORDER = 4", "code.counts"),
    "config": ("val_frac: float = 0.10", "val_frac: float = 0.11", "config.val_frac"),
    "data": ("SPLIT_SEED = 1337", "SPLIT_SEED = 1338", "titles"),
    "evaluate": ("AT_ONCE = 2048, 256", "AT_ONCE = 2048, 128", "code.evaluate"),
    "model": ("nn.GELU()", "nn.ReLU()", "code.model"),
    "optim": ("weight_decay=config.weight_decay\n", "weight_decay=0.1\n", "code.optim"),
    "predictions": ("found = sorted(found", "found = list(found", "code.predictions"),
    "device": ('return precision == "bf16"', 'return precision != "fp32"', "code.device"),
    "details": ("HEADLINES, SAMPLES = 4, 10", "HEADLINES, SAMPLES = 4, 9", "code.details"),
    "record": ("math.fsum(nats)", "2 * math.fsum(nats)", "code.record"),
    "steps": ('"learning_rate": 5e-4', '"learning_rate": 6e-4', "config.learning_rate"),
    "synthetic": ("SEED = 20_071_009", "SEED = 20_071_008", "stories.sha256"),
    "tokenizer": ("max_sentence_length=1 << 20", "max_sentence_length=9", "code.tokenizer"),
    "train": ("step % every == 0", "step % every == 1", "code.train"),
    "watch": ("mean().item()", "sum().item()", "code.watch"),
    "objective": ("passes * counted.sum()", "counted.sum()", "code.objective"),
    "dropout": ("LEVELS = 1 << 16", "LEVELS = 1 << 15", "code.dropout"),
}
RUN = {"model", "objective"}  # the others whose code is compared are refused in the same way


def test_every_module_that_is_compared_is_changed_here():
    assert modules().keys() <= LINES.keys()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A copy of `lib`, a run that it finished, and a function that runs it again."""
    context = multiprocessing.get_context("forkserver")
    home, answers = tmp_path_factory.mktemp("home"), context.Queue()
    shutil.copytree(ROOT / "lib", home / "lib", ignore=shutil.ignore_patterns("__pycache__"))

    def again():
        process = context.Process(target=rerun, args=(home, home / "runs", answers))
        process.start()
        answer = answers.get(timeout=120)
        process.join()
        return answer

    assert again() == "resumed after 0"
    assert re.fullmatch(r"resumed after [1-9]\d*", again())
    return home, again


@pytest.mark.parametrize("name", sorted(LINES))
def test_a_line_that_was_changed_is_noticed(trained, name):
    home, again = trained
    old, new, said = LINES[name]
    path = home / "lib" / f"{name}.py"
    source = path.read_text("utf-8")
    assert source.count(old) == 1
    if said.startswith("code.") and name not in RUN:
        assert said == f"code.{name}" and modules()[name] == code_of(source)
        assert code_of(source.replace(old, new)) != code_of(source)
        return
    path.write_text(source.replace(old, new), "utf-8")
    try:
        assert f"its {said} is " in again()
    finally:
        path.write_text(source, "utf-8")
