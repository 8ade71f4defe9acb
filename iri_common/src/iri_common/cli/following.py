"""Showing what a job writes as it comes: stdout on stdout, stderr on stderr."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from iri_common.cli.door import same_door
from iri_common.cli.exits import Exit
from iri_common.cli.guarded import Interrupted, error_words, tell_error, unread
from iri_common.cli.options import DoorWords
from iri_common.cli.speak import Screen
from iri_common.cli.tending import jobs_of
from iri_common.model.errors import IriError, JobFailed
from iri_common.model.job import JobResult, JobStatus
from iri_common.model.logs import LogChunk
from iri_common.model.ref import JobRef

if TYPE_CHECKING:
    from iri_common.facility.facility import Facility

BOTH = ("stdout", "stderr")


def logs(
    screen: Screen,
    door: DoorWords,
    reference: str | None,
    key: str | None,
    *,
    stderr: bool = False,
    index: int | None = None,
) -> int:
    """Everything a job writes, from the beginning to its end; for programs, a JSON value a line."""
    ((facility, ref),) = jobs_of(door, [reference] if reference else [], key)
    try:
        for chunk in facility.jobs.follow(ref, streams=("stderr",) if stderr else BOTH, index=index):
            _show(screen, chunk)
    except Interrupted as stop:
        screen.say("Interrupted. The job goes on; its output is followed again with:", "yellow")
        _tell_again(screen, door, ref)
        return stop.code
    except BrokenPipeError:
        code = unread()
        screen.say("Nobody reads the output any more; it is followed again with:", "yellow")
        _tell_again(screen, door, ref)
        return code
    except IriError as error:
        code = tell_error(screen, error, quiet=True)
        if screen.as_json:
            _line({"exit": int(code), "error": error_words(error)})
        return code
    return Exit.OK


def _tell_again(screen: Screen, door: DoorWords, ref: JobRef) -> None:
    screen.copyable(f"iri logs --follow{same_door(door, ref.profile)} --key {shlex.quote(ref.key.identity)}")


def result_shown(
    screen: Screen,
    facility: Facility,
    ref: JobRef,
    timeout: float | None,
    tell: Callable[[JobStatus], None],
) -> JobResult:
    """Wait for success and show the output meanwhile; all of it is shown before this returns or raises.

    Raises:
        JobFailed: as ``facility.jobs.result`` does, and whatever else that raises.
        BrokenPipeError: if nobody reads the output any more; the job goes on.
    """
    return asyncio.run(_both(screen, facility, ref, timeout, tell))


async def _both(
    screen: Screen,
    facility: Facility,
    ref: JobRef,
    timeout: float | None,
    tell: Callable[[JobStatus], None],
) -> JobResult:
    jobs = facility.aio.jobs

    async def show() -> None:
        async with aclosing(jobs.follow(ref)) as chunks:
            async for chunk in chunks:
                _show(screen, chunk)

    showing = asyncio.create_task(show())
    waiting = asyncio.create_task(jobs.result(ref, timeout=timeout, on_change=tell))
    try:
        await asyncio.wait([showing, waiting], return_when=asyncio.FIRST_COMPLETED)
        if showing.done() and isinstance(error := showing.exception(), BrokenPipeError):
            raise error
        result = await waiting
    except JobFailed:
        await showing
        raise
    except BaseException:
        showing.cancel()
        waiting.cancel()
        await asyncio.wait([showing, waiting])
        raise
    await showing
    return result


def _show(screen: Screen, chunk: LogChunk) -> None:
    if screen.as_json:
        _line({"stream": chunk.stream, "text": chunk.text, "offset": chunk.offset})
    elif chunk.anew:
        screen.say(f"({chunk.stream} begins anew)", "dim")
    else:
        stream = sys.stdout if chunk.stream == "stdout" else sys.stderr
        stream.write(chunk.text)
        stream.flush()


def _line(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
