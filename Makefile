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

.PHONY: full test test-slow test-all lint environment check clean

full: $(INSTALLED)  ## prune the quickstart base to LAYERS layers, heal it, judge it, register it
	PATH="$(BIN):$$PATH" mlflow run . -e full -P layers=$(LAYERS) --env-manager local

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
	$(BIN)/python tools/commands_page.py --check

environment: $(DEV_INSTALLED)

check: lint test  ## what lint checks, and the fast tests

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
