"""Replies of a Superfacility that go astray, tasks that are forgotten, tokens and keys that die."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from astray_world import persisting, struck, truly
from real_world import Work, new_key

from iri_common import (
    AuthError,
    Facility,
    FileLedger,
    SubmitUncertain,
    WaitTimeout,
)
from iri_common.auth.client_key import key_from_file
from iri_common.auth.private_key_jwt import PrivateKeyJwt
from iri_common.policy import vanished
from iri_local_facility import LocalFacility

REPLIES: dict[str, tuple[str, dict[str, Any]]] = {
    "reply lost": ("lose_reply", {}),
    "connection reset": ("reset", {}),
    "200, an HTML page": ("garble", {"body": "html"}),
    "200, ERROR inside": ("status", {"status": 200, "body": "problem"}),
    "403": ("status", {"status": 403}),
    "404 of a gateway": ("status", {"status": 404, "body": "html"}),
    "500 after": ("status", {"status": 500, "when": "after"}),
    "503 before": ("status", {"status": 503, "body": "html"}),
}
EACH = pytest.mark.parametrize("fault", REPLIES)
SOME = pytest.mark.parametrize("fault", ["reply lost", "200, ERROR inside", "403", "500 after"])


@dataclass
class Batch(Work):
    """Work of a batch script, which has Slurm's words for who it is."""

    @property
    def spec(self) -> dict[str, Any]:
        script = f'echo "$SLURM_JOB_ID" >>{self.marks}; sleep {self.seconds}'
        return {"executable": "/bin/sh", "arguments": ["-c", script], "name": "marks"}


@pytest.fixture(autouse=True)
def in_a_greater_hurry(in_a_hurry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vanished, "GRACE", 0.3)
    monkeypatch.setattr(vanished, "GRACE_UNSEEN", 0.4)


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=16, kill_grace=0.2, superfacility_delay=0.02, token_lifetime=600.0) as running:
        yield running


@pytest.fixture
def work(place: LocalFacility, tmp_path: Path) -> Iterator[Batch]:
    yield Batch(place, place.superfacility_url, tmp_path, new_key(tmp_path.name), seconds=0.2)
    place.clear_faults()


def opened(place: LocalFacility, work: Batch, key: Path) -> Facility:
    return Facility(
        work.url,
        dialect="superfacility",
        token=PrivateKeyJwt(place.superfacility_token_url, key_from_file(key)),
        poll_seconds=0.05,
        ledger=FileLedger(work.ledger),
        outage_limit=20.0,
    )


@pytest.fixture
def facility(place: LocalFacility, work: Batch) -> Facility:
    """A door of its own, for a client of its own."""
    return opened(place, work, place.new_superfacility_key())


def order(place: LocalFacility, fault: str, operations: str | list[str], times: int, **words: Any) -> str:
    kind, options = REPLIES[fault]
    return place.order(kind, operations, times=times, **options, **words)  # type: ignore[arg-type]


@EACH
def test_at_the_submit(place, facility, work, fault) -> None:
    stroke = order(place, fault, "sfSubmitJob", 2)
    ref = persisting(lambda: facility.jobs.submit(work.spec, key=work.key))
    assert struck(place, stroke)
    assert facility.jobs.submit(work.spec, key=work.key) == ref
    truly(work, facility, ref)


@SOME
def test_at_the_task_of_the_submit(place, facility, work, fault) -> None:
    stroke = order(place, fault, "sfGetTask", 3)
    ref = persisting(lambda: facility.jobs.submit(work.spec, key=work.key))
    assert struck(place, stroke)
    truly(work, facility, ref)


@SOME
def test_in_mid_wait(place, facility, work, fault) -> None:
    work.seconds = 1.0  # it still runs when the wait begins, on a busy machine too
    ref = facility.jobs.submit(work.spec, key=work.key)
    stroke = order(place, fault, ["sfGetJob", "sfGetJobs"], 3, skip=1)
    truly(work, facility, ref)
    assert struck(place, stroke)


