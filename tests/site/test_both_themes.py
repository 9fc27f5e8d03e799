"""The published book in a browser, in both themes: what must hold whichever one wrote it."""

import io
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageColor
from playwright.sync_api import expect

from book.mirror import PAGES
from drawing.style import GREY, INK

from .conftest import LIMIT, build_in

ROOT = Path(__file__).parents[2]
# Whether the place that the address names is on the screen, and the code of its cell.
LANDED = """() => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const box = target?.getBoundingClientRect();
  return box && box.height > 0 && box.top < innerHeight && box.bottom > 0 && target.innerText;
}"""


SITES = {"plain": ("plain", ""), "book": ("book", ""), "book_of_a_project": ("book", "/a-project")}


@pytest.fixture(scope="module", params=SITES)
def site(request, tmp_path_factory, serve):
    """The address of the published book in a theme, below a path or not, and its folder."""
    theme, base = SITES[request.param]
    root = tmp_path_factory.mktemp(request.param) / "book"
    for pattern in (*PAGES, "notebooks", "figures", "results"):
        for source in ROOT.glob(pattern):
            if source.is_dir():
                ignore = shutil.ignore_patterns("*.pt", "__pycache__")
                shutil.copytree(source, root / source.name, ignore=ignore)
            else:
                root.mkdir(exist_ok=True)
                shutil.copy(source, root)
    html = build_in(root, theme, base)
    return serve(html, base), html


@pytest.fixture
def visit(chromium, site):
    """`visit(path, …)` opens a page in a context of its own; other hosts are not reached."""
    address, _ = site
    contexts = []

    def start(path="/", **options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        context.set_default_timeout(LIMIT)
        context.route(re.compile(rf"^(?!{re.escape(address)}|data:)"), lambda route: route.abort())
        page = context.new_page()
        page.goto(address + path)
        return page

    yield start
    for context in contexts:
        context.close()


@pytest.fixture
def paths(site):
    _, html = site
    found = (page.parent.relative_to(html).as_posix() for page in html.rglob("index.html"))
    return sorted("/" if path == "." else f"/{path}/" for path in found)


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_every_figure_is_drawn_and_nothing_waits_for_a_script(visit, paths, script):
    page, seen = visit(java_script_enabled=script), 0
    root = page.url.rstrip("/")
    for path in paths:
        page.goto(root + path)
        images = page.locator("article img").evaluate_all(
            "all => all.map(image => [image.alt, image.naturalWidth])"
        )
        assert all(alt and width for alt, width in images), path
        assert page.locator("[data-thebe-passive-ref], mjx-container").count() == 0, path
        assert "Loading" not in page.locator("article").first.inner_text(), path
        seen += len(images)
    assert seen >= 30


def test_a_source_lands_on_the_cell(visit):
    page = visit(reduced_motion="reduce")
    links = page.locator("figure a[href*='#'], .embed a.source").evaluate_all(
        "all => all.filter(a => a.pathname !== location.pathname).map(a => a.href)"
    )
    one_a_page = {link.partition("#")[0]: link for link in links if "#" in link}
    assert len(one_a_page) >= 5
    for link in one_a_page.values():
        page.goto(link)
        page.wait_for_function(LANDED)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("switched", [False, True], ids=["system", "switch"])
def test_figures_take_their_ink_from_their_page(visit, scheme, switched):
    """By the system and by the page's own switch: the ink for its paper, not the other one."""
    other = {"light": "dark", "dark": "light"}[scheme]
    page = visit(
        "/results/",
        color_scheme=other if switched else scheme,
        device_scale_factor=4,  # so that a stroke is wider than its smoothed edges
    )
    if switched:
        page.wait_for_load_state("networkidle")  # the official theme's button needs its script
        page.locator("button.theme, button.myst-theme-button").first.click()
    figure = page.locator("article img").first
    figure.scroll_into_view_if_needed()
    picture = Image.open(io.BytesIO(figure.screenshot())).convert("RGB")
    pixels = {colour: count for count, colour in picture.getcolors(1 << 24)}
    light, dark = (ImageColor.getrgb(ink) for ink in INK[GREY])
    own, others = (light, dark) if scheme == "light" else (dark, light)
    assert pixels.get(own, 0) > 10 * pixels.get(others, 0)  # smoothed edges have any grey


def test_numbers_stay_on_one_line_at_the_right(visit):
    page = visit("/results/")
    cells = (
        page.locator("table")
        .first.locator("td")
        .evaluate_all(
            "all => all.map(cell => [cell.innerText, getComputedStyle(cell).textAlign,"
            " getComputedStyle(cell).whiteSpace])"
        )
    )
    numbers = [cell for cell in cells if re.fullmatch(r"[\d.,]+( .*)?", cell[0])]
    assert len(numbers) >= 12
    assert {tuple(cell[1:]) for cell in numbers} == {("right", "nowrap")}


def test_a_figures_text_is_not_cut(visit):
    page = visit(viewport={"width": 390, "height": 844})
    cut = page.locator("figure pre").evaluate_all(
        "all => all.map(e => e.scrollWidth > e.clientWidth)"
    )
    assert cut and not any(cut)


@pytest.mark.parametrize("reached", [True, False], ids=["KaTeX's style", "no other host"])
def test_a_formula_is_drawn_once(visit, reached):
    """The official theme writes it twice, and a style from another host hides one of the two."""
    page = visit("/measuring/")
    formulas, bases = page.locator("math"), page.locator(".katex .base")
    if reached:  # of KaTeX's own rules those that show and hide
        page.add_style_tag(
            content=".katex .base { display: inline-block } .katex .katex-mathml { position:"
            " absolute; clip: rect(1px, 1px, 1px, 1px); width: 1px; overflow: hidden }"
        )
    widths = formulas.evaluate_all("all => all.map(e => e.parentElement.offsetWidth)")
    by_katex = reached and bases.count() > 0
    assert len(widths) >= 8 and all((width <= 1) == by_katex for width in widths)
    assert bases.count() == 0 or bases.first.is_visible() == by_katex


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_nothing_is_wider_than_a_phone(visit, paths, script):
    page = visit(viewport={"width": 390, "height": 844}, java_script_enabled=script)
    root = page.url.rstrip("/")
    for path in paths:
        page.goto(root + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_what_is_cited_is_listed_with_its_address(visit):
    page = visit("/rope-vocab/", java_script_enabled=False)
    text = page.locator("body").inner_text()
    assert re.search(r"RoPE\s+\(?Su\s+et\s+al\.,\s+2021", text)  # some draw ( by a style
    for title in ("RoFormer", "SentencePiece", "Root Mean Square"):
        assert title in text
    assert page.locator("a[href='https://arxiv.org/abs/2104.09864']").count() >= 1


def test_a_page_says_to_others_what_it_is(visit):
    page = visit("/adamw/")
    for name in ("og:title", "og:description"):
        said = page.locator(f"meta[property='{name}']").get_attribute("content")
        assert len(said) > 10
    assert page.locator("link[rel=icon]").get_attribute("href")
    home = page.get_by_role("link", name="Seven Epochs", exact=True)
    assert home.first.is_visible()


def test_the_published_models_are_found_and_run(visit):
    page = visit("/try/")
    models = page.locator("table a[href$='.bin']").count()
    assert models >= 4
    page.get_by_role("button", name=re.compile("Load all")).click()
    expect(page.locator(".tokens")).to_have_count(models)
    losses = page.locator(".told").all_inner_texts()
    assert len(losses) == models and all(re.match(r"\d+\.\d nats; ", loss) for loss in losses)
