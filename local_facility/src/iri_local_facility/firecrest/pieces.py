"""``/filesystem/…/ops``: pieces of files as text."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query

from iri_local_facility import excerpts

from . import listing
from .access import Asking, Caller
from .ops import run
from .refusals import Refusal, too_large

_VIEW_SIZE = 5 * 1024 * 1024
_LINES = 10

router = APIRouter(prefix="/filesystem/{system_name}/ops")
Bytes = Annotated[int | None, Query(alias="bytes")]


@router.get("/head", operation_id="firecrestHead")
def head(
    caller: Asking,
    path: str,
    count: Bytes = None,
    lines: int | None = None,
    skip: Annotated[bool, Query(alias="skipTrailing")] = False,
) -> dict[str, Any]:
    """The beginning of a file."""
    _only_one(count, lines)
    wanted = (count, None) if count else (None, lines or _LINES)
    found = run(caller, "head", path, partial(_head, caller, *wanted, skip))
    return _excerpt(found, count, 0, _position(count, lines, -1 if skip else 1))


@router.get("/tail", operation_id="firecrestTail")
def tail(
    caller: Asking,
    path: str,
    count: Bytes = None,
    lines: int | None = None,
    skip: Annotated[bool, Query(alias="skipHeading")] = False,
) -> dict[str, Any]:
    """The end of a file."""
    _only_one(count, lines)
    start = _position(count, lines, 1 if skip else -1)
    # Skipping tells the first that is shown, counted from one; without a number there is nothing to skip.
    skip = skip and bool(count or lines)
    wanted = (count - skip, None) if count else (None, (lines or _LINES) - skip)
    found = run(caller, "tail", path, partial(_tail, caller, *wanted, skip))
    return _excerpt(found, count, start, -1)


@router.get("/view", operation_id="firecrestView")
def view(caller: Asking, path: str, size: int = _VIEW_SIZE, offset: int = 0) -> dict[str, Any]:
    """A piece from the middle of a file."""
    limit = caller.core.settings.size_limit
    if offset < 0:
        raise Refusal(400, "`offset` value must be an integer value equal or greater than 0")
    if size <= 0:
        raise Refusal(400, "`size` value must be an integer value greater than 0")
    if size > limit:
        raise Refusal(400, f"`size` value must be less than {limit} bytes")

    def command(path: str) -> str | None:
        return listing.shown(caller.user.areas.resolve(path), size, offset, limit)

    if (text := run(caller, "view", path, command)) is None:
        raise too_large()
    return {"output": text}


def _only_one(count: int | None, lines: int | None) -> None:
    if count and lines:
        raise Refusal(400, "Only one of `bytes` or `lines` can be specified.")


def _position(count: int | None, lines: int | None, sign: int) -> int:
    if lines is not None:
        return sign * lines
    return _LINES if count is None else sign * count


def _head(caller: Caller, count: int | None, lines: int | None, skip: bool, path: str) -> str:
    return excerpts.head(caller.user, path, _most(caller), count, lines, skip)["content"]


def _tail(caller: Caller, count: int | None, lines: int | None, skip: bool, path: str) -> str:
    return excerpts.tail(caller.user, path, _most(caller), count, lines, skip)["content"]


def _most(caller: Caller) -> int:
    return caller.core.settings.size_limit - 1  # as much as the limit is too much already


def _excerpt(content: str, count: int | None, start: int, end: int) -> dict[str, Any]:
    kind = "bytes" if count else "lines"
    return {"output": {"content": content, "contentType": kind, "startPosition": start, "endPosition": end}}
