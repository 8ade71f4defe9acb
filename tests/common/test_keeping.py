"""Canceling, adopting and cleaning: whose job is ended, what is left standing, what the ledger says after."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from jobs_world import ScriptedDialect, ScriptedJobs, status

from iri_common import (
    Facility,
    FileLedger,
    Grant,
    GrantExceeded,
    JobKey,
    JobLost,
    JobRef,
    JobState,
    NotOffered,
    PermissionDenied,
    Principal,
    Refused,
    Resource,
    SubmitUncertain,
    Unreachable,
    UsageError,
    WaitTimeout,
)
from iri_common.facility import canceling, jobs, services
from iri_common.facility.doors import Door
from iri_common.facility.jobs import JobService
from iri_common.facility.settings import make_settings
from iri_common.jobs.generations import Newest
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.outcome import Done
from iri_common.model.reservation import reserved_at
from iri_common.model.streams import resource_of
from iri_local_facility import LocalFacility

FOREVER = {"executable": "/bin/sleep", "arguments": ["600"]}
TRUE = {"executable": "/bin/true"}
KEY = JobKey.of("keep", 1)
NAME = KEY.job_name("probe")


# --------------------------------------------------------------------------------- at a facility of paper


@dataclass
class Machine(ScriptedJobs):
    """Jobs that can be looked at and ended one by one; ``refusing`` is what cancel raises, by job."""

    canceled: list[str] = field(default_factory=list)
    refusing: dict[str, Exception] = field(default_factory=dict)

    async def status(self, resource_id, job_id):
        return Done(self.listed[job_id][1] if job_id in self.listed else status("missing"))

    async def cancel(self, resource_id, job_id):
        if job_id in self.refusing:
            raise self.refusing[job_id]
        self.canceled.append(job_id)
        return Done(None)


CPU = Resource("id-1", "cpu", endpoints=frozenset({"compute"}))


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def service(machine, monkeypatch, tmp_path) -> JobService:
    async def resources():
        return Done((CPU,))

    async def incidents():
        raise NotOffered("no word on incidents")

    dialect = ScriptedDialect(machine, settle="lookup", files="none")
    dialect.status = SimpleNamespace(resources=resources, incidents=incidents)
    lab = Door(dialect, "lab")
    monkeypatch.setattr(services, "open_door", lambda settings: lab)
    return JobService(make_settings("https://facility.example/api/v2", name="lab"), FileLedger(tmp_path))


def record(key: JobKey = KEY, stage: Stage = Stage.ACCEPTED, job: str | None = None, **words) -> LedgerRecord:
    ref = words.pop("ref", JobRef("facility.example", "iri", "id-1", key, job))
    words = {"name": key.job_name("probe"), **words}
    return LedgerRecord(key.identity, key.generation, stage, str(ref), "digest", time.time(), **words)


@pytest.mark.parametrize("order", [("1", "2"), ("2", "1")])
async def test_the_one_that_lives_is_found_beside_a_double_of_its_name(service, machine, order) -> None:
    told = {"1": (NAME, status("active")), "2": (NAME, status("failed", 211))}
    machine.listed = {job: told[job] for job in order}
    await service.cancel(KEY)
    assert machine.canceled == ["1"]
    machine.listed = {job: told[job] for job in order}
    assert [(each.job_id, each.status.state) for each in await service.mine()] == [("1", JobState.ACTIVE)]


async def test_the_ledger_will_do_for_a_list_of_mine_unless_the_facility_must_be_seen(
    service, machine, monkeypatch
) -> None:
    async def away(*_, **__):
        raise Unreachable("no answer")

    await service.ledger.write(record(job="1"))
    machine.listed = {"1": (NAME, status("active"))}
    assert [each.status.state for each in await service.mine(seen=True)] == [JobState.ACTIVE]
    monkeypatch.setattr(machine, "list", away)
    assert [(each.job_id, each.status) for each in await service.mine()] == [("1", None)]
    with pytest.raises(Unreachable):
        await service.mine(seen=True)


async def test_one_that_cannot_be_canceled_does_not_save_the_others(service, machine) -> None:
    machine.listed = {job: (NAME, status("queued")) for job in "123"}
    machine.refusing["1"] = PermissionDenied("not yours")
    with pytest.raises(PermissionDenied):
        await service.cancel(KEY)
    assert machine.canceled == ["2", "3"]


async def test_one_that_has_ended_is_no_trouble(service, machine) -> None:
    await service.ledger.write(record(job="1"))
    machine.listed = {"1": (NAME, status("completed", 0)), "2": (NAME, status("queued"))}
    machine.refusing["1"] = Refused("it has ended")
    await service.cancel(KEY)
    assert machine.canceled == ["2"]


async def test_a_refusal_to_end_what_lives_is_told(service, machine) -> None:
    machine.listed = {"1": (NAME, status("active"))}
    machine.refusing["1"] = Refused("not now")
    with pytest.raises(Refused, match="not now"):
        await service.cancel(KEY)


async def test_a_known_job_is_canceled_where_the_list_fails(service, machine) -> None:
    await service.ledger.write(record(job="1"))
    machine.listed["1"] = (NAME, status("active"))
    machine.looking = [PermissionDenied("no lists today")]
    with pytest.raises(PermissionDenied):
        await service.cancel(KEY)
    assert machine.canceled == ["1"]


async def test_a_key_ends_its_own_generation_and_later_ones(service, machine) -> None:
    keys = [KEY, KEY.next(), KEY.next().next()]
    machine.listed = {str(n): (key.job_name(None), status("active")) for n, key in enumerate(keys)}
    machine.listed["other"] = (JobKey.of("keep", 2).job_name(None), status("active"))
    await service.cancel(keys[1])
    assert machine.canceled == ["1", "2"]


async def test_a_reference_ends_its_own_generation_alone(service, machine) -> None:
    await service.ledger.write(record(KEY.next(), job="1"))
    machine.listed = {"0": (NAME, status("active")), "1": (KEY.next().job_name(None), status("active"))}
    await service.cancel(JobRef("facility.example", "iri", "id-1", KEY))
    assert machine.canceled == ["0"]


async def test_again_does_not_end_what_another_asked_for_meanwhile(service, machine, monkeypatch) -> None:
    machine.listed = {"1": (NAME, status("active"))}

    async def slow(*args):
        """Two ask again at once: while this one looks, the other one is through."""
        machine.listed["2"] = (KEY.next().job_name("probe"), status("active"))
        await service.ledger.write(replace(record(KEY.next(), job="2"), spec_digest=""))
        return Newest(1, job_id="1")

    monkeypatch.setattr(jobs, "newest", slow)
    asked = await service.ask(TRUE, key=KEY, again=True)
    assert asked.ref.job_id == "2"
    assert machine.canceled == ["1"]


async def test_a_key_of_another_facility_ends_nothing_here(service, machine) -> None:
    ref = JobRef("elsewhere.example", "iri", "id-1", KEY, "1")
    await service.ledger.write(record(ref=ref))
    machine.listed["1"] = ("somebody else's", status("active"))
    with pytest.raises(UsageError, match=r"elsewhere\.example"):
        await service.cancel(KEY)
    assert machine.canceled == []


async def test_in_doubt_and_nothing_to_be_done_is_said(service) -> None:
    await service.ledger.write(record(stage=Stage.UNCERTAIN))
    with pytest.raises(SubmitUncertain, match="cancel again later"):
        await service.cancel(KEY)


async def test_what_was_asked_for_stays_guarded_when_it_is_adopted(service, machine) -> None:
    await service.ledger.write(record(stage=Stage.UNCERTAIN, guarded=True, sends=2))
    machine.listed["7"] = (None, status("active"))
    ref = await service.adopt("7", key=KEY)
    told = await service.ledger.read(KEY)
    assert (told.stage, told.guarded, told.sends, told.name, told.ref) == (
        Stage.ACCEPTED,
        True,
        2,
        NAME,
        str(ref),
    )


async def test_the_job_that_works_is_adopted_in_place_of_its_double(service, machine) -> None:
    machine.listed |= {"9": (None, status("active")), "11": (None, status("failed", 211))}
    double = JobRef("facility.example", "iri", "id-1", KEY, "11", once="lock-lookup")
    await service.ledger.write(record(ref=double, guarded=True, sends=2, before=("7",)))
    service.door.standing.dialect = SimpleNamespace(accounts=SimpleNamespace(known_user="ada"))
    with pytest.raises(JobLost, match="may be it: 9; if one is, adopt it") as lost:
        await service.wait(str((await service.ledger.read(KEY)).ref))
    assert lost.value.candidates == ("9",)
    assert lost.value.principal == Principal("ada", "ada")
    ref = await service.adopt("9", key=KEY)
    told = await service.ledger.read(KEY)
    assert (told.ref, told.stage, told.guarded, ref.once) == (str(ref), Stage.ACCEPTED, True, "lock-lookup")
    with pytest.raises(UsageError, match="has a job already"):
        await service.adopt("11", key=KEY)


@pytest.mark.parametrize(
    ("once", "followed"), [("lock-snapshot", "9"), ("none-snapshot", "11"), (None, "11")]
)
async def test_a_number_counts_back_only_from_a_job_with_a_guard(service, machine, once, followed) -> None:
    """Without a ledger: a program's own 217 is no double, and the job two ids before is somebody else's."""
    service.door.dialect.grades = replace(service.door.dialect.grades, guard="lock", settle="snapshot")
    machine.listed |= {"9": (None, status("completed", 0)), "11": (None, status("failed", 217))}
    ref = JobRef("facility.example", "iri", "id-1", KEY, "11", once=once)
    found, ended = await service._waited(str(ref), 60, None, False)
    assert (found.job_id, ended.exit_code) == (followed, 0 if followed == "9" else 217)


async def test_the_record_of_another_generation_says_nothing_of_a_guard(service, machine) -> None:
    service.door.dialect.grades = replace(service.door.dialect.grades, guard="lock", settle="snapshot")
    machine.listed |= {"9": (None, status("completed", 0)), "11": (None, status("failed", 217))}
    await service.ledger.write(record(KEY.next(), job="12", guarded=True))
    ref = JobRef("facility.example", "iri", "id-1", KEY, "11", once="none-snapshot")
    assert (await service.wait(str(ref), timeout=60)).exit_code == 217


@pytest.mark.parametrize(("code", "guarded"), [(3, True), (211, False)])
async def test_nothing_is_adopted_in_place_of_a_job_that_is_no_double(
    service, machine, code, guarded
) -> None:
    machine.listed |= {"9": (None, status("active")), "11": (None, status("failed", code))}
    await service.ledger.write(record(job="11", guarded=guarded))
    with pytest.raises(UsageError, match="has a job already"):
        await service.adopt("9", key=KEY)


@pytest.mark.parametrize("stage", [Stage.SENT, Stage.ACCEPTED])
async def test_nothing_is_adopted_under_a_time_that_is_past(service, machine, stage) -> None:
    newer = record(KEY.next(), stage)
    await service.ledger.write(newer)
    machine.listed["7"] = (None, status("active"))
    with pytest.raises(UsageError, match="next generation"):
        await service.adopt("7", key=KEY)
    assert await service.ledger.read(KEY) == newer


async def test_nothing_is_adopted_in_the_middle_of_a_submit(service, machine, monkeypatch) -> None:
    monkeypatch.setattr(canceling, "_PAUSES", (0.0,))
    machine.listed["7"] = (None, status("active"))
    await service.ledger.claim(KEY, "somebody", 60.0)
    with pytest.raises(WaitTimeout):
        await service.adopt("7", key=KEY)
    assert await service.ledger.read(KEY) is None


async def test_an_end_is_not_written_over_what_came_after(service) -> None:
    """A waiter that slept between its look and its note must not forget the next generation."""
    seen, newer = record(job="1"), record(KEY.next(), Stage.SENT)
    await service.ledger.write(newer)
    assert not await service._amend(seen, replace(seen, stage=Stage.SETTLED))
    assert await service.ledger.read(KEY) == newer
    assert await service.ledger.claim(KEY, "next", 1.0)  # and nothing stays claimed


async def test_no_guard_is_removed_where_live_jobs_have_no_names(service, machine) -> None:
    machine.listed["1"] = (None, status("active"))
    old = replace(record(stage=Stage.SETTLED), written_at=0.0)
    await service.ledger.write(old)
    with pytest.raises(NotOffered, match="by name"):
        await service.clean()
    assert await service.ledger.read(KEY) == old


async def test_records_of_the_live_and_the_doubtful_are_kept(service, machine) -> None:
    keys = {word: JobKey.of("clean", word) for word in ("live", "doubt", "ended", "young")}
    stages = {"doubt": Stage.UNCERTAIN}
    for word, key in keys.items():
        made = record(key, stages.get(word, Stage.SETTLED))
        await service.ledger.write(made if word == "young" else replace(made, written_at=0.0))
    machine.listed["1"] = (keys["live"].next().job_name(None), status("queued"))
    assert (await service.clean(dry_run=True)).records == 1
    assert (await service.clean()).records == 1
    left = {each.identity for each in await service.ledger.records()}
    assert left == {keys[word].identity for word in ("live", "doubt", "young")}


@pytest.mark.parametrize("resource", [reserved_at("machine"), resource_of("redis")])
async def test_no_machine_is_asked_for_what_is_leased(service, machine, monkeypatch, resource) -> None:
    made = record(JobKey.of("lease"), Stage.ACCEPTED)
    ref = replace(JobRef.parse(made.ref), resource_id=resource)
    await service.ledger.write(replace(made, ref=str(ref), written_at=0.0))
    asked: list[str] = []

    async def tagged(self, place: str, **words: bool) -> list[str]:
        asked.append(place)
        return []

    monkeypatch.setattr(type(service), "_tagged", tagged)
    await service.clean()
    assert len(asked) == 1
    assert resource not in asked
    assert await service.ledger.read(JobKey.of("lease")) is not None


# ------------------------------------------------------------------------------- at one that runs the jobs


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=8) as facility:
        yield facility


@pytest.fixture
def facility(place: LocalFacility, tmp_path: Path) -> Iterator[Facility]:
    yield make(place, tmp_path)
    place.clear_faults()


def make(place: LocalFacility, tmp_path: Path, ledger: str = "ledger", **words) -> Facility:
    words = {"token": place.token, "poll_seconds": 0.1, "directory": str(place.home), **words}
    return Facility(place.base_url, ledger=FileLedger(tmp_path / ledger), **words)


def running(facility: Facility, ref: JobRef) -> JobRef:
    deadline = time.monotonic() + 60
    while facility.jobs.status(ref).state is not JobState.ACTIVE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return ref


def doubt(facility: Facility, tmp_path: Path, ref: JobRef) -> None:
    """As if the reply to its submit had been lost."""
    (path,) = (tmp_path / "ledger").glob(f"{ref.key.digest}.json")
    text = path.read_text().replace('"accepted"', '"uncertain"').replace(f"job={ref.job_id}&", "")
    path.write_text(text)


def test_a_guard_directory_by_the_name_of_a_machine_is_where_a_cancel_leaves_its_mark(
    place, tmp_path
) -> None:
    root = place.home / "guards"
    os.makedirs(root, exist_ok=True)
    facility = make(place, tmp_path, per_resource={"cluster": {"guard_directory": str(root)}})
    hold = place.order("hold")
    ref = facility.jobs.submit(TRUE, key=JobKey.of("keep", "root"))
    hidden = place.order("missing", job=ref.job_id)
    doubt(facility, tmp_path, ref)
    facility.jobs.cancel(ref.key)
    assert (root / ref.key.digest / "1.owner").is_dir()
    place.clear_faults(hidden)
    place.clear_faults(hold)
    assert facility.jobs.wait(ref, timeout=60).exit_code == 214


def test_who_may_neither_cancel_nor_delete_leaves_the_guards_alone(facility, place, tmp_path) -> None:
    narrow = make(place, tmp_path, grant=Grant(verbs={"submit"}))
    ref = facility.jobs.submit(TRUE, key=JobKey.of("keep", "narrow"))
    assert facility.jobs.wait(ref, timeout=60).exit_code == 0
    with pytest.raises(GrantExceeded, match=r"to delete \(jobs clean\)"):
        narrow.jobs.clean(older_than=0)
    assert narrow.jobs.clean(older_than=0, dry_run=True).directories
    later = ref.key.next()
    with pytest.raises(GrantExceeded, match=r"to cancel \(jobs cancel\)"):
        narrow.jobs.cancel(later)
    assert facility.jobs.wait(facility.jobs.submit(TRUE, key=later), timeout=60).exit_code == 0


def test_nobody_waits_where_the_grant_lets_nobody_look(facility, place, tmp_path) -> None:
    ref = facility.jobs.submit(TRUE, key=JobKey.of("keep", "elsewhere"))
    elsewhere = make(place, tmp_path, grant=Grant(resources={"elsewhere"}))
    with pytest.raises(GrantExceeded, match="jobs status at cluster"):
        elsewhere.jobs.wait(ref, timeout=60)


def test_a_guard_that_cannot_be_marked_does_not_save_the_job(facility, place) -> None:
    ref = running(facility, facility.jobs.submit(FOREVER, key=JobKey.of("keep", "mkdir")))
    place.order("status", "mkdir", status=403, when="before", times=None)
    facility.jobs.cancel(ref.key)
    assert facility.jobs.wait(ref, timeout=60).state is JobState.CANCELED


@pytest.mark.parametrize("word", ["executable", "arguments", "pre_launch", "post_launch"])
def test_what_is_behind_the_guard_is_not_changed(facility, place, word) -> None:
    place.order("hold")
    ref = facility.jobs.submit(TRUE, key=JobKey.of("keep", "update", word))
    place.reset_requests()
    with pytest.raises(UsageError, match=word):
        facility.jobs.update(ref, {word: ["a"] if word == "arguments" else "/bin/false"})
    assert not place.requests("updateJob")
    facility.jobs.cancel(ref)


def test_a_double_that_is_ended_before_it_begins_is_not_the_end_of_the_work(
    facility, place, tmp_path
) -> None:
    key = JobKey.of("keep", "double")
    work = running(facility, facility.jobs.submit({"executable": "/bin/sleep", "arguments": ["3"]}, key=key))
    place.order("hold")
    other = make(place, tmp_path, "other", token=place.token)
    double = other.jobs.submit({**TRUE, "name": "another body, another key"}, key=JobKey.of("keep", "x"))
    (path,) = (tmp_path / "ledger").glob(f"{key.digest}.json")
    text = path.read_text().replace('"sends": 1', '"sends": 2')
    path.write_text(text)
    held = work.with_job(double.job_id)
    other.jobs.cancel(double)
    assert facility.jobs.wait(held, timeout=60).state is JobState.COMPLETED
    assert (
        facility.jobs.ask({"executable": "/bin/sleep", "arguments": ["3"]}, key=key).ref.job_id == work.job_id
    )
