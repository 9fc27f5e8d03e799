"""The checks of the HTML that a theme wrote, whichever theme it was."""

import shutil
from xml.etree import ElementTree

import pytest

from book.checks import check_html
from book.site import SiteError, build_site

from ..plugins.test_plugins import SERVER, make_theme
from .test_site import make_book

INDEX = "# Report\n\n:::{figure} #loss\n:label: fig_loss\n:alt: It falls\nCaption.\n:::\n"
NO_ALT = ("<img alt=", "<img data-alt=", "0 of the images of figure fig_loss have alt")
BREAKAGE = {  # a theme's mistake: the right HTML, the wrong HTML, the message
    "no alt text": NO_ALT,
    "a script draws": ("<img", "<b>Loading</b>", "0 of the images of fig"),
    "the top of the page": ("/baseline#loss", "/baseline", "no Source leads to /baseline#"),
    "another page": ("/baseline#loss", "/x/baseline#loss", "no Source leads to /baseline#loss"),
    "no such place": ('id="loss"', 'id="x"', "has no place #loss"),
}


def build(root, server, **options):
    make_book(root, INDEX)
    shutil.rmtree(root / "theme")
    make_theme(root / "theme", "plain", server)
    return build_site(root, "plain", **options)


@pytest.fixture(scope="module", params=["", "/some/where"])
def sound(request, tmp_path_factory):
    """A book in which all is right, and the path that it was built for."""
    root = tmp_path_factory.mktemp("sound") / "book"
    build(root, SERVER, base_url=request.param)
    return root, request.param


@pytest.mark.parametrize("what", BREAKAGE)
def test_what_a_theme_did_wrong_is_found(tmp_path, sound, what):
    (whole, base), (right, wrong, told) = sound, BREAKAGE[what]
    root = shutil.copytree(whole, tmp_path / "book")
    assert check_html(root, base) == []
    pages = {page: page.read_text("utf-8") for page in root.glob("_build/html/**/index.html")}
    assert right in "".join(pages.values())
    for page, html in pages.items():
        page.write_text(html.replace(right, wrong), "utf-8")
    problems = check_html(root, base)
    assert any(p.startswith("index.md: in the HTML, ") and told in p for p in problems), problems


def test_a_site_that_its_theme_broke_is_refused(tmp_path):
    right, wrong, told = NO_ALT
    assert right in SERVER
    with pytest.raises(SiteError, match=f"index.md: in the HTML, {told}"):
        build(tmp_path / "book", SERVER.replace(right, wrong))


def test_a_sound_site_has_no_problem_until_a_page_of_it_is_gone(tmp_path):
    html = build(tmp_path / "book", SERVER)
    assert check_html(tmp_path / "book") == []
    (html / "baseline" / "index.html").unlink()
    (problem,) = check_html(tmp_path / "book")
    assert problem == "index.md: in the HTML, /baseline has no place #loss for a Source"


def test_an_address_that_is_known_stands_in_the_sitemap(tmp_path, monkeypatch):
    """As GitHub's workflow tells it: in the environment."""
    monkeypatch.setenv("BASE_URL", "https://some-one.github.io/a&b/")
    html = build(tmp_path / "book", SERVER)
    urls = [
        url.text for url in ElementTree.parse(html / "sitemap.xml").iter() if url.tag[-3:] == "loc"
    ]
    assert urls == [f"https://some-one.github.io/a&b/{page}" for page in ("", "baseline/")]
    assert (
        "Sitemap: https://some-one.github.io/a&b/sitemap.xml" in (html / "robots.txt").read_text()
    )
    assert "plain at /a&b" in (html / "index.html").read_text()
