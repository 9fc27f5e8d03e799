"""Files of headlines → a column of titles, each kind read whole or refused.

- Tables with a column `title`, however it is capitalised: parquet, csv and tsv (separated by
  commas, semicolons, tabs or |) and JSON lines. Text with a title a line. Any of them gzipped.
- What is not what its name says is a ValueError that names the file, the fault and the mend.
- Titles are bytes here: whether they are UTF-8 is asked when they are chosen.
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


def read_file(path: Path, remedy: str) -> pa.ChunkedArray:
    """Return the titles of a file as a column of bytes, null where a row has none.

    Raises ValueError that names the file and ends in `remedy`, for any damage; OSError where there
    is no room to unpack it.
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
                return _headlines(reader(file))
            with tempfile.TemporaryFile() as plain, gzip.open(file) as unzipped:
                shutil.copyfileobj(unzipped, plain)  # to the end, where the checksum stands
                plain.seek(0)
                return _headlines(reader(plain))
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


def column(titles: Iterable[str | bytes | None]) -> pa.ChunkedArray:
    """Return titles as a column of bytes in Arrow memory."""
    titles = iter(titles)
    chunks = iter(lambda: list(islice(titles, CHUNK_ROWS)), [])
    return pa.chunked_array([pa.array(chunk, pa.binary()) for chunk in chunks], pa.binary())


def values(titles: pa.ChunkedArray) -> Iterator[bytes | None]:
    """Yield the titles of a column, a part of it at a time as Python's objects."""
    for batch in pa.table([titles], ["title"]).to_batches(CHUNK_ROWS):
        yield from batch.column(0).to_pylist()


def _headlines(titles):
    """The column itself, unless all that is in it are numbers."""
    texts = filter(None, (raw and raw.strip() for raw in values(titles)))
    if (first := next(texts, None)) and all(map(NUMBER.fullmatch, chain([first], texts))):
        raise ValueError(f"its titles are numbers, such as {first.decode()}, not headlines")
    return titles


def _title(names: list[str]) -> int | None:
    """The place of the column `title` among `names`, if there is one."""
    found = [i for i, name in enumerate(names) if name.strip().lower() == "title"]
    exact = [i for i in found if names[i] == "title"]
    if len(found) > 1 and len(exact) != 1:
        raise ValueError("it has more than one column 'title', so rename all but one of them")
    return next(iter(exact or found), None)


def _no_title(names: Iterable[str]) -> ValueError:
    listed = textwrap.shorten(", ".join(names), 200, placeholder=" …")
    return ValueError(
        f"it has no column 'title'; its columns are {listed or 'none'}, so rename the one that "
        "holds the headlines"
    )


def _read_parquet(file: BinaryIO) -> pa.ChunkedArray:
    parquet = pq.ParquetFile(file, page_checksum_verification=True)
    names = parquet.schema_arrow.names
    index = _title(names)
    if index is None:
        raise _no_title(names)
    titles = parquet.read(columns=[names[index]]).column(0)
    if len(titles) != parquet.metadata.num_rows:
        raise ValueError(f"it announces {parquet.metadata.num_rows:,} rows and has {len(titles):,}")
    kind = titles.type.value_type if pa.types.is_dictionary(titles.type) else titles.type
    if not any(check(kind) for check in TEXT):
        raise ValueError(f"its column 'title' holds {kind}, not text")
    titles.validate(full=False)
    return titles.cast(kind).cast(pa.large_binary())


def _read_csv(file: BinaryIO, separators: str = SEPARATORS) -> pa.ChunkedArray:
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
        if (index := _title(headers[-1])) is not None:
            return column(_fields(rows, index, len(headers[-1])))
    raise _no_title(max(headers, key=len, default=[]))


def _fields(rows, index: int, width: int) -> Iterator[str]:
    try:
        for row in rows:
            if len(row) == width:
                yield row[index]
            elif row:  # an empty line is no row
                raise ValueError(
                    f"line {rows.line_num} has {len(row)} fields, and the header has {width}"
                )
    except csv.Error as error:
        raise ValueError(
            f"{error} (line {rows.line_num}): a field that holds quotation marks must stand in "
            "quotation marks, with those in it doubled"
        ) from error


def _read_tsv(file: BinaryIO) -> pa.ChunkedArray:
    return _read_csv(file, "\t,;|")


def _read_jsonl(file: BinaryIO) -> pa.ChunkedArray:
    names = {}  # of all rows, as an ordered set
    titles = column(_members(_lines(io.TextIOWrapper(file, "utf-8-sig", newline="\n")), names))
    if _title(list(names)) is None:
        raise _no_title(names)
    return titles


def _members(lines: Iterable[str], names: dict) -> Iterator[bytes | None]:
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
        index = _title(list(row))
        title = None if index is None else list(row.values())[index]
        if not isinstance(title, str | None):
            raise ValueError(f"the title in line {number} is no text")
        yield title and title.encode("utf-8", "surrogatepass")


def _read_txt(file: BinaryIO) -> pa.ChunkedArray:
    text = io.TextIOWrapper(file, "utf-8-sig", newline=None)
    lines = (line.rstrip("\n") for line in _lines(text))
    first = next(lines, None)
    names = [name.strip(" \"'") for name in re.split(f"[{SEPARATORS}]", first or "")]
    if _title(names) is None:
        return column(chain([] if first is None else [first], lines))
    if len(names) > 1:
        raise ValueError(
            f"its first line names columns ({', '.join(names)}), so it is a table: "
            "let its name end in .csv"
        )
    print(f"The first line of the stories, {first!r}, names the column: it is no headline.")
    return column(lines)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    for number, line in enumerate(text, 1):
        if "\0" in line:
            raise ValueError(f"line {number} holds a NUL character, so this is not a text file")
        yield line


READERS: dict[str, Callable[[BinaryIO], pa.ChunkedArray]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".txt": _read_txt,
}
