"""FirecREST v2, of CSCS and other European sites."""

from __future__ import annotations

from iri_common.apis.firecrest.dialect import API, FirecrestDialect
from iri_common.apis.firecrest.rules import RULES

__all__ = ["API", "FirecrestDialect", "RULES"]
