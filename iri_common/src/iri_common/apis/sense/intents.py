"""A path in SENSE's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iri_common.model.network import PathIntent, Quality

# What is wanted of the model of a path: variables to be put in, and the queries that find them.
TEMPLATE: Mapping[str, Any] = {
    "ports": [
        {
            "port": "?terminal?",
            "vlan": "?vlan?",
            "node": "?node_name?",
            "ipv4": "?ipv4?",
            "ipv6": "?ipv6?",
            "mac": "?mac?",
            "sparql": (
                "SELECT DISTINCT ?end ?vlan ?ipv4 ?ipv6 ?mac WHERE { "
                "?segment a mrs:SwitchingSubnet. ?segment nml:hasBidirectionalPort ?end. "
                "?end nml:hasLabel ?label. ?label nml:value ?vlan. "
                'OPTIONAL {?end mrs:hasNetworkAddress ?a. ?a mrs:type "ipv4-address". ?a mrs:value ?ipv4.} '
                'OPTIONAL {?end mrs:hasNetworkAddress ?b. ?b mrs:type "ipv6-address". ?b mrs:value ?ipv6.} '
                'OPTIONAL {?end mrs:hasNetworkAddress ?c. ?c mrs:type "mac-address". ?c mrs:value ?mac.} }'
            ),
            "sparql-ext": (
                "SELECT DISTINCT ?terminal ?node_name WHERE { ?terminal nml:hasBidirectionalPort ?end. "
                "?holder nml:hasBidirectionalPort ?terminal. ?holder nml:name ?node_name. }"
            ),
            "required": "true",
        }
    ]
}
CONNECTION = "Connection 1"
MOST = "total-block-maximum-bandwidth"  # in bits a second; "maximum-bandwidth" is in Mbit/s by custom
_AHEAD = "+24h"
_CAPACITY = "data.connections[0].bandwidth.capacity"
_QUALITIES: Mapping[Quality, str] = {
    Quality.GUARANTEED: "guaranteedCapped",
    Quality.SOFT: "softCapped",
    Quality.AVAILABLE: "anyAvailable",
    Quality.BEST_EFFORT: "bestEffort",
}


def document(intent: PathIntent, alias: str) -> dict[str, Any]:
    """The intent, with the question how much there is."""
    question = {"name": CONNECTION, "start": intent.start, "end-before": intent.end or _AHEAD}
    queries: list[dict[str, Any]] = [{"ask": MOST, "options": [question]}]
    if intent.profile is None:
        return {"service": "dnc", "alias": alias, "data": _data(intent), "queries": queries}
    changes = dict(intent.changes)
    if intent.mbps:
        changes[_CAPACITY] = str(intent.mbps)
    if changes:
        queries.insert(0, {"ask": "edit", "options": [{path: value} for path, value in changes.items()]})
    return {"service_profile_uuid": intent.profile, "alias": alias, "queries": queries}


def _data(intent: PathIntent) -> dict[str, Any]:
    connection: dict[str, Any] = {
        "name": CONNECTION,
        "terminals": [{"uri": end.uri, "vlan_tag": end.vlan, "assign_ip": False} for end in intent.ends],
        "bandwidth": {"qos_class": _QUALITIES[intent.quality], "capacity": str(intent.mbps)},
    }
    if intent.end is not None or intent.start != "now":
        schedule = {"start": intent.start} | ({"end": intent.end} if intent.end else {})
        connection["schedule"] = schedule
    kind = "Multi-Path P2P VLAN" if len(intent.ends) == 2 else "Multi-Point VLAN Bridge"
    return {"type": kind, "connections": [connection]}
