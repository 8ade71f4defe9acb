"""Megabytes one after another: one thread a loop, in the order asked for, with the caller's context."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
import time

import pytest

from iri_common.http import session as session_module
from iri_common.http.budget import Budget
from iri_common.http.session import LARGE, Request, Session
from iri_common.http.turns import in_turn
from iri_common.model.ports import WireReply, WireRequest

asked = contextvars.ContextVar("asked", default=0)


class Working:
    """Counts who works at once, and where."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.threads = set[int]()
        self.done = list[int]()

    def work(self) -> int:
        self.now += 1
        self.most = max(self.most, self.now)
        self.threads.add(threading.get_ident())
        time.sleep(0.005)
        self.now -= 1
        self.done.append(asked.get())
        return asked.get()


async def test_one_thread_does_one_at_a_time_in_the_order_asked_for() -> None:
    working = Working()

    async def ask(number: int) -> int:
        asked.set(number)
        return await in_turn(working.work)

    assert await asyncio.gather(*map(ask, range(8))) == list(range(8))
    assert (working.most, working.done, len(working.threads)) == (1, list(range(8)), 1)
    assert threading.get_ident() not in working.threads


def test_each_loop_has_a_thread_of_its_own() -> None:
    working = Working()

    async def ask() -> None:
        await in_turn(working.work)

    for _ in range(2):  # as in a child that was forked, whose parent's thread is not there
        asyncio.run(ask())
    assert len(working.done) == 2


async def test_an_error_is_told_and_the_next_has_its_turn() -> None:
    def fail() -> None:
        raise ValueError("no JSON")

    with pytest.raises(ValueError, match="no JSON"):
        await in_turn(fail)
    assert await in_turn(lambda: 1) == 1


class Wire:
    """Answers everything with the same."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def send(self, request: WireRequest) -> WireReply:
        return WireReply(200, {"content-type": "application/json"}, self.body)

    async def close(self) -> None: ...


@pytest.mark.parametrize("size", [10, LARGE, LARGE + 1])
async def test_large_replies_are_read_in_turn(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = list[int]()

    async def spied(work):
        turns.append(1)
        return await in_turn(work)

    monkeypatch.setattr(session_module, "in_turn", spied)
    body = json.dumps("x" * (size - 2)).encode()
    session = Session("http://facility.invalid", Wire(body), None, Budget())
    assert (await session.send(Request("getTask", "GET", "/task/1"))).value == "x" * (size - 2)
    assert len(turns) == (size > LARGE)
