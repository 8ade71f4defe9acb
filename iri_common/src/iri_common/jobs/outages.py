"""Waits out what is down before a submit, as the user wants it, and says so once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from iri_common.model.errors import IriError, ResourceDown
from iri_common.model.facility import Availability, Resource
from iri_common.model.logfields import about
from iri_common.policy.outage import OnOutage, OutageStep, after_error, before_submit, outage_pause

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class Gate:
    """Stands before one submit.

    Attributes:
        label: What messages call the facility.
        on_outage: What the user wants.
        limit: The most seconds to wait in all.
        reached: Tells whether the facility has ever answered.
        guarded: An uncertain submit may be made again.
    """

    label: str
    on_outage: OnOutage
    limit: float
    reached: Callable[[], bool]
    guarded: bool = False
    _since: float | None = field(default=None)
    _waits: int = 0

    async def opened(self, read: Callable[[], Awaitable[Resource]]) -> Resource:
        """The resource, once it is not down.

        Raises:
            ResourceDown: if it stays down longer than the user wants to wait.
        """
        while True:
            resource = await self.passed(read)
            step = before_submit(self.on_outage, resource.status, self._waited(), self.limit)
            if step is OutageStep.GO:
                if resource.status is Availability.DOWN:
                    log.warning(
                        "%s is down at %s; trying all the same",
                        _name(resource),
                        self.label,
                        extra=about(facility=self.label),
                    )
                return resource
            if step is OutageStep.FAIL:
                raise ResourceDown(
                    f"{_name(resource)} is down and nothing was sent"
                    f"{f', after waiting {self._waited():.0f} s' if self._waits else ''}; "
                    "on_outage='wait' with a larger outage_limit waits longer, 'try' sends all the same",
                    facility=self.label,
                )
            await self._wait(f"{_name(resource)} is down")

    async def passed(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it, again after an outage that is waited for.

        Raises:
            IriError: what it met, if that is no outage or the wait has reached its limit.
        """
        while True:
            try:
                return await work()
            except IriError as error:
                step = after_error(
                    self.on_outage,
                    error,
                    self._waited(),
                    self.limit,
                    reached=self.reached(),
                    guarded=self.guarded,
                )
                if step is not OutageStep.WAIT:
                    raise
                await self._wait(error.message)

    async def _wait(self, why: str) -> None:
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
            log.warning(
                "%s: %s; waiting up to %.0f s before the job is submitted (on_outage)",
                self.label,
                why,
                self.limit,
                extra=about(facility=self.label),
            )
        left = self.limit - self._waited()
        await asyncio.sleep(max(0.0, min(outage_pause(self._waits), left)))
        self._waits += 1

    def _waited(self) -> float:
        return 0.0 if self._since is None else asyncio.get_running_loop().time() - self._since


def _name(resource: Resource) -> str:
    return resource.name or resource.id
