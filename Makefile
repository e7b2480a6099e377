# finflow: `make help` lists the targets.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Tests wait for servers and polls: one worker more than cores keeps these busy.
WORKERS := -n $(shell expr $$(nproc) + 1) --dist loadfile --no-loadscope-reorder
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: $(PYTHON) was not found. Set PYTHON=/path/to/python3.11."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-deps -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/pip check
	@touch $(STAMP)

.PHONY: help install demo test test-slow test-all test-ci bench pages ui up down lint types clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(STAMP) ## create .venv with the locked dependencies

demo: $(STAMP) ## train, decide, score and backfill on real market data (about 6 minutes)
	$(BIN)/finflow demo

test: $(STAMP) ## the tests (about 7 minutes)
	$(BIN)/pytest $(WORKERS) -m "not slow and not benchmark"

test-slow: $(STAMP) ## faults, sizes and real servers (about 12 minutes)
	$(BIN)/pytest $(WORKERS) -m "slow and not benchmark"

test-all: $(STAMP) ## every test, those marked nightly too (about 20 minutes)
	$(BIN)/pytest $(WORKERS) -m "not benchmark" --nightly all

test-ci: $(STAMP) ## what .ci/run runs: every test, and a third of those marked nightly
	$(BIN)/pytest $(WORKERS) -m "not benchmark" --nightly third

bench: $(STAMP) ## the benchmarks; writes their figures into tests/benchmarks/README.md
	@rm -f build/figures.jsonl
	FINFLOW_FIGURES=$(CURDIR)/build/figures.jsonl $(BIN)/pytest -m benchmark -s; code=$$?; \
	  $(BIN)/python -m tests.benchmarks.render build/figures.jsonl && exit $$code

pages: $(STAMP) ## write the generated parts of the documentation
	$(BIN)/python -m tests.support.pages

ui: $(STAMP) ## open the MLflow UI and the Prefect UI over the local state
	$(BIN)/finflow ui

up: $(STAMP) ## start a Prefect server, an MLflow server and a worker, and register the deployments
	$(BIN)/finflow up

down: $(STAMP) ## stop what `make up` started
	$(BIN)/finflow down

lint: $(STAMP) ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy
	$(BIN)/mypy

clean: ## remove .venv; state in .finflow stays
	rm -rf $(VENV)
