"""Where examples and sources are, and connections to local facilities."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from iri_local_facility import LocalFacility

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXAMPLES = ROOT / "examples"

SOURCES = os.pathsep.join(map(str, [EXAMPLES, HERE, *sorted(ROOT.glob("*/src"))]))
"""PYTHONPATH of Airflow's components: the tree of these tests, not what the environment has installed."""


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
