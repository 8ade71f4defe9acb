"""Files moved by a task: by Globus from collection to collection, or through the worker; once, and whole."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout, TaskDeferred
from airflow.sdk.io.store import attach
from airflow_versions import needs_store

from airflow_provider_iri import IriTransferOperator
from iri_common import UsageError

BY_GLOBUS = {"options": {"road": "globus"}}


def operator(source: Any, target: Any, **more: Any) -> IriTransferOperator:
    return IriTransferOperator(task_id="task", source=str(source), target=str(target), **more)


def there(places, number: int | str = "", **more: Any) -> IriTransferOperator:
    """From the facility to the beamline, over Globus."""
    return operator(places.own, f"{places.there}{number}", source_conn_id="iri_default", **BY_GLOBUS, **more)


@pytest.fixture
def scan(places) -> dict[str, bytes]:
    """A directory at the facility."""
    content = {"a.h5": os.urandom(5000), "sub/b.h5": os.urandom(10)}
    (places.own / "sub").mkdir()
    for name, words in content.items():
        (places.own / name).write_bytes(words)
    return content


def arrived(places) -> dict[str, bytes]:
    top = places.beam / places.own.name
    return {str(each.relative_to(top)): each.read_bytes() for each in top.rglob("*") if each.is_file()}


def test_globus_moves_a_directory_while_the_task_is_deferred(places, task, scan) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(there(places))
    told = task.resume(there(places), deferred.value)
    assert arrived(places) == scan
    (done,) = places.tasks()
    assert told["road"] == "globus"
    assert told["task"] == task.ti.xcoms["iri_transfer"] == done["id"]
    assert (told["files"], told["bytes"]) == (2, 5010)
    assert not {"upload", "download", "collectionGet", "collectionPut"} & set(places.asked())


@needs_store
@pytest.mark.parametrize("noted", [True, False])
def test_a_retry_goes_on_with_the_task_of_globus(
    places, task, scan, monkeypatch, tmp_path: Path, noted: bool
) -> None:
    places.site.order("transfer_slow", "*", seconds=0.2)
    with pytest.raises(TaskDeferred):
        task.begin(there(places))
    first = task.ti.xcoms["iri_transfer"]
    if not noted:  # its worker was killed after it had asked, and the next one is another host
        kept = {**task.store["iri_transfer"], "ref": None}
        assert kept["submission"]
        dict.__setitem__(task.store, "iri_transfer", kept)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    task.execute(there(places))
    assert [each["id"] for each in places.tasks()] == [first]
    assert arrived(places) == scan


@needs_store
def test_a_worker_that_died_before_it_had_asked_leaves_a_submission(places, task, scan, monkeypatch) -> None:
    from iri_common import EntrustedTransfers

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EntrustedTransfers, "submit", die)
        with pytest.raises(KeyboardInterrupt):
            task.begin(there(places))
    assert places.tasks() == []
    submission = task.store["iri_transfer"]["submission"]
    task.execute(there(places))
    assert [each["submission"] for each in places.tasks()] == [submission]


def test_a_transfer_that_failed_is_asked_for_again_by_a_retry(places, task, scan) -> None:
    fault = places.site.order("transfer_fails", "*")
    with pytest.raises(AirflowException, match="was not moved"):
        task.execute(there(places))
    places.site.clear_faults(fault)
    task.execute(there(places))
    assert [each["status"] for each in places.tasks()][-1] == "SUCCEEDED"
    assert len(places.tasks()) == 2
    assert arrived(places) == scan


@needs_store
def test_a_clear_ends_the_task_of_before_and_asks_anew(places, task, scan) -> None:
    pause = places.site.order("transfer_inactive", "*")
    with pytest.raises(TaskDeferred):
        task.begin(there(places))
    task.ti.max_tries += 1
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(there(places))
    places.site.clear_faults(pause)  # not before: it would be over before anybody could end it
    task.resume(there(places), deferred.value)
    assert sorted(each["status"] for each in places.tasks()) == ["FAILED", "SUCCEEDED"]
    assert task.ti.xcoms["iri_transfer"] == task.store["iri_transfer"]["ref"]


@needs_store
def test_a_clear_does_not_forget_the_task_of_before_while_globus_is_away(places, task, scan) -> None:
    pause = places.site.order("transfer_inactive", "*")
    with pytest.raises(TaskDeferred):
        task.begin(there(places))
    first = task.store["iri_transfer"]["ref"]
    task.ti.max_tries += 1
    away = places.site.order("status", "globusCancelTask", status=401, times=None)
    with pytest.raises(AirflowException):
        task.begin(there(places))
    assert task.store["iri_transfer"]["before"] == first
    places.site.clear_faults(away)
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(there(places))
    places.site.clear_faults(pause)  # not before: it would be over before anybody could end it
    task.resume(there(places), deferred.value)
    assert [each["status"] for each in places.tasks() if each["id"] == first] == ["FAILED"]


def test_a_transfer_that_is_over_counts_though_nobody_looked_in_time(places, task, scan) -> None:
    """Its triggerer was away until the time of the task was over."""
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(there(places, execution_timeout=timedelta(microseconds=1)))
    deadline = time.monotonic() + 60
    while places.tasks()[-1]["status"] == "ACTIVE":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert task.resume(there(places), deferred.value)["bytes"] == 5010
    assert arrived(places) == scan


def test_a_transfer_is_ended_when_the_time_of_its_task_is_over(places, task, scan) -> None:
    places.site.order("transfer_inactive", "*")
    with pytest.raises(AirflowTaskTimeout, match="not over"):
        task.execute(there(places, execution_timeout=timedelta(seconds=0.5)))
    assert [each["status"] for each in places.tasks()] == ["FAILED"]


@pytest.mark.parametrize(("state", "left"), [("failed", "FAILED"), ("deferred", "INACTIVE")])
async def test_a_transfer_is_ended_if_a_person_ends_its_task(
    places, task, scan, monkeypatch, state: str, left: str
) -> None:
    from airflow_provider_iri import triggers

    places.site.order("transfer_inactive", "*")
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(there(places))
    monkeypatch.setattr(triggers, "task_state", lambda ti: state)
    trigger = deferred.value.trigger
    trigger.task_instance = task.ti
    await trigger.on_kill()
    assert [each["status"] for each in places.tasks()] == [left]
    await trigger.end()


@pytest.mark.parametrize(("state", "left"), [("failed", "FAILED"), ("running", "INACTIVE")])
def test_a_transfer_is_ended_if_a_person_ends_its_task_while_it_is_asked_for(
    places, task, scan, monkeypatch, state: str, left: str
) -> None:
    """No trigger has it yet."""
    from airflow_provider_iri import guard

    places.site.order("transfer_inactive", "*")
    monkeypatch.setattr(guard, "task_state", lambda ti: state)
    with pytest.raises(AirflowFailException if left == "FAILED" else TaskDeferred) as ended:
        task.begin(there(places))
    _until_all_are(places, left)
    if left == "FAILED":
        assert "of Globus is cancelled, because the task is failed" in str(ended.value)
    else:
        asyncio.run(ended.value.trigger.end())


def test_transfers_are_looked_at_together(places, task, scan) -> None:
    """However many wait in a triggerer, one request tells of several."""
    from airflow_provider_iri.globus_triggers import IriTransferTrigger

    pause = places.site.order("transfer_inactive", "*")
    triggers = []
    for number in range(6):
        task.forget()
        with pytest.raises(TaskDeferred) as deferred:
            task.begin(there(places, number))
        triggers.append(IriTransferTrigger(**deferred.value.trigger.serialize()[1]))
    places.site.reset_requests()

    async def fire(trigger: IriTransferTrigger) -> list[Any]:
        return [event.payload["bytes"] async for event in trigger.run()]

    async def all_of_them() -> list[Any]:
        waiting = asyncio.gather(*(fire(each) for each in triggers))
        await asyncio.to_thread(_until_one_tells_of_several, places)
        places.site.clear_faults(pause)
        return await waiting

    assert asyncio.run(all_of_them()) == [[5010]] * 6
    assert "globusGetTask" not in places.asked()


def _until_all_are(places, status: str) -> None:
    deadline = time.monotonic() + 60
    while {each["status"] for each in places.tasks()} != {status}:
        assert time.monotonic() < deadline, places.tasks()
        time.sleep(0.02)


def _until_one_tells_of_several(places) -> None:
    deadline = time.monotonic() + 60
    while not any(each["query"].count("%2C") >= 2 for each in places.site.requests()):
        assert time.monotonic() < deadline, places.asked()
        time.sleep(0.02)


# ---------------------------------------------------------------------------- through the worker


def test_from_the_workers_disk_to_a_facility_and_back(places, task, tmp_path: Path) -> None:
    (tmp_path / "in.dat").write_bytes(b"in" * 2000)
    told = task.execute(operator(tmp_path / "in.dat", places.own / "in.dat", target_conn_id="iri_default"))
    assert (places.own / "in.dat").read_bytes() == b"in" * 2000
    assert (told["road"], told["files"], told["bytes"]) == ("direct", 1, 4000)
    assert len(told["sha256"]) == 64
    back = operator(places.own / "in.dat", tmp_path / "out.dat", source_conn_id="iri_default")
    assert task.execute(back)["target"] == str(tmp_path / "out.dat")
    assert (tmp_path / "out.dat").read_bytes() == b"in" * 2000


@needs_store
def test_a_retry_sends_no_file_again_that_is_there(places, task, tmp_path: Path) -> None:
    """Its worker was killed between the files of a directory."""
    source, sent = tmp_path / "run", 6
    source.mkdir()
    for number in range(sent):
        (source / f"{number}.dat").write_bytes(os.urandom(100 + number))
    words = {"target_conn_id": "iri_default", "options": {"parallel": 1}}
    places.site.order("status", "upload", status=403, skip=3, times=None)
    with pytest.raises(AirflowException):
        task.execute(operator(source, places.own / "run", **words))
    places.site.clear_faults()
    places.site.reset_requests()
    told = task.execute(operator(source, places.own / "run", **words))
    assert told["files"] < sent
    assert sorted(each.name for each in (places.own / "run").iterdir()) == [f"{n}.dat" for n in range(sent)]


@pytest.fixture
def bucket(places) -> str:
    """An object store in this process."""
    from fsspec.implementations.memory import MemoryFileSystem

    attach("memory", fs=MemoryFileSystem())
    return f"memory://bucket/{places.own.name}"


@pytest.mark.filterwarnings("ignore:UPath")
def test_from_an_object_store_to_a_facility_and_back(places, task, bucket: str) -> None:
    from airflow.sdk import ObjectStoragePath

    with ObjectStoragePath(f"{bucket}/a/in.dat").open("wb") as file:
        file.write(b"stored" * 100)
    # As Airflow's own paths, too.
    whole = operator("", places.own / "a", target_conn_id="iri_default")
    whole.source = ObjectStoragePath(f"{bucket}/a")
    assert task.execute(whole)["bytes"] == 600
    assert (places.own / "a" / "in.dat").read_bytes() == b"stored" * 100
    back = operator(places.own / "a", f"{bucket}/b", source_conn_id="iri_default")
    told = task.execute(back)
    assert told["target"] == f"{bucket}/b"
    assert ObjectStoragePath(f"{bucket}/b/in.dat").read_bytes() == b"stored" * 100


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"source": "/a", "target": "s3://bucket/a"}, "neither"),
        ({"source": "iri://x//a", "target": "/b", "source_conn_id": "iri_default"}, "path at its facility"),
        ({"source": "/a", "target": "/b", "source_conn_id": "iri_default", "options": {"no": 1}}, "no"),
        ({"source": "", "target": "/b", "target_conn_id": "iri_default"}, "the source of a transfer"),
        ({"source": "/a", "target": None, "source_conn_id": "iri_default"}, "the target of a transfer"),
        ({"source": "/a", "target": "None", "source_conn_id": "iri_default"}, "the target of a transfer"),
        ({"source": "/a", "target": "globus://x/b", "source_conn_id": "iri_default"}, "Permission denied"),
    ],
)
def test_what_makes_no_sense_fails_for_good(places, task, words: dict[str, Any], says: str) -> None:
    with pytest.raises(AirflowFailException, match=says):
        task.execute(IriTransferOperator(task_id="task", **words))


@pytest.mark.parametrize("word", ["key", "on_progress"])
def test_what_the_task_itself_says_fails_the_parsing_of_the_dag(word: str) -> None:
    with pytest.raises(UsageError, match=f"options cannot say {word}: the task itself"):
        operator("/a", "/b", options={"road": "globus", word: "me"})
