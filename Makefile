# Needs Python 3.11 or later, make and a network. `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := sp chain piecestore spdb gateway uploader downloader tasknode receiver signer p2p cli
PROTOC = PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m grpc_tools.protoc -I. proto/*.proto
# uv resolves once for every platform and Python that the project supports.
COMPILE = uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint format format-check types imports proto proto-check fast-tests clients e2e crash-matrix sim soak fuzz bench bench-micro bench-scale bench-memory bench-queue lock clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) ## make the virtual environment in .venv, from the locked and hashed requirements

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"Python 3.11 or later is needed; $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=..." if v < (3, 11) else 0)'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: setup ## start a test network, put an object, watch it sealed, read it back
	$(BIN)/sp testnet demo

test: setup ## every test that needs neither Docker nor other programs
	$(BIN)/pytest -n $(JOBS) --dist loadfile -m 'not docker and not clients and not crash_matrix'

check: lint format-check types imports proto-check fast-tests ## what to run before a commit: under a minute

lint: setup
	$(BIN)/ruff check .

format: setup ## rewrite the sources in the common layout
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

format-check: setup
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy $(PACKAGES) tests

imports: setup
	$(BIN)/lint-imports

fast-tests: setup
	$(BIN)/pytest -q -n $(JOBS) --dist loadfile -m 'not slow' tests/unit

clients: setup ## real S3 clients against a running network; installs them, writes docs/s3-clients.md
	SP_CLIENTS_REPORT=docs/s3-clients.md $(BIN)/pytest -m clients tests/clients

crash-matrix: setup ## kill every service at every state; writes docs/crash-matrix.md
	SP_CRASH_MATRIX_REPORT=docs/crash-matrix.md $(BIN)/pytest -q tests/e2e/test_crash_matrix.py

e2e: setup ## the tests that drive real containers (see tests/e2e/docker_daemon.py)
	$(BIN)/pytest -m docker tests/e2e

SEED ?= 1
sim: setup ## one seed of the simulation: make sim SEED=N (docs/simulation.md)
	$(BIN)/python -m tests.sim.run $(SEED)

SOAK_SECONDS ?= 600
soak: setup ## many seeds of the simulation for SOAK_SECONDS
	SOAK_SECONDS=$(SOAK_SECONDS) $(BIN)/python -m tests.sim.soak

FUZZ_SECONDS ?= 300
FUZZ := $(VENV)/fuzz
fuzz: $(FUZZ)/.installed ## bytes that nobody meant, into every parser, for FUZZ_SECONDS (docs/fuzzing.md)
	FUZZ_SECONDS=$(FUZZ_SECONDS) PYTHONPATH=$(FUZZ) $(BIN)/python -m tests.fuzz.run $(FUZZ_TARGETS)

$(FUZZ)/.installed: requirements-fuzz.lock $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes --upgrade --target $(FUZZ) \
		-r requirements-fuzz.lock
	touch $@

BENCH_ARGUMENTS ?=
bench: setup ## our SP, its floors and real S3 servers in one run: a quarter of an hour; QUICK=1: three minutes
	$(BIN)/python -m tests.bench.compare $(if $(QUICK),--quick) $(BENCH_ARGUMENTS)

bench-micro: setup ## coding, hashing, serialisation, SPDB, piece stores, one by one
	$(BIN)/pytest -q -o python_files='bench_*.py' tests/bench/micro --benchmark-columns=median,iqr,ops,rounds

bench-scale: setup ## does anything grow with a million rows and pieces: ten minutes, 10 GB
	$(BIN)/python -m tests.bench.scale $(BENCH_ARGUMENTS)

bench-memory: setup ## is memory flat in the size of an object and bounded in clients: five minutes, 18 GB
	$(BIN)/python -m tests.bench.memory $(if $(QUICK),--quick) $(BENCH_ARGUMENTS)

bench-queue: setup ## do ten thousand waiting jobs slow the front down: four minutes, 9 GB
	$(BIN)/python -m tests.bench.queued $(if $(QUICK),--quick) $(BENCH_ARGUMENTS)

proto: setup ## make the committed stubs again from proto/*.proto
	$(PROTOC) --python_out=. --mypy_out=. --grpc_python_out=. --mypy_grpc_out=.

proto-check: setup ## fail if the stubs are not what the .proto files give
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	$(PROTOC) --python_out=$$fresh --mypy_out=$$fresh --grpc_python_out=$$fresh --mypy_grpc_out=$$fresh 2>/dev/null && \
	diff -r --exclude=__pycache__ --exclude=__init__.py --exclude='*.proto' $$fresh/proto proto \
	|| { echo 'proto/: the stubs are stale, run: make proto'; exit 1; }

lock: ## resolve the dependencies again (needs uv); review the difference before committing it
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --extra dev --constraint requirements.lock --output-file requirements-dev.lock

clean: ## remove what can be made again, the virtual environment too
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
