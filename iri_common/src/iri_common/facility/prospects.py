"""Asks one door what speaks for it and against it, before a facility is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from iri_common.facility.doors import Door, open_door
from iri_common.facility.settings import FacilitySettings
from iri_common.model.credential import Credential, CredentialState
from iri_common.model.errors import IriError, NotOffered, Refused
from iri_common.model.facility import Allocation, Incident, QueueLength, Resource
from iri_common.model.grant import Verb
from iri_common.model.job import JobEntry
from iri_common.model.ports import AccountsApi, Dialect, QueueApi
from iri_common.model.state import JobState
from iri_common.policy.choice import Prospect, Requirements
from iri_common.policy.grants import Ask, refusal
from iri_common.policy.operations import job_ask
from iri_common.policy.outage import announced

QUEUED = frozenset({JobState.NEW, JobState.QUEUED, JobState.HELD})
_USELESS = frozenset({CredentialState.NOT_YET_VALID, CredentialState.EXPIRED, CredentialState.NEEDS_PERSON})
ENOUGH = 200  # jobs of mine that are counted; beyond that a queue is long, however long


async def prospect(settings: FacilitySettings, requirements: Requirements) -> Prospect:
    """What the door of these settings tells; a door that tells nothing is a closed one, not an error."""
    try:
        door = open_door(settings)
        known = await door.resource(settings.resource, "compute")
        machine = replace(known, status=(await door.dialect.status.resource(known.id)).value.status)
    except IriError as error:
        return Prospect(settings.label, settings.resource or "", closed=error.message)
    name, dialect = machine.name or machine.id, door.dialect
    if closed := await _not_granted(door, settings, machine, requirements):
        return Prospect(settings.label, name, closed, machine.status)
    credential = await door.standing.credential()
    if credential.state in _USELESS:
        return Prospect(settings.label, name, _told(credential), machine.status)
    unknown: list[str] = []
    account = settings.defaults_for(machine.name, machine.id, settings.resource).account
    over = datetime.now(UTC) + timedelta(seconds=requirements.seconds or 0)
    incident = await _away(dialect, machine, requirements, unknown)
    jobs = await _mine(dialect, machine, unknown)
    states = [each.status.state for each in jobs or ()]
    return Prospect(
        settings.label,
        name,
        status=machine.status,
        away=incident.start if incident else None,
        back=incident.end if incident else None,
        credential_ends=None if credential.outlives(over) else credential.until,
        node_hours_left=await _left(dialect.accounts, account, unknown),
        waiting=sum(state in QUEUED for state in states) if jobs is not None else None,
        running=states.count(JobState.ACTIVE) if jobs is not None else None,
        queue=await _queue(dialect, machine, unknown),
        unknown=tuple(unknown),
    )


async def _not_granted(
    door: Door, settings: FacilitySettings, machine: Resource, requirements: Requirements
) -> str:
    """Why the profile may not be used for this; "" if it may, or if what it limits is not known yet."""
    defaults, seconds = (
        settings.defaults_for(machine.name, machine.id, settings.resource),
        requirements.seconds,
    )
    limited = {
        "accounts": defaults.account,
        "queues": defaults.queue,
        "node_hours": seconds,
        "node_hours_a_day": seconds,
    }
    grant = replace(settings.grant, **{limit: None for limit, known in limited.items() if known is None})
    attributes = {"account": defaults.account, "queue_name": defaults.queue, "duration": seconds}
    job = job_ask({"resources": {"node_count": requirements.nodes}, "attributes": attributes})
    names = (machine.id, machine.name or machine.id)
    try:
        spent = await door.gate.spent_today()
    except IriError as error:
        return error.message
    refused = refusal(grant, Ask(Verb.SUBMIT, "jobs submit", names, job=job), spent)
    return "" if refused is None else f"its grant does not allow {refused.asked}; allowed: {refused.allowed}"


def _told(credential: Credential) -> str:
    mend = f"; {credential.mend}" if credential.mend else ""
    return f"the credential is of no use now ({credential.state}): {credential.why}{mend}"


async def _away(
    dialect: Dialect, machine: Resource, requirements: Requirements, unknown: list[str]
) -> Incident | None:
    try:
        incidents = (await dialect.status.incidents()).value
    except IriError:
        unknown.append("nothing is told of maintenance")
        return None
    begin = datetime.now(UTC)
    planned = announced(incidents, machine.id, begin, begin + timedelta(seconds=requirements.seconds or 0))
    return planned[0] if planned else None


async def _mine(dialect: Dialect, machine: Resource, unknown: list[str]) -> Sequence[JobEntry] | None:
    try:
        return (
            await dialect.jobs.list(machine.id, offset=0, limit=ENOUGH, historical=False, names=False)
        ).value
    except IriError:
        unknown.append("my jobs cannot be listed now")
        return None


async def _queue(dialect: Dialect, machine: Resource, unknown: list[str]) -> QueueLength | None:
    """Of all users; None where no one request tells that."""
    if not isinstance(dialect.status, QueueApi):
        return None
    try:
        return (await dialect.status.queue(machine.id)).value
    except IriError:
        unknown.append("the length of its queue cannot be read now")
        return None


async def _left(accounts: AccountsApi, account: str | None, unknown: list[str]) -> float | None:
    """Node hours that the account has left; None where that is not told, or in other units."""
    if account is None:
        return None
    try:
        projects = (await accounts.projects()).value
        of_account = [each for each in projects if account in (each.id, each.name)]
        if not of_account:
            unknown.append(f"nothing is told of the account {account}")
            return None
        allocations = (await accounts.project_allocations(of_account[0].id)).value
    except (NotOffered, Refused):
        return None
    except IriError:
        unknown.append("what is left of the allocation cannot be read now")
        return None
    return _node_hours(allocations)


def _node_hours(allocations: Sequence[Allocation]) -> float | None:
    left = [
        entry.left
        for each in allocations
        for entry in each.entries
        if entry.unit.replace("_", "-").casefold().endswith("node-hours")
    ]
    return sum(left) if left else None
