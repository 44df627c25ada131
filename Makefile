# Two commands for a start: `make demo` and `make test`. Both create the environment first.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 5000

.PHONY: demo test environment lint format lock dag ui sync clean

demo: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --profile workflow/profiles/demo
	@echo
	@echo "The report:     $(CURDIR)/runs/demo/results/summarize/report.html"
	@echo "The MLflow UI:  make ui    (then open http://127.0.0.1:$(PORT))"

test: environment
	$(BIN)/python -m pytest -n 2

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

# Pins of all images from one resolution, so that a package has one version everywhere.
LOCK := uv pip compile

# The DAG of the rules as the README shows it; needs graphviz.
dag: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --profile workflow/profiles/demo --forceall --rulegraph dot | dot -Tsvg -o docs/dag.svg

# MLflow on the demo's runs, on loopback.
ui: environment
	$(BIN)/mlflow ui --backend-store-uri sqlite:///$(CURDIR)/runs/demo/mlflow.db --host 127.0.0.1 --port $(PORT)

clean:
	rm -rf runs/demo
