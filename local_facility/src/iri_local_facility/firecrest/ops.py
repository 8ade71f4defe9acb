"""``/filesystem/…/ops``: file commands, each run on the login node while the client waits."""

from __future__ import annotations

import base64
import errno
import os
import tarfile
import zlib
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, File, Query, Response, UploadFile

from iri_local_facility import files
from iri_local_facility.errors import Denied, FacilityError, TooLarge

from . import archives, listing, models
from .access import Asking, Caller
from .refusals import Refusal, command_failed, timed_out, too_large

_T = TypeVar("_T")
_WRITING = frozenset({"upload", "extract", "compress"})

router = APIRouter(prefix="/filesystem/{system_name}/ops")


def run(caller: Caller, name: str, path: str | None, command: Callable[[str], _T]) -> _T:
    """Run a command about a path.

    Raises:
        Refusal: What went wrong, in the words of a program.
    """
    allowed = caller.allow(path)
    settings = caller.core.settings
    if name in settings.without:
        raise Refusal(501, f"The operation {name} is not implemented on this system.")
    if "'" in allowed:
        # Paths are put between single quotes, whatever is in them.
        words = "bash: -c: line 1: unexpected EOF while looking for matching `''"
        raise command_failed(words, 1)
    try:
        if name in _WRITING and caller.core.faults.strikes("no_space"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return command(allowed)
    except TooLarge:
        raise too_large() from None
    except Denied as denied:
        raise command_failed(f"{name}: {denied}") from None
    except OSError as problem:
        words = problem.strerror or str(problem)
        raise command_failed(f"{name}: cannot access '{allowed}': {words}") from None
    except (FacilityError, tarfile.TarError, EOFError, zlib.error, ValueError) as problem:
        raise command_failed(f"{name}: {problem}", 2) from None


@router.get("/ls", operation_id="firecrestLs")
def ls(
    caller: Asking,
    path: str,
    show_hidden: Annotated[bool, Query(alias="showHidden")] = False,
    numeric_uid: Annotated[bool, Query(alias="numericUid")] = False,
    recursive: bool = False,
    dereference: bool = False,
) -> dict[str, Any]:
    """List a directory."""
    command = partial(
        listing.listed,
        caller.user,
        limit=caller.core.settings.size_limit,
        show_hidden=show_hidden,
        numeric_uid=numeric_uid,
        recursive=recursive,
        dereference=dereference,
    )
    return {"output": run(caller, "ls", path, command)}


@router.get("/stat", operation_id="firecrestStat")
def stat(caller: Asking, path: str, dereference: bool = False) -> dict[str, Any]:
    """The numbers of ``stat(2)``."""
    command = partial(files.stat_file, caller.user, dereference=dereference)
    return {"output": run(caller, "stat", path, command)}


@router.get("/file", operation_id="firecrestFile")
def file(caller: Asking, path: str) -> dict[str, Any]:
    """The kind of a file."""
    return {"output": run(caller, "file", path, partial(listing.kind, caller.user))}


@router.get("/checksum", operation_id="firecrestChecksum")
def checksum(caller: Asking, path: str) -> dict[str, Any]:
    """SHA-256 of a file."""
    found = run(caller, "checksum", path, partial(files.checksum, caller.user))["checksum"]
    if len(path.split()) > 1:
        raise Refusal(500, f"Invalid output: {found}  {path}\n ")  # of two words, it thinks
    return {"output": {"algorithm": "SHA256", "checksum": found}}


@router.post("/mkdir", operation_id="firecrestMkdir", status_code=201)
def mkdir(caller: Asking, body: models.Mkdir) -> dict[str, Any]:
    """Make a directory."""

    def command(path: str) -> dict[str, Any]:
        files.mkdir(caller.user, path, body.parent)
        return listing.about(path, caller.user)

    return {"output": run(caller, "mkdir", body.path, command)}


@router.post("/symlink", operation_id="firecrestSymlink", status_code=201)
def symlink(caller: Asking, body: models.Symlink) -> dict[str, Any]:
    """Make a link."""

    def command(path: str) -> dict[str, Any]:
        files.symlink(caller.user, path, body.link_path)
        return listing.about(body.link_path, caller.user)

    return {"output": run(caller, "symlink", body.path, command)}


@router.put("/chmod", operation_id="firecrestChmod")
def chmod(caller: Asking, body: models.Chmod) -> dict[str, Any]:
    """Change permissions."""

    def command(path: str) -> dict[str, Any]:
        files.chmod(caller.user, path, body.mode)
        return listing.about(path, caller.user)

    return {"output": run(caller, "chmod", body.path, command)}


@router.put("/chown", operation_id="firecrestChown")
def chown(caller: Asking, body: models.Chown) -> dict[str, Any]:
    """Change the owner."""

    def command(path: str) -> dict[str, Any]:
        files.chown(caller.user, path, body.owner, body.group)
        return listing.about(path, caller.user)

    return {"output": run(caller, "chown", body.path, command)}


@router.delete("/rm", operation_id="firecrestRm", status_code=204)
def rm(caller: Asking, path: str) -> Response:
    """Remove a file or a tree."""
    run(caller, "rm", path, partial(files.rm, caller.user))
    return Response(status_code=204)


@router.get("/download", operation_id="firecrestDownload")
def download(caller: Asking, path: str) -> Response:
    """All of a file."""
    limit = caller.core.settings.size_limit
    # It travels from the login node in base64, and that is what is limited.
    text = run(caller, "download", path, lambda path: files.download(caller.user, path, limit))
    if len(text) >= limit:
        raise too_large()
    return Response(base64.b64decode(text), media_type="application/octet-stream")


@router.post("/upload", operation_id="firecrestUpload", status_code=204)
def upload(caller: Asking, path: str, file: Annotated[UploadFile, File()]) -> Response:
    """Write a file into a directory."""
    caller.allow(path)
    content = file.file.read()
    if len(content) > caller.core.settings.size_limit:
        raise Refusal(413, "File to upload is too large.")
    target = f"{path}/{file.filename}"
    run(caller, "upload", target, lambda path: files.upload(caller.user, path, content))
    if not content:
        # Without a byte to send, nobody tells the command that this was all. The file is there by then.
        raise timed_out()
    return Response(status_code=204)


@router.post("/compress", operation_id="firecrestCompress", status_code=204)
def compress(caller: Asking, body: models.Compress) -> Response:
    """Pack an archive."""
    run(caller, "compress", body.path, partial(archives.pack, caller.user, body=body))
    return Response(status_code=204)


@router.post("/extract", operation_id="firecrestExtract", status_code=204)
def extract(caller: Asking, body: models.Extract) -> Response:
    """Unpack one."""
    run(caller, "extract", body.path, partial(archives.unpack, caller.user, body=body))
    return Response(status_code=204)
