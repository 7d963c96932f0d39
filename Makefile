# Everything a person or CI does here. Each target does its own set-up.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATASET ?= generated
DATA_DIR ?=
SEED ?= 1
RUNS ?= runs

.DEFAULT_GOAL := help
.PHONY: help install demo test quick check format bench board speed gpu lock clean

help:  ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## .venv with the locked requirements and this package

$(STAMP): requirements.txt setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v in ((3, 11), (3, 12)) else f"make: Python 3.11 or 3.12 is needed, {sys.executable} is {v[0]}.{v[1]}; name another with: make PYTHON=python3.11 ...")'
	@echo "installing into $(VENV) (about two minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP)  ## the whole way: log to recommendations; DATASET=ml-100k|ml-1m|movietweetings DATA_DIR=... for real logs
	@$(BIN)/python -m examples.demo --dataset $(DATASET) $(if $(DATA_DIR),--data-dir $(DATA_DIR)) --seed $(SEED) --runs $(RUNS)

test: $(STAMP)  ## all tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

quick: $(STAMP)  ## the tests that take seconds
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

check: $(STAMP)  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(STAMP)  ## let ruff lay the code out
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

bench: $(STAMP)  ## reproduce the figures of benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks.movielens_100k --data-dir $(or $(DATA_DIR),../shared/data/ml-100k) $(BENCH_FLAGS)

board: $(STAMP)  ## all models beside other libraries on the same split files, SIZE=ten-minutes|ranking|nightly; they go below WORK (7 GB)
	@$(BIN)/python -m benchmarks.leaderboard --size $(or $(SIZE),ten-minutes) --data-dir $(or $(DATA_DIR),../shared/data) --work-dir $(or $(WORK),runs/board) $(BENCH_FLAGS)

speed: $(STAMP)  ## training speed beside other libraries, which it installs below WORK (10 GB)
	@$(BIN)/python -m benchmarks.training_speed --data-dir $(or $(DATA_DIR),../shared/data/ml-100k) --work-dir $(or $(WORK),runs/speed) $(BENCH_FLAGS)

gpu: $(STAMP)  ## the GPUs of this machine: speed and what bounds it
	@$(BIN)/python -m benchmarks.gpu $(BENCH_FLAGS)

lock: $(STAMP)  ## renew requirements.txt from setup.py
	@$(BIN)/python -m pip install --quiet uv
	@{ echo "# Locked from setup.py for Python 3.11 and 3.12 on Linux x86-64; renew with: make lock"; \
	  $(BIN)/uv pip compile --quiet --python-platform x86_64-manylinux_2_28 --python-version 3.11 --no-header --no-annotate --extra dev setup.py; } > requirements.lock
	@mv requirements.lock requirements.txt

clean:  ## remove .venv and everything the demo made
	rm -rf $(VENV) $(RUNS)
