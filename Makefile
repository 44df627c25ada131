# Two commands for a start: `make demo` and `make test`. Both create the environment first.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 5000

.PHONY: demo test test-cluster environment lint format lock dag ui sync clean

demo: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --profile workflow/profiles/demo
	@echo
	@echo "The report:     $(CURDIR)/runs/demo/results/summarize/report.html"
	@echo "The MLflow UI:  make ui    (then open http://127.0.0.1:$(PORT))"

test: environment
	$(BIN)/python -m pytest -n 2 --dist loadgroup

# SLURM with one node on this machine, images built from docker/, the user's command. As root on Debian 12.
test-cluster: environment
	$(BIN)/python -m pytest -m cluster tests/cluster

environment: .venv/.installed

.venv/.installed: envs/local.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv || (echo "error: no venv module; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1)
	$(BIN)/python -m pip install --quiet --requirement envs/local.lock
	touch $@

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check workflow

format: environment
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt workflow

# Pins of all images from one resolution, so that a package has one version everywhere. A local version of torch (a CPU
# build) is no pin for others, so it is cut off.
COMPILE := $(BIN)/pip-compile --quiet --strip-extras --no-header --no-annotate --no-emit-options --no-emit-index-url \
	--no-emit-find-links --no-emit-trusted-host
lock: environment
	$(BIN)/python -m pip install --quiet pip-tools
	cd envs && ../$(COMPILE) -o local.lock local.in
	cd envs && for image in preprocess torch report; do ../$(COMPILE) -c local.lock -o $$image.lock $$image.in; done
	sed -i 's/+cpu$$//; /^#/d' envs/*.lock

# The DAG of the rules as the README shows it; needs graphviz.
dag: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --profile workflow/profiles/demo --forceall --rulegraph dot | dot -Tsvg -o docs/dag.svg

# Journals into MLflow once more; the end of every workflow does it by itself.
sync: environment
	$(BIN)/python -m stages.sync --journals runs/demo/results --experiment mlip-demo \
		--store sqlite:///$(CURDIR)/runs/demo/mlflow.db --artifacts runs/demo/mlflow_artifacts

# MLflow on the demo's runs, on loopback.
ui: environment
	$(BIN)/mlflow ui --backend-store-uri sqlite:///$(CURDIR)/runs/demo/mlflow.db --host 127.0.0.1 --port $(PORT)

clean:
	rm -rf runs/demo
