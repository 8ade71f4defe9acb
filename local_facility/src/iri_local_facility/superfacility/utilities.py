"""``/utilities``: files and commands on a login node. Paths are absolute, or begin at the home directory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import os
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, UploadFile

from iri_local_facility import files
from iri_local_facility.accounts import User
from iri_local_facility.errors import FacilityError, TooLarge
from iri_local_facility.facility import Facility

from .access import user_of
from .machines import Machine
from .refusals import failure, words

_Answer = dict[str, Any]


def make_router(core: Facility) -> APIRouter:
    """The routes; a machine is named, but all of them see the same files."""
    router = APIRouter()
    reader, writer = Depends(user_of(core)), Depends(user_of(core, "jobs"))
    limit = core.settings.size_limit

    # "//" before an absolute path: one slash ends the machine's name, the other belongs to the path.
    @router.get("/utilities/ls/{resource_id}/{path:path}", operation_id="sfLs")
    async def ls(resource_id: Machine, path: str, user: User = reader) -> _Answer:
        blank = {"entries": [], "file": None, "is_binary": False}
        return await _answer(lambda: {"entries": _listing(user, path)}, blank)

    @router.get("/utilities/download/{resource_id}/{path:path}", operation_id="sfDownload")
    async def download(resource_id: Machine, path: str, binary: bool = False, user: User = reader) -> _Answer:
        blank = {"file": None, "is_binary": binary}
        return await _answer(lambda: {"file": _content(user, path, limit, binary)}, blank)

    @router.put("/utilities/upload/{resource_id}/{path:path}", operation_id="sfUpload")
    async def upload(
        resource_id: Machine, path: str, file: Annotated[UploadFile, File()], user: User = writer
    ) -> _Answer:
        content = await file.read()
        no_space = core.faults.strikes("no_space")

        def write() -> _Answer:
            if no_space:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if len(content) > limit:
                raise TooLarge(f"{len(content)} bytes are more than the limit of {limit}")
            return {"output": files.upload(user, path, content)}

        return await _answer(write, {"output": None})

    @router.post("/utilities/command/{resource_id}", operation_id="sfCommand")
    async def command(
        resource_id: Machine, executable: Annotated[str, Form()], user: User = writer
    ) -> _Answer:
        if "\0" in executable:
            return failure("a command line has no NUL", task_id="")
        task_id = core.superfacility.tasks.accept(user, "command", line=executable)
        return {"task_id": task_id, "status": "OK", "error": None}

    return router


async def _answer(operation: Callable[[], _Answer], blank: _Answer) -> _Answer:
    """What an operation gives; what goes wrong with it is a success that says so inside."""
    try:
        found = await asyncio.to_thread(operation)
    except (FacilityError, OSError) as problem:
        return failure(words(problem), **blank)
    return {"status": "OK", **blank, **found, "error": None}


def _content(user: User, path: str, limit: int, binary: bool) -> str:
    encoded = files.download(user, path, limit)
    # As text, whatever is no UTF-8 is spoilt.
    return encoded if binary else base64.b64decode(encoded).decode(errors="replace")


def _listing(user: User, path: str) -> list[_Answer]:
    """As ``ls -la`` shows it: a link for itself, unless a slash follows; of a directory all that is in it."""
    top = user.areas.resolve(path, follow=path.endswith("/"))
    if not top.is_dir() or top.is_symlink():
        return [_entry(top, path)]
    found = [_entry(top, "."), _entry(top.parent, "..")]
    for each in sorted(top.iterdir()):
        with contextlib.suppress(FileNotFoundError):  # a job may be at work here
            found.append(_entry(each, each.name))
    return found


def _entry(path: Path, name: str) -> _Answer:
    facts = path.lstat()
    link = stat.S_ISLNK(facts.st_mode)
    return {
        "perms": stat.filemode(facts.st_mode),
        "hardlinks": facts.st_nlink,
        "user": files.owner_name(facts.st_uid),
        "group": files.group_name(facts.st_gid),
        "size": float(facts.st_size),
        "date": datetime.fromtimestamp(facts.st_mtime).strftime("%Y-%m-%dT%H:%M:%S"),
        "name": f"{name} -> {os.readlink(path)}" if link else name,
    }
