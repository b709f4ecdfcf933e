# make demo · make test · make lint · make docs · make bench · make faults · make engines · make dist — each sets up .venv by itself
# when it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint docs bench faults engines dist clean
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

.venv/docs: .venv/base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

DEMO_SEEDS ?= 0-9
DEMO_STEPS ?= 200000
DEMO_OUT ?= runs/demo

demo: .venv/base  ## Compare fixed, scheduled and detector-driven β on CartPole-v1, as it is and with its actuator flipped at half-time.
	$(BIN)/rl-rmsprop compare runs/demo.toml --seeds $(DEMO_SEEDS) --steps $(DEMO_STEPS) --out $(DEMO_OUT) --overwrite
	$(BIN)/rl-rmsprop compare runs/demo.toml --seeds $(DEMO_SEEDS) --steps $(DEMO_STEPS) --out $(DEMO_OUT)-flipped --overwrite \
	  --shift force_mag:values=10/-10,at=$$(($(DEMO_STEPS) / 2))

test: .venv/dev  ## All tests and doctests, on both cores.
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: .venv/dev  ## Style, format and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy examples tests/typed_api.py
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: .venv/docs  ## The documentation, in docs/_build/html; no warnings, no broken links, nothing from the network.
	$(BIN)/sphinx-build -q -E -W --keep-going -n docs docs/_build/html
	$(BIN)/python docs/_ext/check_site.py docs/_build/html

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
