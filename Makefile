# Two commands on a fresh machine: `make demo` and `make test`. Each makes its own .venv in the checkout.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH_ARGS ?= --quick
export OMP_NUM_THREADS ?= 1
export HF_HUB_OFFLINE ?= 1

.DEFAULT_GOAL := help
.PHONY: help install demo test check bench image clean

help: ## Say what there is
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

install: ## Make .venv and install the gateway with its pinned versions
	@PYTHON="$(PYTHON)" tools/install run

demo: install ## Simulate a line and an ERP: a defect and two reports become exactly one order each
	@$(BIN)/andon demo $(DEMO_ARGS)

check: ## Lint, types, import contracts
	@PYTHON="$(PYTHON)" tools/install dev
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && echo "ruff: fine"
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: check ## Everything in check, then all tests
	@$(BIN)/pytest -n 2 --dist loadfile $(TEST_ARGS)

bench: install ## Run every benchmark (BENCH_ARGS="--quick"; BENCH_ARGS="--data DIR" for those on real data)
	@PYTHON="$(PYTHON)" tools/install dev
	@for file in bench/*.py; do case $$file in bench/report.py) ;; *) echo "== $$file"; $(BIN)/python $$file $(BENCH_ARGS) || true ;; esac; done

image: ## Build the container image (needs docker or buildah)
	@tools/image

clean: ## Remove what was made here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
