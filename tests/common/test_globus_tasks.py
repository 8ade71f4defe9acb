"""What looks at tasks of Globus mean, and how a wait for one goes: tables, and a model of Transfer."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common.model.errors import AuthError, Conflict, TransferError, Unreachable, UsageError
from iri_common.model.outcome import Done
from iri_common.model.transfer import CollectionEnd, Move, TaskState, TransferRequest, TransferTask
from iri_common.policy.collections import shown, to_collection
from iri_common.policy.globus_tasks import (
    DAY,
    FATAL,
    Meaning,
    TaskPace,
    deadline,
    got_on,
    label_of,
    seen,
)
from iri_common.transfers.globus import GlobusRoad
from iri_common.transfers.globus_poller import CHUNK, TaskPoller
from iri_common.transfers.trip import Trip

ACTIVE = TransferTask("t", TaskState.ACTIVE)


# ------------------------------------------------------------------------------------------ meaning


@pytest.mark.parametrize(
    ("task", "meaning"),
    [
        (ACTIVE, Meaning.GOES_ON),
        (replace(ACTIVE, code="CONNECTION_RESET", healthy=False), Meaning.GOES_ON),
        (replace(ACTIVE, code="FILE_NOT_FOUND", healthy=True), Meaning.GOES_ON),
        (replace(ACTIVE, code="FILE_NOT_FOUND", healthy=False), Meaning.DOOMED),
        (replace(ACTIVE, code="QUOTA_EXCEEDED"), Meaning.DOOMED),
        (replace(ACTIVE, state=TaskState.INACTIVE), Meaning.PAUSED),
        (replace(ACTIVE, state=TaskState.UNKNOWN, code="FILE_NOT_FOUND"), Meaning.GOES_ON),
        (replace(ACTIVE, state=TaskState.SUCCEEDED), Meaning.WHOLE),
        (replace(ACTIVE, state=TaskState.SUCCEEDED, skipped_errors=2), Meaning.HOLES),
        (replace(ACTIVE, state=TaskState.FAILED, code="FILE_NOT_FOUND"), Meaning.FAILED),
    ],
)
def test_two_looks_that_show_the_same(task: TransferTask, meaning: Meaning) -> None:
    assert seen(task, seen(task)).meaning is meaning
    if meaning is Meaning.DOOMED:
        assert seen(task).meaning is Meaning.GOES_ON  # one look is not enough


def test_a_fault_that_goes_or_changes_begins_anew() -> None:
    missing = replace(ACTIVE, code="FILE_NOT_FOUND", healthy=False)
    full = replace(ACTIVE, code="NO_SPACE_LEFT", healthy=False)
    sight = seen(missing)
    for task in (full, missing, ACTIVE, missing):
        sight = seen(task, sight)
        assert sight.meaning is Meaning.GOES_ON
    assert seen(missing, sight).meaning is Meaning.DOOMED
    assert "CONNECTION_RESET" not in FATAL


@given(st.floats(0, 1e6), st.floats(0, 1, exclude_max=True))
def test_looks_are_neither_hasty_nor_rare(since: float, chance: float) -> None:
    delay = TaskPace().delay(since, chance)
    assert 4 <= delay <= 72
    assert TaskPace().delay(since + 10, chance) >= delay


def test_what_globus_is_told() -> None:
    assert (
        label_of("0123456789abcdef", "fedcba9876543210") == "iri-workflows 0123456789abcdef fedcba9876543210"
    )
    assert len(label_of("x" * 200, "y")) == 128
    assert deadline(1000.0, 0) == 1000.0 + DAY
    assert deadline(0.0, 10**14) > 5 * DAY
    assert got_on(None, seen(ACTIVE))
    assert not got_on(seen(ACTIVE), seen(ACTIVE))
    assert got_on(seen(ACTIVE), seen(replace(ACTIVE, bytes_done=1)))


# -------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("root", "base", "path", "inner"),
    [
        ("/", "/", "/a/b", "/a/b"),
        ("/", "/", "/", "/"),
        ("/gpfs", "/", "/gpfs/a b/c", "/a b/c"),
        ("/gpfs/", "/", "/gpfs", "/"),
        ("/gpfs", "/data", "/gpfs/x", "/data/x"),
        ("/gpfs", "/", "/gpfs/../etc", None),
        ("/gpfs", "/", "/gpfsx/a", None),
        ("/gpfs", "/", "gpfs/a", None),
        ("/", "/base", "/../..", "/base/"),
        ("/", "/", "/nul\0", None),
    ],
)
def test_a_path_as_the_collection_shows_it(root: str, base: str, path: str, inner: str | None) -> None:
    end = CollectionEnd("c", root, base)
    assert shown(end, path) is (inner is not None)
    if inner is not None:
        assert to_collection(end, path) == inner
        return
    with pytest.raises(UsageError, match="not among the files"):
        to_collection(end, path)


@given(st.text(min_size=1, max_size=30))
def test_no_path_leads_out_of_the_base(path: str) -> None:
    end = CollectionEnd("c", "/gpfs", "/data")
    if shown(end, f"/gpfs/{path}"):
        inner = to_collection(end, f"/gpfs/{path}")
        assert inner == "/data/" or inner.startswith("/data/")
        assert ".." not in inner.split("/")


# ------------------------------------------------------------------------------------------- a wait


class Model:
    """Transfer as a table of tasks; each look takes the next of a task's documents, the last one stays."""

    def __init__(self, *documents: TransferTask | Exception) -> None:
        self.documents = list(documents)
        self.asked: Counter[str] = Counter()
        self.submitted: dict[str, TransferRequest] = {}
        self.sizes: list[int] = []

    mendable = True

    def remedy(self, collections: Sequence[str]) -> str:
        return f"log in for {' and '.join(collections)}"

    async def new_submission(self) -> Done[str]:
        self.asked["new_submission"] += 1
        return Done(f"s{self.asked['new_submission']}")

    async def submit(self, request: TransferRequest, submission_id: str) -> Done[str]:
        self.asked["submit"] += 1
        self.submitted[submission_id] = request
        return Done(f"task of {submission_id}")

    async def tasks(self, task_ids: Sequence[str]) -> Done[Mapping[str, TransferTask]]:
        self.asked["tasks"] += 1
        self.sizes.append(len(task_ids))
        document = self.documents.pop(0) if len(self.documents) > 1 else self.documents[0]
        if isinstance(document, Exception):
            raise document
        return Done({each: replace(document, task_id=each) for each in task_ids})

    async def find(self, label: str) -> Done[Sequence[TransferTask]]:
        self.asked["find"] += 1
        return Done([replace(ACTIVE, task_id="found")])

    async def why(self, task_id: str) -> Done[str]:
        self.asked["why"] += 1
        return Done("the endpoint says why")

    async def cancel(self, task_id: str) -> Done[None]:
        self.asked["cancel"] += 1
        return Done(None)


