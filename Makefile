# `make demo` and `make test` work on a fresh clone with Python 3.11 and nothing else.
PYTHON ?= $(shell command -v python3.11 || echo python3)
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: install demo test cluster-test faults chaos lint bench clean

install: .venv/installed

.venv/installed: constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/hqc sweep sweeps/quickstart.yaml

test: install  # on two processes, of which one alone starts Ray
	$(BIN)/pytest -n 2 --dist loadgroup

# Hosts with their own sshd on this machine (root; Debian's openssh-server, iproute2, rsync), `ray up`, a sweep, faults, random kills
cluster-test: install
	$(BIN)/pytest -rs -m 'lab or chaos' tests/cluster

faults: install  # those that take longer as well; writes benchmarks/faults.md
	FAULTS_TABLE=benchmarks/faults.md $(BIN)/pytest -rs -m 'lab or byhand' tests/cluster

KILLS ?= 100
SEED ?= 0
chaos: install
	FAULTS_TABLE=benchmarks/faults.md $(BIN)/python -m tests.cluster.chaos --kills $(KILLS) --seed $(SEED)

lint: install
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: install
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
