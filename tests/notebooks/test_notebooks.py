"""The notebooks as they are published: tidy, labelled, and with the code that `lib` has."""

import inspect
import json
import re
import zipfile

import nbformat
import pytest
import torch

from book.contents import notebooks
from lib import counts, model, optim
from lib.config import load_step

from ..conftest import ROOT

NAMES = notebooks()
LABELS = {
    "01_baseline": ["loss_first_run", "token_frequency_first_run", "token_frequency_input"],
    "02_adamw": ["get_optimizer", "loss_step_one", "step_one_words"],
    "03_rope_vocab": [
        "rope",
        "loss_step_two",
        "output_step_two_token_10",
        "token_predictions_two",
    ],
    "04_lowest_loss": ["get_muon", "step_three_settings", "ladder", "loss_step_three"],
    "05_counting": ["mixed", "step_four_settings", "loss_step_four", "shares", "by_context"],
}


def read(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def cell(name, label):
    """The source of the cell called `label` in the notebook `name`, without its label."""
    first = f"#| label: {label}\n"
    (source,) = [c.source for c in read(name).cells if c.source.startswith(first)]
    return source.removeprefix(first)


def test_the_optimizer_of_step_one_is_the_one_that_later_steps_import():
    assert inspect.getsource(optim.get_optimizer).strip() in cell("02_adamw", "get_optimizer")


def test_the_rope_of_step_two_is_the_one_that_later_steps_import():
    assert inspect.getsource(model.rope).strip() in cell("03_rope_vocab", "rope")


def test_the_muon_of_step_three_is_the_one_of_lib():
    assert inspect.getsource(optim.get_muon).strip() in cell("04_lowest_loss", "get_muon")


def test_the_mixture_of_step_four_is_the_one_of_lib():
    names = {}
    exec(cell("05_counting", "mixed"), names)
    log_p, q = torch.randn(3, 50).sigmoid().log(), torch.rand(50)
    assert inspect.getsource(counts.mixed).strip() in cell("05_counting", "mixed")
    ours = names["mixed"](log_p, q, 0.2)
    torch.testing.assert_close(ours.exp(), 0.8 * log_p.exp() + 0.2 * q)


def test_the_notebooks_optimizer_steps_as_adamw_is_defined():
    """One parameter, two steps, against the update written out by hand (Loshchilov & Hutter)."""
    names = {}
    exec(cell("02_adamw", "get_optimizer"), names)
    config = load_step("02_adamw", "smoke").change(weight_decay=0.1)
    layer = torch.nn.Linear(1, 1, bias=False).double()
    w, m, v = layer.weight.item(), 0.0, 0.0
    optimizer = names["get_optimizer"](layer, config)
    beta1, beta2 = config.betas
    for t, gradient in enumerate((0.3, -2.0), start=1):
        layer.weight.grad = torch.tensor([[gradient]], dtype=torch.double)
        optimizer.step()
        m, v = beta1 * m + (1 - beta1) * gradient, beta2 * v + (1 - beta2) * gradient**2
        w *= 1 - config.learning_rate * config.weight_decay
        w -= config.learning_rate * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)) ** 0.5 + 1e-8)
        assert layer.weight.item() == pytest.approx(w, abs=1e-12)


def test_the_notebooks_rope_turns_channels_as_complex_numbers_turn():
    names = {}
    exec(cell("03_rope_vocab", "rope"), names)
    x = torch.randn(2, 3, 7, 16, dtype=torch.double)
    pairs = torch.complex(x[..., :8], x[..., 8:])
    angle = torch.outer(torch.arange(7.0), 10_000 ** (-torch.arange(8.0) / 8)).double()
    turned = pairs * torch.polar(torch.ones_like(angle), angle)
    expected = torch.cat((turned.real, turned.imag), dim=-1)
    assert torch.allclose(names["rope"](x), expected, atol=1e-5)