class Memory:
    """Notes in a dictionary."""

    transfer = "0123456789abcdef"

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.durable_before: list[dict[str, Any]] = []

    def get(self, name: str) -> Any:
        return self.kept.get(name)

    def put(self, name: str, value: Any) -> None:
        self.kept[name] = value

    async def durable(self) -> None:
        self.durable_before.append(dict(self.kept))


class Meter:
    """Sums."""

    def __init__(self) -> None:
        self.bytes, self.kept_bytes, self.whole = 0, 0, 0

    async def spend(self, count: int) -> None: ...

    def moved(self, count: int, name: str = "") -> None:
        self.bytes += count

    def kept(self, count: int) -> None:
        self.kept_bytes += count

    def landed(self, move: Move, sha256: str | None = None) -> None:
        self.whole += 1


MOVES = [Move("/a", "/b", 100, 1.0), Move("/c", "/d", 50, 2.0)]
DONE = replace(ACTIVE, state=TaskState.SUCCEEDED, bytes_done=150)


def carried(
    virtual: Any, model: Model, notes: Memory | None = None, moves: Sequence[Move] = MOVES, **options: Any
) -> Meter:
    meter = Meter()
    road = GlobusRoad(model, CollectionEnd("x"), CollectionEnd("y"), **options)
    virtual.run(road.carry(moves, Trip(meter, notes or Memory())))
    return meter


def test_progress_is_told_and_ends_at_the_whole(virtual: Any) -> None:
    model = Model(ACTIVE, replace(ACTIVE, bytes_done=70), replace(ACTIVE, bytes_done=500), DONE)
    meter = carried(virtual, model)
    assert (meter.bytes, meter.kept_bytes, meter.whole) == (150, 0, 2)
    (request,) = model.submitted.values()
    assert request.items == (("/a", "/b", False), ("/c", "/d", False))


