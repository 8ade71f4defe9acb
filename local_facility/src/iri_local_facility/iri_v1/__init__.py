"""The IRI v1 face: the API as ALCF, ESnet and others serve it, made of the parts of v2 that it shares."""

from __future__ import annotations

from fastapi import FastAPI

from iri_local_facility.facility import Facility
from iri_local_facility.iri_v2 import account, compute, facility, filesystem, status, task
from iri_local_facility.iri_v2.assembly import assemble

from .version import V1

__all__ = ["PATHS", "make_app"]

# Servers of this version have their document at the root, and not below the prefix.
PATHS = (V1.prefix, V1.document)


def make_app(core: Facility) -> FastAPI:
    """The application behind ``/api/v1``."""
    return assemble(core, V1, (facility, status, account, compute, filesystem, task))
