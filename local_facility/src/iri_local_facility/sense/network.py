"""The network: sites with ports, what each port can carry, and the paths that can be found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .refusals import Refusal

_TYPES = ("Multi-Path P2P VLAN", "Site-L3 over P2P VLAN", "Multi-Point VLAN Bridge", "Multi-Point L3VPN")
_QUALITIES = ("guaranteedCapped", "softCapped", "anyAvailable", "bestEffort")
_VLANS = range(3600, 3700)
_MBPS = 1_000_000


@dataclass(frozen=True)
class Port:
    """Where a path can begin or end; its capacity is in Mbit/s."""

    uri: str
    domain: str
    capacity: int


DOMAINS: Mapping[str, str] = {
    "urn:ogf:network:es.net:2013": "ESnet",
    "urn:ogf:network:nersc.gov:2023": "NERSC",
    "urn:ogf:network:fnal.gov:2023": "Fermilab",
}
_PORTS = (
    ("urn:ogf:network:es.net:2013", "sunn-cr6:1_1_c2_1", 100_000),
    ("urn:ogf:network:es.net:2013", "wash-cr6:1_1_c6_1", 100_000),
    ("urn:ogf:network:nersc.gov:2023", "dtn:ae1", 40_000),
    ("urn:ogf:network:fnal.gov:2023", "dtn:ae3", 10_000),
)
PORTS = {
    each.uri: each
    for each in (Port(f"{domain}::{name}:+", domain, capacity) for domain, name, capacity in _PORTS)
}


@dataclass(frozen=True)
class Found:
    """A path: its ports with the VLAN at each, and Mbit/s, what is held and what there would be."""

    ends: tuple[tuple[str, int], ...]
    held: int
    most: int


def find(data: Any, held: Iterable[Found]) -> Found:
    """The path that an intent's data describe.

    Raises:
        Refusal: They describe none, or none can be found beside what is held.
    """
    connection, quality, capacity = _described(data)
    names = [str(each.get("uri")) for each in connection["terminals"] if isinstance(each, dict)]
    there = list(held)
    for name in names:
        if name not in PORTS:
            raise Refusal(f"cannot find feasible path for connection '{connection['name']}': no port {name}")
    left = min(PORTS[each].capacity - _held_at(each, there) for each in names)
    if quality != "bestEffort" and capacity > left:
        raise Refusal(f"cannot find feasible path for connection '{connection['name']}': {left} Mbps left")
    ends = tuple(
        (name, _vlan(name, str(terminal.get("vlan_tag", "any")), there, connection["name"]))
        for name, terminal in zip(names, connection["terminals"], strict=True)
    )
    guaranteed = quality in ("guaranteedCapped", "softCapped")
    return Found(ends, capacity if guaranteed else 0, left)


def answers(queries: Any, path: Found) -> list[dict[str, Any]]:
    """The answers to an intent's questions."""
    told: list[dict[str, Any]] = []
    for query in queries if isinstance(queries, list) else []:
        ask, options = query.get("ask"), query.get("options") or [{}]
        result: dict[str, Any] = {"name": options[0].get("name", "Connection 1")}
        if ask == "total-block-maximum-bandwidth":
            result |= {"bandwidth": str(path.most * _MBPS), "start": "now"}
            result |= {"end": options[0].get("end-before", "")}
        elif ask == "maximum-bandwidth":
            result |= {"bandwidth": str(path.most)}
        else:
            continue
        told.append({"asked": ask, "results": [result]})
    return told


def _described(data: Any) -> tuple[dict[str, Any], str, int]:
    kind = data.get("type") if isinstance(data, dict) else None
    if kind not in _TYPES:
        raise Refusal(f"malformed intent: unsupported type {kind}", as_json=True)
    connections = data.get("connections")
    first = connections[0] if isinstance(connections, list) and connections else {}
    terminals = first.get("terminals") if isinstance(first, dict) else None
    if not (isinstance(terminals, list) and len(terminals) > 1):
        raise Refusal("malformed intent: a connection needs two terminals", as_json=True)
    bandwidth = first.get("bandwidth") or {}
    quality, capacity = bandwidth.get("qos_class", "bestEffort"), bandwidth.get("capacity", "0")
    if quality not in _QUALITIES or not (isinstance(capacity, str) and capacity.isdecimal()):
        raise Refusal("malformed intent: invalid bandwidth", as_json=True)
    return {"name": first.get("name", "Connection 1"), "terminals": terminals}, quality, int(capacity)


def _held_at(port: str, held: Iterable[Found]) -> int:
    return sum(each.held for each in held if port in dict(each.ends))


def _vlan(port: str, wanted: str, held: Iterable[Found], name: str) -> int:
    low, high = _VLANS[0], _VLANS[-1]
    if found := re.fullmatch(r"(\d+)(?:-(\d+))?", wanted):
        low, high = int(found[1]), int(found[2] or found[1])
    taken = {dict(each.ends).get(port) for each in held}
    for vlan in range(max(low, _VLANS[0]), min(high, _VLANS[-1]) + 1):
        if vlan not in taken:
            return vlan
    raise Refusal(f"cannot find feasible path for connection '{name}': no VLAN of {wanted} is free at {port}")
