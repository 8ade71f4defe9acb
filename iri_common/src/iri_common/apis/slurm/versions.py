"""The versions of slurmrestd's API, and what OLCF's gateway makes of them, as data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from iri_common.apis.reading import segment

_NAME = re.compile(r"v0\.0\.([0-9]{2,3})")
OLDEST = 38
RESERVES = 43  # from here on reservations are made and deleted; before, they are only shown


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the API; Slurm serves three or four of them at once.

    Attributes:
        number: The last part of its name.
    """

    number: int

    @property
    def name(self) -> str:
        """As paths have it."""
        return f"v0.0.{self.number}"

    @property
    def plain(self) -> bool:
        """Numbers are numbers and the environment is an object; later ones have NoVal objects and a list."""
        return self.number <= OLDEST

    @property
    def script_inside(self) -> bool:
        """The script is a field of the job; beside it, it is deprecated."""
        return self.number >= 41


def version_of(name: str) -> Version | None:
    """The version of that name; None for what is no name of one, or older than what is spoken here."""
    found = _NAME.fullmatch(name)
    return Version(int(found[1])) if found and int(found[1]) >= OLDEST else None


# Newest first: that is the order in which they are asked for.
KNOWN: Sequence[Version] = tuple(Version(number) for number in range(44, OLDEST - 1, -1))


@dataclass(frozen=True, slots=True)
class Site:
    """Where the API is, and what is different there.

    Attributes:
        name: Who has it so; "" for slurmrestd itself.
        root: The path before the version.
        by_resource: The resource is a part of the path, and each has versions of its own.
        versions: Those that may be met.
        fields: What a job may have; None for everything that the version knows.
        archived: A look at one job is answered by the accounting database, in its words.
        changes: Jobs can be changed.
        kill: Cancels name the signal.
        digits: The most in a job's number, whose upper bits tell the clusters of a federation apart.
    """

    name: str = ""
    root: str = "/slurm"
    by_resource: bool = False
    versions: Sequence[Version] = KNOWN
    fields: frozenset[str] | None = None
    archived: bool = False
    changes: bool = True
    kill: bool = False
    digits: int = 10

    def path(self, version: Version, resource_id: str, rest: str) -> str:
        """The path of what is asked of a resource."""
        where = f"/{segment(resource_id, 'resource')}" if self.by_resource else ""
        return f"{self.root}/{version.name}{where}/{rest}"


SLURMRESTD = Site()

# S3M's own description of a job (proto slurm v0044): it has no arrays, dependencies, GPUs or constraints.
_S3M_FIELDS = """
    account begin_time comment environment licenses name tasks partition distribution_plane_size priority qos
    reservation script time_limit time_minimum wait_all_nodes current_working_directory cpus_per_task
    minimum_cpus maximum_cpus nodes minimum_nodes maximum_nodes minimum_boards_per_node
    minimum_sockets_per_board sockets_per_node threads_per_core tasks_per_node tasks_per_socket tasks_per_core
    tasks_per_board ntasks_per_tres minimum_cpus_per_node memory_per_cpu memory_per_node standard_input
    standard_output standard_error
"""

S3M = Site(
    name="S3M",
    root="/slurm/open",
    by_resource=True,
    versions=(Version(44), Version(43), Version(42)),
    fields=frozenset(_S3M_FIELDS.split()),
    archived=True,
    changes=False,
    # The gateway sends SIGTERM where nothing is said, which a job may survive and Slurm refuses for one that
    # waits. Asked for SIGKILL, Slurm itself sends SIGTERM first and the other after its KillWait.
    kill=True,
    digits=9,
)
