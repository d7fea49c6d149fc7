# Two commands do everything on a machine with Python 3.11, make and git:
#   make run    sets up .venv and runs the main job, herder demo
#   make test   sets up .venv and runs lint, types, import contracts, hashes of shipped models, doctests and tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test check format slow clean

run: $(READY)
	$(BIN)/herder demo

test: check
	$(BIN)/pytest -q -n 2

# The slow suites: real trainings that are killed and resumed, two processes, the whole demo. Each room has a process of
# its own: after Ray, OpenVINO and loader processes in one, the next ended child crashed it in a signal's stack.
# pytest ends with 5 where a room has no slow test.
slow: $(READY)
	for room in tests/*/ tests/*.py; do $(BIN)/pytest -q -m slow $$room || [ $$? -eq 5 ] || exit 1; done

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/herder models verify

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("herder needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis herder-demo
