"""Triggers of asset watchers: what happens at a facility becomes events of assets, and those begin DAGs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_iri.patterns import require_path

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer

    from airflow_provider_iri.happenings import Happening, Seen
    from iri_common import Facility


@dataclass
class Look:
    """One look at a facility, for all watchers that wait for the same there.

    Attributes:
        seen: What it shows.
        at: When, in seconds since the epoch.
    """

    seen: Seen
    at: float
    _after: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def afterwards(self, step: Callable[[], Awaitable[None]]) -> None:
        """Have something done when the events of this look are safe."""
        self._after.append(step)

    async def settle(self) -> None:
        """The events are in Airflow's database."""
        for step in self._after:
            await step()


class IriWatcher(BaseEventTrigger):
    """Tells every occurrence of something at a facility once, also across the end of a triggerer.

    What was told is kept in the asset's state store (Airflow 3.3), and only when the events are in Airflow's
    database: a triggerer that is killed within the second or two between tells them again, and none is lost.
    On Airflow 3.2 a watcher begins afresh with its triggerer.

    All watchers for the same are served by one look. An outage is waited out; so is a refused token, with a
    word in the triggerer's log, because no task could be failed for it.

    Args:
        iri_conn_id: The connection; its secrets are read in the triggerer, none is stored with the trigger.
        every: Between two looks; seconds, where it is a number.
        name: Where several assets are watched for the same, tells one watcher from another: Airflow makes
            one trigger of equal ones, which has no memory then.
    """

    kind: ClassVar[str]

    def __init__(
        self, iri_conn_id: str = "iri_default", every: timedelta | float = 60.0, name: str = ""
    ) -> None:
        super().__init__()
        self.iri_conn_id = iri_conn_id
        self.seconds = every.total_seconds() if isinstance(every, timedelta) else float(every)
        if not 0 < self.seconds < float("inf"):
            raise ValueError(f"between two looks is some time, not {every!r}")
        self.name = name
        self.asset_state_store: Any = None  # Airflow gives it before the trigger runs; 3.2 does not
        self._facility: Facility | None = None

    def words(self) -> dict[str, Any]:
        """What it waits for."""
        return {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Where to find this class, and what to make it from."""
        own = {"iri_conn_id": self.iri_conn_id, "every": self.seconds, "name": self.name}
        return (f"{type(self).__module__}.{type(self).__qualname__}", {**self.words(), **own})

    @property
    def happening(self) -> Happening:
        """What it waits for."""
        from airflow_provider_iri.happenings import HAPPENINGS

        return HAPPENINGS[self.kind](**self.words())

    # -- looks, shared by all that wait for the same

    def shared_stream_key(self) -> Hashable | None:
        """By which Airflow has one look serve all."""
        if not hasattr(BaseEventTrigger, "create_shared_stream_producer"):
            return None
        words = json.dumps(self.words(), sort_keys=True)
        return ("iri", self.kind, self.iri_conn_id, self.seconds, words)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Who looks, and is told when the events of a look are safe."""
        from airflow_provider_iri.lookout import Lookout

        return Lookout(cls(**kwargs).looks())

    async def looks(self) -> AsyncIterator[Look]:
        """Look again and again."""
        happening, said = self.happening, None
        while True:
            try:
                facility = await self._open()
                # In a thread: its few requests are made one after the other, by the same code as in a worker.
                seen = await asyncio.to_thread(happening.look, facility)
            except Exception as error:
                # Left to Airflow, it would begin again at once, and for ever.
                if type(error) is not said:
                    self.log.warning("%s; looking again every %g s", error, self.seconds)
                said = type(error)
                self._facility = None  # somebody may mend the connection
            else:
                said = None
                yield Look(seen, time.time())
            await asyncio.sleep(self.seconds)

    async def _open(self) -> Facility:
        if self._facility is None:
            from airflow_provider_iri.hooks import IriHook

            self._facility = await IriHook(self.iri_conn_id).open()
        return self._facility

    # -- events, of each

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look and tell alone, where Airflow shares no looks."""
        async for event in self.filter_shared_stream(self._unshared()):
            yield event

    async def _unshared(self) -> AsyncIterator[Look]:
        async for look in self.looks():
            yield look
            await look.settle()

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Look]) -> AsyncIterator[TriggerEvent]:
        """Tell what is news of each look."""
        from airflow_provider_iri.recollection import Recollection

        happening = self.happening
        about = f"{self.kind} {self.iri_conn_id} {json.dumps(self.words(), sort_keys=True)}"
        memory = Recollection(self.asset_state_store, about)
        async for look in shared_stream:
            try:
                before = await memory.recall()
                if happening.news(before, look.seen, look.at):
                    before = await memory.recall(afresh=True)
            except Exception as error:
                self.log.warning("what was told is not known, so nothing is told yet: %s", error)
                continue
            for facts in happening.news(before, look.seen, look.at):
                yield TriggerEvent(facts)
            memory.now = happening.kept(before, look.seen, look.at)
            look.afterwards(partial(memory.keep, memory.now))


class IriFileWatcher(IriWatcher):
    """Tells that a file has arrived: one that is there, and that was not told as it is now.

    Whoever writes the file should do so aside and rename it at the end.

    Example:
        >>> raw = Asset("raw", watchers=[AssetWatcher("arrived", IriFileWatcher(path="/scratch/alice/*.h5"))])

    Args:
        path: At the facility, or a pattern (``*``, ``?``, ``[…]``, ``**`` for any directories), whose files
            are told one by one, by name and size.
        storage: Name or id of the file system; the connection's if None.
        words: Of :class:`IriWatcher`.

    The event: ``{"path": …, "size": …}``, without a pattern also ``mtime``.
    """

    kind = "file"

    def __init__(self, path: str, storage: str | None = None, **words: Any) -> None:
        super().__init__(**words)
        # No task could fail of it later: the watcher would look for ever, and never find anything.
        require_path(path, whole=True)
        self.path = path
        self.storage = storage

    def words(self) -> dict[str, Any]:
        """What it waits for."""
        return {"path": self.path, "storage": self.storage}


class IriResourceWatcher(IriWatcher):
    """Tells that a resource is usable again: it was down, or announced to be, and is not any more.

    Args:
        resource: Name or id; the connection's if None.
        ahead: For so long from then on no maintenance may be announced.
        words: Of :class:`IriWatcher`.

    The event: ``{"resource": …, "status": …}``.
    """

    kind = "resource"

    def __init__(self, resource: str | None = None, ahead: timedelta | float = 0.0, **words: Any) -> None:
        super().__init__(**words)
        self.resource = resource
        self.ahead = ahead.total_seconds() if isinstance(ahead, timedelta) else float(ahead)

    def words(self) -> dict[str, Any]:
        """What it waits for."""
        return {"resource": self.resource, "ahead": self.ahead}


class IriMaintenanceWatcher(IriWatcher):
    """Tells that an announced maintenance of a resource is over, and the resource not down.

    Args:
        resource: Name or id; the connection's if None.
        words: Of :class:`IriWatcher`.

    The event: ``{"resource": …, "name": …, "start": …, "end": …}``, the times as they were announced.
    """

    kind = "maintenance"

    def __init__(self, resource: str | None = None, **words: Any) -> None:
        super().__init__(**words)
        self.resource = resource

    def words(self) -> dict[str, Any]:
        """What it waits for."""
        return {"resource": self.resource}


class IriJobWatcher(IriWatcher):
    """Tells the end of every job of mine with a name, whichever engine or script submitted it.

    Args:
        job_name: As it was submitted.
        resource: Name or id; the connection's if None.
        words: Of :class:`IriWatcher`.

    The event: ``{"job": …, "job_id": …, "state": …, "exit_code": …}``; ``job`` is its reference where the
    triggerer's host knows it.
    """

    kind = "job"

    def __init__(self, job_name: str, resource: str | None = None, **words: Any) -> None:
        super().__init__(**words)
        self.job_name = job_name
        self.resource = resource

    def words(self) -> dict[str, Any]:
        """What it waits for."""
        return {"job_name": self.job_name, "resource": self.resource}
