"""`/facility`: the facility and its site."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from starlette.requests import Request

from iri_local_facility.facility import Facility as Core

from .fields import Limit, Offset
from .links import Links
from .models import Facility, Site
from .paging import ModifiedSince, TextFilter, changed_since, not_modified, page
from .represent import Represent
from .routing import route_class
from .version import Version


def make_router(core: Core, version: Version) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["facility"], route_class=route_class(core.accounts, strict=True))

    @router.get(
        "/facility",
        operation_id="getFacility",
        response_model=version.answer(Facility),
        response_model_exclude_none=True,
    )
    async def get_facility(request: Request, modified_since: ModifiedSince = None):
        document = Represent(core.catalog, Links(request)).facility()
        return not_modified(document, modified_since) or document

    @router.get(
        "/facility/sites",
        operation_id="getSites",
        response_model=list[version.answer(Site)],
        response_model_exclude_none=True,
    )
    async def get_sites(
        request: Request,
        modified_since: ModifiedSince = None,
        name: TextFilter = None,
        offset: Offset = 0,
        limit: Limit = 100,
        short_name: TextFilter = None,
    ):
        site = Represent(core.catalog, Links(request)).site()
        wanted = name in (None, site["name"]) and short_name in (None, site["short_name"])
        found = page(changed_since([site] if wanted else [], modified_since), offset, limit)
        if not found:
            raise HTTPException(404, "no sites found")
        return found

    @router.get(
        "/facility/sites/{site_id}",
        operation_id="getSite",
        response_model=version.answer(Site),
        response_model_exclude_none=True,
    )
    async def get_site(request: Request, site_id: str, modified_since: ModifiedSince = None):
        if site_id != core.catalog.site_id:
            raise HTTPException(404, f"Site {site_id} not found")
        document = Represent(core.catalog, Links(request)).site()
        return not_modified(document, modified_since) or document

    return router
