"""``/filesystem/…/transfer``: file commands as jobs, and files of any size by way of an object store."""

from __future__ import annotations

import asyncio
import os
import uuid
from functools import partial
from typing import Any

from fastapi import APIRouter

from iri_local_facility import files

from . import models
from .access import Asking, Caller
from .objects import MOST_PARTS, Objects, objects_of
from .ops import run
from .refusals import Refusal
from .transferjobs import part_count, run_command, run_egress, run_ingress

_TAR = {"none": "", "gzip": "z", "bzip2": "j", "xz": "J"}

router = APIRouter(prefix="/filesystem/{system_name}/transfer")


@router.post("/mv", operation_id="firecrestTransferMv", status_code=201)
async def mv(caller: Asking, body: models.ToPath) -> dict[str, Any]:
    """Move."""
    command = "mv -- '{source}' '{target}'"
    return await _command(caller, "mv", body, command, target=body.target_path)


@router.post("/cp", operation_id="firecrestTransferCp", status_code=201)
async def cp(caller: Asking, body: models.Copy) -> dict[str, Any]:
    """Copy."""
    links = "L" if body.dereference else "P"
    command = f"cp -f -p -R{links} -- '{{source}}' '{{target}}'"
    return await _command(caller, "cp", body, command, target=body.target_path)


@router.delete("/rm", operation_id="firecrestTransferRm")
async def rm(caller: Asking, path: str, account: str | None = None) -> dict[str, Any]:
    """Remove."""
    caller.allow(path)
    job = await run_command(caller.core, caller.user, "rm", account, "rm -R -- '{source}'", source=path)
    return {"transferJob": job}


@router.post("/compress", operation_id="firecrestTransferCompress", status_code=201)
async def compress(caller: Asking, body: models.Compress) -> dict[str, Any]:
    """Pack."""
    directory, entry = os.path.split(caller.allow(body.path))
    options = f"{'-h ' if body.dereference else ''}-c{_TAR[body.compression]}vf"
    command = f"tar {options} '{{target}}' -C '{{directory}}' '{{entry}}'"
    if body.match_pattern is not None:
        command = (
            "cd {directory}; find . -type f -regex '{pattern}' -print0 | "
            f"tar {options} '{{target}}' --null --files-from -"
        )
    return await _command(
        caller,
        "compress",
        body,
        command,
        target=body.target_path,
        directory=directory,
        entry=entry,
        pattern=body.match_pattern or "",
    )


@router.post("/extract", operation_id="firecrestTransferExtract", status_code=201)
async def extract(caller: Asking, body: models.Extract) -> dict[str, Any]:
    """Unpack."""
    command = f"tar -x{_TAR[body.compression]}f '{{source}}' -C '{{target}}'"
    return await _command(caller, "extract", body, command, target=body.target_path)


@router.post("/upload", operation_id="firecrestTransferUpload", status_code=201)
async def upload(caller: Asking, body: models.Transfer) -> dict[str, Any]:
    """Where to put the parts of a file; a job waits for them to be joined."""
    objects = _objects(caller, body)
    path, size = body.path or "", body.directives.file_size
    if size is None:
        raise Refusal(500, "(\"unsupported operand type(s) for /: 'NoneType' and 'int'\",)", unexpected=True)
    if (count := part_count(caller.core, size)) > MOST_PARTS:
        raise Refusal(500, f"('Part number must be an integer between 1 and {MOST_PARTS}',)", unexpected=True)
    name = _object_name(path)
    upload_id = await _begun(objects, name)
    job = await run_ingress(
        caller.core,
        caller.user,
        body.account,
        path,
        objects.presigned("HEAD", name),
        objects.presigned("GET", name),
    )
    ways = {
        "transferMethod": "s3",
        "partsUploadUrls": objects.parts(name, upload_id, count),
        "completeUploadUrl": objects.presigned("POST", name, uploadId=upload_id),
        "maxPartSize": caller.core.settings.firecrest_part_size,
    }
    return {"transferJob": job, "transferDirectives": ways}


@router.post("/download", operation_id="firecrestTransferDownload", status_code=201)
async def download(caller: Asking, body: models.Transfer) -> dict[str, Any]:
    """Where a file will be, once a job has put it there."""
    objects = _objects(caller, body)
    look = partial(files.stat_file, caller.user, dereference=True)
    size = (await asyncio.to_thread(run, caller, "stat", body.path, look))["size"]
    name = _object_name(body.path or "")
    upload_id = await _begun(objects, name)
    job = await run_egress(
        caller.core,
        caller.user,
        body.account,
        body.path or "",
        objects.presigned("POST", name, uploadId=upload_id),
        objects.parts(name, upload_id, part_count(caller.core, size)),
    )
    ways = {"transferMethod": "s3", "downloadUrl": objects.presigned("GET", name)}
    return {"transferJob": job, "transferDirectives": ways}


async def _command(
    caller: Caller, name: str, body: models.ToPath, command: str, **paths: str
) -> dict[str, Any]:
    source = caller.allow(body.path)
    job = await run_command(caller.core, caller.user, name, body.account, command, source=source, **paths)
    return {"transferJob": job}


def _objects(caller: Caller, body: models.Transfer) -> Objects:
    objects = objects_of(caller.core.settings, caller.user.name)
    if objects is None:
        words = "(\"'NoneType' object has no attribute 'service_type'\",)"
        raise Refusal(500, words, unexpected=True)
    if body.directives.method != "s3":
        raise Refusal(400, "Requested transfer method is not available.")
    return objects


def _object_name(path: str) -> str:
    return f"{uuid.uuid4()}/{os.path.basename(path)}"


async def _begun(objects: Objects, name: str) -> str:
    """An upload that waits for its parts."""

    def begin() -> str:
        objects.prepare()
        return objects.begin(name)

    try:
        return await asyncio.to_thread(begin)
    except OSError as problem:
        raise Refusal(500, f"({str(problem)!r},)", unexpected=True) from None