def test_the_submission_is_on_the_disk_before_it_is_sent(virtual: Any) -> None:
    notes = Memory()

    class Sent(Model):
        async def submit(self, request: TransferRequest, submission_id: str) -> Done[str]:
            assert {"submission": submission_id} in notes.durable_before[-1].values()
            return await super().submit(request, submission_id)

    carried(virtual, Sent(DONE), notes)


def test_what_was_done_before_a_restart_is_not_counted_as_moved(virtual: Any) -> None:
    notes, model = Memory(), Model(replace(ACTIVE, bytes_done=90), DONE)
    carried(virtual, Model(DONE), notes)
    meter = carried(virtual, model, notes)
    assert (meter.bytes, meter.kept_bytes, model.asked["submit"]) == (60, 90, 0)


def test_a_source_that_changed_is_another_errand(virtual: Any) -> None:
    notes, model = Memory(), Model(DONE)
    carried(virtual, model, notes)
    carried(virtual, model, notes, [replace(MOVES[0], mtime=9.0), MOVES[1]])
    assert model.asked["submit"] == 2


@pytest.mark.parametrize("noted", [True, False])
def test_what_an_earlier_try_asked_for_is_ended_before_something_else_is(virtual: Any, noted: bool) -> None:
    """A sync that was killed finds some files in place, and asks for the others."""
    notes = Memory()

    class Killed(Model):
        async def tasks(self, task_ids: Sequence[str]) -> Done[Mapping[str, TransferTask]]:
            raise RuntimeError

        async def submit(self, request: TransferRequest, submission_id: str) -> Done[str]:
            task = await super().submit(request, submission_id)
            if not noted:
                raise RuntimeError
            return task

    class Slow(Model):
        async def submit(self, request: TransferRequest, submission_id: str) -> Done[str]:
            assert (self.asked["cancel"], self.asked["tasks"], self.asked["find"]) == (1, 3, not noted)
            return await super().submit(request, submission_id)

    with pytest.raises(RuntimeError):
        carried(virtual, Killed(ACTIVE), notes)
    model = Slow(ACTIVE, ACTIVE, replace(DONE, state=TaskState.FAILED), DONE)
    assert carried(virtual, model, notes, MOVES[1:]).whole == 1
    assert carried(virtual, model, notes, MOVES[1:]).whole == 1
    assert model.asked["submit"] == 1


def test_a_whole_tree_is_one_item(virtual: Any) -> None:
    model = Model(DONE)
    carried(virtual, model, tree=("/from", "/to"))
    (request,) = model.submitted.values()
    assert request.items == (("/from", "/to", True),)


def test_a_task_that_cannot_get_on_is_ended_and_the_next_try_is_another(virtual: Any) -> None:
    notes, model = Memory(), Model(replace(ACTIVE, code="NO_SPACE_LEFT", healthy=False))
    with pytest.raises(TransferError, match="NO_SPACE_LEFT: the endpoint says why"):
        carried(virtual, model, notes)
    assert (model.asked["tasks"], model.asked["cancel"]) == (2, 1)
    model.documents = [DONE]
    carried(virtual, model, notes)
    assert list(model.submitted) == ["s1", "s2"]


def test_a_success_with_holes_is_a_failure_that_counts_them(virtual: Any) -> None:
    with pytest.raises(TransferError, match="left out 3 because of errors"):
        carried(virtual, Model(replace(DONE, skipped_errors=3)))


def test_a_conflict_with_what_is_over_adopts_nothing(virtual: Any) -> None:
    class Taken(Model):
        async def submit(self, request: TransferRequest, submission_id: str) -> Done[str]:
            raise Conflict("a transfer with identical paths has not yet completed")

        async def find(self, label: str) -> Done[Sequence[TransferTask]]:
            return Done([replace(DONE, task_id="an old one")])

    notes = Memory()
    with pytest.raises(TransferError, match="another task of Globus moves files to the same paths"):
        carried(virtual, Taken(DONE), notes)
    assert {"submission": "s1"} in notes.kept.values()


