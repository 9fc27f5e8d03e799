"""Stories → titles → split.

- Three sources: `hub` (the challenge's own stories), a file (parquet, csv or txt, also gzipped),
  and `synthetic` (made headlines, for the `smoke` preset and the tests).
- All rows are permuted, then unusable titles are dropped and counted, then the first `num_titles`
  are split; the next 10,000 are the test titles. The permutation is that of
  `datasets.Dataset.shuffle(seed=1337)`, so that the hub's rows give the challenge's own split.
- Titles stay in Arrow memory until they are chosen: four million rows cost seconds and no more than
  their own bytes.
"""

import csv
import errno
import gzip
import hashlib
import io
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .synthetic import synthetic_titles

HUB_REPO = "julien040/hacker-news-posts"
HUB_FILE = "story.parquet"
HUB_REVISION = "9e21b0f3c36bd7ce50b741ce966297a7f73cae38"

SPLIT_SEED = 1337  # the challenge's; never a run's own seed, so that every run has the same split
TEST_TITLES = 10_000
CHUNK_ROWS = 65_536

# What the readers raise for a file that is not what its name says.
DAMAGE = (
    ValueError,  # pyarrow's ArrowInvalid and UnicodeDecodeError among them
    OSError,  # gzip.BadGzipFile among them
    EOFError,
    MemoryError,
    zlib.error,
    csv.Error,
    pa.ArrowException,
)

OWN_STORIES = "pass --stories PATH or set HN_STORIES to a path"
WHAT_TO_DO = f"{OWN_STORIES}, or use --stories hub"


@dataclass(frozen=True)
class Titles:
    """The titles of a run, split, and where they come from.

    `stories` holds `source` (hub, file or synthetic), `revision` (hub) or `sha256` (of the file's
    bytes, or of the synthetic titles), `rows` in the source and how many of them were `dropped`.
    """

    train: list[str]
    val: list[str]
    test: list[str]
    stories: dict


def load_titles(config, stories: str) -> Titles:
    """Read, permute, clean and split the titles that `config` asks for.

    `stories` is `hub`, `synthetic` (preset `smoke` only) or the path of a parquet, csv or txt
    file, which may be gzipped. Parquet and csv need a column `title`; a txt has one title a line,
    in UTF-8. A title is unusable, thus dropped and counted, when it is null, empty after stripping,
    or not valid UTF-8 (a lone surrogate is not).

    Raises ValueError for stories that cannot be used, FileNotFoundError for those that are not
    there, ConnectionError for a hub that cannot be reached.
    """
    if not stories:
        raise ValueError(f"no stories given: {WHAT_TO_DO}")
    if stories == "synthetic":
        if config.preset != "smoke":
            raise ValueError(
                f"synthetic stories serve the preset 'smoke' only, and this is {config.preset!r}: "
                f"{WHAT_TO_DO}"
            )
        titles = synthetic_titles()
        digest = hashlib.sha256("\n".join(titles).encode()).hexdigest()
        column, source = _column(titles), {"source": "synthetic", "sha256": digest}
    elif stories == "hub":
        column = _read(_download(), remedy="delete it, and it is downloaded again")
        source = {"source": "hub", "revision": HUB_REVISION}
    else:
        path = _existing_file(stories)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        column = _read(path, remedy=f"mend it, or {WHAT_TO_DO}")
        source = {"source": "file", "sha256": digest}
    return _split(column, config, source, stories)


def _split(column: pa.ChunkedArray, config, source: dict, stories: str) -> Titles:
    usable = np.fromiter((_text(raw) is not None for raw in _values(column)), bool, len(column))
    found, rows = int(usable.sum()), len(column)
    if found < config.num_titles:
        raise ValueError(
            f"{stories} has {found:,} usable titles in {rows:,} rows, and the preset "
            f"{config.preset!r} asks for {config.num_titles:,}: take a smaller preset, or more "
            f"stories ({WHAT_TO_DO})"
        )
    order = np.random.default_rng(SPLIT_SEED).permutation(rows)
    chosen = order[usable[order]][: config.num_titles + TEST_TITLES]
    titles = [_text(raw) for raw in column.take(chosen).to_pylist()]
    cut = int(config.num_titles * (1 - config.val_frac))
    return Titles(
        train=titles[:cut],
        val=titles[cut : config.num_titles],
        test=titles[config.num_titles :],
        stories={**source, "rows": rows, "dropped": rows - found},
    )


def _text(raw: bytes | None) -> str | None:
    """The stripped title, or None when there is none."""
    try:
        return raw.decode().strip() or None if raw is not None else None
    except UnicodeDecodeError:
        return None


def _values(column: pa.ChunkedArray) -> Iterator[bytes | None]:
    for batch in pa.table([column], ["title"]).to_batches(CHUNK_ROWS):
        yield from batch.column(0).to_pylist()


def _column(titles: Iterable[str]) -> pa.ChunkedArray:
    titles = iter(titles)
    chunks = iter(lambda: list(islice(titles, CHUNK_ROWS)), [])
    return pa.chunked_array([pa.array(chunk, pa.binary()) for chunk in chunks], pa.binary())


