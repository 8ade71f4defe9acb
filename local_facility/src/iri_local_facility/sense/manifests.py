"""Manifests: templates filled with what was set up. Variables go by their names; no query is evaluated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .instances import Instance
from .network import DOMAINS, PORTS

_VARIABLE = re.compile(r"\?(\w+)\?")
_QUERIES = ("sparql", "sparql-ext", "required")


def filled(template: Any, instance: Instance) -> Any:
    """The template with a row for each end of the path wherever it has a list of rows."""
    return _filled(template, _rows(instance), {})


def _filled(template: Any, rows: list[dict[str, str]], row: Mapping[str, str]) -> Any:
    if isinstance(template, dict):
        return {name: _filled(each, rows, row) for name, each in template.items() if name not in _QUERIES}
    if isinstance(template, list):
        inner = [row] if row else rows
        return [_filled(each, rows, end) for each in template for end in inner]
    if isinstance(template, str):
        return _VARIABLE.sub(lambda found: row.get(found[1], found[0]), template)
    return template


def _rows(instance: Instance) -> list[dict[str, str]]:
    path = instance.path
    if path is None or instance.began is None or instance.doing == "CANCEL":
        return []
    return [
        {
            "terminal": port,
            "vlan": str(vlan),
            "terminal_vlan": str(vlan),
            "node_name": DOMAINS[PORTS[port].domain],
            "site": PORTS[port].domain,
        }
        for port, vlan in path.ends
    ]
