"""What only FirecREST answers to a submit: a command out of time, an SSH connection that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from astray_world import persisting, struck, truly
from doors import DOORS
from real_world import Work, new_key

from iri_common import FileLedger
from iri_local_facility import LocalFacility


@pytest.fixture
def work(place: LocalFacility, tmp_path: Path) -> Iterator[Work]:
    yield Work(place, "", tmp_path, new_key(tmp_path.name), seconds=0.1)
    place.clear_faults()


@pytest.mark.usefixtures("in_a_hurry")
@pytest.mark.parametrize("body", ["problem", "html"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("status", [408, 424])
def test_one_job_asked_for_is_one_job(
    place: LocalFacility, work: Work, tmp_path: Path, status: int, when: str, body: str
) -> None:
    facility = DOORS["firecrest"].open(place, tmp_path, poll_seconds=0.05, ledger=FileLedger(work.ledger))
    words = {"status": status, "when": when, "body": body}
    stroke = place.order("status", "firecrestSubmit", job=work.key.job_name("marks"), times=1, **words)
    ref = persisting(lambda: facility.jobs.submit(work.spec, key=work.key))
    assert struck(place, stroke)
    truly(work, facility, ref)
