# Everything on a machine with Python >= 3.11 and make; the virtual environment is made in .venv.
#
#   make bench         install, run the default benchmark, write the page about it
#   make test          install, then lint, types, import order and all tests
#   make acceptance    the long checks; measured figures in build/acceptance.md
#   make performance   the timed benchmarks; build/benchmarks.json
#   make handbook      the handbook; build/handbook/index.html
#   make test-matrix   the tests on every Python from 3.11 that is here, and with oldest versions
#   make clean         remove all that these made, results excepted

PYTHON  ?= python3
# Where `make bench` writes; a second run there resumes.
RESULTS ?= results/default
# Test processes: one a core.
WORKERS ?= auto
# PyTorch, the independent check of gradients, is the extra `compare`: EXTRAS=test does without it.
# `make performance EXTRAS=test,compare,performance` times JAX too.
EXTRAS  ?= test,compare

VENV    := .venv
BIN     := $(VENV)/bin
FOLDERS := kernels objectives architectures rules bench
# Compiled code is kept in a folder named by a digest of its sources: a cache does not notice every
# change of them.
DIGEST  := -c "from plausibench.kernels import cache; print(cache.digest())"
CACHED   = NUMBA_CACHE_DIR="$(CURDIR)/build/numba/$$($(BIN)/python $(DIGEST))"

.PHONY: bench test lint types imports tests acceptance performance handbook \
	test-matrix clean

bench: $(VENV)/.installed
	$(BIN)/plausibench run --out $(RESULTS)
	$(BIN)/plausibench report $(RESULTS) --no-certificates

test: lint types imports tests

lint: $(VENV)/.installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# The folders are packages of plausibench; mypy finds them under that name through links.
types: $(VENV)/.installed-test
	mkdir -p .links/plausibench
	for folder in $(FOLDERS); do ln -sfn ../../$$folder .links/plausibench/$$folder; done
	$(BIN)/mypy

imports: $(VENV)/.installed-test
	$(BIN)/lint-imports

tests: $(VENV)/.installed-test
	$(CACHED) $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist loadfile tests

acceptance: $(VENV)/.installed-test
	$(CACHED) $(BIN)/python -m pytest -m acceptance --timeout 0 --figures build/acceptance.md tests

performance: $(VENV)/.installed-test
	mkdir -p build
	$(CACHED) $(BIN)/python -m pytest --benchmark-enable --benchmark-only \
		--benchmark-json build/benchmarks.json tests/benchmarks

# Each Python has an environment of its own; the oldest Python also has the oldest versions that
# pyproject.toml allows.
test-matrix:
	@for version in 3.11 3.12 3.13 3.14; do \
		if python$$version -c "" 2>/dev/null; then $(MAKE) matrix-$$version || exit 1; \
		else echo "python$$version is not installed: left out"; fi; \
	done
	@$(MAKE) matrix-oldest

matrix-oldest: SOURCE := python3.11
matrix-oldest: ALLOWED := --constraint build/oldest.txt
# Old versions warn of what has become of each other since.
matrix-oldest: WARNINGS := -W ignore::DeprecationWarning
matrix-%: SOURCE ?= python$*
matrix-%:
	mkdir -p build
	$(SOURCE) tests/oldest.py > build/oldest.txt
	$(SOURCE) -m venv build/matrix/$*
	build/matrix/$*/bin/python -m pip install --quiet --editable ".[test]" $(ALLOWED)
	NUMBA_CACHE_DIR="$(CURDIR)/build/matrix/$*/numba/$$(build/matrix/$*/bin/python $(DIGEST))" \
		build/matrix/$*/bin/python -m pytest \
		$(WARNINGS) -n $(WORKERS) --maxprocesses 8 --dist loadfile tests

handbook: $(VENV)/.installed-test
	$(BIN)/python -m mkdocs build --quiet

clean:
	rm -rf $(VENV) .links build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find $(FOLDERS) tests -name __pycache__ -prune -exec rm -rf {} +

# Stamps: an environment is made once, and packages are installed again when pyproject.toml changes.
$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || \
		{ echo "plausibench needs Python 3.11 or newer; there is no $(PYTHON)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "plausibench needs Python 3.11 or newer, $(PYTHON) is" \
		  "$$($(PYTHON) --version 2>&1): try make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.made
	@echo "Installing into $(VENV): a few minutes the first time"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: pyproject.toml $(VENV)/.made
	@echo "Installing into $(VENV): a few minutes the first time"
	$(BIN)/python -m pip install --quiet --editable ".[$(EXTRAS)]"
	touch $(VENV)/.installed $@
