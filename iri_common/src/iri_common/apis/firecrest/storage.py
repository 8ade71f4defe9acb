"""Where data belongs, as far as the systems' configuration tells."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from iri_common.apis.firecrest.systems import Systems, home_root
from iri_common.apis.firecrest.wire import FileSystemReply
from iri_common.model.errors import NotOffered
from iri_common.model.facility import AccessEndpoint, StorageLocation
from iri_common.model.outcome import Done


class FirecrestStorage:
    """The file systems of a system, and a user's own directory where FirecREST itself counts on one."""

    def __init__(self, systems: Systems, label: str) -> None:
        self._systems = systems
        self._label = label

    async def locations(
        self, resource_id: str, *, logical_name: str | None = None, project: str | None = None
    ) -> Done[Sequence[StorageLocation]]:
        """The home, and the file systems by what they are for; they are the same for all projects."""
        system = await self._systems.of(resource_id)
        root = home_root(system)
        found: list[StorageLocation] = []
        if root is not None and logical_name in {None, "home"}:
            found.append(StorageLocation("home", await self._systems.home(resource_id)))
        for each in system.file_systems:
            name = each.data_type or posixpath.basename(each.path)
            if each.path != root and name != "home" and logical_name in {None, name}:
                found.append(
                    StorageLocation(name, await self._path(resource_id, each), each.path, shared=True)
                )
        return Done(found)

    async def access_endpoints(
        self, resource_id: str, *, protocol: str | None = None
    ) -> Done[Sequence[AccessEndpoint]]:
        """None: the links of its own S3 transfers are signed for one file each."""
        raise NotOffered(
            "FirecREST names no way to move data in bulk but its own transfers; a Globus collection can be "
            "named in the profile",
            facility=self._label,
            operation="get_systems",
        )

    async def _path(self, resource_id: str, file_system: FileSystemReply) -> str:
        # A system's description names the root; everybody has a directory of their own in those, as
        # FirecREST's own UI takes for granted.
        if not file_system.default_work_dir and file_system.data_type not in {"users", "scratch"}:
            return file_system.path
        return posixpath.join(file_system.path, await self._systems.user_name(resource_id))
