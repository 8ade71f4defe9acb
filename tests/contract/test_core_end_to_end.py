"""A job asked for once runs once, whatever breaks in between: facility, ledger and wire are real."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from misbehaving_relay import Fault, Relay, lose, page, told, unseen

from iri_common import (
    Facility,
    FileLedger,
    JobKey,
    JobState,
    SpecChanged,
    SubmitUncertain,
    TransferError,
    UsageError,
)
from iri_local_facility import LocalFacility

SUBMIT = "POST .*/compute/job/"
LIST = r"POST .*/compute/status/"

pytestmark = pytest.mark.usefixtures("short_pauses")


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=16) as facility:
        yield facility


@pytest.fixture
def relay(place: LocalFacility) -> Iterator[Relay]:
    with Relay(place.base_url) as relay:
        yield relay


class Work:
    """A job that leaves a mark each time it really runs."""

    def __init__(self, place: LocalFacility, tmp_path: Path) -> None:
        self.key = JobKey.of("end to end", tmp_path.name, time.time_ns())
        self.marks = place.scratch / f"marks-{self.key.digest}"
        self.spec = {
            "executable": "/bin/sh",
            "arguments": ["-c", f"echo $$ >> {self.marks}; sleep 0.2"],
            "name": "marks",
        }
        self.place = place

    @property
    def jobs(self) -> list[dict]:
        return [each for each in self.place.jobs() if self.key.digest in each["name"]]

    def ran(self) -> int:
        deadline = time.monotonic() + 60
        while any(job["state"] not in ("completed", "failed", "canceled") for job in self.jobs):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return len(self.marks.read_text().splitlines()) if self.marks.exists() else 0


@pytest.fixture
def work(place: LocalFacility, tmp_path: Path) -> Work:
    return Work(place, tmp_path)


def prove_that_keys_are_kept(facility: Facility) -> None:
    facility.jobs.run({"executable": "/bin/true"})


# ------------------------------------------------------------------------------- replies that go astray

ASTRAY = {
    "lost after it was taken": lambda: lose(SUBMIT),
    "502 after it was taken": lambda: page(SUBMIT, 502),
    "503 after it was taken": lambda: page(SUBMIT, 503),
    "504 after it was taken": lambda: page(SUBMIT, 504),
    "500 after it was taken": lambda: page(SUBMIT, 500),
    "200 with a gateway's page": lambda: page(SUBMIT, 200),
    "200 with other JSON": lambda: told(SUBMIT, {"ok": True}),
    "cut in the middle": lambda: Fault(
        SUBMIT, reply=b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"id": "1'
    ),
}


@pytest.mark.parametrize("fault", ASTRAY)
def test_a_reply_that_goes_astray_is_settled_by_looking(facility, relay, work, fault) -> None:
    relay.faults.append(ASTRAY[fault]())
    ref = facility.jobs.submit(work.spec, key=work.key)
    assert facility.jobs.wait(ref).succeeded
    assert facility.jobs.submit(work.spec, key=work.key) == ref
    assert work.ran() == 1
    assert [job["id"] for job in work.jobs] == [ref.job_id]
    assert relay.asked(SUBMIT) == 1


def test_a_lost_reply_is_asked_for_again_where_looking_shows_nothing(facility, relay, work) -> None:
    prove_that_keys_are_kept(facility)
    relay.faults += [lose(SUBMIT), told(LIST, [], times=6)]
    ref = facility.jobs.submit(work.spec, key=work.key, guard=False)
    assert relay.asked(SUBMIT) == 3, "the proof, the lost one, and the one that the facility knew again"
    assert work.ran() == 1
    assert [job["id"] for job in work.jobs] == [ref.job_id]


def test_a_request_that_never_arrived_is_sent_again_where_keys_are_kept(facility, relay, work) -> None:
    prove_that_keys_are_kept(facility)
    relay.faults.append(unseen(SUBMIT))
    facility.jobs.submit(work.spec, key=work.key)
    assert work.ran() == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_service_that_broke_is_not_asked_twice_and_the_second_call_adopts(
    facility, relay, work, status
) -> None:
    prove_that_keys_are_kept(facility)
    relay.faults += [page(SUBMIT, status), told(LIST, [], times=6)]
    with pytest.raises(SubmitUncertain) as caught:
        facility.jobs.submit(work.spec, key=work.key, guard=False, on_outage="fail")
    assert caught.value.key == work.key
    assert relay.asked(SUBMIT) == 2
    ref = facility.jobs.submit(work.spec, key=caught.value.key, guard=False)
    assert work.ran() == 1
    assert [job["id"] for job in work.jobs] == [ref.job_id]
    assert relay.asked(SUBMIT) == 2


def test_a_job_that_no_list_shows_is_found_by_its_own_mark(facility, relay, work) -> None:
    relay.faults += [lose(SUBMIT), told(LIST, [], times=20)]
    ref = facility.jobs.submit(work.spec, key=work.key)
    assert relay.asked(SUBMIT) == 1
    assert [job["id"] for job in work.jobs] == [ref.job_id]
    assert work.ran() == 1


@pytest.mark.parametrize("status", [500, 504])
def test_a_guarded_request_is_asked_again_and_the_wait_follows_the_job_that_works(
    place, work, tmp_path, status
) -> None:
    with Relay(place.base_url.replace("/v2", "/v1")) as relay:  # keeps no keys, and names no home
        facility = Facility(
            relay.base_url,
            token=place.new_token(),
            poll_seconds=0.1,
            guard_directory=str(place.scratch / "guards"),
            ledger=FileLedger(tmp_path / "ledger"),
        )
        everything = {"node_count": 16}
        asked = tmp_path / "asked"
        waits = ["-c", f"until [ -e {asked} ]; do sleep 0.05; done"]
        blocker = {"executable": "/bin/sh", "arguments": waits, "resources": everything}
        first = facility.jobs.submit(blocker)
        relay.faults += [page(SUBMIT, status), told(LIST, [], times=6)]
        one_by_one = {**work.spec, "resources": everything}  # side by side, either may be first at the file
        ref = facility.jobs.submit(one_by_one, key=work.key)
        asked.touch()
        result = facility.jobs.result(ref)
        assert facility.jobs.wait(first).succeeded
    assert work.ran() == 1
    worker, double = work.jobs
    assert (worker["exit_code"], double["exit_code"]) == (0, 211)
    assert (ref.job_id, result.ref.job_id) == (double["id"], worker["id"])


def test_a_facility_that_goes_away_with_the_reply_leaves_the_key_to_adopt_it_by(
    facility, relay, work
) -> None:
    relay.faults += [lose(SUBMIT), page(LIST, 400, times=3)]
    with pytest.raises(SubmitUncertain) as caught:
        facility.jobs.submit(
            work.spec, guard=False
        )  # no key of the caller's own: the error is all that is left of it
    key = caught.value.key
    ref = facility.jobs.submit(work.spec, key=key, guard=False)
    assert facility.jobs.wait(ref).succeeded
    assert work.ran() == 1


def test_a_caller_that_gave_up_finds_its_job(facility, relay, work, place) -> None:
    relay.faults.append(Fault(SUBMIT, delay=2.0))

    async def impatient():
        async with asyncio.timeout(0.6):
            await facility.aio.jobs.submit(work.spec, key=work.key)

    with pytest.raises(TimeoutError):
        asyncio.run(impatient())
    ref = facility.jobs.submit(work.spec, key=work.key)
    assert work.ran() == 1
    assert [job["id"] for job in work.jobs] == [ref.job_id]


def test_the_same_key_for_another_spec_or_an_older_time_is_refused_without_a_request(
    facility, relay, work
) -> None:
    facility.jobs.submit(work.spec, key=work.key)
    before = relay.asked(SUBMIT)
    with pytest.raises(SpecChanged):
        facility.jobs.submit({**work.spec, "arguments": ["-c", "true"]}, key=work.key)
    second = facility.jobs.submit(work.spec, key=work.key.next())
    with pytest.raises(UsageError, match="in the past"):
        facility.jobs.submit(work.spec, key=work.key)
    assert facility.jobs.wait(second).succeeded
    assert work.ran() == 2
    assert relay.asked(SUBMIT) == before + 1


def test_a_file_that_arrives_altered_is_not_taken(facility, relay, place, tmp_path: Path) -> None:
    target = place.home / "altered"
    target.write_text("old")
    (tmp_path / "source").write_text("new")

    def alter(line: str) -> None:
        if "/filesystem/checksum/" in line:
            for part in place.home.glob("altered.*.part"):
                part.write_text("nEw")

    relay.on_request = alter
    with pytest.raises(TransferError, match="did not arrive whole"):
        facility.files.put(tmp_path / "source", str(target))
    assert target.read_text() == "old"
    assert not list(place.home.glob("*.part"))


# ------------------------------------------------------------------------------------- processes

CLIENT = """
import sys
from pathlib import Path
from iri_common import Facility, FileLedger, JobKey
url, token, ledger, directory, key, marks = sys.argv[1:]
facility = Facility(url, token=token, poll_seconds=0.1, directory=directory, ledger=FileLedger(Path(ledger)))
spec = {"executable": "/bin/sh", "arguments": ["-c", f"echo $$ >> {marks}; sleep 0.2"], "name": "marks"}
print("asking", flush=True)
ref = facility.jobs.submit(spec, key=JobKey.parse(key))
print(ref.job_id, flush=True)
"""


def client(place: LocalFacility, url: str, work: Work, tmp_path: Path) -> subprocess.Popen[str]:
    words = [url, place.token, tmp_path / "ledger", place.home, work.key, work.marks]
    command = [sys.executable, "-c", CLIENT, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_many_processes_with_one_key_are_one_job(place: LocalFacility, work: Work, tmp_path: Path) -> None:
    clients = [client(place, place.base_url, work, tmp_path) for _ in range(6)]
    told_ids = set()
    for each in clients:
        out, err = each.communicate(timeout=60)
        assert each.returncode == 0, err
        told_ids.add(out.split()[-1])
    assert len(told_ids) == 1
    assert work.ran() == 1
    assert {job["id"] for job in work.jobs} == told_ids


def test_a_process_that_is_killed_with_the_request_out_is_followed_by_one_that_finds_the_job(
    place: LocalFacility, relay: Relay, work: Work, tmp_path: Path
) -> None:
    relay.faults.append(Fault(SUBMIT, delay=30.0))
    taken = threading.Event()
    relay.on_request = lambda line: taken.set() if re.search(SUBMIT, line) else None
    first = client(place, relay.base_url, work, tmp_path)
    assert taken.wait(30)
    deadline = time.monotonic() + 60
    while not work.jobs:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    second = client(place, relay.base_url, work, tmp_path)
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert [job["id"] for job in work.jobs] == [out.split()[-1]]
    assert work.ran() == 1
    assert relay.asked(SUBMIT) == 1


# ----------------------------------------------------------------------------------------- outages


@pytest.fixture
def own_place() -> Iterator[LocalFacility]:
    with LocalFacility() as facility:
        yield facility


def test_a_facility_that_restarts_does_not_fail_the_wait(own_place: LocalFacility, tmp_path: Path) -> None:
    facility = Facility(
        own_place.base_url,
        token=own_place.token,
        poll_seconds=0.1,
        directory=str(own_place.home),
        ledger=FileLedger(tmp_path / "ledger"),
    )
    refs = [facility.jobs.submit({"executable": "/bin/sleep", "arguments": ["1.5"]}) for _ in range(4)]
    ends: list[JobState] = []
    threads = [
        threading.Thread(target=lambda ref=ref: ends.append(facility.jobs.wait(ref).state), daemon=True)
        for ref in refs
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.4)
    own_place.kill()
    time.sleep(0.5)
    own_place.restart()
    for thread in threads:
        thread.join(60)
    assert ends == [JobState.COMPLETED] * 4
    assert len(own_place.jobs()) == 4


def test_gateway_pages_while_waiting_are_waited_out(facility: Facility, relay: Relay, work: Work) -> None:
    ref = facility.jobs.submit(work.spec, key=work.key)
    relay.faults += [page("GET .*/compute/status/", 200), lose("GET .*/compute/status/")]
    told_states = []
    status = facility.jobs.wait(ref, on_change=lambda each: told_states.append(each.state))
    assert status.succeeded
    assert not relay.faults, "every fault was met"
    assert len(told_states) == len(set(told_states))
    assert work.ran() == 1


def test_nothing_is_left_of_the_test_itself(place: LocalFacility) -> None:
    for job in place.jobs():
        with contextlib.suppress(ProcessLookupError):
            if job["state"] == "completed" and job["pid"]:
                os.kill(job["pid"], 0)
                pytest.fail(f"process {job['pid']} of a completed job lives")
