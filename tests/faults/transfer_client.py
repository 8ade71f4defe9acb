"""A client that moves a file and ends itself at a step that was chosen before: a process for each try.

Like ``asking_client`` it is a program that imports the core once and forks a client for every plan it reads.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import math
import os
import re
import resource
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from asking_client import HURRY, Fate, Story, Strike, serve

from iri_common import Facility, FileLedger, GlobusCredential, GlobusSettings, IriError
from iri_common.apis.s3 import parts as s3_parts
from iri_common.apis.s3.store import Bucket
from iri_common.facility import doors
from iri_common.http.budget import Budget
from iri_common.http.bytes import HttpBytes
from iri_common.http.transport import HttpxTransport
from iri_common.transfers import abreast, aside, chunks, https, notes, parts, spans

MIB = 1024 * 1024
PART = 256 * 1024  # bytes: files of a few of them go quickly, and are in parts all the same

# A request is called in a plan what its path calls it: upload, mv, task, …
_NAME = re.compile(r"/(?:compute|filesystem)/(\w+)/|/(task)/")
# What S3 is asked for in the name of its own credentials.
_OF_STORE = {
    "create_multipart_upload": "begin",
    "list_parts": "arrived",
    "complete_multipart_upload": "finish",
    "head_object": "head",
}

AT_EASE = functools.partial(Budget, per_second=500.0, burst=500)  # of requests, where many are made
SMALL: tuple[tuple[Any, str, Any], ...] = (
    (doors, "Budget", AT_EASE),
    (chunks, "PART_UP", PART),
    (chunks, "PART_DOWN", PART),
    (s3_parts, "PART_SIZE", PART),
    (s3_parts, "MIB", PART),
    (s3_parts, "CLOCKS", math.inf),  # moto says of every upload that it was opened in 2010
    (spans, "MIB", PART // 4),
    (spans, "_NOTED_EVERY", PART // 2),
    (spans, "_UNNOTED", 2 * PART),
    (spans, "_SYNCED_EVERY", 2 * PART),
    (spans, "_BLOCK", PART // 4),
    (spans, "_WORTH_SPLITTING", 4 * PART),
    (spans, "_NEXT_READER", 0.0),
    (parts, "MIB", PART // 4),
    (https, "MIB", PART // 4),
)


@dataclass(frozen=True)
class TransferPlan:
    """One try.

    Attributes:
        story: File to which it writes what it was told, a line of JSON each.
        state: Directory of its notes and its ledger.
        url: Of the facility, with ``token``.
        road: Which.
        up: From this machine to the facility, else down.
        source: As that end writes it.
        target: As well.
        parallel: Parts at once.
        jobs: The directory in which jobs run.
        environment: What else it finds there: credentials of the store, where Globus is.
        globus: A client's id and its secret.
        strike: When it ends.
        limit: Bytes of a file that it may write at most; 0 for any.
        small: Parts are small, and pauses short.
        slow: Seconds that each note takes until it is in its file.
        warm: Before, it moves what has the same names with ``.small`` after them, and says so.
        boot: What this boot of the machine is called, if not by its own name.
        disk: File that stands for the disk: in mid-way the power fails, and what is not in it is lost.
    """

    story: str
    state: str
    url: str
    token: str
    road: str
    up: bool
    source: str
    target: str
    parallel: int = 3
    jobs: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    globus: tuple[str, str] = ("", "")
    strike: Strike | None = None
    limit: int = 0
    small: bool = True
    slow: float = 0.0
    warm: bool = False
    boot: str = ""
    disk: str = ""

    def line(self) -> str:
        """For the program's standard input."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def of(cls, line: str) -> TransferPlan:
        """The plan of a line."""
        words = json.loads(line)
        strike = words.pop("strike")
        return cls(**words, strike=Strike(**strike) if strike else None)


def fated_wires(fate: Fate, story: Story) -> None:
    """Let requests of the API, of the store and of the wire for bytes strike, and every piece that passes.

    What is asked for is told, for the logs of servers do not say it.
    """
    true_send, true_at_work = HttpxTransport.send, Bucket._at_work
    true_put, true_get = HttpBytes.put, HttpBytes.get

    async def send(self, request):
        found = _NAME.search(request.url)
        step = (found[1] or found[2]) if found else "other"
        if step == "download":
            story.tell("asked", path=request.json["path"])
        return await _struck(fate, ("request", step), true_send(self, request))

    def at_work(self, operation, work):
        step = _OF_STORE.get(operation, "sign")
        fate.before(step)
        try:
            return true_at_work(self, operation, work)
        finally:
            fate.after(step)

    async def put(self, url, size, pieces, headers=None):
        return await _struck(
            fate, ("request", "put"), true_put(self, url, size, _passing(fate, pieces), headers)
        )

    def get(self, url, start=0, end=None, headers=None):
        story.tell("asked", start=start, end=end)
        return _Got(fate, true_get(self, url, start, end, headers))

    HttpxTransport.send, Bucket._at_work = send, at_work
    HttpBytes.put, HttpBytes.get = put, get


