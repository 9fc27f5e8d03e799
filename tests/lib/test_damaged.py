"""Damaged files of stories: 2,400 of them, read in worker processes.

Each must give an error message or rows, never another exception, a crash or a hang. Rows must be
complete: all rows of a parquet, all titles of a gzipped file (its checksum covers them), and of a
csv or txt as many as an independent reader finds in the damaged bytes. Plain text carries no
checksum, so a txt that is cut at the end of a line is simply a shorter txt.
"""

import csv
import gzip
import io
import json
import multiprocessing
import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from lib.config import load_preset
from lib.data import load_titles
from lib.synthetic import synthetic_titles

ROWS = 400
FILES = 2_400
BATCH = 100
LOST_ROWS = [101_174, 101_192, 104_424, 104_792, 108_960, 109_308, 114_680]  # half a parquet's rows
SEPARATORS = {".csv": ",", "-in-german.csv": ";", ".tsv": "\t"}
PATIENCE = 120  # seconds for a batch that takes two


def sources() -> dict[str, bytes]:
    """Whole files by name: parquet in several encodings, csv, txt, and some of each gzipped."""
    titles = synthetic_titles()[: ROWS - 8] + ['a "quoted", one', "naïve – 東京", "", " "] * 2
    ids = list(range(ROWS))
    table = pa.table({"id": ids, "title": titles, "url": [f"https://example.org/{i}" for i in ids]})
    files = {}
    for compression in ("none", "snappy", "zstd", "gzip", "brotli", "lz4"):
        for dictionary in (True, False):
            for checksums in (True, False):
                written = io.BytesIO()
                pq.write_table(
                    table,
                    written,
                    compression=compression,
                    use_dictionary=dictionary,
                    write_page_checksum=checksums,
                    row_group_size=ROWS // 2,
                    data_page_version="2.0" if dictionary else "1.0",
                )
                files[f"{compression}-{dictionary}-{checksums}.parquet"] = written.getvalue()
    for name, separator in SEPARATORS.items():
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=separator)
        writer.writerow(table.column_names)
        writer.writerows(zip(*table.to_pydict().values(), strict=True))
        files[f"stories{name}"] = text.getvalue().encode()
    files["stories.txt"] = "\n".join(titles).encode()
    files["stories.jsonl"] = "\n".join(map(json.dumps, table.to_pylist())).encode()
    for name in ("stories.csv", "stories.txt", "stories.jsonl", "snappy-True-False.parquet"):
        files[name + ".gz"] = gzip.compress(files[name], mtime=0)
    return files


def damage(whole: bytes, chance: random.Random) -> tuple[str, bytes]:
    """One kind of damage, at a random place, or near either end, where a format's structure is."""
    data = bytearray(whole)
    reach = chance.choice([len(data), min(400, len(data)), -min(900, len(data))])
    start, stop = (0, reach) if reach > 0 else (len(data) + reach, len(data))
    at, size = chance.randrange(start, stop), chance.choice([1, 8, 64, 512])
    kind = chance.choice(["flip", "cut", "zeros", "swap", "byte", "double"])
    if kind == "flip":
        for _ in range(chance.choice([1, 1, 2, 30])):
            data[chance.randrange(start, stop)] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "zeros":
        data[at : at + size] = bytes(len(data[at : at + size]))
    elif kind == "swap":
        other = chance.randrange(len(data))
        first, second = data[at : at + size], data[other : other + size]
        data[at : at + len(first)], data[other : other + len(second)] = second, first
    elif kind == "byte":
        data[at] = chance.choice([0, 10, 34, 44, 127, 128, 255])
    else:
        data[at:at] = data[at : at + size]
    return kind, bytes(data)


