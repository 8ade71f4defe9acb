"""Collections behind the ports: no jobs, but files, their bytes, and transfers between them."""

from __future__ import annotations

from collections.abc import Callable

from iri_common.apis.globus.client import LABEL, GlobusClient
from iri_common.apis.globus.files import CollectionFiles, GlobusOperations
from iri_common.apis.globus.transfers import GlobusTransfers
from iri_common.apis.globus.web import CollectionRanges
from iri_common.model.dataports import PartsApi, StorageApi
from iri_common.model.errors import NotOffered
from iri_common.model.grades import Grades
from iri_common.model.ports import AccountsApi, ByteWire, JobsApi, StatusApi
from iri_common.model.transfer import CollectionEnd


class GlobusDialect:
    """Collections as one identity sees them. A "file system" is a collection's id.

    Args:
        client: The identity.
        wire: For bytes over a collection's HTTPS.
        end_of: Which collection and paths a file system's id means; by default the collection of that id,
            with its own paths.
    """

    def __init__(
        self,
        client: GlobusClient,
        wire: ByteWire,
        end_of: Callable[[str], CollectionEnd] = CollectionEnd,
    ) -> None:
        self.name = "globus"
        self.grades = Grades(files="globus", logs="end")
        self.client = client
        self.transfers = GlobusTransfers(client)
        self.ranges = CollectionRanges(client, wire, end_of)
        self.files = CollectionFiles(client, self.ranges, end_of)
        self.operations = GlobusOperations(client)
        self.parts: PartsApi | None = None

    @property
    def jobs(self) -> JobsApi:
        """Not offered."""
        raise _none("jobs")

    @property
    def status(self) -> StatusApi:
        """Not offered."""
        raise _none("status")

    @property
    def accounts(self) -> AccountsApi:
        """Not offered."""
        raise _none("accounts")

    @property
    def storage(self) -> StorageApi:
        """Not offered."""
        raise _none("storage locations")


def _none(what: str) -> NotOffered:
    return NotOffered(f"Globus Transfer has no {what}; a facility has", facility=LABEL)
