"""A file of headlines → a column of titles, and more if asked; read completely or refused.

- Tables with a column `title`, however it is capitalised: parquet, csv and tsv (separated by
  commas, semicolons, tabs or |) and JSON Lines. Plain text with one title per line. Any of them
  gzipped.
- A file that is not what its name says raises a ValueError that names the file, the fault and the
  remedy.
- Titles are bytes here: whether they are UTF-8 is checked when they are selected (`lib.data`).
"""

import csv
import errno
import gzip
import io
import json
import re
import shutil
import tempfile
import textwrap
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

CHUNK_ROWS = 65_536
LARGEST_FIELD = 2**31 - 1  # characters: the most that csv takes on every system
SEPARATORS = ",;\t|"
NUMBER = re.compile(rb"[-+]?\.?\d[\d.,_]*(e[-+]?\d+)?", re.IGNORECASE)

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
TEXT = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)


def read_file(path: Path, remedy: str, more: tuple[str, ...] = ()) -> list[pa.ChunkedArray]:
    """Return the titles of a file as a column of bytes, null where a row has none.

    The columns named in `more` follow, likewise as bytes; a number is kept as it is written.

    Raises ValueError, naming the file and ending in `remedy`, for any damage; OSError if there is
    no room to unpack it.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    zipped = suffixes[-1:] == [".gz"]
    kind = "".join((suffixes[:-1] if zipped else suffixes)[-1:])
    reader = READERS.get(kind)
    if reader is None:
        raise ValueError(
            f"{path} is of an unknown kind: save the headlines as {', '.join(READERS)}, or one of "
            "these and .gz"
        )
    try:
        with path.open("rb") as file:
            if not zipped:
                return _headlines(reader(file, more))
            with tempfile.TemporaryFile() as plain, gzip.open(file) as unzipped:
                shutil.copyfileobj(unzipped, plain)  # to the end, where the checksum stands
                plain.seek(0)
                return _headlines(reader(plain, more))
    except DAMAGE as e:
        if getattr(e, "errno", None) == errno.ENOSPC:
            message = f"no room on disk to unpack {path}: set TMPDIR to a folder on a larger disk"
            raise OSError(errno.ENOSPC, message) from e
        raise ValueError(f"{path} cannot be read as {kind[1:]}: {why(e)}; {remedy}") from e


def why(error: BaseException) -> str:
    """Return the first line of what an error says, or its name where it says nothing."""
    if isinstance(error, UnicodeDecodeError):
        byte = error.object[error.start]
        return f"it is not UTF-8 text (it holds the byte {byte:#x}), so save it as UTF-8"
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")


def columns(rows: Iterable[tuple[str | bytes | None, ...]], count: int) -> list[pa.ChunkedArray]:
    """Return rows of `count` fields as columns of bytes in Arrow memory."""
    rows = iter(rows)
    chunks = iter(lambda: list(islice(rows, CHUNK_ROWS)), [])
    parts = [[pa.array(own, pa.binary()) for own in zip(*chunk, strict=True)] for chunk in chunks]
    return [pa.chunked_array([part[i] for part in parts], pa.binary()) for i in range(count)]


def values(titles: pa.ChunkedArray) -> Iterator[bytes | None]:
    """Yield the titles of a column, a part of it at a time as Python's objects."""
    for batch in pa.table([titles], ["title"]).to_batches(CHUNK_ROWS):
        yield from batch.column(0).to_pylist()


def _headlines(columns):
    """The columns themselves, unless all that is in the first are numbers."""
    texts = filter(None, (raw and raw.strip() for raw in values(columns[0])))
    if (first := next(texts, None)) and all(map(NUMBER.fullmatch, chain([first], texts))):
        raise ValueError(f"its titles are numbers, such as {first.decode()}, not headlines")
    return columns


def _place(names: list[str], wanted: str) -> int | None:
    """The place of the column `wanted` among `names`, if there is one."""
    found = [i for i, name in enumerate(names) if name.strip().lower() == wanted]
    exact = [i for i in found if names[i] == wanted]
    if len(found) > 1 and len(exact) != 1:
        raise ValueError(f"it has more than one column '{wanted}', so rename all but one of them")
    return next(iter(exact or found), None)


def _title(names: list[str]) -> int | None:
    return _place(names, "title")


def _places(names: Iterable[str], more: tuple[str, ...]) -> list[int]:
    """The places of the title and of the columns called `more`; ValueError unless all are there."""
    names = list(names)
    if _title(names) is None:
        raise _no_title(names)
    lacking = [f"'{name}'" for name in more if _place(names, name) is None]
    if lacking:
        raise ValueError(
            f"it has no column {' and no column '.join(lacking)}, which this step reads beside the "
            f"titles; its columns are {_listed(names)}. The other steps need titles only"
        )
    return [_place(names, name) for name in ("title", *more)]


