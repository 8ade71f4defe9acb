"""`/account`: capabilities, the caller, projects and what they were granted."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from starlette.requests import Request

from iri_local_facility.accounts import User
from iri_local_facility.catalog import Capability as CoreCapability
from iri_local_facility.facility import Facility as Core

from .fields import Limit, ShortOffset
from .grants import Grants
from .links import Links
from .models import Capability, Project, ProjectAllocation, UserAllocation, WhoAmI
from .paging import ModifiedSince, TextFilter, changed_since, not_modified, page
from .represent import Represent
from .routing import CurrentUser, bearer_token, route_class
from .version import Version

_PROJECTS = "/account/projects"
_GRANTS = f"{_PROJECTS}/{{project_id}}/project_allocations"
_SHARES = f"{_GRANTS}/{{project_allocation_id}}/user_allocations"


def make_router(core: Core, version: Version) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["account"], route_class=route_class(core.accounts, strict=True))
    _add_capabilities(router, core, version)
    if version.whoami:
        _add_whoami(router)
    _add_projects(router, core, version)
    _add_allocations(router, core, version)
    return router


def _add_capabilities(router: APIRouter, core: Core, version: Version) -> None:
    @router.get(
        "/account/capabilities",
        operation_id="getCapabilities",
        response_model=list[version.answer(Capability)],
        response_model_exclude_none=True,
    )
    async def get_capabilities(
        request: Request,
        name: TextFilter = None,
        modified_since: ModifiedSince = None,
        offset: ShortOffset = 0,
        limit: Limit = 100,
    ):
        represent = Represent(core.catalog, Links(request))
        found = [
            represent.capability(item) for item in core.catalog.capabilities if name in (None, item.name)
        ]
        return page(changed_since(found, modified_since), offset, limit)

    @router.get(
        "/account/capabilities/{capability_id}",
        operation_id="getCapability",
        response_model=version.answer(Capability),
    )
    async def get_capability(request: Request, capability_id: str, modified_since: ModifiedSince = None):
        for capability in core.catalog.capabilities:
            if capability.id == capability_id:
                document = Represent(core.catalog, Links(request)).capability(capability)
                return not_modified(document, modified_since) or document
        raise HTTPException(404, f"Capability {capability_id} not found")


def _add_whoami(router: APIRouter) -> None:
    @router.get("/account/whoami", operation_id="whoami", response_model=WhoAmI, dependencies=[bearer_token])
    async def whoami(user: CurrentUser):
        return {"username": user.name}


def _add_projects(router: APIRouter, core: Core, version: Version) -> None:
    @router.get(
        _PROJECTS,
        operation_id="getProjects",
        response_model=list[version.answer(Project)],
        dependencies=[bearer_token],
    )
    async def get_projects(request: Request, user: CurrentUser):
        grants = Grants(core, Links(request))
        return [grants.project(name) for name in user.projects]

    @router.get(
        f"{_PROJECTS}/{{project_id}}",
        operation_id="getProject",
        response_model=version.answer(Project),
        dependencies=[bearer_token],
    )
    async def get_project(request: Request, project_id: str, user: CurrentUser):
        return Grants(core, Links(request)).project(_project(core, user, project_id))


def _add_allocations(router: APIRouter, core: Core, version: Version) -> None:
    @router.get(
        _GRANTS,
        operation_id="getProjectAllocationsByProject",
        response_model=list[version.answer(ProjectAllocation)],
        dependencies=[bearer_token],
    )
    async def get_project_allocations(request: Request, project_id: str, user: CurrentUser):
        project = _project(core, user, project_id)
        grants = Grants(core, Links(request))
        return [grants.of_project(project, capability) for capability in core.catalog.capabilities]

    @router.get(
        f"{_GRANTS}/{{project_allocation_id}}",
        operation_id="getProjectAllocationByProject",
        response_model=version.answer(ProjectAllocation),
        dependencies=[bearer_token],
    )
    async def get_project_allocation(
        request: Request, project_id: str, project_allocation_id: str, user: CurrentUser
    ):
        project = _project(core, user, project_id)
        capability = _capability(core, project, project_allocation_id)
        return Grants(core, Links(request)).of_project(project, capability)

    @router.get(
        _SHARES,
        operation_id="getUserAllocationsByProjectAllocation",
        response_model=list[version.answer(UserAllocation)],
        dependencies=[bearer_token],
    )
    async def get_user_allocations(
        request: Request, project_id: str, project_allocation_id: str, user: CurrentUser
    ):
        project = _project(core, user, project_id)
        capability = _capability(core, project, project_allocation_id)
        return [Grants(core, Links(request)).of_user(project, capability, user.name)]

    @router.get(
        f"{_SHARES}/{{user_allocation_id}}",
        operation_id="getUserAllocationByProjectAllocation",
        response_model=version.answer(UserAllocation),
        dependencies=[bearer_token],
    )
    async def get_user_allocation(
        request: Request,
        project_id: str,
        project_allocation_id: str,
        user_allocation_id: str,
        user: CurrentUser,
    ):
        project = _project(core, user, project_id)
        capability = _capability(core, project, project_allocation_id)
        share = Grants(core, Links(request)).of_user(project, capability, user.name)
        if share["id"] != user_allocation_id:
            raise HTTPException(404, f"User allocation {user_allocation_id} not found")
        return share


def _project(core: Core, user: User, project_id: str) -> str:
    """The name of one of the caller's projects."""
    for name in user.projects:
        if core.catalog.make_id("project", name) == project_id:
            return name
    raise HTTPException(404, f"Project {project_id} not found")


def _capability(core: Core, project: str, allocation_id: str) -> CoreCapability:
    """What a project's allocation is about."""
    for capability in core.catalog.capabilities:
        if core.catalog.make_id("allocation", f"{project}/{capability.name}") == allocation_id:
            return capability
    raise HTTPException(404, f"Project allocation {allocation_id} not found")
