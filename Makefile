# `make audit` runs cfaudit on the shipped audited stack, `make test` runs the tests; both set up what they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: audit test check generate clean

audit: $(VENV)/installed
	$(BIN)/cfaudit check fixtures/audited/crowdfunding.yaml --fail-on never

test: $(VENV)/developed
	$(BIN)/pytest

check: $(VENV)/developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/build_data.py --check
	$(BIN)/python scripts/compile_rules.py --check
	$(BIN)/python scripts/build_docs.py --check
	$(BIN)/python scripts/check_wheel.py

generate: $(VENV)/developed
	$(BIN)/python scripts/compile_rules.py
	$(BIN)/python scripts/build_docs.py

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	$(BIN)/python -m compileall -q src rules
	touch $@

$(VENV)/developed: pyproject.toml $(VENV)/installed
	$(PIP) --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
