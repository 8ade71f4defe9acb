"""Jobs that tests have tasks ask for, and what came of them at the facility."""

from __future__ import annotations

import uuid
from typing import Any

from airflow_provider_iri import IriJobOperator


def job(script: str = "true", **words: Any) -> dict[str, Any]:
    return {"executable": "/bin/sh", "arguments": ["-c", script], "name": f"t{uuid.uuid4().hex[:8]}", **words}


def operator(words: Any, **more: Any) -> IriJobOperator:
    return IriJobOperator(task_id="task", job=words, **more)


def jobs(facility, words: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in facility.jobs() if each["name"].startswith(words["name"] + ".")]


def sent(facility) -> list[str]:
    return [each["operation"] for each in facility.requests()]
