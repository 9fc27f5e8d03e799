"""One run, wherever it is trained: the job that a worker is given, and what it gives back.

- A job is a dictionary of what JSON can hold. So is its outcome, except for the bytes of files that
  are sent back. A job says which code, PyTorch and stories it needs; a worker that has others
  refuses it and names what differs.
- The run is trained in the folder that the job names, if the worker sees that very folder.
  Otherwise the worker uses a folder of its own, starts from the checkpoint that was sent with the
  job, and sends back what it left there when it ends.
- What a worker prints, and how it failed, is in `worker.log` in the folder of the run; the points
  that were measured are beside it, in `log.jsonl`.
"""

import json
import os
import platform
import queue
import sys
import tempfile
import threading
import traceback
import uuid
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import torch

from lib.config import Config
from lib.data import Titles
from lib.files import held, write_bytes, write_json, write_text
from lib.predictions import title_losses
from lib.record import make_record, save
from lib.train import train

from .identity import differing, identity_of, tell, version

LOG = "worker.log"
TOKEN = ".folder"  # the file with a folder's id, by which a worker knows that it sees that folder
PUBLISHED = "published"  # in a worker's own folder: the files to copy to `out`
FAILURES = {kind.__name__: kind for kind in (FloatingPointError, ValueError, OSError)}


class Died(ChildProcessError):
    """A worker that ended without having said what its run came to."""


def trained(
    name: str,
    config: Config,
    titles: Titles,
    folder: Path,
    resume: str,
    out: Path | None = None,
    quiet: bool = True,
) -> dict:
    """Train a run, or continue it in `folder`; return its `record`, and `told`, a line about it.

    The record also holds `title_nats`, the nats of each validation title. With `out` it does not;
    the run is published there like a step instead: scored on the test titles, with its weights.
    """
    run = train(config, titles, folder=folder, resume=resume, quiet=quiet)
    if out is None:
        nats = [sum(title) for title in title_losses(run.model, run.tokenizer, titles.val)]
        record = make_record(run, f"seeds/{name}-{config.seed}", str(config.seed))
        record["title_nats"] = nats
    else:
        with held(folder):  # a record and its weights are of one process
            record = save(run, out, name)
    loss = f"{run.curve[-1]['full_coverage']:.4f} nats per character"
    told = f" Went on after {run.resumed:,}." if run.resumed else ""
    told = " Trained before." if run.resumed == run.steps else told
    told += f" Accepted: {', '.join(run.accepted)}." if run.accepted else ""
    return {"record": record, "told": f"{loss}, {run.speed['seconds']:,.0f} s.{told}"}


def job_of(titles: Titles, config: Config, threads: int, **more) -> dict:
    """Return a job: to train `name` in `folder`, as `resume` says.

    Without these, the job is to give the identity that the run would have. `out` is where the run
    is published, if it is. `threads` is the number of CPU threads. `token` is the folder's id, for
    a worker that might not see the folder.
    """
    about = {"config": config.as_dict(), "threads": threads, "version": version(titles)}
    none = dict.fromkeys(("name", "folder", "out", "token"))
    return {**about, **none, "resume": "same", **more}


def work(job: dict, titles: Titles, sent=tuple) -> dict:
    """Do a job, and return what came of it.

    `sent()` returns the files, name and bytes, that a folder of the worker's own begins with.
    Returns what `trained` does, or `{"identity": …}`, or `{"failed": [kind, message]}`, where kind
    is one of FAILURES or the name of another exception. `files` is added if files are sent back.
    """
    if job["folder"] is None:
        return _do(job, titles, None)
    with _place(job, sent) as (place, own):
        with open(place / LOG, "a", 1, "utf-8") as log, redirect_stdout(log), redirect_stderr(log):
            out = place / PUBLISHED if own else job["out"]
            outcome = _do(job, titles, place, job["out"] and out)
        if own:
            left = [*sorted(place.glob("step-*.pt"))[-1:], place / "log.jsonl", place / LOG]
            published = (path for path in (place / PUBLISHED).rglob("*") if path.is_file())
            # The record last, which has the digest of the weights.
            left += sorted(published, key=lambda path: (-len(path.parts), path.suffix != ".pt"))
            outcome["files"] = [
                (path.relative_to(place).as_posix(), path.read_bytes())
                for path in left
                if path.exists()
            ]
    return outcome


def result(outcome: dict) -> dict:
    """Return the `outcome` of `work`, or raise what failed: Died for what was not foreseen."""
    if "failed" in outcome:
        kind, message = outcome["failed"]
        raise FAILURES[kind](message) if kind in FAILURES else Died(f"{kind}: {message}")
    return outcome


def token_of(folder: Path) -> str:
    """Return the id of `folder`, the same wherever it is seen; give it one if it has none."""
    if _token(folder) is None:
        write_text(folder / TOKEN, uuid.uuid4().hex)
    return _token(folder)


def _token(folder):
    path = folder / TOKEN
    return path.read_text("utf-8") if path.exists() else None


def _do(job, titles, place, out=None):
    try:
        _refuse_other(job["version"], titles)
        config = Config.from_dict(job["config"])
        torch.set_num_threads(job["threads"])
        if place is None:
            return {"identity": identity_of(config, titles)}
        about = f"{job['name']} seed {config.seed}, threads {job['threads']}, on {_here()}"
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {about}")
        return trained(job["name"], config, titles, place, job["resume"], out)
    except Exception as error:  # whatever it is, it is told to who asked
        traceback.print_exc()
        kinds = [name for name, kind in FAILURES.items() if isinstance(error, kind)]
        kind = [*kinds, type(error).__name__][0]
        return {"failed": [kind, str(error)]}


def _refuse_other(theirs, titles):
    """Raise ValueError unless this process has the code, PyTorch and stories that were meant."""
    if differ := differing(version(titles), theirs):
        raise ValueError(
            f"The worker on {_here()} is of another version: {tell(differ)}. Bring the clone and "
            "the packages there to the state of those here, and run the same command again."
        )


def _here():
    return f"{platform.node()}, process {os.getpid()}"


@contextmanager
def _place(job, sent):
    """Give the folder to train in, and whether it is the worker's own."""
    place = Path(job["folder"])
    if job["token"] is None or _token(place) == job["token"]:
        yield place, False
        return
    with tempfile.TemporaryDirectory(prefix="seven-epochs-") as own:
        for name, content in sent():
            write_bytes(Path(own) / name, content)
        yield Path(own), True


def main() -> None:
    """Do the jobs that come in, one per line, until whoever asks for them is gone."""
    lines, kept = queue.SimpleQueue(), {}
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    while True:
        asked = json.loads(lines.get())
        if asked["titles"] not in kept:
            kept[asked["titles"]] = Titles(**json.loads(Path(asked["titles"]).read_text("utf-8")))
        write_json(asked["outcome"], work(asked["job"], kept[asked["titles"]]))


def _listen(lines):
    for line in sys.stdin:
        lines.put(line)
    os._exit(1)  # in the middle of a run as well, which continues from its checkpoint


if __name__ == "__main__":
    main()
