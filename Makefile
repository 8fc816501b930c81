# Every target sets up what it needs, on a machine that has only Python 3.11+ with venv, make and a compiler.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
export PYTHONUTF8 = 1

.DEFAULT_GOAL := help
.PHONY: help install demo test lint unit browser book lab app notebooks bench proofs clean

help:            ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

install: $(READY)  ## the environment in .venv

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "v2mlib needs Python 3.11 or newer; $(PYTHON) is older: make PYTHON=python3.11 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[phantom,photos,fan,study,app,dev]'
	@# Open3D brings dash, whose source extension would make JupyterLab ask to be rebuilt.
	@rm -f $(VENV)/share/jupyter/lab/extensions/dash-jupyterlab.tgz
	@$(BIN)/python -m v2mlib.doctor --repair
	@# The browser tests want a Chromium; without one they are skipped.
	@which chromium chromium-browser google-chrome 2>/dev/null | grep -q . || timeout 120 $(BIN)/python -m playwright install chromium >/dev/null 2>&1 \
	  || echo "no Chromium found or fetched: the browser tests will be skipped"
	@touch $@

demo: $(READY)   ## the main job: build the phantom, train, evaluate, report (under 12 minutes on 2 cores)
	$(BIN)/v2m demo $(ARGS)

test: $(READY) lint unit browser book  ## everything that must hold

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/numpydoc lint $$(git ls-files 'v2mlib/*.py')

# One computing thread per process: the test processes are the parallelism. Files in their own order,
# not those with most tests first: the longest ones have few.
unit: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder -m "not browser" $(ARGS)

# A browser without a graphics card draws with every processor: two at a time.
browser: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 2 --dist loadfile -m browser tests

book: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 2 --dist loadfile --nbval-lax --nbval-cell-timeout 600 -W default notebooks

lab: $(READY)    ## JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir notebooks

app: $(READY)    ## voice to face as a web page, on this machine only
	$(BIN)/v2m app $(ARGS)

notebooks: $(READY)  ## run every notebook from a fresh kernel and store its outputs
	$(BIN)/python tools/execute_notebooks.py

bench: $(READY)  ## ours beside named peers, as ratios
	$(BIN)/python tests/benchmarks/harness.py --json build/bench.json $(ARGS)

proofs: $(READY) ## the long proofs; their results are committed
	@for proof in tools/prove_*.py; do echo "== $$proof"; $(BIN)/python $$proof || exit 1; done

clean:           ## remove what make made, except .venv
	rm -rf build dist .pytest_cache .ruff_cache
