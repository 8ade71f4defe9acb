"""A facility that shows ids and nothing else: what a lost reply comes to, and whose job is never taken."""

from __future__ import annotations

import pytest
from jobs_world import failing, status
from submit_door import KEY, Door, lose_the_reply, takes_it_and_loses_the_reply

from iri_common import AmbiguousReply, JobRef, SubmitUncertain, TransientError
from iri_common.jobs.guards import GuardFiles
from iri_common.jobs.testimony import come_between, worker_of
from iri_common.model.ledger import Stage


def another_comes_and_ours_is_lost(jobs, ask):
    jobs.listed["theirs"] = (None, status("queued"))
    return failing(AmbiguousReply, "reply lost")


def test_what_is_there_before_is_written_down_before_the_request() -> None:
    door = Door(settle="snapshot")
    door.jobs.listed = {"7": (None, status("active")), "8": (None, status("completed", 0))}
    assert door.ask().job_id == "3"
    assert [each.before for each in door.ledger.written[:2]] == [("7", "8"), ("7", "8")]
    assert door.jobs.asks[0].key is None


@pytest.mark.parametrize("guarded", [True, False])
def test_the_job_of_another_ask_is_not_taken_for_this_one(guarded) -> None:
    """One new id proves nothing: whoever submits beside this makes one too."""
    door = Door(another_comes_and_ours_is_lost, settle="snapshot")
    if guarded:
        assert door.ask(guarded=True).job_id == "2"  # harmless: a double would end by itself
        assert len(door.jobs.asks) == 2
        return
    with pytest.raises(SubmitUncertain, match="that may be it: theirs; if one is, adopt it") as told:
        door.ask()
    assert told.value.candidates == ("theirs",)
    assert len(door.jobs.asks) == 1


def test_without_a_guard_new_ids_are_named_and_nothing_is_sent_again() -> None:
    door = Door(takes_it_and_loses_the_reply, settle="snapshot")
    door.jobs.listed["7"] = (None, status("active"))
    with pytest.raises(SubmitUncertain) as told:
        door.ask()
    assert told.value.candidates == ("2",)
    left = door.ledger.records[KEY.identity]
    assert (left.stage, left.before) == (Stage.UNCERTAIN, ("7",))


def test_what_was_there_before_is_known_after_a_crash() -> None:
    door = Door(settle="snapshot")
    door.remember(Stage.SENT, before=("7",))
    door.jobs.listed = {"7": (None, status("active")), "9": (None, status("queued"))}
    with pytest.raises(SubmitUncertain) as told:
        door.ask()
    assert told.value.candidates == ("9",)


def test_without_a_list_before_there_are_no_candidates() -> None:
    away = failing(TransientError, "away", "getJobs")
    door = Door(lose_the_reply, looking=[away], settle="snapshot")
    door.jobs.listed["7"] = (None, status("active"))
    with pytest.raises(SubmitUncertain) as told:
        door.ask()
    assert told.value.candidates == ()


@pytest.mark.parametrize(
    ("listed", "candidates"),
    [
        ({"5": 0, "7": None, "9": 0}, ("9",)),
        ({"5": 0, "7": None, "9": None}, ("9",)),
        ({"5": 0, "7": None, "9": 0, "10": 0}, ("9", "10")),
        ({"5": 0, "7": None, "9": 211, "10": 0}, ("10",)),
        ({"5": 0, "7": None, "12": 0}, ()),  # it came after
        ({"5": 0, "7": None}, ()),
        ({"5": 0, "7": None, "9": 0, "a-b": 0}, ()),
    ],
)
async def test_jobs_that_came_before_a_double_are_told_and_none_is_followed(listed, candidates) -> None:
    door = Door(settle="snapshot")
    ended = {None: status("active")}
    door.jobs.listed = {
        each: (None, ended.get(code) or status("failed" if code else "completed", code))
        for each, code in {**listed, "11": 211}.items()
    }
    ref = JobRef("host", "iri", "machine", KEY, "11")
    guards = GuardFiles(door.dialect, nowhere)
    assert await worker_of(ref, door.dialect, guards) is None
    assert await come_between(ref, door.jobs, before=("5", "7")) == candidates


@pytest.mark.parametrize(
    ("settle", "job_id", "code", "worker"),
    [
        ("snapshot", "11", 216, "10"),
        ("snapshot", "42.server", 247, "10.server"),
        ("snapshot", "11", 211, None),
        ("snapshot", "11", 226, None),  # there is no job 0
        ("snapshot", "a-b", 216, None),
        ("none", "11", 216, None),  # its guard does not count
    ],
)
async def test_a_counted_double_tells_which_job_works(settle, job_id, code, worker) -> None:
    door = Door(settle=settle, guard="lock")
    ref = JobRef("host", "iri", "machine", KEY, job_id)
    found = await worker_of(ref, door.dialect, GuardFiles(door.dialect, nowhere), code)
    assert (found.job_id if found else None) == worker
    assert not door.jobs.asks


async def nowhere() -> None:
    """No place to read guards at."""
