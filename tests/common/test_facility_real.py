"""The Facility before a facility that really runs jobs: what it sends, what it tells, what it keeps."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iri_common import (
    AuthError,
    ClientCredentials,
    Facility,
    FileLedger,
    JobAttributes,
    JobFailed,
    JobKey,
    JobRef,
    JobSpec,
    JobState,
    NotFound,
    SubmitUncertain,
    Unreachable,
    UsageError,
    WaitTimeout,
    token_from_file,
)
from iri_local_facility import LocalFacility

FOREVER = {"executable": "/bin/sleep", "arguments": ["600"]}


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=16) as facility:
        yield facility


@pytest.fixture
def facility(place: LocalFacility, tmp_path: Path) -> Facility:
    place.reset_requests()
    return make(place, tmp_path)


def make(place: LocalFacility, tmp_path: Path, **words) -> Facility:
    words = {"token": place.token, "poll_seconds": 0.1, "directory": str(place.home), **words}
    return Facility(place.base_url, ledger=FileLedger(tmp_path / "ledger"), **words)


def shell(text: str, **words) -> dict:
    return {"executable": "/bin/sh", "arguments": ["-c", text], **words}


def record_of(place: LocalFacility, ref: JobRef) -> dict:
    (record,) = [each for each in place.jobs() if each["id"] == ref.job_id]
    return record


def nobody_asks_any_more(place: LocalFacility) -> None:
    time.sleep(0.3)
    seen = len(place.requests("getJob"))
    time.sleep(0.4)
    assert len(place.requests("getJob")) == seen


def await_state(facility: Facility, ref: JobRef, *states: str) -> None:
    deadline = time.monotonic() + 60
    while facility.jobs.status(ref).state not in states:
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --------------------------------------------------------------------------------------------- jobs


def test_a_job_runs_and_its_words_come_back(facility: Facility, place: LocalFacility) -> None:
    result = facility.jobs.run(shell("echo out; echo err >&2", name="hello"))
    assert result.status.succeeded
    assert facility.jobs.tail(result.ref) == "out\n"
    assert facility.jobs.tail(str(result.ref), "stderr") == "err\n"
    record = record_of(place, result.ref)
    assert (record["state"], record["exit_code"]) == ("completed", 0)
    assert record["name"].startswith("hello.")


def test_a_failed_job_tells_exit_code_and_last_words(facility: Facility) -> None:
    with pytest.raises(JobFailed) as caught:
        facility.jobs.run(shell("for i in $(seq 50); do echo line $i >&2; done; exit 7"))
    error = caught.value
    assert error.job_status.exit_code == 7
    assert "exit code 7" in str(error)
    assert error.stderr_tail.splitlines() == [f"line {n}" for n in range(31, 51)]
    assert "line 50" in str(error)
    assert error.ref.job_id
    facility.jobs.require_success(error.ref, facility.jobs.run(shell("true")).status)


def test_states_are_told_in_the_callers_thread(facility: Facility) -> None:
    told = []
    facility.jobs.run(
        shell("sleep 0.5"), on_change=lambda status: told.append((status.state, threading.get_ident()))
    )
    assert [state for state, _ in told][-2:] == ["active", "completed"]
    assert {thread for _, thread in told} == {threading.get_ident()}


async def test_states_are_told_on_the_callers_loop(facility: Facility) -> None:
    loop, told = asyncio.get_running_loop(), []

    def tell(status) -> None:
        assert asyncio.get_running_loop() is loop
        told.append(status.state)

    await facility.aio.jobs.run(shell("sleep 0.5"), on_change=tell)
    assert told[-2:] == ["active", "completed"]


def test_an_error_of_the_caller_while_it_is_told_ends_the_wait_not_the_job(facility, place) -> None:
    ref = facility.jobs.submit(FOREVER)

    def fail(status) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        facility.jobs.wait(ref, on_change=fail)
    nobody_asks_any_more(place)
    assert record_of(place, ref)["state"] == "active"
    facility.jobs.cancel(ref)


def test_a_wait_has_a_limit_and_the_job_does_not_notice(facility: Facility, place: LocalFacility) -> None:
    ref = facility.jobs.submit(FOREVER)
    with pytest.raises(WaitTimeout) as caught:
        facility.jobs.wait(ref, timeout=0.4)
    assert caught.value.ref == ref
    assert caught.value.transient
    assert record_of(place, ref)["state"] == "active"
    facility.jobs.cancel(ref)
    assert facility.jobs.wait(ref).state is JobState.CANCELED


def test_an_interrupted_wait_leaves_the_job(facility: Facility, place: LocalFacility) -> None:
    ref = facility.jobs.submit(FOREVER)
    await_state(facility, ref, "active")

    def interrupt(number, frame) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(KeyboardInterrupt):
            facility.jobs.wait(ref)
    finally:
        signal.signal(signal.SIGUSR1, before)
    nobody_asks_any_more(place)
    assert record_of(place, ref)["state"] == "active"
    assert not place.requests("cancelJob")
    facility.jobs.cancel(ref)


async def test_a_cancelled_task_leaves_the_job(facility: Facility, place: LocalFacility) -> None:
    ref = await facility.aio.jobs.submit(FOREVER)
    waiting = asyncio.create_task(facility.aio.jobs.wait(ref))
    await asyncio.sleep(0.4)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert record_of(place, ref)["state"] == "active"
    await facility.aio.jobs.cancel(ref)


def test_a_job_that_waits_can_be_changed_and_is_found_after(facility: Facility, place) -> None:
    held = JobAttributes(custom_attributes={"hold": "true"})
    key = JobKey.of("held", time.time_ns())
    ref = facility.jobs.submit(JobSpec(**shell("true"), attributes=held), key=key)
    await_state(facility, ref, "held")
    changes = {"name": "renamed", "attributes": {"duration": 77, "custom_attributes": {"hold": "false"}}}
    facility.jobs.update(ref, changes)
    assert facility.jobs.wait(ref).succeeded
    assert record_of(place, ref)["duration"] == 77
    assert facility.jobs.find(key).job_id == ref.job_id
    assert facility.jobs.find(key.next()) is None


@pytest.mark.parametrize("changes", [{}, {"colour": "blue"}, {"attributes": {"duratoin": 5}}, {"name": ""}])
def test_an_update_of_nothing_or_nonsense_is_not_sent(facility: Facility, place, changes) -> None:
    ref = facility.jobs.run(shell("true")).ref
    with pytest.raises(UsageError):
        facility.jobs.update(ref, changes)
    assert not place.requests("updateJob")


def test_a_job_that_is_not_there_is_missing(facility: Facility) -> None:
    ref = facility.jobs.run(shell("true")).ref
    assert facility.jobs.status(ref.with_job("999999")).state is JobState.MISSING
    with pytest.raises(NotFound):
        facility.jobs.cancel(ref.with_job("999999"))
    assert facility.jobs.tail(ref.with_job("999999")) == ""
    with pytest.raises(UsageError):
        facility.jobs.tail(ref, "stdin")
    with pytest.raises(UsageError):
        facility.jobs.tail(ref, lines=0)


# ---------------------------------------------------------------------------------------- bad input

BAD_SPECS = [
    {},
    {"executable": ""},
    {"executable": "x", "colour": "blue"},
    {"executable": "x", "arguments": "a b"},
    {"executable": "x", "arguments": [1]},
    {"executable": "x", "arguments": ["nul\0"]},
    {"executable": "x", "attributes": {"duration": -1}},
    {"executable": "x", "attributes": {"duration": 0}},
    {"executable": "x", "attributes": {"duration": 1.5}},
    {"executable": "x", "attributes": {"duratoin": 10}},
    {"executable": "x", "attributes": {"queue_name": ""}},
    {"executable": "x", "resources": {"node_count": 0}},
    {"executable": "x", "resources": {"node_count": "2"}},
    {"executable": "x", "resources": {"nodes": 2}},
    {"executable": "x", "environment": {"A B": "c"}},
    {"executable": "x", "environment": {"A": 1}},
    {"executable": "x", "name": "a/b"},
    {"executable": "x", "directory": ""},
    "echo hello",
    None,
]


@pytest.mark.parametrize("spec", BAD_SPECS, ids=repr)
def test_a_bad_spec_sends_nothing_at_all(facility: Facility, place: LocalFacility, spec) -> None:
    with pytest.raises(UsageError):
        facility.jobs.submit(spec)
    with pytest.raises(UsageError):
        asyncio.run(facility.aio.jobs.run(spec))
    assert place.requests() == []


def test_a_key_that_is_none_sends_nothing(facility: Facility, place: LocalFacility) -> None:
    with pytest.raises(UsageError, match="JobKey"):
        facility.jobs.submit(FOREVER, key="my key")
    assert place.requests() == []


@pytest.mark.parametrize("ref", ["", "42", "iri+job://", "iri+job://x/iri/m", "http://x/iri/m/k.1"])
def test_a_bad_reference_sends_nothing(facility: Facility, place: LocalFacility, ref: str) -> None:
    for call in (facility.jobs.status, facility.jobs.wait, facility.jobs.result, facility.jobs.cancel):
        with pytest.raises(UsageError):
            call(ref)
    assert place.requests() == []


def test_a_resource_that_is_not_there_names_those_that_are(facility: Facility, place) -> None:
    with pytest.raises(UsageError, match=r"no resource 'custer'; for compute it has: cluster"):
        facility.jobs.submit(FOREVER, resource="custer")
    with pytest.raises(UsageError, match="cluster, scratch"):
        facility.files.ls("/", storage="custer")
    assert not place.requests("launchJob")
    assert facility.jobs.submit(shell("true"), resource="CLUSTER").job_id


# ------------------------------------------------------------------------------------- doors, tokens


def test_fifty_first_calls_fetch_one_token(place: LocalFacility, tmp_path: Path) -> None:
    place.reset_requests()
    client = ClientCredentials(place.token_url, place.client_id, place.client_secret)
    facility = make(place, tmp_path, token=client)

    async def all_at_once():
        return await asyncio.gather(*(facility.aio.accounts.whoami() for _ in range(50)))

    assert set(asyncio.run(all_at_once())) == {place.user}
    assert len(place.requests("token")) == 1
    assert len(place.requests("whoami")) == 50


def test_fifty_first_submits_read_the_resources_once(place: LocalFacility, tmp_path: Path) -> None:
    facility = make(place, tmp_path, token=place.new_token())
    place.reset_requests()

    async def all_at_once():
        return await asyncio.gather(
            *(facility.aio.jobs.submit(FOREVER, key=JobKey.of("once", "for all")) for _ in range(20))
        )

    refs = asyncio.run(all_at_once())
    assert len(set(refs)) == 1
    assert len(place.requests("getResources")) == 1
    assert len(place.requests("launchJob")) == 1
    facility.jobs.cancel(refs[0])


def test_two_facilities_that_mean_the_same_share_the_poller(place: LocalFacility, tmp_path: Path) -> None:
    token = place.new_token()
    one, two = (make(place, tmp_path, token=token, name=name) for name in ("one", "two"))
    refs = [one.jobs.submit(shell("sleep 1.2")) for _ in range(8)]
    place.reset_requests()
    ends: list[bool] = []

    def wait(facility: Facility, ref: JobRef) -> None:
        ends.append(facility.jobs.wait(ref).succeeded)

    threads = [
        threading.Thread(target=wait, args=(each, ref), daemon=True) for each in (one, two) for ref in refs
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    ticks = (time.monotonic() - began) / 0.1 + 2
    assert ends == [True] * 16
    assert len(place.requests("getJobs")) <= ticks
    assert len(place.requests("getJob")) <= 8 + ticks


def test_a_refused_token_says_whose_and_what_to_do(place: LocalFacility, tmp_path: Path) -> None:
    secret = "t0ken-that-nobody-knows"
    facility = make(place, tmp_path, token=secret, name="lab")
    with pytest.raises(AuthError) as caught:
        facility.jobs.submit(FOREVER)
    text = str(caught.value)
    assert "a given token" in text
    assert "Get a new token" in text
    assert "lab" in text
    assert secret not in text
    assert secret not in repr(vars(caught.value))


def test_a_token_that_is_revoked_while_waiting_ends_neither_the_wait_nor_the_job(
    place, tmp_path: Path, caplog
) -> None:
    secret = tmp_path / "token"
    secret.touch(mode=0o600)
    secret.write_text(place.new_token())
    facility = make(place, tmp_path, token=token_from_file(secret))
    ref = facility.jobs.submit(shell("sleep 1.5"))
    threading.Timer(0.5, place.revoke, (secret.read_text(),)).start()
    threading.Timer(3.0, secret.write_text, (place.new_token(),)).start()
    assert facility.jobs.wait(ref, timeout=60).succeeded
    assert caplog.text.count(f"put a new token into the token file {secret}; it is read again by itself") == 1


def test_a_wait_with_a_limit_keeps_it_when_its_token_dies(place, tmp_path: Path) -> None:
    token = place.new_token()
    facility = make(place, tmp_path, token=token)
    ref = facility.jobs.submit(shell("sleep 1.5"))
    threading.Timer(0.5, place.revoke, (token,)).start()
    with pytest.raises(WaitTimeout):
        facility.jobs.wait(ref, timeout=3)
    assert make(place, tmp_path).jobs.wait(ref).succeeded


def test_a_token_that_was_never_good_ends_the_wait_unless_it_is_patient(place, tmp_path: Path) -> None:
    ref = make(place, tmp_path).jobs.submit(shell("sleep 0.2"))
    stranger = make(place, tmp_path, token="n0t-a-token")
    with pytest.raises(AuthError):
        stranger.jobs.wait(ref, timeout=60)
    with pytest.raises(WaitTimeout):
        stranger.jobs.wait(ref, timeout=1, patient=True)


def test_a_wrong_client_secret_is_an_auth_error_and_nothing_is_uncertain(place, tmp_path: Path) -> None:
    client = ClientCredentials(place.token_url, place.client_id, "wr0ng-s3cret")
    with pytest.raises(AuthError, match="Check client id and secret") as caught:
        make(place, tmp_path, token=client).jobs.submit(FOREVER)
    assert not isinstance(caught.value, SubmitUncertain)
    assert "wr0ng" not in str(caught.value)


def test_a_facility_that_is_not_there_says_what_was_tried(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("iri_common.policy.retry.backoff", lambda *args: 0.01)
    facility = Facility("http://127.0.0.1:9/api/v2", token="t", ledger=FileLedger(tmp_path))
    with pytest.raises(Unreachable) as caught:
        facility.jobs.submit(FOREVER)
    text = str(caught.value)
    assert "http://127.0.0.1:9/api/v2/status/resources" in text
    assert "after 5 attempts" in text
    assert "Check the URL" in text
    assert caught.value.transient


def test_certificates_and_proxies_that_cannot_be_used_are_told_in_words(place, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.pem"):
        make(place, tmp_path, ca_file=str(tmp_path / "missing.pem")).status.resources()
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(UsageError, match="ca_file"):
        make(place, tmp_path, ca_file=str(tmp_path / "empty.pem")).status.resources()
    with pytest.raises(UsageError, match="proxy") as caught:
        make(place, tmp_path, proxy="gopher://me:passw0rd@proxy:1").status.resources()
    assert "passw0rd" not in str(caught.value)


def test_a_blocking_call_on_the_io_loop_is_refused_not_hung(facility: Facility) -> None:
    class Careless:
        identity, renewable = "careless", False

        async def fetch(self, send):
            facility.jobs.wait(ref, on_change=print)

    ref = facility.jobs.run(shell("true")).ref
    with pytest.raises(AuthError, match="await the async face"):
        Facility(facility.url, token=Careless()).accounts.whoami()


# ---------------------------------------------------------------------------------- defaults, ledger


def test_defaults_reach_the_job(place: LocalFacility, tmp_path: Path) -> None:
    facility = make(
        place,
        tmp_path,
        account="demo",
        queue="regular",
        per_resource={"cluster": {"queue": "debug", "directory": str(place.scratch), "pre_launch": "A=1"}},
    )
    plain = record_of(place, facility.jobs.run(shell('test "$A" = 1; pwd')).ref)
    assert (plain["queue"], plain["account"]) == ("debug", "demo")
    assert plain["request"]["directory"] == str(place.scratch)
    own = shell("pwd", directory=str(place.home), attributes={"queue_name": "regular", "account": "beamline"})
    mine = record_of(place, facility.jobs.run(own).ref)
    assert (mine["queue"], mine["account"]) == ("regular", "beamline")
    assert mine["request"]["directory"] == str(place.home)


def test_the_ledger_holds_nothing_of_the_spec_and_no_token(facility, place, tmp_path: Path) -> None:
    spec = shell(": passw0rd-in-arguments", environment={"DB_PASSWORD": "passw0rd-in-environment"})
    facility.jobs.run(spec, key=JobKey.of("secret", time.time_ns()))
    files = list((tmp_path / "ledger").iterdir())
    assert len(files) == 1
    content = files[0].read_text()
    assert "passw0rd" not in content
    assert place.token not in content


def test_without_a_key_every_ask_is_its_own_with_one_it_is_the_same(facility, place: LocalFacility) -> None:
    first, second = facility.jobs.submit(shell("true")), facility.jobs.submit(shell("true"))
    assert first.job_id != second.job_id
    key = JobKey.of("same", time.time_ns())
    before = len(place.requests("launchJob"))
    refs = {facility.jobs.submit(shell("true"), key=key) for _ in range(3)}
    assert len(refs) == 1
    assert len(place.requests("launchJob")) == before + 1
    assert facility.jobs.find(key).job_id == refs.pop().job_id


# ------------------------------------------------------------------------------------ other services


def test_files(facility: Facility, place: LocalFacility) -> None:
    files, top = facility.files, place.home / "files"
    files.mkdir(f"{top}/a/b")
    (top / "text").write_text("1\n2\n3\n")
    assert {entry.name for entry in files.ls(str(top))} == {"a", "text"}
    assert files.stat(f"{top}/text").size == 6
    assert files.head(f"{top}/text", lines=1).content == "1\n"
    assert files.tail(f"{top}/text", lines=1).content == "3\n"
    files.cp(f"{top}/text", f"{top}/copy")
    files.mv(f"{top}/copy", f"{top}/a/moved")
    files.chmod(f"{top}/a/moved", 0o600)
    assert (top / "a/moved").stat().st_mode & 0o777 == 0o600
    assert files.checksum(f"{top}/a/moved").value == files.checksum(f"{top}/text").value
    files.rm(str(top))
    assert not top.exists()


def test_status_accounts_and_storage(facility: Facility, place: LocalFacility) -> None:
    assert facility.status.facility().short_name == "local"
    assert [site.short_name for site in facility.status.sites()] == ["desk"]
    assert facility.status.resource().name == "cluster"
    incident = place.incident(resource="cluster", status="degraded")
    assert incident["id"] in {each.id for each in facility.status.incidents(resource="cluster")}
    assert facility.status.incidents()
    assert facility.status.events(resource="cluster")
    place.resolve_incident(incident["id"])
    assert facility.accounts.capabilities()
    project = facility.accounts.projects()[0]
    allocation = facility.accounts.allocations(project.id)[0]
    assert facility.accounts.user_allocations(project.id, allocation.id)
    assert {each.logical_name for each in facility.storage.locations()} >= {"home", "scratch"}
    facility.storage.access_endpoints()
    assert str(place.home) in {each.path for each in facility.storage.locations(logical_name="home")}
