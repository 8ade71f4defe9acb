"""Has tasks run at endpoints of Globus Compute, each once, before a service that can look nothing up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iri_common.jobs.asks import Ask, asked_before, asked_once
from iri_common.jobside.calls import Call, FunctionCall, argument, digest_of, plain
from iri_common.model.compute import ComputeApi, TaskRequest
from iri_common.model.errors import ResourceDown
from iri_common.model.key import JobKey
from iri_common.model.ports import Ledger

LABEL = "Globus Compute"
_DIALECT = "globus-compute"


@dataclass(frozen=True, slots=True)
class TaskStarter:
    """Has tasks run as one identity at one endpoint.

    Attributes:
        compute: The service.
        ledger: Where intents are kept; not that of jobs.
        endpoint: Its id.
        config: As in :class:`~iri_common.model.compute.TaskRequest`.
        resources: As there.
        root: Where the endpoint keeps who owns a key.
    """

    compute: ComputeApi
    ledger: Ledger
    endpoint: str
    config: Mapping[str, Any]
    resources: Mapping[str, Any]
    root: str | None

    async def start(self, key: JobKey, call: Call, *, queue: bool) -> str:
        """Make sure that the task of this key is there, and that one does the work; gives its id.

        Args:
            key: Who asks.
            call: For what.
            queue: Leave it there if the endpoint is not online.

        Raises:
            ResourceDown: if the endpoint is not online.
            SpecChanged: if the key was used for something else.
            SubmitUncertain: if it was asked for and its fate cannot be settled.
            IriError: if it certainly does not run.
        """
        ask = await self._ask(key, call)
        known = await asked_before(self.ledger, ask)
        if known is not None:
            return known
        if not queue:
            await self._online()
        return await asked_once(self.ledger, ask)

    def request(self, key: JobKey, call: Call) -> TaskRequest:
        """What the task of this key is asked for with."""
        return self._request(key, call, self._digest(plain(call.words, "a call")))[0]

    async def recall(self, key: JobKey, call: Call) -> str | None:
        """Have a task tell what that of a key has left; None where none can. It does no work, however often.

        Raises:
            ResourceDown: if the endpoint is not online.
            IriError: if it cannot be asked for.
        """
        words = plain(call.words, "a call")
        request, guarded = self._request(key, call, self._digest(words), recall=True)
        if not guarded:
            return None
        await self._online()
        return (await self.compute.submit(request)).value

    def _digest(self, words: Mapping[str, Any]) -> str:
        return digest_of({"endpoint": self.endpoint, "call": words})

    async def _ask(self, key: JobKey, call: Call) -> Ask:
        digest = self._digest(plain(call.words, "a call"))
        request, guarded = self._request(key, call, digest)

        async def send() -> str:
            return (await self.compute.submit(request)).value

        return Ask(
            key,
            LABEL,
            "task",
            _DIALECT,
            origin=(await self.compute.origin()).value,
            target=self.endpoint,
            name="",
            digest=digest,
            send=send,
            guarded=guarded,
        )

    def _request(
        self, key: JobKey, call: Call, digest: str, *, recall: bool = False
    ) -> tuple[TaskRequest, bool]:
        where = {"config": self.config, "resources": self.resources}
        if isinstance(call, FunctionCall) and call.registered is not None:
            # It runs as it is: nothing in it knows the key.
            args, kwargs = plain([call.args, call.kwargs], "a call")
            return TaskRequest(self.endpoint, call.registered, args, kwargs, **where), False
        args = [argument(call, key, digest, self.root, recall=recall)]
        return TaskRequest(self.endpoint, None, args, **where), True

    async def _online(self) -> None:
        found = (await self.compute.endpoint(self.endpoint)).value
        if not found.online:
            raise ResourceDown(
                f"endpoint {found.name or self.endpoint} is {found.status or 'not online'}: a task would "
                "wait there; ask again later, or say queue=True to have it wait",
                facility=LABEL,
            )
