# Each target makes its own virtual environment in .venv on first use, with the versions of
# constraints.txt, which are known to work on Python 3.11.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo demo-long test lint notebooks clean

demo: $(VENV)/.demo
	$(BIN)/jaxgesture demo --out=out/demo

demo-long: $(VENV)/.demo
	$(BIN)/jaxgesture demo --long --out=out/demo-long

# Without the notebooks' run, which fills an environment of its own: `make notebooks`.
test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --deselect tests/notebooks/test_notebooks.py::TestRun tests

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python

# Runs all notebooks at the smallest sizes; they and their pictures are left in out/notebooks.
notebooks: $(VENV)/.test
	JAXGESTURE_NOTEBOOKS_OUT=out/notebooks $(BIN)/python -m pytest -s tests/notebooks

$(VENV)/.made: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/.demo: $(VENV)/.made setup.cfg constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,dev]"
	touch $@

clean:
	rm -rf $(VENV) out build *.egg-info
