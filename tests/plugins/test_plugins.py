"""The MyST plugins, through real builds of small books, and against Python's own arithmetic."""

import json
import random
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from book.site import SiteError, build_site

ROOT = Path(__file__).parent.parent.parent
PLUGINS = ("results", "peers", "outputs", "pages")
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0L9 9"/></svg>'
# The smallest theme there is: it names itself and BASE_URL, and of a page it draws the images, the
# places that links lead to, and where a figure comes from.
TEMPLATE = """jtex: v1
title: {name}
version: 1.0.0
build:
  install: mkdir -p node_modules
  start: node server.mjs
files: [server.mjs]
"""
SERVER = """import http from 'node:http';
const { HOST, PORT, BASE_URL = '', CONTENT_CDN_PORT } = process.env;
function draw(node) {
  const data = node.jupyter_data?.data ?? {};
  if (node.type === 'image') return `<img alt="${node.alt ?? ''}">`;
  if (data['image/png']) return `<img alt="${data['text/plain'].content}">`;
  const source = node.source?.url;
  const link = source ? `<a href="${BASE_URL}${source}">Source</a>` : '';
  const inner = (node.children ?? []).map(draw).join('');
  return `<div ${node.html_id ? `id="${node.html_id}"` : ''}>${link}${inner}</div>`;
}
async function page(url) {
  const content = `http://localhost:${CONTENT_CDN_PORT}/content/${url.slice(1) || 'index'}.json`;
  const answer = await fetch(content);
  return answer.ok ? draw((await answer.json()).mdast) : '';
}
http
  .createServer(async ({ url }, answer) =>
    answer.end(`<head></head>NAME at ${BASE_URL}${await page(url)}`))
  .listen(PORT, HOST, () => console.log(`http://${HOST}:${PORT}`));
"""


def make_theme(folder: Path, name: str, server: str = SERVER) -> Path:
    (folder / "public").mkdir(parents=True)
    (folder / "public" / "robots.txt").write_text("")
    (folder / "template.yml").write_text(TEMPLATE.format(name=name))
    (folder / "server.mjs").write_text(server.replace("NAME", name))
    return folder


def make_record(step: str, **changes) -> dict:
    record = {
        "step": step,
        "title": f"Title of {step}",
        "preset": "small",
        "stories": {"source": "file", "sha256": "0123456789abcdef", "rows": 9, "dropped": 0},
        "titles": {"train": 8, "val": 1},
        "tokenizer": {"kind": "bpe", "vocab_size": 512, "lossless": True, "trained_on": "train"},
        "parameters": 1234567,
        "losses": {
            "official": 1.75326,
            "coverage": 0.93612,
            "full_coverage": 1.87294,
            "bits_per_byte": 2.7021,
            "test": 1.88125,
        },
        "curve": [{"step": 0, "official": 2.5}, {"step": 9, "official": 1.75326}],
        "speed": {"seconds": 754.2},
    }
    for name, value in changes.items():
        record[name] = {**record.get(name, {}), **value} if isinstance(value, dict) else value
    return record


