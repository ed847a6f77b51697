# `make book` and `make test` need nothing but Python >= 3.11: they use the active environment, else make .venv.
PYTHON ?= python3
ifdef VIRTUAL_ENV
  BIN := $(VIRTUAL_ENV)/bin
else
  BIN := .venv/bin
endif
READY := $(BIN)/.lenet-book-ready
TESTS_READY := $(BIN)/.lenet-book-tests-ready

.PHONY: book data test serve notebooks hosted runs bench torture clean
.DEFAULT_GOAL := book

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "The book needs Python 3.11 or later; this is " + sys.version.split()[0] + ".")'
	$(PYTHON) -m venv .venv || { rm -rf .venv; echo "No virtual environment: on Debian and Ubuntu, install python3-venv."; exit 1; }

$(READY): requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing the book's libraries into $(BIN): minutes, the first time."
	$(BIN)/python -m pip install --requirement requirements.txt
	@touch $@

$(TESTS_READY): requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing what the tests need into $(BIN)."
	$(BIN)/python -m pip install --requirement requirements.txt --editable '.[test,lightning]'
	@touch $@ $(READY)

book: $(READY)  ## execute every chapter, write the site
	$(BIN)/python -m lenet_utils.data
	$(BIN)/jupyter-book build . --all -W --keep-going
	@echo "The book: $(CURDIR)/_build/html/index.html"

data: $(READY)  ## MNIST and Fashion-MNIST, downloaded where missing, and checked
	$(BIN)/python -m lenet_utils.data mnist fashion-mnist

test: $(TESTS_READY)  ## all tests
	$(BIN)/python -m pytest -n auto --dist loadfile

serve: book  ## read the site at http://127.0.0.1:8000
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html 8000

notebooks: $(READY)  ## write notebooks/*.ipynb from book/*.md
	$(BIN)/python scripts/pair.py

hosted:  ## every notebook as a hosted service would run it; gigabytes and minutes, the first time
	$(PYTHON) scripts/simulate_host.py

torture: $(TESTS_READY)  ## twenty times as many odd calls, and a hundred kills of each thing that writes; an hour or more
	LENET_FUZZ=20 $(BIN)/python -m pytest tests/test_fuzz.py tests/test_oracles.py
	$(BIN)/python tests/torture.py --rounds 100

runs: $(TESTS_READY)  ## the long runs that results/ holds; each goes on where it was stopped
	$(BIN)/python -m lenet_utils.runs all

bench: $(READY)  ## speed, side by side
	for benchmark in benchmarks/*_speed.py; do $(BIN)/python $$benchmark || exit 1; done

clean:  ## what a build leaves behind; not data/, not .venv/, not interrupted runs
	rm -rf _build .cache/*.pt .cache/*.lock .pytest_cache .ruff_cache
