"""A dialect behind its gate: whoever has it can do no more than the grant allows."""

from __future__ import annotations

from typing import Any

from iri_common.facility.granted import Gate
from iri_common.model.dataports import FilesApi, PartsApi, RangesApi, StorageApi
from iri_common.model.ports import AccountsApi, Dialect, JobsApi, StatusApi


class GrantedDialect:
    """A dialect behind a gate.

    Args:
        api: The dialect.
        gate: Before it.
    """

    def __init__(self, api: Dialect, gate: Gate) -> None:
        self._api, self._gate = api, gate
        self._parts: tuple[object, Any] = (None, None)
        self.name, self.grades = api.name, api.grades
        self.files: FilesApi = gate.port("files", api.files)
        self.ranges: RangesApi | None = gate.port("ranges", api.ranges)
        self.operations = api.operations
        for port in ("networks", "streaming", "reservations", "attaching", "behalf"):
            if hasattr(api, port):  # which some dialects have
                setattr(self, port, gate.port(port, getattr(api, port)))

    @property
    def jobs(self) -> JobsApi:
        """Jobs; not every dialect has them."""
        return self._gate.port("jobs", self._api.jobs)

    @property
    def status(self) -> StatusApi:
        """Looks only."""
        return self._api.status

    @property
    def accounts(self) -> AccountsApi:
        """Looks only."""
        return self._api.accounts

    @property
    def storage(self) -> StorageApi:
        """Looks only."""
        return self._api.storage

    @property
    def parts(self) -> PartsApi | None:
        """None where the API signs no links, or is known by now to sign none."""
        api = self._api.parts
        if self._parts[0] is not api:
            self._parts = (api, self._gate.port("parts", api))
        return self._parts[1]
