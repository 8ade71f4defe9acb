"""What the commands for leases share: which are meant, and what is told however the work ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from iri_common.cli.asking import key_of
from iri_common.cli.door import open_facility
from iri_common.cli.exits import Exit
from iri_common.cli.guarded import Interrupted, error_words, tell_error
from iri_common.cli.jobspec import amount
from iri_common.cli.options import DoorWords
from iri_common.cli.speak import Screen
from iri_common.jobside.amounts import seconds_of
from iri_common.model.errors import IriError, NotFound, UsageError
from iri_common.model.ref import JobRef

if TYPE_CHECKING:
    from iri_common.facility.facility import Facility


def lease_words(ref: JobRef) -> dict[str, Any]:
    """Which lease, for a program."""
    return {
        "ref": str(ref),
        "id": ref.job_id,
        "key": ref.key.identity,
        "generation": ref.key.generation,
        "facility": ref.profile or ref.origin,
    }


def limit_of(timeout: str | None, default: float) -> float:
    """Seconds of ``--timeout``."""
    said = amount("--timeout", seconds_of, timeout)
    return default if said is None else float(said)


def meant(
    door: DoorWords,
    references: Sequence[str],
    key: str | None,
    mine: Callable[[Facility], Sequence[JobRef]],
    what: str,
) -> list[tuple[Facility, JobRef]]:
    """The leases that are meant, each with its facility.

    Raises:
        UsageError: if none is named, or one in two ways.
        NotFound: if nothing is on record under the key.
    """
    if key and references:
        raise UsageError("give references or --key, not both")
    if key:
        facility, identity = open_facility(door), key_of(key).identity
        found = [each for each in mine(facility) if each.key.identity == identity]
        if not found:
            raise NotFound(f"no {what} of the key {identity} is on record here for {facility.name}")
        return [(facility, found[0])]
    if not references:
        raise UsageError(f"which {what}? Give its reference, or --key; iri {what} list shows them")
    refs = [JobRef.parse(each) for each in references]
    return [(open_facility(door, ref), ref) for ref in refs]


def told(
    screen: Screen, document: Callable[[], Mapping[str, Any]], hint: str, work: Callable[[], int]
) -> int:
    """Do work on something that stays whatever happens here; if it does not end well, say so, and what it is.

    Args:
        screen: Where.
        document: What is known of it, for a program.
        hint: A command that goes on from here, for a person.
        work: Gives the exit code.
    """
    try:
        return work()
    except IriError as error:
        code: int = tell_error(screen, error, quiet=True)
        others: dict[str, Any] = {"error": error_words(error)}
    except Interrupted as stop:
        screen.say("Interrupted; what was asked for stays as it is.", "yellow")
        code, others = stop.code, {"interrupted": True}
    if code not in {Exit.USAGE, Exit.NOT_FOUND}:
        screen.say("Come back to it with:")
        screen.copyable(hint)
    if screen.as_json:
        screen.document({"ok": False, "exit": int(code), **document(), **others})
    return code
