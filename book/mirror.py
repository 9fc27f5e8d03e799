"""The book's own files, copied to the folder of a run so that the site can be rendered from it."""

import shutil
from pathlib import Path

from lib.files import BOOK, write_json
from lib.steps import RECIPES

from .finished import Mark, digest_of, read_or_none

TABLES = (  # which no notebook writes
    "peers.csv",
    *(f"results/*/{name}.json" for name in ("seeds/*", "search/*", "ladder*", "bench*")),
    *(f"results/*/{name}{file}.json" for name in RECIPES for file in ("", "/titles")),
)
PAGES = ("*.md", "*.bib", "myst.yml", "docs", "plugins", "theme", "widget")  # beside notebooks
OTHERS = (  # under results/: what no notebook leaves, but another command may while one is executed
    *(pattern for pattern in TABLES if "/" in pattern),
    *(f"results/*/{name}{inner}" for name in RECIPES for inner in (".pt", "/*")),
    "*.tmp",
)
MIRRORED = ".mirrored.json"  # lists what an earlier run put in its folder; tables with digests


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, into a folder that is made where it is missing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def mirror(out: Path, names: list[str]) -> None:
    """Copy the book's pages and tables to `out`, and remove what an earlier run left there.

    The files that a run puts there are listed in MIRRORED. Only files on that list are removed, and
    what notebooks that are no longer in the book had left. A table that is no longer as a run left
    it was written by `seeds`, `peer` or another command, and stays.
    """

    def files(patterns):
        for source in (path for pattern in patterns for path in BOOK.glob(pattern)):
            inner = source.rglob("*") if source.is_dir() else [source]
            yield from (path.relative_to(BOOK).as_posix() for path in inner if path.is_file())

    pages, tables = [*files(PAGES)], {file: digest_of(BOOK / file) for file in files(TABLES)}
    listed = dict.fromkeys([*pages, *(f"notebooks/{name}.ipynb" for name in names)]) | tables
    before = read_or_none(out / MIRRORED) or {}

    def is_own(file):
        there, left = out / file, before.get(file, "")
        return left is not None and there.exists() and digest_of(there) != left

    for mark in Mark.all(out):
        if mark.name not in names:
            mark.remove_files()
            mark.path.unlink()
    for gone in before.keys() - listed:
        if not is_own(gone):
            (out / gone).unlink(missing_ok=True)
    for file in [*pages, *(table for table in tables if not is_own(table))]:
        copy_file(BOOK / file, out / file)
    write_json(out / MIRRORED, dict(sorted(listed.items())))
