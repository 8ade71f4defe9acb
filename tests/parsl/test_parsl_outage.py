"""A facility that goes away: Parsl is never told more than is known, and never kept waiting."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import pytest
from parsl.jobs.states import JobState
from parsl.launchers import SimpleLauncher
from parsl_waiting import lead_to, state_of, until, until_state

from iri_local_facility import LocalFacility
from parsl_iri import FacilityProvider

Make = Callable[..., FacilityProvider]


@pytest.fixture
def away(fragile: LocalFacility, monkeypatch: pytest.MonkeyPatch) -> LocalFacility:
    """A facility under the profile "away", still there."""
    lead_to(monkeypatch, "away", fragile)
    return fragile


def test_submit_into_an_outage_is_one_job_afterwards(away: LocalFacility, providers: Make):
    provider = providers("away")
    away.kill()
    began = time.monotonic()
    job_id = provider.submit("sleep 60", 1, "parsl.x.block-0")
    assert time.monotonic() - began < 5
    time.sleep(2)
    assert state_of(provider, job_id) is JobState.PENDING
    away.restart()
    until_state(provider, job_id, JobState.RUNNING, seconds=40)
    assert [job["name"] for job in away.jobs()] == [job_id]


def test_a_lost_reply_neither_fails_the_block_nor_lets_a_cancel_forget_it(
    monkeypatch: pytest.MonkeyPatch, providers: Make
):
    with LocalFacility(submit_delay=1.5, kill_grace=0.5) as slow:
        lead_to(monkeypatch, "slow", slow)
        provider = providers("slow", cmd_timeout=2, submit_retry_time=20)
        job_id = provider.submit("sleep 60", 1)
        time.sleep(1.0)
        slow.kill()  # in the middle of it: there may be a job, or not
        slow.restart()  # which keeps the key locked for a minute
        time.sleep(3.0)
        assert state_of(provider, job_id) is JobState.PENDING
        assert provider.cancel([job_id]) == [False]  # not as long as there may be one
        assert state_of(provider, job_id) is JobState.PENDING


def test_after_the_retry_time_the_block_has_failed_and_says_why(
    away: LocalFacility, providers: Make, caplog: pytest.LogCaptureFixture
):
    provider = providers("away", submit_retry_time=0)
    away.kill()
    with caplog.at_level(logging.ERROR, "parsl"):
        job_id = provider.submit("true", 1)
        until_state(provider, job_id, JobState.FAILED, seconds=40)
    message = provider.status([job_id])[0].message
    assert "could not be submitted" in message
    assert "no answer from" in message
    assert message in caplog.text
    assert provider.status([job_id])[0].stderr_summary is None


def test_cancel_of_a_block_that_never_got_through(away: LocalFacility, providers: Make):
    provider = providers("away", cmd_timeout=30)
    away.kill()
    job_id = provider.submit("sleep 60", 1)
    time.sleep(0.5)
    assert provider.cancel([job_id]) == [True]
    assert state_of(provider, job_id) is JobState.CANCELLED
    away.restart()
    time.sleep(1)
    assert away.jobs() == []


def test_status_keeps_what_it_knew(away: LocalFacility, providers: Make):
    provider = providers("away")
    job_id = provider.submit("sleep 60", 1)
    until_state(provider, job_id, JobState.RUNNING)
    away.kill()
    began = time.monotonic()
    while time.monotonic() - began < 3:
        before = time.monotonic()
        assert state_of(provider, job_id) is JobState.RUNNING
        assert time.monotonic() - before < 1
        time.sleep(0.1)
    away.restart()
    assert provider.cancel([job_id]) == [True]
    until_state(provider, job_id, JobState.CANCELLED)


def test_cancel_in_an_outage_is_made_good_after_it(away: LocalFacility, providers: Make):
    provider = providers("away", cmd_timeout=1)
    job_id = provider.submit("sleep 60", 1)
    until_state(provider, job_id, JobState.RUNNING)
    away.kill()
    assert provider.cancel([job_id]) == [False]
    assert state_of(provider, job_id) is JobState.RUNNING
    away.restart()
    until_state(provider, job_id, JobState.CANCELLED, seconds=60)


def test_a_block_that_ends_badly_after_its_cancel_has_not_failed(
    away: LocalFacility, providers: Make, caplog: pytest.LogCaptureFixture
):
    provider = providers("away", cmd_timeout=1, launcher=SimpleLauncher())
    job_id = provider.submit("sleep 2; exit 7", 1)
    until_state(provider, job_id, JobState.RUNNING)
    away.kill()
    assert provider.cancel([job_id]) == [False]
    time.sleep(2)
    away.restart()
    until_state(provider, job_id, JobState.CANCELLED, JobState.FAILED, seconds=60)
    assert state_of(provider, job_id) is JobState.CANCELLED
    assert [(job["state"], job["exit_code"]) for job in away.jobs()] == [("failed", 7)]
    assert [
        each for each in caplog.records if each.levelname == "ERROR" and job_id in each.getMessage()
    ] == []


def test_last_lines_are_not_waited_for_in_an_outage(away: LocalFacility, providers: Make):
    provider = providers("away")
    job_id = provider.submit("sleep 60", 1)
    until_state(provider, job_id, JobState.RUNNING)
    away.kill()
    began = time.monotonic()
    assert provider.status([job_id])[0].stderr_summary is None
    assert time.monotonic() - began < 15
    away.restart()
    assert provider.cancel([job_id]) == [True]


def test_a_refused_token_leaves_the_block_as_it_was(
    away: LocalFacility, providers: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    token = away.new_token()
    monkeypatch.setenv("IRI_FACILITY_AWAY_TOKEN", token)
    provider = providers("away")
    job_id = provider.submit("sleep 60", 1)
    until_state(provider, job_id, JobState.RUNNING)
    with caplog.at_level(logging.WARNING):
        away.revoke(token)
        until(lambda: "does not take the credential any more" in caplog.text)
    assert "refused" in caplog.text
    assert token not in caplog.text
    assert state_of(provider, job_id) is JobState.RUNNING
    assert [job["state"] for job in away.jobs()] == ["active"]
    monkeypatch.setenv("IRI_FACILITY_AWAY_TOKEN", away.new_token())  # a person put a new one in place
    assert provider.cancel([job_id]) == [True]
    until_state(provider, job_id, JobState.CANCELLED)


def test_a_wrong_token_fails_the_block_at_once(
    away: LocalFacility, providers: Make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("IRI_FACILITY_AWAY_TOKEN", "never-given-out")
    provider = providers("away")
    job_id = provider.submit("true", 1)
    until_state(provider, job_id, JobState.FAILED)
    message = provider.status([job_id])[0].message
    assert "refused the token" in message
    assert "never-given-out" not in message
