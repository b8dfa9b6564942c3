# Everything happens in .venv, made on first use. PYTHON names the interpreter to build it with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3
export PYTHONDONTWRITEBYTECODE ?= 1

.PHONY: demo test quick lint coverage docs bench dist clean

$(VENV)/.base: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -e '.[train,fits]'
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(BIN)/python -m pip install -q -e '.[train,fits,dask,remote,parquet,docs,dev]' 'jax>=0.4.30'
	touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install -q -e '.[bench]'
	touch $@

demo: $(VENV)/.base  ## simulated and real galaxies, from images to a cache, a picture and a short training
	$(BIN)/python examples/demo.py

test: $(VENV)/.dev  ## every test
	$(BIN)/python -m pytest

quick: $(VENV)/.dev  ## the tests that take seconds
	$(BIN)/python -m pytest -m 'not slow'

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell scalenorm galaxy_trainer tests benchmarks examples docs README.rst CHANGELOG.rst CONTRIBUTING.rst

clean:
	rm -rf $(VENV) build dist *.egg-info docs/_build demo-output
