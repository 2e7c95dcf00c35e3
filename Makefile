# Each command first builds what it needs in .venv.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run lab test lint record release release-check chromium

bin := .venv/bin
pip := $(bin)/python -m pip --disable-pip-version-check -qq
python = $(or $(shell for name in python3.11 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; \
	done),$(error Python 3.11 or newer is needed: install it and try again))

# .venv/.ready holds the folder it was made in, and is gone while pip is at work: an environment
# that was cut off, moved, or has lost its Python is built again from nothing.
$(shell [ -x $(bin)/python ] && [ "$$(cat .venv/.ready 2>&1)" = "$$(pwd -P)" ] || rm -f .venv/.ready)

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

run: .venv/.ready ## Run the starter plan; its report is runs/starter/report/index.html
	@$(bin)/elab batch run batches/starter.yaml

lab: .venv/.ready-for-labs ## Open the labs in JupyterLab
	@$(bin)/jupyter lab --allow-root labs

test: lint chromium ## Check everything: lint, tests of code and notebooks, release
	$(bin)/pytest
	$(bin)/elab release check

lint: .venv/.ready-for-tests ## Check style, formatting, types and import contracts
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports

record: .venv/.ready-for-labs ## Record the rooflines of this machine's devices, and lab 02 on each
	@$(bin)/python benchmarks/record_hardware.py

release: .venv/.ready-for-tests ## Execute the solutions and make the student notebooks from them
	@$(bin)/elab release make

release-check: .venv/.ready-for-tests ## Check that sources, solutions and student notebooks agree
	@$(bin)/elab release check

chromium:
	@tests/browser/install-chromium

.venv/.ready: constraints.txt pyproject.toml
	@if [ -e $@ ]; then rm $@; else echo "Building .venv" && $(python) -m venv --clear .venv; fi
	@echo "Installing enterprise-lab and what it needs (a minute or two)"
	@$(pip) install -c constraints.txt -e .
	@pwd -P >$@

.venv/.ready-for-labs: .venv/.ready
	@echo "Installing what the labs need, PyTorch and JAX among it (a few minutes)"
	@rm $<
	@$(pip) install -c constraints.txt -e '.[labs]'
	@pwd -P >$< && touch $@

.venv/.ready-for-tests: .venv/.ready
	@echo "Installing what the tests need (a few minutes)"
	@rm $<
	@$(pip) install -c constraints.txt -e '.[test]'
	@pwd -P >$< && touch $@
