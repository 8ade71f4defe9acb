"""Two faces of the same services: blocking for scripts, awaited for loops. Nothing is written twice."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import queue
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from iri_common.facility.jobs import JobService
from iri_common.facility.loop import run_awaited, run_blocking, start_blocking
from iri_common.facility.services import (
    AccountService,
    FileService,
    Service,
    StatusService,
    StorageService,
)
from iri_common.facility.streaming import End, Stream
from iri_common.model.job import JobStatus

S = TypeVar("S", bound=Service)
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


def blocking_watch(method: Method[S, P, T]) -> Callable[Concatenate[Face[S], P], T]:
    """Like :func:`blocking`; ``on_change`` is called in the caller's thread while it waits."""

    @functools.wraps(method)
    def call(face: Face[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        on_change: Any = kwargs.get("on_change")
        if on_change is None:
            return run_blocking(method(face._service, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]
        seen: queue.SimpleQueue[JobStatus | Future[T]] = queue.SimpleQueue()
        kwargs["on_change"] = seen.put
        future = start_blocking(method(face._service, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]
        future.add_done_callback(seen.put)
        try:
            while not isinstance(each := seen.get(), Future):
                on_change(each)
            return each.result()
        except BaseException:
            future.cancel()
            raise

    return call


def awaited_watch(method: Method[S, P, T]) -> Callable[Concatenate[Face[S], P], Coroutine[Any, Any, T]]:
    """Like :func:`awaited`; ``on_change`` is called on the caller's loop, in the caller's context."""

    @functools.wraps(method)
    async def call(face: Face[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        on_change: Any = kwargs.get("on_change")
        if on_change is not None:
            loop = asyncio.get_running_loop()
            context = contextvars.copy_context()
            kwargs["on_change"] = functools.partial(loop.call_soon_threadsafe, on_change, context=context)
        return await run_awaited(method(face._service, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]

    return call


def blocking_stream(method: Streaming[S, P, T]) -> Callable[Concatenate[Face[S], P], Generator[T]]:
    """The method as a plain iterator: each step waits for the I/O loop; closing it, or a break, stops it."""

    @functools.wraps(method)
    def call(face: Face[S], /, *args: P.args, **kwargs: P.kwargs) -> Generator[T]:
        stream = Stream(method(face._service, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]
        try:
            while not isinstance(item := run_blocking(stream.take()), End):
                yield item
        finally:
            stream.stop()

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
            stream.stop()

    return call


class Jobs(Face[JobService]):
    """Jobs, blocking."""

    submit = blocking(JobService.submit)
    ask = blocking(JobService.ask)
    preview = blocking(JobService.preview)
    find = blocking(JobService.find)
    status = blocking(JobService.status)
    wait = blocking_watch(JobService.wait)
    result = blocking_watch(JobService.result)
    run = blocking_watch(JobService.run)
    require_success = blocking(JobService.require_success)
    tail = blocking(JobService.tail)
    follow = blocking_stream(JobService.follow)
    cancel = blocking(JobService.cancel)
    update = blocking(JobService.update)
    journal = blocking(JobService.journal)
    mine = blocking(JobService.mine)
    adopt = blocking(JobService.adopt)
    clean = blocking(JobService.clean)


class AsyncJobs(Face[JobService]):
    """Jobs, awaited."""

    submit = awaited(JobService.submit)
    ask = awaited(JobService.ask)
    preview = awaited(JobService.preview)
    find = awaited(JobService.find)
    status = awaited(JobService.status)
    wait = awaited_watch(JobService.wait)
    result = awaited_watch(JobService.result)
    run = awaited_watch(JobService.run)
    require_success = awaited(JobService.require_success)
    tail = awaited(JobService.tail)
    follow = awaited_stream(JobService.follow)
    cancel = awaited(JobService.cancel)
    update = awaited(JobService.update)
    journal = awaited(JobService.journal)
    mine = awaited(JobService.mine)
    adopt = awaited(JobService.adopt)
    clean = awaited(JobService.clean)


class Files(Face[FileService]):
    """Files, blocking."""

    put = blocking(FileService.put)
    get = blocking(FileService.get)
    ls = blocking(FileService.ls)
    stat = blocking(FileService.stat)
    read = blocking(FileService.read)
    checksum = blocking(FileService.checksum)
    head = blocking(FileService.head)
    tail = blocking(FileService.tail)
    mkdir = blocking(FileService.mkdir)
    rm = blocking(FileService.rm)
    mv = blocking(FileService.mv)
    cp = blocking(FileService.cp)
    chmod = blocking(FileService.chmod)


class AsyncFiles(Face[FileService]):
    """Files, awaited."""

    put = awaited(FileService.put)
    get = awaited(FileService.get)
    ls = awaited(FileService.ls)
    stat = awaited(FileService.stat)
    read = awaited(FileService.read)
    checksum = awaited(FileService.checksum)
    head = awaited(FileService.head)
    tail = awaited(FileService.tail)
    mkdir = awaited(FileService.mkdir)
    rm = awaited(FileService.rm)
    mv = awaited(FileService.mv)
    cp = awaited(FileService.cp)
    chmod = awaited(FileService.chmod)


class Status(Face[StatusService]):
    """Resources and their state, blocking."""

    facility = blocking(StatusService.facility)
    sites = blocking(StatusService.sites)
    resources = blocking(StatusService.resources)
    resource = blocking(StatusService.resource)
    incidents = blocking(StatusService.incidents)
    events = blocking(StatusService.events)


class AsyncStatus(Face[StatusService]):
    """Resources and their state, awaited."""

    facility = awaited(StatusService.facility)
    sites = awaited(StatusService.sites)
    resources = awaited(StatusService.resources)
    resource = awaited(StatusService.resource)
    incidents = awaited(StatusService.incidents)
    events = awaited(StatusService.events)


class Accounts(Face[AccountService]):
    """Principal and allocations, blocking."""

    whoami = blocking(AccountService.whoami)
    check_token = blocking(AccountService.check_token)
    capabilities = blocking(AccountService.capabilities)
    projects = blocking(AccountService.projects)
    allocations = blocking(AccountService.allocations)
    user_allocations = blocking(AccountService.user_allocations)


class AsyncAccounts(Face[AccountService]):
    """Principal and allocations, awaited."""

    whoami = awaited(AccountService.whoami)
    check_token = awaited(AccountService.check_token)
    capabilities = awaited(AccountService.capabilities)
    projects = awaited(AccountService.projects)
    allocations = awaited(AccountService.allocations)
    user_allocations = awaited(AccountService.user_allocations)


class Storage(Face[StorageService]):
    """Places for data, blocking."""

    locations = blocking(StorageService.locations)
    access_endpoints = blocking(StorageService.access_endpoints)


class AsyncStorage(Face[StorageService]):
    """Places for data, awaited."""

    locations = awaited(StorageService.locations)
    access_endpoints = awaited(StorageService.access_endpoints)
