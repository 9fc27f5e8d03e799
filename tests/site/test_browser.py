"""The built book in a real browser: what a reader clicks leads where it says, on any screen."""

import json
import re
import urllib.request
from contextlib import suppress

import pytest
from playwright.sync_api import TimeoutError, expect

from .conftest import serious_issues, without_images

# What a theme does wherever it is: the sample has all of it.
on_the_sample = pytest.mark.parametrize("book_html", ["sample"], indirect=True)
PHONE = {"viewport": {"width": 390, "height": 844}}
# The target of a page's address, and whether it is on the screen.
TARGET = """() => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return null;
  const box = target.getBoundingClientRect(), header = document.querySelector(".top").offsetHeight;
  const caption = target.querySelector("figcaption");
  return {seen: box.height > 0 && box.top < innerHeight && box.bottom > header,
          caption: caption ? caption.innerText : "", text: target.innerText};
}"""


def at_target(page):
    """What `TARGET` answers once the page has come to rest."""
    page.wait_for_load_state("load")
    with suppress(TimeoutError):  # then the answer says what is wrong
        page.wait_for_function(f"() => ({TARGET})()?.seen", timeout=60_000)
    return page.evaluate(TARGET)


def links(page, selector):
    """The distinct addresses of the links that match, each with its first text."""
    found = page.locator(selector).evaluate_all("all => all.map(a => [a.href, a.innerText])")
    return dict(reversed(found))


def test_every_source_link_lands_on_the_cell_that_drew_the_figure(open_page, paths):
    page = open_page(reduced_motion="reduce")
    start, followed = page.url.rstrip("/"), 0
    for path in paths:
        page.goto(start + path)
        for i in range(page.locator("a.source").count()):
            box = page.locator(":has(> a.source)").nth(i)
            edge, link = box.bounding_box(), page.locator("a.source").nth(i)
            corner = link.bounding_box()
            assert corner["x"] + corner["width"] == pytest.approx(edge["x"] + edge["width"], abs=1)
            assert corner["y"] == pytest.approx(edge["y"], abs=1), (
                "the link is not in the top corner"
            )
            drawn = box.locator(".outputs img").evaluate_all("all => all.map(i => i.src)")
            printed = box.locator(".outputs pre, .outputs table").all_inner_texts()
            listed = box.locator(":scope > pre.code code").all_inner_texts()
            link.click()
            assert (target := at_target(page)), f"{page.url}: there is no such cell"
            assert target["seen"], f"{page.url}: the cell is not on the screen"
            cell = page.locator(".cell:has(:target)")
            assert cell.locator("pre.code").is_visible(), f"{page.url}: the code is folded"
            assert cell.locator(".outputs img").evaluate_all("all => all.map(i => i.src)") == drawn
            if printed:
                assert cell.locator(".outputs pre, .outputs table").all_inner_texts() == printed
            for code in listed:
                assert cell.locator("pre.code code").inner_text() == code
            followed += 1
            page.go_back()
    assert followed


def test_every_cross_reference_reaches_what_it_names(open_page, paths):
    page = open_page(reduced_motion="reduce")
    start, numbered = page.url.rstrip("/"), 0
    for path in paths:
        page.goto(start + path)
        assert page.locator(".missing").count() == 0
        for url, text in links(page, "main a.reference, main a.cite, .footnote a").items():
            page.goto(start + path)
            page.locator(f'main a[href="{url.removeprefix(start)}"], main a[href$="{url}"]').or_(
                page.locator(f'main a[href="#{url.partition("#")[2]}"]')
            ).first.click()
            assert (target := at_target(page)), f"{path}: {text!r} leads to nothing: {page.url}"
            assert target["seen"], (
                f"{path}: {text!r} leads to what is not on the screen: {page.url}"
            )
            if re.fullmatch(r"(Figure|Table|Program)\s\d+", text):
                assert target["caption"].startswith(f"{text}:"), f"{path}: {text!r}: {page.url}"
                numbered += 1
    assert numbered


