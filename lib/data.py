"""Stories → titles → split.

- Three sources: `hub` (the challenge's own stories), a file (a table or plain text, see
  `lib.readers`), and `synthetic` (made-up headlines, for the `smoke` preset and the tests).
- All rows are permuted, then unusable titles are dropped and counted, then the first `num_titles`
  are split; the next 10,000 are the test titles. The permutation is that of
  `datasets.Dataset.shuffle(seed=1337)`, so that the hub's rows give the challenge's own split.
- Titles stay in Arrow memory until they are selected: four million rows take seconds, and no more
  memory than their own bytes.
- A story's link and time of posting are read only on request.
"""

import errno
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from .origins import COLUMNS, Origin, origin
from .readers import READERS, columns, read_file, values, why
from .synthetic import synthetic_stories

HUB_REPO = "julien040/hacker-news-posts"
HUB_FILE = "story.parquet"
HUB_REVISION = "9e21b0f3c36bd7ce50b741ce966297a7f73cae38"

SPLIT_SEED = 1337  # the challenge's; never a run's own seed, so that every run has the same split
TEST_TITLES = 10_000
UPLOADS = Path("/content")  # where Colab puts them; a setup cell has left it for the book's folder

OWN_STORIES = (
    'name a file of headlines (stories = "PATH" in a notebook; --stories PATH, or the variable '
    "HN_STORIES, on the command line)"
)
WHAT_TO_DO = f'{OWN_STORIES} or take the hub\'s ("hub" for PATH)'
ANOTHER = "take another file"


@dataclass(frozen=True)
class Titles:
    """The titles of a run, split, and where they come from.

    `stories` holds `source` (hub, file or synthetic), `revision` (hub) or `sha256` (of the file's
    bytes, or of the synthetic titles), `rows` in the source and how many of them were `dropped`.
    `origins` holds where each title comes from, by part ("train", "val", "test"), if it was asked.
    """

    train: list[str]
    val: list[str]
    test: list[str]
    stories: dict
    origins: dict[str, list[Origin]] | None = None


def load_titles(config, stories: str, origins: bool = False) -> Titles:
    """Read, permute, clean and split the titles that `config` asks for.

    `stories` is `hub`, `synthetic` (preset `smoke` only) or the path of a file (see
    `find_stories`). A title is unusable, and so dropped and counted, if it is null, empty after
    stripping, or not valid UTF-8 (a lone surrogate is not). With `origins`, each title's origin is
    read as well, from the columns `url` and `time`.

    Raises ValueError if the stories cannot be used, FileNotFoundError if they do not exist,
    ConnectionError if the hub cannot be reached.
    """
    more = COLUMNS if origins else ()
    if not stories:
        raise ValueError(f"no stories given: {WHAT_TO_DO}")
    if stories == "synthetic":
        if config.preset != "smoke":
            raise ValueError(
                f"synthetic stories serve the preset 'smoke' only, and this is {config.preset!r}: "
                f"{WHAT_TO_DO}"
            )
        rows = columns(synthetic_stories(), 1 + len(COLUMNS))
        digest = hashlib.sha256(b"\n".join(rows[0].to_pylist())).hexdigest()
        source = {"source": "synthetic", "sha256": digest}
    elif stories == "hub":
        rows = read_file(_download(), "delete it, and it is downloaded again", more)
        source = {"source": "hub", "revision": HUB_REVISION}
    else:
        path = _existing_file(stories)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        rows = read_file(path, f"mend it, or {ANOTHER}", more)
        source = {"source": "file", "sha256": digest}
    return _split(rows[: 1 + len(more)], config, source, stories)


def find_stories(stories: str) -> Path:
    """Return the absolute path of a file of stories.

    In Colab, a path that leads nowhere from here is taken from where files are uploaded to.
    """
    path = Path(stories).expanduser()
    uploaded = UPLOADS / path
    return (uploaded if uploaded.exists() and not path.exists() else path).absolute()


