"""A large file over signed parts, against curl at the same store; both write and read the same file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iri_common.apis.s3 import s3_parts
from iri_common.http.bytes import HttpBytes
from iri_common.http.transport import WireSettings
from iri_common.model.facility import AccessEndpoint
from iri_common.model.grades import Grades
from iri_common.model.transfer import Move
from iri_common.transfers.parts import PartsRoad
from iri_common.transfers.trip import Trip

BUCKET = "bench"
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
_MIB = 1024 * 1024


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """A server of moto's with a bucket, until the end of the block; gives its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "s3.log").open("wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        patiently = ["--retry", "60", "--retry-delay", "1", "--retry-connrefused", "-o", os.devnull]
        subprocess.run(["curl", "-sf", *patiently, "-X", "PUT", f"{url}/{BUCKET}"], check=True)
        yield url
    finally:
        server.terminate()
        server.wait()


def moved(url: str, here: Path, *, up: bool, hashed: bool = False, parallel: int = 4) -> dict[str, float]:
    """Move one file to ``/large`` in the bucket, or from there; in a process of its own.

    Down, the store tells no SHA-256, so none is made unless it is ``hashed``.

    Gives seconds, of the clock and of the processor, and the MiB of memory that were taken above what the
    process had before.
    """
    os.environ.update(KEYS)
    return asyncio.run(_moved(url, here, os.path.getsize(here) if up else None, hashed, parallel))


async def _moved(url: str, here: Path, size: int | None, hashed: bool, parallel: int) -> dict[str, float]:
    wire = HttpBytes(WireSettings())
    endpoint = AccessEndpoint("s3", "s3", details={"bucket": BUCKET, "endpoint_url": url})
    parts = s3_parts(endpoint, WireSettings())
    await parts.abandon("", (await parts.begin("", "/warm", 1)).value)  # botocore has read its data now
    up = size is not None
    size = size if size is not None else int((await parts.link("", "/large")).value.size or 0)
    move = Move(str(here), "/large", size) if up else Move("/large", str(here), size)
    road = PartsRoad(parts, _Nothing(), wire, "", up=up, checksum=hashed or None)  # type: ignore[arg-type]
    if not up:
        _forget(here)
    with peak() as memory:
        begun, spent = time.monotonic(), time.process_time()
        await road.carry([move], Trip(_Unwatched(), _Forgetful(), parallel))
        seconds, spent = time.monotonic() - begun, time.process_time() - spent
    await wire.close()
    return {"seconds": seconds, "processor": spent, "mib": memory[0]}


def by_curl(url: str, here: Path, *, up: bool, durable: bool = False) -> dict[str, float]:
    """Seconds that curl takes for the same parts, or for the whole object; ``durable``: and for the disk."""
    os.environ.update(KEYS)
    seconds = asyncio.run(_up_by_curl(url, here, os.path.getsize(here)) if up else _down_by_curl(url, here))
    if durable:
        begun = time.monotonic()
        with here.open("rb") as file:
            os.fsync(file.fileno())
        seconds += time.monotonic() - begun
    children = os.times()
    return {"seconds": seconds, "processor": children.children_user + children.children_system}


async def _down_by_curl(url: str, here: Path) -> float:
    endpoint = AccessEndpoint("s3", "s3", details={"bucket": BUCKET, "endpoint_url": url})
    link = (await s3_parts(endpoint, WireSettings()).link("", "/large")).value
    _forget(here)
    begun = time.monotonic()
    await _ran("curl", "-sS", "-f", "-o", str(here), link.url)
    return time.monotonic() - begun


def _forget(here: Path) -> None:
    """Take away what the turn before wrote, right before the clock starts.

    A virtual machine gives memory that was free for two seconds back to its host (Linux, free page
    reporting), and whoever writes then waits for each page: a process that takes longer to start would pay.
    """
    here.unlink(missing_ok=True)


async def _up_by_curl(url: str, here: Path, size: int, parallel: int = 4) -> float:
    # Links over standard input are in no process list; curl sends whole files, so each part is one.
    endpoint = AccessEndpoint("s3", "s3", details={"bucket": BUCKET, "endpoint_url": url})
    parts = s3_parts(endpoint, WireSettings())
    upload = (await parts.begin("", "/large-by-curl", size)).value
    folder = here.parent / f"parts-{secrets.token_hex(4)}"
    folder.mkdir()
    await _ran("split", "-b", str(upload.part_size), "-a", "5", "-d", str(here), f"{folder}/")
    config = "\n".join(
        f'upload-file = "{folder}/{number:05}"\nurl = "{link}"\noutput = {os.devnull}'
        for number, link in enumerate(upload.links)
    )
    begun = time.monotonic()
    together = ["-Z", "--parallel-max", str(parallel)]
    await _ran("curl", "-sf", "--no-progress-meter", "-H", "Expect:", *together, "-K", "-", said=config)
    there = (await parts.arrived("", upload)).value
    await parts.finish("", upload, [there[number] for number in range(1, upload.parts + 1)])
    return time.monotonic() - begun


async def _ran(*words: str, said: str = "") -> None:
    process = await asyncio.create_subprocess_exec(*words, stdin=subprocess.PIPE)
    await process.communicate(said.encode())
    if process.returncode:
        raise RuntimeError(f"{words[0]} ended with {process.returncode}")


@contextlib.contextmanager
def peak() -> Iterator[list[float]]:
    """Appends the MiB that were resident at most, above those at the beginning."""
    page, taken, over = os.sysconf("SC_PAGE_SIZE"), list[float](), threading.Event()

    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page / _MIB

    def watch() -> None:
        while not over.wait(0.01):
            taken.append(resident())

    result, before = list[float](), resident()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield result
    finally:
        over.set()
        watcher.join()
        result.append(max([before, *taken]) - before)


class _Nothing:
    """A dialect without files or operations."""

    grades, operations = Grades(), None


class _Unwatched:
    """A meter that nobody looks at."""

    async def spend(self, count: int) -> None: ...

    def moved(self, count: int, name: str = "") -> None: ...

    def kept(self, count: int) -> None: ...

    def landed(self, move: Move, sha256: str | None = None) -> None: ...


class _Forgetful:
    """Notes of a transfer that is not taken up."""

    transfer = "0" * 16

    def get(self, name: str) -> Any:
        return None

    def put(self, name: str, value: object) -> None: ...

    async def written(self) -> None: ...

    async def durable(self) -> None: ...
