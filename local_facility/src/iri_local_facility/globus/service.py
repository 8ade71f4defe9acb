"""Globus behind its faces: collections, grants, and tasks that really move files."""

from __future__ import annotations

from iri_local_facility.accounts import Accounts
from iri_local_facility.faults import Faults
from iri_local_facility.settings import Settings
from iri_local_facility.store import Store

from .collections import Collections
from .grants import Grants
from .idtokens import IdTokens
from .mover import Mover
from .tasks import TaskTable


class Globus:
    """What Globus is at this facility."""

    def __init__(self, settings: Settings, store: Store, accounts: Accounts, faults: Faults) -> None:
        self.collections = Collections(settings, store)
        self.grants = Grants(settings, store, accounts, self.collections)
        self.id_tokens = IdTokens(store)
        self.tasks = TaskTable(store)
        self.mover = Mover(self.tasks, self.collections, accounts, faults)

    def start(self) -> None:
        """Begin to work."""
        self.mover.start()

    def stop(self) -> None:
        """Let go of what is under way."""
        self.mover.stop()
