# Two commands do everything on a fresh machine: `make run` (the demo) and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
JOBS ?= 2

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: help run test slow release coverage check docs format clean

run: $(VENV)/installed ## set up and run the demo
	$(BIN)/optbench +experiment=demo

test: $(VENV)/installed ## set up and run the fast tests
	$(BIN)/pytest -n $(JOBS) -m "not slow and not gpu"

slow: $(VENV)/installed ## tests on real models and real processes
	$(BIN)/pytest -n $(JOBS) -m "slow and not release and not gpu"

release: $(VENV)/installed ## what takes too long for every change: every fault, launcher and documented command
	$(BIN)/pytest -n $(JOBS) -m "release and not gpu"

coverage: $(VENV)/installed ## fast and slow tests, and the lines that none of them runs, child processes included
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -n $(JOBS) -m "not release and not gpu"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: $(VENV)/installed ## what CI runs before the tests
	VENV=$(VENV) scripts/check.sh

docs: $(VENV)/installed ## the documentation as a site that needs no network: site/index.html
	VENV=$(VENV) scripts/build_docs.sh --strict

format: $(VENV)/installed ## mend style in place
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/installed: pyproject.toml constraints.txt
	PYTHON=$(PYTHON) VENV=$(VENV) scripts/setup.sh
	touch $@

clean: ## remove the environment and all that was built
	rm -rf $(VENV) dist site .mypy_cache .ruff_cache .pytest_cache
