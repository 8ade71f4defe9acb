"""OpenLineage in a real Airflow: what is told of a job, and that the job and its task know each other.

An Airflow of its own, as listening costs each task of the others a second or two.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow_connections import SOURCES, connection_to
from airflow_site import AirflowSite

from iri_local_facility import LocalFacility

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """What is told, a line each."""
    return tmp_path / "events.jsonl"


@pytest.fixture
def heard(facility: LocalFacility, tmp_path: Path, events: Path) -> Iterator[AirflowSite]:
    """An Airflow that tells all to a file."""
    dags = tmp_path / "dags"
    dags.mkdir()
    shutil.copy(Path(__file__).parent / "dags" / "airflow_jobs.py", dags)
    transport = {"type": "file", "log_file_path": str(events), "append": True}
    env = {"PYTHONPATH": SOURCES, "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport)}
    with AirflowSite(dags, connections={"iri_default": connection_to(facility)}, env=env) as site:
        yield site


def test_a_deferred_job_and_its_task_know_each_other(
    heard: AirflowSite, events: Path, facility: LocalFacility, wait_until: Callable[..., Any]
) -> None:
    place = facility.scratch / "lineage"
    place.mkdir()
    script = 'printf %s "$OPENLINEAGE_PARENT_ID" > parent; sleep 1'
    run = heard.trigger("once", {"script": script, "name": "lineage", "dir": str(place)})
    assert heard.wait("once", run) == "success", heard.log("once", run, "job")
    result = heard.xcom("once", run, "job")
    (event,) = wait_until(lambda: told(events, "COMPLETE"), 30, "a word of the end")
    facet = event["run"]["facets"]["iri_job"]
    (job,) = [each for each in facility.jobs() if each["name"].startswith("lineage.")]
    assert (facet["ref"], facet["jobId"]) == (result["ref"], str(job["id"]))
    assert (facet["machine"], facet["account"]) == ("cluster", "demo")
    assert (facet["state"], facet["exitCode"]) == ("completed", 0)
    assert facet["nodeHours"] == result["node_hours"]
    assert facet["_producer"].startswith("pkg:pypi/airflow-provider-iri@")
    told_job = event["job"]
    assert (place / "parent").read_text() == "/".join(
        [told_job["namespace"], told_job["name"], event["run"]["runId"]]
    )
    assert facility.token not in events.read_text()


def told(events: Path, kind: str) -> list[dict[str, Any]]:
    """The events of this kind that tell of the task."""
    lines = events.read_text().splitlines() if events.exists() else []
    # Who writes may be in the midst of the last one.
    known = [json.loads(line) for line in lines if line.endswith("}")]
    return [each for each in known if each["eventType"] == kind and each["job"]["name"] == "once.job"]
