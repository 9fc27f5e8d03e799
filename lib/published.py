"""The records that come with the book: what a notebook that is opened alone compares with."""

from pathlib import Path

from .files import BOOK
from .record import earlier, read_steps


def home_of(out: str | Path, preset: str) -> Path:
    """Return where the steps' records on `preset` are: `out`, else the book, saying so in a line.

    Raises FileNotFoundError if neither has one, ValueError if one is damaged.
    """
    for home in (Path(out), BOOK):
        try:
            read_steps(home, preset)
        except FileNotFoundError:
            continue
        if home == BOOK != Path(out).resolve():
            print(f"There is no record of a step under {out}: these are the published ones.")
        return home
    raise FileNotFoundError(
        f"Neither {out} nor the book has a record of a step on preset {preset}; run the "
        "steps first."
    )


def steps_before(out: str | Path, record: dict) -> list[dict]:
    """Return the steps before `record`'s that compare with it, the book's where `out` has none.

    The book's are marked as published in their title.
    """
    own = earlier(out, record)
    names = {there["step"] for there in own}
    published = [
        {**there, "title": f"{there['title']} (published)"}
        for there in earlier(BOOK, record)
        if there["step"] not in names
    ]
    return sorted([*own, *published], key=lambda there: there["step"])
