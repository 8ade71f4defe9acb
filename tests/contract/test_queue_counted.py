"""A token that outlives a job, but not the job after its wait in the queue, before a real queue."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS

from iri_common import JobState
from iri_local_facility import LocalFacility

HOUR, AGE = 3600, 1200


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=1) as running:
        yield running


def job(seconds: int) -> dict[str, Any]:
    spec = {"executable": "/bin/sleep", "arguments": ["60"], "attributes": {"duration": seconds}}
    return {**spec, "resources": {"node_count": 1}}


def test_the_oldest_that_waits_counts_and_is_looked_at_once(
    place: LocalFacility, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slurm = DOORS["slurm"]
    lasting = slurm.open(place, tmp_path / "lasting")
    jobs = [lasting.jobs.submit(job(60)) for _ in range(2)]
    try:
        assert lasting.jobs.status(jobs[1]).state is JobState.QUEUED
        assert not place.requests("slurmJobs"), "a token that lasts for so much longer needs no look"
        place.order("skew", "slurmJobs", seconds=-AGE)  # as if it had waited for so long
        brief = slurm.open(place, tmp_path / "brief", token=place.new_slurm_token(lifetime=HOUR + AGE / 2))
        with caplog.at_level(logging.WARNING):
            jobs += [brief.jobs.submit(job(HOUR)) for _ in range(2)]
        (said,) = [each for each in caplog.messages if "works at place until" in each]
        assert re.search(
            r"some 2\d min in the queue counted, as long as one of yours there waits already", said
        )
        assert len(place.requests("slurmJobs")) == 1
    finally:
        for each in jobs:
            lasting.jobs.cancel(each)
