"""Downloads from the hub: `load_titles` in a process of its own against a server on loopback.

The server answers as the hub does: a HEAD of the file redirects to another host, which has the
bytes, with the commit, the digest and the size in headers; the bytes can be read from any offset.
Each test makes something go wrong, and the process must end with the right stories or with a
message that says what to do.
"""

import hashlib
import io
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

REVISION = "9e21b0f3c36bd7ce50b741ce966297a7f73cae38"
FILE = f"/datasets/julien040/hacker-news-posts/resolve/{REVISION}/story.parquet"
TITLES = [f"title {i}, {'x' * (i % 50)}" if i % 10 else None for i in range(3_000)]

# Waiting between attempts is the library's business and ours, not the test's: it is made short.
CLIENT = """
import json, sys, time
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.02))
from lib.config import load_preset
from lib.data import load_titles
try:
    loaded = load_titles(load_preset("tiny", num_titles=1_000), "hub")
    answer = {"titles": loaded.train + loaded.val + loaded.test, "stories": loaded.stories}
except (ValueError, OSError) as error:
    answer = {"error": type(error).__name__, "message": str(error)}
print(json.dumps(answer))
"""


class Hub(ThreadingHTTPServer):
    """What it serves, what goes wrong on the way, and what was asked of it."""

    daemon_threads = True

    def __init__(self, content: bytes):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.faults = {"HEAD": [], "GET": []}  # one is taken off for each request; "" is none
        self.requests = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def fault(self) -> str:
        self.server.requests.append((self.command, self.headers.get("Range")))
        faults = self.server.faults[self.command]
        return faults.pop(0) if len(faults) > 1 else faults[0] if faults else ""

    def answer(self, status: int, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def fail(self, fault: str):
        status, _, code = fault.partition(" ")
        self.answer(int(status), Content_Length="0", **({"X_Error_Code": code} if code else {}))

    def do_HEAD(self):
        if fault := self.fault():
            return self.fail(fault)
        if self.path != FILE:
            return self.fail("404 EntryNotFound")
        self.answer(
            302,
            Location=f"http://localhost:{self.server.server_port}/bytes",
            X_Repo_Commit=REVISION,
            X_Linked_ETag=f'"{hashlib.sha256(self.server.content).hexdigest()}"',
            X_Linked_Size=str(len(self.server.content)),
            Content_Length="0",
        )

    def do_GET(self):
        fault = self.fault()
        if fault[:3].isdigit():
            return self.fail(fault)
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        content = self.server.content[start:]
        self.answer(206 if start else 200, Content_Length=str(len(content)))
        self.wfile.write(content[: len(content) // 2] if fault else content)
        if fault:
            self.wfile.flush()
            if fault == "reset":  # the kernel sends RST instead of FIN
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True


def story_parquet(padding: int = 0) -> bytes:
    """The hub's file: the titles among other columns, one of them with `padding` bytes a row."""
    ids, pad = pa.array(range(len(TITLES))), pa.array([bytes(padding)] * len(TITLES))
    table = pa.table({"id": ids, "title": pa.array(TITLES), "padding": pad})
    written = io.BytesIO()
    pq.write_table(table, written, compression="none", use_dictionary=False)
    return written.getvalue()


@pytest.fixture
def hub():
    server = Hub(story_parquet())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def load(hub: Hub, home: Path) -> dict:
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_ETAG_TIMEOUT": "30",
        "HF_HUB_DOWNLOAD_TIMEOUT": "30",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", CLIENT],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(answer: dict):
    """The stories that the server holds, shuffled, cleaned and cut."""
    order = np.random.default_rng(1337).permutation(len(TITLES))
    assert answer.get("titles") == [TITLES[i] for i in order if TITLES[i]], answer
    rows, dropped = len(TITLES), len(TITLES) // 10
    stories = {"source": "hub", "revision": REVISION, "rows": rows, "dropped": dropped}
    assert answer["stories"] == stories


def check_message(answer: dict, error: str, *parts: str):
    assert answer.get("error") == error, answer
    for part in (*parts, 'stories = "PATH"', "--stories PATH", "HN_STORIES"):
        assert part in answer["message"]
    assert "\n" not in answer["message"]


def test_download_then_cache(hub, tmp_path):
    check(load(hub, tmp_path / "home"))
    assert [method for method, _ in hub.requests] == ["HEAD", "GET"]
    hub.faults = {"HEAD": ["503"], "GET": ["503"]}
    check(load(hub, tmp_path / "home"))  # from the cache, without a question
    assert len(hub.requests) == 2


def test_a_cut_connection_is_resumed(hub, tmp_path):
    hub.content = story_parquet(padding=15_000)  # 45 MB: the library writes in pieces of 10 MiB
    hub.faults["GET"] = ["cut", "cut", ""]
    check(load(hub, tmp_path / "home"))
    first, *later = [where for method, where in hub.requests if method == "GET"]
    starts = [int(where.removeprefix("bytes=").removesuffix("-")) for where in later]
    assert first is None and len(starts) == 2 and 0 < starts[0] < starts[1] < len(hub.content)


def test_a_small_download_that_is_cut_starts_again(hub, tmp_path):
    hub.faults["GET"] = ["cut", "cut", ""]
    check(load(hub, tmp_path / "home"))
    assert [method for method, _ in hub.requests].count("GET") == 3


def test_a_reset_connection_is_tried_again(hub, tmp_path):
    hub.faults["GET"] = ["reset", ""]
    check(load(hub, tmp_path / "home"))
    assert [method for method, _ in hub.requests].count("GET") == 2


def test_a_connection_that_is_always_reset_says_what_to_do(hub, tmp_path):
    hub.faults["GET"] = ["reset"]
    check_message(load(hub, tmp_path / "home"), "ConnectionError", "failed three times")
    assert not list((tmp_path / "home").rglob("*.parquet"))


@pytest.mark.parametrize("code", ["EntryNotFound", "RepoNotFound", "RevisionNotFound"])
def test_404_says_what_to_do(hub, tmp_path, code):
    hub.faults["HEAD"] = [f"404 {code}"]
    answer = load(hub, tmp_path / "home")
    check_message(answer, "FileNotFoundError", "story.parquet", REVISION, "404")
    assert len(hub.requests) == 1  # what is not there is not asked for again


def test_503_is_waited_out(hub, tmp_path):
    hub.faults = {"HEAD": ["503", "503", ""], "GET": ["503", ""]}
    check(load(hub, tmp_path / "home"))


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_503_for_good_says_what_to_do(hub, tmp_path, method):
    hub.faults[method] = ["503"]
    answer = load(hub, tmp_path / "home")
    check_message(answer, "ConnectionError", "503")
    assert 3 <= len([m for m, _ in hub.requests if m == method]) <= 20


def test_no_network_says_what_to_do(hub, tmp_path):
    hub.shutdown()
    hub.server_close()
    answer = load(hub, tmp_path / "home")
    check_message(answer, "ConnectionError", "cannot be reached", "not in the cache")


def test_damage_in_the_cache_says_what_to_delete(hub, tmp_path):
    hub.content = hub.content[:-100] + bytes(100)
    answer = load(hub, tmp_path / "home")
    assert answer.get("error") == "ValueError"
    named = answer["message"].split(" cannot be read")[0]
    assert answer["message"].endswith("delete it, and it is downloaded again")
    Path(named).unlink()
    hub.content = hub.content[:-100] + b"PAR1"  # still damaged, but it was asked for again
    before = len(hub.requests)
    load(hub, tmp_path / "home")
    assert len(hub.requests) > before
