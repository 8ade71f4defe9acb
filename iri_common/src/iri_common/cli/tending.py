"""Commands for jobs that are there: wait, logs, cancel, adopt, clean."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from iri_common.cli.asking import key_of
from iri_common.cli.documents import ref_words, status_words
from iri_common.cli.door import open_facility
from iri_common.cli.exits import Exit, exit_of_status
from iri_common.cli.jobspec import amount
from iri_common.cli.options import DoorWords
from iri_common.cli.speak import Screen
from iri_common.facility.loop import run_blocking
from iri_common.jobs.ledger import FileLedger
from iri_common.jobside.amounts import seconds_of
from iri_common.model.errors import JobFailed, NotFound, UsageError
from iri_common.model.job import JobStatus
from iri_common.model.ref import JobRef, origin_of

if TYPE_CHECKING:
    from iri_common.facility.facility import Facility

DAY = 86400.0


def wait(
    screen: Screen, door: DoorWords, references: Sequence[str], key: str | None, timeout: str | None
) -> int:
    """Wait for jobs, one facility's at a time; the first that did not succeed gives the code."""
    limit = amount("--timeout", seconds_of, timeout)
    ends: list[tuple[JobRef, JobStatus]] = []
    for facility, ref in jobs_of(door, references, key):
        ends.append(_end(screen, facility, ref, limit))
    code = next((exit_of_status(status) for _, status in ends if not status.succeeded), Exit.OK)
    if screen.as_json:
        jobs = [{**ref_words(ref), **status_words(status)} for ref, status in ends]
        screen.document({"ok": code is Exit.OK, "exit": int(code), "jobs": jobs})
    return code


def _end(screen: Screen, facility: Facility, ref: JobRef, limit: float | None) -> tuple[JobRef, JobStatus]:
    def tell(status: JobStatus) -> None:
        screen.change(str(status.state), f"{status.describe()}  ({ref.describe()})")

    try:
        result = facility.jobs.result(ref, timeout=limit, on_change=tell)
        return result.ref, result.status
    except JobFailed as failure:
        if failure.job_status.reason and failure.job_status.reason.advice:
            screen.say(f"{failure.job_status.reason.advice}.", "yellow")
        return failure.ref, failure.job_status


def logs(
    screen: Screen,
    door: DoorWords,
    reference: str | None,
    key: str | None,
    stream: str,
    lines: int,
    *,
    index: int | None = None,
) -> int:
    """The last lines of one stream of a job, or of one task of an array."""
    ((facility, ref),) = jobs_of(door, [reference] if reference else [], key)
    if ref.array and index is None:
        raise UsageError(f"each task of an array writes for itself: name one by --index ({ref.array})")
    text = facility.jobs.tail(ref, stream, lines=lines, index=index)
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, **ref_words(ref), "stream": stream, "text": text})
        return Exit.OK
    if not text:
        why = "" if facility.grades.logs != "none" else f"; {facility.name} does not show the output of jobs"
        screen.say(f"There is no {stream} of {ref.describe()} to be seen{why}.", "yellow")
    screen.result(text)
    return Exit.OK


def cancel(
    screen: Screen, door: DoorWords, references: Sequence[str], key: str | None, resource: str | None
) -> int:
    """End jobs, or whatever was asked for under a key."""
    if key and references:
        raise UsageError("give references or --key, not both")
    if key:
        facility = open_facility(door)
        identity = key_of(key)
        facility.jobs.cancel(identity, resource=resource)
        screen.say(f"Cancelled: whatever was asked for under {identity.identity} at {facility.name}.")
        done: list[dict[str, Any]] = [{"key": identity.identity}]
    else:
        done = []
        for facility, ref in jobs_of(door, references, None):
            facility.jobs.cancel(ref)
            screen.say(f"{ref.describe()}: the facility has taken the cancel.")
            done.append(ref_words(ref))
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "canceled": done})
    return Exit.OK


def adopt(screen: Screen, door: DoorWords, job_id: str, key: str, resource: str | None) -> int:
    """Put a job that is at the facility under a key."""
    facility = open_facility(door)
    ref = facility.jobs.adopt(job_id, key=key_of(key), resource=resource)
    screen.say(f"{ref.describe()} is the job of {ref.key.identity} from now on.", "dim")
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, **ref_words(ref)})
    else:
        screen.result(str(ref))
    return Exit.OK


def clean(screen: Screen, door: DoorWords, resource: str | None, older_than: float, *, dry_run: bool) -> int:
    """Remove what guards of ended jobs left behind."""
    facility = open_facility(door)
    cleaned = facility.jobs.clean(resource=resource, older_than=older_than * DAY, dry_run=dry_run)
    if screen.as_json:
        directories = list(cleaned.directories)
        screen.document(
            {
                "ok": True,
                "exit": 0,
                "dry_run": dry_run,
                "directories": directories,
                "records": cleaned.records,
            }
        )
        return Exit.OK
    for directory in cleaned.directories:
        screen.result(directory)
    verb = "would be removed" if dry_run else "removed"
    screen.say(
        f"{_many(len(cleaned.directories), 'guard directory', 'guard directories')} at {facility.name} and "
        f"{_many(cleaned.records, 'record', 'records')} of the ledger here {verb}."
    )
    return Exit.OK


def jobs_of(door: DoorWords, references: Sequence[str], key: str | None) -> list[tuple[Facility, JobRef]]:
    """The jobs that are meant, each with its facility.

    Raises:
        UsageError: if none is named, or one in two ways.
        NotFound: if nothing is on record under the key.
    """
    if key and references:
        raise UsageError("give references or --key, not both")
    if key:
        return [_job_of_key(open_facility(door), key)]
    if not references:
        raise UsageError("which job? Give its reference (iri+job://…), or --key; iri jobs lists them")
    refs = [JobRef.parse(each) for each in references]
    return [(open_facility(door, ref), ref) for ref in refs]


def _job_of_key(facility: Facility, key: str) -> tuple[Facility, JobRef]:
    identity = key_of(key)
    record = run_blocking(FileLedger().read(identity))
    ref = JobRef.parse(record.ref) if record is not None else None
    if ref is None or not ref.job_id or ref.origin != origin_of(facility.url):
        raise NotFound(
            f"no job of the key {identity.identity} is on record here for {facility.name}. iri jobs shows "
            f"what is there, iri adopt takes one over; iri run --key {shlex.quote(identity.identity)} … asks "
            "for it"
        )
    return facility, ref


def _many(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"
