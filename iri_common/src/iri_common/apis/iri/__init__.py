"""The IRI Facility API, v2 and v1, of the DOE facilities."""

from __future__ import annotations

from iri_common.apis.iri.dialect import API, IriDialect, grades_of
from iri_common.apis.iri.quirks import SITES, Site, site_of
from iri_common.apis.iri.rules import RULES
from iri_common.apis.iri.versions import V1, V2, Version, version_of

__all__ = [
    "API",
    "grades_of",
    "IriDialect",
    "RULES",
    "Site",
    "site_of",
    "SITES",
    "V1",
    "V2",
    "Version",
    "version_of",
]
