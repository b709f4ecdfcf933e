# make demo · make test · make lint · make bench · make faults · make engines · make dist — each sets up .venv by itself when it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench faults engines dist clean
.DEFAULT_GOAL := demo

# The exact versions of constraints.txt, so that numbers can be made again.
.venv/base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 demo")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/dev: .venv/base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

DEMO_SEEDS ?= 0-9
DEMO_STEPS ?= 150000
DEMO_OUT ?= runs/demo

demo: .venv/base  ## Compare fixed, scheduled and detector-driven β on CartPole-v1.
	$(BIN)/rl-rmsprop compare --env CartPole-v1 \
	  --betas 0.5 0.9 0.99 0.999 linear:start=0.5,end=0.99 cusum:arl=50000,max=0.999 asymmetric:rise=0.9,fall=0.999 \
	  --seeds $(DEMO_SEEDS) --steps $(DEMO_STEPS) --out $(DEMO_OUT) --overwrite

test: .venv/dev  ## All tests and doctests, on both cores.
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: .venv/dev  ## Style, format and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy examples tests/typed_api.py
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: .venv/dev  ## Speed against Stable-Baselines3 and torch, as ratios measured in one run.
	$(BIN)/python -m tests.benchmarks

faults: .venv/dev  ## What is promised about kills, full disks, bad input and bad numbers, tried out; FAULTS=--quick for a part of it.
	$(BIN)/python -m tests.faults $(FAULTS)

engines: .venv/dev  ## The engines on clusters of one's own, as root on Debian: Ray's nodes in namespaces, Slurm's daemons; ENGINES=--quick.
	command -v ip > /dev/null && command -v slurmctld > /dev/null && command -v munged > /dev/null || apt-get install -y --no-install-recommends iproute2 slurm-wlm munge
	$(BIN)/python -m tests.engines $(ENGINES)

dist: .venv/dev  ## Wheel and sdist in dist/, each installed into an empty environment and tried there; DIST=--no-install builds only.
	$(BIN)/python -m tests.distribution $(DIST)

clean:
	rm -rf .venv build dist *.egg-info
