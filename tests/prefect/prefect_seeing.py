"""What Prefect's server knows of a run, what the facility saw, what really ran."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.states import Scheduled

from iri_local_facility import LocalFacility


def sh(script: str, **words: Any) -> dict[str, Any]:
    """A job that runs a line of shell."""
    return {"executable": "/bin/sh", "arguments": ["-c", script], "attributes": {"duration": 120}, **words}


def leaves(mark: Path, then: str = "true", **words: Any) -> dict[str, Any]:
    """A job that leaves a line behind each time it runs."""
    return sh(f"echo ran >> {mark}; {then}", **words)


def runs(mark: Path) -> int:
    """How often such a job really ran."""
    return len(mark.read_text().splitlines()) if mark.exists() else 0


def until(condition: Callable[[], Any], seconds: float = 90.0, what: str = "") -> Any:
    """Wait until something is so; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not so after {seconds} s: {what or condition}"
        time.sleep(0.03)
    return value


def flow_run(run_id: Any) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id)


def task_runs(run_id: Any, state: str, count: int) -> list[TaskRun]:
    """The task runs of a flow run; the server hears of them a little late."""

    def read() -> list[TaskRun]:
        with get_client(sync_client=True) as client:
            found = client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id])), limit=100
            )
        return [each for each in found if each.state_name == state]

    return until(lambda: (found := read()) and len(found) == count and found, what=f"{count} {state}")


def log_of(run_id: Any, word: str = "Finished in state") -> str:
    """What a person reads in the run's log, once ``word`` is there."""

    def read() -> str:
        with get_client(sync_client=True) as client:
            lines = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id])), limit=200)
        text = "\n".join(each.message for each in lines)
        return text if word in text else ""

    return until(read, what=f"{word!r} in the log")


def tried_again(run_id: Any) -> FlowRun:
    """What a click on Retry, or an automation after a crash, does: the same flow run is scheduled anew."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, Scheduled(), force=True)
    return flow_run(run_id)


def asked(facility: LocalFacility, *operations: str) -> int:
    """How many requests of these operations the facility saw; of all if none is named."""
    return len([each for each in facility.requests() if not operations or each["operation"] in operations])


def jobs_named(facility: LocalFacility, name: str) -> list[dict[str, Any]]:
    """The facility's jobs of the user's name, whatever tag came behind it."""
    return [job for job in facility.jobs() if job["name"].rpartition(".")[0] == name]
