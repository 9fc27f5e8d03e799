"""The plain theme's server: MyST starts it, and it answers with finished pages.

`HOST`, `PORT`, `BASE_URL` and `CONTENT_CDN_PORT`, the content server that it reads, come from MyST;
`SITE_URL` comes from `book/site.py`.
`myst build --html` fetches each page once and writes what it gets.
"""

import os
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import loads
from mimetypes import guess_type
from urllib.error import HTTPError
from urllib.parse import quote, unquote
from urllib.request import ProxyHandler, build_opener

from render import HERE, TEMPLATES, Renderer

CONTENT = f"http://localhost:{os.environ.get('CONTENT_CDN_PORT', '3100')}"
BASE = os.environ.get("BASE_URL", "").rstrip("/")
SITE = os.environ.get("SITE_URL", "").rstrip("/")  # the full address, where it is known
OPENER = build_opener(ProxyHandler({}))  # the content server is on this machine: no proxy


def fetch(path):
    """The bytes of a file of the content server; raises HTTPError where there is none."""
    with OPENER.open(CONTENT + quote(path), timeout=30) as reply:
        return reply.read()


def contents(project):
    """The table of contents, the front page first; an entry with a `slug` is a page, at `url`."""
    front = loads(fetch(f"/content/{project['index']}.json"))["frontmatter"]
    entries = [{"slug": project["index"], "title": front.get("title"), "level": 1, "url": "/"}]
    for entry in project["pages"]:
        if slug := entry.get("slug"):
            entry["url"] = "/" + slug.removesuffix(".index").replace(".", "/") + "/"
        entries.append(entry)
    return entries


def page(path):
    """The HTML of the page at `path`, or None where the book has none."""
    site = loads(fetch("/config.json"))
    toc = contents(site["projects"][0])
    read = [entry for entry in toc if "slug" in entry]
    places = {entry["url"].strip("/"): i for i, entry in enumerate(read)} | {read[0]["slug"]: 0}
    if (at := places.get(path.strip("/"))) is None:
        return None
    content = loads(fetch(f"/content/{read[at]['slug']}.json"))
    titled = bool(content["frontmatter"].get("content_includes_title"))
    renderer = Renderer(BASE, fetch, content.get("references"), titled)
    return TEMPLATES.get_template("page.html").render(
        site=site, toc=toc, read=read, at=at, content=content, page=renderer, address=SITE
    )


def answer(path):
    """The bytes of what is at `path`; raises HTTPError where there is nothing."""
    if path == "/myst-theme.css":  # the theme's style, and after it the book's own, if it has one
        own = loads(fetch("/config.json")).get("options", {}).get("style")
        return (HERE / "style.css").read_bytes() + (fetch(own) if own else b"")
    for file in (HERE / "public").iterdir():
        if path == f"/{file.name}":
            return file.read_bytes()
    if made := page(path):
        return made.encode()
    try:
        return fetch(path.removeprefix("/myst_assets_folder"))
    except HTTPError:
        return fetch(f"/content{path}")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path = unquote(self.path.partition("?")[0])
        try:
            status, body = 200, answer(path)
        except Exception as error:  # MyST stops at a page that is not made: say why
            status, body = getattr(error, "code", 500), f"theme: {path}: {error!r}".encode()
            print(body.decode(), file=sys.stderr, flush=True)
        kind = guess_type(path)[0] or "text/html"
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    host, port = os.environ.get("HOST", "localhost"), int(os.environ.get("PORT", "3000"))
    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://{host}:{port}", flush=True)
    with suppress(KeyboardInterrupt, OSError):  # until MyST is gone, however it went
        while True:
            time.sleep(5)
            with suppress(HTTPError, TimeoutError):
                fetch("/config.json")
