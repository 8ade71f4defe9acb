"""Where examples and sources are, and connections to local facilities."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from iri_local_facility import LocalFacility

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

SOURCES = os.pathsep.join(map(str, [EXAMPLES, *sorted(ROOT.glob("*/src"))]))
"""PYTHONPATH of Airflow's components: the tree of these tests, whichever the environment has installed."""


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
