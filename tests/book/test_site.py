"""Rendering the site: every kind of breakage is found, and what is sound is shown."""

import http.server
import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell

from book import site
from book.__main__ import main
from book.repository import set_github
from book.site import SiteError, build_site

from ..plugins.test_plugins import (
    ROOT,
    find,
    make_cell,
    make_notebook,
    make_record,
    page,
    refused,
)
from ..plugins.test_plugins import make_book as plain_book


def make_book(*arguments, **options) -> Path:
    """A book that has no records."""
    root = plain_book(*arguments, **options)
    (root / "results").mkdir(exist_ok=True)
    (root / "results" / "report.json").write_text('{"preset": "small"}')
    return root


BROKEN = """---
title: Report
---

See [](#nowhere), [a section](#lost), {ref}`no_label` and [a page](gone.md).

:::{figure} #no_such_cell
:label: fig_missing
:alt: Nothing
A cell that is not there.
:::

:::{figure} #silent
:label: fig_silent
:alt: Nothing
A cell that put nothing out.
:::

:::{figure} #loss
:label: fig_no_alt
A figure without alt text.
:::

![](drawn.svg)

:::{embed} #no_such_code
:::

Raw {result} `01_baseline.losses.official` here.

Quoted `{result}`01_baseline.losses.official`` here.
"""


