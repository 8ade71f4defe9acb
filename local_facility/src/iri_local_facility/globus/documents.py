"""Tasks and files as documents of the Transfer API."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iri_local_facility.files import group_name, owner_name

from .tasks import Task, moment

_SYNC_WORDS = {"exists": 0, "size": 1, "mtime": 2, "checksum": 3}


def sync_level(value: Any) -> int | None:
    """How alike files must be to be left, which clients give as a word or a number.

    Raises:
        ValueError: It is none.
    """
    if value is None or value in range(4):
        return value
    if value not in _SYNC_WORDS:
        raise ValueError(f"sync_level: {value} is none")
    return _SYNC_WORDS[value]


def task_document(task: Task, owner: str, name_of: Callable[[str], str]) -> dict[str, Any]:
    """A task; ``name_of`` gives the name of a collection."""
    progress, options = task.progress, task.document
    seconds = max(progress.seconds, 1e-3)
    left = progress.files - progress.files_transferred - progress.files_skipped - progress.skipped_errors
    ends = ("source", "destination") if task.transfers else ("source",)
    document: dict[str, Any] = {
        "DATA_TYPE": "task",
        "task_id": task.id,
        "type": "TRANSFER" if task.transfers else "DELETE",
        "status": task.status,
        "label": task.label,
        "owner_id": owner,
        "request_time": moment(task.requested),
        "completion_time": moment(task.completed),
        "deadline": moment(task.deadline),
        "is_paused": task.status == "INACTIVE",
        "fatal_error": task.fatal and {"code": task.fatal.code, "description": task.fatal.details},
        "history_deleted": False,
        "command": "API 0.10",
        "files": progress.files,
        "directories": progress.directories,
        "files_transferred": progress.files_transferred,
        "files_skipped": progress.files_skipped,
        "bytes_transferred": progress.bytes_transferred,
        "bytes_checksummed": progress.bytes_checksummed,
        "effective_bytes_per_second": int(progress.bytes_transferred / seconds),
        "faults": progress.faults,
        "subtasks_total": progress.files,
        "subtasks_succeeded": progress.files_transferred + progress.files_skipped,
        "subtasks_pending": 0 if task.finished else max(0, left),
        "subtasks_retrying": 1 if task.trouble else 0,
        "subtasks_failed": 1 if task.fatal else 0,
        "subtasks_expired": int(task.fatal is not None and task.fatal.code == "EXPIRED"),
        "subtasks_canceled": int(task.fatal is not None and task.fatal.code == "CANCELED"),
        "subtasks_skipped_errors": progress.skipped_errors,
        "sync_level": options.get("sync_level"),
        **_niceness(task),
    }
    for end, collection in zip(ends, task.collections, strict=True):
        document[f"{end}_endpoint_id"] = collection
        document[f"{end}_endpoint_display_name"] = name_of(collection)
    flags = ("verify_checksum", "encrypt_data", "preserve_timestamp", "skip_source_errors")
    flags += ("fail_on_quota_errors", "delete_destination_extra")
    return {**document, **{flag: bool(options.get(flag, False)) for flag in flags}}


def _niceness(task: Task) -> dict[str, Any]:
    """How the task feels at present, which is all that tells a stuck one from one at work."""
    if task.finished:
        return {"is_ok": None, **dict.fromkeys(("nice_status", "nice_status_details"))}
    if task.trouble:
        return {
            "is_ok": False,
            "nice_status": task.trouble.code,
            "nice_status_details": task.trouble.details,
            "nice_status_short_description": task.trouble.code.replace("_", " ").capitalize(),
        }
    waits = task.progress.files == 0
    return {"is_ok": True, "nice_status": "Queued" if waits else "OK", "nice_status_details": None}


def file_document(path: Path) -> dict[str, Any]:
    """A file or directory; of a link, what it leads to, and the link beside it.

    Raises:
        OSError: It is not there.
    """
    here = path.lstat()
    is_link = stat.S_ISLNK(here.st_mode)
    try:
        facts = path.stat() if is_link else here
    except OSError:
        facts = here
    if stat.S_ISDIR(facts.st_mode):
        kind = "dir"
    else:
        kind = "file" if stat.S_ISREG(facts.st_mode) else "invalid_symlink" if is_link else "other"
    return {
        "DATA_TYPE": "file",
        "name": _shown(path.name),
        "type": kind,
        "size": facts.st_size,
        "permissions": f"{stat.S_IMODE(facts.st_mode):04o}",
        "user": owner_name(facts.st_uid),
        "group": group_name(facts.st_gid),
        "last_modified": (moment(facts.st_mtime) or "").replace("T", " "),
        "link_target": _shown(os.readlink(path)) if is_link else None,
        "link_size": here.st_size if is_link else None,
        "link_last_modified": (moment(here.st_mtime) or "").replace("T", " ") if is_link else None,
        "link_user": owner_name(here.st_uid) if is_link else None,
        "link_group": group_name(here.st_gid) if is_link else None,
    }


def _shown(name: str) -> str:
    """A name as text: bytes that are no UTF-8 show as Latin-1 behind a mark."""
    raw = os.fsencode(name)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "\ufffd" + raw.decode("latin-1")
