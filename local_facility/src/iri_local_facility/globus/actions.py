"""What the actions of flows ask for: transfers of files, and tasks of Globus Compute."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .collections import Collection
from .computetable import Call
from .definitions import transfer_document
from .refusals import Refusal
from .runtable import Run
from .scopes import TRANSFER_ALL, flow_user
from .tasks import Task, moment

if TYPE_CHECKING:
    from .service import Globus


@dataclass(frozen=True)
class Sight:
    """An action as it is now.

    Attributes:
        finished: Whether it is over.
        failure: Why it failed, if it did.
        result: What it puts into the data of the run.
    """

    finished: bool
    failure: str | None
    result: dict[str, Any]


class Provider(Protocol):
    """Does what actions of one kind ask for."""

    def begin(self, run: Run, parameters: dict[str, Any]) -> str:
        """Begin it, or find it begun under the run's submission; returns its id.

        Raises:
            Refusal: It makes no sense, or a consent is missing.
            FacilityError: Something is not there.
        """
        ...

    def look(self, action: str) -> Sight:
        """How it is."""
        ...

    def cancel(self, action: str) -> None:
        """End it, where that can be done."""
        ...


class Transferring:
    """Actions of Transfer."""

    def __init__(self, globus: Globus) -> None:
        self._globus = globus

    def begin(self, run: Run, parameters: dict[str, Any]) -> str:
        """Submit the transfer."""
        document = transfer_document(parameters, run.submission or "", run.label or run.state)
        task, _ = self._globus.submissions.submit(
            run.user, document, "transfer", lambda collection: self._admit(run, collection)
        )
        return task.id

    def look(self, action: str) -> Sight:
        """Look at the task."""
        task = self._globus.tasks.get(action)
        return Sight(task.finished, task.fatal and task.fatal.details, _transferred(task))

    def cancel(self, action: str) -> None:
        """Cancel the task."""
        self._globus.mover.cancel(self._globus.tasks.get(action))

    def _admit(self, run: Run, collection: Collection) -> None:
        """As for a token of Transfer, but the consent hangs below that of the flow."""
        if collection.high_assurance and not run.session:
            raise Refusal(
                403,
                "AuthorizationRequired",
                f"Collection '{collection.name}' needs a session of an identity of {collection.domain}",
                authorization_parameters={
                    "session_message": f"Session reauthentication required ({collection.name})",
                    "session_required_single_domain": [collection.domain],
                },
            )
        path = (flow_user(run.flow), TRANSFER_ALL, collection.data_access_scope)
        grants = self._globus.grants
        if collection.needs_consent and not grants.has_consent(run.user, run.client, path):
            raise Refusal(
                403,
                "ConsentRequired",
                "Missing required data_access consent",
                required_scope=f"{path[0]}[{path[1]}[*{path[2]}]]",
            )


class Calling:
    """Actions of Globus Compute."""

    def __init__(self, globus: Globus) -> None:
        self._globus = globus

    def begin(self, run: Run, parameters: dict[str, Any]) -> str:
        """Submit the tasks; their group is the run's submission."""
        tasks = parameters.get("tasks")
        if not isinstance(tasks, list) or not tasks:
            raise Refusal(422, "REQUEST_MALFORMED", "tasks is a list of functions and their arguments")
        group = run.submission or ""
        missing = tasks[len(self._globus.compute.calls(group)) :]  # a server may have died between two
        pairs = [(str(each.get("function_id")), _payload(each)) for each in missing]
        endpoint = str(parameters.get("endpoint_id"))
        self._globus.computing.submit(run.user, endpoint, pairs, group, ["JSONData"])
        return group

    def look(self, action: str) -> Sight:
        """Look at the tasks."""
        calls = self._globus.compute.calls(action)
        failures = [call.exception for call in calls if call.exception is not None]
        return Sight(all(call.finished for call in calls), next(iter(failures), None), _called(calls))

    def cancel(self, action: str) -> None:
        """Nothing: Compute ends no task that it has taken."""


def _payload(task: dict[str, Any]) -> str:
    pieces = [json.dumps(task.get("args") or []), json.dumps(task.get("kwargs") or {})]
    return "".join(f"{len(each) + 3}\n11\n{each}" for each in pieces)


def _document(action: str, begun: float, ended: float | None, *, failed: bool, label: str | None) -> Any:
    status = "ACTIVE" if ended is None else "FAILED" if failed else "SUCCEEDED"
    return {
        "action_id": action,
        "status": status,
        "display_status": status,
        "label": label,
        "start_time": moment(begun),
        "completion_time": moment(ended),
        "release_after": None,
    }


def _transferred(task: Task) -> dict[str, Any]:
    failure = task.fatal and {"code": task.fatal.code, "description": task.fatal.details}
    return {
        **_document(task.id, task.requested, task.completed, failed=failure is not None, label=task.label),
        "details": {
            "task_id": task.id,
            "files_transferred": task.progress.files_transferred,
            "bytes_transferred": task.progress.bytes_transferred,
            "fatal_error": failure,
        },
    }


def _called(calls: list[Call]) -> dict[str, Any]:
    failed = any(call.exception is not None for call in calls)
    ended = max((call.completed or 0.0 for call in calls), default=0.0)
    done = ended if all(call.finished for call in calls) else None
    values = [json.loads(call.result.partition("\n")[2]) if call.result else None for call in calls]
    told = [{"task_id": call.id, "output": value} for call, value in zip(calls, values, strict=True)]
    return {
        **_document(calls[0].group, calls[0].submitted, done, failed=failed, label=None),
        "details": {"result": values, "results": told},
    }
