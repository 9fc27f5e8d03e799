"""Pages shown over a run other than their text's, and numbers of runs that do not compare."""

import json
import shutil
import subprocess

import pytest

from book.site import SiteError, build_site

from .test_plugins import ROOT, find, make_book, make_record, page, refused, words, write_json

STORIES, OTHER = "0123456789abcdef", "fedcba9876543210"
FRONT = f"---\ntitle: Report\noptions:\n  run_preset: small\n  run_stories: {STORIES}\n---\n"


def lines(root, slug="index"):
    return [words(p) for p in find(page(root, slug), "paragraph")]


def banners(root, slug="index"):
    return [words(node) for node in find(page(root, slug)["children"][0], "admonition")]


def test_no_banner_over_the_run_that_the_page_was_written_for(tmp_path):
    """However its front matter quotes the digest of the stories."""
    root = make_book(tmp_path / "book", FRONT + "Text.\n", [make_record("01_baseline")])
    config = root / "myst.yml"
    for name, quote in (("single", "'"), ("double", '"')):
        front = FRONT.replace(STORIES, f"{quote}{STORIES}{quote}")
        (root / f"{name}.md").write_text(front + "Text.\n")
        first = "    - file: index.md\n"
        config.write_text(config.read_text().replace(first, f"{first}    - file: {name}.md\n"))
    build_site(root, "plain")
    for slug in ("index", "baseline", "single", "double"):
        assert not find(page(root, slug), "admonition")


def test_a_smoke_run_says_so_on_every_page(tmp_path):
    records = [make_record("01_baseline", preset="smoke")]
    root = make_book(tmp_path / "book", "# Report\n", records, shown="smoke")
    build_site(root, "plain")
    for slug in ("index", "baseline"):
        (banner,) = banners(root, slug)
        assert "tiny model" in banner and "synthetic" in banner and "“–”" in banner


@pytest.mark.parametrize("preset", ["small", "tiny"])
def test_a_page_over_another_run_says_both_runs(tmp_path, preset):
    """Of another preset, or on other stories; a page that names no run has no banner."""
    stories = {"sha256": STORIES if preset == "tiny" else OTHER}
    records = [make_record("01_baseline", preset=preset, stories=stories)]
    root = make_book(tmp_path / "book", FRONT + "Text.\n", records, shown=preset)
    build_site(root, "plain")
    (banner,) = banners(root)
    assert f"run on preset {preset}, stories {stories['sha256'][:8]};" in banner
    assert f"written for one on preset small, stories {STORIES[:8]}," in banner
    assert "“–”" in banner
    assert not find(page(root, "baseline"), "admonition")


def test_a_page_that_stayed_at_another_preset_shows_its_run(tmp_path):
    loss = {"small": 1.5, "full": 1.25}
    records = [make_record("01_baseline", preset=p, losses={"official": loss[p]}) for p in loss]
    text = FRONT + "Loss {result}`01_baseline.losses.official`.\n"
    root = make_book(tmp_path / "book", text, records, shown="full")
    build_site(root, "plain")
    assert len(banners(root)) == 1 and lines(root)[-1] == "Loss 1.25."
    write_json(root / "results" / "report.json", {"preset": "full", "but": {"index": "small"}})
    build_site(root, "plain")
    assert not find(page(root, "index"), "admonition") and lines(root)[-1] == "Loss 1.5."


def test_a_revision_tells_stories_as_a_digest_does(tmp_path):
    record = make_record("01_baseline")
    record["stories"] = {"source": "hub", "revision": OTHER, "rows": 9, "dropped": 0}
    for stated in (STORIES, OTHER):
        root = make_book(tmp_path / stated, FRONT.replace(STORIES, stated) + "Text.\n", [record])
        build_site(root, "plain")
        assert len(banners(root)) == (stated == STORIES)


MIXED = {  # an expression that has no value, and what is wrong with it
    "public_best.losses.official:.3f": "there is no record results/{}/public_best.json",
    "01_baseline.losses.official - public_best.losses.official:.3f": "there is no record results/",
    "01_baseline.losses.official - tiny/ladder.gain:.3f": "do not compare: results/{}/01_baseline",
    "tiny/ladder.gain / tiny/other.gain:.3f": "results/tiny/other.json: tiny on stories fedcba98",
    "tiny/ladder.gain + tiny/cut.gain:.3f": "do not compare: results/tiny/ladder.json",
    "tiny/ladder.gain * small/seeds/differences.x:.3f": "small/seeds/differences.json: small",
    "01_baseline.losses.test:.3f": "losses.test is not known",
    "recipe.losses.official:.3f": "results/{}/recipe.json: {} on stories fedcba98",
}


def make_mixed_book(root, text, shown):
    """A book of records on preset `shown`, with others of `tiny` and `small` beside them."""
    tiny = {"preset": "tiny", "gain": 0.25}
    records = [
        make_record("01_baseline", preset=shown, losses={"test": None}),
        make_record("recipe", preset=shown, stories={"sha256": OTHER}),
        make_record("ladder", **tiny),
        make_record("other", **tiny, stories={"sha256": OTHER}),
        make_record("cut", **tiny, titles={"train": 7}),
    ]
    root = make_book(root, FRONT + text, records, notebooks=(), shown=shown)
    write_json(root / "results" / "small" / "seeds" / "differences.json", {"x": 0.5})
    return root