@SOME
def test_at_the_cancel(place, facility, work, fault) -> None:
    work.seconds = 60.0
    ref = facility.jobs.submit(work.spec, key=work.key)
    while not work.worked():
        time.sleep(0.01)
    stroke = order(place, fault, "sfCancelJob", 2)
    persisting(lambda: facility.jobs.cancel(ref))
    assert struck(place, stroke)
    truly(work, facility, ref, "canceled")


def test_a_submit_whose_task_is_forgotten_is_settled_by_name(place, facility, work) -> None:
    stroke = place.order("status", "sfGetTask", status=404)
    ref = facility.jobs.submit(work.spec, key=work.key)
    assert struck(place, stroke) == 1
    truly(work, facility, ref)


def test_the_end_of_a_job_that_is_gone_is_in_its_journal(place, facility, work) -> None:
    ref = facility.jobs.submit(work.spec, key=work.key)
    place.order("missing", ["sfGetJob", "sfGetJobs"], job=ref.job_id)
    truly(work, facility, ref)


def test_a_word_that_nobody_knows_ends_no_wait(place, facility, work) -> None:
    stroke = place.order("unknown_state", word="THINKING")
    ref = facility.jobs.submit(work.spec, key=work.key)
    with pytest.raises(WaitTimeout):
        facility.jobs.wait(ref, timeout=1.0)
    assert facility.jobs.status(ref).describe() == "unknown state 'THINKING'"
    place.clear_faults(stroke)
    truly(work, facility, ref)


def test_a_server_that_is_killed_after_the_submit(place, facility, work) -> None:
    stroke = place.order("crash", "sfSubmitJob", when="after")
    with pytest.raises(SubmitUncertain):
        facility.jobs.submit(work.spec, key=work.key, on_outage="fail")
    place.restart()
    ref = persisting(lambda: facility.jobs.submit(work.spec, key=work.key))
    assert struck(place, stroke) == 1
    truly(work, facility, ref, jobs=len(work.jobs()))
    assert len(work.jobs()) <= 2  # the task was taken up again, or not: the double ended itself


# ------------------------------------------------------------------------------------------- credentials


def tokens(place: LocalFacility) -> int:
    return len(place.requests("sfToken"))


def test_one_403_renews_and_two_are_told(place, facility, work) -> None:
    facility.accounts.whoami()
    place.reset_requests()
    stroke = place.order("status", "sfGetUser", status=403)
    assert facility.accounts.whoami() == place.user
    assert (struck(place, stroke), tokens(place)) == (1, 1)
    place.order("status", "sfGetUser", status=403, times=2)
    with pytest.raises(AuthError, match="Iris"):
        facility.accounts.whoami()
    assert tokens(place) == 2
    assert len(place.requests("sfGetUser")) == 4


def test_a_wait_outlives_its_tokens(work, tmp_path) -> None:
    with LocalFacility(kill_grace=0.2, token_lifetime=0.5) as elsewhere:
        work.url, work.place, work.seconds = elsewhere.superfacility_url, elsewhere, 1.2
        facility = opened(elsewhere, work, elsewhere.superfacility_key)
        ref = facility.jobs.submit(work.spec, key=work.key)
        truly(work, facility, ref)
        assert tokens(elsewhere) >= 3
        assert not [each for each in elsewhere.requests() if each["status"] == 403]


def test_a_client_that_died_is_replaced_while_the_wait_goes_on(place, work, tmp_path) -> None:
    key, work.seconds = tmp_path / "key.pem", 1.0
    os.link(place.new_superfacility_key(), key)
    facility = opened(place, work, key)
    ref = facility.jobs.submit(work.spec, key=work.key)
    os.replace(place.new_superfacility_key(lifetime=-1.0), key)
    place.order("status", ["sfGetJob", "sfGetJobs", "sfGetUser"], status=403, times=2)
    with pytest.raises(AuthError, match="expired"):
        facility.accounts.whoami()
    os.replace(place.new_superfacility_key(), key)
    place.clear_faults()
    assert facility.accounts.whoami() == place.user
    truly(work, facility, ref)
