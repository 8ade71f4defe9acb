"""Service instances: what was asked of each, and how far it has come. Nothing runs: the clock tells."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from iri_local_facility.exchange import current
from iri_local_facility.faults import Fault, Faults
from iri_local_facility.orders import PATH_KINDS
from iri_local_facility.settings import Settings
from iri_local_facility.store import Store

from .network import Found
from .refusals import Refusal

_PHASES = ("PROPAGATED", "COMMITTING", "COMMITTED")


@dataclass(frozen=True)
class Sight:
    """How an instance stands at a moment.

    Attributes:
        doing: The super state.
        phase: The sub state.
        last: The phase before the one that failed, or this one.
        configured: What is known of the sites' configuration.
        clean: Whether no site has anything of it.
    """

    doing: str
    phase: str
    last: str
    configured: str
    clean: bool = False

    @property
    def state(self) -> str:
        """Both states as they are shown."""
        return f"{self.doing} - {self.phase}"


@dataclass(frozen=True)
class Instance:
    """An instance.

    Attributes:
        doing: What was asked for last, as a super state.
        began: When that was accepted; None before anything was.
        step: Seconds that each of its phases takes.
        fate: The orders that strike it, by kind, with their seconds.
        intents: What was computed: id, the intent as text, the path.
        asked: How often each action was accepted.
        deleted: When it was forgotten.
        left: It was forgotten while sites still had it.
    """

    id: str
    user: str
    alias: str = ""
    doing: str = "CREATE"
    began: float | None = None
    step: float = 0.0
    fate: dict[str, float] = field(default_factory=dict[str, float])
    intents: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    asked: dict[str, int] = field(default_factory=dict[str, int])
    archived: bool = False
    deleted: float | None = None
    left: bool = False

    @property
    def path(self) -> Found | None:
        """The path that was computed last."""
        if not self.intents or self.intents[-1]["path"] is None:
            return None
        facts = self.intents[-1]["path"]
        return Found(tuple((port, vlan) for port, vlan in facts["ends"]), facts["held"], facts["most"])

    def seen(self, now: float) -> Sight:
        """How it stands."""
        if self.began is None:
            if self.path is None:
                phase = "FAILED" if self.intents else "INIT"
                return Sight("CREATE", phase, "INIT", "UNKNOWN", clean=True)
            return Sight("CREATE", "COMPILED", "COMPILED", "UNKNOWN", clean=True)
        if self.doing == "CANCEL":
            return self._ending(now - self.began)
        return self._coming(now - self.began)

    def _coming(self, passed: float) -> Sight:
        if "path_fails" in self.fate and passed >= 2 * self.step:
            return Sight(self.doing, "FAILED", "COMMITTING", "UNSTABLE")
        if passed < 3 * self.step:
            phase = _PHASES[int(passed / self.step)]
            return Sight(self.doing, phase, phase, "PENDING")
        configured = "STABLE" if passed >= 4 * self.step else "PENDING"
        if "path_unstable" in self.fate:
            configured = "UNSTABLE"
        return Sight(self.doing, "READY", "COMMITTED", configured)

    def _ending(self, passed: float) -> Sight:
        if "path_fails" in self.fate and passed >= 2 * self.step:
            return Sight("CANCEL", "FAILED", "COMMITTING", "UNSTABLE")
        early = self.fate.get("path_unclean")
        clean = passed >= 4 * self.step + (early or 0.0) and "path_unstable" not in self.fate
        if passed < 3 * self.step and early is None:
            phase = _PHASES[int(passed / self.step)]
            return Sight("CANCEL", phase, phase, "PENDING")
        # The control plane is quicker than the sites.
        return Sight("CANCEL", "READY", "COMMITTED", "STABLE" if clean else "UNSTABLE", clean=clean)


class Instances:
    """All instances, over the store."""

    def __init__(self, settings: Settings, store: Store, faults: Faults) -> None:
        self._settings = settings
        self._store = store
        self._faults = faults

    def all(self, *, deleted: bool = False) -> list[Instance]:
        """The instances there are, or with ``deleted`` all that there ever were."""
        rows = self._store.rows("SELECT document FROM sense_instances ORDER BY number")
        found = [Instance(**json.loads(row["document"])) for row in rows]
        return [each for each in found if deleted or each.deleted is None]

    def get(self, instance_id: str) -> Instance:
        """An instance.

        Raises:
            Refusal: There is none.
        """
        row = self._store.row("SELECT document FROM sense_instances WHERE id = ?", instance_id)
        found = Instance(**json.loads(row["document"])) if row else None
        if found is None or found.deleted is not None or self._hidden(found):
            raise Refusal(f"Instance {instance_id} was not found", 404)
        return found

    def held(self, but: str) -> list[Found]:
        """The paths that take something from the network, those of one instance left out."""
        now = time.time()
        return [
            each.path
            for each in self.all()
            if each.id != but and each.began is not None and each.path and not each.seen(now).clean
        ]

    def computed(
        self, instance_id: str, user: str, alias: str, intent: dict[str, Any], path: Found | None
    ) -> Instance:
        """Note what was computed for an instance, which begins with the first one."""
        row = self._store.row("SELECT document FROM sense_instances WHERE id = ?", instance_id)
        instance = Instance(**json.loads(row["document"])) if row else Instance(instance_id, user)
        facts = None if path is None else asdict(path)
        entry = {"id": str(uuid.uuid4()), "json": json.dumps(intent), "path": facts}
        return self._keep(replace(instance, alias=alias, intents=[*instance.intents, entry]))

    def begin(self, instance: Instance, doing: str, action: str) -> Instance:
        """Let an action begin."""
        fate = self._fate(instance)
        step = max(fate.get("path_slow", self._settings.sense_step), 0.001)
        asked = {**instance.asked, action: instance.asked.get(action, 0) + 1}
        begun = replace(instance, doing=doing, began=time.time(), step=step, fate=fate, asked=asked)
        return self._keep(begun)

    def archive(self, instance: Instance, archived: bool) -> Instance:
        """Put it away, or take it out again."""
        return self._keep(replace(instance, archived=archived))

    def delete(self, instance: Instance) -> None:
        """Forget it; what sites have of it stays with them."""
        now = time.time()
        self._keep(replace(instance, deleted=now, left=not instance.seen(now).clean))

    def shown(self, instance: Instance) -> Sight:
        """How it stands, as it is told to the present request."""
        sight = instance.seen(time.time())
        words = [fault.order.word for fault in self._striking({"unknown_state"}, instance)]
        return replace(sight, phase=words[0]) if words else sight

    def describe(self) -> Iterable[dict[str, Any]]:
        """Everything that there ever was, for tests."""
        now = time.time()
        for each in self.all(deleted=True):
            sight = each.seen(now)
            facts = {"id": each.id, "alias": each.alias, "user": each.user, "asked": each.asked}
            facts |= {"state": sight.state, "configured": sight.configured, "clean": sight.clean}
            yield facts | {"deleted": each.deleted is not None, "left": each.left}

    def _keep(self, instance: Instance) -> Instance:
        self._store.run(
            "INSERT INTO sense_instances (id, document) VALUES (?, ?) "
            "ON CONFLICT (id) DO UPDATE SET document = excluded.document",
            instance.id,
            json.dumps(asdict(instance)),
        )
        return instance

    def _hidden(self, instance: Instance) -> bool:
        return bool(self._striking({"missing"}, instance))

    def _fate(self, instance: Instance) -> dict[str, float]:
        exchange = current.get()
        fate: dict[str, float] = {}
        for fault in self._faults.live(PATH_KINDS):
            order = fault.order
            meant = exchange is not None and order.is_for(exchange.operation, instance.user)
            if meant and order.is_for_job(instance.id, instance.alias) and self._faults.take(fault):
                self._faults.strike(fault)
                fate[order.kind] = order.seconds or 0.0
        return fate

    def _striking(self, kinds: set[str], instance: Instance) -> list[Fault]:
        exchange = current.get()
        if exchange is None:
            return []
        meant = [
            fault for fault in self._faults.live(kinds) if fault.order.is_for_job(instance.id, instance.alias)
        ]
        return [fault for fault in meant if self._faults.strikes_request(fault, exchange)]
