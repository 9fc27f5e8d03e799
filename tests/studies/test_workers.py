"""Six runs on two workers, one of which is killed midway: the same records, each of them once.

These tests start processes, and a Ray cluster of two machines that are both this one, on loopback.
`make test` leaves them out; `make workers` runs them.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from book import __main__ as command_line
from lib.files import results
from studies import seeds
from studies.processes import Processes
from studies.runs import identity_of

from .small import CONFIG, TITLES

pytestmark = pytest.mark.workers

RATES = {"01_baseline": 5e-4, "02_adamw": 5e-3}
SEEDS = (1337, 1338, 1339)
LOST = "01_baseline-1338"
HEAD, OTHER = "127.0.0.2", "127.0.0.3"  # Ray would take 127.0.0.1 for an address that others reach


@pytest.fixture(scope="module", autouse=True)
def small():
    """Steps that train for a second or two, long enough to be stopped in the middle."""
    with pytest.MonkeyPatch.context() as patch:
        settings = {
            step: CONFIG.change(learning_rate=rate, epochs=8) for step, rate in RATES.items()
        }
        patch.setattr(seeds, "load_step", lambda step, _: settings[step])
        patch.setattr(command_line, "resolve_stories", lambda *_: (None, TITLES))
        yield


def train(out, *flags):
    """The records of six runs by the command, without when they were made, and by which commit."""
    steps = [word for step in RATES for word in ("--step", step)]
    command = ["seeds", "--preset", "smoke", "--seeds", "3", "--out", str(out), *steps, *flags]
    assert command_line.main(command) == 0
    found = {step: seeds.read_seeds(out, step, "smoke") for step in RATES}
    for record in found.values():
        record["created"] = record["environment"]["commit"] = None
    return found


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory, small):
    """The folder of the six runs one after another, and what they come to."""
    out = tmp_path_factory.mktemp("in_turn")
    return out, train(out)


def kill_in_the_middle(out, killed):
    """Kill the process that trains LOST as soon as it has left a checkpoint."""
    folder = out / "_build" / "seeds-smoke" / LOST
    until = time.monotonic() + 240
    while time.monotonic() < until:
        if (folder / "log.jsonl").exists() and (folder / ".held-by").exists():
            try:
                pid = int((folder / ".held-by").read_text("utf-8").split()[1])
            except (FileNotFoundError, IndexError):  # just then it is written, or gone
                continue
            assert pid != os.getpid()
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
            return
        time.sleep(0.01)


@pytest.fixture
def cluster(monkeypatch):
    """The address of a Ray cluster of two machines with a core each, for whom has its token."""
    address = f"{HEAD}:{_free_port()}"
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", uuid.uuid4().hex * 2)
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1"]
    ray += ["--object-store-memory=100000000"]
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # a short path, for its sockets
        head = ["--head", f"--node-ip-address={HEAD}", f"--port={address.split(':')[1]}"]
        head += ["--disable-usage-stats", "--include-dashboard=false", f"--temp-dir={folder}"]
        started, log = [], Path(folder) / "said.txt"
        try:
            for more in (head, [f"--address={address}", f"--node-ip-address={OTHER}"]):
                started.append(_started([*ray, *more], log))
            yield address
        finally:
            for process in reversed(started):
                process.terminate()  # and with it what it has started
            for process in started:
                process.wait(600)


def _started(command, log):
    """The process of a machine of the cluster. Ray gives up after 30 s, which may be too early."""
    for _ in range(4):
        with open(log, "w") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file)
        while process.poll() is None:
            if "Ray runtime started" in log.read_text("utf-8"):
                return process
            time.sleep(0.1)
    raise AssertionError(log.read_text("utf-8"))


def _free_port():
    with socket.socket() as free:
        free.bind((HEAD, 0))
        return free.getsockname()[1]


def check_six_of_two(tmp_path, in_turn, capsys, *flags):
    (own, expected), killed = in_turn, []
    killer = threading.Thread(target=kill_in_the_middle, args=(tmp_path, killed))
    killer.start()
    found = train(tmp_path, *flags)
    killer.join()
    told = capsys.readouterr().out
    assert killed, told
    assert found == expected
    for step in RATES:
        for seed in SEEDS:
            (line,) = re.findall(rf"(?m)^{step} +seed {seed} \d.*$", told)
            assert ("Went on after" in line) == (f"{step}-{seed}" == LOST), told
    assert told.count("is tried again: its ") == 1
    assert f"{LOST.split('-')[0]:<16} seed 1338 is tried again: its " in told
    assert re.search(r"(?m)^0 done, 2 running, 4 waiting; ", told)
    assert re.search(r"(?m)^5 done, 1 running, 0 waiting; about \d+ s left$", told)
    processes = set()
    for step in RATES:
        for seed in SEEDS:
            folder = tmp_path / "_build" / "seeds-smoke" / f"{step}-{seed}"
            points = (folder / "log.jsonl").read_bytes()
            assert points == (own / "_build/seeds-smoke" / folder.name / "log.jsonl").read_bytes()
            processes |= set(
                re.findall(r"process (\d+)", (folder / "worker.log").read_text("utf-8"))
            )
    assert len(processes) >= 3 and str(killed[0]) in processes  # two, and who took its place
    there = sorted(path.name for path in results(tmp_path, "smoke", "seeds/x").parent.iterdir())
    assert there == ["01_baseline.json", "02_adamw.json", "differences.json"]


def test_two_workers_on_this_machine(tmp_path, in_turn, capsys):
    check_six_of_two(tmp_path, in_turn, capsys, "--workers", "2")
    # The same command again finds all done, one after another as well.
    assert train(tmp_path) == in_turn[1]
    assert capsys.readouterr().out.count("Trained before.") == 6


def test_two_workers_of_a_ray_cluster(tmp_path, in_turn, capsys, cluster):
    check_six_of_two(tmp_path, in_turn, capsys, "--ray", cluster)
    assert train(tmp_path) == in_turn[1]
    assert capsys.readouterr().out.count("Trained before.") == 6


def test_a_worker_has_its_threads_before_pytorch_is_imported(monkeypatch):
    import torch

    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    with closing(Processes(2)) as workers:
        worker = workers._new(0)
        environment, until = [b""], time.monotonic() + 20
        while environment == [b""] and time.monotonic() < until:  # it is only just there
            environment = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
        workers._end(worker)
        assert b"OMP_NUM_THREADS=3" in environment
        assert identity_of(CONFIG, TITLES, workers)["threads"] == 3


def test_workers_end_with_the_process_that_has_asked():
    code = (
        "import os, time; from studies.processes import Processes; p = Processes(1); "
        "print(p._new(0).pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until = time.monotonic() + 600
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until
        time.sleep(0.1)
