# `make demo` and `make test` do all their own set-up: Python 3.11-3.13 with pip, make and git is enough.
VENV   := .venv
READY  := $(VENV)/.ready
MEMBERS := iri_common local_facility airflow_provider prefect_collection parsl_provider
UV     := .tools/bin/uv

BENCH  := .venv-bench
BENCH_READY := $(BENCH)/.ready
LOAD   := .venv-bench-airflow
LOAD_READY := $(LOAD)/.ready

.PHONY: help setup demo test test-airflow lint soak bench bench-airflow docs constraints clean
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

API := iri

demo: $(READY)  ## the example workflow through Prefect, Airflow and Parsl; make demo API=firecrest|superfacility|slurm
	@$(VENV)/bin/python examples/demo --api $(API)

test: $(READY)  ## what CI runs: lint, pure tests, contracts, one pytest process per engine
	@.ci/test

AIRFLOW :=

test-airflow: $(UV)  ## tests/airflow with another Airflow, the newest or AIRFLOW=3.2.0, in an environment of its own
	@PYTHON="$(PYTHON)" .ci/airflow $(AIRFLOW)

lint: $(READY)  ## ruff, pyright (strict on the core), the floors of the core
	@.ci/lint

FUZZ := 1000
SCHEDULES := 1000000
SOAK := 10000
KILLS := 1000
AMONG := 1000

soak: $(READY)  ## a million schedules, ten thousand asks, a thousand among facilities, a thousand killed transfers, 4 GiB (an hour)
	@IRI_FUZZ=$(FUZZ) $(VENV)/bin/pytest tests/common/test_every_dialect_fuzz.py -q -n auto -o timeout=0
	@IRI_SCHEDULES=$(SCHEDULES) $(VENV)/bin/pytest tests/faults/test_schedules.py -q -n auto -o timeout=0
	@IRI_SOAK=$(SOAK) $(VENV)/bin/pytest tests/faults/test_soak.py -q -n auto
	@IRI_AMONG=$(AMONG) $(VENV)/bin/pytest tests/faults/test_among_weather.py tests/faults/test_among_dialects.py -q -n auto
	@IRI_TRANSFER_KILLS=$(KILLS) $(VENV)/bin/pytest tests/faults/test_transfer_kills.py -q -n auto
	@IRI_TRANSFER_MIB=512 $(VENV)/bin/pytest tests/faults/test_transfer_memory.py tests/faults/test_transfer_names.py -q

# Of its own, because the peers' packages would get in the engines' way (see pyproject.toml).
$(BENCH_READY): $(UV) pyproject.toml constraints.txt iri_common/pyproject.toml local_facility/pyproject.toml
	@python="$$(.ci/find-python $(PYTHON))" && echo "setting up: $(BENCH) with the peers and this project" && \
	  { test -x $(BENCH)/bin/python || $(UV) venv --quiet --no-python-downloads --python "$$python" $(BENCH); } && \
	  $(UV) pip install --quiet --python $(BENCH)/bin/python -c constraints.txt --group bench \
	    -e ./iri_common -e ./local_facility && touch $@

bench: $(BENCH_READY)  ## ours against its peers, in minutes; make bench BENCH_OPTIONS=--quick in one
	@$(BENCH)/bin/python -m benchmarks $(BENCH_OPTIONS)

$(LOAD_READY): $(UV) pyproject.toml constraints.txt $(MEMBERS:%=%/pyproject.toml)
	@python="$$(.ci/find-python $(PYTHON))" && echo "setting up: $(LOAD) with Airflow, PostgreSQL and this project" && \
	  { test -x $(LOAD)/bin/python || $(UV) venv --quiet --no-python-downloads --python "$$python" $(LOAD); } && \
	  $(UV) pip install --quiet --python $(LOAD)/bin/python -c constraints.txt --group bench-airflow \
	    -e ./iri_common -e ./local_facility -e ./airflow_provider && touch $@

bench-airflow: $(LOAD_READY)  ## a thousand mapped jobs through one triggerer of Airflow, 240 through two (half an hour)
	@$(LOAD)/bin/python benchmarks/airflow $(BENCH_OPTIONS)

docs: $(READY)  ## the tables of docs/ that are made from the code
	@$(VENV)/bin/python docs/make_facilities.py

constraints: $(UV)  ## pin anew the versions that CI installs
	@.ci/pin

clean:  ## remove the environment and everything generated
	rm -rf $(VENV) .venv-airflow-* $(BENCH) $(LOAD) benchmarks/results .tools .tools.log demo-output .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
