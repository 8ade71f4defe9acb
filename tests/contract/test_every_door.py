"""What holds whatever API a facility speaks: the same jobs and files through each of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_shell import Shell
from doors import DOORS, Door
from misbehaving_relay import Relay, lose, page, unseen

from iri_common import Facility, JobFailed, JobKey, JobState, NotFound, Transfers, UsageError
from iri_local_facility import LocalFacility

pytestmark = [pytest.mark.timeout(90), pytest.mark.usefixtures("short_pauses")]


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    words = {name: value for each in DOORS.values() for name, value in each.start.items()}
    with LocalFacility(nodes=16, kill_grace=0.2, **words) as facility:
        yield facility


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Door:
    return DOORS[request.param]


@pytest.fixture
def relay(place: LocalFacility, door: Door) -> Iterator[Relay]:
    with Relay(door.url(place)) as between:
        yield between


@pytest.fixture
def facility(place: LocalFacility, door: Door, tmp_path: Path) -> Facility:
    return door.open(place, tmp_path)


@pytest.fixture
def filing(facility: Facility) -> Facility:
    if facility.grades.files == "none":
        pytest.skip("this API has no files")
    return facility


@pytest.fixture
def folder(place: LocalFacility, tmp_path: Path) -> Path:
    """A directory at the facility."""
    made = place.home / f"every door {tmp_path.name}"
    made.mkdir()
    return made


def shell(text: str, **words: Any) -> dict[str, Any]:
    return {"executable": "/bin/sh", "arguments": ["-c", text], "name": "every-door", **words}


def key_of(tmp_path: Path) -> JobKey:
    return JobKey.of("every door", tmp_path.name, time.time_ns())


def jobs_of(place: LocalFacility, key: JobKey) -> list[dict]:
    return [each for each in place.jobs() if each["name"].endswith(key.tag)]


# ---------------------------------------------------------------------------------------------- jobs


def test_a_job_runs_as_it_was_asked_for(facility: Facility, folder: Path, tmp_path: Path) -> None:
    odd = "a 'b' \"c\" $HOME `d` ,e|f\\g ü\n%h #i"
    spec = {
        "executable": "/usr/bin/env",
        "arguments": ["sh", "-c", 'printf "%s" "$1|$ODD|$(pwd)" > told; echo said; echo wept >&2', "sh", odd],
        "environment": {"ODD": odd},
        "directory": str(folder),
        "stdout_path": str(folder / "out"),
        "stderr_path": str(folder / "err"),
        "resources": {"node_count": 2, "process_count": 2},
        "attributes": {"duration": 120, "queue_name": "regular"},
    }
    ref = facility.jobs.submit(spec, key=key_of(tmp_path))
    status = facility.jobs.wait(ref)
    assert (status.state, status.succeeded) == (JobState.COMPLETED, True)
    assert ref.once == f"{facility.grades.guard}-{facility.grades.settle}"
    assert (folder / "told").read_text() == f"{odd}|{odd}|{folder}"
    assert ((folder / "out").read_text(), (folder / "err").read_text()) == ("said\n", "wept\n")
    assert facility.jobs.status(ref).state is JobState.COMPLETED


def test_what_a_spec_asked_for_is_what_the_scheduler_was_told(
    place: LocalFacility, facility: Facility, tmp_path: Path
) -> None:
    key = key_of(tmp_path)
    attributes = {"duration": 600, "queue_name": "debug", "account": "beamline"}
    resources = {"node_count": 2, "process_count": 4}
    facility.jobs.run(shell("true", attributes=attributes, resources=resources), key=key)
    (job,) = jobs_of(place, key)
    told = {name: job[name] for name in ("account", "queue", "duration", "node_count")}
    assert told == {"account": "beamline", "queue": "debug", "duration": 600, "node_count": 2}


@pytest.mark.parametrize(
    ("text", "exit_code"), [("echo why >&2; exit 3", 3), ("echo why >&2; kill -9 $$", None)]
)
def test_a_failure_is_told_as_one(
    facility: Facility, tmp_path: Path, text: str, exit_code: int | None
) -> None:
    with pytest.raises(JobFailed) as caught:
        facility.jobs.run(shell(text), key=key_of(tmp_path))
    status = caught.value.job_status
    assert status is not None
    assert status.reported is JobState.FAILED
    assert exit_code is None or status.exit_code == exit_code
    assert facility.grades.files == "none" or "why" in caught.value.stderr_tail


def test_a_job_over_its_time_is_no_success(door: Door, facility: Facility, tmp_path: Path) -> None:
    if door.least_seconds > 1:
        pytest.skip(f"its jobs have {door.least_seconds} seconds at the least")
    ref = facility.jobs.submit(shell("sleep 60", attributes={"duration": 1}), key=key_of(tmp_path))
    status = facility.jobs.wait(ref, timeout=75)
    assert (status.reported, status.succeeded) == (JobState.FAILED, False)
    assert status.reason is not None
    assert "time" in str(status.reason).lower()


def test_a_job_is_canceled(place: LocalFacility, facility: Facility, tmp_path: Path) -> None:
    key = key_of(tmp_path)
    ref = facility.jobs.submit(shell("sleep 60"), key=key)
    facility.jobs.cancel(ref)
    assert facility.jobs.wait(ref, timeout=60).state is JobState.CANCELED
    facility.jobs.cancel(key)  # what has ended stays so, and nobody is told off
    assert [each["state"] for each in jobs_of(place, key)] == ["canceled"]


def test_many_jobs_are_watched_by_few_requests(
    place: LocalFacility, facility: Facility, tmp_path: Path
) -> None:
    refs = [facility.jobs.submit(shell("sleep 2"), key=key_of(tmp_path)) for _ in range(8)]
    place.reset_requests()
    statuses = [facility.jobs.wait(ref) for ref in refs]
    assert all(status.succeeded for status in statuses)
    assert len(place.requests()) <= 60  # of 8 pollers at this pace there would be 160


def test_a_job_that_is_not_there_is_told_as_missing(facility: Facility, tmp_path: Path) -> None:
    ref = facility.jobs.submit(shell("true"), key=key_of(tmp_path))
    facility.jobs.wait(ref)
    assert (
        facility.jobs.status(str(ref).replace(f"job={ref.job_id}", "job=7654321")).state is JobState.MISSING
    )


# ---------------------------------------------------------------------------------------------- once

ASTRAY = {
    "lost": lambda door: lose(door.submit),
    "500": lambda door: page(door.submit, 500),
    "502": lambda door: page(door.submit, 502),
    "504": lambda door: page(door.submit, 504),
    "a page": lambda door: page(door.submit, 200),
    "never arrived": lambda door: unseen(door.submit),
}


@pytest.mark.parametrize("fault", ASTRAY)
def test_a_reply_that_goes_astray_makes_no_second_job(
    place: LocalFacility, door: Door, relay: Relay, tmp_path: Path, fault: str
) -> None:
    facility, key, marks = door.open(place, tmp_path, relay), key_of(tmp_path), tmp_path / "marks"
    relay.faults.append(ASTRAY[fault](door))
    spec = shell(f"echo $$ >> {place.scratch}/{key.digest}; sleep 0.3")
    marks = place.scratch / key.digest
    ref = facility.jobs.submit(spec, key=key)
    assert facility.jobs.result(ref).status.succeeded
    assert facility.jobs.submit(spec, key=key).key == ref.key
    _over(place, key)
    assert len(marks.read_text().splitlines()) == 1


def test_who_asks_again_without_a_ledger_finds_the_job(
    place: LocalFacility, door: Door, tmp_path: Path
) -> None:
    key, spec = key_of(tmp_path), shell("sleep 0.5")
    first = door.open(place, tmp_path / "a").jobs.submit(spec, key=key)
    again = door.open(place, tmp_path / "b").jobs.ask(spec, key=key).ref
    assert again.job_id == first.job_id
    door.open(place, tmp_path / "c").jobs.wait(again)
    assert len(jobs_of(place, key)) == 1


def test_a_double_ends_itself(place: LocalFacility, door: Door, tmp_path: Path) -> None:
    key, marks = key_of(tmp_path), place.scratch / f"double-{time.time_ns()}"
    spec = shell(f"echo $$ >> {marks}; sleep 1")
    refs = [door.open(place, tmp_path / name).jobs.submit(spec, key=key) for name in "ab"]
    results = [door.open(place, tmp_path / "c").jobs.wait(ref) for ref in refs]
    _over(place, key)
    assert len(marks.read_text().splitlines()) == 1
    assert all(each.succeeded or each.exit_code == 211 for each in results)


def _over(place: LocalFacility, key: JobKey) -> None:
    until = time.monotonic() + 60
    while any(each["state"] not in ("completed", "failed", "canceled") for each in jobs_of(place, key)):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_cannot_be_sent_fails_before_anything_is(
    place: LocalFacility, facility: Facility, tmp_path: Path
) -> None:
    place.reset_requests()
    with pytest.raises(UsageError):
        facility.jobs.submit({"executable": "/bin/true", "nonsense": 1}, key=key_of(tmp_path))
    assert not place.requests()


# -------------------------------------------------------------------------------------------- journal


def test_the_journal_is_read_back(filing: Facility, tmp_path: Path) -> None:
    ref = filing.jobs.run(shell("exit 0"), key=key_of(tmp_path)).ref
    journal = filing.jobs.journal(ref)
    assert journal is not None
    assert journal.last is not None
    assert journal.last.succeeded


# ---------------------------------------------------------------------------------------------- files


def test_files_go_there_and_back_whole(filing: Facility, folder: Path, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "x").write_bytes(content)
    sent = filing.files.put(tmp_path / "x", str(folder / "y z"))
    assert (folder / "y z").read_bytes() == content
    back = filing.files.get(str(folder / "y z"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert sent.bytes == back.bytes == len(content)
    assert [each.name for each in folder.iterdir()] == ["y z"]  # nothing is left aside


def test_a_tree_with_odd_names_goes_there_and_back(filing: Facility, folder: Path, tmp_path: Path) -> None:
    files = {"a b": b"1", "ü": b"2", "-dash": b"3", "empty": b"", "sub/ö & ;": b"4"}
    for name, content in files.items():
        (tmp_path / "t" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "t" / name).write_bytes(content)
    Transfers().copy(tmp_path / "t", filing.files.at(str(folder / "t")))
    found = {
        str(each.relative_to(folder / "t")): each for each in (folder / "t").rglob("*") if each.is_file()
    }
    assert {name: each.read_bytes() for name, each in found.items()} == files
    Transfers().copy(filing.files.at(str(folder / "t")), tmp_path / "back")
    assert {name: (tmp_path / "back" / name).read_bytes() for name in files} == files


def test_looking_around_among_files(filing: Facility, folder: Path) -> None:
    (folder / "log").write_text("one\ntwo\nthree\n")
    filing.files.mkdir(str(folder / "d"))
    entries = {each.name.rpartition("/")[2].rstrip("/"): each for each in filing.files.ls(str(folder))}
    assert {name: each.type for name, each in entries.items()} == {"log": "file", "d": "directory"}
    (folder / "d" / "raw").write_text("12345")
    for pattern in ("?/r*", "**/raw"):
        found = [(each.name, each.type, each.size) for each in filing.files.glob(f"{folder}/{pattern}")]
        assert found == [(str(folder / "d" / "raw"), "file", 5)]
    assert filing.files.stat(str(folder / "log")).size == 14
    assert filing.files.tail(str(folder / "log"), lines=1).content == "three\n"
    assert filing.files.head(str(folder / "log"), lines=1).content == "one\n"
    filing.files.mv(str(folder / "log"), str(folder / "d" / "moved"))
    filing.files.rm(str(folder / "d"))
    assert not list(folder.iterdir())
    with pytest.raises(NotFound):
        filing.files.stat(str(folder / "log"))


def test_a_log_is_followed_while_the_job_runs(filing: Facility, tmp_path: Path) -> None:
    ref = filing.jobs.submit(shell("for i in 1 2 3; do echo ü$i; sleep 0.4; done"), key=key_of(tmp_path))
    said = "".join(each.text for each in filing.jobs.follow(ref) if each.stream == "stdout")
    assert said == "ü1\nü2\nü3\n"


# ------------------------------------------------------------------------------------------- standing


def test_who_i_am_and_what_is_there(facility: Facility) -> None:
    facility.accounts.check_token()
    machines = [each for each in facility.status.resources() if each.offers("compute")]
    assert machines
    assert all(each.id for each in machines)


def test_a_request_is_shown_before_it_is_sent(place: LocalFacility, facility: Facility) -> None:
    shown = facility.jobs.preview(shell("true", environment={"SECRET": "hunter2 is secret"}))
    assert (shown.method, shown.name.startswith("every-door.")) == ("POST", True)
    assert "hunter2" not in repr(shown)
    assert "iri_" in shown.script
    assert not [each for each in place.jobs() if each["name"] == shown.name]


def test_the_doctor_finds_all_well(
    place: LocalFacility,
    door: Door,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    variables = door.variables(place, tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    said = Shell(variables, capsys)("doctor", "--hello", "--json")
    marks = {(each["topic"], each["mark"]): each["says"] for each in said.document["findings"]}
    assert said.code == 0, said.out
    assert not [says for (_, mark), says in marks.items() if mark == "fail"]
    assert ("url", "ok") in marks
