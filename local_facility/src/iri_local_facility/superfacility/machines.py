"""The machines and systems that the API names, and what of this facility stands for each.

Published clients know the names of NERSC's machines and no others, so the cluster answers to one of them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from iri_local_facility.catalog import Catalog, Resource


class Machine(StrEnum):
    """Where one can log in."""

    perlmutter = "perlmutter"
    dtn01 = "dtn01"
    dtns = "dtns"


# The one with a batch system.
COMPUTE = Machine.perlmutter


class System(NamedTuple):
    """Something that has a status."""

    name: str
    full_name: str
    kind: str
    resource: Resource


def systems(catalog: Catalog) -> list[System]:
    """All of them; the parts of this facility are fewer, so some share one."""
    return [
        System("perlmutter", "Perlmutter", "compute", catalog.cluster),
        System("dtns", "Data Transfer Nodes", "filesystem", catalog.scratch),
        System("global_homes", "Global Homes", "filesystem", catalog.scratch),
        System("community_filesystem", "Community File System (CFS)", "filesystem", catalog.scratch),
        System("globus", "Globus", "service", catalog.scratch),
    ]
