"""Which generation an ask is: after failures, crashes, changed specs, cancels, and with the ledger gone."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from asking_client import Strike
from real_clients import Clients, until
from real_world import CANCELED, Work, broken, new_key, settle, story_of

from iri_common import Facility, FileLedger, JobKey, PermissionDenied, SubmitUncertain, UsageError
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.policy.generation import GenerationStep
from iri_local_facility import LocalFacility

pytestmark = pytest.mark.usefixtures("in_a_hurry")


@pytest.fixture(params=["v2", "v1"])
def url(place: LocalFacility, request: pytest.FixtureRequest) -> str:
    return place.base_url if request.param == "v2" else f"{place.url}/api/v1"


@pytest.fixture
def work(place: LocalFacility, url: str, tmp_path: Path) -> Iterator[Work]:
    yield Work(place, url, tmp_path, new_key(tmp_path.name))
    place.clear_faults()


@pytest.fixture
def facility(work: Work) -> Facility:
    return door(work)


def door(work: Work) -> Facility:
    """A door of its own."""
    token = work.place.new_token()
    return Facility(work.url, token=token, poll_seconds=0.05, ledger=FileLedger(work.ledger))


def ask(facility: Facility, work: Work, **words) -> tuple[GenerationStep, int, str]:
    """Ask and wait: the step, the generation, how it ended."""
    asked = facility.jobs.ask(words.pop("spec", work.spec), key=work.key, **words)
    status = facility.jobs.wait(asked.ref, timeout=60)
    work.told.append({"what": "ended", "job": asked.ref.job_id, "state": str(status.reported)})
    return asked.step, asked.ref.key.generation, str(status.reported)


def generations(work: Work) -> list[int]:
    """Of the jobs that worked, in order."""
    jobs = {
        job["id"]: int(job["name"].rpartition("-")[2]) for job in settle(work.place) if "marks" in job["name"]
    }
    return [jobs[job_id] for job_id in work.worked()]


def kept(work: Work) -> None:
    listed = settle(work.place)
    assert not broken(work, listed), f"{broken(work, listed)}\n  {story_of(work, listed)}"


# ------------------------------------------------------------------------------------- the rule, for real


def test_a_real_failure_is_followed_by_the_next_and_success_by_nothing(facility, work) -> None:
    work.fails = 2
    assert ask(facility, work) == (GenerationStep.SUBMIT, 1, "failed")
    assert ask(facility, work) == (GenerationStep.RAISE, 2, "failed")
    assert ask(facility, work) == (GenerationStep.RAISE, 3, "completed")
    assert ask(facility, work) == (GenerationStep.ATTACH, 3, "completed")
    assert generations(work) == [1, 2, 3]
    kept(work)


def test_again_runs_done_work_once_more(facility, work) -> None:
    assert ask(facility, work) == (GenerationStep.SUBMIT, 1, "completed")
    assert ask(facility, work, again=True) == (GenerationStep.REPLACE, 2, "completed")
    assert ask(facility, work) == (GenerationStep.ATTACH, 2, "completed")
    assert generations(work) == [1, 2]
    kept(work)


@pytest.mark.parametrize("lost", [False, True], ids=["ledger kept", "ledger lost"])
def test_a_changed_spec_ends_the_old_job_and_runs_the_next(place, facility, work, url, lost) -> None:
    work.seconds = 60.0
    first = facility.jobs.ask(work.spec, key=work.key)
    until(work.worked, "the old job")
    if lost:
        work.lose_ledger()
    work.seconds = 0.1
    knows = not lost or url == place.base_url  # without a record only the owner file tells what was asked
    if not knows:
        assert facility.jobs.ask(work.spec, key=work.key).ref.key.generation == 1
        facility.jobs.cancel(first.ref)
        return
    assert ask(facility, work) == (GenerationStep.REPLACE, 2, "completed")
    assert [job["state"] for job in work.jobs(settle(place))] == ["canceled", "completed"]
    assert generations(work) == [1, 2]
    kept(work)


@pytest.mark.parametrize("lost", [False, True], ids=["ledger kept", "ledger lost"])
def test_a_crash_keeps_the_generation(facility, work, tmp_path, lost) -> None:
    work.fails = 1
    with Clients(tmp_path / "stories") as clients:
        work.heard(work.start(clients, Strike("after", "write accepted")))
        if lost:
            work.lose_ledger()
        # The job has failed by now perhaps; but nobody was told.
        asked = facility.jobs.ask(work.spec, key=work.key)
        facility.jobs.wait(asked.ref, timeout=60)
        if asked.step is GenerationStep.ATTACH:
            assert asked.ref.key.generation == 1
            assert ask(facility, work) == (GenerationStep.RAISE, 2, "completed")
        else:
            assert lost, "the ledger knows that it was not told"
    assert generations(work) == [1, 2]
    kept(work)


# ------------------------------------------------------------------------------------- the ledger is gone


@pytest.mark.parametrize("fails", [0, 1])
def test_rediscovered_from_the_names_of_its_jobs(work, facility, fails) -> None:
    work.fails = 1 + fails
    assert ask(facility, work)[1:] == (1, "failed")
    ends = ask(facility, work)
    work.lose_ledger()
    again = ask(door(work), work)
    assert again == ((GenerationStep.RAISE, 3, "completed") if fails else (GenerationStep.ATTACH, *ends[1:]))
    kept(work)


@pytest.mark.parametrize("fails", [0, 1])
def test_rediscovered_from_its_guards_where_the_facility_has_forgotten_its_jobs(
    place, tmp_path, fails
) -> None:
    work = Work(place, place.base_url, tmp_path, new_key(tmp_path.name), fails=1 + fails)
    facility = door(work)
    assert ask(facility, work)[1:] == (1, "failed")
    assert ask(facility, work)[1:] == (2, "failed" if fails else "completed")
    work.lose_ledger()
    for job in work.jobs():
        place.order("missing", job=job["id"])
    asked = door(work).jobs.ask(work.spec, key=work.key)
    assert asked.ref.key.generation == (3 if fails else 2)
    place.clear_faults()
    assert facility.jobs.wait(asked.ref, timeout=60).succeeded
    assert generations(work) == ([1, 2, 3] if fails else [1, 2])


def test_with_neither_names_nor_guards_to_look_at_nothing_is_sent(place, tmp_path) -> None:
    work = Work(place, f"{place.url}/api/v1", tmp_path, new_key(tmp_path.name))
    facility = door(work)
    ask(facility, work)
    work.lose_ledger()
    place.order("status", "getJobs", status=403, times=None)
    with pytest.raises(PermissionDenied):
        facility.jobs.ask(work.spec, key=work.key, on_outage="fail")
    place.clear_faults()
    assert ask(facility, work)[1] == 1
    assert generations(work) == [1]


# ------------------------------------------------------------------------------------- canceled


def test_canceled_while_uncertain_a_late_job_does_not_work(place, tmp_path) -> None:
    """The request lies at the facility while its client gives up and cancels; its job begins after that."""
    work = Work(place, place.base_url, tmp_path, new_key(tmp_path.name))
    with Clients(tmp_path / "stories") as clients:
        fault = place.order("delay", "launchJob", job=work.key.job_name("marks"), when="before", seconds=2.0)
        first = work.start(clients)
        until(
            lambda: [each for each in place.faults() if each["id"] == fault and each["struck"]], "the request"
        )
        first.kill()
        work.heard(first.wait())
    facility = door(work)
    facility.jobs.cancel(work.key)
    assert (work.guard_directory / "1.owner").is_dir()
    until(work.jobs, "the late job")
    (job,) = work.jobs(settle(place))
    assert job["exit_code"] == CANCELED
    assert not work.worked()
    assert not list((work.guard_directory / "1.owner").iterdir())
    # It was canceled, and is known to be: asked again it is the next generation.
    assert ask(facility, work) == (GenerationStep.RAISE, 2, "completed")
    assert generations(work) == [2]
    kept(work)


def test_canceled_while_uncertain_without_a_guard_says_that_it_cannot_be_done(place, tmp_path) -> None:
    work = Work(place, place.base_url, tmp_path, new_key(tmp_path.name), guard=False)
    with Clients(tmp_path / "stories") as clients:
        work.heard(work.start(clients, Strike("after", "write sent")))
    with pytest.raises(SubmitUncertain) as caught:
        door(work).jobs.cancel(work.key)
    assert caught.value.key.identity == work.key.identity


def test_canceled_before_it_runs_and_asked_again(place, facility, work) -> None:
    work.seconds = 60.0
    asked = facility.jobs.ask(work.spec, key=work.key)
    facility.jobs.cancel(work.key)
    end = facility.jobs.wait(asked.ref, timeout=60)
    assert str(end.reported) == "canceled"
    work.seconds = 0.1
    step, generation, state = ask(facility, work)
    assert (step in {GenerationStep.RAISE, GenerationStep.REPLACE}, generation, state) == (
        True,
        2,
        "completed",
    )


# ------------------------------------------------------------------------------------- adopt and clean


def test_a_job_that_was_adopted_is_whoever_asks_for_it(facility, work) -> None:
    stranger = facility.jobs.submit(work.spec)
    adopted = facility.jobs.adopt(stranger.job_id, key=work.key)
    assert adopted.job_id == stranger.job_id
    asked = facility.jobs.ask(work.spec, key=work.key)
    assert (asked.step, asked.ref.job_id) == (GenerationStep.ATTACH, stranger.job_id)
    assert facility.jobs.wait(asked.ref, timeout=60).succeeded
    assert work.worked() == [stranger.job_id]
    with pytest.raises(UsageError, match="has a job already"):
        facility.jobs.adopt(stranger.job_id, key=work.key)


def test_clean_leaves_what_lives_or_is_young(place, tmp_path) -> None:
    done = Work(place, place.base_url, tmp_path, new_key("done"))
    live = Work(place, place.base_url, tmp_path, new_key("live"), seconds=60.0)
    facility = Facility(
        place.base_url, token=place.new_token(), poll_seconds=0.05, ledger=FileLedger(tmp_path)
    )
    for each in (done, live):
        facility.jobs.ask(each.spec, key=each.key)
    until(lambda: done.worked() and live.worked(), "both")
    facility.jobs.wait(facility.jobs.ask(done.spec, key=done.key).ref, timeout=60)
    inodes = [live.guard_directory, *live.guard_directory.iterdir()]
    assert len(inodes) <= 3
    assert not [each for each in facility.jobs.clean().directories if done.key.digest in each]
    time.sleep(1.1)  # ages are told in whole seconds
    would = facility.jobs.clean(older_than=1.0, dry_run=True)
    assert [each for each in would.directories if done.key.digest in each]
    assert done.guard_directory.exists()
    facility.jobs.clean(older_than=1.0)
    assert not done.guard_directory.exists()
    assert live.guard_directory.exists()
    # What was cleaned away is found by the names of its jobs, as long as the facility keeps those.
    assert facility.jobs.ask(done.spec, key=done.key).step is GenerationStep.ATTACH
    facility.jobs.cancel(live.key)
    settle(place)
    assert len(done.worked()) == 1


# ------------------------------------------------------------------------------------- one ledger, many

PROCESSES, ROUNDS = 8, 40


def _add_one(directory: str, key: str, own: str) -> None:
    """Take the claim, add one to what is there, give the claim back; many times, between identities."""
    import asyncio

    from iri_common.jobs.ledger import claim_owner

    async def add(ledger: FileLedger, identity: JobKey) -> None:
        owner = claim_owner()
        while not await ledger.claim(identity, owner, 60.0):  # noqa: ASYNC110 - other processes' events
            await asyncio.sleep(0.002)
        record = await ledger.read(identity)
        blank = LedgerRecord(identity.identity, 1, Stage.INTENT, "", "", 0.0)
        await ledger.write(replace(record or blank, sends=(record.sends if record else 0) + 1))
        await ledger.release(identity, owner)

    async def main() -> None:
        ledger = FileLedger(Path(directory))
        for _ in range(ROUNDS):
            await add(ledger, JobKey.parse(key))
            await add(ledger, JobKey.parse(own))

    asyncio.run(main())


def test_one_ledger_for_many_processes_at_once(tmp_path: Path) -> None:
    shared, own = JobKey.of("shared"), [JobKey.of("own", str(number)) for number in range(PROCESSES)]
    context = multiprocessing.get_context("spawn")
    words = [(str(tmp_path), str(shared), str(own[number])) for number in range(PROCESSES)]
    processes = [context.Process(target=_add_one, args=each) for each in words]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    counts = Counter({path.stem: json.loads(path.read_text())["sends"] for path in tmp_path.glob("*.json")})
    assert counts == {shared.digest: PROCESSES * ROUNDS, **{each.digest: ROUNDS for each in own}}
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".json"], "nothing is left lying about"
