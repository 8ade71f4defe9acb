"""The table of jobs."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, unmapped
from prefect.artifacts import Artifact
from prefect_seeing import sh

from iri_common import UsageError
from iri_local_facility import LocalFacility
from prefect_iri import IriFacility, ajob_table, arun_job, job_table, run_job


def table(artifact_id: UUID, key: str) -> tuple[list[dict[str, Any]], Any]:
    artifact = Artifact.get(key)
    assert artifact is not None
    assert (artifact.id, artifact.type) == (artifact_id, "table")
    return json.loads(artifact.data), artifact


def test_a_table_of_jobs_that_went_well_and_badly(facility: LocalFacility, block: IriFacility):
    @flow
    def tabled() -> UUID:
        scripts = {"fine": "sleep 1", "broken": "exit 4"}
        specs = [sh(script, name=name) for name, script in scripts.items()]
        ended = [each.result(raise_on_failure=False) for each in run_job.map(unmapped(block), specs)]
        return job_table(ended, facility=block, key="two-jobs", description="Two of them")

    rows, artifact = table(tabled(), "two-jobs")
    assert artifact.description == "Two of them"
    fine, broken = rows
    assert list(fine) == ["name", "job", "owner", "resource", "state", "exit code", "seconds", "ref"]
    jobs = {job["name"].rpartition(".")[0]: job for job in facility.jobs()}
    assert (fine["name"], fine["job"], fine["resource"]) == ("fine", jobs["fine"]["id"], "cluster")
    assert (fine["state"], fine["exit code"]) == ("completed", 0)
    assert 0.9 <= fine["seconds"] <= 30
    assert (broken["name"], broken["state"], broken["exit code"]) == ("broken", "failed", 4)
    assert all(row["ref"].startswith("iri+job://127.0.0.1") for row in rows)


async def test_a_table_from_an_async_flow(block: IriFacility):
    @flow
    async def tabled() -> UUID:
        return await ajob_table([await arun_job(block, sh("true", name="one"))], key="one-job")

    artifact_id = await tabled()
    artifact = await Artifact.aget("one-job")
    assert artifact is not None
    assert artifact.id == artifact_id
    (row,) = json.loads(artifact.data)
    assert (row["name"], row["state"]) == ("one", "completed")
    assert len(row["resource"]) == 36, "without the facility, resources go by their id"


async def test_a_plain_table_from_an_async_flow(block: IriFacility):
    @flow
    async def tabled() -> UUID:
        return job_table([await arun_job(block, sh("true"))], facility=block, key="mixed")

    assert isinstance(await tabled(), UUID)


def test_a_facility_out_of_reach_costs_only_the_names(block: IriFacility):
    result = run_job.fn(block, sh("true"))
    nobody = IriFacility(url="http://127.0.0.1:9/api/v2")
    made = flow(lambda: job_table([result], facility=nobody, key="no-names"), name="no-names")()
    rows, _ = table(made, "no-names")
    assert rows[0]["resource"] == result.ref.resource_id


def test_only_ended_jobs_make_rows():
    with pytest.raises(UsageError, match="not of ValueError: no job"):
        job_table([ValueError("no job")])  # type: ignore[list-item]
