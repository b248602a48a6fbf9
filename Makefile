# The verbs of this project. `make demo` and `make test` are complete by themselves: they make .venv and install first.

PYTHON ?= python3
BIN := .venv/bin
IMAGES ?=
FLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo serve test check soak clients lint bench screenshots clean

help:            ## list the verbs
	@grep -hE '^[a-z]+: .*##|^[a-z]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

demo: .venv/installed           ## train on handwritten digits, print the matrix, write demo/run/report.html
	@$(BIN)/python scripts/demo.py

serve: .venv/installed          ## serve the API and an S3 on http://127.0.0.1:8750: make serve FLAGS="--port 9000"
	@$(BIN)/deconfuse serve $(FLAGS)

test: .venv/installed-dev       ## the quick tests (without the markers browser, slow, postgres, clients and node)
	@$(BIN)/python -m pytest -q -n 2 -m "not browser and not slow and not postgres and not clients and not node"
	@echo "left out: tests marked browser, slow, postgres and clients (make check), and node (make clients)"

check: lint .venv/installed-clients ## lint, types, floors and every test but those of node: what CI runs
	@command -v chromium >/dev/null || { echo "make check needs Chromium (Debian: apt-get install chromium)"; exit 1; }
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || { echo "make check needs PostgreSQL (Debian: apt-get install postgresql)"; exit 1; }
	@DECONFUSE_HYPOTHESIS=deep $(BIN)/python -m pytest -q -n 2 -m "not node"

soak: .venv/installed-dev       ## 5,000 hostile requests, 1,000 hostile images, and 50 kills at random: a tenth is in make check
	@DECONFUSE_SOAK=1 $(BIN)/python -m pytest -q -p no:randomly tests/doors/test_hostile.py tests/doors/test_kill.py tests/doors/test_kill_server.py

clients: .venv/installed-clients ## other people's clients against a running service; needs node and npm too
	@command -v npm >/dev/null || { echo "make clients needs node and npm (nodejs.org)"; exit 1; }
	@$(BIN)/python -m pytest -q -m "clients or node"

lint: .venv/installed-dev       ## style, types and floors only
	@$(BIN)/ruff check src tests scripts bench
	@$(BIN)/ruff format --check src tests scripts bench
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: .venv/installed-dev      ## the numbers of docs/benchmarks.md: make bench IMAGES=DIR (holding train/ and test/)
	@test -n "$(IMAGES)" || { echo "say which images: make bench IMAGES=DIR (a folder with train/ and test/ inside)"; exit 2; }
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[bench]'
	@$(BIN)/python bench/bench.py "$(IMAGES)"

screenshots: .venv/installed-dev ## remake the pictures in docs/images (needs Chromium)
	@$(BIN)/python scripts/screenshots.py

clean:           ## remove what the other verbs made
	rm -rf .venv demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "deconfuse needs Python 3.11 or newer; say which: make PYTHON=python3.12 …")'
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/installed: pyproject.toml constraints.txt | .venv/python
	@echo "installing into .venv (once)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[demo]'
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/python
	@echo "installing into .venv (once)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ .venv/installed

.venv/installed-clients: .venv/installed-dev scripts/clients.py $(wildcard tests/doors/clients/*.txt)
	@$(BIN)/python scripts/clients.py
	@touch $@