def make(seed: int, files: dict[str, bytes]) -> tuple[str, str, str, bytes]:
    """Seed → name of the source, kind of damage, extension, bytes; half are parquet."""
    chance = random.Random(seed)
    texts = [name for name in files if not name.endswith(".parquet")]
    parquets = [name for name in files if name.endswith(".parquet")]
    name = chance.choice(texts if seed % 2 else parquets)
    extension = "." + name.split(".", 1)[1]
    if seed % 11 == 0:
        kinds = {".parquet", ".csv", ".tsv", ".jsonl", ".txt"}
        wrong = (kinds | {kind + ".gz" for kind in kinds}) - {extension}
        extension = chance.choice(sorted(wrong))
        return name, "wrong extension", extension, files[name]
    kind, data = damage(files[name], chance)
    return name, kind, extension, data


def complaint(seed: int, files: dict[str, bytes], folder) -> tuple[str, str]:
    """What became of one file, `error` or `rows`, and what is wrong with that, if anything."""
    name, kind, extension, data = make(seed, files)
    path = folder / f"{seed}{extension}"
    path.write_bytes(data)
    try:
        loaded = load_titles(load_preset("tiny", num_titles=10), str(path))
    except ValueError as e:
        message = str(e)
        advised = message.endswith(("take another file", "or a file with more headlines"))
        good = path.name in message and advised and "\n" not in message and len(message) < 1_000
        return "error", "" if good else f"seed {seed}, {name}, {kind}: the message is {message!r}"
    except BaseException as e:
        return "exception", f"seed {seed}, {name}, {kind}: {type(e).__name__}: {e}"
    finally:
        path.unlink()
    problem = ""
    titles, rows = loaded.train + loaded.val + loaded.test, loaded.stories["rows"]
    if kind == "wrong extension":  # csv and tsv are one kind; lines of JSON are lines of text
        kinds = {extension.split(".")[1], name.split(".")[1]}
        alike = kinds in ({"csv"}, {"csv", "tsv"}, {"jsonl", "txt"})
        if not alike or ("gz" in name) != ("gz" in extension) or rows != ROWS:
            problem = f"read as {extension}"
    elif extension == ".parquet":
        if rows != ROWS:
            problem = f"{rows} rows instead of {ROWS}"
    elif extension.endswith(".gz"):
        if sorted(titles) != sorted(whole_titles()) or rows != ROWS:
            problem = "other titles than before"
    elif rows != (expected := count(name, data)):
        problem = f"{rows} rows instead of {expected}"
    return "rows", f"seed {seed}, {name}, {kind}: {problem}" if problem else ""


def whole_titles() -> list[str]:
    return [*synthetic_titles()[: ROWS - 8], *['a "quoted", one', "naïve – 東京"] * 2]


def count(name: str, data: bytes) -> int:
    if name.endswith(".txt"):
        return len(data.splitlines())
    if name.endswith(".jsonl"):
        return sum(bool(line.strip()) for line in data.split(b"\n"))
    separator = SEPARATORS[name.removeprefix("stories")]
    options = pa.csv.ParseOptions(newlines_in_values=True, delimiter=separator)
    return pa.csv.read_csv(io.BytesIO(data), parse_options=options).num_rows


def read_batch(seeds: list[int], files: dict[str, bytes], folder) -> list[tuple[str, str]]:
    return [complaint(seed, files, folder) for seed in seeds]


def test_damaged_files_give_an_error_or_all_their_rows(tmp_path):
    files = sources()
    seeds = [*range(FILES - len(LOST_ROWS)), *LOST_ROWS]
    batches = [seeds[start : start + BATCH] for start in range(0, FILES, BATCH)]
    outcomes, complaints = Counter(), []
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(read_batch, batch, files, tmp_path) for batch in batches]
        for batch, results in zip(batches, waiting, strict=True):
            try:
                for outcome, problem in results.result(timeout=PATIENCE):
                    outcomes[outcome] += 1
                    complaints += [problem] if problem else []
            except Exception as e:  # a dead worker or a hang: these seeds hold the file
                for worker in pool._processes.values():
                    worker.kill()
                pytest.fail(f"seeds {batch[0]} to {batch[-1]}: {type(e).__name__} {e}")
    assert not complaints, "\n".join(complaints[:20])
    assert outcomes.total() == FILES
    assert outcomes["error"] > FILES / 4 and outcomes["rows"] > FILES / 10  # both are exercised
