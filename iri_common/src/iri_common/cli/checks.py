"""What ``iri doctor`` looks at, one question after the other; each answer says what to do."""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iri_common.cli.door import Choice, home_of, short
from iri_common.cli.exits import Exit, exit_of_error
from iri_common.cli.speak import elapsed, size
from iri_common.facility.standing import CLIENT_ENDS_SOON
from iri_common.model.credential import Credential, CredentialState, Principal, Renewal, SourceFacts
from iri_common.model.errors import AuthError, IriError
from iri_common.model.facility import AllocationEntry, ApiClient, Availability, Incident, Resource

if TYPE_CHECKING:
    from iri_common.facility.facility import Facility
    from iri_common.facility.settings import FacilitySettings
    from iri_common.model.grades import Grades
    from iri_common.model.network import NetworkProfile
    from iri_common.model.ports import Token, WireReply

SKEW = 30.0  # seconds: the leeway that token services grant
EXPIRES_SOON = 3600.0


class Mark(StrEnum):
    """How an answer is to be taken."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer.

    Attributes:
        topic: What was looked at, in a word.
        mark: How it is to be taken.
        says: What was found.
        remedy: What to do about it.
        exit: Code of a failure.
    """

    topic: str
    mark: Mark
    says: str
    remedy: str = ""
    exit: Exit = Exit.OK


def failed(topic: str, error: IriError, remedy: str = "") -> Finding:
    """The finding that an error makes."""
    return Finding(topic, Mark.FAIL, str(error), remedy, exit_of_error(error))


def profile(choice: Choice, settings: FacilitySettings) -> Finding:
    """Which facility, and where that is written."""
    if choice.profile is None:
        return Finding("profile", Mark.OK, f"none; {settings.url} was given")
    why = f", chosen by {choice.reason}" if choice.reason != "--facility" else ""
    return Finding("profile", Mark.OK, f"{choice.profile}, from {home_of(choice.profile)}{why}")


