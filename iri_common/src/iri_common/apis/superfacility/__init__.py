"""NERSC's Superfacility API, v1.2."""

from __future__ import annotations

from iri_common.apis.superfacility.dialect import API, GRADES, SuperfacilityDialect
from iri_common.apis.superfacility.rules import RULES

__all__ = ["API", "GRADES", "RULES", "SuperfacilityDialect"]
