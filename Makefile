# The virtual environment is made once and again whenever pyproject.toml changes. Everything here is safe to repeat.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One process a core; tests that lie side by side share what is traced and compiled, so each takes a run of them.
PARALLEL := --numprocesses auto --dist worksteal

.PHONY: demo test test-slow test-julia lint bench clean

demo: $(READY)
	$(BIN)/python examples/demo.py

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow $(PARALLEL)

# Needs network the first time, unless PYTHON_JULIACALL_EXE and PYTHON_JULIACALL_PROJECT name a Julia that is there.
test-julia: $(READY)
	$(BIN)/python -m pip install --quiet -e ".[julia]"
	$(BIN)/python -m pydiffeqflux setup
	$(BIN)/python -m pytest -m julia

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(READY)
	$(BIN)/python -m pip install --quiet -e ".[bench]"
	$(BIN)/python examples/benchmarks/run.py

clean:
	rm -rf $(VENV) build dist figures

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "pydiffeqflux needs Python 3.11 or newer; name one with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $(READY)
