"""Accepting tasks: one submission is one task, and two of the same paths are in each other's way."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from .collections import Collection, Collections
from .documents import sync_level
from .mover import Mover
from .refusals import Refusal
from .tasks import Task, TaskTable, likeness

_DEADLINE = 24 * 3600.0
_LABEL = 128
_PENDING = 100
# What this face would have to ignore, it refuses.
_NOT_HERE = ("filter_rules", "interpret_globs", "source_local_user", "destination_local_user", "local_user")


class Submissions:
    """Where tasks are handed in: by clients of Transfer, and by the runs of flows."""

    def __init__(self, tasks: TaskTable, mover: Mover, collections: Collections) -> None:
        self._tasks = tasks
        self._mover = mover
        self._collections = collections

    def submit(
        self, user: str, document: dict[str, Any], kind: str, admit: Callable[[Collection], None]
    ) -> tuple[Task, bool]:
        """The task of a submission, and whether it is a new one.

        Args:
            user: Whose it will be.
            document: As the Transfer API has it.
            kind: ``transfer`` or ``delete``.
            admit: Refuses a collection that may not be acted on.

        Raises:
            Refusal: It makes no sense, a consent is missing, or the same paths are under way.
        """
        submission = _check(document, kind)
        if (task := self._tasks.of_submission(user, submission)) is not None:
            return task, False
        names = ("source_endpoint", "destination_endpoint") if kind == "transfer" else ("endpoint",)
        for name in names:
            admit(self._collections.get(str(document.get(name))))
        try:
            document = {**document, "sync_level": sync_level(document.get("sync_level"))}
            deadline = _deadline(document.get("deadline"))
        except (ValueError, TypeError) as bad:
            raise _bad(str(bad)) from None
        _refuse_twins(document, [task for task in self._tasks.unfinished() if task.user == user])
        task = self._mover.strike(self._tasks.add(user, submission, document, deadline))
        self._mover.begin(task)
        return task, True


def _refuse_twins(document: dict[str, Any], under_way: list[Task]) -> None:
    if len(under_way) >= _PENDING:
        raise Refusal(409, "LimitExceeded", f"{_PENDING} tasks are pending already")
    if likeness(document) in {task.likeness for task in under_way}:
        # Which task it is, the real service does not tell either.
        what = document["DATA_TYPE"]
        raise Refusal(409, "Conflict", f"A {what} with identical paths has not yet completed")


def _check(document: dict[str, Any], kind: str) -> str:
    """The submission id of a document that makes sense."""
    if document.get("DATA_TYPE") != kind:
        raise _bad(f"DATA_TYPE is not {kind}")
    names = ("source_path", "destination_path") if kind == "transfer" else ("path",)
    items = document.get("DATA")
    if not isinstance(items, list) or not items:
        raise _bad("DATA has no items")
    for item in items:
        if not isinstance(item, dict) or not all(isinstance(item.get(name), str) for name in names):
            raise _bad(f"an item needs {' and '.join(names)}")
        if any(not item[name].startswith(("/", "~")) for name in names):
            raise _bad(f"paths begin with / or ~: {[item[name] for name in names]}")
    if ignored := [name for name in _NOT_HERE if document.get(name)]:
        raise Refusal(501, "NotSupported", f"{', '.join(ignored)}: not supported by this facility")
    label = document.get("label") or ""
    if not isinstance(label, str):
        raise _bad("label is no text")
    if len(label) > _LABEL or label != label.strip() or {"\r", "\n"} & set(label):
        raise _bad(f"label: at most {_LABEL} characters, no line ends, no space around it")
    try:
        return str(uuid.UUID(document.get("submission_id")))
    except (ValueError, TypeError, AttributeError):
        raise _bad("submission_id is missing or no id") from None


def _deadline(text: str | None) -> float:
    if text is None:
        return time.time() + _DEADLINE
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("deadline: without a time zone it may mean any")
    return when.timestamp()


def _bad(message: str) -> Refusal:
    return Refusal(400, "ClientError.BadRequest", message)
