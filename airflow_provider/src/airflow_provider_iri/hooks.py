"""The hook of the ``iri`` connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from iri_common import Facility

PROJECTS_SHOWN = 5


class IriHook(BaseHook):
    """Opens the facility that an ``iri`` connection describes.

    Example:
        >>> IriHook("iri_default").facility.files.put("in.dat", "/scratch/alice/in.dat")

    Args:
        iri_conn_id: The connection.
    """

    conn_name_attr: ClassVar[str] = "iri_conn_id"
    default_conn_name: ClassVar[str] = "iri_default"
    conn_type: ClassVar[str] = "iri"
    hook_name: ClassVar[str] = "IRI Facility API"

    def __init__(self, iri_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.iri_conn_id = iri_conn_id
        self._read: Connection | None = None

    @cached_property
    def facility(self) -> Facility:
        """The facility, blocking and awaited (``facility.aio``); nothing is sent to open it."""
        return _opened(self.get_connection(self.iri_conn_id))

    @cached_property
    def pages(self) -> tuple[str | None, str | None]:
        """Where a portal of the facility shows a job, and a file, with words in braces to be filled in."""
        from airflow_provider_iri.connection import pages_of

        return pages_of(self.get_connection(self.iri_conn_id))

    async def open(self) -> Facility:
        """Like :attr:`facility`, for event loops: a triggerer must not block on its connections."""
        if "facility" not in self.__dict__:
            await self.reopen()
        return self.facility

    async def reopen(self) -> bool:
        """Like :meth:`open`, by what the connection says now; False if that is what it said before."""
        connection = await self.aget_connection(self.iri_conn_id)
        if connection == self._read:
            return False
        # In a thread: the first time, this imports the whole core.
        self.__dict__["facility"] = await asyncio.to_thread(_opened, connection)
        self._read = connection
        return True

    def get_conn(self) -> Facility:
        """Airflow's name for :attr:`facility`."""
        return self.facility

    def test_connection(self) -> tuple[bool, str]:
        """For the button of the connection form: who I am there, for how long, what is up, what is left."""
        from iri_common import IriError

        try:
            facility = self.facility
            who = facility.accounts.check_token() or "somebody whose name this API does not tell"
            about = (_credential(facility), _resources(facility), *_allocations(facility))
            lines = [f"{who} at {facility.url}", *about]
        except IriError as error:
            return False, str(error)
        return True, "; ".join(lines)


def _opened(connection: Connection) -> Facility:
    from airflow_provider_iri.connection import facility_of

    return facility_of(connection)


def _credential(facility: Facility) -> str:
    from iri_common import CredentialState

    found = facility.accounts.credential()
    says = f"the credential is {found.state}"
    if found.until is not None:
        return f"{says} until {found.until:%Y-%m-%d %H:%M} UTC"
    return says if found.state is CredentialState.RENEWABLE else f"{says}, until when is not told"


def _resources(facility: Facility) -> str:
    return "resources: " + ", ".join(
        f"{resource.name or resource.id} {resource.status}" for resource in facility.status.resources()
    )


def _allocations(facility: Facility) -> Iterator[str]:
    """What is left, as far as the facility tells; a connection works without it."""
    from iri_common import IriError

    try:
        projects = facility.accounts.projects()
        for project in projects[:PROJECTS_SHOWN]:
            entries = [entry for each in facility.accounts.allocations(project.id) for entry in each.entries]
            left = ", ".join(f"{_number(entry.left)} {entry.unit.rpartition(':')[2]}" for entry in entries)
            yield f"left in {project.name}: {left or 'nothing allocated'}"
        if len(projects) > PROJECTS_SHOWN:
            yield f"and {len(projects) - PROJECTS_SHOWN} more projects"
    except IriError as error:
        yield f"allocations are not shown: {error}"


def _number(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")
