"""Service profiles: intents that the operators have written, and what a user may edit in them."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from .network import PORTS
from .refusals import Refusal

_ID = "061a29bd-0000-4000-8000-00000000c0de"
_STEP = re.compile(r"([a-z_]+)(?:\[(\d+)\])?")
_SUNN, _WASH, *_ = PORTS
_INTENT: dict[str, Any] = {
    "service": "dnc",
    "data": {
        "type": "Multi-Path P2P VLAN",
        "connections": [
            {
                "name": "Connection 1",
                "terminals": [
                    {"uri": _SUNN, "vlan_tag": "any", "assign_ip": False},
                    {"uri": _WASH, "vlan_tag": "3600-3619", "assign_ip": False},
                ],
                "bandwidth": {"qos_class": "guaranteedCapped", "capacity": "1000"},
            }
        ],
    },
}
_EDITABLE = (
    "data.connections[0].bandwidth.capacity",
    "data.connections[0].terminals[0].vlan_tag",
    "data.connections[0].terminals[1].vlan_tag",
)


def slim(user: str) -> dict[str, Any]:
    """The profile as it is listed."""
    return {
        "uuid": _ID,
        "name": "coast-to-coast",
        "description": "a path from Sunnyvale to Washington",
        "owner": "admin",
        "editable": True,
        "authorized": True,
        "licenses": [{"username": user, "type": "ticket", "remaining": 10}],
        "created": "2026-01-01T00:00:00Z",
        "lastEdited": "2026-01-01T00:00:00Z",
    }


def full(name: str, user: str) -> dict[str, Any]:
    """The profile by its id or name.

    Raises:
        Refusal: There is none.
    """
    listed = slim(user)
    if name not in (listed["uuid"], listed["name"]):
        raise Refusal(f"profile {name} was not found", 404)
    edit = [{"path": path, "valid": "", "description": ""} for path in _EDITABLE]
    return {**listed, "json": json.dumps(_INTENT), "edit": edit}


def edited(intent: dict[str, Any]) -> Any:
    """The data of an intent that names a profile, with its edits made.

    Raises:
        Refusal: There is no such profile, or it may not be edited like that.
    """
    name = intent.get("service_profile_uuid") or intent.get("profileID")
    if name is None:
        return intent.get("data")
    full(str(name), "")
    made = copy.deepcopy(_INTENT)
    for query in intent.get("queries") or []:
        for option in query.get("options", []) if query.get("ask") == "edit" else []:
            for path, value in option.items():
                if path not in _EDITABLE:
                    raise Refusal(f"{path} is not editable in this profile", as_json=True)
                _put(made, path, value)
    return made["data"]


def _put(document: Any, path: str, value: Any) -> None:
    *way, last = [step for name in path.split(".") for step in _steps(name)]
    for step in way:
        document = document[step]
    document[last] = value


def _steps(name: str) -> list[str | int]:
    found = _STEP.fullmatch(name)
    assert found is not None
    return [found[1]] if found[2] is None else [found[1], int(found[2])]
