"""Endpoints and tasks of Globus Compute behind the port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from iri_common.apis.globus import formats
from iri_common.apis.globus.answers import an_id, an_object, objects
from iri_common.apis.globus.client import GlobusClient, Service
from iri_common.apis.globus.rules import COMPUTE, compute_scopes
from iri_common.jobside.calls import ENTRY, REMOTE, told
from iri_common.model.compute import ComputeEndpoint, ComputeState, ComputeTask, TaskRequest
from iri_common.model.errors import Refused, ReplyError
from iri_common.model.outcome import Done
from iri_common.model.ref import origin_of
from iri_common.policy.retry import Replay

if TYPE_CHECKING:
    from iri_common.apis.globus.sdk import Bearer, ComputeClients

_STATES: Mapping[str, ComputeState] = {
    "pending": ComputeState.WAITING,
    "received": ComputeState.WAITING,
    "waiting-for-ep": ComputeState.WAITING,
    "waiting-for-nodes": ComputeState.WAITING,
    "waiting-for-launch": ComputeState.WAITING,
    "execution-start": ComputeState.RUNNING,
    "running": ComputeState.RUNNING,
    "execution-end": ComputeState.RUNNING,
    "result-received": ComputeState.RUNNING,
    "result-enqueued": ComputeState.RUNNING,
    "success": ComputeState.SUCCEEDED,
    "failed": ComputeState.FAILED,
}


class GlobusCompute:
    """Endpoints and tasks of one identity."""

    def __init__(self, client: GlobusClient) -> None:
        self._client = client
        self._compute = Service(COMPUTE, compute_scopes, _clients)
        self._bound: dict[str, bool] = {}  # by endpoint: whether it wants a function of its own
        self._functions: dict[str, str] = {}  # ours as registered, by the endpoint that it is bound to

    async def origin(self) -> Done[str]:
        """Where the service is; nothing is asked of it."""
        return Done(
            await self._client.ask(
                self._compute, "origin", lambda compute: origin_of(str(compute.v3.base_url))
            )
        )

    async def endpoints(self, *, all_visible: bool) -> Done[Sequence[ComputeEndpoint]]:
        """The endpoints that are mine, or all that I may see; whether they are online is not told."""

        def read(compute: ComputeClients) -> Sequence[Mapping[str, Any]]:
            return objects(compute.v2.get_endpoints(role="any" if all_visible else "owner").data)

        rows = await self._client.ask(self._compute, "getEndpoints", read)
        return Done([_endpoint_of(each) for each in rows])

    async def endpoint(self, endpoint: str) -> Done[ComputeEndpoint]:
        """One endpoint, and whether it is online."""

        def read(compute: ComputeClients) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
            about = an_object(compute.v2.get_endpoint(endpoint).data)
            return about, an_object(compute.v2.get_endpoint_status(endpoint).data)

        about, status = await self._client.ask(self._compute, "getEndpoint", read)
        found = _endpoint_of({"uuid": endpoint, **about}, status)
        self._bound[endpoint] = found.high_assurance
        return Done(found)

    async def submit(self, request: TaskRequest) -> Done[str]:
        """Have a task run; sent once, and never by the SDK a second time.

        A task group of one's own naming would tell what has arrived, but the service takes none that it has
        not made itself.
        """
        function = request.function or await self._registered(request.endpoint)
        document: dict[str, Any] = {
            "tasks": {function: [formats.arguments(request.args, dict(request.kwargs))]},
            "create_queue": False,
            "result_serializers": list(formats.RESULTS),
        }
        # No user_runtime: it is part of what tells endpoint processes apart, each with batch jobs of its own.
        if request.config:
            document["user_endpoint_config"] = dict(request.config)
        if request.resources:
            document["resource_specification"] = dict(request.resources)

        def submit(compute: ComputeClients) -> str:
            tasks = an_object(compute.v3.submit(request.endpoint, document)["tasks"])
            (task,) = tasks[function]
            return an_id(task)

        try:
            return Done(await self._client.ask(self._compute, "submitBatch", submit, replay=Replay.ONCE))
        except Refused:
            self._functions.clear()  # it may have been deleted
            raise

    async def tasks(self, task_ids: Sequence[str]) -> Done[Mapping[str, ComputeTask]]:
        """Several tasks in one request; those that this identity does not see are missing."""
        wanted = list(task_ids)

        def read(compute: ComputeClients) -> Mapping[str, Any]:
            return an_object(compute.v2.get_task_batch(wanted)["results"])

        results = await self._client.ask(self._compute, "getBatchStatus", read)
        return Done(
            {task_id: task_of(task_id, results[task_id]) for task_id in wanted if results.get(task_id)}
        )

    async def _registered(self, endpoint: str) -> str:
        """Our own function's id; a second one of the same text does no harm."""
        if endpoint not in self._bound:
            await self.endpoint(endpoint)
        home = endpoint if self._bound[endpoint] else ""
        if home not in self._functions:
            document: dict[str, Any] = {
                "function_name": ENTRY,
                "function_code": formats.function(ENTRY, REMOTE),
                "serialized": True,
                **({"ha_endpoint_id": home} if home else {}),
            }

            def register(compute: ComputeClients) -> str:
                return an_id(compute.v3.register_function(document)["function_uuid"])

            self._functions[home] = await self._client.ask(self._compute, "registerFunction", register)
        return self._functions[home]


def task_of(task_id: str, document: object) -> ComputeTask:
    """A task as its document tells it; whatever that is, it is of this task alone."""
    words: Mapping[str, Any] = cast("Mapping[str, Any]", document) if isinstance(document, dict) else {}
    status = words.get("status")
    if not isinstance(status, str):
        return ComputeTask(task_id, ComputeState.UNKNOWN, trouble="the service tells no status of it")
    state = _STATES.get(status.lower(), ComputeState.UNKNOWN)
    if not state.over:
        return ComputeTask(task_id, state, status)
    result, exception = words.get("result"), words.get("exception")
    if isinstance(exception, str):
        return ComputeTask(task_id, ComputeState.FAILED, status, trouble=exception)
    if isinstance(result, str):
        return _finished(ComputeTask(task_id, state, status), result)
    return ComputeTask(task_id, ComputeState.DROPPED, status, trouble=str(words.get("reason") or ""))


def _finished(task: ComputeTask, result: str) -> ComputeTask:
    if task.state is ComputeState.FAILED:
        return replace(task, trouble=result)
    try:
        reply = told(formats.result(result))
    except formats.NotPlain:
        return replace(task, packed=result)
    except ReplyError as error:  # of this task alone: others are told of in the same answer
        return replace(task, state=ComputeState.FAILED, trouble=error.message)
    return replace(task, shell=reply.shell, returned=reply.value, double_of=reply.double_of)


def _endpoint_of(words: Mapping[str, Any], status: Mapping[str, Any] | None = None) -> ComputeEndpoint:
    endpoint = words.get("uuid")
    if not isinstance(endpoint, str):
        raise ReplyError("an endpoint of Globus Compute without an id")
    said = str((status or {}).get("status") or "")
    details = (status or {}).get("details")
    return ComputeEndpoint(
        endpoint,
        str(words.get("display_name") or words.get("name") or ""),
        online=None if status is None else said == "online",
        status=said,
        details=cast("Mapping[str, Any]", details) if isinstance(details, dict) else {},
        high_assurance=words.get("high_assurance") is True,
    )


def _clients(bearer: Bearer) -> ComputeClients:
    from iri_common.apis.globus.sdk import compute_clients

    return compute_clients(bearer)
