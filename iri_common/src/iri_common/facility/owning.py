"""Before a transfer: whether jobs at its target will be able to read what it brings."""

from __future__ import annotations

import logging

from iri_common.apis.globus import GlobusCredential
from iri_common.facility.farreach import CollectionReach, FacilityReach
from iri_common.facility.loop import io_loop
from iri_common.facility.reach import Reach
from iri_common.model.logfields import about
from iri_common.model.transfer import Road
from iri_common.policy.owners import Writer, unread
from iri_common.policy.roads import Plan

log = logging.getLogger(__name__)

_OVER_ITS_FILES = frozenset({Road.WITHIN, Road.DIRECT, Road.HTTPS})


async def cautions(source: Reach, target: Reach, plan: Plan) -> tuple[str, ...]:
    """What to know before files go where jobs of another account are to read them.

    At most one request a token, and none where nobody could conclude anything from its answer.
    """
    if not isinstance(target, FacilityReach) or target.far is None:
        return ()
    credential = _globus(source, target, plan)
    if credential is None:
        return ()
    settings = target.settings.globus
    account = settings.account if settings is not None else None
    writer = Writer(credential.identity, credential.mode == "login", account)
    said = unread(target.settings.label, await target.principal(), writer) if writer.known else ""
    return (said,) if said else ()


def warn(plan: Plan) -> None:
    """Say it, each once in a process; only on the I/O loop."""
    said: set[str] = io_loop().belongings.setdefault("cautions", set[str]())
    for each in plan.cautions:
        if each not in said:
            said.add(each)
            log.warning("%s", each, extra=about(facility=plan.target))


def _globus(source: Reach, target: FacilityReach, plan: Plan) -> GlobusCredential | None:
    """Who writes at the target, where Globus does; None where the facility's own API does, or a job of it."""
    roads = {leg.quote.hops[1].road if leg.quote.hops else leg.quote.road for leg in plan.legs}
    if Road.GLOBUS in roads:
        asks = source.globus if isinstance(source, FacilityReach | CollectionReach) else None
        globus = target.globus or asks
        return globus.dialect.client.credential if globus is not None else None
    if target.lent and roads & _OVER_ITS_FILES and target.settings.globus is not None:
        return target.settings.globus.credential
    if Road.HTTPS in roads and target.dialect.ranges is None and target.globus is not None:
        return target.globus.dialect.client.credential
    return None
