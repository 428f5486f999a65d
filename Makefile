# `make demo` and `make test` do all the set-up. TORCH_INDEX chooses torch's package index: empty takes pip's own
# index (on most machines a CUDA build), https://download.pytorch.org/whl/cpu the small CPU build.
PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
WORKERS ?= 2

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo demo-seeds ablation methods pairs test soak real bench bench-merge bench-peers bench-threads tiny-base data docs check constraints clean

demo: $(VENV)/.installed
	@$(BIN)/additive demo

test: $(VENV)/.installed-test
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --cov=additive --cov-report=term:skip-covered

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is too old: Python 3.11 or newer is needed"; echo "help: make demo PYTHON=python3.11"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "help: apt-get install python3-venv"; exit 2; }

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing additive and its dependencies into $(VENV) (a few minutes, once)"
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@$(PIP) --editable '.[test]'
	@touch $@

demo-seeds: $(VENV)/.installed-test     ## the demo over ten seeds, with a table
	@$(BIN)/python -m tests.benchmarks.demo_seeds --out docs/demo-seeds.md

ablation: $(VENV)/.installed-test       ## recall, rate and rank against score, forgetting and the merge
	@$(BIN)/python -m tests.benchmarks.additivity --out docs/ablation.md

methods: $(VENV)/.installed-test        ## every method on 2 to 8 domains over ten seeds: which one is the default
	@$(BIN)/python -m tests.benchmarks.methods --demo .demo-seeds --out docs/default-method.md

pairs: $(VENV)/.installed-test          ## what diagnose says of two domains against what their merge does, into docs/diagnose.md
	@$(BIN)/python -m tests.benchmarks.pairs --out docs/diagnose.md

soak: $(VENV)/.installed-test           ## long kill and disk-full sweeps
	@$(BIN)/python -m pytest -m soak

real: $(VENV)/.installed-test           ## the same job on public data sets beside the checkout
	@$(BIN)/python -m pytest -m real -s

bench: $(VENV)/.installed-test          ## every benchmark, as ratios
	@for name in diagnose factorwise lint merge peers saturation; do echo "== $$name"; $(BIN)/python -m tests.benchmarks.$$name || exit 1; done

SHAPES ?= 135m 1b
BESIDE ?= --mergekit
bench-merge: $(VENV)/.installed-test    ## time and memory of merges beside T_io, into docs/performance.md
	@$(BIN)/python -m tests.benchmarks.merge $(SHAPES:%=--shape %) $(BESIDE) --growth --out docs/performance.md

bench-threads: $(VENV)/.installed-test  ## what OpenMP threads that spin cost beside other work; wants a free machine
	@$(BIN)/python -m tests.benchmarks.threads

WORKSPACE ?= additive-demo
bench-peers: $(VENV)/.installed-test    ## the same adapters through PEFT, mergekit and ours, into docs/peers.md
	@$(BIN)/python -m tests.benchmarks.peers $(if $(wildcard $(WORKSPACE)/additive.yaml),--workspace $(WORKSPACE)) --out docs/peers.md

tiny-base: $(VENV)/.installed-test      ## pre-train the bundled base again (hours of two cores, resumable)
	@$(BIN)/python -m tools.tinybase --out additive/data/tiny --work .tiny-base

data: $(VENV)/.installed-test           ## write the demo domains and suites again from their generators
	@for domain in math code safety; do $(BIN)/python -m domains.$$domain.generate || exit 1; done

docs: $(VENV)/.installed-test           ## write the generated pages and schemas
	@$(BIN)/python -m additive.spec.docs && $(BIN)/python -m tools.cli_page

check: $(VENV)/.installed-test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright

constraints:
	@{ sed -n 1p constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/^torch==\([0-9.]*\).*/torch==\1/'; } > constraints.new && mv constraints.new constraints.txt

clean:
	@rm -rf additive-demo build dist .pytest_cache .ruff_cache .hypothesis