def test_over_another_run_what_is_missing_or_does_not_compare_is_a_dash(tmp_path):
    roles = [f"value {{result}}`{role}`" for role in MIXED]
    roles += ["alike {result}`tiny/ladder.gain - tiny/ladder.gain:.1f`"]
    roles += ["across {across}`01_baseline.losses.official - tiny/ladder.gain:.2f`"]
    roles += ["alone {result}`small/seeds/differences.x`"]
    root = make_mixed_book(tmp_path / "book", "\n\n".join(roles) + "\n", "smoke")
    build_site(root, "plain")
    assert lines(root)[1:] == [
        *["value –"] * len(MIXED),
        "alike 0.0",
        f"across {1.75326 - 0.25:.2f}",
        "alone 0.5",
    ]


def test_over_its_own_run_that_is_an_error(tmp_path):
    root = make_mixed_book(tmp_path / "book", "Text.\n", "small")
    told = refused(root, [f"{FRONT}\nText.\n\n{{result}}`{role}`\n" for role in MIXED])
    for i, why in enumerate(MIXED.values()):
        assert f"page{i}.md:10: " in told[i] and why.format("small", "small") in told[i]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{result}`01_baseline.losses.offical`", "index.md:7: .*has no field offical"),
        (
            "{peer}`batch_256.coverage`",
            r"index.md:7: results/peers.json.batch_256.coverage is not known",
        ),
    ],
)
def test_a_wrong_name_is_an_error_over_any_run(tmp_path, text, why):
    """And so is what is not known of a public result: that does not change with the run."""
    root = make_mixed_book(tmp_path / "book", text + "\n", "smoke")
    with pytest.raises(SiteError, match=why):
        build_site(root, "plain")


def test_half_a_run_in_the_front_matter_is_refused(tmp_path):
    half = FRONT.replace(f"  run_stories: {STORIES}\n", "")
    root = make_book(tmp_path / "book", half + "Text.\n", [make_record("01_baseline")])
    with pytest.raises(SiteError, match=r"index\.md: its front matter needs both run_preset and"):
        build_site(root, "plain")


def test_a_notebook_that_was_not_run_says_so_also_where_its_figure_would_stand(tmp_path):
    figure = ":::{figure} #loss\n:label: one\n:alt: A line\nThe caption of [](#one).\n:::\n"
    root = make_book(tmp_path / "book", f"# Report\n\n{figure}", [make_record("01_baseline")])
    path = root / "notebooks" / "01_baseline.ipynb"
    notebook = json.loads(path.read_text("utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    path.write_text(json.dumps(notebook), "utf-8")
    build_site(root, "plain")
    (banner,) = banners(root, "baseline")
    assert "Not run yet" in banner and "no cell has outputs" in banner
    assert not find(page(root, "index"), "admonition")
    (shown,) = find(page(root, "index"), "container")
    assert "The notebook that draws this was not run here." in words(shown)
    assert "The caption of Figure\N{NO-BREAK SPACE}1." in words(shown)  # and can be referred to


EVERY_ROLE = """
import fs from 'node:fs';
const { readRecords } = await import(process.argv[2]);
const wrong = [];
let count = 0;
const role = /\\{(result|across)\\}`([^`]+)`/g;
for (const page of process.argv.slice(4)) {
  for (const [, name, asked] of fs.readFileSync(page, 'utf8').matchAll(role)) {
    count += 1;
    try { readRecords(name === 'across')(process.argv[3], asked.replace(/:[^:]*$/, ''), page); }
    catch (error) { wrong.push(`${page}: ${asked}: ${error.message}`); }
  }
}
console.log(JSON.stringify({ count, wrong }));
"""


def test_the_books_own_pages_can_be_read_over_the_challenges_own_run(tmp_path):
    """Preset full on the hub's stories, with every record that the published run has."""
    shutil.copytree(ROOT / "results", tmp_path / "results")
    shown = json.loads((ROOT / "results" / "report.json").read_text())["preset"]
    if shown != "full":
        shutil.rmtree(tmp_path / "results" / "full", ignore_errors=True)
        shutil.copytree(tmp_path / "results" / shown, tmp_path / "results" / "full")
    for path in (tmp_path / "results" / "full").rglob("*.json"):
        record = json.loads(path.read_text())
        if isinstance(record, dict) and "stories" in record:
            hub = {"source": "hub", "revision": OTHER, "rows": 9, "dropped": 0}
            write_json(path, record | {"preset": "full", "stories": hub})
    write_json(tmp_path / "results" / "report.json", {"preset": "full"})
    pages = [shutil.copy(path, tmp_path) for path in ROOT.glob("*.md")]
    (tmp_path / "roles.mjs").write_text(EVERY_ROLE)
    command = ["node", "roles.mjs", (ROOT / "plugins" / "records.mjs").as_uri(), ".", *pages]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    found = json.loads(said)
    assert found["count"] > 100 and found["wrong"] == []
