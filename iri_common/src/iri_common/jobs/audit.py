"""The audit log: who asked for what, and what came of it; lines of JSON that are only ever added."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import logging
import math
import os
import pwd
import re
import socket
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from iri_common.jobs.newlines import NewLines
from iri_common.model.errors import IriError
from iri_common.model.submission import Submission
from iri_common.policy.asking import Sent
from iri_common.policy.engines import engine_run
from iri_common.policy.places import place
from iri_common.policy.spending import DAY, Spending, Spent

log = logging.getLogger(__name__)

Entry = Mapping[str, Any]
T = TypeVar("T")

MOST = 16 * 2**20  # bytes of a file before the next one is begun
KEPT = 36  # files
PATIENCE = 10.0  # seconds for another process that holds the lock, as it does for milliseconds
_AGAIN = 0.002  # seconds between two tries of it
_NAME = re.compile(r"(\d{4}-\d\d)(?:\.(\d+))?\.jsonl")
_warned: set[Path] = set()


def default_directory() -> Path:
    """``$XDG_STATE_HOME/iri/audit``, by default under ``~/.local/state``."""
    return Path(place(os.environ, "state", "audit")).expanduser()


Tell = Callable[[Sent, IriError | None], None]
"""Takes what became of a send, and its error."""


class Books(Protocol):
    """Where each send of a job is written down."""

    def noted(self, submission: Submission) -> AbstractAsyncContextManager[Tell]:
        """Around one send; raises before it, where it may not be made."""
        ...


class NoBooks:
    """Nobody wants to know."""

    @contextlib.asynccontextmanager
    async def noted(self, submission: Submission) -> AsyncGenerator[Tell]:
        """Around one send."""
        yield lambda sent, error: None


class AuditLog:
    """A file a month that only its owner may read, and older ones beside it.

    All methods block, and are called in threads. One line is one write under a lock that all processes take,
    so that none is torn or lost, and an amount of hours is judged and written down as one.

    Args:
        directory: Created when first written to.
        clock: Seconds since the epoch.
        most: Bytes of a file before the next one is begun.
    """

    def __init__(
        self,
        directory: Path | None = None,
        clock: Callable[[], float] = time.time,
        most: int = MOST,
    ) -> None:
        self.directory = directory or default_directory()
        self._clock = clock
        self._most = most
        self._new, self._spending = NewLines(), Spending()  # used by who holds the lock
        self._counted_since = 0.0

    def add(self, entry: Entry) -> None:
        """Add a line; where that cannot be, work goes on, and a warning says so once in a process."""
        try:
            with self._locked():
                self._add(entry)
        except OSError as error:
            if self.directory not in _warned:
                _warned.add(self.directory)
                log.warning("what is done is not written down: %s", self._unusable(error))

    def reserve(self, entry: Entry, judge: Callable[[float], T | None]) -> T | None:
        """Add a line with hours of a grant, unless they are too many; nobody else does so meanwhile.

        Args:
            entry: With ``grant``, ``tag`` and ``hours``.
            judge: Given the hours that other jobs of the same grant have asked for within a day; what it
                gives is why this line is not added.

        Raises:
            IriError: if the log cannot be used: hours that nobody counts would have no limit.
        """
        try:
            with self._locked():
                spent = self._spent(str(entry["grant"]))
                others = sum(each.total for tag, each in spent.items() if tag != entry["tag"])
                # What may be there already is this same job; what was taken would be another one beside it.
                refused = judge(others + spent.get(str(entry["tag"]), Spent()).done)
                if refused is None:
                    self._add(entry, durably=True)
                return refused
        except OSError as error:
            raise self._uncounted(error) from None

    def spent(self, who: str) -> float:
        """The hours that jobs of a grant have asked for within a day.

        Raises:
            IriError: as :meth:`reserve` does.
        """
        try:
            with self._locked():
                return sum(each.total for each in self._spent(who).values())
        except OSError as error:
            raise self._uncounted(error) from None

    def entries(self, since: float = 0.0) -> Iterator[dict[str, Any]]:
        """What was written since then, oldest first; lines that cannot be understood are left out.

        Raises:
            IriError: if a file cannot be read.
        """
        try:
            for line in self._lines(since):
                entry = _understood(line)
                if entry is not None and entry["at"] >= since:
                    yield entry
        except OSError as error:
            raise IriError(f"the audit log in {self.directory} cannot be read: {error.strerror}") from None

    # -- how it is done

    def _spent(self, who: str) -> Mapping[str, Spent]:
        since = self._clock() - DAY
        if since < self._counted_since:  # the clock was ahead: what was too old then is not now
            self._new, self._spending = NewLines(), Spending()
        self._counted_since = since
        for line in self._new.of(self._files(), since):
            # Only lines that may count are understood: there may be many others.
            if b'"hours"' in line and (before := _understood(line)) is not None:
                self._spending.note(before)
        return self._spending.spent(who, since)

    def _lines(self, since: float) -> Iterator[bytes]:
        for path in self._files():
            with contextlib.suppress(FileNotFoundError):  # taken away as too old, or renamed, meanwhile
                if path.stat().st_mtime >= since:
                    yield from path.read_bytes().splitlines()

    def _files(self) -> list[Path]:
        """All files, the oldest first; of a month the one without a number is the newest."""
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        found = [match for name in names if (match := _NAME.fullmatch(name))]
        found.sort(key=lambda match: (match[1], int(match[2]) if match[2] else math.inf))
        return [self.directory / match[0] for match in found]

    def _add(self, entry: Entry, *, durably: bool = False) -> None:
        who = {**_here(), "pid": os.getpid(), **_engine()} if "verb" in entry else {}
        now = self._clock()
        words = {"at": round(now, 3), **who, **entry}
        line = json.dumps(words, ensure_ascii=False, default=str)
        path = self._current()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            # A process that died, or a full disk, may have left a part of a line.
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            content = ("\n" if torn else "").encode() + line.encode(errors="replace") + b"\n"
            if os.write(descriptor, content) < len(content):
                os.ftruncate(descriptor, size)
                raise OSError(None, "the disk is full")
            os.utime(descriptor, (now, now))  # a file server's clock may be another one
            if durably:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _current(self) -> Path:
        """The file of this month, begun anew if it is a large one."""
        month = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m")
        path = self.directory / f"{month}.jsonl"
        if path.exists() and path.stat().st_size < self._most:
            return path
        files = self._files()
        if path in files:
            numbers = [int(match[2] or 0) for each in files if (match := _NAME.fullmatch(each.name))]
            os.rename(path, self.directory / f"{month}.{max(numbers) + 1}.jsonl")
        # What a day's hours are counted from stays, however many files that is.
        for each in files[: max(0, len(files) - KEPT + 1)]:
            if self._clock() - each.stat().st_mtime > 2 * DAY:
                each.unlink()
        return path

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        # Beside the files, because they are renamed. A lock belongs to this opening of it, so it also keeps
        # threads apart.
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            until = time.monotonic() + PATIENCE
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise OSError(None, f"another process holds it for {PATIENCE:.0f} s") from None
                    time.sleep(_AGAIN)
            yield
        finally:
            # Said, and not left to the closing: a child that was forked meanwhile has it open, too.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _uncounted(self, error: OSError) -> IriError:
        return IriError(
            f"{self._unusable(error)}. The hours of a day, which the grant limits, are counted there: "
            "nothing was sent"
        )

    def _unusable(self, error: OSError) -> str:
        why = error.strerror or error
        return (
            f"the audit log in {self.directory} cannot be used ({why}); make the directory writable, or "
            "point XDG_STATE_HOME to one that is"
        )


@functools.cache
def _here() -> Entry:
    """Who runs this process, and where; by the user's id, because a variable may say anything."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user of a container that has no name
        user = str(os.getuid())
    return {"user": user, "host": socket.gethostname()}


def _engine() -> Entry:
    """The run of an engine that this process belongs to, if any; a worker belongs to one after the other."""
    run = engine_run(os.environ)
    return {"engine": run} if run else {}


def _understood(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        return {**entry, "at": float(entry["at"])}
    except (ValueError, TypeError, KeyError):
        return None