def _listed(names: Iterable[str]) -> str:
    return textwrap.shorten(", ".join(names), 200, placeholder=" …") or "none"


def _no_title(names: Iterable[str]) -> ValueError:
    return ValueError(
        f"it has no column 'title'; its columns are {_listed(names)}, so rename the one that "
        "holds the headlines"
    )


def _read_parquet(file: BinaryIO, more: tuple[str, ...]) -> list[pa.ChunkedArray]:
    parquet = pq.ParquetFile(file, page_checksum_verification=True)
    names = parquet.schema_arrow.names
    return [_column(parquet, names[place]) for place in _places(names, more)]


def _column(parquet, name):
    """A column as bytes; a number or a date, which no title is, as it is written."""
    found = parquet.read(columns=[name]).column(0)
    if len(found) != parquet.metadata.num_rows:
        raise ValueError(f"it announces {parquet.metadata.num_rows:,} rows and has {len(found):,}")
    kind = found.type.value_type if pa.types.is_dictionary(found.type) else found.type
    if not any(check(kind) for check in TEXT):
        if name.strip().lower() == "title":
            raise ValueError(f"its column 'title' holds {kind}, not text")
        found, kind = found.cast(pa.string()), pa.string()
    found.validate(full=False)
    return found.cast(kind).cast(pa.large_binary())


def _read_csv(
    file: BinaryIO, more: tuple[str, ...], separators: str = SEPARATORS
) -> list[pa.ChunkedArray]:
    csv.field_size_limit(LARGEST_FIELD)
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    headers = []
    for separator in separators:
        text.seek(0)
        rows = csv.reader(_lines(text), delimiter=separator, strict=True)
        try:
            headers.append(next(rows, []))
        except csv.Error:  # a quoted name, and another separator after it
            continue
        if _title(headers[-1]) is not None:
            places = _places(headers[-1], more)
            return columns(_fields(rows, places, len(headers[-1])), len(places))
    raise _no_title(max(headers, key=len, default=[]))


def _fields(rows, places: list[int], width: int) -> Iterator[tuple[str, ...]]:
    try:
        for row in rows:
            if len(row) == width:
                yield tuple(row[place] for place in places)
            elif row:  # an empty line is no row
                raise ValueError(
                    f"line {rows.line_num} has {len(row)} fields, and the header has {width}"
                )
    except csv.Error as error:
        raise ValueError(
            f"{error} (line {rows.line_num}): a field that holds quotation marks must stand in "
            "quotation marks, with those in it doubled"
        ) from error


def _read_tsv(file: BinaryIO, more: tuple[str, ...]) -> list[pa.ChunkedArray]:
    return _read_csv(file, more, "\t,;|")


def _read_jsonl(file: BinaryIO, more: tuple[str, ...]) -> list[pa.ChunkedArray]:
    names = {}  # of all rows, as an ordered set
    lines = _lines(io.TextIOWrapper(file, "utf-8-sig", newline="\n"))
    found = columns(_members(lines, more, names), 1 + len(more))
    _places(names, more)
    return found


def _members(
    lines: Iterable[str], more: tuple[str, ...], names: dict
) -> Iterator[tuple[bytes | None, ...]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number} is no JSON") from error
        if not isinstance(row, dict):
            raise ValueError(f'line {number} is no JSON object, such as {{"title": "A headline"}}')
        names |= dict.fromkeys(row)
        places = [_place(list(row), name) for name in ("title", *more)]
        title, *others = (None if i is None else list(row.values())[i] for i in places)
        if not isinstance(title, str | None):
            raise ValueError(f"the title in line {number} is no text")
        texts = [title, *(None if other is None else str(other) for other in others)]
        yield tuple(text and text.encode("utf-8", "surrogatepass") for text in texts)


def _read_txt(file: BinaryIO, more: tuple[str, ...]) -> list[pa.ChunkedArray]:
    text = io.TextIOWrapper(file, "utf-8-sig", newline=None)
    lines = (line.rstrip("\n") for line in _lines(text))
    first = next(lines, None)
    names = [name.strip(" \"'") for name in re.split(f"[{SEPARATORS}]", first or "")]
    if _title(names) is None:
        _places(["title"], more)
        return columns(((line,) for line in chain([] if first is None else [first], lines)), 1)
    if len(names) > 1:
        raise ValueError(
            f"its first line names columns ({', '.join(names)}), so it is a table: "
            "let its name end in .csv"
        )
    _places(names, more)
    print(f"The first line of the stories, {first!r}, names the column: it is no headline.")
    return columns(((line,) for line in lines), 1)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    for number, line in enumerate(text, 1):
        if "\0" in line:
            raise ValueError(f"line {number} holds a NUL character, so this is not a text file")
        yield line


READERS: dict[str, Callable[[BinaryIO, tuple[str, ...]], list[pa.ChunkedArray]]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".txt": _read_txt,
}
