"""Globus behind its faces: collections, grants, and tasks, flows and functions that really run."""

from __future__ import annotations

from iri_local_facility.accounts import Accounts
from iri_local_facility.faults import Faults
from iri_local_facility.settings import Settings
from iri_local_facility.store import Store

from .collections import Collections
from .computetable import ComputeTable, Endpoint
from .computing import Computing
from .flowtable import FlowTable
from .grants import Grants
from .idtokens import IdTokens
from .mover import Mover
from .runner import Runner
from .runtable import RunTable
from .submissions import Submissions
from .tasks import TaskTable


class Globus:
    """What Globus is at this facility."""

    def __init__(self, settings: Settings, store: Store, accounts: Accounts, faults: Faults) -> None:
        self.collections = Collections(settings, store)
        self.flows = FlowTable(store)
        self.grants = Grants(settings, store, accounts, self.collections, self.flows)
        self.id_tokens = IdTokens(store)
        self.tasks = TaskTable(store)
        self.mover = Mover(self.tasks, self.collections, accounts, faults)
        self.submissions = Submissions(self.tasks, self.mover, self.collections)
        self.runs = RunTable(store)
        self.compute = ComputeTable(store)
        self.computing = Computing(self.compute, accounts)
        self.runner = Runner(self)
        self._first = Endpoint("cluster", settings.default_user)

    def start(self) -> None:
        """Begin to work."""
        self.mover.start()
        if not self.compute.endpoints():
            self.compute.put(self._first)
        self.computing.start()
        self.runner.start()

    def stop(self) -> None:
        """Let go of what is under way."""
        self.runner.stop()
        self.computing.stop()
        self.mover.stop()
