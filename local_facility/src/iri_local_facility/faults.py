"""The fault orders of a facility: placed, counted, cleared, and kept in the store over restarts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .errors import FacilityError, Missing
from .exchange import Exchange, current
from .orders import LastingKind, Order
from .store import Store


@dataclass
class Fault:
    """An order in force.

    Attributes:
        id: ``<kind>-<number>``, as the request log shows it.
        seen: How many chances it has had.
        taken: How many of them it took.
        struck: How often it did strike: fewer than taken when a job never ran the command.
    """

    id: str
    order: Order
    placed: float
    seen: int = 0
    taken: int = 0
    struck: int = 0

    @property
    def begins(self) -> float:
        """When it comes into force; only maintenance is announced."""
        return self.placed + self.order.starts_in

    @property
    def ends(self) -> float:
        """When it is over at the latest; never, if nobody said."""
        order = self.order
        lasts = order.seconds if order.kind == "maintenance" else order.lasts
        return float("inf") if lasts is None else self.begins + lasts

    @property
    def under_way(self) -> bool:
        """Whether it has begun and is not over."""
        return self.begins <= time.time() < self.ends

    @property
    def live(self) -> bool:
        """Whether it may strike still."""
        spent = self.order.limit is not None and self.taken >= self.order.limit
        return time.time() < self.ends and not spent

    def describe(self) -> dict[str, Any]:
        """For people and tests."""
        facts = asdict(self.order)
        return {"id": self.id, **facts, "placed": self.placed, "struck": self.struck, "live": self.live}


class Faults:
    """The orders, oldest first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._faults = [
            Fault(row["id"], Order(**json.loads(row["document"])), row["placed"], *json.loads(row["counts"]))
            for row in store.rows("SELECT * FROM faults ORDER BY number")
        ]
        self.on_placed: list[Callable[[Fault], None]] = []
        self.on_cleared: list[Callable[[Fault], None]] = []

    def place(self, order: Order) -> Fault:
        """Put an order into force.

        Raises:
            FacilityError: It names what is not there.
        """
        now = time.time()
        number = self._store.insert("faults", document=json.dumps(asdict(order)), placed=now, counts="[]")
        fault = Fault(f"{order.kind}-{number}", order, now)
        self._store.run("UPDATE faults SET id = ? WHERE number = ?", fault.id, number)
        self._faults.append(fault)
        try:
            for listener in self.on_placed:
                listener(fault)
        except FacilityError:
            self.clear(fault.id)
            raise
        return fault

    def clear(self, fault_id: str | None = None) -> None:
        """Take back one order, or all of them; what they hold up goes on.

        Raises:
            Missing: No such order.
        """
        gone = [fault for fault in self._faults if fault_id in (None, fault.id)]
        if fault_id is not None and not gone:
            raise Missing(f"Fault {fault_id} not found")
        for fault in gone:
            self._faults.remove(fault)
            self._store.run("DELETE FROM faults WHERE id = ?", fault.id)
            for listener in self.on_cleared:
                listener(fault)

    def __iter__(self) -> Iterator[Fault]:
        """All orders, spent ones too."""
        return iter(list(self._faults))

    def live(self, kinds: Iterable[str]) -> list[Fault]:
        """The orders of these kinds that may strike still."""
        return [fault for fault in self._faults if fault.order.kind in kinds and fault.live]

    def take(self, fault: Fault) -> bool:
        """A chance has come: whether the order takes it."""
        taken = fault.live and fault.order.chosen(fault.seen)
        fault.seen += 1
        fault.taken += taken
        self._keep(fault)
        return taken

    def strike(self, fault: Fault) -> None:
        """Count a stroke, and note it at the request that it met."""
        fault.struck += 1
        self._keep(fault)
        if (exchange := current.get()) is not None:
            exchange.faults.append(fault.id)

    def strikes_request(self, fault: Fault, exchange: Exchange) -> bool:
        """Whether an order strikes the present request; asked again, it says the same and counts once."""
        if fault.id not in exchange.decided:
            wanted = fault.order.is_for(exchange.operation, exchange.user) and self.take(fault)
            exchange.decided[fault.id] = wanted
            if wanted:
                self.strike(fault)
        return exchange.decided[fault.id]

    def strikes(self, kind: LastingKind) -> bool:
        """Whether an order of this kind strikes the present request."""
        exchange = current.get()
        return exchange is not None and any(
            self.strikes_request(fault, exchange) for fault in self.live({kind})
        )

    def refuse_token(self) -> bool:
        """Whether the token of the present request is refused although it is good."""
        return self.strikes("refuse_tokens")

    def _keep(self, fault: Fault) -> None:
        counts = json.dumps([fault.seen, fault.taken, fault.struck])
        self._store.run("UPDATE faults SET counts = ? WHERE id = ?", counts, fault.id)
