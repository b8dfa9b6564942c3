# Everything happens in .venv, made on first use. PYTHON names the interpreter to build it with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3
unexport PYTHONDONTWRITEBYTECODE  # else each of many processes compiles all modules anew
# A file of tests stays on one worker, which makes its caches and networks once; tests/conftest.py orders the files.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
# What goes through every kernel.
KERNEL_TESTS := tests/kernels tests/measuring/test_measure.py tests/measuring/test_threshold.py \
	tests/measuring/test_component.py tests/cropping/test_crop.py tests/cropping/test_many.py

.PHONY: demo test quick nojit oldest lint coverage docs bench dist clean

$(VENV)/.base: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -e '.[train,fits]'
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(BIN)/python -m pip install -q -e '.[train,fits,dask,remote,parquet,export,docs,dev]' 'jax>=0.4.30'
	touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install -q -e '.[bench]'
	touch $@

$(VENV)/.compiled: $(VENV)/.dev $(wildcard scalenorm/kernels/*.py)  # else every worker and command would compile
	$(BIN)/python tests/helpers/compiled.py
	touch $@

demo: $(VENV)/.base  ## simulated and real galaxies, from images to a cache, a picture and a short training
	$(BIN)/python examples/demo.py

test: $(VENV)/.compiled  ## every test
	$(PYTEST)

quick: $(VENV)/.compiled  ## the tests that take under half a second, of every package
	$(PYTEST) -m 'not slow'

nojit: $(VENV)/.dev  ## the kernels as plain Python, without the compiler
	NUMBA_DISABLE_JIT=1 $(PYTEST) -q --dist worksteal -m 'not slow' $(KERNEL_TESTS)

oldest:  ## the quick tests of scalenorm with the oldest versions that setup.cfg admits; needs a Python 3.11
	$(PYTHON) -m venv build/oldest
	build/oldest/bin/python -m pip install -q --only-binary :all: -r tests/requirements-oldest.txt
	build/oldest/bin/python -m pip install -q --no-deps -e .
	build/oldest/bin/python -m pytest -m 'not slow' --ignore=tests/trainer

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell scalenorm galaxy_trainer tests benchmarks examples docs README.rst CHANGELOG.rst CONTRIBUTING.rst

clean:
	rm -rf $(VENV) build dist *.egg-info docs/_build demo-output

coverage: $(VENV)/.dev  ## lines run by the tests, kernels as plain Python
	$(BIN)/coverage erase
	NUMBA_DISABLE_JIT=1 $(BIN)/coverage run -p -m pytest -q -m 'not slow' $(KERNEL_TESTS)
	$(BIN)/coverage run -p -m pytest -q
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --fail-under=90 --skip-covered

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/sphinx-build -W -q -b doctest -D plot_gallery=0 docs docs/_build/doctest

bench: $(VENV)/.bench  ## every benchmark, and the tables in docs and README from their results
	$(BIN)/python benchmarks/run_all.py

dist: $(VENV)/.dev  ## wheel and sdist, installed one after the other into a fresh environment and tried
	rm -rf dist build/try
	$(BIN)/python -m build -o dist . >/dev/null
	$(PYTHON) -m venv build/try
	for package in dist/*.whl dist/*.tar.gz; do \
		build/try/bin/pip install -q $$package && build/try/bin/pip check && \
		(cd build && try/bin/scalenorm-batch --version && \
		 try/bin/python -c "import numpy, scalenorm; scalenorm.crop(numpy.eye(50))") && \
		build/try/bin/pip uninstall -q -y scalenorm || exit 1; \
	done
