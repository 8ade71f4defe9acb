"""What to do when a machine or its API is down: wait with a limit, fail at once, or try anyway."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from iri_common.model.errors import IriError, SubmitUncertain
from iri_common.model.facility import Availability, Incident
from iri_common.policy.classify import Outcome


class OnOutage(StrEnum):
    """What the user wants when a resource or its API is down."""

    WAIT = "wait"
    FAIL = "fail"
    TRY = "try"


class OutageStep(StrEnum):
    """What to do now."""

    GO = "go"
    WAIT = "wait"
    FAIL = "fail"


_PAUSES = (5.0, 15.0, 30.0, 60.0, 120.0)
# No answer, or a gateway's: the service is away, rather than at odds with this request.
_AWAY = frozenset({Outcome.NOT_SENT, Outcome.LOST, Outcome.AWAY})


def outage_pause(waits: int) -> float:
    """Seconds before the facility is asked again, after so many waits."""
    return _PAUSES[min(waits, len(_PAUSES) - 1)]


def before_submit(on_outage: OnOutage, status: Availability, waited: float, limit: float) -> OutageStep:
    """Decide by the resource's status.

    Only "down" counts: "degraded" and "unknown" are common and still usable.

    Args:
        on_outage: What the user wants.
        status: Of the resource now.
        waited: Seconds waited so far.
        limit: The most seconds to wait.
    """
    if status is not Availability.DOWN or on_outage is OnOutage.TRY:
        return OutageStep.GO
    return OutageStep.WAIT if on_outage is OnOutage.WAIT and waited < limit else OutageStep.FAIL


def after_error(
    on_outage: OnOutage, error: IriError, waited: float, limit: float, *, reached: bool, guarded: bool
) -> OutageStep:
    """Decide whether an error is an outage that is waited for.

    Args:
        on_outage: What the user wants.
        error: What the submit ended with.
        waited: Seconds waited so far.
        limit: The most seconds to wait.
        reached: The facility's own service has answered before. Where it never did, no answer at all, or a
            gateway's "not found", may come of a wrong URL, which no wait mends.
        guarded: An uncertain submit may be made again.
    """
    outcome = Outcome(error.outcome) if error.outcome else None
    away = outcome in _AWAY and (reached or not (outcome is Outcome.NOT_SENT or error.status == 404))
    again = guarded if isinstance(error, SubmitUncertain) else error.transient
    wait = on_outage is OnOutage.WAIT and away and again and waited < limit
    return OutageStep.WAIT if wait else OutageStep.FAIL


def announced(
    incidents: Iterable[Incident], resource_id: str, begin: datetime, end: datetime
) -> list[Incident]:
    """The planned incidents that make a resource unusable between two moments, the first to come first."""
    unusable = [
        each
        for each in incidents
        if each.type != "unplanned"
        and each.resolution not in {"cancelled", "completed"}
        and each.status is Availability.DOWN
        and (not each.resource_ids or resource_id in each.resource_ids)
        and each.start is not None
        and each.start < end
        and (each.end is None or each.end > begin)
    ]
    return sorted(unusable, key=lambda each: each.start or begin)
