"""The checks of the HTML that a theme wrote, whichever theme it was."""

import shutil
from xml.etree import ElementTree

import pytest

from book.checks import check_html
from book.site import SiteError, build_site

from ..plugins.test_plugins import SERVER, make_theme
from .test_site import make_book

INDEX = "# Report\n\n:::{figure} #loss\n:label: fig_loss\n:alt: It falls\nCaption.\n:::\n"
BREAKAGE = {  # a theme's mistake: the right code, the wrong code, the message
    "no alt text": ("<img alt=", "<img data-alt=", "0 of the images of figure fig_loss have alt"),
    "a script draws": ("return `<img", "return `<b>Loading</b>", "0 of the images of fig"),
    "the top of the page": (
        "${source}",
        "${source.split('#')[0]}",
        "no Source leads to /baseline#",
    ),
    "another page": ("${source}", "/x${source}", "no Source leads to /baseline#loss"),
    "no such place": ('id="${node.html_id}"', "${node.kind ? `id='x'` : ''}", "has no place #loss"),
}


def build(root, server, **options):
    make_book(root, INDEX)
    shutil.rmtree(root / "theme")
    make_theme(root / "theme", "plain", server)
    return build_site(root, "plain", **options)


@pytest.mark.parametrize("what", BREAKAGE)
@pytest.mark.parametrize("base", ["", "/some/where"])
def test_what_a_theme_did_wrong_is_found(tmp_path, what, base):
    right, wrong, told = BREAKAGE[what]
    assert right in SERVER
    with pytest.raises(SiteError) as error:
        build(tmp_path / "book", SERVER.replace(right, wrong), base_url=base)
    assert "index.md: in the HTML, " in str(error.value)
    assert told in str(error.value)


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
