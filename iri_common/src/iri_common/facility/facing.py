"""What makes a face of a service: each of its methods as a plain call, or for any event loop."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import queue
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from concurrent.futures import Future
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from iri_common.facility.loop import run_awaited, run_blocking, start_blocking
from iri_common.facility.streaming import End, Stream

S = TypeVar("S")
P = ParamSpec("P")
T = TypeVar("T")
Method = Callable[Concatenate[S, P], Coroutine[Any, Any, T]]
Streaming = Callable[Concatenate[S, P], AsyncGenerator[T]]


class Face(Generic[S]):
    """Stands before one service."""

    def __init__(self, service: S) -> None:
        self._service = service


def blocking(method: Method[S, P, T]) -> Callable[Concatenate[Face[S], P], T]:
    """The method as a plain call: waits for it on the I/O loop."""

    @functools.wraps(method)
    def call(face: Face[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run_blocking(method(face._service, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]

    return call


def awaited(method: Method[S, P, T]) -> Callable[Concatenate[Face[S], P], Coroutine[Any, Any, T]]:
    """The method for any event loop: runs on the I/O loop, is awaited on the caller's."""

    @functools.wraps(method)
    async def call(face: Face[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await run_awaited(method(face._service, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]

    return call


CALLBACKS = ("on_change", "on_progress")  # words of a method that are called while it is at work


def blocking_watch(method: Method[S, P, T]) -> Callable[Concatenate[Face[S], P], T]:
    """Like :func:`blocking`; a callback among the words is called in the caller's thread while it waits."""

    @functools.wraps(method)
    def call(face: Face[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        word = _callback(kwargs)
        if word is None:
            return run_blocking(method(face._service, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]
        told: Any = kwargs[word]
        seen: queue.SimpleQueue[Any] = queue.SimpleQueue()
        kwargs[word] = seen.put
        future = start_blocking(method(face._service, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]
        future.add_done_callback(seen.put)
        try:
            while not isinstance(each := seen.get(), Future):
                told(each)
            return future.result()
        except BaseException:
            future.cancel()
            raise

    return call


def awaited_watch(method: Method[S, P, T]) -> Callable[Concatenate[Face[S], P], Coroutine[Any, Any, T]]:
    """Like :func:`awaited`; a callback among the words is called on the caller's loop, in its context."""

    @functools.wraps(method)
    async def call(face: Face[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        word = _callback(kwargs)
        if word is not None:
            told: Any = kwargs[word]
            loop = asyncio.get_running_loop()
            context = contextvars.copy_context()
            kwargs[word] = functools.partial(loop.call_soon_threadsafe, told, context=context)
        return await run_awaited(method(face._service, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]

    return call


def _callback(words: Mapping[str, Any]) -> str | None:
    return next((word for word in CALLBACKS if words.get(word) is not None), None)


def blocking_stream(method: Streaming[S, P, T]) -> Callable[Concatenate[Face[S], P], Generator[T]]:
    """The method as a plain iterator: each step waits for the I/O loop; closing it, or a break, stops it."""

    @functools.wraps(method)
    def call(face: Face[S], /, *args: P.args, **kwargs: P.kwargs) -> Generator[T]:
        stream = Stream(method(face._service, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]
        try:
            while not isinstance(item := run_blocking(stream.take()), End):
                yield item
        finally:
            stream.stop_blocking()

    return call


def awaited_stream(method: Streaming[S, P, T]) -> Callable[Concatenate[Face[S], P], AsyncGenerator[T]]:
    """The method as an iterator for any event loop; closing it, or a break, stops it."""

    @functools.wraps(method)
    async def call(face: Face[S], /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T]:
        stream = Stream(method(face._service, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]
        try:
            while not isinstance(item := await run_awaited(stream.take()), End):
                yield item
        finally:
            await run_awaited(stream.stop())

    return call
