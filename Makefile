# Everything a person or CI does with this project. Each target sets up what it needs first; `make` alone lists them.

PYTHON ?= python3
ARGS ?=

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input -qq

# A stamp is written only after its step has wholly succeeded, so that an interrupted set-up is taken up again.
LOCKED := $(VENV)/.stamp-locked
INSTALLED := $(VENV)/.stamp-installed
NODE := node_modules/.stamp

.PHONY: help setup demo test check format bench soak devnet lock clean distclean

help: ## what can be done here
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## the main job told as a story on two local chains; KEEP=1 leaves everything running
	@$(PY) -m tools.demo $(ARGS)

test: setup ## all tests; ARGS="-k name" runs a part
	@$(PY) -m pytest -q $(ARGS)

check: setup ## format, lint, types, import contracts, house rules
	@$(PY) -m ruff format --check --quiet . || { echo "check: not formatted (make format)" >&2; exit 1; }
	@$(PY) -m ruff check --quiet .
	@$(PY) -m mypy
	@COLUMNS=160 $(VENV)/bin/lint-imports
	@$(PY) -m pytest -q tests/architecture

format: setup ## put the source into the house's form
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

bench: setup ## figures into build/bench.json (up to 20 minutes); ONLY=overhead runs a part
	@$(PY) -m tools.bench $(ARGS)

soak: setup ## hundreds of kills while money moves (some 20 minutes); ARGS="--kills 50 --seed 1"
	@$(PY) -m tools.soak $(ARGS)

devnet: setup ## the two local chains alone, until interrupted
	@$(PY) -m chains.devnet $(ARGS)

setup: $(INSTALLED) $(NODE) ## virtual environment and node modules, from lock files (every target does this first)
	@:

$(LOCKED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "setup: $(PYTHON) is absent or older than 3.11: install Python 3.11, or say PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "setup: $(PYTHON) can't make virtual environments: install the package python3-venv and try again" >&2; exit 1; }
	@echo "setup: virtual environment in $(VENV)"
	@$(PY) -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo "setup: the Python packages of requirements.lock, by hash (a minute or two)"
	@$(PIP) install --require-hashes --only-binary :all: -r requirements.lock || { \
	  echo "setup: the packages of requirements.lock could not be installed; pip's reason is above." >&2; \
	  echo "setup: is the package index reachable? A hash that doesn't match is never to be waved through." >&2; exit 1; }
	@touch $@

$(INSTALLED): $(LOCKED) pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --editable . || { \
	  echo "setup: custodyd itself could not be installed; the reason is above" >&2; exit 1; }
	@touch $@

$(NODE): $(LOCKED) package.json package-lock.json
	@echo "setup: node modules (the local Ethereum node, the official Solana clients)"
	@$(PY) -m tools.node npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null || { \
	  echo "setup: npm ci failed; its reason is above. Is the npm registry reachable?" >&2; exit 1; }
	@touch $@

# The lock is made by uv, which is needed for nothing else and so lives in a throw-away environment.
lock: ## bring requirements.lock in line with pyproject.toml; UPGRADE=1 takes the newest of everything
	@$(PYTHON) -m venv --clear build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check --no-input -qq install uv
	@build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header $(if $(UPGRADE),--upgrade) --output-file requirements.lock pyproject.toml
	@rm -rf build/lock

clean: ## remove what was built, but not the environments
	@rm -rf build dist .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find custody chains tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the environments too
	@rm -rf $(VENV) node_modules
