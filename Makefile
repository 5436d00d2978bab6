# Two commands on a machine with Python 3.11 to 3.13 and make: `make demo`, `make test`. Then `make ui`.
# While working on the code: `make check`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet -c constraints.txt
# Only for what a person runs: tests make data directories of their own.
demo ui: export SKIP_PIPELINE_DATA_DIR ?= $(CURDIR)/data

PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
define LINT
$(BIN)/ruff format --check .
$(BIN)/ruff check .
$(BIN)/mypy
$(BIN)/lint-imports
$(SITE)
endef
# Strictly: a link, anchor or page that is missing is an error. The theme's notice is switched off.
SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.PHONY: demo check test audit site reference mutation bench screens torture ui clean

# Every asset, on synthetic data if no raw data has been delivered.
demo: $(VENV)/.installed
	@if ls "$(SKIP_PIPELINE_DATA_DIR)"/01_raw/training_set/*.csv* \
	       "$(SKIP_PIPELINE_DATA_DIR)"/training_set/*.csv* 2>/dev/null | grep -q .; \
	then echo "Using the raw data in $(SKIP_PIPELINE_DATA_DIR)"; \
	else $(BIN)/skip-pipeline synthesize --out "$(SKIP_PIPELINE_DATA_DIR)/01_raw" \
	       --test-sessions 1000; fi
	$(BIN)/skip-pipeline run

# Dagster on http://127.0.0.1:3000, MLflow on http://127.0.0.1:5000.
ui: $(VENV)/.installed
	$(BIN)/skip-pipeline ui

# Format, lint, types, layering, and the tests that need no server, browser or training.
check: $(VENV)/.installed-test
	$(LINT)
	$(PYTEST) -m 'not slow'

# The same with every test, and branch coverage. One test at a time, as when debugging: .venv/bin/pytest -x FOLDER
test: $(VENV)/.installed-test
	$(LINT)
	$(BIN)/dg check defs
	$(PYTEST) --cov --cov-report=term:skip-covered

# The documentation as a site, in site/index.html. Its search needs a server: python -m http.server -d site
site: $(VENV)/.installed-test
	$(SITE)

# The pages of docs/ that are made from the code.
reference: $(VENV)/.installed-test
	$(BIN)/python -m skip_pipeline_tests.pages.reference

# Which changes to promotion, metrics and storage no test notices; docs/mutation.md has the last scores.
mutation: $(VENV)/.installed-mutation
	$(BIN)/mutmut run
	$(BIN)/mutmut results

# Every benchmark, into benchmarks/results.json; a smaller large set with BENCH="--sessions 100000 --shards 10".
bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.run_all $(BENCH)

# Every picture of screens in README and docs, from seven nights on synthetic data; the ports of `make ui` are free.
screens: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.screens

# Every fault tried for real, by the thousand, into docs/reliability.md; hours.
torture: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.torture.page docs/reliability.md

# Advisories about the pinned versions; where no database can be reached, the reason is printed.
audit: $(VENV)/.installed
	-$(PIP) pip-audit
	$(BIN)/python -m benchmarks.audit constraints.txt

clean:
	rm -rf $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) -e '.[test]'
	@touch $@

$(VENV)/.installed-mutation: $(VENV)/.installed-test
	$(PIP) -e '.[mutation]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(PIP) -e '.[bench]'
	@touch $@
