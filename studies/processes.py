"""Workers on this machine: several processes at once, without any library.

- The cores are divided among the workers, as PyTorch threads. If there are several GPUs, each
  worker sees one of them.
- A worker's environment variables are set before it imports PyTorch. It trains one run after
  another, and ends when this process does, however that ends.
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

from .worker import Died


@dataclass(eq=False)
class _Started:
    """A run that a worker is at; what it comes to is written to `path`."""

    number: int
    process: subprocess.Popen
    path: Path


class Processes:
    """`count` workers at once on this machine. Close it when all is done."""

    def __init__(self, count: int):
        if count < 1:
            raise ValueError(f"{count} workers train nothing; ask for at least 1.")
        self.threads = max(1, torch.get_num_threads() // count)
        self.shared = True  # a worker sees every folder of this process
        self._count, self._gpus = count, _gpus()
        self._free, self._workers, self._asked = list(range(count)), {}, 0
        self._scratch = tempfile.TemporaryDirectory(prefix="seven-epochs-")
        self._folder = Path(self._scratch.name)

    def slots(self) -> int:
        """Return how many runs are trained at once."""
        return self._count

    def start(self, job: dict, titles: Titles, sent=()) -> _Started:
        """Start a worker on `job` (see `studies.worker`) and return a handle to it."""
        number, self._asked = self._free.pop(0), self._asked + 1
        if number not in self._workers:
            self._workers[number] = self._new(number)
        stories = self._folder / f"titles-{job['version']['stories']}.json"
        if not stories.exists():
            write_json(stories, vars(titles))
        started = _Started(number, self._workers[number], self._folder / f"{self._asked}.json")
        paths = {"titles": str(stories), "outcome": str(started.path)}
        try:
            started.process.stdin.write(json.dumps({"job": job, **paths}) + "\n")
            started.process.stdin.flush()
        except OSError:
            pass  # it died meanwhile, which is seen where it is waited for
        return started

    def finished(self, started: list, seconds: float) -> list:
        """Return those of `started` that have ended; wait for one of them, `seconds` at most."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if ended := [s for s in started if s.path.exists() or s.process.poll() is not None]:
                return ended
            time.sleep(0.05)
        return []

    def outcome(self, ended: _Started) -> dict:
        """Return the outcome of a worker's `work`. Raises Died if it did not live to report one."""
        self._free.append(ended.number)
        if ended.path.exists():
            return json.loads(ended.path.read_text("utf-8"))
        del self._workers[ended.number]
        said = self._said(ended.number).read_text("utf-8").splitlines()[-1:]
        raise Died(", ".join([f"its worker {_cause(ended.process.returncode)}", *said]))

    def stop(self, started: list) -> None:
        """End the workers in `started`, whose runs continue from their checkpoints another time."""
        for one in started:
            self._free.append(one.number)
            self._end(self._workers.pop(one.number))

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers.values():
            self._end(worker)
        self._scratch.cleanup()

    def _new(self, number):
        paths = [str(BOOK), *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(self.threads)}
        if self._gpus:
            own["CUDA_VISIBLE_DEVICES"] = self._gpus[number % len(self._gpus)]
        with open(self._said(number), "wb") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "studies.worker"],
                stdin=subprocess.PIPE,  # the jobs, a line each; where it ends, so does the worker
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **own},
                text=True,
            )

    def _said(self, number):
        """Where a worker's own words go, which belong to no run."""
        return self._folder / f"worker-{number}.txt"

    def _end(self, worker):
        worker.kill()
        worker.wait()
        worker.stdin.close()


def _gpus():
    """The names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them."""
    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return (named or [str(i) for i in range(count)])[:count]


def _cause(code):
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
