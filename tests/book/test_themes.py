"""Which theme the site is rendered with, and what is said where it cannot be rendered."""

import http.server
import io
import json
import threading
import time
import zipfile

import pytest

from book import site
from book.site import SiteError, build_site, choose_theme

from ..plugins.test_plugins import make_theme
from .test_site import make_book


class Registry(http.server.BaseHTTPRequestHandler):
    """A template registry as the MyST command asks it: a description, then a zip."""

    asked: list
    bundle: bytes

    def do_GET(self):
        self.asked.append(self.path)
        link = f"http://127.0.0.1:{self.server.server_port}/book-theme.zip"
        if self.path == "/templates/site/myst/book-theme":
            body = json.dumps({"links": {"download": link}}).encode()
        elif self.path == "/book-theme.zip":
            body = self.bundle
        else:
            return self.send_error(404)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def registry(tmp_path, monkeypatch):
    folder = make_theme(tmp_path / "stand-in", "stand-in-book-theme")
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as file:
        for path in folder.rglob("*"):
            file.write(path, path.relative_to(folder))
    handler = type("Handler", (Registry,), {"asked": [], "bundle": bundle.getvalue()})
    server, address = serve(handler)
    monkeypatch.setattr(site, "PROBE_SECONDS", 60)
    monkeypatch.setenv("API_URL", address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield handler
    server.shutdown()


def test_official_theme_is_taken_where_its_registry_answers(tmp_path, registry, capsys):
    root = make_book(tmp_path / "book", "# Report\n", notebooks=())
    html = build_site(root)
    assert "theme: book (the official theme, from http://127.0.0.1" in capsys.readouterr().out
    assert "stand-in-book-theme" in (html / "index.html").read_text()
    assert registry.asked.count("/templates/site/myst/book-theme") == 2  # the probe, then MyST
    registry.asked.clear()
    assert choose_theme(root) == ("book", "downloaded earlier")
    assert choose_theme(root, "plain") == ("plain", "asked for")
    assert registry.asked == []


def test_plain_theme_serves_where_there_is_no_registry(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    root = make_book(tmp_path / "book", "# Report\n", notebooks=())
    html = build_site(root)
    out = capsys.readouterr().out
    assert "theme: plain (the official theme is out of reach at http://127.0.0.1:9: " in out
    assert out.count("theme:") == 1
    assert "plain at" in (html / "index.html").read_text()
    with pytest.raises(SiteError, match=r"(?s)could not build the site.*THEME=plain"):
        build_site(root, "book")


@pytest.mark.parametrize("answer", ["hangs", "drips", "404", "not json", "no zip"])
def test_registry_that_is_no_use_is_given_up_in_time(tmp_path, monkeypatch, answer):
    class Useless(Registry):
        def do_GET(self):
            if answer == "hangs":
                time.sleep(8)
            self.send_response(404 if answer == "404" else 200)
            self.end_headers()
            for _ in range(40 if answer == "drips" else 0):  # never silent for long
                self.wfile.write(b" ")
                time.sleep(0.2)
            if answer == "no zip":
                self.wfile.write(b'{"links": {"download": "http://127.0.0.1:9/x.zip"}}')

        asked, bundle = [], b""

    server, address = serve(Useless)
    monkeypatch.setenv("API_URL", address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    slow = answer in ("hangs", "drips")
    monkeypatch.setattr(site, "PROBE_SECONDS", 0.5 if slow else 60)
    start = time.monotonic()
    theme, why = choose_theme(tmp_path)
    assert time.monotonic() - start < 5 or not slow
    assert theme == "plain" and address in why
    assert ("did not answer within" in why) == slow and ("out of reach" in why) != slow
    server.shutdown()


def test_unknown_theme_and_missing_book_are_plain_errors(tmp_path):
    with pytest.raises(SiteError, match="no theme 'pretty'; choose auto, book or plain"):
        choose_theme(tmp_path, "pretty")
    with pytest.raises(SiteError, match=r"has no myst\.yml"):
        build_site(tmp_path)


def test_node_that_is_missing_or_old_is_a_plain_error(tmp_path, monkeypatch):
    root = make_book(tmp_path / "book", "# Report\n", notebooks=())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(SiteError, match=r"Node is not installed\. MyST needs Node 20 or later"):
        build_site(root)
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text("#!/bin/sh\necho v18.19.1\n")
    node.chmod(0o755)
    with pytest.raises(SiteError, match=r"Node is v18\.19\.1\. MyST needs Node 20 or later"):
        build_site(root)
