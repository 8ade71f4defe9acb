"""What is down is waited for, failed at or tried, as the user says; what is announced is only told."""

from __future__ import annotations

import itertools
import logging
from datetime import UTC, datetime, timedelta

import pytest
from jobs_world import failing, seconds, timeless

from iri_common import (
    Availability,
    Incident,
    IriError,
    JobKey,
    Refused,
    Resource,
    ResourceDown,
    SubmitUncertain,
    TransientError,
    Unreachable,
)
from iri_common.jobs.outages import Gate
from iri_common.policy.outage import (
    OnOutage,
    OutageStep,
    after_error,
    announced,
    before_submit,
    outage_pause,
)

DOWN = Resource("id", "machine", status=Availability.DOWN)
UP = Resource("id", "machine", status=Availability.UP)
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("status", [Availability.UP, Availability.DEGRADED, Availability.UNKNOWN])
def test_only_down_is_down(status) -> None:
    for wanted in OnOutage:
        assert before_submit(wanted, status, 1e9, 0.0) is OutageStep.GO


@pytest.mark.parametrize(
    ("wanted", "waited", "step"),
    [
        (OnOutage.WAIT, 0.0, OutageStep.WAIT),
        (OnOutage.WAIT, 59.0, OutageStep.WAIT),
        (OnOutage.WAIT, 60.0, OutageStep.FAIL),
        (OnOutage.FAIL, 0.0, OutageStep.FAIL),
        (OnOutage.TRY, 0.0, OutageStep.GO),
    ],
)
def test_a_machine_that_is_down(wanted, waited, step) -> None:
    assert before_submit(wanted, Availability.DOWN, waited, 60.0) is step


def uncertain(outcome: str) -> SubmitUncertain:
    return SubmitUncertain("who knows", key=JobKey.of("a"), outcome=outcome)


def gateway_404() -> TransientError:
    return TransientError("no 404 of this API", operation="getResources", status=404, outcome="away")


@pytest.mark.parametrize(
    ("error", "reached", "guarded", "waits"),
    [
        (failing(TransientError, "away"), True, True, True),
        (failing(TransientError, "away"), False, False, True),
        (failing(Unreachable, "not sent"), True, False, True),
        (failing(Unreachable, "not sent"), False, True, False),  # a wrong URL gets no better by waiting
        (failing(Unreachable, "reply lost"), False, True, True),
        (gateway_404(), False, True, False),  # nor does this
        (gateway_404(), True, True, True),  # the service was there before: its gateway has lost it
        (failing(TransientError, "broken"), True, True, False),
        (failing(Refused, "invalid"), True, True, False),
        (uncertain("away"), True, True, True),
        (uncertain("away"), True, False, False),  # nothing makes a second request harmless
        (uncertain("broken"), True, True, False),
        (IriError("no outcome"), True, True, False),
    ],
)
def test_an_error_that_is_an_outage(error, reached, guarded, waits) -> None:
    told = after_error(OnOutage.WAIT, error, 0.0, 60.0, reached=reached, guarded=guarded)
    assert told is (OutageStep.WAIT if waits else OutageStep.FAIL)
    for wanted in (OnOutage.FAIL, OnOutage.TRY):
        assert after_error(wanted, error, 0.0, 60.0, reached=reached, guarded=guarded) is OutageStep.FAIL
    late = after_error(OnOutage.WAIT, error, 60.0, 60.0, reached=reached, guarded=guarded)
    assert late is OutageStep.FAIL


def test_pauses_grow_to_two_minutes() -> None:
    pauses = [outage_pause(count) for count in range(8)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (5.0, 120.0)


def gate(wanted: OnOutage = OnOutage.WAIT, limit: float = 600.0) -> Gate:
    return Gate("lab", wanted, limit, reached=lambda: True, guarded=True)


def test_the_gate_waits_and_says_so_once(caplog) -> None:
    looks = iter([DOWN] * 4 + [UP])

    async def opened():
        async def read():
            return next(looks)

        return await gate().opened(read), seconds()

    with caplog.at_level(logging.WARNING):
        resource, waited = timeless(opened)
    assert resource is UP
    assert waited == 5 + 15 + 30 + 60
    assert len(caplog.messages) == 1
    assert "machine is down; waiting up to 600 s" in caplog.messages[0]


def test_the_gate_has_a_limit_and_tells_what_else_can_be_said() -> None:
    looked = itertools.count()

    async def opened():
        async def read():
            next(looked)
            return DOWN

        try:
            await gate().opened(read)
        except ResourceDown as error:
            return str(error), seconds()

    told, waited = timeless(opened)
    assert waited == 600.0
    assert next(looked) < 12
    assert "nothing was sent, after waiting 600 s" in told
    assert "outage_limit" in told


def test_trying_all_the_same_warns(caplog) -> None:
    async def opened():
        async def read():
            return DOWN

        return await gate(OnOutage.TRY).opened(read)

    with caplog.at_level(logging.WARNING):
        assert timeless(opened) is DOWN
    assert "trying all the same" in caplog.text


def test_one_limit_holds_for_the_machine_and_its_api() -> None:
    async def both():
        at = gate()

        async def read():
            return DOWN if seconds() < 300 else UP

        async def work():
            raise failing(TransientError, "away")

        await at.opened(read)
        opened = seconds()
        with pytest.raises(TransientError):
            await at.passed(work)
        return opened, seconds()

    opened, failed = timeless(both)
    assert 300 <= opened < 450
    assert failed == 600.0


# ------------------------------------------------------------------------------------ what is announced


def incident(hours: float, length: float | None = 4.0, **words) -> Incident:
    start = NOON + timedelta(hours=hours)
    end = None if length is None else start + timedelta(hours=length)
    plain = {"status": Availability.DOWN, "type": "planned", "resolution": "pending", "name": "service day"}
    return Incident(id=f"at {hours}", start=start, end=end, **{**plain, **words})


@pytest.mark.parametrize(
    ("planned", "told"),
    [
        (incident(1), True),
        (incident(-1), True),
        (incident(2.5), False),  # the job has ended by then
        (incident(-8), False),  # over
        (incident(-8, None), True),  # without an end
        (incident(1, resource_ids=("id",)), True),
        (incident(1, resource_ids=("other",)), False),
        (incident(1, type="unplanned"), False),
        (incident(1, type="reservation"), True),
        (incident(1, resolution="cancelled"), False),
        (incident(1, resolution="completed"), False),
        (incident(1, resolution="extended"), True),
        (incident(1, status=Availability.DEGRADED), False),
    ],
)
def test_what_is_announced_for_the_time_of_a_job(planned, told) -> None:
    found = announced([planned], "id", NOON, NOON + timedelta(hours=2))
    assert found == ([planned] if told else [])


def test_the_first_to_come_is_told_first() -> None:
    late, early = incident(1.5), incident(0.5)
    assert announced([late, early], "id", NOON, NOON + timedelta(hours=2)) == [early, late]
