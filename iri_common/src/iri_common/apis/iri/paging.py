"""Lists that come in pages, gathered: nearly always one request, because few facilities fill a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from iri_common.apis.iri.rules import PAGE
from iri_common.apis.reading import Reading
from iri_common.http.session import Request, Session
from iri_common.model.errors import NotFound


async def gather(session: Session, request: Request, *, last_offset: int | None = None) -> list[object]:
    """All rows of a list.

    There is no total and no next link: the end is a page that is not full, or a 404 past the end. A page
    that repeats the one before it is the end as well, from a server that does not know ``offset``.

    Args:
        session: Where to ask.
        request: Without ``offset`` and ``limit``.
        last_offset: The largest offset that the operation takes, where it has a limit.
    """
    rows: list[object] = []
    before: Sequence[object] = ()
    while last_offset is None or len(rows) <= last_offset:
        paging = (("offset", str(len(rows))), ("limit", str(PAGE)))
        try:
            reply = await session.send(replace(request, params=(*request.params, *paging)))
        except NotFound:
            if not rows:
                raise
            break
        if not isinstance(reply.value, list):
            raise Reading(session.label, request.operation).unfit("a list was expected")
        page = cast("list[object]", reply.value)
        if page == before:
            break
        rows += page
        before = page
        if len(page) < PAGE:
            break
    return rows