def _existing_file(stories: str) -> Path:
    path = Path(stories).expanduser()
    if path.is_dir():
        raise ValueError(f"{stories} is a folder: give the parquet, csv or txt file in it")
    if not path.exists():
        raise FileNotFoundError(f"there are no stories at {stories}: {WHAT_TO_DO}")
    if not path.is_file():
        raise ValueError(f"{stories} is not a regular file: {WHAT_TO_DO}")
    if path.stat().st_size == 0:
        raise ValueError(f"{stories} is empty (0 bytes): {WHAT_TO_DO}")
    return path


def _read(path: Path, remedy: str) -> pa.ChunkedArray:
    """The titles of a file as a column of bytes; any damage is a ValueError that names the file."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    zipped = suffixes[-1:] == [".gz"]
    kind = (suffixes[:-1] if zipped else suffixes)[-1:]
    reader = READERS.get(kind[0] if kind else "")
    if reader is None:
        raise ValueError(
            f"{path} is of an unknown kind: its name must end in {', '.join(READERS)}, "
            "or one of these and .gz"
        )
    try:
        with path.open("rb") as file:
            if not zipped:
                return reader(file)
            with tempfile.TemporaryFile() as plain, gzip.open(file) as unzipped:
                shutil.copyfileobj(unzipped, plain)  # to the end, where the checksum stands
                plain.seek(0)
                return reader(plain)
    except DAMAGE as e:
        raise ValueError(f"{path} cannot be read as {kind[0][1:]}: {_why(e)}; {remedy}") from e


def _why(error: BaseException) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 text (it holds the byte {error.object[error.start]:#x})"
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")


def _read_parquet(file: BinaryIO) -> pa.ChunkedArray:
    parquet = pq.ParquetFile(file, page_checksum_verification=True)
    names = parquet.schema_arrow.names
    _title_index(names)
    column = parquet.read(columns=["title"]).column(0)
    if len(column) != parquet.metadata.num_rows:
        raise ValueError(f"it announces {parquet.metadata.num_rows:,} rows and has {len(column):,}")
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not any(
        check(kind)
        for check in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    ):
        raise ValueError(f"its column 'title' holds {kind}, not text")
    column.validate(full=False)
    return column.cast(pa.large_binary())


def _read_csv(file: BinaryIO) -> pa.ChunkedArray:
    rows = csv.reader(_lines(file, newline=""), strict=True)
    names = next(rows, [])
    index = _title_index(names)

    def titles() -> Iterator[str]:
        for row in rows:
            if len(row) != len(names):
                if not row:
                    continue  # an empty line is no row
                raise ValueError(
                    f"line {rows.line_num} has {len(row)} fields, and the header has {len(names)}"
                )
            yield row[index]

    return _column(titles())


def _read_txt(file: BinaryIO) -> pa.ChunkedArray:
    return _column(line.rstrip("\n") for line in _lines(file, newline=None))


def _lines(file: BinaryIO, newline: str | None) -> Iterator[str]:
    for number, line in enumerate(io.TextIOWrapper(file, "utf-8-sig", newline=newline), 1):
        if "\0" in line:
            raise ValueError(f"line {number} holds a NUL character, so this is not a text file")
        yield line


def _title_index(names: list[str]) -> int:
    if "title" not in names:
        raise ValueError(f"it has no column 'title'; its columns are {', '.join(names) or 'none'}")
    return names.index("title")


READERS: dict[str, Callable[[BinaryIO], pa.ChunkedArray]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".txt": _read_txt,
}


def _download() -> Path:
    """The hub's stories in the local cache, downloaded first if they are not there.

    The library waits and tries again when the hub does not answer, and resumes a download that was
    cut off cleanly; what it leaves (a connection reset, a 503 instead of the file) is tried again.
    """
    from huggingface_hub import errors, hf_hub_download  # slow to import, and needed only here

    for wait in (1, 4, None):
        try:
            return Path(
                hf_hub_download(HUB_REPO, HUB_FILE, repo_type="dataset", revision=HUB_REVISION)
            )
        except errors.LocalEntryNotFoundError as e:
            raise ConnectionError(
                "the hub cannot be reached, and its stories are not in the cache "
                f"({_why(e.__cause__ or e)}): check the network and try again, or {OWN_STORIES}"
            ) from e
        except (
            errors.EntryNotFoundError,
            errors.RepositoryNotFoundError,
            errors.RevisionNotFoundError,
        ) as e:
            raise FileNotFoundError(
                f"the hub has no {HUB_FILE} of {HUB_REPO} at revision {HUB_REVISION} "
                f"({_why(e)}): {OWN_STORIES}"
            ) from e
        except Exception as e:  # each version of the library has another HTTP library's errors
            if getattr(e, "errno", None) == errno.ENOSPC:
                message = "no room on disk for the hub's stories: set HF_HOME to a larger disk"
                raise OSError(errno.ENOSPC, message) from e
            if wait is None:
                raise ConnectionError(
                    f"the download from the hub failed three times ({_why(e)}): "
                    f"try again later, or {OWN_STORIES}"
                ) from e
            time.sleep(wait)