def test_every_kind_of_breakage_is_found_with_page_and_name(tmp_path):
    root = make_book(tmp_path / "book", BROKEN)
    (root / "drawn.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (root / "forgotten.md").write_text("# Forgotten\n")
    (root / "README.md").write_text("# Listed under exclude\n")
    config = root / "myst.yml"
    config.write_text(config.read_text().replace("  toc:", "  exclude: [README.md]\n  toc:"))
    make_notebook(
        root / "notebooks" / "01_baseline.ipynb",
        make_cell("loss"),
        make_cell("mute", alt="<Figure size 640x480 with 1 Axes>"),
        new_code_cell("#| label: silent\nx = 1"),
    )
    with pytest.raises(SiteError) as error:
        build_site(root, "plain")
    found = str(error.value)
    for line in (
        "index.md:5: the reference to nowhere resolves to nothing",
        "index.md:5: the reference to lost resolves to nothing",
        "index.md:5: the reference to no_label resolves to nothing",
        "index.md:5: the reference to gone.md resolves to nothing",
        "index.md:10: figure fig_missing shows nothing; is there a cell labelled no_such_cell",
        "index.md:16: figure fig_silent shows nothing; is there a cell labelled silent",
        "index.md:21: figure fig_no_alt has no alt text",
        "index.md:24: the image drawn.svg has no alt text",
        "index.md: embed no_such_code shows nothing; is there a cell labelled no_such_code",
        "index.md:29: {result} stands there as text",
        "index.md:31: {result} stands there as text",
        "notebooks/01_baseline.ipynb cell mute: its image has no text/plain",
        "forgotten.md: is in no table of contents",
    ):
        assert line in found, f"{line}\nis not in\n{found}"
    assert "README" not in found and "cell loss" not in found


def captioned(label: str, extra: str = "", alt: str = "A falling line"):
    cell = make_cell(label, alt)
    cell.source = f"{extra}#| caption: It *falls*\ndraw()"
    if label:
        cell.source = f"#| label: {label}\n{cell.source}"
    return cell


def test_a_cell_with_a_caption_is_a_figure_whose_alt_text_is_its_outputs(tmp_path):
    figure = ":::{figure} #loss\n:label: fig_loss\n:alt: A line falls\nCaption.\n:::\n"
    root = make_book(tmp_path / "book", figure)
    path = root / "notebooks" / "01_baseline.ipynb"
    hidden = captioned("hidden")
    hidden.metadata.tags = ["remove-input"]
    sound = [captioned("loss"), captioned("table", "#| kind: table\n"), captioned(""), hidden]
    make_notebook(path, *sound)
    build_site(root, "plain")
    labels = [c.get("label") for c in find(page(root, "baseline"), "container")]
    assert {"loss", "table", "hidden", None} <= set(labels)  # MyST made figures of them

    embed = new_markdown_cell(":::{figure} #loss\n:label: fig_bare\n:::")
    two = new_markdown_cell(":::{figure}\n:label: fig_two\n![](#loss)\n![](#hidden)\n:::")
    mute = [captioned("mute", alt=""), captioned("mute_table", "#| kind: table\n", "<Figure>")]
    make_notebook(path, *sound, *mute, embed, two)
    with pytest.raises(SiteError) as error:
        build_site(root, "plain")
    where = "notebooks/01_baseline.ipynb"
    no_text = "its image has no text/plain that says what it shows (its alt text)"
    assert [line.strip() for line in str(error.value).splitlines()[1:]] == [
        f"{where} cell mute: {no_text}",
        f"{where} cell mute_table: {no_text}",
        f"{where}: figure fig_bare has no alt text (:alt:)",
        f"{where}: figure fig_two has no alt text (:alt:)",
        f"{where}: figure fig_two-a has no alt text (:alt:)",
        f"{where}: figure fig_two-b has no alt text (:alt:)",
    ]


def test_a_figure_is_of_the_preset_whose_numbers_stand_around_it(tmp_path):
    figure = ":::{figure} #loss\n:label: fig_loss\n:alt: It falls\nCaption.\n:::\n"
    root = make_book(tmp_path / "book", f"Text.\n\n{figure}")
    report = root / "results" / "report.json"
    for other, two in (("01_baseline", "tiny, the page of small"), ("index", "small, the page")):
        report.write_text(json.dumps({"preset": "small", "but": {other: "tiny"}}))
        with pytest.raises(SiteError, match=f"index.md:6: figure fig_loss is of preset {two}"):
            build_site(root, "plain")
    report.write_text('{"preset": "small", "but": {"index": "tiny", "01_baseline": "tiny"}}')
    build_site(root, "plain")


KEY = "hidden-credential"


@pytest.fixture
def clone(tmp_path):
    """A book in a clone of git whose remote holds a credential."""
    root = make_book(tmp_path / "book", "# Report\n")
    setup = new_code_cell('REPOSITORY = ""  # owner/name')
    make_notebook(root / "notebooks" / "01_baseline.ipynb", setup, make_cell("loss"))
    remote = f"https://some_one:{KEY}@github.com/some_one/a.book.git/"
    for command in (
        "-c user.name=x -c user.email=x@x commit -q --allow-empty -m Book",
        "update-ref refs/remotes/origin/trunk HEAD",
        "symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/trunk",
        f"remote add origin {remote}",
    ):
        subprocess.run(["git", *command.split()], cwd=root, check=True)
    return root


def test_colab_links_follow_the_clone_and_nothing_shows_its_remote(clone, capfd, monkeypatch):
    monkeypatch.setenv("BOOK_GITHUB", "not-this/one")
    assert main(["site", "--root", str(clone), "--theme", "plain"]) == 0
    place = "colab.research.google.com/github/some_one/a.book/blob/trunk/notebooks"
    (link,) = find(page(clone, "baseline"), "link")
    assert link["url"] == f"https://{place}/01_baseline.ipynb"
    said = capfd.readouterr()
    assert "REPOSITORY is empty, or another's, in 01_baseline.ipynb" in said.out
    assert "make github SLUG=owner/name, then commit and push" in said.out
    assert KEY not in said.out + said.err
    built = [path for path in (clone / "_build").rglob("*") if path.is_file()]
    assert built and not any(KEY.encode() in path.read_bytes() for path in built)

    set_github(clone, "some_one/a.book")
    build_site(clone, "plain")
    assert "REPOSITORY" not in capfd.readouterr().out

    (clone / "myst.yml").write_text(
        re.sub("github: .*", f"github: https://{KEY}@x.org/a/b", (clone / "myst.yml").read_text())
    )
    shutil.rmtree(clone / "_build")
    assert main(["site", "--root", str(clone), "--theme", "plain"]) == 1
    said = capfd.readouterr()
    assert "error: project.github in myst.yml is no repository on GitHub" in said.err
    assert KEY not in said.out + said.err
    assert not (clone / "_build").exists()  # said before anything is rendered


@pytest.mark.parametrize("remote", [f"https://{KEY}@gitlab.com/a/b.git", f"/srv/{KEY}/book.git"])
def test_a_remote_that_is_not_on_github_is_no_error(clone, remote, capfd, monkeypatch):
    monkeypatch.setenv("BOOK_GITHUB", "not-this/one")
    subprocess.run(["git", "remote", "set-url", "origin", remote], cwd=clone, check=True)
    assert main(["site", "--root", str(clone), "--theme", "plain"]) == 0
    said = capfd.readouterr()
    assert "this book does not know its repository. Set it once: make github" in said.out
    assert KEY not in said.out + said.err
    assert not find(page(clone, "baseline"), "link")


COMPLAINTS = {  # what is on a page, and what MyST says of it
    "![A picture](missing.png)": 'Cannot find image "missing.png"',
    "{no-such-role}`x`": "unknown role: no-such-role",
    "As is known [@nobody2020].": 'Could not link citation with label "nobody2020"',
    ":::{no-such-directive}\n:::": "unknown directive: no-such-directive",
}


def test_what_myst_itself_complains_of_stops_the_build(tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # a shell's: what MyST says is understood all the same
    root = make_book(tmp_path / "book", "# Report\n", notebooks=())
    told = refused(root, [f"# Page\n\n{text}\n" for text in COMPLAINTS])
    for said, why in zip(told, COMPLAINTS.values(), strict=True):
        assert why in said


def test_a_sound_book_is_rendered_afresh_under_a_base_url(tmp_path, capsys):
    root = make_book(tmp_path / "book", "# Report\n")
    stale = root / "_build" / "site" / "content" / "stale.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    html = build_site(root, "plain", base_url="/seven-epochs/")
    assert html == root / "_build" / "html"
    assert "plain at /seven-epochs" in (html / "index.html").read_text()
    assert not stale.exists()
    out = capsys.readouterr().out
    assert "theme: plain (asked for)" in out
    assert "make github SLUG=owner/name" in out  # no repository is known


def shown(root: Path, theme: str) -> str:
    """The front page that `serve_site` shows, on a port of its own."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as taken:
        port = taken.server_port
        for wrong in (port, 99999):
            with pytest.raises(SiteError, match=f"port {wrong} cannot be used"):
                site.serve_site(root, wrong)
    threading.Thread(target=site.serve_site, args=(root, port, theme), daemon=True).start()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(6000):
        try:
            with opener.open(f"http://127.0.0.1:{port}/") as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.1)
    return pytest.fail("the server did not start")


def rendered_before(root: Path, page: str) -> Path:
    """The folder of a site that was rendered in `root`, whose front page is `page`."""
    html = root / "_build" / "html"
    html.mkdir(parents=True)
    (html / "index.html").write_text(page)
    (root / "_build" / site.SERVED_FROM).write_text("")
    return html


def test_serve_site_shows_what_was_rendered(tmp_path):
    rendered_before(tmp_path, "the front page")
    assert shown(tmp_path, "auto") == "the front page"


@pytest.mark.parametrize("changed", ["index.md", "results/smoke/01_baseline.json"])
def test_serve_site_renders_again_what_was_changed_since(tmp_path, monkeypatch, changed):
    records = [make_record("01_baseline", preset="smoke")]
    root = plain_book(tmp_path / "book", "# Report\n", records, shown="smoke")
    html = rendered_before(root, "rendered before")
    now = (html / "index.html").stat().st_mtime
    for path in root.rglob("*"):
        os.utime(path, (now - 60, now - 60))
    rendered = []
    monkeypatch.setattr(site, "build_site", lambda *_: rendered.append(root) or html)
    assert shown(root, "auto") == "rendered before" and rendered == []
    os.utime(root / changed, (now + 60, now + 60))
    assert shown(root, "auto") == "rendered before" and rendered


def test_serve_site_does_not_show_what_was_refused(tmp_path):
    root = make_book(tmp_path / "book", "# Report\n\n[gone](gone.md)\n", notebooks=())
    for attempt in (build_site, site.serve_site):
        with pytest.raises(SiteError, match=r"(?s)the book is broken.*gone\.md"):
            attempt(root, theme="plain")
    with pytest.raises(SiteError, match="the book is broken"):
        site.serve_site(root)


def test_what_myst_says_is_told_where_it_fails_in_a_new_clone(tmp_path, monkeypatch):
    root = make_book(tmp_path / "book", "# Report\n", notebooks=())
    myst = tmp_path / "bin" / "myst"
    myst.parent.mkdir()
    myst.write_text("#!/bin/sh\necho it is no good\nexit 1\n")
    myst.chmod(0o755)
    monkeypatch.setattr(site, "_myst", lambda: str(myst))
    with pytest.raises(SiteError, match=r"(?s)could not build .*it is no good.*THEME=plain"):
        build_site(root, "book")


def test_serve_site_renders_again_what_was_made_for_a_folder(tmp_path):
    root = make_book(tmp_path / "book", "# Report\n", notebooks=())
    html = build_site(root, "plain", base_url="/seven-epochs")
    assert "plain at /seven-epochs" in (html / "index.html").read_text()
    assert "plain at /seven-epochs" not in shown(root, "auto")


def test_serve_site_renders_with_the_theme_that_is_asked_for(tmp_path):
    root = make_book(tmp_path / "book", "# Report\n", notebooks=())
    html = rendered_before(root, "the official theme's front page")
    assert "plain at" in shown(root, "plain")
    assert "plain at" in (html / "index.html").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")))
def test_workflows_have_least_permissions_and_pinned_actions(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        granted = {name for name, level in job.get("permissions", {}).items() if level == "write"}
        deploys = any("deploy-pages" in step.get("uses", "") for step in job["steps"])
        assert granted == ({"pages", "id-token"} if deploys else set())
        for step in job["steps"]:
            pinned = r"actions/[\w-]+@v\d+|[\w-]+/[\w-]+@[0-9a-f]{40}"  # others by their commit
            assert re.fullmatch(pinned, step.get("uses", "actions/x@v1"))


def test_the_citation_file_is_what_a_reference_manager_takes():
    """The keys that the schema of CFF 1.2.0 requires; the same title stands in the two pages."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["cff-version"] == "1.2.0" and cited["message"] and cited["type"] == "software"
    assert all(set(author) == {"name"} for author in cited["authors"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", cited["date-released"])  # a text, not YAML's date
    for name in ("README.md", "reproduce.md"):
        assert f"*{cited['title']}*" in (ROOT / name).read_text("utf-8")


def test_every_entry_of_the_bibliography_is_cited():
    """And a key that is cited without an entry is found by MyST."""
    entries = re.findall(r"^@\w+\{(\w+),", (ROOT / "references.bib").read_text("utf-8"), re.M)
    pages = [*ROOT.glob("*.md"), *ROOT.glob("notebooks/*.ipynb")]
    cited = {key for page in pages for key in re.findall(r"@(\w+)\]", page.read_text("utf-8"))}
    assert entries and set(entries) <= cited
