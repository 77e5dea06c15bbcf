# Every target sets itself up on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BASE := $(VENV)/.installed-base
STAMP := $(VENV)/.installed
FULL := $(VENV)/.installed-full
TORCH ?= torch==2.13.0

.PHONY: setup demo pictures test lint types coverage docs benchmark format clean

setup: $(STAMP)

$(BASE): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or later is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing into $(VENV), about 740 MB ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(STAMP): $(BASE)
	@echo "Installing what development needs ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

demo: $(BASE)
	$(BIN)/brain-ssl-anomaly demo --overwrite

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

# Torch first and by version: what needs it would bring the newest one, with gigabytes of CUDA.
$(FULL): $(STAMP)
	@echo "Installing torch and what training needs ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,docs,torch,training,slicer-tests]"
	@touch $@

# Two processes of one thread: two of two would get into each other's way. A module stays together for its fixtures.
test: $(FULL) lint types
	OMP_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadscope

docs: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

coverage: $(FULL)
	OMP_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadscope --cov

# Side by side with the run before, which is kept in .benchmarks.
benchmark: $(FULL)
	$(BIN)/pytest Testing/benchmarks --benchmark-only --benchmark-columns=median,min,max,rounds --benchmark-autosave --benchmark-compare

# The pictures of README and user guide, from the synthetic patient.
pictures: $(FULL)
	$(BIN)/brain-ssl-anomaly demo --overwrite --output build/pictures/demo
	PYTHONPATH=Testing $(BIN)/python -m support.slicer.rendered_views build/pictures/views
	PANEL_PICTURES=$(CURDIR)/build/pictures/panel $(BIN)/pytest -q Testing/panel
	$(BIN)/python docs/pictures.py build/pictures/demo build/pictures/views build/pictures/panel

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
