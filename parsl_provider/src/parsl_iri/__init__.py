"""Parsl on HPC facilities through their APIs: no SSH, no process on a login node.

Names are loaded when they are first used: ``import parsl_iri`` loads neither Parsl nor the core.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parsl_iri.provider import FacilityProvider
    from parsl_iri.states import FacilityJobStatus

__version__ = "0.1.0"

_HOMES = {"FacilityProvider": "provider", "FacilityJobStatus": "states"}

__all__ = ["FacilityProvider", "FacilityJobStatus", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
