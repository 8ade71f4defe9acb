"""Two faces of the same services: blocking for scripts, awaited for loops. Nothing is written twice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from iri_common.facility.facing import (
    Face,
    awaited,
    awaited_stream,
    awaited_watch,
    blocking,
    blocking_stream,
    blocking_watch,
)
from iri_common.facility.farreach import FacilityEnd
from iri_common.facility.files import FileService
from iri_common.facility.jobs import JobService
from iri_common.facility.leasing import alent, lent
from iri_common.facility.networks import LIMIT, NetworkService
from iri_common.facility.services import (
    AccountService,
    StatusService,
    StorageService,
)
from iri_common.facility.transferring import TransferService
from iri_common.model.key import JobKey
from iri_common.model.network import NetworkPath, PathIntent


class Jobs(Face[JobService]):
    """Jobs, blocking."""

    submit = blocking(JobService.submit)
    ask = blocking(JobService.ask)
    preview = blocking(JobService.preview)
    find = blocking(JobService.find)
    newest = blocking(JobService.newest)
    status = blocking(JobService.status)
    attach = blocking(JobService.attach)
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
    newest = awaited(JobService.newest)
    status = awaited(JobService.status)
    attach = awaited(JobService.attach)
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

    put = blocking_watch(FileService.put)
    get = blocking_watch(FileService.get)
    ls = blocking(FileService.ls)
    glob = blocking(FileService.glob)
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
    chown = blocking(FileService.chown)
    symlink = blocking(FileService.symlink)
    file_type = blocking(FileService.file_type)
    compress = blocking(FileService.compress)
    extract = blocking(FileService.extract)
    finish = blocking(FileService.finish)

    def at(self, path: str, *, storage: str | None = None) -> FacilityEnd:
        """The path as an end of a transfer: ``Transfers().copy(here.files.at(…), there.files.at(…))``."""
        return self._service.at(path, storage=storage)


class AsyncFiles(Face[FileService]):
    """Files, awaited."""

    put = awaited_watch(FileService.put)
    get = awaited_watch(FileService.get)
    ls = awaited(FileService.ls)
    glob = awaited(FileService.glob)
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
    chown = awaited(FileService.chown)
    symlink = awaited(FileService.symlink)
    file_type = awaited(FileService.file_type)
    compress = awaited(FileService.compress)
    extract = awaited(FileService.extract)
    finish = awaited(FileService.finish)

    def at(self, path: str, *, storage: str | None = None) -> FacilityEnd:
        """The path as an end of a transfer: ``Transfers().copy(here.files.at(…), there.files.at(…))``."""
        return self._service.at(path, storage=storage)


class Status(Face[StatusService]):
    """Resources and their state, blocking."""

    facility = blocking(StatusService.facility)
    sites = blocking(StatusService.sites)
    resources = blocking(StatusService.resources)
    resource = blocking(StatusService.resource)
    incidents = blocking(StatusService.incidents)
    maintenance = blocking(StatusService.maintenance)
    events = blocking(StatusService.events)


class AsyncStatus(Face[StatusService]):
    """Resources and their state, awaited."""

    facility = awaited(StatusService.facility)
    sites = awaited(StatusService.sites)
    resources = awaited(StatusService.resources)
    resource = awaited(StatusService.resource)
    incidents = awaited(StatusService.incidents)
    maintenance = awaited(StatusService.maintenance)
    events = awaited(StatusService.events)


class Accounts(Face[AccountService]):
    """Principal and allocations, blocking."""

    whoami = blocking(AccountService.whoami)
    check_token = blocking(AccountService.check_token)
    clients = blocking(AccountService.clients)
    concerns = blocking(AccountService.concerns)
    credential = blocking(AccountService.credential)
    principal = blocking(AccountService.principal)
    capabilities = blocking(AccountService.capabilities)
    projects = blocking(AccountService.projects)
    allocations = blocking(AccountService.allocations)
    user_allocations = blocking(AccountService.user_allocations)


class AsyncAccounts(Face[AccountService]):
    """Principal and allocations, awaited."""

    whoami = awaited(AccountService.whoami)
    check_token = awaited(AccountService.check_token)
    clients = awaited(AccountService.clients)
    concerns = awaited(AccountService.concerns)
    credential = awaited(AccountService.credential)
    principal = awaited(AccountService.principal)
    capabilities = awaited(AccountService.capabilities)
    projects = awaited(AccountService.projects)
    allocations = awaited(AccountService.allocations)
    user_allocations = awaited(AccountService.user_allocations)


class Storage(Face[StorageService]):
    """Places for data, blocking."""

    locations = blocking(StorageService.locations)
    access_endpoints = blocking(StorageService.access_endpoints)
    begin_transfer = blocking(StorageService.begin_transfer)
    transfer = blocking(StorageService.transfer)
    wait_for_transfer = blocking(StorageService.wait_for_transfer)


class AsyncStorage(Face[StorageService]):
    """Places for data, awaited."""

    locations = awaited(StorageService.locations)
    access_endpoints = awaited(StorageService.access_endpoints)
    begin_transfer = awaited(StorageService.begin_transfer)
    transfer = awaited(StorageService.transfer)
    wait_for_transfer = awaited(StorageService.wait_for_transfer)


class Networks(Face[NetworkService]):
    """Paths through a network, blocking."""

    profiles = blocking(NetworkService.profiles)
    negotiate = blocking(NetworkService.negotiate)
    provision = blocking(NetworkService.provision)
    preview = blocking(NetworkService.preview)
    status = blocking(NetworkService.status)
    wait = blocking_watch(NetworkService.wait)
    modify = blocking(NetworkService.modify)
    manifest = blocking(NetworkService.manifest)
    mine = blocking(NetworkService.mine)
    verify = blocking(NetworkService.verify)
    cancel = blocking(NetworkService.cancel)
    delete = blocking(NetworkService.delete)
    give_back = blocking(NetworkService.give_back)

    @contextmanager
    def lease(
        self, intent: PathIntent, *, key: JobKey | None = None, timeout: float = LIMIT
    ) -> Generator[NetworkPath]:
        """A path that is up; it is cancelled and deleted at the end, whatever happens.

        Args:
            intent: The path.
            key: Who asks; after a crash the same key takes up the path that still stands.
            timeout: Seconds until it must be up, and again until it must have ended.
        """
        asker = key or JobKey.random()

        def path() -> NetworkPath:
            return self.wait(self.provision(intent, key=asker), timeout=timeout)

        with lent(path, lambda why: self.give_back(asker, timeout=timeout, because=why)) as had:
            yield had


class AsyncNetworks(Face[NetworkService]):
    """Paths through a network, awaited."""

    profiles = awaited(NetworkService.profiles)
    negotiate = awaited(NetworkService.negotiate)
    provision = awaited(NetworkService.provision)
    preview = awaited(NetworkService.preview)
    status = awaited(NetworkService.status)
    wait = awaited_watch(NetworkService.wait)
    modify = awaited(NetworkService.modify)
    manifest = awaited(NetworkService.manifest)
    mine = awaited(NetworkService.mine)
    verify = awaited(NetworkService.verify)
    cancel = awaited(NetworkService.cancel)
    delete = awaited(NetworkService.delete)
    give_back = awaited(NetworkService.give_back)

    @asynccontextmanager
    async def lease(
        self, intent: PathIntent, *, key: JobKey | None = None, timeout: float = LIMIT
    ) -> AsyncGenerator[NetworkPath]:
        """A path that is up; it is cancelled and deleted at the end, whatever happens.

        Args:
            intent: The path.
            key: Who asks; after a crash the same key takes up the path that still stands.
            timeout: Seconds until it must be up, and again until it must have ended.
        """
        asker = key or JobKey.random()

        async def path() -> NetworkPath:
            return await self.wait(await self.provision(intent, key=asker), timeout=timeout)

        async with alent(path, lambda why: self.give_back(asker, timeout=timeout, because=why)) as had:
            yield had


class AsyncTransfers(Face[TransferService]):
    """Data between any two ends, awaited."""

    copy = awaited_watch(TransferService.copy)
    sync = awaited_watch(TransferService.sync)
    difference = awaited(TransferService.difference)
    plan = awaited(TransferService.plan)


class Transfers(Face[TransferService]):
    """Data between any two ends: this machine, facilities, Globus collections.

    An end is a path of this machine, ``iri://<profile>/<file system>/<path>``, ``globus://<collection>/<path>``,
    or what ``facility.files.at(path)`` gives.

    Example:
        >>> Transfers().sync("results/", "iri://nersc//pscratch/sd/a/alice/results", delete=True)
        >>> print(Transfers().plan("iri://olcf//lustre/orion/x", "iri://nersc//pscratch/x").explain())
    """

    def __init__(self) -> None:
        super().__init__(TransferService())
        self.aio = AsyncTransfers(TransferService())

    copy = blocking_watch(TransferService.copy)
    sync = blocking_watch(TransferService.sync)
    difference = blocking(TransferService.difference)
    plan = blocking(TransferService.plan)
