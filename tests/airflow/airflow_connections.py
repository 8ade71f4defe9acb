"""Where the examples are, and connections to local facilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from iri_local_facility import LocalFacility

EXAMPLES = Path(__file__).parents[2] / "examples"


def connection_to(facility: LocalFacility, **words: Any) -> dict[str, Any]:
    """An Airflow connection in Airflow's words."""
    extra = {"directory": str(facility.scratch), "poll_seconds": 0.5, **words.pop("extra", {})}
    return {
        "conn_type": "iri",
        "host": facility.base_url,
        "password": facility.token,
        "extra": extra,
        **words,
    }
