# `make demo` and `make test` do all their own set-up: Python 3.11-3.13 with pip, make and git is enough.
VENV   := .venv
READY  := $(VENV)/.ready
MEMBERS := iri_common local_facility airflow_provider prefect_collection parsl_provider
UV     := .tools/bin/uv

.PHONY: help setup demo test test-fast lint constraints clean
.DEFAULT_GOAL := help

help:  ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## *' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY)  ## an environment of its own in .venv (no root, no uv needed)

# uv lands in .tools by `pip --target`: works without the venv module and on externally managed Pythons.
$(UV):
	@python="$$(.ci/find-python $(PYTHON))" && echo "setting up: uv" && \
	  { "$$python" -m pip install --quiet --disable-pip-version-check --no-warn-script-location \
	      --target .tools uv 2>.tools.log || { cat .tools.log; rm -rf .tools .tools.log; exit 1; }; } && rm -f .tools.log

$(READY): $(UV) pyproject.toml constraints.txt $(MEMBERS:%=%/pyproject.toml)
	@python="$$(.ci/find-python $(PYTHON))" && \
	  echo "setting up: $(VENV) with Airflow, Prefect, Parsl and this project (minutes, the first time)" && \
	  { test -x $(VENV)/bin/python || $(UV) venv --quiet --no-python-downloads --python "$$python" $(VENV); } && \
	  $(UV) pip install --quiet --python $(VENV)/bin/python -c constraints.txt --group dev $(MEMBERS:%=-e ./%) && \
	  touch $@

demo: $(READY)  ## the example workflow through Prefect, Airflow and Parsl against a local facility
	@$(VENV)/bin/python examples/demo

test: $(READY)  ## what CI runs: lint, pure tests, contracts, one pytest process per engine
	@.ci/test

lint: $(READY)  ## ruff, pyright (strict on the core), the floors of the core
	@.ci/lint

constraints: $(UV)  ## pin anew the versions that CI installs
	@.ci/pin

clean:  ## remove the environment and everything generated
	rm -rf $(VENV) .tools .tools.log demo-output .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
