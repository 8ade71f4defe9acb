"""The IRI v2 face: the DOE Integrated Research Infrastructure Facility API."""

from __future__ import annotations

from fastapi import FastAPI

from iri_local_facility.facility import Facility

from . import account, compute, facility, filesystem, status, storage, task
from .assembly import assemble
from .version import V2

__all__ = ["PREFIX", "make_app"]

PREFIX = V2.prefix


def make_app(core: Facility) -> FastAPI:
    """The application behind ``/api/v2``."""
    return assemble(core, V2, (facility, status, account, compute, filesystem, storage, task))