def _split(columns: list[pa.ChunkedArray], config, source: dict, stories: str) -> Titles:
    raws, *more = columns
    usable = np.fromiter((_text(raw) is not None for raw in values(raws)), bool, len(raws))
    found, rows = int(usable.sum()), len(raws)
    if found < config.num_titles:
        raise ValueError(
            f"{stories} has {found:,} usable titles in {rows:,} rows, and the preset "
            f"{config.preset!r} asks for {config.num_titles:,}: take a smaller preset, or a file "
            "with more headlines"
        )
    order = np.random.default_rng(SPLIT_SEED).permutation(rows)
    chosen = order[usable[order]][: config.num_titles + TEST_TITLES]
    titles = [_text(raw) for raw in raws.take(chosen).to_pylist()]
    fields = zip(*(column.take(chosen).to_pylist() for column in more), strict=True)
    origins = [origin(*own) for own in fields]
    if more and not any(story.month for story in origins):
        raise ValueError(
            f"no `time` of {stories} can be read: it is in seconds since 1970, or as 2019-12-26"
        )
    cut = int(config.num_titles * (1 - config.val_frac))
    parts = {
        "train": slice(cut),
        "val": slice(cut, config.num_titles),
        "test": slice(config.num_titles, None),
    }
    return Titles(
        **{name: titles[part] for name, part in parts.items()},
        stories={**source, "rows": rows, "dropped": rows - found},
        origins={name: origins[part] for name, part in parts.items()} if more else None,
    )


def _text(raw: bytes | None) -> str | None:
    """The stripped title, or None when there is none."""
    try:
        return raw.decode().strip() or None if raw is not None else None
    except UnicodeDecodeError:
        return None


def _existing_file(stories: str) -> Path:
    path = find_stories(stories)
    if path.is_dir():
        raise ValueError(f"{stories} is a folder: give the file in it ({', '.join(READERS)})")
    if not path.exists():
        tried = f" (nor in {UPLOADS})" if UPLOADS.is_dir() else ""
        raise FileNotFoundError(f"there are no stories at {path}{tried}: check the path")
    if not path.is_file():
        raise ValueError(f"{stories} is not a regular file: {ANOTHER}")
    if path.stat().st_size == 0:
        raise ValueError(f"{stories} is empty (0 bytes): {ANOTHER}")
    return path


def _download() -> Path:
    """The hub's stories in the local cache, downloaded first if they are not there.

    The library waits and tries again when the hub does not answer, and resumes a download that was
    cut off cleanly; what it leaves (a connection reset, a 503 instead of the file) is tried again.
    """
    from huggingface_hub import errors, hf_hub_download  # slow to import, and needed only here

    for wait in (1, 4, None):
        try:
            where = {"repo_type": "dataset", "revision": HUB_REVISION}
            # They are public; asking Colab for a token takes ten seconds, and warns in a figure.
            return Path(hf_hub_download(HUB_REPO, HUB_FILE, **where, token=False))
        except errors.LocalEntryNotFoundError as e:
            raise ConnectionError(
                "the hub cannot be reached, and its stories are not in the cache "
                f"({why(e.__cause__ or e)}): check the network and try again, or {OWN_STORIES}"
            ) from e
        except (
            errors.EntryNotFoundError,
            errors.RepositoryNotFoundError,
            errors.RevisionNotFoundError,
        ) as e:
            raise FileNotFoundError(
                f"the hub has no {HUB_FILE} of {HUB_REPO} at revision {HUB_REVISION} "
                f"({why(e)}): {OWN_STORIES}"
            ) from e
        except Exception as e:  # each version of the library has another HTTP library's errors
            if getattr(e, "errno", None) == errno.ENOSPC:
                message = "no room on disk for the hub's stories: set HF_HOME to a larger disk"
                raise OSError(errno.ENOSPC, message) from e
            if wait is None:
                raise ConnectionError(
                    f"the download from the hub failed three times ({why(e)}): "
                    f"try again later, or {OWN_STORIES}"
                ) from e
            time.sleep(wait)
