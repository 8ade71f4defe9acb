"""Ordered maintenance: announced, under way, over. It drains: what runs goes on, what waits stays waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from .catalog import Catalog
from .errors import Rejected
from .faults import Fault, Faults

_KIND = frozenset({"maintenance"})


class Maintenance:
    """Keeps incidents in step with the orders, and jobs away from them."""

    def __init__(self, faults: Faults, catalog: Catalog) -> None:
        self._faults = faults
        self._catalog = catalog
        self._timers: dict[str, list[asyncio.TimerHandle]] = {}
        self._incidents: dict[str, str] = {}
        self.on_change: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Attend to orders, those of an earlier server first; needs a running event loop."""
        known = {incident["name"]: incident["id"] for incident in self._catalog.incidents()}
        for fault in self._faults:
            if fault.id in known:
                self._incidents[fault.id] = known[fault.id]
            self._placed(fault)
        self._faults.on_placed.append(self._placed)
        self._faults.on_cleared.append(self._over)

    def check_submission(self) -> None:
        """Refuse a submission while maintenance says so.

        Raises:
            Rejected: It does.
        """
        for fault in self._of_cluster():
            if fault.order.api == "refuse" and fault.under_way and self._faults.take(fault):
                self._faults.strike(fault)
                raise Rejected("Job submit failed: the resource is down for maintenance")

    def keeps_back(self, duration: float) -> bool:
        """Whether a job of that wall time must wait: it would not be over when maintenance begins."""
        now = time.time()
        return any(now + duration > fault.begins for fault in self._of_cluster())

    def _of_cluster(self) -> list[Fault]:
        names = (None, self._catalog.cluster.id, self._catalog.cluster.name)
        return [fault for fault in self._faults.live(_KIND) if fault.order.resource in names]

    def _placed(self, fault: Fault) -> None:
        if fault.order.kind not in _KIND:
            return
        if fault.id not in self._incidents:
            incident = self._catalog.announce(
                resource=fault.order.resource or "cluster",
                name=fault.id,
                description="Maintenance",
                start=fault.begins,
                end=None if fault.order.seconds is None else fault.ends,
            )
            self._incidents[fault.id] = incident["id"]
        loop, now = asyncio.get_running_loop(), time.time()
        timers = [loop.call_later(max(0.0, fault.begins - now), self._begin, fault)]
        if fault.order.seconds is not None:
            timers.append(loop.call_later(max(0.0, fault.ends - now), self._over, fault))
        self._timers[fault.id] = timers
        if fault.begins <= now:
            self._begin(fault)

    def _begin(self, fault: Fault) -> None:
        self._catalog.begin(self._incidents[fault.id])

    def _over(self, fault: Fault) -> None:
        for timer in self._timers.pop(fault.id, []):
            timer.cancel()
        if (incident := self._incidents.pop(fault.id, None)) is not None:
            self._catalog.conclude(incident)
            self.on_change()
