"""Runs of Globus Flows behind the port."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from iri_common.apis.globus.answers import an_id, an_object, objects, state_of
from iri_common.apis.globus.client import LABEL, GlobusClient, Service
from iri_common.apis.globus.rules import FLOWS, Needs, flow_scope, runs_scopes
from iri_common.model.errors import AuthError, Conflict, NotFound, PermissionDenied, ReplyError
from iri_common.model.flows import FlowRun, RunEvent, RunRequest, RunState
from iri_common.model.outcome import Done
from iri_common.model.ref import origin_of
from iri_common.policy.retry import Replay

if TYPE_CHECKING:
    import globus_sdk

    from iri_common.apis.globus.sdk import Bearer

_UNDER_WAY = "ACTIVE,INACTIVE"


class GlobusFlows:
    """Runs of one identity."""

    def __init__(self, client: GlobusClient) -> None:
        self._client = client
        self._flows = Service(FLOWS, runs_scopes, _flows_client)

    async def origin(self) -> Done[str]:
        """Where the service is; nothing is asked of it."""
        return Done(
            await self._client.ask(self._flows, "origin", lambda flows: origin_of(str(flows.base_url)))
        )

    async def start(self, request: RunRequest) -> Done[str]:
        """Start a run; sent once, and never by the SDK a second time."""

        def start(flow: globus_sdk.SpecificFlowClient) -> str:
            reply = flow.run_flow(dict(request.body), label=request.label, tags=list(request.tags))
            return an_id(reply["run_id"])

        flow = _of_flow(request.flow_id)
        return Done(await self._client.ask(flow, "runFlow", start, replay=Replay.ONCE))

    async def find(self, flow_id: str, label: str) -> Done[Sequence[FlowRun]]:
        """The runs of mine with this label, newest first; there is no filter on tags."""
        rows = await self._listed({"filter_flow_id": flow_id, "filter_label": label})
        # The filter may also let through what only resembles it.
        return Done([self._run_of(each) for each in rows if each.get("label") == label])

    async def runs(self, run_ids: Sequence[str]) -> Done[Mapping[str, FlowRun]]:
        """Several runs: those under way in one request, and one more for each that is not among them.

        A list takes no ids. What it does not show is over, or was begun a moment ago.
        """
        listed = await self._listed({"filter_status": _UNDER_WAY}) if len(run_ids) > 1 else ()
        # What an INACTIVE one waits for is in its details, which a list may keep to itself.
        active = [self._run_of(each) for each in listed if each.get("status") == RunState.ACTIVE]
        found = {run.run_id: run for run in active if run.run_id in set(run_ids)}
        for run_id in run_ids:
            if run_id not in found and (run := await self._one(run_id)) is not None:
                found[run_id] = run
        return Done(found)

    async def log(self, run_id: str, limit: int) -> Done[Sequence[RunEvent]]:
        """The newest lines of its log, oldest of them first."""

        def read(flows: globus_sdk.FlowsClient) -> Sequence[Mapping[str, Any]]:
            return objects(flows.get_run_logs(run_id, limit=limit, reverse_order=True)["entries"])

        rows = await self._client.ask(self._flows, "getRunLogs", read)
        return Done([_event_of(each) for each in reversed(rows)])

    async def resume(self, run: FlowRun) -> Done[None]:
        """Have a run go on, after the consents that a client gives itself.

        Raises:
            AuthError: with the command to run, where a person has to act.
        """
        needs = await self._client.ask(self._flows, "getRun", lambda flows: _needs_of(flows, run.run_id))
        # What a person consented to at a login is known to the service; a client says it here.
        by_itself = needs is not None and self._client.credential.mode == "client"
        if needs is not None and by_itself and not await self._client.consented(needs):
            what = f"run {run.run_id} of flow {run.flow_id} waits: {needs.message or run.words}"
            raise AuthError(f"{what}; {self._client.credential.remedy(needs)}", facility=LABEL)
        flow = _of_flow(run.flow_id)
        await self._client.ask(flow, "resumeRun", lambda flow: flow.resume_run(run.run_id).data)
        return Done(None)

    async def cancel(self, run_id: str) -> Done[None]:
        """End a run; one that is over already is fine."""
        with contextlib.suppress(Conflict):
            await self._client.ask(self._flows, "cancelRun", lambda flows: flows.cancel_run(run_id).data)
        return Done(None)

    async def release(self, run_id: str) -> Done[None]:
        """Have it forgotten; one that is not known is."""
        with contextlib.suppress(NotFound):
            # What the SDK calls deletion: the record goes, with its log.
            await self._client.ask(self._flows, "releaseRun", lambda flows: flows.delete_run(run_id).data)
        return Done(None)

    async def _one(self, run_id: str) -> FlowRun | None:
        def read(flows: globus_sdk.FlowsClient) -> tuple[Mapping[str, Any], Needs | None]:
            words = an_object(flows.get_run(run_id).data)
            return words, _needs_in(words)

        with contextlib.suppress(NotFound, PermissionDenied):
            words, needs = await self._client.ask(self._flows, "getRun", read)
            return self._run_of(words, needs)
        return None

    async def _listed(self, where: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
        def read(flows: globus_sdk.FlowsClient) -> Sequence[Mapping[str, Any]]:
            return objects(flows.list_runs(filter_roles="run_owner", query_params=where)["runs"])

        return await self._client.ask(self._flows, "listRuns", read)

    def _run_of(self, words: Mapping[str, Any], needs: Needs | None = None) -> FlowRun:
        run = run_of(words)
        if needs is None:
            return run
        return replace(run, wants=needs.names, remedy=self._client.credential.remedy(needs))


def run_of(words: Mapping[str, Any]) -> FlowRun:
    """A run as its document tells it."""
    try:
        run_id, flow_id = an_id(words["run_id"]), an_id(words["flow_id"])
    except (KeyError, TypeError):
        raise ReplyError("a run of Globus Flows without an id") from None
    state = state_of(RunState, str(words.get("status")), "a run")
    details = _mapping(words.get("details"))  # null in lists of some flows
    return FlowRun(
        run_id,
        flow_id,
        state,
        label=str(words.get("label") or ""),
        code=str(details.get("code") or ""),
        words=str(details.get("description") or ""),
        output=details.get("output"),
    )


def _event_of(words: Mapping[str, Any]) -> RunEvent:
    said = [str(words.get(name) or "") for name in ("time", "code", "description")]
    return RunEvent(*said, details=_mapping(words.get("details")))


def _needs_of(flows: globus_sdk.FlowsClient, run_id: str) -> Needs | None:
    return _needs_in(an_object(flows.get_run(run_id).data))


def _needs_in(words: Mapping[str, Any]) -> Needs | None:
    """What an INACTIVE run waits for; in the thread, for it is the SDK that reads the document."""
    from iri_common.apis.globus.sdk import needs_of

    details = _mapping(words.get("details"))
    return needs_of(dict(details)) if details and words.get("status") == RunState.INACTIVE else None


def _of_flow(flow_id: str) -> Service[globus_sdk.SpecificFlowClient]:
    def make(bearer: Bearer) -> globus_sdk.SpecificFlowClient:
        from iri_common.apis.globus.sdk import flow_client

        return flow_client(flow_id, bearer)

    return Service(flow_id, lambda: [flow_scope(flow_id)], make)


def _flows_client(bearer: Bearer) -> globus_sdk.FlowsClient:
    from iri_common.apis.globus.sdk import flows_client

    return flows_client(bearer)


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}