def make_notebook(path: Path, *cells) -> None:
    notebook = new_notebook(cells=[new_markdown_cell(f"# {path.stem}\n\nText."), *cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python", "language": "py"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def make_cell(label: str, alt: str = "A falling line", **data):
    bundle = {"image/svg+xml": SVG, "text/plain": alt} | data
    return new_code_cell(
        f"#| label: {label}\ndraw()", outputs=[new_output("display_data", data=bundle)]
    )


def write_json(path: Path, data) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def make_book(
    root: Path, index: str, records=(), notebooks=("01_baseline",), extra="", shown="small"
) -> Path:
    """A book with the project's own plugins and table of public results, and a tiny theme.

    `shown` is the preset that its pages show.
    """
    shutil.copytree(ROOT / "plugins", root / "plugins")
    (root / "results").mkdir()
    shutil.copy(ROOT / "results" / "peers.json", root / "results")
    write_json(root / "results" / "report.json", {"preset": shown})
    make_theme(root / "theme", "plain")
    toc = "".join(f"    - file: notebooks/{name}.ipynb\n" for name in notebooks)
    (root / "myst.yml").write_text(
        "# A book.\nversion: 1\nproject:\n  title: Book\n"
        + extra
        + "  plugins:\n"
        + "".join(f"    - plugins/{name}.mjs\n" for name in PLUGINS)
        + f"  toc:\n    - file: index.md\n{toc}site:\n  template: book-theme\n"
    )
    (root / "index.md").write_text(index)
    for name in notebooks:
        make_notebook(root / "notebooks" / f"{name}.ipynb", make_cell("loss"))
    for record in records:
        write_json(root / "results" / record["preset"] / f"{record['step']}.json", record)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)  # not the clone of these tests
    return root


def refused(root: Path, pages: list[str]) -> list[str]:
    """The errors about each of these added pages, `page0.md`, …, that stop the book's build.

    MyST stops reading a page at its first error.
    """
    first, config = "    - file: index.md\n", root / "myst.yml"
    for i, text in enumerate(pages):
        (root / f"page{i}.md").write_text(text)
    listed = "".join(f"    - file: page{i}.md\n" for i in range(len(pages)))
    config.write_text(config.read_text().replace(first, first + listed))
    with pytest.raises(SiteError) as error:
        build_site(root, "plain")
    said = str(error.value).splitlines()
    return ["\n".join(line for line in said if f"page{i}.md" in line) for i in range(len(pages))]


def page(root: Path, slug: str) -> dict:
    return json.loads((root / "_build" / "site" / "content" / f"{slug}.json").read_text())["mdast"]


def find(node: dict, kind: str, **having) -> list[dict]:
    found = [node] if node["type"] == kind and having.items() <= node.items() else []
    return found + [
        hit for child in node.get("children", []) for hit in find(child, kind, **having)
    ]


def words(node: dict) -> str:
    return node.get("value", "") + "".join(map(words, node.get("children", [])))


def table(root: Path, slug: str, label: str) -> list[list[dict]]:
    (container,) = find(page(root, slug), "container", label=label)
    return [find(row, "tableCell") for row in find(container, "tableRow")]


VALUES = {  # a role, and what Python makes of the same numbers
    "01_baseline.losses.full_coverage:.3f": f"{1.87294:.3f}",
    "01_baseline.losses.coverage:.1%": f"{0.93612:.1%}",
    "01_baseline.parameters:,d": f"{1234567:,d}",
    "01_baseline.parameters": "1234567",
    "01_baseline.title": "Title of 01_baseline",
    "01_baseline.curve.0.official:.2f": f"{2.5:.2f}",
    "01_baseline.curve.-1.official:.4f": f"{1.75326:.4f}",
    "ablations/rope.losses.full_coverage:.4f": f"{1.5:.4f}",
    "01_baseline.losses.full_coverage - 02_adamw.losses.full_coverage:.3f": f"{1.87294 - 1.4:.3f}",
    "02_adamw.losses.full_coverage - 01_baseline.losses.official:+.3f": f"{1.4 - 1.75326:+.3f}",
    "01_baseline.speed.seconds / 60:.1f": f"{754.2 / 60:.1f}",
    "(01_baseline.losses.full_coverage - 02_adamw.losses.full_coverage) / "
    "01_baseline.losses.full_coverage:.1%": f"{(1.87294 - 1.4) / 1.87294:.1%}",
    "10 - 2 - 3 * 2": "2",
    "tiny/ladder.rungs.muon.gain:.4f": f"{0.2128:.4f}",
    "seeds/differences.02_adamw.difference + small/bench.ratio:.2f": f"{-0.25 + 1.5:.2f}",
    "seeds/differences.02_adamw.difference - 02_adamw.losses.full_coverage:.2f": "-1.65",
}


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book that uses everything the plugins give, built once."""
    roles = "\n\n".join(f"value {{result}}`{role}`" for role in VALUES)
    index = f"""---
title: Report
---
{roles}

{{peer}}`best.reported / best.coverage:.3f` {{peer}}`best.corrected:.3f`

{{across}}`tiny/ladder.rungs.muon.gain - 01_baseline.losses.official:.4f`

See [](#table_peers) and [](#label_loss).

:::{{figure}} #loss
:label: label_loss
:alt: The loss falls
A caption.
:::

:::{{peers-table}}
:label: table_peers
The others, {{result}}`01_baseline.losses.official:.2f` beside them.
:::
"""
    records = [
        make_record("01_baseline"),
        make_record("02_adamw", losses={"full_coverage": 1.4, "test": None}),
        make_record("ablations/rope", losses={"full_coverage": 1.5}),
        make_record("ladder", preset="tiny", rungs={"muon": {"gain": 0.2128}}),
    ]
    root = tmp_path_factory.mktemp("plugins") / "book"
    make_book(root, index, records, extra="  github: some-one/some.book\n")
    # Records that say nothing of their stories, or not even of their preset.
    write_json(root / "results/small/bench.json", {"preset": "small", "ratio": 1.5})
    differences = {"02_adamw": {"difference": -0.25}}
    write_json(root / "results/small/seeds/differences.json", differences)
    build_site(root, "plain")
    return root


def test_role_writes_what_python_would(book):
    lines = [words(p) for p in find(page(book, "index"), "paragraph")]
    assert lines[: len(VALUES)] == [f"value {text}" for text in VALUES.values()]
    assert f"{0.2128 - 1.75326:.4f}" in lines  # {across}


def test_format_is_that_of_python():
    spread = random.Random(1337)
    specs = [".0f", ".3f", ",.2f", "+.4f", ".1%", ".2e", "f", ",d", "d", "+d"]
    cases = []
    for _ in range(500):
        spec = spread.choice(specs)
        size = 10 ** spread.randint(-3, 7)
        value = spread.uniform(-size, size)
        cases.append((round(value) if spec.endswith("d") else value, spec))
    script = (
        f"import {{ format }} from {json.dumps((ROOT / 'plugins' / 'records.mjs').as_uri())};"
        "let text = ''; for await (const part of process.stdin) text += part;"
        "console.log(JSON.stringify(JSON.parse(text).map(([v, s]) => format(v, s))));"
    )
    run = subprocess.run(
        ["node", "--input-type=module", "-e", script],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
    )
    got = json.loads(run.stdout)
    # A percentage is rounded after multiplying by 100, which may move the last digit of a tie.
    assert got == [format(value, spec) for value, spec in cases]


def test_tables_and_figures_are_numbered_and_can_be_referred_to(book):
    references = find(page(book, "index"), "crossReference")
    assert [words(r).replace("\xa0", " ") for r in references] == ["Table 1", "Figure 1"]
    assert all(reference["resolved"] for reference in references)


def test_peers_are_corrected_for_coverage_by_division(book):
    peers = json.loads((ROOT / "results" / "peers.json").read_text(encoding="utf-8"))
    drawn = (ROOT / "figures" / "peers_corrected.csv").read_text("utf-8").splitlines()
    rows = table(book, "index", "table_peers")[1:]
    assert len(rows) == len(peers) >= 10
    for peer, row in zip(peers.values(), rows, strict=True):
        cells = [words(cell) for cell in row]
        name = peer["key"].replace("_", " ").replace("step", "report, step")
        assert cells[0] == f"{peer['who']}, {name}: {peer['what']} ({peer['source']})"
        is_drawn = any(line.startswith((f"{name},", f'"{name}",')) for line in drawn)
        assert is_drawn == (not peer["unfair"])
        coverage = peer["coverage"]
        told = f"{coverage:.1%}" if coverage else "–"
        assert cells[1:3] == [peer["titles"], f"{peer['reported']:.4f} ({told})"]
        assert cells[3] == f"{peer['block']} × {peer['batch']}"
        if peer["unfair"]:
            assert cells[4] == "not comparable"
        elif not coverage:
            assert cells[4] == "not known"
        else:
            assert cells[4] == f"{peer['reported'] / coverage:.3f}"
        assert not cells[5:]
        assert [row[at].get("align") for at in (0, 4)] == [None, "right"]
        assert [link["url"] for link in find(row[0], "link")] == [peer["url"]]
    (container,) = find(page(book, "index"), "container", label="table_peers")
    assert words(find(container, "caption")[0]).endswith("The others, 1.75 beside them.")
    best = f"{peers['best']['reported'] / peers['best']['coverage']:.3f}"
    assert any(words(p) == f"{best} {best}" for p in find(page(book, "index"), "paragraph"))


def test_notebook_opens_in_colab_from_the_place_in_myst_yml(book):
    (link,) = find(page(book, "baseline"), "link")
    assert words(link) == "Open in Colab"
    assert link["url"] == (
        "https://colab.research.google.com/github/some-one/some.book"
        "/blob/main/notebooks/01_baseline.ipynb"
    )
    assert not [x for x in find(page(book, "index"), "link") if "colab" in x["url"]]


def test_alt_text_reaches_the_embedded_image_and_not_the_notebook(book):
    def alt(slug):
        (image,) = find(page(book, slug), "image")
        return image["alt"]

    assert alt("index") == "The loss falls"
    assert alt("baseline") == "A falling line"


def test_colab_follows_the_remote(tmp_path):
    text = "# Report\n\nOpen {colab}`notebooks/run_all.ipynb`.\n"
    root = make_book(tmp_path / "book", text, [make_record("01_baseline")])
    build_site(root, "plain")  # it is not known where it lies: the place, and no link
    assert [words(x) for x in find(page(root, "index"), "inlineCode")] == [
        "notebooks/run_all.ipynb"
    ]
    assert not find(page(root, "index"), "link")
    remote = ["git", "remote", "add", "origin", "git@github.com:some-one/elsewhere.git"]
    subprocess.run(remote, cwd=root, check=True)
    build_site(root, "plain")
    (link,) = find(page(root, "baseline"), "link")
    assert "/github/some-one/elsewhere/blob/" in link["url"]
    (link,) = find(page(root, "index"), "link")
    assert link["url"].startswith("https://colab.research.google.com/github/some-one/elsewhere/")
    assert link["url"].endswith("/notebooks/run_all.ipynb")


WRONG = {  # a role, and what is wrong with it
    "{result}`04_muon.losses.official`": "no record results/small/04_muon.json",
    "{result}`01_baseline.losses.offical:.3f`": "losses has no field offical; it has official",
    "{result}`01_baseline.curve.last.official`": "curve has no field last; it has 0, 1",
    "{result}`01_baseline.curve.2.official`": "curve has no field 2; it has 0, 1",
    "{result}`01_baseline.losses`": "01_baseline.json.losses is not a number or text",
    "{result}`01_baseline.losses.test:.3f`": "01_baseline.json.losses.test is not known",
    "{result}`01_baseline.losses.official:3.f`": "the format :3.f is not one of",
    "{result}`01_baseline.title:.3f`": "needs a number, not Title of 01_baseline",
    "{result}`01_baseline.losses.official - `": "ends where a name is expected",
    "{result}`process.exit(1)`": "no record results/small/process.json",
    "{peer}`nobody.reported:.3f`": "results/peers.json has no field nobody; it has baseline",
}


def test_what_is_missing_fails_the_build_with_page_line_and_name(tmp_path):
    records = [make_record("01_baseline", losses={"test": None})]
    root = make_book(tmp_path / "book", "# Report\n", records, notebooks=())
    told = refused(root, [f"# Page\n\nText.\n\n{role}\n" for role in WRONG])
    for i, why in enumerate(WRONG.values()):
        assert f"page{i}.md:5: " in told[i] and why in told[i]


def test_role_in_a_notebook_is_refused(tmp_path):
    root = make_book(tmp_path / "book", "# Report\n", [make_record("01_baseline")])
    path = root / "notebooks" / "01_baseline.ipynb"
    make_notebook(path, new_markdown_cell("Loss {result}`01_baseline.losses.official`"))
    with pytest.raises(SiteError, match=r"notebooks/01_baseline.ipynb.*\{result\} is for pages"):
        build_site(root, "plain")
