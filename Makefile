# One verb per target; `make` lists them. Everything happens in $(VENV), which is made from the hashed
# requirements and left alone until they change.

MAKEFLAGS += --warn-undefined-variables --no-builtin-rules --no-print-directory
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

VENV ?= .venv
PYTHON ?=
KEEP ?=
ARGS ?=
UPGRADE ?= --upgrade
WORKERS ?= $(shell echo $$(( $$(nproc 2>/dev/null || echo 2) + 2 )))
SEEDS ?= 10000
FIRST ?= 0
SEED ?=
ADVERSARY ?=
BASE ?= HEAD
CALM ?=
FAULTS ?= 2
SECONDS ?= 60
ROUNDS ?= 4
CYCLES ?= 3
ONLY ?=
OUT ?=
IMAGE ?= infisical-events:dev

bin := $(VENV)/bin
installed := $(VENV)/.installed
sandbox := $(bin)/infisical-sandbox
pytest := $(bin)/pytest
# Many tests wait for something to happen: two workers more than there are cores.
parallel := --numprocesses $(WORKERS) --dist worksteal
keep := $(if $(filter-out 0 no false,$(KEEP)),--keep)
# Only a cluster that was named on purpose is touched: KUBECONFIG in the environment is not enough.
kubeconfig := $(if $(filter command,$(origin KUBECONFIG)),--kubeconfig "$(KUBECONFIG)")

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^##@/ {print "\n" substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' \
		$(firstword $(MAKEFILE_LIST))

##@ Try it

.PHONY: demo demo-stop cluster-up cluster-down
demo: $(installed) ## Show the whole way of a change in a real control plane. KEEP=1 leaves it running; KUBECONFIG=file uses your cluster.
	@$(sandbox) demo $(keep) $(kubeconfig) $(ARGS)

demo-stop: $(installed) ## Stop what `make demo KEEP=1` left running.
	@$(sandbox) demo --stop

cluster-up: $(installed) ## Start the local control plane.
	@$(sandbox) cluster up

cluster-down: $(installed) ## Stop the local control plane and remove its state.
	@$(sandbox) cluster down

##@ Check it

.PHONY: test check lint types layers unit field simulation simulate simulate-small fuzz wire integration
test: lint types layers programs ## Everything that has to hold: checks and all tests, against a real control plane.
	$(pytest) $(parallel) $(ARGS)

check: lint types layers ## The same without a cluster.
	$(pytest) $(parallel) -m "not cluster" $(ARGS)

lint: $(installed) ## Format and lint, changing nothing.
	$(bin)/ruff format --check operator tests
	$(bin)/ruff check operator tests

types: $(installed) ## Types, strictly.
	$(bin)/mypy

layers: $(installed) ## Imports point down.
	$(bin)/lint-imports

unit: $(installed) ## Tests of pure decisions and of single parts.
	$(pytest) tests/unit $(ARGS)

field: $(installed) ## Situations from the field: other controllers, odd servers, half-broken clusters.
	$(pytest) $(parallel) tests/field $(ARGS)

simulation: $(installed) ## Whole histories in virtual time, crashes included.
	$(pytest) $(parallel) tests/simulation $(ARGS)

simulate: $(installed) ## As many random histories as wanted: SEEDS=100000 FIRST=0 ADVERSARY=1; SEED=7 replays one, made short.
	PYTHONPATH=tests $(bin)/python -m simulation --seeds $(SEEDS) --first $(FIRST) $(if $(SEED),--seed $(SEED)) \
		$(if $(ADVERSARY),--adversary)

simulate-small: $(installed) ## Every script of two steps with every placement of FAULTS=2 faults (about an hour).
	PYTHONPATH=tests $(bin)/python -m simulation --small $(FAULTS)

.PHONY: compare
compare: $(installed) ## Whether this tree writes what another revision wrote, seed by seed: BASE=revision SEEDS=2000 CALM=1.
	PYTHONPATH=tests $(bin)/python -m simulation.compare $(BASE) --seeds $(SEEDS) --first $(FIRST) $(if $(CALM),--calm)

.PHONY: bench bench-neighbours bench-patterns event-path
bench: programs ## What the operator's process costs, and how fast it is: ONLY="latency scale keys fan-out", OUT=file.json; ends with a table.
	PYTHONPATH=tests $(bin)/python -m benchmarks --only "$(ONLY)" $(if $(OUT),--out "$(OUT)") $(ARGS)

bench-neighbours: $(installed) ## How long 10,000 subscriptions of a namespace hold up the first change of another.
	PYTHONPATH=tests $(bin)/python tests/benchmarks/neighbours.py

bench-patterns: $(installed) ## How long a tenant's worst key patterns hold up the event loop (some minutes).
	PYTHONPATH=tests $(bin)/python tests/benchmarks/patterns.py

.PHONY: validate-agreement
validate-agreement: programs ## Whether `infisical-events validate` accepts what a real API server accepts: SEEDS=10000 FIRST=0.
	PYTHONPATH=tests $(bin)/python -m validation_agreement --specs $(SEEDS) --first $(FIRST)