def test_rotated_products_depend_on_the_distance_only():
    torch.manual_seed(1337)
    q, k = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)
    turned_q, turned_k = (model.rope(a.expand(1, 1, 12, 16)) for a in (q, k))
    products = (turned_q @ turned_k.transpose(-1, -2))[0, 0]
    for distance in range(12):
        diagonal = products.diagonal(-distance)
        assert torch.allclose(diagonal, diagonal[0].expand_as(diagonal), atol=1e-4)
    assert not torch.allclose(products[5, 0], products[0, 0], atol=1e-3)


@pytest.mark.parametrize("name", [*NAMES, "run_all"])
def test_a_notebook_is_as_its_author_would_commit_it(name):
    notebook = read(name)
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    tags = [tag for c in notebook.cells for tag in c.metadata.get("tags", [])]
    assert tags.count("parameters") == 1 and "injected-parameters" not in tags
    assert "papermill" not in json.dumps([notebook.metadata, [c.metadata for c in notebook.cells]])
    (parameters,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    assert 'preset = "full"' in parameters.source and 'stories = "hub"' in parameters.source
    text = json.dumps(notebook)
    assert not re.search(
        r"/(home|root|tmp|Users|work|content/drive)/", text.replace("/content/drive/MyDrive", "")
    )
    for c in notebook.cells:
        if c.cell_type == "code":
            assert all(o.output_type != "error" for o in c.outputs)
            hidden = "hide-input" in c.metadata.get("tags", [])
            assert len(c.source.split("\n")) <= (35 if hidden else 30)


@pytest.mark.parametrize("name", sorted(LABELS))
def test_the_labels_that_the_report_embeds_are_there_with_their_outputs(name):
    notebook = read(name)
    found = {
        match[1]: c for c in notebook.cells if (match := re.match(r"#\| label: (\w+)\n", c.source))
    }
    assert set(LABELS[name]) <= set(found)
    for label, c in found.items():
        if label not in ("get_optimizer", "rope", "get_muon", "mixed"):
            assert c.outputs, f"{name}: {label} has no output"


def test_no_function_stands_in_two_notebooks():
    definitions = [d for name in NAMES for c in read(name).cells if c.cell_type == "code"
                   for d in re.findall(r"^def (\w+)", c.source, re.M)]  # fmt: skip
    assert len(definitions) == len(set(definitions))


def test_published_figures_are_the_ones_in_the_notebooks():
    seen = set()
    for name in NAMES:
        for c in read(name).cells:
            for output in c.get("outputs", []):
                svg = output.get("data", {}).get("image/svg+xml")
                if svg is not None:
                    label = re.match(r"#\| label: (\w+)", c.source)[1]
                    path = ROOT / "figures" / f"{label}.svg"
                    assert "".join(svg).strip() == path.read_text("utf-8").strip(), label
                    assert path.with_suffix(".csv").stat().st_size > 20
                    seen.add(label)
    assert seen == {path.stem for path in (ROOT / "figures").glob("*.svg")} != set()


def test_what_needs_more_than_titles_comes_last_so_that_it_stops_alone():
    asks = [
        name
        for name in NAMES
        if any("origins=True" in c.source for c in read(name).cells if c.cell_type == "code")
    ]
    assert asks == [NAMES[-1]] == ["06_context"]


def test_the_zip_of_a_whole_run_has_all_that_its_book_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = ["notebooks/a.ipynb", "figures/a.svg", "figures/a.csv", "results/small/01.json"]
    shown += ["results/small/01/words.json", "results/small/01/model.bin"]
    for file in (*shown, "results/small/01.pt", "runs/01/step-00000001.pt"):
        (tmp_path / "run" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / file).write_text(file)
    zips = [c.source for c in read("run_all").cells if "zipfile" in c.source]
    exec(
        "\n".join(["import sys", "from pathlib import Path", *zips]), {"out": "run", "preset": "x"}
    )
    with zipfile.ZipFile("run/seven-epochs-x.zip") as bundle:
        assert sorted(bundle.namelist()) == sorted(shown)
