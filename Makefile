# Two commands for a start: `make demo` and `make test`. Both create the environment first.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 5000

.PHONY: demo test test-all test-model test-cluster test-cluster-faults environment lint format lock reference dag ui sync clean doctor estimate audit

demo: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --profile workflow/profiles/demo
	@echo
	@echo "The report:     $(CURDIR)/runs/demo/results/summarize/report.html"
	@echo "The MLflow UI:  make ui    (then open http://127.0.0.1:$(PORT))"

# Units, and the whole DAG once on a miniature phantom: at most 10 minutes on 2 idle cores.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadgroup
test: environment
	$(PYTEST)

# These, and what is marked `long`: the demo that must learn, and others of minutes. Coverage below the floor of
# pyproject.toml fails.
test-all: environment
	$(PYTEST) -m 'not cluster and not cluster_faults and not package_index' --cov

# The exported model in a new environment that holds its requirements.txt alone: minutes, 2 GB from the package index.
test-model: environment
	$(BIN)/python -m pytest -m package_index tests/stages/select_checkpoint

# SLURM with one node on this machine, images built from docker/, the user's command. As root on Debian 12.
test-cluster: environment
	$(BIN)/python -m pytest -m cluster tests/cluster

# The same, and kills, cancels, requeues, time-outs, a lost controller, full disks: an hour or two.
test-cluster-faults: environment
	$(BIN)/python -m pytest -m cluster_faults tests/cluster

environment: .venv/.installed

.venv/.installed: envs/local.lock pyproject.toml setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv || (echo "error: no venv module; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1)
	$(BIN)/python -m pip install --quiet --requirement envs/local.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check workflow
	$(BIN)/mypy

format: environment
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt workflow

# Pins of all images from one resolution, so that a package has one version everywhere. What is pinned stays, unless
# `make lock UPGRADE=--upgrade` asks for newer ones. local.lock serves any build of torch: no CUDA packages, no hashes.
COMPILE := $(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11
lock: environment
	$(BIN)/python -m pip install --quiet uv==0.13.9
	cd envs && ../$(COMPILE) $(UPGRADE) --python-platform x86_64-manylinux_2_28 -o local.lock local.in
	sed -i -E '/^(nvidia-|cuda-|triton)/d' envs/local.lock
	cd envs && for image in preprocess torch report workflow; do ../$(COMPILE) $(UPGRADE) --universal --generate-hashes \
		--constraints local.lock -o $$image.lock $$image.in || exit 1; done

# What is right and wrong before a long run, with the remedies: make doctor PROFILE=workflow/profiles/demo ARGS=--gpu
PROFILE ?= slurm
doctor: environment
	$(BIN)/python -m workflow.doctor --profile $(PROFILE) $(ARGS)

# Hours, GPU-hours and bytes of a whole run: make estimate ARGS='--device h100 --gpus 8'
estimate: environment
	$(BIN)/python -m workflow.estimate --profile $(PROFILE) $(ARGS)

# Pins against known vulnerabilities, offline: make audit ADVISORIES=all.zip (OSV's export for PyPI, fetched by hand).
audit: environment
	$(BIN)/python -m workflow.audit $(or $(ADVISORIES),$(error give ADVISORIES=all.zip, OSV's export for PyPI))

# Images and SIFs of all stages, by Docker or Podman and Apptainer: docker/images.lock.yaml says what they are.
images: environment
	$(BIN)/python -m workflow.images $(IMAGES)

# docs/reference/*.md from contracts and settings; a test fails where they are stale.
reference: environment
	$(BIN)/python -m workflow.reference

# The DAG of the rules as the README shows it; needs graphviz.
dag: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --profile workflow/profiles/demo --forceall --rulegraph dot | dot -Tsvg -o docs/dag.svg

# Journals into MLflow once more (the end of every workflow does it by itself), and MLflow on loopback. The store is
# <workspace>/mlflow.db; `sync` takes the server that MLFLOW_TRACKING_URI names, if it is set.
WORKSPACE ?= runs/demo
sync: environment
	$(BIN)/python -m stages.sync --journals $(WORKSPACE)/results

ui: environment
	$(BIN)/mlflow ui --backend-store-uri sqlite:///$(abspath $(WORKSPACE))/mlflow.db --host 127.0.0.1 --port $(PORT)

# What would run again, and why: the files of code, the keys of the configuration, the inputs or the image that changed.
.PHONY: why
why: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m workflow.why --profile $(PROFILE)

clean:
	rm -rf runs/demo
