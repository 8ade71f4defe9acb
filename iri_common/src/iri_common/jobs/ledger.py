"""A ledger in files: one small JSON file an identity, written durably, claimed by one process at a time."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from iri_common.model.errors import IriError
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.policy.places import place

log = logging.getLogger(__name__)

LITTER = 3600.0  # seconds after which a file that is put aside is nobody's any more

P = ParamSpec("P")
T = TypeVar("T")


def default_directory() -> Path:
    """``$XDG_STATE_HOME/iri/ledger``, by default under ``~/.local/state``."""
    return Path(place(os.environ, "state", "ledger")).expanduser()


class FileLedger:
    """Records in a directory that only its owner may read.

    Only link, rename and exclusive creation are used, which hold on NFS homes too; no byte-range locks.

    Args:
        directory: Created when first written to.
        clock: Seconds since the epoch.
    """

    def __init__(self, directory: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory or default_directory()
        self._clock = clock

    async def read(self, key: JobKey) -> LedgerRecord | None:
        """The newest record of the key's identity, or None.

        Raises:
            IriError: if a record is there and cannot be understood: forgetting would run work twice.
        """
        return await self._do(self._read, key)

    async def write(self, record: LedgerRecord, owner: str | None = None) -> bool:
        """Store durably: the file and its directory entry are on disk when this returns.

        Args:
            record: To store.
            owner: Who must hold the claim for that; anybody if None.

        Returns:
            Whether it was stored.
        """
        return await self._do(self._write, record, owner)

    async def records(self) -> Sequence[LedgerRecord]:
        """The newest record of every identity; a file that cannot be understood is left out, and logged."""
        return await self._do(self._records)

    async def forget(self, key: JobKey) -> None:
        """Drop an identity, and whatever a crash left lying about beside it."""
        await self._do(self._forget, key)

    async def claim(self, key: JobKey, owner: str, seconds: float) -> bool:
        """Take the identity for so long, or keep it for so long again.

        A claim that ran out, or whose process died on this machine, is broken.
        """
        return await self._do(self._claim, key, owner, seconds)

    async def release(self, key: JobKey, owner: str) -> None:
        """Give it back if it is the owner's."""
        await self._do(self._release, key, owner)

    async def _do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        # A cancelled caller leaves only when its thread is through: a claim taken after the release would
        # stay for minutes, and an old record written late would hide that the job was accepted.
        running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise
        except OSError as error:
            raise IriError(
                f"the ledger in {self._directory} cannot be used ({error}); a job could run twice "
                "without it. Make the directory writable, or point XDG_STATE_HOME to one that is"
            ) from None

    def _read(self, key: JobKey) -> LedgerRecord | None:
        path = self._path(key, "json")
        try:
            record = _load_record(path)
        except FileNotFoundError:
            return None
        if record.identity != key.identity:
            raise IriError(f"the ledger file {path} belongs to {record.identity}, not to {key.identity}")
        return record

    def _records(self) -> list[LedgerRecord]:
        records: list[LedgerRecord] = []
        for path in sorted(self._directory.glob("*.json")):
            try:
                records.append(_load_record(path))
            except FileNotFoundError:
                continue  # forgotten meanwhile
            except IriError as error:
                log.warning("%s", error)
        return records

    def _forget(self, key: JobKey) -> None:
        self._path(key, "json").unlink(missing_ok=True)
        for litter in self._directory.glob(f"{key.digest}.*"):
            if litter.suffix == ".claim":
                continue  # its owner's, or it runs out
            with contextlib.suppress(FileNotFoundError):
                # A young one is in use: another process is about to claim, or to write.
                if self._clock() - litter.stat().st_mtime > LITTER:
                    litter.unlink()

    def _write(self, record: LedgerRecord, owner: str | None) -> bool:
        key = JobKey(record.identity)
        path = self._path(key, "json")
        aside = path.with_suffix(f".{secrets.token_hex(4)}")
        self._put(aside, asdict(record))
        # The last thing before the rename: what another process writes it writes under a claim of its own.
        if owner is not None and not self._holds(key, owner):
            aside.unlink()
            return False
        os.replace(aside, path)
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return True

    def _holds(self, key: JobKey, owner: str) -> bool:
        held = _load_claim(self._path(key, "claim"))
        return held is not None and held["owner"] == owner and held["until"] > self._clock()

    def _claim(self, key: JobKey, owner: str, seconds: float) -> bool:
        path = self._path(key, "claim")
        aside = path.with_suffix(f".{secrets.token_hex(4)}")
        self._put(aside, {"owner": owner, "until": self._clock() + seconds})
        try:
            for _ in range(2):
                try:
                    os.link(aside, path)  # fails if there is one: link is atomic, also on NFS
                    return True
                except FileExistsError:
                    held = _load_claim(path)
                    if held is not None and held["owner"] == owner and held["until"] > self._clock():
                        os.replace(aside, path)
                        return True
                    if not self._break_dead(path):
                        return False
            return False
        finally:
            aside.unlink(missing_ok=True)

    def _break_dead(self, path: Path) -> bool:
        held = _load_claim(path)
        if held is None:
            return True  # given back meanwhile: what is there by now is somebody's good claim
        if held["until"] > self._clock() and not _owner_died(held["owner"]):
            return False
        taken = path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            os.rename(path, taken)
        except FileNotFoundError:
            return True
        if _load_claim(taken) != held:  # somebody broke it first and holds it now: put theirs back
            # If a third one was quicker still, the one in the middle learns it when it renews its claim,
            # which it does before it sends.
            with contextlib.suppress(FileExistsError):
                os.link(taken, path)
        taken.unlink()
        return True

    def _release(self, key: JobKey, owner: str) -> None:
        path = self._path(key, "claim")
        held = _load_claim(path)
        if held is not None and held["owner"] == owner:
            with contextlib.suppress(OSError):  # it runs out by itself
                path.unlink()

    def _path(self, key: JobKey, suffix: str) -> Path:
        return self._directory / f"{key.digest}.{suffix}"

    def _put(self, path: Path, content: dict[str, Any]) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _load_record(path: Path) -> LedgerRecord:
    try:
        fields: dict[str, Any] = json.loads(path.read_text())
        fields["stage"] = Stage(fields["stage"])
        fields["generation"] = int(fields["generation"])
        if fields.get("before") is not None:
            fields["before"] = tuple(fields["before"])
        known = {each.name for each in dataclasses.fields(LedgerRecord)}  # a newer version may know more
        return LedgerRecord(**{name: value for name, value in fields.items() if name in known})
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise IriError(
            f"the ledger file {path} cannot be read ({error}); move it away if it is broken"
        ) from None


def claim_owner() -> str:
    """A name for this process and this moment: ``machine:pid:random``."""
    return f"{_MACHINE}:{os.getpid()}:{secrets.token_hex(4)}"


def _machine() -> str:
    """Where a process id means something: this host, and on Linux this container of it.

    Containers may share a host name and a home, and do not see each other's processes.
    """
    try:
        return f"{socket.gethostname()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname()


_MACHINE = _machine()  # read here, because owners are named on the I/O loop, which must not touch the disk


def _load_claim(path: Path) -> dict[str, Any] | None:
    """The claim, None if there is none; one that cannot be understood is nobody's and has run out."""
    try:
        held = json.loads(path.read_text())
        return {"owner": str(held["owner"]), "until": float(held["until"])}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError):
        return {"owner": "", "until": 0.0}


def _owner_died(owner: str) -> bool:
    machine, _, rest = owner.partition(":")
    if machine != _MACHINE:
        return False  # not to be known from here: its claim must run out
    try:
        os.kill(int(rest.partition(":")[0]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError, OverflowError):
        return False
    return False
