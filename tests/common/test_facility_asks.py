"""What belongs to an ask, and what does not, before a facility that really runs jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from iri_common import Facility, FileLedger, JobKey, JobLost, UsageError
from iri_common.policy import vanished
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


# ---------------------------------------------------------------------------------------- in containers

CONTAINED = {"executable": "/bin/app", "container": {"image": "site/app:1"}}


def test_a_job_in_a_container_has_a_guard_only_if_the_user_says_that_there_is_a_shell(
    place, tmp_path: Path
) -> None:
    root = str(place.scratch / "guards")
    facility = Facility(place.base_url, token=place.token, guard_directory=root)
    plain = facility.jobs.preview(CONTAINED)
    assert (plain.body["executable"], plain.script) == ("/bin/app", "")
    guarded = facility.jobs.preview(CONTAINED, guard=True)
    assert guarded.body["executable"] == "/bin/sh"
    assert guarded.body["arguments"][-1] == "/bin/app"
    mount = {"source": root, "target": root, "read_only": False}
    assert guarded.body["container"] == {"image": "site/app:1", "volume_mounts": [mount]}


def test_the_guard_directory_that_a_user_mounts_read_only_is_mounted_to_be_written(place) -> None:
    facility = Facility(place.base_url, token=place.token, guard_directory="/guards")
    mounts = [{"source": "/data", "target": "/data"}, {"source": "/guards", "target": "/guards"}]
    job = {**CONTAINED, "container": {"image": "site/app:1", "volume_mounts": mounts}}
    shown = facility.jobs.preview(job, guard=True).body["container"]["volume_mounts"]
    assert [(each["target"], each.get("read_only", True)) for each in shown] == [
        ("/data", True),
        ("/guards", False),
    ]


def test_a_guard_in_a_container_needs_a_directory_that_can_be_mounted(place) -> None:
    facility = Facility(place.base_url, token=place.token)
    with pytest.raises(UsageError, match="guard_directory"):
        facility.jobs.submit(CONTAINED, guard=True)


# --------------------------------------------------------------------------------- told once, told again


def test_an_end_that_was_told_is_told_again_when_the_facility_has_forgotten_the_job(
    place, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(vanished, "GRACE", 0.2)
    monkeypatch.setattr(vanished, "GRACE_UNSEEN", 0.2)
    words = {"token": place.new_token(), "poll_seconds": 0.1, "guard": False}
    facility = Facility(place.base_url, ledger=FileLedger(tmp_path / "ledger"), **words)
    ref = facility.jobs.submit(shell("exit 3"))
    assert facility.jobs.wait(ref).exit_code == 3
    place.order("missing", job=ref.job_id)
    again = facility.jobs.wait(ref)
    assert again.state == "failed"
    assert "exit code 3; so it was told before" in (again.message or "")
    stranger = Facility(place.base_url, ledger=FileLedger(tmp_path / "another"), **words)
    with pytest.raises(JobLost):
        stranger.jobs.wait(ref)
    place.clear_faults()