event-path: $(installed) ## The way of one event from the frame to the patch: files, functions, changes of file.
	PYTHONPATH=tests $(bin)/python tests/benchmarks/event_path.py

# atheris has no wheel for some machines, so it is no requirement.
fuzz: $(installed) ## Whether anything said on a stream gets out of its reader: SECONDS=600.
	@$(bin)/python -c "import atheris" 2>/dev/null || \
		$(bin)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: "atheris>=3,<4" || true
	PYTHONPATH=tests $(bin)/python -m fuzz --seconds $(SECONDS)

wire: $(installed) ## Tests over real sockets.
	$(pytest) tests/wire $(ARGS)

integration: programs ## Tests against a real control plane.
	$(pytest) $(parallel) tests/integration $(ARGS)

.PHONY: chaos soak
chaos: programs ## Faults on real processes: ROUNDS=4 tries of each, ONLY="api-* operator-killed" for some; ends with a table.
	PYTHONPATH=tests $(bin)/python -m e2e.faults faults --rounds $(ROUNDS) --only "$(ONLY)" $(ARGS)

soak: programs ## Long runs: short streams, an Infisical that dies CYCLES=3 times, replicas that fail; SECONDS=180 ONLY=replicas.
	PYTHONPATH=tests $(bin)/python -m e2e.faults soak --cycles $(CYCLES) $(if $(filter command,$(origin SECONDS)),--seconds $(SECONDS)) \
		--only "$(ONLY)" $(ARGS)

.PHONY: hostile
hostile: programs ## Attacks on the real operator beside an honest neighbour: ONLY="list-* flood-*" for some; ends with a table.
	PYTHONPATH=tests $(bin)/python -m hostile --only "$(ONLY)" $(ARGS)

.PHONY: prove
prove: programs ## Sync, verify, restart once, follow: ROUNDS=4 runs of each proof, ONLY="order-* halt" for some; ends with a table.
	PYTHONPATH=tests $(bin)/python -m e2e.restart_order --rounds $(ROUNDS) --only "$(ONLY)" $(ARGS)

# Ahead of pytest, so that a first build (about 10 minutes) shows its progress.
.PHONY: programs
programs: $(installed)
	@$(sandbox) cluster binaries >/dev/null

##@ Change it

.PHONY: install fmt manifests image requirements clean
install: $(installed) ## Make the virtualenv with everything in it.

fmt: $(installed) ## Format, and mend what ruff can mend.
	$(bin)/ruff check --fix-only --quiet operator tests
	$(bin)/ruff format operator tests

manifests: programs ## Renew what is derived from crds/ and charts/.
	HELM="$$($(sandbox) cluster binaries 2>/dev/null)/helm" deploy/render

image: ## Build the operator's image with docker, podman or buildah: IMAGE=name:tag, ARGS=its arguments.
	@deploy/image $(IMAGE) $(ARGS)

# The files name no host and no folder: hashes say what is meant, wherever it comes from.
compile := CUSTOM_COMPILE_COMMAND="make requirements" $(bin)/pip-compile --quiet --generate-hashes --strip-extras \
	--allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
# pip-compile does not read dependency groups, nor what an editable install needs for its build.
for_developers := import tomllib; project = tomllib.load(open("pyproject.toml", "rb")); \
	print(*project["dependency-groups"]["dev"], *project["build-system"]["requires"], "editables", sep="\n")

for_images := import tomllib; project = tomllib.load(open("pyproject.toml", "rb")); \
	print(*project["dependency-groups"]["image"], *project["build-system"]["requires"], "pip", sep="\n")

requirements: $(installed) ## Pin the newest versions that pyproject.toml admits; UPGRADE= keeps what is pinned.
	$(compile) $(UPGRADE) --extra operator --output-file requirements.txt pyproject.toml
	$(bin)/python -c '$(for_developers)' | $(compile) $(UPGRADE) --extra operator --extra cli --extra sandbox \
		--constraint requirements.txt --output-file requirements-dev.txt pyproject.toml -
	$(bin)/python -c '$(for_images)' | $(compile) $(UPGRADE) --output-file deploy/requirements-image.txt -

clean: ## Remove what make made; the programs of the control plane stay in their cache.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* htmlcov dist build
	find operator tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(installed): requirements-dev.txt pyproject.toml
	@python="$(PYTHON)"; \
	for candidate in $${python:-python3.13 python3.12 python3.11 python3 python}; do \
		"$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		echo "making $(VENV) with $$("$$candidate" --version); this takes about a minute" >&2; \
		"$$candidate" -m venv $(VENV); \
		break; \
	done; \
	test -x $(bin)/python || { \
		echo "Python 3.11 or newer with its venv module is needed: install it, or name it by PYTHON=…" >&2; exit 1; }
	@$(bin)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt || { \
		echo "the requirements could not be installed: is there a way to a Python package index?" >&2; exit 1; }
	@$(bin)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
