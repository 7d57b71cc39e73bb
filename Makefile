# Two commands do everything on a fresh machine: `make run` (the demo) and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
JOBS ?= 2

.PHONY: run test slow check format clean

run: $(VENV)/installed ## set up and run the demo
	$(BIN)/optbench +experiment=demo

test: $(VENV)/installed ## set up and run the fast tests
	$(BIN)/pytest -n $(JOBS) -m "not slow and not gpu"

slow: $(VENV)/installed ## tests on real models and real processes
	$(BIN)/pytest -n $(JOBS) -m "slow and not gpu"

check: $(VENV)/installed ## what CI runs before the tests
	VENV=$(VENV) scripts/check.sh

format: $(VENV)/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/installed: pyproject.toml constraints.txt
	PYTHON=$(PYTHON) VENV=$(VENV) scripts/setup.sh
	touch $@

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache
