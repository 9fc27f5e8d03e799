"""The plain theme's server: MyST starts it, and it answers with finished pages.

What it reads comes from MyST's content server on `CONTENT_CDN_PORT`; `HOST`, `PORT` and `BASE_URL`
are MyST's too. With `myst build --html` MyST fetches each page once and writes it to a file.
"""

import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import loads
from mimetypes import guess_type
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote
from urllib.request import ProxyHandler, build_opener

from jinja2 import Environment, FileSystemLoader
from render import Renderer

HERE = Path(__file__).parent
CONTENT = f"http://localhost:{os.environ.get('CONTENT_CDN_PORT', '3100')}"
BASE = os.environ.get("BASE_URL", "").rstrip("/")
OPENER = build_opener(ProxyHandler({}))  # the content server is on this machine: no proxy
TEMPLATES = Environment(
    loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


def fetch(path):
    """The bytes of a file of the content server; raises HTTPError where there is none."""
    with OPENER.open(CONTENT + quote(path), timeout=30) as answer:
        return answer.read()


def url_of(slug):
    """The path of a page: `a.b` is at `/a/b`, as MyST writes it."""
    return "/" + slug.removesuffix(".index").replace(".", "/")


def pages_of(project):
    """The table of contents, the front page first: `{title, level, slug?, url?}` each."""
    front = loads(fetch(f"/content/{project['index']}.json"))["frontmatter"]
    front = {"slug": project["index"], "title": front.get("title") or "Start", "level": 1, "url": "/"}
    rest = [{**p, "url": url_of(p["slug"]) + "/"} if "slug" in p else p for p in project["pages"]]
    return [front, *rest]


def page(path):
    """The HTML of the page at `path`, or None where the book has no such page."""
    config = loads(fetch("/config.json"))
    project = config["projects"][0]
    toc = pages_of(project)
    read = [entry for entry in toc if "slug" in entry]
    wanted = path.rstrip("/") or url_of(project["index"])
    at = next((i for i, entry in enumerate(read) if url_of(entry["slug"]) == wanted), None)
    if at is None:
        return None
    content = loads(fetch(f"/content/{read[at]['slug']}.json"))
    meta, references = content["frontmatter"], content.get("references", {})
    titled = bool(meta.get("content_includes_title"))
    renderer = Renderer(BASE, fetch, references.get("cite"), titled=titled)
    parts = (meta.get("parts") or {}).values()
    abstract = "".join(renderer.render(part["mdast"]) for part in parts if "mdast" in part)
    return TEMPLATES.get_template("page.html").render(
        base=BASE,
        site=config,
        options=config.get("options", {}),
        project=project,
        meta=meta,
        kind=content.get("kind"),
        titled=titled,
        toc=toc,
        here=read[at],
        previous=read[at - 1] if at else None,
        next=read[at + 1] if at + 1 < len(read) else None,
        abstract=abstract,
        body=renderer.page(content["mdast"]),
        outline=renderer.outline,
        link=renderer.url,
        file=renderer.file,
    )


def sitemap():
    pages = pages_of(loads(fetch("/config.json"))["projects"][0])
    urls = "".join(f"<url><loc>{BASE}{p['url']}</loc></url>" for p in pages if "slug" in p)
    return f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'


def stylesheet():
    """The theme's style, then the book's own (`site.options.style`), if it has one."""
    own = loads(fetch("/config.json")).get("options", {}).get("style")
    return (HERE / "style.css").read_text("utf-8") + (fetch(own).decode() if own else "")


def answer(path):
    """The body and the type of what is at `path`; (None, None) where there is nothing."""
    made = {
        "/myst-theme.css": (stylesheet, "text/css"),
        "/sitemap.xml": (sitemap, "application/xml"),
        "/sitemap_style.xsl": (lambda: "", "application/xml"),
        "/robots.txt": (lambda: "User-agent: *\nAllow: /\n", "text/plain"),
    }
    if path in made:
        make, kind = made[path]
        return make(), kind
    static = HERE / "public" / path[1:]
    if path.count("/") == 1 and static.is_file():
        return static.read_bytes(), guess_type(path)[0]
    if body := page(path):
        return body, "text/html"
    name = path.removeprefix("/myst_assets_folder")
    try:
        inside = f"/content{name}" if name.endswith(".json") and name.count("/") == 1 else name
        if name in ("/config.json", "/myst.search.json", "/myst.xref.json"):
            inside = name
        return fetch(inside), guess_type(name)[0]
    except HTTPError:
        return None, None


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            body, kind = answer(unquote(self.path.partition("?")[0]))
            status = 404 if body is None else 200
        except Exception as error:  # a page that cannot be made stops MyST, which needs to say why
            print(f"theme: {self.path}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            status, body, kind = 500, f"{error}", "text/plain"
        body = "Not found" if body is None else body
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", f"{kind or 'application/octet-stream'}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def leave_with_myst():
    """Ends this process once MyST is gone, however it went."""
    while True:
        time.sleep(5)
        try:
            fetch("/config.json")
        except (HTTPError, TimeoutError):
            continue
        except URLError:
            os._exit(0)


if __name__ == "__main__":
    host, port = os.environ.get("HOST", "localhost"), int(os.environ.get("PORT", "3000"))
    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=leave_with_myst, daemon=True).start()
    print(f"http://{host}:{port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