def ledger(directory: Path) -> Finding:
    """Whether intents can be kept here: without that, a crash could run a job twice."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory):
            pass
    except OSError as error:
        return Finding(
            "ledger",
            Mark.FAIL,
            f"{short(directory)} cannot be written: {error.strerror}",
            "make it writable, or point XDG_STATE_HOME to a directory that is",
            Exit.OTHER,
        )
    return Finding("ledger", Mark.OK, f"{short(directory)} can be written")


def reached(settings: FacilitySettings, reply: WireReply, took: float, document: WireReply | None) -> Finding:
    """Whether an API of this kind is behind the URL."""
    kind, url = settings.kind, settings.url
    name = kind.recognise(reply.status, reply.body)
    if name is None:
        return Finding(
            "url",
            Mark.FAIL,
            f"{url} answers, but not as {kind.title} does (HTTP {reply.status} to GET {kind.knock})",
            "is the URL complete, up to and including the API's version, and the profile's dialect right?",
            Exit.NOT_FOUND if reply.status == 404 else Exit.DOWN if reply.status >= 500 else Exit.OTHER,
        )
    version = _version(document)
    api = f", API {version}" if version else ""
    return Finding("url", Mark.OK, f"{url} is {name}{api}; answers in {took * 1000:.0f} ms")


def _version(document: WireReply | None) -> str | None:
    content: Any = _json(document) if document is not None and document.status == 200 else None
    with contextlib.suppress(TypeError, KeyError):
        return str(content["info"]["version"])
    return None


def clock(reply: WireReply, now: float) -> Finding | None:
    """How far the clocks are apart; None where the facility does not tell the time."""
    try:
        there = parsedate_to_datetime(reply.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None
    apart = now - there
    if abs(apart) < SKEW:
        return Finding("clock", Mark.OK, f"no more than {max(1, round(abs(apart)))} s from the facility's")
    side = "ahead of" if apart > 0 else "behind"
    return Finding(
        "clock",
        Mark.WARN,
        f"{elapsed(abs(apart))} {side} the facility's",
        "set the clock of this machine (NTP); tokens and ages of jobs are judged by it",
    )


def token(token: Token, source: SourceFacts, principal: str, now: float) -> Finding:
    """Whose token it is, and for how long."""
    expires = token.expires_at or jwt_expiry(token.value)
    says = f"{source.identity} is accepted, speaks for {principal}"
    if expires is None:
        return Finding("token", Mark.OK, f"{says}; when it expires is not told")
    left = expires - now
    says += f"; expires {datetime.fromtimestamp(expires, UTC):%Y-%m-%d %H:%M} UTC, in {elapsed(left)}"
    if source.renewal is Renewal.ITSELF:
        return Finding("token", Mark.OK, f"{says}, and is renewed by itself")
    if left < EXPIRES_SOON:
        return Finding("token", Mark.WARN, says, source.mend)
    return Finding("token", Mark.OK, says)


def refused(error: AuthError, credential: Credential) -> Finding:
    """Since when a credential works no more, and what mends it."""
    if credential.state.works or credential.state is CredentialState.UNKNOWN:
        return failed("token", error)
    return Finding("token", Mark.FAIL, credential.why, credential.mend, exit_of_error(error))


def owner(principal: Principal) -> Iterator[Finding]:
    """Whom jobs and their files belong to; nothing where no jobs are run."""
    if principal.owner is None:
        return
    why = f"; {principal.why}" if principal.why else ""
    yield Finding("owner", Mark.OK, f"jobs and their files belong to {principal.owner}{why}")


def client(clients: Sequence[ApiClient], client_id: str, now: datetime) -> Iterator[Finding]:
    """When the client dies whose key is used; nothing where that is not told."""
    for each in clients:
        if each.id != client_id or each.expires_at is None:
            continue
        left = (each.expires_at - now).total_seconds()
        until = f"{each.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, in {elapsed(left)}"
        says = f"{each.name or each.id} expires {until}"
        if left > CLIENT_ENDS_SOON.total_seconds():
            yield Finding("client", Mark.OK, says)
        else:
            yield Finding(
                "client",
                Mark.WARN,
                says,
                "make a new one there and put its key where the profile points; waits go on with it",
            )


def jwt_expiry(value: str) -> float | None:
    """When a JSON web token says that it expires; None for any other token."""
    parts = value.split(".")
    if len(parts) != 3:
        return None
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, TypeError, KeyError):
        return None


def projects(facility: Facility) -> Iterator[Finding]:
    """What can be charged, and what is left of it."""
    try:
        found = facility.accounts.projects()
    except AuthError as error:  # where the API cannot be asked whose a token is, this is what tells
        yield refused(error, facility.accounts.credential())
        return
    except IriError as error:
        yield Finding("projects", Mark.WARN, f"not told: {error}")
        return
    if not found:
        yield Finding("projects", Mark.WARN, "none", "ask the facility to make you a member of a project")
    for project in found:
        entries: list[AllocationEntry] = []
        with contextlib.suppress(IriError):
            for allocation in facility.accounts.allocations(project.id):
                entries += allocation.entries
        left = ", ".join(_left(each) for each in entries)
        exhausted = bool(entries) and all(each.left <= 0 for each in entries)
        yield Finding(
            "projects",
            Mark.WARN if exhausted else Mark.OK,
            f"{project.name}: {left or 'its allocations are not told'}",
            "charge another project (--account)" if exhausted else "",
        )


def _left(entry: AllocationEntry) -> str:
    unit = entry.unit.rpartition(":")[2]
    if unit == "bytes":
        return f"{size(entry.left)} of {size(entry.allocation)} left"
    return f"{entry.left:,.4g} of {entry.allocation:,.4g} {unit} left"


def resources(
    offered: Sequence[Resource], incidents: Sequence[Incident], chosen: Resource | None, now: datetime
) -> Iterator[Finding]:
    """What there is, how it stands, and what is announced."""
    for each in offered:
        if not (each.offers("compute") or each.offers("filesystem")):
            continue
        mine = chosen is not None and each.id == chosen.id
        used = " (jobs go here)" if mine else ""
        kinds = " and ".join(
            word for word, group in (("jobs", "compute"), ("files", "filesystem")) if each.offers(group)
        )
        down = each.status is Availability.DOWN
        yield Finding(
            "resource",
            Mark.FAIL if down and mine else Mark.OK if each.status is Availability.UP else Mark.WARN,
            f"{each.name or each.id} is {each.status}{used}, takes {kinds}",
            "wait for it, or name another (--resource); a run waits by itself, --on-outage says how"
            if down
            else "",
            Exit.DOWN if down and mine else Exit.OK,
        )
    names = {each.id: each.name or each.id for each in offered}
    for incident in incidents:
        if incident.resolution in {"completed", "cancelled"} or (incident.end and incident.end < now):
            continue
        hit = ", ".join(names[each] for each in incident.resource_ids if each in names) or "the facility"
        yield Finding(
            "incident", Mark.WARN, f"{_when(incident, now)}: {incident.name or incident.type} ({hit})"
        )


def network(domains: Sequence[Resource], profiles: Sequence[NetworkProfile]) -> Iterator[Finding]:
    """What paths can be asked for."""
    names = ", ".join(each.name or each.id for each in domains)
    if domains:
        yield Finding("network", Mark.OK, f"paths go through {names}")
    else:
        yield Finding("network", Mark.WARN, "no domain is known, so there is no path", "ask those who run it")
    described = ", ".join(each.name or each.id for each in profiles)
    yield Finding("profiles", Mark.OK, described or "none; name the ends of a path")
    yield Finding("once", Mark.OK, "a path is taken once, so a lost reply is settled by looking at it")


def grades(declared: Grades) -> Iterator[Finding]:
    """How exact "once" and "whole" are here, in words."""
    for topic, value, words in (
        ("once", declared.settle, _SETTLE),
        ("doubles", declared.guard, _GUARD),
        ("endings", declared.journal, _JOURNAL),
        ("logs", declared.logs, _LOGS),
    ):
        remedy = READABLE if topic == "endings" and value == "no" and declared.files == "direct" else ""
        yield Finding(topic, Mark.WARN if value in {"none", "no"} else Mark.OK, words[value], remedy)
    if declared.files == "none":
        yield Finding("files", Mark.WARN, "this API moves no files; put them there by other means")
    elif declared.files == "globus":
        yield Finding("files", Mark.OK, "go through the Globus collection that is lent to this facility")
    elif declared.upload_limit == 0:
        yield Finding("files", Mark.WARN, "can be looked at; this API takes none, and gives none as a whole")
    else:
        limit = f", up to {size(declared.upload_limit)} each" if declared.upload_limit else ""
        yield Finding("files", Mark.OK, f"go up and down through this API, whole or not at all{limit}")


GLOBUS_CREDENTIAL = "add a client under [globus.client] in the configuration, then run: iri globus login"
READABLE = "set guard_directory in the profile to a directory that the nodes and the file service both see"
_SETTLE: Mapping[str, str] = {
    "native": "the facility itself recognises an ask that comes twice",
    "lookup": "a lost reply is settled by looking for the job's name",
    "snapshot": "a lost reply is settled by comparing which jobs are there; not always possible",
    "none": "a lost reply cannot be settled here: the key and a person must",
}
_GUARD: Mapping[str, str] = {
    "lock": "a job checks for itself that it is not a double, so asking again is safe",
    "none": "no guard: a job that was asked for twice would run twice",
}
_JOURNAL: Mapping[str, str] = {
    "readable": "of a job that the facility forgot, its own journal tells how it ended",
    "no": "a job that the facility forgets is lost: nothing else tells how it ended",
}
_LOGS: Mapping[str, str] = {
    "follow": "a job's output can be read while it runs",
    "end": "a job's last lines can be read",
    "none": "what a job writes cannot be read through this API",
}


def _when(incident: Incident, now: datetime) -> str:
    end = f" until {incident.end:%Y-%m-%d %H:%M} UTC" if incident.end else ""
    if incident.start and incident.start > now:
        return f"{incident.status} from {incident.start:%Y-%m-%d %H:%M} UTC{end}"
    return f"{incident.status} now{end}"


def _json(reply: WireReply) -> object:
    try:
        return json.loads(reply.body)
    except ValueError:
        return None
