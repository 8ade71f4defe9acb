"""The whole of a facility behind its faces."""

from __future__ import annotations

from .accounts import Accounts
from .catalog import Catalog
from .faults import Faults
from .globus.service import Globus
from .maintenance import Maintenance
from .requestlog import RequestLog
from .scheduler import Scheduler
from .sense.instances import Instances
from .settings import Settings
from .store import Store
from .superfacility.service import Superfacility
from .tasks import Tasks

_REQUESTS_KEPT = 100_000


class Facility:
    """Scheduler, files, people, catalogue, Globus, log and fault orders, over one store."""

    def __init__(self, settings: Settings) -> None:
        settings.make_directories()
        self.settings = settings
        self.store = Store(settings.state / "facility.db")
        self.accounts = Accounts(settings, self.store)
        self.catalog = Catalog(settings, self.store)
        self.faults = Faults(self.store)
        self.accounts.refuse_anyway = self.faults.refuse_token
        self.maintenance = Maintenance(self.faults, self.catalog)
        self.scheduler = Scheduler(
            settings, self.store, self.accounts, self.catalog.cluster.id, self.faults, self.maintenance
        )
        self.maintenance.on_change = self.scheduler.wake
        self.tasks = Tasks(self.store)
        self.globus = Globus(settings, self.store, self.accounts, self.faults)
        self.sense = Instances(settings, self.store, self.faults)
        self.log = RequestLog(self.store)
        self.superfacility = Superfacility(settings, self.store, self.accounts, self.scheduler, self.log)

    def start(self) -> None:
        """Begin to work; needs a running event loop."""
        self.log.trim(_REQUESTS_KEPT)
        self.tasks.start()
        self.maintenance.start()
        self.scheduler.start()
        self.globus.start()
        self.superfacility.start()

    async def stop(self) -> None:
        """Stop in good order: no process stays behind."""
        await self.superfacility.stop()
        await self.scheduler.stop()
        self.globus.stop()
        self.tasks.stop()
        self.store.close()
