"""Where data belongs, as a login shell of the machine tells it."""

from __future__ import annotations

from collections.abc import Sequence

from iri_common.apis.reading import Reading
from iri_common.apis.superfacility.files import run_command
from iri_common.http.session import Session
from iri_common.model.errors import NotOffered
from iri_common.model.facility import AccessEndpoint, StorageLocation
from iri_common.model.outcome import Done, Pending

# $SCRATCH may not be set where no startup file of the shell is read.
_COMMAND = 'printf "%s\\0" "$HOME" "${SCRATCH:-}"'
_NAMES = ("home", "scratch")


class SuperfacilityStorage:
    """There is no such service: a command asks the shell."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def locations(
        self, resource_id: str, *, logical_name: str | None = None, project: str | None = None
    ) -> Pending[Sequence[StorageLocation]]:
        """The user's home, and scratch where the shell knows it."""

        def read(reading: Reading, output: bytes) -> Sequence[StorageLocation]:
            paths = output.decode("utf-8", "replace").split("\0")
            return [
                StorageLocation(name, path)
                for name, path in zip(_NAMES, paths, strict=False)
                if path.startswith("/") and logical_name in (None, name)
            ]

        return await run_command(self._session, "home", resource_id, _COMMAND, read)

    async def access_endpoints(
        self, resource_id: str, *, protocol: str | None = None
    ) -> Done[Sequence[AccessEndpoint]]:
        """Not offered."""
        raise NotOffered(
            "the Superfacility API does not tell which Globus collections show its files; name one in the "
            "profile (globus.collection)",
            facility=self._session.label,
            operation="access_endpoints",
        )