def test_a_paused_task_is_said_once_and_waited_for(virtual: Any, caplog: pytest.LogCaptureFixture) -> None:
    paused = replace(ACTIVE, state=TaskState.INACTIVE)
    with caplog.at_level(logging.WARNING):
        meter = carried(virtual, Model(*[paused] * 5, ACTIVE, DONE))
    (record,) = caplog.records
    assert "If it asks for a login or a consent: log in for x and y" in record.getMessage()
    assert meter.whole == 2


@pytest.mark.parametrize(
    "trouble", [replace(ACTIVE, state=TaskState.INACTIVE), Unreachable("away"), AuthError("run this")]
)
def test_what_stands_too_long_is_left_to_globus(virtual: Any, trouble: Any) -> None:
    notes, model = Memory(), Model(trouble)
    begun = virtual.time()
    with pytest.raises(TransferError, match="goes on with it"):
        carried(virtual, model, notes, limit=600.0)
    assert 600 <= virtual.time() - begun < 700
    assert model.asked["cancel"] == 0
    model.documents = [DONE]
    assert carried(virtual, model, notes).whole == 2
    assert model.asked["submit"] == 1


def test_a_credential_that_stays_what_it_is_is_told_of_at_once(virtual: Any) -> None:
    notes, model = Memory(), Model(ACTIVE, AuthError("expired"))
    model.mendable = False
    begun = virtual.time()
    with pytest.raises(
        AuthError, match=r"expired\. Task task of s1 of Globus was left as it is; .* goes on with it"
    ):
        carried(virtual, model, notes)
    assert virtual.time() - begun < 10
    model.documents = [DONE]
    assert carried(virtual, model, notes).whole == 2
    assert (model.asked["submit"], model.asked["cancel"]) == (1, 0)


def test_a_short_outage_is_waited_out(virtual: Any) -> None:
    assert carried(virtual, Model(Unreachable("away"), Unreachable("away"), DONE), limit=600.0).whole == 2


def test_a_task_that_nobody_sees_is_said(virtual: Any) -> None:
    class Blind(Model):
        async def tasks(self, task_ids: Sequence[str]) -> Done[Mapping[str, TransferTask]]:
            return Done({})

    with pytest.raises(TransferError, match="sees no task"):
        carried(virtual, Blind(DONE))


def test_nothing_to_move_asks_for_nothing(virtual: Any) -> None:
    model = Model(DONE)
    carried(virtual, model, moves=[])
    assert not model.asked


def test_two_hundred_waiters_cost_a_few_requests(virtual: Any) -> None:
    model = Model(*[ACTIVE] * 12, DONE)
    poller = TaskPoller(model)

    async def wait(number: int) -> None:
        pace = TaskPace()
        while (await poller.look(f"t{number}", pace.delay(0, (number * 0.37) % 1))).state is TaskState.ACTIVE:  # type: ignore[union-attr]
            pass

    async def everybody() -> None:
        await asyncio.gather(*(wait(number) for number in range(200)))

    virtual.run(everybody())
    assert max(model.sizes) == CHUNK
    assert model.asked["tasks"] <= 24


def test_those_who_look_often_make_nobody_else_look_too_soon(virtual: Any) -> None:
    poller, looked = TaskPoller(Model(ACTIVE)), list[float]()

    async def some() -> None:
        async def often() -> None:
            while True:
                await poller.look("often", 0.1)

        hurry = asyncio.create_task(often())
        for _ in range(3):
            await poller.look("calm", 5.0)
            looked.append(virtual.time())
        hurry.cancel()
        await asyncio.wait([hurry])

    begun = virtual.time()
    virtual.run(some())
    assert [time - begun for time in looked] == pytest.approx([2.5, 5.0, 7.5], abs=0.4)


def test_a_waiter_that_goes_does_not_hold_up_the_others(virtual: Any) -> None:
    poller = TaskPoller(Model(DONE))

    async def some() -> None:
        gone = asyncio.create_task(poller.look("gone", 100.0))
        stays = asyncio.create_task(poller.look("stays", 1.0))
        await asyncio.sleep(0)
        gone.cancel()
        seen = await stays
        assert seen is not None
        assert seen.state is TaskState.SUCCEEDED
        assert (await poller.look("again", 0.0)) is not None  # and it can begin anew

    virtual.run(some())
