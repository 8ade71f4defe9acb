"""Every way in which a reply can go astray, and what is held against the core when one has."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

from real_world import Work, broken, settle, story_of

from iri_common import Facility, IriError, JobRef
from iri_local_facility import LocalFacility

T = TypeVar("T")
ASKS = 6  # as an engine with retries asks

REPLIES: dict[str, tuple[str, dict]] = {
    "reply lost": ("lose_reply", {}),
    "connection reset": ("reset", {}),
    "reply cut short": ("cut", {}),
    "slow body": ("slow_body", {"seconds": 0.3}),
    "late reply": ("delay", {"seconds": 0.3, "when": "after"}),
    "late to act": ("delay", {"seconds": 0.3, "when": "before"}),
    "hangs before, then closes": ("hang", {"seconds": 0.2, "when": "before"}),
    "hangs after, then closes": ("hang", {"seconds": 0.2, "when": "after"}),
    "200, an HTML page": ("garble", {"body": "html"}),
    "200, half of the JSON": ("garble", {"body": "truncated"}),
    "200, nothing": ("garble", {"body": "empty"}),
    "401": ("status", {"status": 401}),
    "good tokens refused": ("refuse_tokens", {}),
    "403": ("status", {"status": 403}),
    "403, an HTML page": ("status", {"status": 403, "body": "html"}),
    "429": ("status", {"status": 429}),
    "429, Retry-After": ("status", {"status": 429, "retry_after": "1"}),
    **{
        f"{status} {when}": ("status", {"status": status, "when": when, "body": body})
        for status, body in ((500, "problem"), (502, "html"), (503, "plain"), (504, "html"))
        for when in ("before", "after")
    },
}


def order(place: LocalFacility, fault: str, operations: str | list[str], times: int, **words) -> str:
    kind, options = REPLIES[fault]
    return place.order(kind, operations, times=times, **options, **words)


def struck(place: LocalFacility, fault_id: str) -> int:
    return next(each["struck"] for each in place.faults() if each["id"] == fault_id)


def persisting(act: Callable[[], T]) -> T:
    """As an engine does it again that failed."""
    for _ in range(ASKS - 1):
        with contextlib.suppress(IriError):
            return act()
    return act()


def truly(work: Work, facility: Facility, ref: JobRef, state: str = "completed", *, jobs: int = 1) -> None:
    """The job worked once, and its end was told as it was."""
    status = facility.jobs.wait(ref, timeout=60)
    work.told.append({"what": "ended", "job": ref.job_id, "state": str(status.reported)})
    listed = settle(work.place)
    assert not broken(work, listed), f"{broken(work, listed)}\n  {story_of(work, listed)}"
    assert str(status.reported) == state
    assert len(set(work.worked())) == 1
    assert len(work.jobs(listed)) == jobs
