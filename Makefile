# `make demo` and `make test` work on a fresh clone with Python 3.11 and nothing else.
PYTHON ?= $(shell command -v python3.11 || echo python3)
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: install demo test test-oldest test-wheel cluster-test faults chaos lint docs bench clean

install: .venv/installed

.venv/installed: constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/hqc sweep sweeps/quickstart.yaml

test: install  # on two processes, of which one alone starts Ray
	$(BIN)/pytest -n 2 --dist loadgroup

# One file or folder of each room that computes, without Ray, browsers and buckets; more: make test-oldest CORE=tests/attacks
CORE := $(addprefix tests/,$(addprefix test_,spec.py plan.py row.py rows.py) models/test_heads.py models/test_classifier.py \
	attacks/test_attack_search.py attacks/test_attack_apgd.py evaluation report results quantum/test_surrogate.py quantum/test_devices.py)

test-oldest:  # every dependency at its lower bound (5 GB, in .venv-oldest)
	PYTHON=$(PYTHON) .ci/oldest $(CORE)

test-wheel: install  # the wheel, without any optional package, in an empty folder
	.ci/wheel $(CORE)

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

docs: install  # the site, in site/; a link that leads nowhere is an error
	$(BIN)/mkdocs build --strict

bench: install
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .venv .venv-oldest .venv-bare site dist build .pytest_cache .mypy_cache .ruff_cache
