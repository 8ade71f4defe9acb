"""Paths: what SENSE calls service instances."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast
from uuid import UUID

from iri_common.apis.reading import Reading, segment
from iri_common.apis.sense.intents import MOST, TEMPLATE, document
from iri_common.apis.sense.states import is_reserved, lease_state, parts
from iri_common.apis.sense.wire import (
    ComputedReply,
    InstanceReply,
    InstancesReply,
    ManifestReply,
    PortReply,
    PortsReply,
    ProfileReply,
    QueryReply,
    ResultReply,
    VerificationReply,
)
from iri_common.http.session import Reply, Request, Session
from iri_common.model.errors import NotFound
from iri_common.model.network import (
    Bandwidth,
    LeaseState,
    LeaseStatus,
    NetworkProfile,
    PathIntent,
    PathOffer,
    PathPort,
    PathProof,
)
from iri_common.model.outcome import Done
from iri_common.model.ports import WireRequest
from iri_common.policy.classify import Outcome
from iri_common.policy.retry import Replay


class SenseNetworks:
    """The instances of an orchestrator."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def new(self) -> Done[str]:
        """A fresh UUID; the server keeps nothing of it."""
        reply = await self._session.send(Request(operation="new", method="GET", path="/instance"))
        told = reply.value.strip().strip('"') if isinstance(reply.value, str) else ""
        try:
            return Done(str(UUID(told)))
        except ValueError:
            raise self._reading("new").unfit("a UUID was expected") from None

    async def compute(self, lease_id: str, intent: PathIntent, alias: str) -> Done[PathOffer]:
        """The same instance may be computed again and again; the last one counts."""
        reply = await self._session.send(_compute(lease_id, intent, alias))
        reading = self._reading("compute")
        computed = reading.one(ComputedReply, reply.value)
        queries = [] if computed.queries is None else reading.many(QueryReply, computed.queries)
        most = [
            Bandwidth(result.name, result.bandwidth)
            for query in queries
            if query.asked == MOST and query.results is not None
            for result in reading.many(ResultReply, query.results)
        ]
        return Done(PathOffer(lease_id, computed.intent_uuid, most))

    async def provision(self, lease_id: str, intent_id: str | None) -> Done[None]:
        """Taken from the phase COMPILED only, which it ends."""
        await self._session.send(_provision(lease_id, intent_id))
        return Done(None)

    def provision_requests(self, lease_id: str, intent: PathIntent, alias: str) -> Sequence[WireRequest]:
        """What :meth:`compute` and :meth:`provision` send, without the credential."""
        both = (_compute(lease_id, intent, alias), _provision(lease_id, None))
        return [self._session.wire(each) for each in both]

    async def modify(self, lease_id: str, intent: PathIntent, alias: str) -> Done[None]:
        """Taken in the phase READY only; no path for it leaves the one that there is."""
        await self._session.send(_modify(lease_id, intent, alias))
        return Done(None)

    def modify_request(self, lease_id: str, intent: PathIntent, alias: str) -> WireRequest:
        """What :meth:`modify` sends, likewise."""
        return self._session.wire(_modify(lease_id, intent, alias))

    async def status(self, lease_id: str) -> Done[LeaseStatus]:
        """State and configuration in one request, so that they belong together."""
        path = f"/instance/{segment(lease_id, 'lease')}"
        try:
            reply = await self._session.send(Request(operation="status", method="GET", path=path))
        except NotFound as error:
            if error.outcome != Outcome.NOT_FOUND:
                raise
            return Done(LeaseStatus(lease_id, LeaseState.MISSING, reserved=False))
        return Done(_status(lease_id, self._reading("status").one(InstanceReply, reply.value)))

    async def find(self, name: str) -> Done[Sequence[LeaseStatus]]:
        """The server searches for a part of the name; the list does not tell how the sites stand."""
        request = Request(
            operation="find", method="GET", path="/discover/service/instances", params=[("search", name)]
        )
        reply = await self._session.send(request)
        reading = self._reading("find")
        told = reading.one(InstancesReply, reply.value).instances
        rows = [] if told is None else reading.many(InstanceReply, told)
        named = [row for row in rows if row.alias and row.alias.endswith(name)]
        return Done([_status(each, row) for row in named if (each := _id_of(row))])

    async def verification(self, lease_id: str) -> Done[PathProof]:
        """What was asked for and not found is told as a part of the model."""
        path = f"/verification/{segment(lease_id, 'lease')}"
        reply = await self._session.send(Request(operation="verification", method="GET", path=path))
        told = self._reading("verification").one(VerificationReply, reply.value)
        missing, left = told.unverified_addition.strip(), told.unverified_reduction.strip()
        refuted = "false" in {told.addition.lower(), told.reduction.lower()}
        return Done(PathProof(not (missing or left or refuted), missing, left))

    async def manifest(self, lease_id: str) -> Done[Sequence[PathPort]]:
        """The template is filled from the model of what was set up; nothing changes by that."""
        path = f"/service/manifest/{segment(lease_id, 'lease')}/json"
        request = Request(operation="manifest", method="POST", path=path, json=TEMPLATE)
        reading = self._reading("manifest")
        told = reading.one(ManifestReply, (await self._session.send(request)).value)
        try:
            inner: object = json.loads(told.filled)
        except (ValueError, RecursionError):
            raise reading.unfit("the manifest is no JSON") from None
        ports = reading.one(PortsReply, inner).ports
        rows = [] if ports is None else reading.many(PortReply, ports)
        return Done(
            [PathPort(row.port, row.vlan, row.node, row.ipv4, row.ipv6, row.mac) for row in rows if row.port]
        )

    async def cancel(self, lease_id: str, *, force: bool) -> Done[None]:
        """Refused without force unless the instance is ready."""
        params = [("sync", "false")] + ([("force", "true")] if force else [])
        await self._act("cancel", lease_id, params)
        return Done(None)

    async def delete(self, lease_id: str) -> Done[None]:
        """Nothing is left to look at afterwards."""
        await self._act("delete", lease_id, (), Replay.SAFE)
        return Done(None)

    async def profiles(self) -> Done[Sequence[NetworkProfile]]:
        """Those that this user may use."""
        reply = await self._session.send(Request(operation="profiles", method="GET", path="/profile"))
        rows = self._reading("profiles").many(ProfileReply, reply.value)
        return Done([NetworkProfile(row.uuid, row.name, row.description) for row in rows])

    async def _act(
        self,
        operation: str,
        lease_id: str,
        params: Sequence[tuple[str, str]],
        replay: Replay = Replay.ONCE,
    ) -> Reply:
        return await self._session.send(_action(operation, lease_id, params, replay))

    def _reading(self, operation: str) -> Reading:
        return Reading(self._session.label, operation)


