# Needs Debian (or a relative), Python 3.11, git and make. `make help` says what there is.
PYTHON ?= python3
JOBS ?= 4
SHARE ?= 1/1
TORCH ?= torch==2.13.0
MODULES ?=
VENV := .venv
BIN := $(VENV)/bin
DOCS := .docs
SPHINX := $(DOCS)/bin/python -m sphinx -q -n -W --keep-going -b html
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
VENDORS := $(patsubst plugins/%/tests/vendor/requirements.txt,%,$(wildcard plugins/*/tests/vendor/requirements.txt))
PLUGINS := $(sort $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml)))

# Thousands of short processes run here: each would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: compile-tests dist docs docs-messages help setup system-packages system-packages-strict demo test test-nightly test-machines test-matrix test-vendors test-reliability test-roots test-mutation test-torch test-windows lint lint-style lint-types lint-platforms format clean
.DELETE_ON_ERROR:

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

setup: system-packages $(VENV)/.installed  ## make .venv with everything in it (again: does nothing)

demo: setup  ## the whole trip, from login to receipt, on this computer (DRIVER=embedded: without isolation)
	@$(BIN)/gpurent demo $(if $(DRIVER),--driver $(DRIVER))

test: system-packages-strict setup  ## lint, then the tests (JOBS=4 at a time)
	@$(MAKE) --no-print-directory --jobs 2 --output-sync lint compile-tests
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test-nightly: system-packages-strict setup  ## the long tests, then the reliability table; goes on where it ended
	$(BIN)/python -m pytest -n $(JOBS) -m nightly -p tests.nightly -p tests.machines.table
	$(MAKE) --no-print-directory test-reliability
	$(MAKE) --no-print-directory test-roots
	$(MAKE) --no-print-directory test-windows
	$(MAKE) --no-print-directory test-vendors
	$(MAKE) --no-print-directory docs

test-matrix: system-packages-strict setup  ## every scenario at every provider, in the sandbox; prints the table
	$(BIN)/python -m pytest -n $(JOBS) -m "" -p tests.matrix.table tests/matrix

test-machines: system-packages-strict setup  ## odd machines by what a user does on them; goes on where it ended, prints the table
	$(BIN)/python -m pytest -n $(JOBS) -m nightly -p tests.nightly -p tests.machines.table tests/machines

test-vendors: setup $(VENDORS:%=.vendors/%/.installed)  ## the simulators, judged by the vendors' own clients
	$(BIN)/python -m pytest -m vendor plugins

test-reliability: system-packages-strict setup  ## the families of docs/reliability.md (SHARE=1/4: a quarter of them)
	$(BIN)/python -m tests.reliability.harness --jobs $(JOBS) --share $(SHARE); status=$$?; \
		$(BIN)/python -m tests.reliability.table; exit $$status

test-roots: system-packages-strict setup  ## roots of mended losses and attacks, put back one by one: each must be caught
	$(BIN)/python -m tests.roots

test-mutation: setup $(VENV)/.mutation  ## the mutation score of docs/mutation.md (some minutes; MODULES= names a few)
	$(BIN)/python scripts/mutation_score.py --jobs $(JOBS) $(MODULES)

test-windows: system-packages-strict setup  ## the journey of a user on Windows, by Windows' own Python under Wine; prints its table
	@$(BIN)/python scripts/windows_python.py .windows; status=$$?; \
		if [ $$status = 3 ]; then echo "test-windows: skipped"; exit 0; fi; [ $$status = 0 ] || exit $$status; \
		$(BIN)/python -m pytest -m wine -o time_limit=1800 -p tests.windows.table tests/windows/test_wine.py

test-torch: setup  ## the tests with PyTorch; brings it into .venv (some GB; TORCH= names another build)
	$(PIP) install $(TORCH)
	$(BIN)/python -m pytest plugins/torch tests/doctor tests/seed/test_rows_gpus.py

# Each process of pytest would compile every test by itself. What cannot be collected is reported by the tests.
compile-tests: setup
	$(BIN)/python -m pytest --collect-only --quiet --quiet >/dev/null || true

dist: setup  ## sdist and wheel of core and of every plugin in dist/, the same bytes each time
	$(BIN)/python scripts/build_distributions.py

docs: setup $(DOCS)/.installed  ## the documentation in English and Chinese, as a site in build/docs/{en,zh}
	$(DOCS)/bin/python scripts/docs_messages.py --check
	$(BIN)/python scripts/record_first_hour.py $(DRIVER)
	$(SPHINX) -D language=en -d build/docs/.doctrees/en docs build/docs/en
	$(SPHINX) -D language=zh_CN -d build/docs/.doctrees/zh docs build/docs/zh

docs-messages: $(DOCS)/.installed  ## bring the catalogues of the Chinese pages up to the English pages
	$(DOCS)/bin/python scripts/docs_messages.py $(if $(PAGE),--begin $(PAGE))

lint: lint-style lint-types lint-platforms  ## ruff, mypy --strict, also for Windows and macOS, and the import contracts

lint-style: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/lint_imports.py

lint-types: setup
	$(BIN)/mypy --strict
	MYPYPATH=core:$$(echo plugins/*/src examples/plugins/*/src | tr " " :) $(BIN)/mypy --strict --explicit-package-bases \
		plugins/*/tests examples/plugins/*/tests tests

lint-platforms: setup
	$(BIN)/python scripts/check_platforms.py

format: setup  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove .venv, caches and build results
	rm -rf $(VENV) $(DOCS) .vendors .windows docs/reference build dist .coverage .coverage.* .import_linter_cache .nightly.jsonl .reliability.jsonl .machines.jsonl
	find . -name .git -prune -o -type d \( -name __pycache__ -o -name '.*_cache' -o -name .hypothesis \
		-o -name '*.egg-info' \) -prune -exec rm -rf {} +

system-packages:
	@PYTHON=$(PYTHON) scripts/system-packages.sh

system-packages-strict:
	@PYTHON=$(PYTHON) scripts/system-packages.sh --strict

$(VENV)/.python: | system-packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gpurent needs Python 3.11 or later: make PYTHON=...")'
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.requirements: requirements/dev.txt $(VENV)/.python
	$(PIP) install --require-hashes -r $<
	@touch $@

$(VENV)/.installed: $(VENV)/.requirements pyproject.toml $(PLUGINS:%=%/pyproject.toml)
	$(PIP) install --no-deps --no-build-isolation -e . $(PLUGINS:%=-e ./%)
	$(BIN)/python -m compileall -q core/gpurent $(PLUGINS:%=%/src)
	@touch $@

$(DOCS)/.installed: requirements/docs.txt | system-packages
	$(PYTHON) -m venv --clear $(DOCS)
	$(DOCS)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r $<
	@touch $@

# Of its own: these clients pin versions that clash with gpurent's and with one another's.
.vendors/%/.installed: plugins/%/tests/vendor/requirements.txt $(VENV)/.python
	$(PYTHON) -m venv --clear .vendors/$*
	.vendors/$*/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r $<
	@touch $@

$(VENV)/.mutation: requirements/mutation.txt $(VENV)/.installed
	$(PIP) install --require-hashes -r $<
	@touch $@
