# Everything runs in a virtual environment of its own, made on first use.
PYTHON ?= python3
VENV ?= .venv
LAYERS ?= 6
WORKERS ?= 2
TESTS ?=
BIN := $(abspath $(VENV))/bin
INSTALLED := $(VENV)/.installed
DEV_INSTALLED := $(VENV)/.dev-installed
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Some images forbid compiled files; every process that a test starts would then compile ours again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: full test test-slow test-all lint environment pins check clean

full: $(INSTALLED)  ## prune the quickstart base to LAYERS layers, heal it, judge it, register it
	PATH="$(BIN):$$PATH" mlflow run . -e full --experiment-name quickstart -P layers=$(LAYERS) --env-manager local

test: $(DEV_INSTALLED)  ## the fast tests
	$(PYTEST) $(TESTS)

test-slow: $(DEV_INSTALLED)  ## the others: long ones, and those with a server or a browser (Debian's postgresql and chromium)
	$(PYTEST) --timeout 1500 -m "slow or service" $(TESTS)

test-all: $(DEV_INSTALLED)  ## every test
	$(PYTEST) --timeout 1500 -m "" $(TESTS)

lint: $(DEV_INSTALLED)  ## style, types, import order, and whether docs/commands.md is current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/reference_pages.py --check

environment: $(DEV_INSTALLED)

pins: $(VENV)/bin/python  ## constraints.txt, renewed with the newest versions in the ranges; torch stays. In a new environment: VENV=FOLDER
	grep '^torch==' constraints.txt >$(VENV)/torch.txt
	$(BIN)/pip install --quiet -c $(VENV)/torch.txt ".[dev,minilm]"
	sed -n '/^#/p' constraints.txt >$(VENV)/pins.txt
	$(BIN)/pip freeze --all --exclude pip --exclude sbert-prune | sed 's/+.*//' >>$(VENV)/pins.txt
	mv $(VENV)/pins.txt constraints.txt

check: lint test  ## what lint checks, and the fast tests

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet -c constraints.txt --editable .
	touch $@

$(DEV_INSTALLED): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet -c constraints.txt --editable ".[dev,minilm]"
	touch $@ $(INSTALLED)

clean:
	rm -rf $(VENV)
