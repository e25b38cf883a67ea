# Every target sets up what it needs: only python3 (3.11 or newer) and make are assumed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt
SETUP := pyproject.toml constraints.txt
# Two workers at most: the kernels are compiled once and shared through numba's cache.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: help discover dft test test-slow test-full check coverage bench docs validator clean

help:
	@echo "make discover   a small real campaign: sets everything up, ends in report.html"
	@echo "make test       quick tests (minutes); sets everything up on the first run"
	@echo "make test-slow  the slow cases at reduced counts"
	@echo "make test-full  the slow cases at the counts of a release"
	@echo "make check      style, types and floors (ruff, mypy, import-linter)"
	@echo "make coverage   quick and slow tests with branch coverage"
	@echo "make bench NAME=hull   one benchmark, written to benchmarks/results/"
	@echo "make dft        real DFT: adds GPAW"
	@echo "make validator  the OPTIMADE validator, in an environment of its own"
	@echo "make docs       the manual, as HTML in site/"

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "materialabs needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making the virtual environment $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/dev.stamp: $(VENV)/python.stamp $(SETUP)
	@echo "Installing materialabs and its test tools into $(VENV) (a minute or two) ..."
	@$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/bench.stamp: $(VENV)/dev.stamp .validator-venv/stamp
	@echo "Installing the benchmarks' peers into $(VENV) ..."
	@$(PIP) --editable '.[bench]'
	@touch $@

$(VENV)/docs.stamp: $(VENV)/dev.stamp
	@echo "Installing the manual's tools into $(VENV) ..."
	@$(PIP) --editable '.[docs]'
	@touch $@

# The OPTIMADE validator and reference server pin versions of their own: an environment apart.
.validator-venv/stamp: constraints-validator.txt
	@echo "Installing the OPTIMADE validator into .validator-venv ..."
	@$(PYTHON) -m venv .validator-venv
	@.validator-venv/bin/python -m pip --disable-pip-version-check --quiet install \
	  --constraint constraints-validator.txt 'optimade[server,http-client]'
	@touch $@

validator: .validator-venv/stamp

# A user needs the package alone, without the test tools.
$(VENV)/package.stamp: $(VENV)/python.stamp $(SETUP)
	@echo "Installing materialabs into $(VENV) (a minute or two) ..."
	@$(PIP) --editable .
	@touch $@

# GPAW is GPL: an extra that runs in a process of its own. Building it takes a C compiler.
$(VENV)/dft.stamp: $(VENV)/python.stamp $(SETUP)
	@echo "Installing GPAW into $(VENV) ..."
	@$(PIP) --editable '.[dft]'
	@touch $@

dft: $(VENV)/dft.stamp

SYSTEM ?= Mg-Si-O
BUDGET ?= 60

discover: $(VENV)/package.stamp
	@$(BIN)/materialabs discover $(SYSTEM) --budget $(BUDGET) --processes 2 $(ARGS)

test: $(VENV)/dev.stamp .validator-venv/stamp
	@echo "Running the quick tests ..."
	@$(PYTEST) -m "not slow and not full"

test-slow: $(VENV)/dev.stamp .validator-venv/stamp
	@echo "Running the slow tests at reduced counts ..."
	@$(PYTEST) -m "slow and not full"

test-full: $(VENV)/dev.stamp .validator-venv/stamp
	@echo "Running the slow tests at the counts of a release (this takes long) ..."
	@$(PYTEST) -m "full" --summary benchmarks/results/test-full.json

check: $(VENV)/dev.stamp
	@echo "ruff check" && $(BIN)/ruff check .
	@echo "ruff format --check" && $(BIN)/ruff format --check .
	@echo "mypy --strict src" && $(BIN)/mypy
	@echo "import-linter" && $(BIN)/lint-imports

coverage: $(VENV)/dev.stamp .validator-venv/stamp
	@$(PYTEST) -m "not full" --cov --cov-report=term-missing:skip-covered

bench: $(VENV)/bench.stamp
	@test -n "$(NAME)" || { echo "Say which: make bench NAME=hull"; exit 2; }
	@$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

docs: $(VENV)/docs.stamp
	@$(BIN)/mkdocs build --strict --quiet
	@echo "The manual is at site/index.html"

clean:
	rm -rf $(VENV) .validator-venv site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
