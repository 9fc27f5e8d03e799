"""Workers on this machine: a process for each run, several at once, and no library for it.

- The cores are shared out among the workers, as threads of PyTorch; where there are several GPUs,
  each worker sees one of them.
- A worker has its variables in its environment before PyTorch is imported there.
- It ends when this process does, however that ends.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from lib.data import Titles
from lib.files import BOOK, write_json

from .worker import LOG, Died


class Processes:
    """`count` workers at once on this machine. Close it when all is done."""

    def __init__(self, count: int):
        if count < 1:
            raise ValueError(f"{count} workers train nothing; ask for at least 1.")
        self.threads = max(1, torch.get_num_threads() // count)
        self.shared = True  # a worker sees every folder of this process
        self._gpus, self._free = _gpus(), list(range(count))
        self._count, self._made = count, 0
        self._scratch = tempfile.TemporaryDirectory(prefix="seven-epochs-")

    def slots(self) -> int:
        """Return how many runs are trained at once."""
        return self._count

    def start(self, job: dict, titles: Titles, sent=()) -> "_Started":
        """Start a worker on `job`, as `studies.worker` has it; return a handle of it."""
        number, self._made = self._free.pop(0), self._made + 1
        scratch = Path(self._scratch.name)
        job_path, outcome = scratch / f"{self._made}.job", scratch / f"{self._made}.outcome"
        write_json(job_path, job)
        log = Path(job["folder"] or scratch) / LOG
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "studies.worker",
            job_path,
            self._kept(job, titles),
            outcome,
        ]
        with open(log, "ab") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # it ends where this does
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self._environment(number),
            )
        return _Started(process, number, outcome, log)

    def finished(self, started: list, seconds: float) -> list:
        """Return those of `started` that have ended; wait for one of them, `seconds` at most."""
        until = time.monotonic() + seconds
        while not (ended := [one for one in started if one.process.poll() is not None]):
            if time.monotonic() > until:
                break
            time.sleep(0.05)
        return ended

    def outcome(self, ended: "_Started") -> dict:
        """Return what a worker's `work` came to. Raises Died where it did not live to say so."""
        self._end(ended)
        if code := ended.process.returncode:
            raise Died(
                f"its process {_cause(code)}; what it said is in {os.path.relpath(ended.log)}"
            )
        return json.loads(ended.path.read_text("utf-8"))

    def stop(self, started: list) -> None:
        """End the workers in `started`, whose runs continue from their checkpoints another time."""
        for one in started:
            one.process.kill()
        for one in started:
            one.process.wait()
            self._end(one)

    def close(self) -> None:
        """Remove what was kept for the workers."""
        self._scratch.cleanup()

    def _end(self, one):
        one.process.stdin.close()
        self._free.append(one.number)

    def _kept(self, job, titles):
        """The file that holds `titles` for all workers, named by their digest."""
        path = Path(self._scratch.name) / f"titles-{job['version']['stories']}.json"
        if not path.exists():
            write_json(path, vars(titles))
        return path

    def _environment(self, number):
        paths = [str(BOOK), *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(self.threads)}
        if self._gpus:
            own["CUDA_VISIBLE_DEVICES"] = self._gpus[number % len(self._gpus)]
        return {**os.environ, **own}


@dataclass(eq=False)
class _Started:
    process: subprocess.Popen
    number: int
    path: Path
    log: Path


def _gpus():
    """The names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them."""
    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return (named or [str(i) for i in range(count)])[:count]


def _cause(code):
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
