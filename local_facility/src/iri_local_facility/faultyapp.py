"""The ASGI middleware that carries out orders on requests and replies, outside all faces."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .connections import hang_up, is_open
from .errors import Missing
from .exchange import Exchange, current
from .facility import Facility
from .faults import Fault
from .orders import LONGEST, REPLY_KINDS, Body
from .replies import Reply, catch, emptied, garbled, invented

# These go together with others; of the rest, which decide on the reply, one strikes a request.
_MIXING = {"delay", "slow_body"}
_PIECES = 20


class FaultyApp:
    """Lets requests through to the faces, unless an order is in the way."""

    def __init__(self, app: ASGIApp, facility: Facility) -> None:
        self._app = app
        self._facility = facility

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = current.get()
        if exchange is None or scope["path"].startswith("/_facility"):
            await self._app(scope, receive, send)
            return
        course = _Course(self._app, self._facility, exchange, scope, receive)
        shift = course.clock_shift()

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(time.time() + shift, usegmt=True).encode()
                message["headers"] = [*message.get("headers", []), (b"date", date)]
            await send(message)

        await course.run(dated)


class _Course:
    """One request on its way through the orders, oldest first."""

    def __init__(
        self, app: ASGIApp, facility: Facility, exchange: Exchange, scope: Scope, receive: Receive
    ) -> None:
        self._app = app
        self._facility = facility
        self._faults = facility.faults
        self._exchange = exchange
        self._scope = scope
        self._receive = receive
        self._ahead = self._faults.live(REPLY_KINDS | {"maintenance"})
        self._decided = False
        self._body: bytes | None = None

    def clock_shift(self) -> float:
        """How far off the facility's clock is for this request."""
        shift = 0.0
        for fault in self._faults.live({"skew"}):
            if fault.order.job is None and self._faults.strikes_request(fault, self._exchange):
                shift += fault.order.seconds or 0.0
        return shift

    async def run(self, send: Send) -> None:
        """Meet the next order, or the face when there is none."""
        while self._ahead:
            fault = self._ahead.pop(0)
            if not await self._meets(fault) or not self._faults.take(fault):
                continue
            self._faults.strike(fault)
            self._decided = self._decided or fault.order.kind not in _MIXING
            await _STROKES[fault.order.kind](self, fault, send)
            return
        await self._act(send)

    async def _meets(self, fault: Fault) -> bool:
        order = fault.order
        exchange = self._exchange
        if (self._decided and order.kind not in _MIXING) or not order.is_for(
            exchange.operation, exchange.user
        ):
            return False
        if order.kind == "maintenance":
            return order.api == "unavailable" and fault.under_way
        if order.resource is not None and order.resource not in (exchange.resource, self._resource_name()):
            return False
        return order.job is None or order.is_for_job(exchange.job, await self._job_name())

    def _resource_name(self) -> str | None:
        with contextlib.suppress(Missing):
            return self._facility.catalog.resource(self._exchange.resource or "").name
        return None

    async def _job_name(self) -> str | None:
        """The name of the job that the path names or the body describes; of a transfer, its label."""
        number = self._exchange.job
        if number is not None:
            with contextlib.suppress(Missing, ValueError, OverflowError):
                return self._facility.scheduler.jobs.get(int(number)).name
            return None
        with contextlib.suppress(ValueError, AttributeError):
            return self._exchange.manners.job_name(await self._read_body())
        return None

    async def _act(self, send: Send) -> None:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._exchange.acted = message["status"] < 400
            await send(message)

        await self._app(self._scope, self._receive, watched)

    async def _reply(self) -> Reply:
        async def rest(scope: Scope, receive: Receive, send: Send) -> None:
            await self.run(send)

        return await catch(rest, self._scope, self._receive)

    async def _read_body(self) -> bytes:
        """All of the request, which can be read again afterwards, even when the client is gone by then."""
        if self._body is None:
            body, more, receive = bytearray(), True, self._receive
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
            self._body = bytes(body)
            self._receive = _again(self._body, receive)
        return self._body

    async def _drop(self, *, reset: bool = False) -> None:
        # First the log: a client that finds the connection broken may ask for it at once.
        self._exchange.record()
        hang_up(self._scope, reset=reset)
        # The server takes the application's end without a reply for an error until it knows of the breach.
        await self._departure(1.0)

    async def _departure(self, seconds: float) -> None:
        """Wait until the connection is gone, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    pass

    # -- one method per kind

    async def lose_reply(self, fault: Fault, send: Send) -> None:
        await self._reply()
        await self._drop()

    async def reset(self, fault: Fault, send: Send) -> None:
        # A client that still writes would learn of the reset too early, and take it for an orderly end.
        await self._read_body()
        await self._drop(reset=True)

    async def cut(self, fault: Fault, send: Send) -> None:
        reply = await self._reply()
        if reply.body:  # without one, the headers are all there is to a reply
            await reply.send(send, [reply.body[: len(reply.body) // 2]])
        await self._drop()

    async def slow_body(self, fault: Fault, send: Send) -> None:
        reply = await self._reply()
        seconds = 2.0 if fault.order.seconds is None else fault.order.seconds
        size = max(1, -(-len(reply.body) // _PIECES))
        await reply.send(send, [])
        for start in range(0, len(reply.body), size):
            if not is_open(self._scope):
                return
            await asyncio.sleep(seconds * size / len(reply.body))
            await send(
                {"type": "http.response.body", "body": reply.body[start : start + size], "more_body": True}
            )
        await send({"type": "http.response.body", "body": b""})

    async def delay(self, fault: Fault, send: Send) -> None:
        seconds = fault.order.seconds or 0.0
        if fault.order.when == "before":
            await self._read_body()
            await asyncio.sleep(seconds)
            await self.run(send)
        else:
            reply = await self._reply()
            await asyncio.sleep(seconds)
            await reply.send(send)

    async def hang(self, fault: Fault, send: Send) -> None:
        if fault.order.when == "after":
            await self._reply()
        await self._departure(LONGEST if fault.order.seconds is None else fault.order.seconds)
        await self._drop()

    async def status(self, fault: Fault, send: Send) -> None:
        order = fault.order
        status = order.status or 503
        reply = await self._reply() if order.when == "after" else None
        if reply is not None and order.body == "truncated":
            await garbled(Reply(status, reply.headers, reply.body), "truncated").send(send)
            return
        body = order.body or "problem"
        said = self._invented(status, body, order.retry_after, f"ordered: {fault.id}")
        await said.send(send)

    async def garble(self, fault: Fault, send: Send) -> None:
        await garbled(await self._reply(), fault.order.body or "truncated").send(send)

    async def adapter_error(self, fault: Fault, send: Send) -> None:
        await self._reply()
        self._facility.store.run(
            "DELETE FROM idempotency WHERE key = ? AND scope LIKE ?",
            self._exchange.idempotency_key,
            f"{self._exchange.user}/%",
        )
        await self._invented(500, "problem", None, "internal error: the adapter raised").send(send)

    async def empty_list(self, fault: Fault, send: Send) -> None:
        await emptied(await self._reply()).send(send)

    async def crash(self, fault: Fault, send: Send) -> None:
        if fault.order.when == "after":
            await self._reply()
        self._exchange.record()
        os.kill(os.getpid(), signal.SIGKILL)

    async def maintenance(self, fault: Fault, send: Send) -> None:
        order = fault.order
        body = order.body or "problem"
        said = self._invented(503, body, order.retry_after, "the facility is down for maintenance")
        await said.send(send)

    def _invented(self, status: int, body: Body, retry_after: str | int | None, detail: str) -> Reply:
        return invented(self._scope, self._exchange.manners, status, body, retry_after, detail)


_Stroke = Callable[[_Course, Fault, Send], Awaitable[None]]
_STROKES: dict[str, _Stroke] = {
    kind: getattr(_Course, kind) for kind in sorted(REPLY_KINDS | {"maintenance"})
}


def _again(body: bytes, receive: Receive) -> Receive:
    """A channel that has the request still, and then what becomes of the connection."""
    unread = True

    async def replay() -> Message:
        nonlocal unread
        if unread:
            unread = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay
