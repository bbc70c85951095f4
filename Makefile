# Every target does its own set-up; `make help` lists them.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$python" && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Where torch comes from: empty for the default wheel, or the address of another index (a CPU-only build).
TORCH_INDEX ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench dashboards pictures faults results performance clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with freshet and everything that it needs

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "freshet needs Python 3.11, 3.12 or 3.13; none was found (set PYTHON=...)" >&2; exit 1; }
	@echo "==> Making $(VENV) with $$($(PYTHON) --version); torch is large, so this takes a few minutes the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '.[dev]'
	@touch $(STAMP)
	@echo "==> Done: $(BIN)/freshet"

demo: setup ## Watch events become recommendations on a real broker (DEMO="--duration 30" for less)
	@$(BIN)/freshet demo $(DEMO)

test: setup ## Run the tests; starts its own Apache Kafka
	@echo "==> Running the tests (a real Kafka broker is started for some of them)"
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup $(TESTS)

check: setup ## Format, lint, types, import contracts, scripts, and the tests
	@echo "==> ruff format"; $(BIN)/ruff format --check .
	@echo "==> ruff"; $(BIN)/ruff check .
	@echo "==> mypy"; $(BIN)/mypy
	@echo "==> import contracts"; $(BIN)/lint-imports
	@echo "==> shellcheck"; $(BIN)/shellcheck .ci/run
	@$(MAKE) --no-print-directory test

format: setup ## Bring the code into shape
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: setup ## Print a benchmark's table (BENCH="ladder --quick" for another one)
	@$(BIN)/python -m benchmarks $(BENCH)

dashboards: setup ## Write the dashboards' JSON and docs/metrics.md
	@$(BIN)/python -m monitoring.dashboards && $(BIN)/python -m monitoring.reference

pictures: setup ## Watch a worker for some minutes and draw docs/dashboards (needs Debian's prometheus; PICTURES="--minutes 2" for less)
	@$(BIN)/python -m benchmarks.pictures docs/dashboards $(PICTURES)

faults: setup ## Kill, stop and damage everything on a real broker, and print what came of it (over an hour; FAULTS="--quick" for less)
	@$(BIN)/python -m benchmarks faults $(FAULTS)

results: setup ## Measure the logs in LOGS and write docs/results.md (hours; RESULTS="--seeds 1" for less)
	@test -n "$(LOGS)" || { echo "make results LOGS=FOLDER, which holds one folder a log with its events.csv.gz" >&2; exit 1; }
	@$(BIN)/python -m benchmarks.results docs/results.md --logs "$(LOGS)" $(RESULTS)

performance: setup ## Measure speed and size and write docs/performance.md (an hour; PERFORMANCE="--quick" for less)
	@$(BIN)/python -m benchmarks.performance docs/performance.md --readme README.md $(PERFORMANCE)

clean: ## Remove the environment and every cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