async def _struck(fate: Fate, steps: tuple[str, ...], doing: Awaitable[Any]) -> Any:
    for step in steps:
        fate.before(step)
    try:
        return await doing
    finally:
        for step in steps:
            fate.after(step)


async def _passing(fate: Fate, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        fate.before("piece")
        yield piece
        fate.after("piece")
        await asyncio.sleep(0.002)  # a wire is not faster than a disk, on which notes are written meanwhile


class _Got:
    """A reply whose pieces strike."""

    def __init__(self, fate: Fate, asked: Any) -> None:
        self._fate, self._asked = fate, asked

    async def __aenter__(self) -> Any:
        self._fate.before("get")
        reply = await self._asked.__aenter__()
        object.__setattr__(reply, "pieces", _passing(self._fate, reply.pieces))
        return reply

    async def __aexit__(self, *error: Any) -> Any:
        self._fate.after("get")
        return await self._asked.__aexit__(*error)


def slow_notes(seconds: float) -> None:
    """Have notes lag behind, as they do where many want the processor and the disk."""

    def write(descriptor: int, line: bytes) -> int:
        time.sleep(seconds)
        return os.write(descriptor, line)

    notes.os = SimpleNamespace(**{**vars(os), "write": write})


def failing_power(disk: Path, state: Path) -> None:
    """Have the disk keep what it is told at first, and stand still until far more is noted than it has."""
    turns = itertools.count()

    def sync(descriptor: int) -> None:
        if next(turns) == 0:
            disk.write_bytes(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
            return
        until = time.monotonic() + 60
        while lost_in_memory(state) < 4 * PART:
            assert time.monotonic() < until
            time.sleep(0.01)
        signal.pthread_kill(threading.get_ident(), signal.SIGKILL)

    aside._sync_content = sync


def lost_in_memory(state: Path) -> int:
    """Bytes that the notes tell of, and that are not on the disk, once they tell of some that are."""
    (file,) = (state / "iri" / "transfers").glob("*.jsonl")
    told = json.loads(file.read_bytes().rpartition(b"\n")[0].splitlines()[-1])[1]
    if "in_memory" not in told:
        return 0
    on_disk = told["missing"][0][0]
    return told["in_memory"]["missing"][0][0] - on_disk if on_disk else 0


def move(plan: TransferPlan, facility: Facility) -> str | None:
    """Move what is planned; gives the digest of one file."""
    words: Any = {"road": plan.road, "allow_job": True, "parallel": plan.parallel}
    if plan.road == "parts":
        words["storage"] = "objects"
    go = facility.files.put if plan.up else facility.files.get
    return go(plan.source, plan.target, **words).sha256


def live(plan: TransferPlan) -> None:
    """One client from its beginning to its end, if it gets that far."""
    if plan.small:
        for where, name, value in (*HURRY, *SMALL):
            assert hasattr(where, name), f"{where} has no {name} any more"
            setattr(where, name, value)
        for module in (abreast, https, parts, spans):  # they have it by name
            module.backoff = lambda attempt, chance, limits: 0.05
    if plan.slow:
        slow_notes(plan.slow)
    if plan.boot:
        aside.boot_id = lambda: plan.boot
    if plan.disk:
        failing_power(Path(plan.disk), Path(plan.state))
    if plan.limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan.limit, plan.limit))
    os.environ.update(plan.environment, XDG_STATE_HOME=plan.state)
    story = Story(plan.story)
    if plan.small:
        fated_wires(Fate(plan.strike), story)
    ledger = FileLedger(Path(plan.state) / "ledger")
    client_id, secret = plan.globus
    facility = Facility(
        plan.url,
        token=plan.token,
        poll_seconds=0.05,
        ledger=ledger,
        directory=plan.jobs,
        outage_limit=60.0,
        globus=GlobusSettings(credential=GlobusCredential(client_id, lambda: secret)),
    )
    try:
        if plan.warm:
            ends = {"source": f"{plan.source}.small", "target": f"{plan.target}.small"}
            move(replace(plan, **ends), facility)
            story.tell("warm")
        story.tell("done", sha256=move(plan, facility))
    except IriError as error:
        story.tell("error", kind=type(error).__name__, message=str(error))
    except KeyboardInterrupt:
        story.tell("interrupted")


def main() -> None:
    """Fork a client for each plan."""
    import botocore.session  # noqa: F401 - what every client would import for itself
    import globus_sdk

    globus_sdk.TransferClient  # noqa: B018 - it is lazy
    serve(TransferPlan.of, live)


if __name__ == "__main__":
    main()
