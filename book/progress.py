"""How far the notebook being executed is, from the log that its training writes."""

import sys
import threading
from contextlib import contextmanager
from pathlib import Path

from lib.files import last_line

EVERY = 2.0  # seconds


@contextmanager
def progress(name: str, out: Path):
    """Show how far the training in the notebook `name` is, while it is executed into `out`.

    In a terminal or a notebook this is on the line that begins with the name; elsewhere nothing is
    shown.
    """
    in_notebook = type(sys.stdout).__module__.startswith("ipykernel")
    if not (sys.stdout.isatty() or in_notebook):
        yield
        return
    stop, there = threading.Event(), _logs(out)

    def follow():
        while not stop.wait(EVERY):
            changed = {log: when for log, when in _logs(out).items() if there.get(log) != when}
            if changed and (point := last_line(max(changed, key=changed.get))):
                told = f"epoch {point['epoch']:.1f}, loss {point['full_coverage']:.3f}"
                print(f"\r{name:<16} {told:<30}", end="", flush=True)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        print(f"\r{' ' * 47}\r{name:<16}", end=" ", flush=True)


def _logs(out):
    """When the log of each run under `out` was written (`lib.train`), by its path."""
    return {path: path.stat().st_mtime_ns for path in Path(out).glob("runs/*/log.jsonl")}
