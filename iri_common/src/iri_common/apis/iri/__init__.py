"""The IRI Facility API v2 of the DOE facilities."""

from __future__ import annotations

from iri_common.apis.iri.dialect import IriDialect
from iri_common.apis.iri.rules import RULES

__all__ = ["IriDialect", "RULES"]
