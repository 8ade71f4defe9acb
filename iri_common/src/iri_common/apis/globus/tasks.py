"""Task documents of Transfer in our words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from iri_common.apis.globus.answers import an_id, state_of
from iri_common.model.errors import ReplyError
from iri_common.model.transfer import TaskState, TransferTask

_NO_TROUBLE = frozenset({"", "OK", "Queued"})  # of nice_status


def task_of(words: Mapping[str, Any]) -> TransferTask:
    """A task as its document tells it."""
    try:
        task_id = an_id(words["task_id"])
    except (KeyError, TypeError):
        raise ReplyError("a task of Globus without an id") from None
    state = state_of(TaskState, str(words.get("status")), "a task")
    fatal: Mapping[str, Any] = words.get("fatal_error") or {}
    nice = str(words.get("nice_status") or "")
    healthy = words.get("is_ok")
    return TransferTask(
        task_id,
        state,
        code=str(fatal.get("code") or "") if state.over else "" if nice in _NO_TROUBLE else nice,
        words=str(fatal.get("description") or words.get("nice_status_details") or ""),
        healthy=healthy if isinstance(healthy, bool) else None,
        files_done=_count(words, "files_transferred"),
        bytes_done=_count(words, "bytes_transferred"),
        faults=_count(words, "faults"),
        skipped_errors=_count(words, "subtasks_skipped_errors"),
    )


def rules_of(pause: Mapping[str, Any]) -> str:
    """Why a task is paused, in the words of who paused it."""
    said = [str(each.get("message") or "") for each in _rows(pause.get("pause_rules"))]
    said += [str(pause.get(f"{side}_pause_message") or "") for side in ("source", "destination")]
    return "; ".join(dict.fromkeys(each for each in said if each))


def trouble_in(events: Sequence[Mapping[str, Any]]) -> str:
    """The newest error that a task met; ``events`` are newest first."""
    for event in events:
        if event.get("is_error"):
            details = " ".join(str(event.get("details") or "").split())
            return ": ".join(each for each in (str(event.get("description") or ""), details) if each)
    return ""


def _rows(value: object) -> Sequence[Mapping[str, Any]]:
    return cast("Sequence[Mapping[str, Any]]", value) if isinstance(value, list) else ()


def _count(words: Mapping[str, Any], name: str) -> int:
    value = words.get(name)
    return value if isinstance(value, int) else 0