def _compute(lease_id: str, intent: PathIntent, alias: str) -> Request:
    path = f"/instance/{segment(lease_id, 'lease')}"
    return Request(operation="compute", method="POST", path=path, json=document(intent, alias))


def _provision(lease_id: str, intent_id: str | None) -> Request:
    # sync=true holds the request for minutes, and tells no more than the status does.
    return _action("provision", lease_id, [("sync", "false"), ("intent", intent_id or "last")])


def _modify(lease_id: str, intent: PathIntent, alias: str) -> Request:
    return Request(
        operation="modify",
        method="POST",
        path=f"/instance/{segment(lease_id, 'lease')}/modify",
        replay=Replay.ONCE,
        params=[("sync", "false"), ("proceed", "true")],
        json=document(intent, alias),
    )


def _action(
    operation: str, lease_id: str, params: Sequence[tuple[str, str]], replay: Replay = Replay.ONCE
) -> Request:
    path = f"/instance/{segment(lease_id, 'lease')}/{operation}"
    return Request(operation=operation, method="PUT", path=path, replay=replay, params=params)


def _id_of(row: InstanceReply) -> str:
    return row.reference or row.uuid


def _newest(intents: object) -> str:
    """The id of the last intent of an instance."""
    rows = cast("list[object]", intents) if isinstance(intents, list) else []
    last = rows[-1] if rows else None
    found = cast("dict[str, object]", last).get("id") if isinstance(last, dict) else None
    return found if isinstance(found, str) else ""


def _status(lease_id: str, row: InstanceReply) -> LeaseStatus:
    doing, phase = parts(row.state)
    doing, phase = doing or row.doing, phase or row.phase
    words = f"{doing} - {phase}" if doing else row.state
    return LeaseStatus(
        lease_id,
        lease_state(doing, phase, row.configured),
        f"{words}, {row.configured or 'configuration not told'}",
        row.alias or None,
        ready=phase == "READY",
        reserved=is_reserved(doing, phase, row.last),
        canceled=doing == "CANCEL",
        intent_id=_newest(row.intents),
    )
