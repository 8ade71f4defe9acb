"""ESnet's SENSE: paths through networks, computed, provisioned and given back."""

from __future__ import annotations

from iri_common.apis.sense.dialect import API, SenseDialect
from iri_common.apis.sense.rules import RULES

__all__ = ["API", "RULES", "SenseDialect"]
