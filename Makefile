# Start with `make demo` and `make test`. Both create the environment first.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 5000
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadgroup
ALL := -m 'not cluster and not cluster_faults and not package_index'

.DEFAULT_GOAL := help
.PHONY: help demo test test-all coverage test-model test-cluster test-cluster-faults environment lint format lock new-dataset doctor estimate study \
	audit images release reference docs dag sync ui why clean

# List these targets.
help:
	@awk '/^# /{about = about substr($$0, 3) " "; next} /^[a-z-]+:/{split($$1, name, ":"); if (about) printf "make %-20s %s\n", name[1], about} \
		{about = ""}' Makefile

# Run the whole pipeline on synthetic patients, and end with the report: 8 to 25 minutes on 2 cores, no GPU.
demo: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --profile workflow/profiles/demo

# Unit tests, and the whole DAG once on a miniature phantom: half an hour on 2 cores.
test: environment
	$(PYTEST)

# The same plus tests marked `long`: the demo with a required accuracy, and other tests of minutes.
test-all: environment
	$(PYTEST) $(ALL)

# test-all, and which lines it runs; fails below the floor in pyproject.toml. Before Python 3.12, counting takes half as
# long again, so continuous integration leaves it out.
coverage: environment
	$(PYTEST) $(ALL) --cov

# The exported model in a new environment with only its requirements.txt: minutes, 2 GB from the package index.
test-model: environment
	$(BIN)/python -m pytest -m package_index tests/stages/select_checkpoint

# The user's command on a SLURM of two nodes on this machine, with images built from docker/. Needs root on Debian 12.
test-cluster: environment
	$(BIN)/python -m pytest -m cluster tests/cluster

# The same with faults: kills, cancels, requeues, time-outs, a lost controller, full disks. An hour or two.
test-cluster-faults: environment
	$(BIN)/python -m pytest -m cluster_faults tests/cluster

environment: .venv/.installed

.venv/.installed: envs/local.lock pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=python3.12 ...")'
	@$(PYTHON) -c 'import ensurepip, venv' || (echo "error: no venv module; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1)
	@$(PYTHON) workflow/install.py
	@touch $@

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check workflow
	$(BIN)/mypy

format: environment
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt workflow

# Pin the packages of all images from one resolution, so that a package has one version everywhere. Existing pins stay
# unless `make lock UPGRADE=--upgrade` is used. local.lock fits any build of torch: no CUDA packages, no hashes.
COMPILE := $(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11
lock: environment
	$(BIN)/python -m pip install --quiet uv==0.13.9
	cd envs && ../$(COMPILE) $(UPGRADE) --python-platform x86_64-manylinux_2_28 -o local.lock local.in
	sed -i -E '/^(nvidia-|cuda-|triton|ziglang)/d' envs/local.lock
	cd envs && for image in preprocess torch report workflow; do ../$(COMPILE) $(UPGRADE) --universal --generate-hashes \
		--constraints local.lock -o $$image.lock $$image.in || exit 1; done

# Check the setup before a long run and name remedies: make doctor PROFILE=slurm ARGS='--gpu --configfile FILE'. The default of
# PROFILE is that of the commands: SNAKEMAKE_PROFILE, else workflow/profiles/local. The demo's: PROFILE=workflow/profiles/demo.
WITH_PROFILE = $(if $(PROFILE),--profile $(PROFILE))
doctor: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m workflow.doctor $(WITH_PROFILE) $(ARGS)

# Write the configuration of your own data set from its table: make new-dataset CSV=our_data/table.csv ARGS='--root our_data'
new-dataset: environment
	$(BIN)/mlip new-dataset "$(or $(CSV),$(error give CSV=FILE, the table of your data set))" $(ARGS)

# Estimate hours, GPU-hours and bytes of a whole run: make estimate ARGS='--device h100 --gpus 8'
estimate: environment
	$(BIN)/python -m workflow.estimate $(WITH_PROFILE) $(ARGS)

# Run a study of workflow/studies, or list them all: make study STUDY=data_efficiency ARGS='--configfile FILE -n'. ON=demo: a
# trial on synthetic patients.
study: environment
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m workflow.study $(STUDY) $(if $(ON),--on $(ON)) $(WITH_PROFILE) $(ARGS)

# Compare pins with known vulnerabilities, offline: make audit ADVISORIES=all.zip (OSV's export for PyPI, downloaded by hand).
audit: environment
	$(BIN)/python -m workflow.audit $(or $(ADVISORIES),$(error give ADVISORIES=all.zip, OSV's export for PyPI))

# Build images and SIFs of all stages with Docker, Podman or Apptainer alone; record them in docker/images.lock.yaml.
images: environment
	$(BIN)/python -m workflow.images $(IMAGES)

# Pack the demo's checkpoint, its card and a few synthetic radiographs into dist/, for a release; the demo runs first.
release: demo
	$(BIN)/python -m workflow.release

# Write docs/reference/*.md from contracts and settings; a test fails if they are stale.
reference: environment
	$(BIN)/python -m workflow.reference

# Build the documentation as a site in site/, which is read without a server or a network. Fails on a broken link or anchor.
docs: environment
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "The documentation: $(CURDIR)/site/index.html"

# Draw the DAG of the rules for docs/stages.md; needs graphviz.
dag: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --profile workflow/profiles/demo --forceall --rulegraph dot | dot -Tsvg -o docs/dag.svg

# `sync` imports journals into MLflow again (every workflow does it at its end); `ui` serves MLflow on loopback. The store
# is <workspace>/mlflow.db; `sync` uses the server in MLFLOW_TRACKING_URI if it is set.
WORKSPACE ?= runs/demo
sync: environment
	$(BIN)/python -m stages.sync --journals $(WORKSPACE)/results

ui: environment
	$(BIN)/python -m workflow.ui --workspace $(WORKSPACE) --port $(PORT)

# List what would run again, and why: the code file, configuration key, input or image that changed.
why: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m workflow.why $(WITH_PROFILE) $(ARGS)

clean:
	rm -rf runs/demo
