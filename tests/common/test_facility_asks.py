"""What belongs to an ask, and what does not, before a facility that really runs jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from iri_common import Facility, FileLedger, JobKey, UsageError
from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=16) as facility:
        yield facility


def shell(text: str) -> dict:
    return {"executable": "/bin/sh", "arguments": ["-c", text]}


def test_other_defaults_of_the_door_make_no_other_ask_of_it(place, tmp_path: Path) -> None:
    key = JobKey.of("defaults", tmp_path.name)
    ledger = FileLedger(tmp_path / "ledger")
    words = {"token": place.new_token(), "ledger": ledger, "poll_seconds": 0.1}
    first = Facility(place.base_url, queue="regular", **words).jobs.ask(shell("sleep 1"), key=key)
    again = Facility(place.base_url, queue="debug", **words).jobs.ask(shell("sleep 1"), key=key)
    assert again.ref.job_id == first.ref.job_id
    changed = Facility(place.base_url, **words).jobs.ask(shell("sleep 0"), key=key)
    assert changed.ref.key.generation == 2


@pytest.mark.parametrize("limit", [-1.0, float("nan"), "soon"])
def test_a_limit_that_is_no_time_is_refused_before_anything_is_sent(place, tmp_path: Path, limit) -> None:
    facility = Facility(place.base_url, token=place.token, ledger=FileLedger(tmp_path / "ledger"))
    with pytest.raises(UsageError, match="outage_limit"):
        facility.jobs.submit(shell("true"), outage_limit=limit)
