"""Transfers that NERSC begins by itself: what is asked, what is told, and the wait for their end."""

from __future__ import annotations

import pytest
from jobs_world import seconds, timeless
from superfacility_door import dialect
from told_wire import Wire, ok

from iri_common import Facility
from iri_common.model.errors import (
    AmbiguousReply,
    AuthError,
    Conflict,
    NotFound,
    NotOffered,
    PermissionDenied,
    TransferError,
    TransientError,
    UsageError,
    WaitTimeout,
)
from iri_common.model.transfer import TaskState, TransferTask
from iri_common.policy.globus_tasks import TaskPace
from iri_common.transfers.behalf import moved

BEGUN = {"transfer_id": "t1", "status": "OK", "reason": None}


def begin(*replies):
    wire = Wire(*replies)
    return dialect(wire, attempts=3).behalf.begin(("dtn", "hpss"), "/a b", "/c&d", "mine"), wire


async def test_a_transfer_is_asked_for_in_a_form():
    beginning, wire = begin(ok(BEGUN))
    assert (await beginning).value == "t1"
    (request,) = wire.requests
    assert (request.method, request.url) == ("POST", "http://door.example/api/v1.2/storage/globus/transfer")
    assert request.form == {
        "source_uuid": "dtn",
        "target_uuid": "hpss",
        "source_dir": "/a b",
        "target_dir": "/c&d",
        "label": "mine",
    }


def refused(reason):
    return ok({"transfer_id": "", "status": "ERROR", "reason": reason})


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (None, AmbiguousReply),
        (ok({}, 504), AmbiguousReply),
        (ok({"status": "OK", "reason": None}), AmbiguousReply),
        (refused("the wind has changed"), AmbiguousReply),
        (refused("A transfer with identical paths has not yet completed"), Conflict),
        (refused("No such file or directory: '/a b'"), NotFound),
        (refused("Permission denied"), PermissionDenied),
        (ok({"detail": "no"}, 403), AuthError),
    ],
)
async def test_what_is_told_instead_is_not_asked_for_twice(reply, kind):
    beginning, wire = begin(reply, ok(BEGUN))
    with pytest.raises(kind):
        await beginning
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("told", "state", "code"),
    [
        ({"globus_status": "ACTIVE", "bytes_transferred": 7.0}, TaskState.ACTIVE, ""),
        ({"globus_status": "INACTIVE"}, TaskState.INACTIVE, ""),
        ({"globus_status": "SUCCEEDED", "bytes_transferred": 7}, TaskState.SUCCEEDED, ""),
        ({"globus_status": "FAILED", "reason": "why"}, TaskState.FAILED, ""),
        ({"globus_status": "CANCELED"}, TaskState.FAILED, "CANCELED"),
        ({"globus_status": "PONDERING"}, TaskState.UNKNOWN, ""),
        ({"globus_status": "PONDERING", "reason": "why"}, TaskState.UNKNOWN, ""),
        ({"globus_status": None}, TaskState.ACTIVE, ""),
        ({}, TaskState.ACTIVE, ""),
    ],
)
async def test_each_word_for_how_it_stands(told, state, code):
    task = (await dialect(Wire(ok({"status": "OK", **told}))).behalf.look("t1")).value
    done = int(told.get("bytes_transferred") or 0)
    assert task == TransferTask("t1", state, code, told.get("reason") or "", bytes_done=done)


async def test_a_word_that_we_do_not_know_is_logged_once(caplog, monkeypatch):
    monkeypatch.setattr("iri_common.apis.globus.answers._strange", set())
    for task_id in ("t1", "t2", "t1"):
        await dialect(Wire(ok({"status": "OK", "globus_status": "MUSING"}))).behalf.look(task_id)
    assert caplog.text.count("a status that we do not know: 'MUSING'") == 1


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("Task t1 not found", NotFound), ("No task 't1'", NotFound), ("busy", TransientError)],
)
async def test_a_look_that_fails_tells_of_no_transfer(reason, kind):
    with pytest.raises(kind):
        await dialect(Wire(ok({"status": "ERROR", "reason": reason}))).behalf.look("t1")


class Looks:
    """Says what it is told to, one look after another, the last one for ever."""

    def __init__(self, *looks):
        self.looks, self.asked = list(looks), 0

    async def look(self, task_id):
        self.asked += 1
        told = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(told, Exception):
            raise told
        return type("Done", (), {"value": told})


def at(state, **words):
    return TransferTask("t1", TaskState(state), **words)


def wait(looks, timeout=None):
    async def waiting():
        task = await moved(looks, "t1", TaskPace(), timeout)
        return task.bytes_done, looks.asked, seconds()

    return timeless(waiting)


def test_a_wait_lasts_over_outages_and_ends_with_the_transfer():
    looks = Looks(
        at("ACTIVE"), TransientError("away"), at("INACTIVE"), at("UNKNOWN"), at("SUCCEEDED", bytes_done=9)
    )
    done, asked, _ = wait(looks)
    assert (done, asked) == (9, 5)


def test_what_stands_still_is_looked_at_once_a_minute():
    looks = Looks(*[at("ACTIVE")] * 100, at("SUCCEEDED"))
    _, _, took = wait(looks)
    assert took > 60 * 40


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (at("FAILED", words="no space"), "failed: no space"),
        (at("FAILED", code="CANCELED"), "was canceled: .*app.globus.org"),
    ],
)
def test_a_transfer_that_fails_says_why(task, says):
    with pytest.raises(TransferError, match=says):
        wait(Looks(at("ACTIVE"), task))


def test_a_wait_may_have_a_limit():
    with pytest.raises(WaitTimeout, match="after 30 s"):
        wait(Looks(at("ACTIVE")), 30.0)


def test_a_wait_is_not_for_what_nobody_knows():
    with pytest.raises(NotFound):
        wait(Looks(NotFound("no")))


def test_places_are_written_as_collections_and_only_nersc_has_it():
    storage = Facility("http://127.0.0.1:9/api/v1.2", dialect="superfacility").storage
    with pytest.raises(UsageError, match="globus://<collection>"):
        storage.begin_transfer("/a", "globus://dtn/b")
    with pytest.raises(NotOffered, match="Transfers"):
        Facility("http://127.0.0.1:9/api/v2").storage.transfer("t1")
