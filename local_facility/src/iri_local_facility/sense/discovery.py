"""What there is: domains, ports, instances, profiles; and what is verified and logged of an instance."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from iri_local_facility.facility import Facility

from . import manifests, profiles
from .access import caller
from .instances import Instance
from .network import DOMAINS, PORTS
from .refusals import Refusal
from .workflow import described


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter()

    @router.get("/discover", operation_id="senseDiscover")
    @router.get("/discover/domains", operation_id="senseDomains")
    async def domains() -> dict[str, Any]:
        return {"domains": [{"domain_uri": uri, "domain_name": name} for uri, name in DOMAINS.items()]}

    @router.get("/discover/service/instances", operation_id="senseInstances")
    async def instances(request: Request, search: str = "", regex: str = "") -> dict[str, Any]:
        caller(core, request)
        rows = [
            described(core, each)
            for each in core.sense.all()
            if search in (each.alias, each.id)
            or search in each.alias
            or (regex and re.search(regex, each.alias))
        ]
        for row in rows:  # a list tells nothing of the sites
            del row["configState"]
        return {"instances": rows}

    @router.get("/discover/{domain}", operation_id="senseDomain")
    async def domain(domain: str) -> dict[str, Any]:
        if domain not in DOMAINS:
            raise Refusal(f"domain {domain} was not found", 404)
        points = [
            {"stp": {"uri": each.uri, "vlan_tag": "3600-3699"}, "capacity": str(each.capacity)}
            for each in PORTS.values()
            if each.domain == domain
        ]
        return {"uri": domain, "name": DOMAINS[domain], "edge_points": points}

    _add_profiles(router, core)
    _add_traces(router, core)
    return router


def _add_profiles(router: APIRouter, core: Facility) -> None:
    @router.get("/profile", operation_id="senseProfiles")
    async def listed(request: Request) -> list[dict[str, Any]]:
        return [profiles.slim(caller(core, request))]

    @router.get("/profile/{name}", operation_id="senseProfile")
    async def profile(request: Request, name: str) -> dict[str, Any]:
        return profiles.full(name, caller(core, request))


def _add_traces(router: APIRouter, core: Facility) -> None:
    @router.get("/verification/{instance_id}", operation_id="senseVerification")
    async def verification(request: Request, instance_id: str) -> dict[str, Any]:
        caller(core, request)
        return _verified(core.sense.get(instance_id))

    @router.post("/service/manifest/{instance_id}/json", operation_id="senseManifest")
    async def manifest(request: Request, instance_id: str) -> dict[str, str]:
        caller(core, request)
        instance = core.sense.get(instance_id)
        try:
            template = json.loads(await request.body())
        except (ValueError, RecursionError):
            raise Refusal("malformed manifest template: JSON expected", as_json=True) from None
        return {"jsonTemplate": json.dumps(manifests.filled(template, instance), indent=2)}

    @router.get("/logging/logs/{instance_id}", operation_id="senseLogs")
    async def logs(request: Request, instance_id: str) -> list[dict[str, Any]]:
        caller(core, request)
        instance = core.sense.get(instance_id)
        return [
            {
                "id": str(number),
                "timestamp": datetime.fromtimestamp(instance.began or time.time(), UTC).isoformat(),
                "level": "INFO",
                "logger": "local",
                "event": action,
                "message": f"{action} was accepted {times} times",
                "referenceUUID": instance.id,
            }
            for number, (action, times) in enumerate(instance.asked.items())
        ]


def _verified(instance: Instance) -> dict[str, Any]:
    """What the sites have, as a model in text."""
    sight = instance.seen(time.time())
    path = instance.path
    model = (
        "\n".join(f"<{port}:vlan+{vlan}> a nml:BidirectionalPort ." for port, vlan in path.ends)
        if path
        else ""
    )
    stable, ending = sight.configured == "STABLE", sight.doing == "CANCEL"
    return {
        "delta_uuid": instance.intents[-1]["id"] if instance.intents else None,
        "verified_addition": model if stable and not ending else None,
        "unverified_addition": None if stable or ending else model,
        "verified_reduction": model if stable and ending else None,
        "unverified_reduction": model if ending and not stable else None,
        "addition": None if ending else str(stable).lower(),
        "reduction": str(stable).lower() if ending else None,
    }