def test_figures_have_a_number_a_caption_and_alt_text(open_page, paths):
    page = open_page()
    start, seen = page.url.rstrip("/"), 0
    for path in paths:
        page.goto(start + path)
        for image in page.locator("main img").all():
            assert image.evaluate("i => i.complete && i.naturalWidth > 0"), f"{path}: no image"
            assert image.get_attribute("alt"), f"{path}: an image without alt text"
        for caption in page.locator("main figure:not(figure figure, .quote) > figcaption").all():
            assert re.match(r"(Figure|Table|Program)\s\d+:\s+\S", caption.inner_text()), path
            seen += 1
    assert seen


def test_contents_lead_to_every_page(open_page, paths):
    page = open_page()
    start = page.url.rstrip("/")
    entries = links(page, ".side a")
    assert sorted(url.removeprefix(start) for url in entries) == paths
    assert page.locator(".side .group").inner_text().lower() == "supporting documents"
    for url, title in entries.items():
        page.locator(".side").get_by_role("link", name=title, exact=True).click()
        page.wait_for_url(url)
        assert page.locator("h1").inner_text().rstrip(" #") == title
        assert page.locator('.side [aria-current="page"]').inner_text() == title
        assert page.title().startswith(title)


def test_next_walks_the_book_and_previous_walks_back(open_page):
    page = open_page()
    order = page.locator(".side a").evaluate_all("all => all.map(a => a.href)")
    for url in order[1:]:
        page.locator('a[rel="next"]').click()
        page.wait_for_url(url)
    assert page.locator('a[rel="next"]').count() == 0
    for url in order[-2::-1]:
        page.locator('a[rel="prev"]').click()
        page.wait_for_url(url)
    assert page.locator('a[rel="prev"]').count() == 0


def test_outline_lists_the_headings(open_page, paths):
    page = open_page(reduced_motion="reduce")
    start = page.url.rstrip("/")
    for path in paths:
        page.goto(start + path)
        headings = page.locator("main h2[id], main h3[id]").evaluate_all(
            "all => all.map(h => h.id)"
        )
        listed = page.locator(".outline a").evaluate_all("all => all.map(a => a.hash.slice(1))")
        assert listed == headings, path
    if listed:
        page.locator(".outline a").last.click()
        assert at_target(page)["seen"]


def told(record):
    """What a record of the index says, as it is searched."""
    return " ".join([*record["hierarchy"].values(), record.get("content") or ""]).lower()


def test_search_finds_a_section_and_leads_there(open_page, book_html):
    records = json.loads((book_html / "myst.search.json").read_text("utf-8"))["records"]
    headings = [list(r["hierarchy"].values())[-1] for r in records if r["type"] in ("lvl2", "lvl3")]
    heading = [text for text in headings if re.fullmatch(r"[\w ,]+", text)][-1]
    page = open_page(reduced_motion="reduce")
    page.keyboard.press("Control+k")
    page.keyboard.type(heading)
    hit = page.locator("#results a", has_text=heading).first
    hit.wait_for()
    hit.click()
    assert at_target(page)["text"].startswith(heading)
    assert page.locator("#results").is_hidden()
    page.locator("search input").fill("zzqx no such words")
    page.locator("#results", has_text="Nothing").wait_for()
    assert page.locator("#found").inner_text() == "0 found"
    word = next(iter(records[0]["hierarchy"].values())).split()[0]
    many = {r["url"] for r in records if word.lower() in told(r)}
    page.locator("search input").fill(word)
    listed = page.locator("#results a")
    listed.first.wait_for()
    more = ", the first 12 listed" if len(many) > 12 else ""
    assert page.locator("#found").inner_text() == f"{len(many)} found{more}"
    assert listed.count() == min(12, len(many))
    listed.last.focus()
    page.keyboard.press("Escape")
    assert page.locator("#results").is_hidden()
    assert page.evaluate("document.activeElement.type") == "search"


