"""One attempt at a transfer task: what is there is brought or removed, and what is in the way is told."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

from iri_local_facility.accounts import User
from iri_local_facility.errors import FacilityError
from iri_local_facility.faults import Fault

from .collections import Collection
from .copying import Pair, Stopped, copy, extras, is_needed, pairs, remove, trouble_of
from .refusals import Refusal
from .tasks import Progress, Task, TaskTable, Trouble

_TOLD_EVERY = 0.2


class Work:
    """One attempt at a task."""

    def __init__(
        self,
        tasks: TaskTable,
        task: Task,
        user: User,
        collections: tuple[Collection, ...],
        stop: threading.Event,
        orders: dict[str, Fault],
    ) -> None:
        self._tasks = tasks
        self._task = task
        self._user = user
        self._collections = collections
        self._stop = stop
        self._orders = orders
        self._options: dict[str, Any] = task.document
        self._items = tasks.items(task.id)
        arrived = tasks.files(task.id, skipped=False)
        self._arrived = {(row["source"], row["destination"]) for row in arrived}
        self._left_out = {(row["source"], row["destination"]) for row in tasks.files(task.id, skipped=True)}
        self.progress = Progress(
            files_transferred=len(arrived),
            bytes_transferred=sum(row["size"] for row in arrived),
            skipped_errors=len(self._left_out),
            seconds=task.progress.seconds,
            faults=task.progress.faults,
        )
        self._began, self._told = time.monotonic(), 0.0

    def transfer(self) -> Trouble | None:
        """Bring everything that is not there yet; returns what was in the way of the rest."""
        trouble = None
        for item in self._items:
            for pair in self._pairs(item):
                trouble = self._bring(pair) or trouble
        if trouble is None and self._options.get("delete_destination_extra"):
            for item in self._items:
                for path in extras(item, self._user, *self._collections) if item.get("recursive") else ():
                    remove(path, recursive=True)
        return trouble

    def delete(self) -> Trouble | None:
        """Remove everything that is there still."""
        trouble = None
        (collection,) = self._collections
        for item in self._items:
            self.progress.files += 1
            self._check()
            if (item["path"], "") in self._arrived:
                continue
            try:
                real = collection.resolve(self._user, item["path"].rstrip("/"), follow=False, inner=True)
                remove(real, recursive=bool(self._options.get("recursive")))
            except FileNotFoundError as missing:
                if not self._options.get("ignore_missing"):
                    trouble = trouble_of(missing)
                    continue
            except (OSError, FacilityError) as problem:
                trouble = trouble_of(problem)
                continue
            self._tasks.moved(self._task.id, item["path"], "", 0, None)
        return trouble

    def _pairs(self, item: dict[str, Any]) -> Iterator[Pair]:
        """What an item stands for; one that is not there is left out where that was asked for."""
        try:
            yield from pairs(item, self._user, *self._collections)
        except (OSError, FacilityError) as problem:
            if not self._options.get("skip_source_errors"):
                raise
            self._leave_out(item["source_path"], item["destination_path"], trouble_of(problem))

    def _bring(self, pair: Pair) -> Trouble | None:
        if pair.is_directory:
            self.progress.directories += 1
            self._check()
            pair.destination.mkdir(parents=True, exist_ok=True)
            return None
        self.progress.files += 1
        self._check()
        names = (pair.source_path, pair.destination_path)
        if names in self._arrived or names in self._left_out:
            return None
        try:
            self._copy(pair)
        except (OSError, FacilityError) as problem:
            trouble = trouble_of(problem)
            if not self._options.get("skip_source_errors") or os.access(pair.source, os.R_OK):
                return trouble
            self._leave_out(*names, trouble)
        return None

    def _copy(self, pair: Pair) -> None:
        if not is_needed(pair, self._options.get("sync_level")):
            self.progress.files_skipped += 1
            return
        if "no_space" in self._orders:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), pair.destination_path)
        if (slow := self._orders.get("transfer_slow")) is not None and self._stop.wait(slow.order.seconds):
            raise Stopped
        verify = self._options.get("verify_checksum", True)
        size, checksum = copy(
            pair,
            self._task.id,
            verify=verify,
            keep_time=bool(self._options.get("preserve_timestamp")),
            on_bytes=self._count,
        )
        self._tasks.moved(self._task.id, pair.source_path, pair.destination_path, size, checksum)
        self.progress.files_transferred += 1
        self.progress.bytes_checksummed += size if verify else 0

    def _leave_out(self, source: str, destination: str, trouble: Trouble) -> None:
        if (source, destination) not in self._left_out:
            self._tasks.skipped(self._task.id, source, destination, trouble)
            self.progress.skipped_errors += 1

    def _count(self, size: int) -> None:
        self.progress.bytes_transferred += size
        self._check()

    def _check(self) -> None:
        """Stop when told to; tell how far it has come now and then."""
        if self._stop.is_set():
            raise Stopped
        now = time.monotonic()
        self.progress.seconds += now - self._began
        self._began = now
        if now - self._told >= _TOLD_EVERY:
            self._told = now
            with contextlib.suppress(Refusal):
                self._tasks.update(self._task, progress=self.progress)
