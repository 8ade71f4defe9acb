"""Clusters of message brokers that a facility sets up for a while: one service and its two faces."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager

from iri_common.auth.vault import FileVault
from iri_common.facility.facing import Face, awaited, awaited_watch, blocking, blocking_watch
from iri_common.facility.granted import speak_for
from iri_common.facility.leasing import LeaseService, alent, lent
from iri_common.facility.preview import shown
from iri_common.jobs.streamleases import LIMIT, OnChange, StreamLeases
from iri_common.model.errors import NotOffered
from iri_common.model.key import JobKey
from iri_common.model.ledger import Stage
from iri_common.model.ports import WireRequest
from iri_common.model.ref import JobRef
from iri_common.model.streamports import StreamDialect, StreamingApi
from iri_common.model.streams import (
    StreamAccess,
    StreamBackend,
    StreamCluster,
    StreamIntent,
    StreamLease,
    engine_of,
)
from iri_common.policy.operations import ask_of


class StreamService(LeaseService):
    """Leases clusters of message brokers."""

    async def backends(self) -> Sequence[StreamBackend]:
        """What can be set up, and what can be chosen of it."""
        return (await self._api.backends()).value

    async def clusters(self) -> Sequence[StreamCluster]:
        """All clusters of the project, whoever asked for them."""
        api = self._api
        engines = dict.fromkeys(each.engine for each in (await api.backends()).value)
        return [each for engine in engines for each in (await api.clusters(engine)).value]

    async def mine(self) -> Sequence[JobRef]:
        """Those that are on record here; how each stands, :meth:`status` tells."""
        book, records = self._leases.book, await self.ledger.records()
        refs = [JobRef.parse(each.ref) for each in records if each.stage is not Stage.INTENT]
        return [each for each in refs if each.origin == book.origin and engine_of(each) is not None]

    async def provision(self, intent: StreamIntent, *, key: JobKey | None = None) -> StreamLease:
        """Ask for a cluster, once for a key until it is released; :meth:`wait` waits until it can be used.

        How it is reached is told in the facility's answer and kept here, for nobody else to read. If that
        answer is lost, what was set up is released, and asked for once more.

        Args:
            intent: The cluster.
            key: Who asks; without one nobody can ask again for the same.

        Raises:
            SpecChanged: if the key was used for something else, which still stands.
            Conflict: if there is one of this key already whose credentials are not here.
            StreamLost: if there was one, and it is gone.
            SubmitUncertain: if nothing tells whether it was taken; the same key settles it later.
        """
        asker = key or JobKey.random()
        speak_for(asker)
        return await self._leases.provision(intent, asker)

    async def preview(self, intent: StreamIntent, *, key: JobKey | None = None) -> Sequence[WireRequest]:
        """What :meth:`provision` would send; nothing is sent but the question for the kinds there are.

        Raises:
            GrantExceeded: if it may not be sent.
        """
        await self.door.gate.admit(ask_of("streaming", "provision", {"settings": intent.settings}))
        kind, name = await self._leases.kind_of(intent), intent.cluster_name(key or JobKey.random())
        return shown(self.settings, self._api.provision_request(intent.engine, kind, name, intent.settings))

    async def status(self, stream: StreamLease | JobRef | str) -> StreamLease:
        """How a cluster stands; state MISSING if there is none."""
        return await self._leases.look(self.own(stream))

    async def wait(
        self,
        stream: StreamLease | JobRef | str,
        *,
        timeout: float = LIMIT,
        on_change: OnChange | None = None,
    ) -> StreamLease:
        """Wait until a cluster can be used.

        Raises:
            StreamLost: if there is none.
            WaitTimeout: if it is not up after so many seconds; it is left as it is.
        """
        return await self._leases.wait(self.own(stream), timeout, on_change)

    async def access(self, stream: StreamLease | JobRef | str) -> StreamAccess:
        """How a cluster is reached: user, password, URLs; a secret.

        Raises:
            NotFound: if there is no such cluster.
            Conflict: if it was told to somebody elsewhere.
        """
        return await self._leases.access(self.own(stream))

    async def extend(self, stream: StreamLease | JobRef | str) -> StreamLease:
        """Let a cluster's time begin anew: it is deleted for good when that is over.

        Raises:
            NotFound: if there is no such cluster.
        """
        leases, ref = self._leases, self.own(stream)
        await self._api.extend(engine_of(ref) or "", ref.job_id or "")
        return await leases.look(ref)

    async def release(self, stream: StreamLease | JobRef | str, *, timeout: float = LIMIT) -> None:
        """Delete a cluster for good, with what is in it; its key may then ask for another one.

        Raises:
            WaitTimeout: if it is still there after so many seconds.
        """
        await self._leases.release(self.own(stream), timeout)

    async def give_back(
        self, key: JobKey, *, timeout: float = LIMIT, because: BaseException | None = None
    ) -> None:
        """Release whatever was asked for under a key, if anything.

        Args:
            key: Whose.
            timeout: Seconds for its end.
            because: What it is given back for; counts more than what goes wrong here, which is logged.
        """
        speak_for(key)
        await self.given_back("stream", key, lambda: self._leases.give_back(key, timeout), because)

    @property
    def _api(self) -> StreamingApi:
        dialect = self.door.dialect
        streaming = dialect.streaming if isinstance(dialect, StreamDialect) else None
        if streaming is None:
            raise NotOffered(
                f"{self.settings.label} sets up no message brokers; a profile of OLCF's S3M does "
                '(dialect = "slurm", site = "s3m")',
                facility=self.settings.label,
            )
        return streaming

    @property
    def _leases(self) -> StreamLeases:
        return StreamLeases(self._api, self.book, FileVault(), self.settings.pace)


class Streams(Face[StreamService]):
    """Clusters of message brokers, blocking."""

    backends = blocking(StreamService.backends)
    clusters = blocking(StreamService.clusters)
    mine = blocking(StreamService.mine)
    provision = blocking(StreamService.provision)
    preview = blocking(StreamService.preview)
    status = blocking(StreamService.status)
    wait = blocking_watch(StreamService.wait)
    access = blocking(StreamService.access)
    extend = blocking(StreamService.extend)
    release = blocking(StreamService.release)
    give_back = blocking(StreamService.give_back)

    @contextmanager
    def lease(
        self, intent: StreamIntent, *, key: JobKey | None = None, timeout: float = LIMIT
    ) -> Generator[StreamAccess]:
        """How a cluster is reached that can be used; it is released at the end, whatever happens.

        Args:
            intent: The cluster.
            key: Who asks; after a crash the same key takes up the cluster that still stands.
            timeout: Seconds until it must be up, and again until it must be gone.
        """
        asker = key or JobKey.random()

        def access() -> StreamAccess:
            return self.access(self.wait(self.provision(intent, key=asker), timeout=timeout))

        with lent(access, lambda why: self.give_back(asker, timeout=timeout, because=why)) as had:
            yield had


class AsyncStreams(Face[StreamService]):
    """Clusters of message brokers, awaited."""

    backends = awaited(StreamService.backends)
    clusters = awaited(StreamService.clusters)
    mine = awaited(StreamService.mine)
    provision = awaited(StreamService.provision)
    preview = awaited(StreamService.preview)
    status = awaited(StreamService.status)
    wait = awaited_watch(StreamService.wait)
    access = awaited(StreamService.access)
    extend = awaited(StreamService.extend)
    release = awaited(StreamService.release)
    give_back = awaited(StreamService.give_back)

    @asynccontextmanager
    async def lease(
        self, intent: StreamIntent, *, key: JobKey | None = None, timeout: float = LIMIT
    ) -> AsyncGenerator[StreamAccess]:
        """How a cluster is reached that can be used; it is released at the end, whatever happens.

        Args:
            intent: The cluster.
            key: Who asks; after a crash the same key takes up the cluster that still stands.
            timeout: Seconds until it must be up, and again until it must be gone.
        """
        asker = key or JobKey.random()

        async def access() -> StreamAccess:
            up = await self.wait(await self.provision(intent, key=asker), timeout=timeout)
            return await self.access(up)

        async with alent(access, lambda why: self.give_back(asker, timeout=timeout, because=why)) as had:
            yield had