@on_the_sample
@pytest.mark.parametrize("system", ["light", "dark"])
def test_theme_follows_the_system_until_switched_and_is_remembered(open_page, system):
    page = open_page(color_scheme=system)

    def is_dark():
        body = page.locator("body")  # waits until there is one
        colour = body.evaluate("(body) => getComputedStyle(body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) < 3 * 128

    assert is_dark() == (system == "dark")
    page.locator("button.theme").click()
    assert is_dark() == (system == "light")
    page.reload()
    assert is_dark() == (system == "light"), "the choice is forgotten"
    last = page.locator(".side a").last
    address = last.get_attribute("href")
    last.click()
    page.wait_for_url(re.compile(re.escape(address.rstrip("/")) + "/?$"))
    assert is_dark() == (system == "light"), "the choice is forgotten on another page"
    page.locator("button.theme").click()
    assert is_dark() == (system == "dark")


@on_the_sample
def test_code_folds(open_page, paths):
    page = open_page()
    start, tried = page.url.rstrip("/"), 0
    for path in paths:
        page.goto(start + path)
        folds = page.locator("details.fold[open]:has(> .input)")
        if (count := folds.count()) < 2:
            continue
        code = page.locator("details.fold > .input").locator("pre.code")
        first = folds.first.locator("pre.code")
        assert first.is_visible()
        page.locator("details.fold[open] > summary").first.click()
        assert folds.count() == count - 1
        page.locator(".fold-all").click()
        assert not any(one.is_visible() for one in code.all())
        page.locator(".fold-all").click()
        assert all(one.is_visible() for one in code.all())
        tried += 1
    assert tried


@on_the_sample
def test_an_anchor_copies_the_address_of_its_section(open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("() => { window.due = []; window.setTimeout = (f) => due.push(f); }")
    anchor = page.locator("h2 a.anchor").first
    was = anchor.inner_text()
    for clicks in (1, 2):  # once more before it is over
        anchor.click()
        page.wait_for_function(f"due.length === {clicks}")
        assert anchor.inner_text() == "copied"
    page.evaluate("due.forEach((each) => each())")  # the time is over, of both
    assert anchor.inner_text() == was != "copied"
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    assert at_target(page)["seen"]


# The elements that stick out of the page to the right, but for what scrolls in a box of its own.
OVERFLOWING = """() => [...document.querySelectorAll("body *")].filter((element) => {
  if (element.getBoundingClientRect().right <= innerWidth + 0.5) return false;
  for (let at = element.parentElement; at; at = at.parentElement)
    if (/auto|scroll|hidden/.test(getComputedStyle(at).overflowX)) return false;
  return true;
}).map((element) => element.outerHTML.slice(0, 90))"""


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_nothing_overflows_on_a_phone(open_page, paths, script):
    page = open_page(**PHONE, has_touch=True, java_script_enabled=script)
    start = page.url.rstrip("/")
    for path in paths:
        page.goto(start + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert page.evaluate(OVERFLOWING) == [], path


@on_the_sample
def test_what_a_search_finds_is_seen_whole_on_a_phone(open_page):
    page = open_page(**PHONE, has_touch=True)
    page.locator("search input").fill("the")
    page.locator("#results a").first.wait_for()
    box = page.locator("#results").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390


@on_the_sample
def test_a_button_to_copy_hides_no_code_on_a_touch_screen(open_page, paths):
    page = open_page(**PHONE, has_touch=True, is_mobile=True)  # nothing hovers there
    start = page.url.rstrip("/")
    for path in paths:
        page.goto(start + path)
        for code in page.locator("pre.code:visible").all():
            lines = code.evaluate(
                "e => { const r = document.createRange(); r.selectNodeContents(e.firstChild);"
                " return r.getBoundingClientRect().bottom; }"
            )
            assert code.locator(".copy").bounding_box()["y"] >= lines - 1, path


@on_the_sample
def test_a_page_that_is_shown_again_has_the_scheme_that_was_chosen_meanwhile(open_page):
    """A browser keeps the page that one comes back to, and parses it no second time."""
    page = open_page(color_scheme="light")
    switch = page.locator("button.theme")
    assert switch.get_attribute("aria-pressed") == "false"
    page.evaluate("localStorage.theme = 'dark'")  # on the page after it
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert switch.get_attribute("aria-pressed") == "true"


@on_the_sample
def test_the_menu_of_a_phone_leads_to_a_page(open_page):
    page = open_page(**PHONE, java_script_enabled=False)
    assert page.locator(".side").is_hidden()
    page.locator(".menu summary").click()
    last = page.locator(".menu .toc a").last
    title = last.inner_text()
    url = last.evaluate("a => a.href")
    last.click()
    page.wait_for_url(url)
    assert page.locator("h1").inner_text().rstrip(" #") == title


def test_pages_read_without_javascript(open_page, paths):
    """Text, figures and links are all there; what needs a script is not shown."""
    with_script = open_page()
    without = open_page(java_script_enabled=False)
    start = without.url.rstrip("/")
    for path in paths:
        with_script.goto(start + path)
        without.goto(start + path)
        words = "() => [...document.querySelectorAll('article :is(p, h1, h2, td, figcaption)')]"
        words += ".map((element) => element.innerText)"
        assert without.evaluate(words) == with_script.evaluate(words)
        for image in without.locator("main img").all():
            assert image.evaluate("i => i.naturalWidth > 0")
        assert without.locator("button:visible, search:visible").count() == 0
    if without.locator("a.source").count() == 0:
        without.goto(start)
    sources = without.locator("a.source")
    for i in range(sources.count()):
        sources.nth(i).click()
        expect(without.locator(".cell:has(:target) pre.code")).to_be_visible()  # when it is there
        without.go_back()
    assert sources.count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_issue(open_page, paths, scheme):
    page = open_page(color_scheme=scheme)
    start = page.url.rstrip("/")
    for path in paths:
        page.goto(start + path)
        assert not serious_issues(page)


@on_the_sample
def test_the_skip_link_and_focus_are_seen(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    skip = page.locator(".skip:focus")
    assert skip.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_a_page_says_what_it_is(open_page, paths):
    page = open_page()
    start = page.url.rstrip("/")
    titles = set()
    for path in paths:
        page.goto(start + path)
        titles.add(page.title())
        assert page.locator("html").get_attribute("lang") == "en"
        assert len(page.locator('meta[name="description"]').get_attribute("content")) > 20
        assert page.locator("h1").count() == 1
    assert len(titles) == len(paths), "two pages have the same title"


@on_the_sample
def test_print_leaves_the_text_only(open_page):
    page = open_page()
    page.emulate_media(media="print")
    assert (
        page.locator(".top, .side, .outline, .pages, a.source").locator("visible=true").count() == 0
    )
    assert page.locator("h1").is_visible()


def test_pages_are_light(book_html, paths):
    for path in paths:
        html = (book_html / path[1:] / "index.html").read_text("utf-8")
        size = len(without_images(html).encode())
        assert size <= 150_000, f"{path}: {size} bytes without images"
    assert (book_html / "theme.js").stat().st_size <= 5_000


@on_the_sample
def test_under_a_sub_path_everything_is_found(open_page, serve, sample_below):
    root = serve(sample_below, "/some/where")
    page = open_page("/", root=root, reduced_motion="reduce")
    for url in page.locator(".side a").evaluate_all("all => all.map(a => a.href)"):
        page.goto(url)
        assert url.startswith(root)
        urls = page.locator("a").evaluate_all("all => all.map(a => a.href)")
        here = [url for url in urls if url.startswith(root.removesuffix("/some/where"))]
        assert all(url.startswith(root + "/") for url in here), here
        for image in page.locator("img").all():
            assert image.evaluate("i => i.naturalWidth > 0")
        for url in {url.partition("#")[0] for url in here}:
            assert page.request.get(url).ok, url
    page.goto(root + "/")
    page.locator("a.source").first.click()
    assert at_target(page)["seen"]
    page.locator("search input").fill("mathematics")
    page.locator("#results a", has_text="Mathematics").first.click()
    assert at_target(page)["text"].startswith("Mathematics")


def test_the_server_ends_with_myst(sample):
    _, said = sample
    port = int(re.search(r"Server started on port (\d+)", said).group(1))
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/reading/", timeout=5) as answer:
            found = answer.read().decode()
    except OSError:  # nobody listens
        return
    assert "How to read it" not in found, f"the theme still listens on {port}"  # not another build


def test_the_sample_has_nothing_that_the_theme_does_not_know(sample):
    _, said = sample
    assert "theme:" not in said, said
