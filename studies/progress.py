"""The progress of many runs: how many are done, and how long the rest will take."""

import sys
import time

from lib.files import last_line
from lib.watch import in_words


class Progress:
    """One line for all the runs in `asked`, below the lines of the runs that have ended.

    On a terminal it is redrawn as the runs progress; elsewhere it is printed when one ends.
    """

    def __init__(self, asked: list):
        self.asked, self.ended, self.line = asked, set(), ""
        self.begun, self.before = time.monotonic(), self._share()

    def say(self, line: str) -> None:
        """Print a line of its own."""
        self._clear()
        print(line, flush=True)

    def finished(self, one, line: str) -> None:
        """Take note that a run has ended, and print what came of it."""
        self.ended.add(one)
        self.say(line)

    def show(self, running: int, waiting: int, always: bool = False) -> None:
        """Print how far all are; where this is no terminal, only if `always`."""
        if not (always or sys.stdout.isatty()):
            return
        self._clear()
        done = f"{len(self.ended)} done, {running} running, {waiting} waiting"
        self.line = f"{done}; {self._left()}"
        if sys.stdout.isatty():
            print(self.line, end="", flush=True)
        else:
            self.say(self.line)

    def close(self) -> None:
        """Leave the screen as the next line needs it."""
        self._clear()

    def _clear(self):
        if self.line and sys.stdout.isatty():
            print("\r" + " " * len(self.line), end="\r")
        self.line = ""

    def _share(self):
        """How many runs' worth of training is done, in halves and quarters of runs as well."""
        return sum(1 if one in self.ended else _share_of(one) for one in self.asked)

    def _left(self):
        done = self._share()
        if done - self.before < 0.5:  # of a run: too little to go by
            return "time left not known yet"
        seconds = (time.monotonic() - self.begun) / (done - self.before) * (len(self.asked) - done)
        return f"about {in_words(seconds)} left"


def _share_of(one):
    """How much of a run its log says is trained; none where it lies on another machine."""
    last = last_line(one.folder / "log.jsonl")
    return min(1.0, last["epoch"] / one.config.epochs) if last else 0.0
