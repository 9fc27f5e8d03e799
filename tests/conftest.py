"""What the tests share: above all, a book that is executed only once, on the smoke preset.

`make test` spreads the test files over several processes; the browser's tests are split in two, by
the book that they look at. Those on the smoke book start first, and wait until it is there; the
other tests that read it come last, and find it there.
"""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parent.parent
IN_PARALLEL = "PYTEST_XDIST_WORKER" in os.environ

if IN_PARALLEL:  # before PyTorch is imported: a core for each process
    os.environ["OMP_NUM_THREADS"] = "1"

# What a reader's shell, Git or hook sets is no part of the book.
OTHERS = ("BASE_URL", "SITE_URL", "HOST", "FORCE_COLOR", "PYTHONDEVMODE", "PYTHONWARNINGS")
OTHERS += ("PYTHONDONTWRITEBYTECODE",)  # else each process of the tests compiles PyTorch again
for variable in [v for v in os.environ if v in OTHERS or (v.startswith("GIT_") and "SSL" not in v)]:
    del os.environ[variable]
os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

# What the tests' own processes are forked from has imported what they need, once for all.
FORKED = ("lib.train", "tests.lib.test_train", "studies.search", "tests.studies.small")
SLOW = ("torch._dynamo", "pyarrow.parquet", "sentencepiece", "tokenizers")  # at first use
multiprocessing.get_context("forkserver").set_forkserver_preload([*FORKED, *SLOW])

# The same examples each time, however long they take where other work shares the cores.
settings.register_profile(
    "book",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("book")


def pytest_collection_modifyitems(items):
    """Put the browser's tests on the smoke book first, and the other readers of it last."""

    def place(item):
        if item.path.name == "test_browser.py":
            return 0 if "[book" in item.nodeid else 1
        return 2 if item.path in readers else 1

    asks = Path("site", "test_tryit.py")  # in one of its two themes only
    reads = [i for i in items if "smoke_book" in i.fixturenames or i.path.match(str(asks))]
    readers = {item.path for item in reads}
    items.sort(key=place)


class BookByBook(LoadScopeScheduling):
    """Hand out the tests a file at a time, those on the browser's sample apart from the others."""

    def _split_scope(self, nodeid):
        return nodeid.split("::")[0], "[sample" in nodeid


def pytest_xdist_make_scheduler(config, log):
    return BookByBook(config, log)


@pytest.fixture(scope="module")
def one_thread():
    """Models as small as these train no faster on two threads, and far slower beside others."""
    import torch  # not before OMP_NUM_THREADS is set

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def smoke_book(tmp_path_factory):
    """The folder of a book run on `smoke` through the command line, and what it printed."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if IN_PARALLEL else base
    out, printed = base / "book", base / "book.txt"
    with FileLock(base / "book.lock"):
        if not printed.exists():
            command = [sys.executable, "-m", "book", "run", "--preset", "smoke", "--out", str(out)]
            environment = {k: v for k, v in os.environ.items() if k != "HN_STORIES"}
            run = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800
            )
            assert run.returncode == 0, run.stdout + run.stderr
            printed.write_text(run.stdout, "utf-8")
    return out, printed.read_text("utf-8")
