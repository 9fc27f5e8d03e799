"""Workers on many machines, with Ray. Nothing else in the studies needs Ray.

- A run asks for one GPU if the cluster has any, otherwise for one core per thread.
- Ray finds a machine for the run and sends it the stories, once per machine. A machine that does
  not see the run's folder also gets the checkpoint that the run continues from.
- Ray notices when a machine or a process is lost.
"""

import os
import socket

import torch

from lib.data import Titles

from .worker import Died, work


class Cluster:
    """The workers of the Ray cluster at `address`, each with 1/`share` of PyTorch's threads here.

    `environment` holds further environment variables for their processes. Close it when all is
    done.

    Raises ValueError if Ray is not installed or `share` is below 1, ConnectionError if no cluster
    answers.
    """

    def __init__(self, address: str, share: int = 1, environment: dict | None = None):
        if share < 1:
            raise ValueError(f"{share} workers train nothing; ask for at least 1.")
        _refuse_closed(address)
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray is imported
        try:
            import ray
        except ModuleNotFoundError as error:
            raise ValueError(
                f"{error}. Run `pip install -r requirements-cluster.txt` first."
            ) from error
        self.threads = max(1, torch.get_num_threads() // share)
        self.shared = False  # a worker may not see a folder of this process
        self._ray, self._kept = ray, {}
        variables = {**(environment or {}), "OMP_NUM_THREADS": str(self.threads)}
        try:
            ray.init(
                address,
                log_to_driver=False,
                logging_level="error",
                runtime_env={"env_vars": variables},
            )
        except (ConnectionError, RuntimeError) as error:
            raise ConnectionError(_none_at(address, error)) from error
        self._gpus = bool(self._machines()[0])  # where they are lost, a run waits for others
        # A process keeps the first GPU that it uses, even if its next run is given another. So each
        # process trains one run.
        self._work = ray.remote(max_retries=0, max_calls=int(self._gpus))(_work)

    def slots(self) -> int:
        """Return how many runs the machines have room for that are there now."""
        gpus, rooms = self._machines()
        return gpus if self._gpus else sum(int(cores) // self.threads for cores in rooms)

    def start(self, job: dict, titles: Titles, sent=()):
        """Start a worker on `job` (see `studies.worker`) and return a handle to it.

        `sent` holds the files that the run continues from; they are fetched only where they are
        needed. Raises ValueError if no machine has room for the run.
        """
        if not self._gpus and not self.slots():
            have = ", ".join(f"{cores:g}" for cores in self._machines()[1])
            raise ValueError(
                f"A run asks for {self.threads} cores, and the machines of the cluster have {have}:"
                " share those of one among more runs (--workers), or set OMP_NUM_THREADS."
            )
        stories = job["version"]["stories"]
        if stories not in self._kept:
            self._kept[stories] = self._ray.put(titles)
        asks = {"num_gpus": 1} if self._gpus else {"num_cpus": self.threads}
        files = [self._ray.put(sent)]  # in a list: else they would be fetched for every run
        return self._work.options(**asks).remote(job, self._kept[stories], files)

    def finished(self, started: list, seconds: float) -> list:
        """Return those of `started` that have ended; wait for one of them, `seconds` at most."""
        return self._ray.wait(started, num_returns=1, timeout=seconds)[0]

    def outcome(self, ended) -> dict:
        """Return the outcome of a worker's `work`. Raises Died if it did not live to report one."""
        try:
            return self._ray.get(ended)
        except self._ray.exceptions.RayTaskError as error:  # it could not begin
            raise ValueError(f"A worker of the cluster failed: {error.cause}") from error
        except self._ray.exceptions.RayError as error:
            raise Died(f"its process is lost ({str(error).splitlines()[0]})") from error

    def stop(self, started: list) -> None:
        """End the workers in `started`; what checkpoints they left in sight go on another time."""
        for one in started:
            self._ray.cancel(one, force=True)

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()

    def _machines(self):
        """The GPUs of all machines together, and the cores of each."""
        there = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return sum(int(node.get("GPU", 0)) for node in there), [n.get("CPU", 0) for n in there]


def _refuse_closed(address):
    """Raise ConnectionError at once where no port is open, for which Ray would wait for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in address:
        return  # auto, local, or a URL
    try:
        socket.create_connection((host, int(port)), 10).close()
    except (OSError, ValueError) as error:
        raise ConnectionError(_none_at(address, error)) from error


def _none_at(address, error):
    return (
        f"No Ray cluster answers at {address}: {' '.join(str(error).split())} "
        "Start one as reproduce.md tells, and pass its address (--ray auto on a machine of it)."
    )


def _work(job, titles, files):
    import ray

    return work(job, titles, lambda: ray.get(files[0]))
