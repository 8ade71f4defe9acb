"""A copy or a move whose answer was lost may wait in a queue yet: a retry looks, and does not ask again."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowTaskTimeout, TaskDeferred
from airflow_connections import connection_to
from airflow_versions import needs_store

from airflow_provider_iri import IriFileOperator, doubts, files
from airflow_provider_iri.doubts import Fate, Look, fate
from airflow_provider_iri.errands import Errand
from airflow_provider_iri.errors import TaskFailed

A = {"a": 1, "b": 2}
HALF = {"a": 1}
WHOLE = Look(A, A, "new")


@pytest.mark.parametrize(
    ("operation", "was", "before", "now", "expected"),
    [
        ("cp", None, None, Look(A, None), Fate.OPEN),  # in a queue, or never taken
        ("cp", None, Look(A, None), Look(A, None), Fate.OPEN),
        ("cp", None, Look(A, HALF, "new"), Look(A, HALF, "new"), Fate.OPEN),
        ("cp", None, None, WHOLE, Fate.OPEN),  # who knows what is written to it yet
        ("cp", None, Look(A, HALF, "new"), WHOLE, Fate.OPEN),
        ("cp", None, WHOLE, WHOLE, Fate.DONE),
        ("cp", "old", WHOLE, WHOLE, Fate.DONE),
        ("cp", "new", WHOLE, WHOLE, Fate.OPEN),  # it was as large before
        ("cp", None, None, Look(None, A, "new"), Fate.LOST),
        ("cp", None, None, Look(None, None), Fate.LOST),
        ("mv", None, None, Look(A, None), Fate.OPEN),
        ("mv", None, WHOLE, WHOLE, Fate.OPEN),  # the source goes last
        ("mv", None, None, Look(HALF, A, "new"), Fate.OPEN),
        ("mv", None, None, Look(None, A, "new"), Fate.DONE),
        ("mv", None, None, Look(None, None), Fate.LOST),
    ],
)
def test_what_two_looks_tell(
    operation: str, was: str | None, before: Look | None, now: Look, expected: Fate
) -> None:
    assert fate(operation, was, before, now) is expected


ASKS = {"cp": "firecrestTransferCp", "mv": "firecrestTransferMv"}
DEFERRABLE = pytest.mark.parametrize("deferrable", [True, False], ids=["triggerer", "worker"])
OPERATION = pytest.mark.parametrize("operation", ["cp", "mv"])


class Queue:
    """A facility whose copies and moves wait in its queue; the answer to the first one is lost."""

    def __init__(self, facility: Any, own: Path) -> None:
        self.facility, self.own = facility, own

    def operator(self, operation: str, **more: Any) -> IriFileOperator:
        where = {"path": str(self.own / "in"), "target": str(self.own / "out")}
        return IriFileOperator(task_id="task", operation=operation, **where, **more)

    def asked(self, operation: str) -> int:
        return len(self.facility.requests(ASKS[operation]))

    def found(self) -> list[str]:
        return sorted(str(each.relative_to(self.own)) for each in self.own.rglob("*"))


@pytest.fixture
def queue(demo, connect, monkeypatch) -> Iterator[Queue]:
    own = demo.scratch / uuid.uuid4().hex
    (own / "in" / "deep").mkdir(parents=True)
    (own / "in" / "deep" / "x").write_text("x")
    connect("iri_default", connection_to(demo, host=demo.firecrest_url, extra={"dialect": "firecrest"}))
    for job in ("CopyFiles", "MoveFiles"):
        demo.order("hold", job=job, times=None)
    for operation in ASKS.values():
        demo.order("lose_reply", operation, times=1)
    monkeypatch.setattr(files, "AT_ONCE", 0.0)
    monkeypatch.setattr(doubts, "PAUSE", 0.2)
    yield Queue(demo, own)
    demo.clear_faults()


def lose(queue: Queue, task, operation: str, **more: Any) -> None:
    with pytest.raises(AirflowException, match="whether it took effect is unknown"):
        task.execute(queue.operator(operation, **more))
    assert queue.asked(operation) == 1


DONE = {"cp": ["in", "in/deep", "in/deep/x", "out", "out/deep", "out/deep/x"]}
DONE["mv"] = ["out", "out/deep", "out/deep/x"]


@needs_store
@OPERATION
@DEFERRABLE
def test_what_waits_in_a_queue_is_not_asked_for_again(
    queue: Queue, task, operation: str, deferrable: bool
) -> None:
    lose(queue, task, operation)
    retry = queue.operator(operation, deferrable=deferrable)
    later = threading.Timer(1.0, queue.facility.clear_faults)
    if deferrable:
        with pytest.raises(TaskDeferred) as caught:
            task.begin(retry)
        later.start()
        assert task.resume(retry, caught.value) is None
    else:
        later.start()
        assert task.begin(retry) is None
    later.join()
    assert queue.asked(operation) == 1
    assert queue.found() == DONE[operation]
    assert task.store["iri_file"]["doubt"] is None


@needs_store
@OPERATION
def test_a_worker_that_died_at_it_is_no_answer(queue: Queue, task, operation: str, monkeypatch) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(IriFileOperator, "_call", die)
        with pytest.raises(KeyboardInterrupt):
            task.begin(queue.operator(operation))
    with pytest.raises(TaskDeferred) as caught:
        task.begin(queue.operator(operation))
    assert type(caught.value.trigger).__name__ == "IriDoubtTrigger"
    assert queue.asked(operation) == 0


@needs_store
@OPERATION
def test_what_is_not_seen_fails_each_try_until_a_person_clears_it(
    queue: Queue, task, operation: str, monkeypatch
) -> None:
    lose(queue, task, operation)
    monkeypatch.setattr(doubts, "QUIET", 0.3)
    for _ in range(2):
        with pytest.raises(TaskFailed, match="unless a person clears this task"):
            task.execute(queue.operator(operation))
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout is over"):
        task.execute(queue.operator(operation, execution_timeout=timedelta(milliseconds=100)))
    assert queue.asked(operation) == 1
    task.ti.max_tries += 1
    with pytest.raises(TaskDeferred):
        task.begin(queue.operator(operation))
    assert queue.asked(operation) == 2


@needs_store
@OPERATION
def test_what_was_refused_is_asked_for_again(queue: Queue, task, operation: str) -> None:
    queue.facility.clear_faults()
    queue.facility.order("status", ASKS[operation], status=403, times=1)
    with pytest.raises(AirflowException):
        task.execute(queue.operator(operation))
    assert task.execute(queue.operator(operation)) is None
    assert queue.found() == DONE[operation]
    assert queue.asked(operation) == 2


@needs_store
def test_what_an_older_version_remembers_is_read(task) -> None:
    errand = Errand(task.context, "errand", "a")
    errand.note(ref="r", left=True)
    kept = dict(task.store["errand"])
    del kept["doubt"]
    dict.__setitem__(task.store, "errand", kept)
    assert Errand(task.context, "errand", "a").record.doubt is None
