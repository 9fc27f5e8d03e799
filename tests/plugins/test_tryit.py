"""The plugin of the page Try it, in real builds: what it hands the widget, or says instead."""

import hashlib
import json
import re
import shutil
import subprocess

import pytest

from book.site import SiteError, build_site
from drawing.tryit import joined

from .test_plugins import ROOT, find, make_book, make_record, page, words, write_json

INDEX = "# Report\n\n:::{anywidget} widget/page.mjs\n:::\n"
WEIGHTS = "ab" * 32


def write_model(root, step, weights=WEIGHTS):
    """A file that only has a header; returns its bytes."""
    text = json.dumps({"step": step, "weights": weights}).encode()
    content = len(text).to_bytes(4, "little") + text + b"numbers of " + step.encode()
    path = root / "results" / "small" / step / "model.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


def make(root, *steps, index=INDEX):
    """A book with a record for each of `steps`, whose weights have a digest."""
    make_book(root, index, [make_record(step) | {"weights": WEIGHTS} for step in steps])
    shutil.copytree(ROOT / "widget", root / "widget")
    config = root / "myst.yml"
    lines = "    - plugins/pages.mjs\n    - plugins/tryit.mjs\n"
    config.write_text(config.read_text().replace("    - plugins/pages.mjs\n", lines))
    return root


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    root = make(tmp_path_factory.mktemp("tryit") / "book", "01_a", "02_b", "03_c")
    contents = {step: write_model(root, step) for step in ("01_a", "03_c")}
    write_json(root / "results" / "small" / "01_a" / "headlines.json", [{"title": "A headline"}])
    build_site(root, "plain", "/under")
    return root, contents


def test_the_widget_is_told_each_model_with_its_size_and_digest(book):
    root, contents = book
    (widget,) = find(page(root, "index"), "anywidget")
    assert widget["model"]["titles"] == ["A headline"]
    assert [step["title"] for step in widget["model"]["steps"]] == [
        "Title of 01_a",
        "Title of 03_c",
    ]
    for step in widget["model"]["steps"]:
        content = contents[step["step"]]
        assert step["bytes"] == len(content)
        assert step["sha256"] == hashlib.sha256(content).hexdigest()
        copied = root / "_build" / "html" / "build" / step["file"]  # beside the module
        assert copied.read_bytes() == content
    assert (root / "_build" / "html" / "build" / widget["esm"].rpartition("/")[2]).is_file()


def test_the_files_are_listed_and_what_has_none_is_named(book):
    root, _ = book
    rows = [
        [words(cell) for cell in row["children"]] for row in find(page(root, "index"), "tableRow")
    ]
    assert [row[0] for row in rows] == ["Step", "Title of 01_a", "Title of 03_c"]
    assert all(re.fullmatch(r"\d+\.\d+ MB", row[2]) for row in rows[1:])
    text = words(page(root, "index"))
    assert "Not here, for it left no model that a browser can load: Title of 02_b." in text


def test_a_model_that_sees_more_than_titles_is_marked_and_no_other(tmp_path):
    root = make(tmp_path / "book", "01_a", "05_b")
    path = root / "results" / "small" / "05_b.json"
    write_json(path, json.loads(path.read_text()) | {"sees": ["domain", "time"]})
    for step in ("01_a", "05_b"):
        write_model(root, step)
    build_site(root, "plain")
    (widget,) = find(page(root, "index"), "anywidget")
    plain, told = widget["model"]["steps"]
    assert plain.keys() == {"step", "title", "bytes", "sha256", "file"}
    assert told.keys() - plain.keys() == {"mark"}
    assert told["mark"] == "sees domain and time, not ranked"
    names = [words(row["children"][0]) for row in find(page(root, "index"), "tableRow")]
    assert names == ["Step", "Title of 01_a", "Title of 05_b (sees domain and time, not ranked)"]


def test_a_run_that_left_no_model_is_a_sentence(tmp_path):
    root = make(tmp_path / "book", "01_a")
    build_site(root, "plain")
    index = page(root, "index")
    assert "There is nothing to try here yet: the run that this book shows left no model" in words(
        index
    )
    assert not find(index, "anywidget") and not find(index, "table")


def test_a_model_of_another_run_stops_the_build(tmp_path):
    root = make(tmp_path / "book", "01_a")
    write_model(root, "01_a", weights="cd" * 32)
    with pytest.raises(
        SiteError, match=r"index\.md: results/small/01_a/model\.bin is not of the run in"
    ):
        build_site(root, "plain")


def test_another_widget_is_left_alone(tmp_path):
    index = '# Report\n\n:::{anywidget} own.mjs\n{"count": 3}\n:::\n'
    root = make(tmp_path / "book", "01_a", index=index)
    write_model(root, "01_a")
    (root / "own.mjs").write_text("export default { render() {} };\n")
    build_site(root, "plain")
    (widget,) = find(page(root, "index"), "anywidget")
    assert widget["model"] == {"count": 3} and not find(page(root, "index"), "table")


def test_the_site_and_a_notebook_have_the_same_module_and_it_is_one(book):
    root, _ = book
    (module,) = (root / "_build" / "html" / "build").glob("tryit-*.mjs")
    assert module.read_text("utf-8") == joined()
    assert not re.search(r"^import ", joined(), re.M)
    script = f"import({json.dumps(module.as_uri())}).then((m) => console.log(Object.keys(m)))"
    run = subprocess.run(["node", "-e", script], capture_output=True, text=True)
    assert run.stdout.strip() == "[ 'default' ]", run.stderr
    listed = json.loads((ROOT / "widget" / "modules.json").read_text())
    assert sorted(listed) == sorted(path.stem for path in (ROOT / "widget").glob("*.mjs"))
