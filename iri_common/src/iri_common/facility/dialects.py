"""The APIs that a door can speak, by the names that profiles use."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from iri_common.apis.kind import ApiKind
from iri_common.model.errors import UsageError

# Each package has an ``API``; it is imported when a door to it is opened.
_PACKAGES: Mapping[str, str] = {
    "iri": "iri_common.apis.iri",
    "superfacility": "iri_common.apis.superfacility",
    "firecrest": "iri_common.apis.firecrest",
    "slurm": "iri_common.apis.slurm",
    "sense": "iri_common.apis.sense",
}
DIALECTS = tuple(_PACKAGES)
DEFAULT = "iri"  # what a door speaks that names none


def api_kind(name: str) -> ApiKind:
    """The API of that name.

    Raises:
        UsageError: naming those that there are.
    """
    package = _PACKAGES.get(name)
    if package is None:
        raise UsageError(f"no such dialect: {name!r} (known: {', '.join(DIALECTS)})")
    return importlib.import_module(package).API
