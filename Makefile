PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Processes that share the tests; those that disturb one another are kept in one of them.
WORKERS ?= 2
PYTEST = python -m pytest -n $(WORKERS) --dist loadgroup

.PHONY: demo test test-slow test-oracles check format docs clean

demo: $(VENV)/ready
	$(BIN)/vidattn demo --overwrite $(if $(VIDEOS),--videos "$(VIDEOS)")

test: $(VENV)/ready
	$(BIN)/$(PYTEST)

test-slow: $(VENV)/ready
	$(BIN)/$(PYTEST) -m slow

# Compares with other people's libraries, which nothing else needs.
test-oracles: $(VENV)/oracles
	$(BIN)/$(PYTEST) -m oracle

check: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# What documents say of the attention mechanisms, then the site, in build/site: a warning is an error.
docs: $(VENV)/docs
	$(BIN)/python tools/write_attention_docs.py --pictures
	$(BIN)/python tools/build_site.py

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

$(VENV)/oracles: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --editable ".[dev,oracles]"
	touch $@

$(VENV)/docs: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --editable ".[dev,docs]"
	touch $@

clean:
	rm -rf $(VENV) runs build dist
