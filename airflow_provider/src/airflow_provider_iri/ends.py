"""Where a transfer comes from and goes to, as a DAG says it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from iri_common import Facility

OF_THE_CORE = frozenset({"", "file", "iri", "globus"})
OF_THE_TASK = frozenset({"key", "on_progress"})


@dataclass(frozen=True, slots=True)
class End:
    """One end of a transfer.

    Attributes:
        path: On this worker, ``iri://<profile>/<file system>/<path>`` or ``globus://<collection>/<path>``;
            the address of an object for Airflow's ObjectStoragePath; with a connection, a path at its
            facility.
        conn_id: An ``iri`` connection, or that of the object store.
        storage: Name or id of the file system; the connection's if None.
    """

    path: str
    conn_id: str | None = None
    storage: str | None = None

    def __str__(self) -> str:
        return f"{self.path} at {self.conn_id}" if self.conn_id else self.path

    @property
    def scheme(self) -> str:
        """Of the path; "" for none."""
        scheme, separator, _ = self.path.partition("://")
        return scheme.lower() if separator and scheme.isalnum() else ""

    @property
    def stored(self) -> bool:
        """Whether it is in an object store, which the core has no road to."""
        return self.scheme not in OF_THE_CORE

    @property
    def far(self) -> bool:
        """Whether it is at a facility or in a collection."""
        return self.scheme in {"iri", "globus"} or (self.scheme == "" and self.conn_id is not None)

    def open(self) -> Any:
        """As the core takes it; nothing is sent."""
        if not self._at_connection:
            return self.path
        from airflow_provider_iri.hooks import IriHook

        return IriHook(str(self.conn_id)).facility.files.at(self.path, storage=self.storage)

    async def opened(self) -> Any:
        """Like :meth:`open`, for event loops."""
        if not self._at_connection:
            return self.path
        from airflow_provider_iri.hooks import IriHook

        return (await IriHook(str(self.conn_id)).open()).files.at(self.path, storage=self.storage)

    @property
    def whom(self) -> str | None:
        """The facility that it is at, for people; None for what is at none."""
        if self.conn_id is not None:
            return f"the facility of connection {self.conn_id}" if self.scheme == "" else None
        return f"the facility of profile {self._parts[0]}" if self.scheme == "iri" else None

    async def facility(self) -> Facility:
        """That facility, for event loops; nothing is sent to open it."""
        if self._at_connection:
            from airflow_provider_iri.hooks import IriHook

            return await IriHook(str(self.conn_id)).open()
        from iri_common import Facility

        return await asyncio.to_thread(Facility.from_profile, self._parts[0])

    @property
    def place(self) -> str:
        """The path at that facility."""
        return self.path if self.conn_id else f"/{self._parts[2].lstrip('/')}"

    @property
    def file_system(self) -> str | None:
        """Its name or id there; None for the facility's own."""
        return self.storage if self.conn_id else self._parts[1] or None

    def object(self) -> ObjectStoragePath:
        """As Airflow takes what is in an object store."""
        from airflow.sdk import ObjectStoragePath

        return ObjectStoragePath(self.path, conn_id=self.conn_id)

    @property
    def _parts(self) -> tuple[str, str, str]:
        """Of ``iri://<profile>/<file system>/<path>``."""
        profile, _, rest = self.path.partition("://")[2].partition("/")
        storage, _, path = rest.partition("/")
        return profile, storage, path

    @property
    def _at_connection(self) -> bool:
        from iri_common import UsageError

        if self.conn_id is None:
            return False
        if self.scheme:
            raise UsageError(f"{self.path}: with the connection {self.conn_id!r} goes a path at its facility")
        return True


def moving_words(word: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """What an author says of a move, in the core's words.

    Args:
        word: Of the operator, for messages.
        given: As the author wrote it.

    Raises:
        UsageError: if it says what the task itself does.
    """
    words = dict(given or {})
    if own := sorted(OF_THE_TASK & words.keys()):
        from iri_common import UsageError

        raise UsageError(
            f"{word} cannot say {' or '.join(own)}: the task itself says who asks (key), and tells its log "
            "how far it is (on_progress)"
        )
    return words
