"""How long a queue is, as far as anything tells: what was seen counts, a look is made seldom."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from iri_common import JobKey, JobRef, TransientError
from iri_common.facility import queues
from iri_common.facility.queues import Queues
from iri_common.model.job import JobEntry, JobStatus
from iri_common.model.outcome import Done
from iri_common.model.state import JobState
from iri_common.policy.queues import QueueSign, waiting

NOW = 1e9
S = JobState


def entry(state: JobState, ago: float | None, now: float = NOW) -> JobEntry:
    return JobEntry("1", JobStatus(state, time=None if ago is None else now - ago))


@pytest.mark.parametrize(
    ("jobs", "seconds"),
    [
        ([], None),
        ([entry(S.QUEUED, 60), entry(S.NEW, 3600), entry(S.QUEUED, 10)], 3600),
        ([entry(S.ACTIVE, 9000), entry(S.HELD, 9000), entry(S.COMPLETED, 9000), entry(S.QUEUED, 5)], 5),
        ([entry(S.QUEUED, None), entry(S.QUEUED, -30)], None),  # a clock that is ahead tells no wait
    ],
)
def test_the_oldest_of_those_that_wait_tells_how_long_it_is(jobs, seconds) -> None:
    sign = waiting(jobs, NOW)
    assert (sign.seconds if sign else None) == seconds


class Jobs:
    """A list of jobs of which one waits for an hour."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.asked = error, 0

    async def list(self, resource_id, *, offset, limit, historical, names):
        self.asked += 1
        if self.error:
            raise self.error
        return Done([entry(S.QUEUED, 3600, time.time())])


async def test_a_look_counts_for_a_quarter_of_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    known, jobs, clock = Queues(), Jobs(), SimpleNamespace(now=0.0)
    here = SimpleNamespace(monotonic=lambda: clock.now, time=time.time)
    monkeypatch.setattr(queues, "time", here)
    assert await known.sign("m", None, None) is None
    assert (await known.sign("m", None, jobs)).seconds == pytest.approx(3600, abs=60)
    clock.now = queues.LOOKS_STAY_FRESH - 1
    assert await known.sign("m", "debug", jobs) == await known.sign("m", None, None) is not None
    assert jobs.asked == 1
    clock.now += 1
    assert await known.sign("m", None, None) is None
    await known.sign("m", None, jobs)
    await known.sign("other", None, jobs)
    assert jobs.asked == 3


async def test_a_look_that_fails_is_not_made_again() -> None:
    known, jobs = Queues(), Jobs(TransientError("away"))
    assert [await known.sign("m", None, jobs) for _ in range(3)] == [None] * 3
    assert jobs.asked == 1


def ref(job_id: str) -> JobRef:
    return JobRef("host", "iri", "m", JobKey.random(), job_id=job_id)


async def test_the_last_job_of_the_queue_that_began_here_counts_without_a_look() -> None:
    known, jobs = Queues(), Jobs()
    known.asked(ref("1"), "regular")
    known.asked(ref("2"), None)
    known.began("m", "1", 7200.0)
    known.began("m", "2", 5.0)
    known.began("m", "asked for elsewhere", 9.0)
    known.began("m", "1", 1.0)  # it was told before
    assert await known.sign("m", "regular", jobs) == QueueSign(
        7200.0, "as long as the last job of this queue did"
    )
    assert (await known.sign("m", None, jobs)).seconds == 5.0
    assert jobs.asked == 0
    assert await known.sign("m", "debug", jobs) is not None
    assert jobs.asked == 1


async def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MOST_ASKED", 2)
    known = Queues()
    for each in ("1", "2", "3"):
        known.asked(ref(each), "q")
    known.began("m", "1", 50.0)
    assert await known.sign("m", "q", None) is None
    known.began("m", "3", 60.0)
    assert (await known.sign("m", "q", None)).seconds == 60.0
