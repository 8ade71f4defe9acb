"""OpenLineage: what is told of a job, and what the job is told; nothing while it is off."""

from __future__ import annotations

import json
import sys
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from airflow.providers.openlineage import conf
from airflow.providers.openlineage.extractors.base import DefaultExtractor
from airflow.providers.openlineage.utils.utils import translate_airflow_asset
from airflow.sdk.exceptions import AirflowException
from airflow_connections import connection_to
from airflow_versions import needs_store
from openlineage.client.event_v2 import Dataset
from openlineage.client.serde import Serde

from airflow_provider_iri import IriHook, IriJobOperator, IriTransferOperator, __version__, iri_asset
from airflow_provider_iri.facets import dataset
from airflow_provider_iri.lineage import enabled, with_parent
from airflow_provider_iri.record import new_ask
from iri_common import JobSpec

SCRIPT = "echo parent=$OPENLINEAGE_PARENT_ID; sleep 1"


@pytest.fixture
def listening(monkeypatch) -> None:
    """Airflow's provider is switched on."""
    monkeypatch.setattr(conf, "is_disabled", lambda: False)


@pytest.fixture
def traced(task):
    """The surroundings of a task, with what OpenLineage's macros ask for."""
    when = datetime(2026, 7, 1, tzinfo=UTC)
    task.ti.try_number = 1
    task.ti.dag_run = SimpleNamespace(logical_date=when, run_after=when, conf={}, clear_number=0)
    task.ti.get_template_context = lambda: {"dag_run": task.ti.dag_run}
    return task


def job(script: str, **more: Any) -> IriJobOperator:
    spec = {"executable": "/bin/sh", "arguments": ["-c", script], "resources": {"node_count": 2}, **more}
    return IriJobOperator(task_id="task", job=spec, deferrable=False)


def told(operator: IriJobOperator, task: Any) -> Any:
    return DefaultExtractor(operator).extract_on_failure(task.ti)


def test_a_job_is_told_with_its_numbers(demo, traced, listening) -> None:
    operator = job(SCRIPT, attributes={"account": "beamline"})
    result = traced.execute(operator)
    facet = told(operator, traced).run_facets["iri_job"]
    assert facet.ref == result["ref"]
    assert f"job={facet.jobId}" in facet.ref
    assert (facet.machine, facet.account) == ("cluster", "beamline")
    assert (facet.state, facet.exitCode) == ("completed", 0)
    assert 0 < facet.nodeHours < 1
    assert facet.nodeHours == result["node_hours"]
    assert demo.token not in repr(facet)
    told_of = Serde.to_dict(facet)
    schema = json.loads(files("airflow_provider_iri").joinpath("iri_job.schema.json").read_text())
    jsonschema.validate(told_of, schema)
    assert set(told_of) == set(schema["required"])
    package, _, file = told_of["_schemaURL"].partition("#")
    assert package == told_of["_producer"] == f"pkg:pypi/airflow-provider-iri@{__version__}"
    assert file == "airflow_provider_iri/iri_job.schema.json"


def test_a_job_that_failed_is_told_too(demo, traced, listening) -> None:
    operator = job("exit 3")
    with pytest.raises(AirflowException):
        traced.execute(operator)
    facet = told(operator, traced).run_facets["iri_job"]
    assert (facet.state, facet.exitCode, facet.account) == ("failed", 3, "demo")


def test_a_deferred_job_is_told_by_who_hears_of_its_end(demo, traced, listening, connect) -> None:
    connect("iri_default", connection_to(demo, extra={"account": "demo"}))
    operator = job("sleep 1")
    operator.deferrable = True
    traced.execute(operator)
    facet = told(operator, traced).run_facets["iri_job"]
    assert (facet.state, facet.account) == ("completed", "demo")


def test_a_job_knows_the_task_as_its_parent(demo, traced, listening) -> None:
    operator = job(SCRIPT, environment={"OPENLINEAGE_ROOT_PARENT_ID": "mine/own/id", "A": "b"})
    result = traced.execute(operator)
    said = IriHook().facility.jobs.tail(result["ref"], "stdout", lines=5)
    assert said.startswith("parent=default/dag.task/")


def sends(task: Any, generation: int = 1, **environment: str) -> dict[str, str]:
    """The environment that a try sends."""
    spec = JobSpec(executable="/bin/true", environment=environment)
    record = replace(new_ask(task.ti, spec, None, "iri_default"), generation=generation)
    sent = with_parent(task.context, lambda facility, record: spec)(None, record)
    return dict(sent.environment)


@needs_store
def test_every_send_of_one_ask_names_the_same_parent(traced, listening) -> None:
    first = sends(traced)
    assert set(first) == {"OPENLINEAGE_PARENT_ID", "OPENLINEAGE_ROOT_PARENT_ID"}
    traced.ti.try_number = 2
    assert sends(traced) == first  # a try that looks for the job of the one before
    second = sends(traced, generation=2)
    assert second["OPENLINEAGE_PARENT_ID"] != first["OPENLINEAGE_PARENT_ID"]
    assert second["OPENLINEAGE_ROOT_PARENT_ID"] == first["OPENLINEAGE_ROOT_PARENT_ID"]
    assert sends(traced, OPENLINEAGE_PARENT_ID="mine")["OPENLINEAGE_PARENT_ID"] == "mine"


@pytest.mark.parametrize("missing", [False, True])
def test_without_openlineage_nothing_is_sent_and_nothing_asked(
    demo, traced, monkeypatch, missing: bool
) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, "airflow.providers.openlineage.conf", None)
    assert not enabled()
    operator = job("echo parent=$OPENLINEAGE_PARENT_ID")
    result = traced.execute(operator)
    assert IriHook().facility.jobs.tail(result["ref"], "stdout", lines=5) == "parent=\n"
    assert operator._job_facts is None
    assert "iri_lineage" not in (traced.store or {})


def test_what_is_moved_is_told_as_an_asset_names_it(demo, traced, listening, tmp_path) -> None:
    there, here = demo.scratch / uuid.uuid4().hex, tmp_path / "raw.h5"
    here.write_text("123")
    move = IriTransferOperator(
        task_id="task", source=str(here), target=str(there), target_conn_id="iri_default"
    )
    traced.execute(move)
    lineage = told(move, traced)
    (moved,), (arrived,) = lineage.inputs, lineage.outputs
    assert (moved.namespace, moved.name) == ("file", str(here))
    assert arrived == translate_airflow_asset(iri_asset("iri_default", str(there)), None)
    assert dataset("s3://aws_default@bucket/a/b") == Dataset("s3://bucket", "a/b")
    assert dataset("iri://nersc//raw/?.h5") == Dataset("iri://nersc", "/raw/?.h5")


def test_a_file_is_a_dataset() -> None:
    there = translate_airflow_asset(iri_asset("nersc", "/cfs/m1234/raw.h5"), None)
    assert (there.namespace, there.name) == ("iri://nersc", "/cfs/m1234/raw.h5")
    there = translate_airflow_asset(iri_asset("nersc", "/a/raw.h5", storage="scratch"), None)
    assert (there.namespace, there.name) == ("iri://nersc", "scratch/a/raw.h5")
