"""Many runs: one after another here, several at once here, or on a cluster.

- A run is asked for by its settings, which include preset and seed, and comes back as a run record.
  Where it is trained makes no difference to the record, given the same number of threads.
- A run that diverges fails alone: the others continue, and it is named at the end.
- A worker that dies is replaced and its run tried again: from its last checkpoint if the new worker
  sees the folder of the command, otherwise from what the run was sent.
- A run that was finished before is loaded from its checkpoint, whoever trained it.
"""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from lib.checkpoint import Checkpoints
from lib.config import Config, load_step
from lib.data import Titles
from lib.files import held, results, write_bytes
from lib.steps import STEPS

from .identity import identity_of as identity_here
from .progress import Progress
from .worker import PUBLISHED, Died, job_of, result, token_of, trained

TRIES = 4  # of a run whose worker dies


@dataclass(frozen=True)
class Asked:
    """A run that is asked for: the name of what it is a seed of, its settings, its place."""

    name: str
    config: Config
    under: Path  # the parent of its folder
    out: Path | None = None  # where it is published, as a step is; None if it is not

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.config.seed

    @property
    def folder(self) -> Path:
        """The folder of its checkpoints and its log.

        Counting is not part of training, so a step that only adds counts shares the folder of the
        step that it continues from.
        """
        name = self.name
        if self.config.counts:
            steps = (step for step in STEPS if self._trained_as(step))
            name = next(steps, name)
        which = self.config.preset if self.out else self.seed
        return self.under / f"{name}-{which}"

    @property
    def record(self) -> str:
        """The path of the record, under `out`, where it is published."""
        return results("", self.config.preset, self.name).as_posix()

    def _trained_as(self, step):
        """Whether the training of `step` is this one."""
        other = load_step(step, self.config.preset).change(seed=self.seed, counts=0.0)
        return other == self.config.change(counts=0.0)


def many(
    asked: list[Asked], titles: Titles, resume: str = "same", workers=None
) -> Iterator[tuple[Asked, dict | Exception]]:
    """Train all runs in `asked`, a line for each; yield each with its record as it finishes.

    `workers` come from `studies.processes` or `studies.cluster`; without them the runs are trained
    here, one after another. A run that failed is yielded with its exception in place of a record:
    FloatingPointError if it diverged, Died if no worker lived to finish it.

    Raises ValueError for checkpoints of another run, unless `resume` is "accept" or "fresh", and
    for a worker of another version.
    """
    if workers is not None:
        yield from _at_once(asked, titles, resume, workers)
        return
    for one in asked:
        print(f"{one.name:<16} seed {one.seed}", end=" ", flush=True)
        try:
            outcome = trained(one.name, one.config, titles, one.folder, resume, one.out)
        except FloatingPointError as error:
            print("failed.", flush=True)
            yield one, error
            continue
        print(outcome["told"], flush=True)
        yield one, outcome["record"]


def records(asked: list[Asked], titles: Titles, resume: str = "same", workers=None) -> list[dict]:
    """Train all that is `asked` as `many` does, and return the records in the order asked.

    Raises as `refuse_failed` does where one failed, when all others are finished.
    """
    outcomes = dict(many(asked, titles, resume, workers))
    refuse_failed(outcomes)
    return [outcomes[one] for one in asked]


def refuse_failed(outcomes: dict) -> None:
    """Raise an error that names every run that failed, if any did.

    It is a FloatingPointError or Died, like the first failure in `outcomes`.
    """
    failed = {one: error for one, error in outcomes.items() if isinstance(error, Exception)}
    if not failed:
        return
    told = "; ".join(f"{one.name} seed {one.seed}: {error}" for one, error in failed.items())
    kept = "; the others are kept" if len(failed) < len(outcomes) else ""
    kind = type(next(iter(failed.values())))
    raise kind(f"{len(failed)} of {len(outcomes)} runs failed{kept}. {told}")


def clear(asked: list[Asked], but=()) -> None:
    """Remove the checkpoints of all that is `asked`, but what those in `but` left."""
    for folder in {one.folder for one in asked} - {one.folder for one in but}:
        with held(folder):
            Checkpoints(folder, {}, "fresh")


def identity_of(config: Config, titles: Titles, workers=None) -> dict:
    """Return the identity that the record of a run of `config` will have, trained by `workers`."""
    if workers is None:
        return identity_here(config, titles)
    started = workers.start(job_of(titles, config, workers.threads), titles)
    while not workers.finished([started], 1):
        pass
    return result(workers.outcome(started))["identity"]


def _at_once(asked, titles, resume, workers):
    if resume == "fresh":  # here, once: a run that is tried again is to go on
        resume = "same"
        clear(asked)
    waiting, running, tries = deque(asked), {}, Counter()
    progress, news = Progress(asked), True
    try:
        while waiting or running:
            while waiting and len(running) < (workers.slots() or 1):
                busy = {other.folder for other in running.values()}
                one = next((one for one in waiting if one.folder not in busy), None)
                if one is None:  # a step that only counts waits for the run that it goes on from
                    break
                waiting.remove(one)
                running[_start(one, titles, resume, workers)] = one
            progress.show(len(running), len(waiting), always=news)
            news = False
            for ended in workers.finished(list(running), 1):
                one, news = running.pop(ended), True
                name = f"{one.name:<16} seed {one.seed}"
                try:
                    outcome = _result(one, ended, workers)
                    outcome, told = outcome["record"], outcome["told"]
                except (FloatingPointError, Died) as error:
                    tries[one] += 1
                    if isinstance(error, Died) and tries[one] < TRIES:
                        progress.say(f"{name} is tried again: {error}.")
                        waiting.appendleft(one)
                        continue
                    outcome, told = error, "failed."
                progress.finished(one, f"{name} {told}")
                yield one, outcome
    finally:
        progress.close()
        workers.stop(list(running))


def _start(one, titles, resume, workers):
    """Ask for a run; with what it continues from, where a worker may not see its folder."""
    token, sent = None, ()
    one.folder.mkdir(parents=True, exist_ok=True)
    if not workers.shared:
        token = token_of(one.folder)
        newest = sorted(one.folder.glob("step-*.pt"))[-1:]
        sent = tuple((path.name, path.read_bytes()) for path in newest)
        if one.out and (before := one.out / one.record).exists():
            sent += ((f"{PUBLISHED}/{one.record}", before.read_bytes()),)
    about = {"name": one.name, "resume": resume, "token": token}
    about |= {"folder": str(one.folder.absolute()), "out": one.out and str(one.out.absolute())}
    return workers.start(job_of(titles, one.config, workers.threads, **about), titles, sent)


def _result(one, ended, workers):
    """Copy here what a run left elsewhere, then return its outcome or raise its failure."""
    outcome = workers.outcome(ended)
    files = outcome.get("files", ())
    with held(one.folder) if files else nullcontext():
        for name, content in files:
            published = name.removeprefix(f"{PUBLISHED}/")
            write_bytes(one.folder / name if name == published else one.out / published, content)
    return result(outcome)
