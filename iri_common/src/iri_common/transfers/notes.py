"""What a transfer remembers in a file: one line a note, written in order, held by one process at a time."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import hashlib
import json
import logging
import os
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from iri_common.model.errors import IriError, TransferError, UsageError
from iri_common.policy.places import place

log = logging.getLogger(__name__)

Noted = Mapping[str, Any] | Sequence[Any] | str | int | None
_LEARNING, _CLEARING = 0.3, 8.0  # seconds until a cancelled try knows that it is, and takes to end at most
_holders: dict[Path, asyncio.Task[Any]] = {}  # of this process
_HEAD = ""  # the name of the first note: which transfer this is, and who carries it


def default_directory() -> Path:
    """``$XDG_STATE_HOME/iri/transfers``, by default under ``~/.local/state``."""
    return Path(place(os.environ, "state", "transfers")).expanduser()


class FileNotes:
    """Notes of one transfer; open them with :meth:`opened`, end them with :meth:`close` or :meth:`forget`.

    A note is on its way to the file when :meth:`put` returns, which takes its time on a busy machine: it
    survives the end of this process when :meth:`written` returns, and that of the machine when
    :meth:`durable` does.
    """

    def __init__(self, path: Path, descriptor: int, notes: dict[str, Any]) -> None:
        self._path = path
        self._descriptor = descriptor
        self._notes = notes
        self._lines: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._trouble: OSError | None = None
        self._writer = threading.Thread(target=self._write, name="iri-notes", daemon=True)
        self._writer.start()

    @classmethod
    async def opened(cls, source: str, target: str, who: str = "", directory: Path | None = None) -> Self:
        """The notes of an interrupted try with the same ends, or new ones.

        Args:
            source: Where from, so that it cannot mean another place.
            target: Where to.
            who: Asks for it; each has notes of its own.
            directory: Made when first needed.

        Raises:
            UsageError: if another process carries this transfer now.
            IriError: if the directory cannot be used.
        """
        directory = directory or default_directory()
        name = hashlib.sha256("\0".join((who, source, target)).encode()).hexdigest()[:32]
        path = directory / f"{name}.jsonl"
        made: list[Self] = []
        left = threading.Event()

        def let_go() -> None:
            with contextlib.suppress(IndexError):
                notes = made.pop()
                notes._end(remove=not notes.names)

        def open_now() -> Self:
            notes = cls._open(path, source, target)
            made.append(notes)
            if left.is_set():
                let_go()
            return notes

        try:
            notes = await asyncio.to_thread(open_now)
        except asyncio.CancelledError:
            left.set()  # the thread goes on, and would hold them for ever
            await asyncio.to_thread(let_go)
            raise
        except OSError as error:
            raise IriError(
                f"the notes of transfers in {directory} cannot be used ({error.strerror}); make the "
                "directory writable, or point XDG_STATE_HOME to one that is"
            ) from None
        if (task := asyncio.current_task()) is not None:
            _holders[path] = task
        return notes

    @property
    def transfer(self) -> str:
        """16 hex digits that name this transfer, the same in every try until it is done."""
        return str(self._notes[_HEAD]["transfer"])

    @property
    def names(self) -> Sequence[str]:
        """Of all notes there are."""
        return [name for name in self._notes if name != _HEAD]

    def get(self, name: str) -> Any:
        """What was noted under a name last; None for nothing."""
        return self._notes.get(name)

    def put(self, name: str, value: Noted) -> None:
        """Note something, plain JSON, under a name; None forgets it."""
        if value is None:
            if self._notes.pop(name, None) is None:
                return
        else:
            self._notes[name] = value
        # Who puts is on an event loop, where nothing may wait for a disk.
        self._lines.put(functools.partial(os.write, self._descriptor, _line(name, value)))

    async def written(self) -> None:
        """Return when all that was put survives the end of this process; what finds no room does not."""
        await asyncio.to_thread(self._drain)

    async def durable(self) -> None:
        """Return when all that was put is on the disk.

        Raises:
            TransferError: if it cannot be written there.
        """
        self._lines.put(functools.partial(os.fsync, self._descriptor))
        await asyncio.to_thread(self._drain)
        if self._trouble is not None:
            raise TransferError(f"{self._path} cannot be written: {self._trouble.strerror}")

    async def close(self) -> None:
        """Let others go on with it; notes that say nothing are removed."""
        await asyncio.to_thread(self._end, remove=not self.names)

    async def forget(self) -> None:
        """The transfer is done."""
        await asyncio.to_thread(self._end, remove=True)

    @classmethod
    def _open(cls, path: Path, source: str, target: str) -> Self:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                _lock(descriptor, path, source, target)
                notes, whole = _read(descriptor)
                # A holder that was done meanwhile has removed the file that was opened here.
                if not _is(descriptor, path):
                    os.close(descriptor)
                    continue
                transfer = notes[_HEAD]["transfer"] if _HEAD in notes else secrets.token_hex(8)
                notes[_HEAD] = {"transfer": transfer, "source": source, "target": target, "held_by": _me()}
                os.ftruncate(descriptor, whole)  # half a line would spoil the next one
                os.write(descriptor, _line(_HEAD, notes[_HEAD]))
                os.fsync(descriptor)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
                raise
            return cls(path, descriptor, notes)

    def _drain(self) -> None:
        through = threading.Event()
        self._lines.put(through.set)
        through.wait()

    def _write(self) -> None:
        while (act := self._lines.get()) is not None:
            try:
                act()
            except OSError as error:  # a full disk: the transfer goes on, only a restart knows less
                if self._trouble is None:
                    log.warning("%s cannot be written: %s", self._path, error.strerror)
                self._trouble = error

    def _end(self, *, remove: bool) -> None:
        holder = _holders.get(self._path)
        self._lines.put(None)
        self._writer.join()
        if remove:
            with contextlib.suppress(OSError):
                self._path.unlink()
        with contextlib.suppress(OSError):  # a child that was forked meanwhile has it open, too
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
        if _holders.get(self._path) is holder:  # and not yet the next one
            _holders.pop(self._path, None)


def _lock(descriptor: int, path: Path, source: str, target: str) -> None:
    begun = time.monotonic()
    while True:
        # Before the try: whoever lets go between a try in vain and a look would be taken for another process.
        ours = _holders.get(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            notes, _ = _read(descriptor)
            holder = notes[_HEAD]["held_by"] if _HEAD in notes else "another process"
            # A try of this process that was cancelled learns of it late, and clears away what it had begun.
            patience = 0.0 if ours is None else _CLEARING if ours.cancelling() else _LEARNING
            if time.monotonic() - begun > patience:
                raise UsageError(
                    f"{source} -> {target} is being moved already, by {holder}; wait for it, or end it"
                ) from None
        except OSError as error:
            # Some network file systems have no locks. Two at once would still not mix their files, for what
            # is compared and renamed is whole; they would only do each other's work.
            log.warning("%s cannot be locked: %s", path, error.strerror)
            return
        time.sleep(0.05)


def _read(descriptor: int) -> tuple[dict[str, Any], int]:
    """The notes, and how many bytes of the file are whole lines."""
    notes: dict[str, Any] = {}
    whole = 0
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        for line in file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            with contextlib.suppress(ValueError, TypeError):
                name, value = json.loads(line)
                notes.pop(name, None)
                if value is not None:
                    notes[name] = value
    return notes, whole


def _line(name: str, value: Noted) -> bytes:
    return json.dumps([name, value], separators=(",", ":")).encode() + b"\n"


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
