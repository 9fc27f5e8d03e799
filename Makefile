# Thin: each target sets up .venv where it is missing and calls `python -m book …`, which has --help.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --no-compile -c constraints.txt
BOOK := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m book

# Packages are compiled on first import (not by pip, which would take longer than all the rest). If
# bytecode could not be kept, each process would compile PyTorch again.
export PYTHONDONTWRITEBYTECODE =

# The preset of a target where PRESET names none.
DEFAULT = full
ON = --preset $(or $(PRESET),$(DEFAULT))
RESUME = $(if $(FRESH),--fresh) $(if $(ACCEPT),--accept)
FLAGS = $(if $(STORIES),--stories "$(STORIES)") $(addprefix --step ,$(STEP)) $(RESUME)
WHERE = $(if $(WORKERS),--workers $(WORKERS)) $(if $(RAY),--ray "$(RAY)")
SITE = $(if $(THEME),--theme $(THEME))
TO = $(if $(OUT),--out "$(OUT)")

.PHONY: help setup cluster book test workers run publish seeds peer ladder search bench site serve github lint clean

help: ## list the targets; in brackets what may be given, with its default where it has one
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/book ## make .venv and install what the book runs on

KNOWN := -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'

# An environment whose Python is too old, too new or gone is made anew.
$(VENV)/book: requirements.txt constraints.txt pyproject.toml
	@$(PYTHON) $(KNOWN) || { echo "This needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is another: make PYTHON=python3.12 …" >&2; exit 1; }
	@test ! -e $(BIN) || $(BIN)/python $(KNOWN) || rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	$(BIN)/python -m pip install -q --no-deps -e .
	@touch $@

$(VENV)/dev: $(VENV)/book requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

$(VENV)/cluster: $(VENV)/book requirements-cluster.txt
	$(PIP) -r requirements-cluster.txt
	@touch $@

cluster: $(VENV)/dev $(VENV)/cluster ## install Ray as well, for runs on many machines

book: setup ## [THEME=auto FRESH=1 ACCEPT=1]: execute every notebook on the smoke preset into _build/book, render the site there
	$(BOOK) book $(RESUME) $(SITE)

test: $(VENV)/dev ## run the tests
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n auto --maxprocesses 4

workers: $(VENV)/dev $(VENV)/cluster ## run the tests that test leaves out, which start workers and a Ray cluster
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m workers tests/studies/test_workers.py

run: setup ## [PRESET=full STORIES=path STEP=… OUT=folder FRESH=1 ACCEPT=1]: execute on another preset and other stories
	$(BOOK) run $(ON) $(FLAGS) $(TO)

publish: setup ## the same except OUT, in place: rewrites notebooks/, figures/ and results/ [WITHOUT=06_context leaves that as it is]
	$(BOOK) publish $(ON) $(FLAGS) $(addprefix --without ,$(WITHOUT))

seeds: DEFAULT = tiny
seeds: $(VENV)/dev $(if $(RAY),cluster) ## [PRESET=tiny STORIES=path STEP=… SEEDS=5 WORKERS=… RAY=… OUT=folder FRESH=1 ACCEPT=1]: train every step and the recipe, or those named, under several seeds
	$(BOOK) seeds $(ON) --seeds $(or $(SEEDS),5) $(FLAGS) $(WHERE) $(TO)

peer: setup $(if $(RAY),cluster) ## [PRESET=full STORIES=path RECIPE=public_best WORKERS=… RAY=… OUT=folder FRESH=1 ACCEPT=1]: train a recipe that is no step on the same titles
	$(BOOK) peer $(ON) $(if $(RECIPE),--recipe $(RECIPE)) $(FLAGS) $(WHERE) $(TO)

ladder search: DEFAULT = tiny
ladder: $(VENV)/dev $(if $(RAY),cluster) ## [PRESET=tiny STORIES=path SEEDS=3 LEVERS="…" LIKE=… WORKERS=… RAY=… OUT=folder FRESH=1 ACCEPT=1]: try the changes of step three in turn
	$(BOOK) ladder $(ON) --seeds $(or $(SEEDS),3) $(if $(LEVERS),--levers $(LEVERS)) $(if $(LIKE),--like $(LIKE)) $(FLAGS) $(WHERE) $(TO)

search: $(VENV)/dev ## [PRESET=tiny STORIES=path STEP=04_lowest_loss TRIALS=20 LIKE=… TRY="…" STORAGE=url OUT=folder FRESH=1 ACCEPT=1]: tune the settings of step three, or of public_best, together
	$(BOOK) search $(ON) --trials $(or $(TRIALS),20) $(if $(LIKE),--like $(LIKE)) $(if $(TRY),--try $(TRY)) $(if $(STORAGE),--storage "$(STORAGE)") $(FLAGS) $(TO)

bench: DEFAULT = small
bench: setup ## [PRESET=small STORIES=path OUT=folder FRESH=1]: tokens per second, beside the plain loop of studies/reference.py
	$(BOOK) bench $(ON) $(if $(STORIES),--stories "$(STORIES)") $(if $(FRESH),--fresh) $(TO)

site: setup ## [THEME=auto]: render the published book, executing nothing; book or plain forces a theme
	$(BOOK) site $(SITE)

serve: setup ## [PORT=8000 THEME=auto]: preview it
	$(BOOK) serve $(SITE) $(if $(PORT),--port $(PORT))

github: setup ## SLUG=owner/name: where the book lies on GitHub
	$(BOOK) github $(SLUG)

lint: $(VENV)/dev ## ruff: format and lint; Prettier: the format of JavaScript
	$(BIN)/ruff format --check . && $(BIN)/ruff check .
	npx --yes prettier@3.6.2 --check --log-level warn "{plugins,widget,theme,tests}/**/*.{js,mjs}"

clean: ## remove _build: the sites, and every run with its checkpoints and weights
	rm -rf _build
