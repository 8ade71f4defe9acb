"""Blocks that live and end at a facility: what Parsl is told, and what the facility was asked."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS
from parsl.jobs.states import JobState, JobStatus
from parsl.launchers import SimpleLauncher
from parsl_waiting import lead_to, state_of, until, until_state

from iri_local_facility import LocalFacility
from parsl_iri import FacilityProvider

Make = Callable[..., FacilityProvider]


def job_of(facility: LocalFacility, job_id: object) -> dict[str, Any]:
    return next(job for job in facility.jobs() if job["name"] == job_id)


def asked(facility: LocalFacility) -> Counter[str]:
    return Counter(request["operation"] for request in facility.requests())


def test_a_block_runs_and_completes(demo: LocalFacility, providers: Make):
    provider = providers(worker_init="export GREETING=hello", cores_per_node=3, mem_per_node=1.5)
    job_id = provider.submit(
        "echo $GREETING $PARSL_CORES $PARSL_MEMORY_GB $JOBNAME; sleep 1", 1, "parsl.x.block-0"
    )
    assert state_of(provider, job_id) is JobState.PENDING
    until_state(provider, job_id, JobState.RUNNING)
    until_state(provider, job_id, JobState.COMPLETED)
    status = provider.status([job_id])[0]
    assert status.exit_code == 0
    assert f"hello 3 1.5 {job_id}" in status.stdout_summary
    assert status.stderr_summary is None
    job = job_of(demo, job_id)
    assert (job["duration"], job["node_count"]) == (300, 1)
    assert provider.resources[job_id].ref.job_id == job["id"]


@pytest.mark.parametrize("name", ["superfacility", "firecrest", "slurm"])
def test_a_block_through_another_api(
    facility: LocalFacility, providers: Make, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for variable, value in DOORS[name].variables(facility, tmp_path).items():
        monkeypatch.setenv(variable, value)
    provider = providers("place")
    job_id = provider.submit("sleep 0.3", 1, "parsl.x.block-0")
    until_state(provider, job_id, JobState.COMPLETED)
    ref = provider.resources[job_id].ref
    assert (ref.dialect, ref.job_id) == (name, job_of(facility, job_id)["id"])


def test_the_words_of_the_provider_reach_the_scheduler(demo: LocalFacility, providers: Make):
    provider = providers(
        resource="cluster",
        account="beamline",
        queue="debug",
        walltime="00:01:30",
        nodes_per_block=2,
        directory=str(demo.home),
        launcher=SimpleLauncher(),
    )
    job_id = provider.submit("pwd", 1, "a label/with a slash")
    until_state(provider, job_id, JobState.COMPLETED)
    job = job_of(demo, job_id)
    assert (job["account"], job["queue"], job["duration"], job["node_count"]) == ("beamline", "debug", 90, 2)
    assert provider.status([job_id])[0].stdout.endswith(str(demo.home))


def test_a_failed_block_tells_exit_code_and_stderr(
    demo: LocalFacility, providers: Make, caplog: pytest.LogCaptureFixture
):
    provider = providers(launcher=SimpleLauncher())
    with caplog.at_level(logging.INFO, "parsl"):
        job_id = provider.submit("echo fine; echo 'no module named x' >&2; exit 3", 1, "parsl.x.block-0")
        until_state(provider, job_id, JobState.FAILED)
    status = provider.status([job_id])[0]
    assert status.exit_code == 3
    assert "exit code 3" in status.message
    assert status.stderr_summary == "no module named x"
    assert status.stdout_summary == "fine"
    # Blocks of other tests may still come to their end in the background.
    (record,) = [
        each for each in caplog.records if each.levelno == logging.ERROR and job_id in each.getMessage()
    ]
    assert "exit code 3" in record.getMessage()
    assert "no module named x" in record.getMessage()
    assert str(provider.resources[job_id].ref) in caplog.text


def test_a_block_that_used_up_its_time_is_no_failure(demo: LocalFacility, providers: Make):
    provider = providers(walltime="00:00:02")
    job_id = provider.submit("sleep 60", 1)
    until_state(provider, job_id, JobState.TIMEOUT, JobState.FAILED)
    assert state_of(provider, job_id) is JobState.TIMEOUT
    assert job_of(demo, job_id)["state"] == "failed"


def test_a_held_block_is_pending(demo: LocalFacility, providers: Make, caplog: pytest.LogCaptureFixture):
    provider = providers(custom_attributes={"hold": "true"})
    with caplog.at_level(logging.WARNING, "parsl"):
        job_id = provider.submit("true", 1)
        until(lambda: "held by user" in caplog.text)
    assert state_of(provider, job_id) is JobState.PENDING
    assert job_of(demo, job_id)["state"] == "held"
    assert provider.cancel([job_id]) == [True]
    until_state(provider, job_id, JobState.CANCELLED)


def test_refused_once_and_failed(demo: LocalFacility, providers: Make):
    provider = providers(queue="overnight")
    job_id = provider.submit("true", 1, "parsl.x.block-0")
    until_state(provider, job_id, JobState.FAILED)
    assert "invalid queue specified: overnight" in provider.status([job_id])[0].message
    assert provider.status([job_id])[0].stderr_summary is None
    assert asked(demo)["launchJob"] == 1


def test_an_unknown_resource_fails_before_a_job_is_asked_for(demo: LocalFacility, providers: Make):
    provider = providers(resource="clster")
    job_id = provider.submit("true", 1)
    until_state(provider, job_id, JobState.FAILED)
    assert "no resource 'clster'" in provider.status([job_id])[0].message
    assert asked(demo)["launchJob"] == 0


def test_status_is_fresh_in_order_and_knows_strangers(demo: LocalFacility, providers: Make):
    provider = providers()
    first, second = (provider.submit("sleep 60", 1, f"parsl.x.block-{n}") for n in range(2))
    until_state(provider, first, JobState.RUNNING)
    until_state(provider, second, JobState.RUNNING)
    provider.cancel([first])
    until_state(provider, first, JobState.CANCELLED)
    statuses = provider.status([second, "not mine", first])
    assert [each.state for each in statuses] == [JobState.RUNNING, JobState.FAILED, JobState.CANCELLED]
    assert all(isinstance(each, JobStatus) for each in statuses)
    statuses[0].state = JobState.MISSING  # as HTEX does
    assert state_of(provider, second) is JobState.RUNNING
    assert provider.status([]) == []


def test_status_asks_nothing_and_all_blocks_cost_one_look(demo: LocalFacility, providers: Make):
    provider = providers(max_blocks=8)
    blocks = [provider.submit("sleep 60", 1, f"parsl.x.block-{n}") for n in range(8)]
    for job_id in blocks:
        until_state(provider, job_id, JobState.RUNNING)
    demo.reset_requests()
    began = time.monotonic()
    for _ in range(2000):
        provider.status(blocks)
    while time.monotonic() - began < 3:
        time.sleep(0.1)
    looks = asked(demo)
    assert looks["getJob"] == 0
    assert 1 <= looks["getJobs"] <= 16  # a look every 0.2 s at the most, however many blocks and calls
    assert set(looks) <= {"getJobs"}

    assert provider.cancel(blocks) == [True] * 8
    for job_id in blocks:
        until_state(provider, job_id, JobState.CANCELLED)
    demo.reset_requests()
    for _ in range(20):
        provider.status(blocks)
        time.sleep(0.05)
    assert demo.requests() == []  # what has ended is not asked for again


def test_cancel_of_what_has_ended_or_is_not_ours(demo: LocalFacility, providers: Make):
    provider = providers()
    job_id = provider.submit("true", 1)
    until_state(provider, job_id, JobState.COMPLETED)
    demo.reset_requests()
    assert provider.cancel([job_id, "not mine"]) == [True, False]
    assert provider.cancel([]) == []
    assert demo.requests() == []
    assert state_of(provider, job_id) is JobState.COMPLETED


def test_blocks_of_two_runs_are_two_jobs(demo: LocalFacility, providers: Make):
    one, other = providers(), providers()
    ids = {each.submit("true", 1, "parsl.x.block-0") for each in (one, one, other)}
    assert len(ids) == 3
    until(lambda: len([job for job in demo.jobs() if job["name"] in ids]) == 3)


def test_cancel_of_a_block_on_its_way(monkeypatch: pytest.MonkeyPatch, providers: Make):
    with LocalFacility(submit_delay=2.0, kill_grace=0.5) as slow:
        lead_to(monkeypatch, "slow", slow)
        provider = providers("slow")
        began = time.monotonic()
        job_id = provider.submit("sleep 60", 1)
        assert time.monotonic() - began < 1.8
        until(lambda: asked(slow)["launchJob"] or asked(slow)["getResources"])
        time.sleep(0.5)
        assert provider.cancel([job_id]) == [True]
        until_state(provider, job_id, JobState.CANCELLED)
        (job,) = slow.jobs()
        assert job["state"] == "canceled"


def test_cancel_waits_no_longer_than_it_may_and_goes_on(monkeypatch: pytest.MonkeyPatch, providers: Make):
    with LocalFacility(submit_delay=2.0, kill_grace=0.5) as slow:
        lead_to(monkeypatch, "slow", slow)
        provider = providers("slow", cmd_timeout=0.3)
        job_id = provider.submit("sleep 60", 1)
        began = time.monotonic()
        assert provider.cancel([job_id]) == [False]
        assert time.monotonic() - began < 1
        assert state_of(provider, job_id) is JobState.PENDING
        until_state(provider, job_id, JobState.CANCELLED)
        assert [job["state"] for job in slow.jobs()] == ["canceled"]
        assert asked(slow)["cancelJob"] == 1
