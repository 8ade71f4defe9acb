"""`/storage`: which directories serve which purpose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from iri_local_facility.accounts import User
from iri_local_facility.catalog import Resource
from iri_local_facility.facility import Facility as Core

from .models import AccessEndpoint, AccessProtocol, LogicalName, StorageInstance, StorageIntent
from .routing import CurrentUser, bearer_token, route_class
from .version import Version

_SERVES = {
    "read": {"home", "scratch", "project"},
    "write": {"home", "scratch", "project"},
    "staging": {"scratch"},
    "long-term-storage": {"home", "project"},
}


def make_router(core: Core, version: Version) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["storage"], route_class=route_class(core.accounts, strict=True))

    @router.get(
        "/storage/locations/{resource_id}",
        operation_id="getStorageLocations",
        response_model=list[StorageInstance],
        dependencies=[bearer_token],
    )
    async def get_locations(
        resource_id: str,
        user: CurrentUser,
        logicalpath: Annotated[LogicalName | None, Query()] = None,
        project: Annotated[str | None, Query()] = None,
        allocation: Annotated[str | None, Query()] = None,
        intent: Annotated[StorageIntent | None, Query()] = None,
    ):
        core.catalog.resource(resource_id)
        projects = _projects(core, user, project, allocation)
        found = [
            place
            for place in _places(user, projects)
            if logicalpath in (None, place["logical_name"])
            and (intent is None or place["logical_name"] in _SERVES[intent])
        ]
        if logicalpath is not None and not found:
            raise HTTPException(404, f"no {logicalpath} location")
        return found

    @router.get(
        "/storage/access-endpoints/{resource_id}",
        operation_id="getStorageAccessEndpoints",
        response_model=list[AccessEndpoint],
        response_model_exclude_none=True,
        dependencies=[bearer_token],
    )
    async def get_endpoints(
        resource_id: str,
        user: CurrentUser,
        protocol: Annotated[AccessProtocol | None, Query()] = None,
        endpoint_id: Annotated[str | None, Query()] = None,
    ):
        return [
            endpoint
            for endpoint in _ways_in(core, core.catalog.resource(resource_id))
            if protocol in (None, endpoint["protocol"]) and endpoint_id in (None, endpoint.get("endpoint_id"))
        ]

    return router


def _ways_in(core: Core, resource: Resource) -> Iterator[dict[str, Any]]:
    """How data of a resource can be reached beside the filesystem operations."""
    if resource is core.catalog.objects and core.settings.s3:
        url, bucket, region = core.settings.s3
        yield {
            "id": core.catalog.make_id("access-endpoint", "s3"),
            "resource_id": resource.id,
            "protocol": "s3",
            "display_name": f"Objects of {core.settings.name}",
            "auth_type": "s3",
            "capabilities": ["list", "read", "write"],
            "bucket": bucket,
            "region": region,
            "endpoint_url": url,
        }
    elif resource is core.catalog.scratch:
        collection = core.globus.collections.own
        yield {
            "id": core.catalog.make_id("access-endpoint", f"globus/{resource.name}"),
            "resource_id": resource.id,
            "protocol": "globus",
            "display_name": collection.name,
            "auth_type": "globus",
            "capabilities": ["list", "read", "write", "transfer"],
            "endpoint_id": collection.id,
            "uri": f"globus://{collection.id}/",
            # Within the collection. Which directory of the facility that is, the API has no word for.
            "root_path": "/",
        }


def _projects(core: Core, user: User, project: str | None, allocation: str | None) -> tuple[str, ...]:
    """The projects whose directories are asked for, given by name or id, or by an allocation's id."""
    make_id = core.catalog.make_id
    chosen = user.projects
    if project is not None:
        chosen = tuple(name for name in chosen if project in (name, make_id("project", name)))
    if allocation is not None:
        names = [capability.name for capability in core.catalog.capabilities]
        chosen = tuple(
            name
            for name in chosen
            if allocation in {make_id("allocation", f"{name}/{kind}") for kind in names}
        )
    if not chosen:
        raise HTTPException(403, f"{user.name} is not a member of that project")
    return chosen


def _places(user: User, projects: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    yield _place("home", str(user.areas.home), shared=False)
    yield _place("scratch", str(user.areas.scratch), shared=False)
    for project in projects:
        yield _place("project", str(user.areas.projects[project]), shared=True)


def _place(logical_name: str, path: str, *, shared: bool) -> dict[str, Any]:
    return {
        "logical_name": logical_name,
        "path": path,
        "filesystem": "local",
        "performance_tier": "high",
        "shared": shared,
        "access": {"read": True, "write": True, "execute": True},
    }
