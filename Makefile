# Everything runs in a virtual environment of its own, made on first use.
PYTHON ?= python3
VENV ?= .venv
LAYERS ?= 6
WORKERS ?= 2
BIN := $(abspath $(VENV))/bin
INSTALLED := $(VENV)/.installed
DEV_INSTALLED := $(VENV)/.dev-installed
FAST_TESTS = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.PHONY: full test test-all check clean

full: $(INSTALLED)  ## prune the quickstart base to LAYERS layers, heal it, judge it, register it
	PATH="$(BIN):$$PATH" mlflow run . -e full -P layers=$(LAYERS) --env-manager local

test: $(DEV_INSTALLED)  ## the fast tests
	$(FAST_TESTS)

test-all: $(DEV_INSTALLED)  ## every test; the browser's need Debian's chromium
	$(BIN)/python -m pytest -m ""

check: $(DEV_INSTALLED)  ## style, types, import order, and the fast tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(FAST_TESTS)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable .
	touch $@

$(DEV_INSTALLED): pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable ".[dev,minilm]"
	touch $@ $(INSTALLED)

clean:
	rm -rf $(VENV)
