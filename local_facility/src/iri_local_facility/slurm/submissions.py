"""From the body of a submission or an update to what the scheduler is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from iri_local_facility.accounts import User
from iri_local_facility.batch import batch_request
from iri_local_facility.batch.directives import seconds
from iri_local_facility.errors import Rejected
from iri_local_facility.jobs import Job, JobRequest
from iri_local_facility.settings import Settings

from .fields import ABSENT, COUNTS, TEXTS, known
from .replies import Refusal, refusal_of
from .versions import Version

_COMMENT = "slurm_comment"
_NOT_EXECUTABLE = """\
#!/bin/sh
echo "slurmstepd: error: execve(): slurm_script: Exec format error" >&2
exit 8
"""


@dataclass
class Submission:
    """A job that is asked for.

    Attributes:
        document: The job as the IRI API would have it echoed.
        warnings: What is passed over.
    """

    request: JobRequest
    document: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


def submission(settings: Settings, user: User, version: Version, body: Any) -> Submission:
    """What the body of ``job/submit`` asks for.

    Raises:
        Refusal: It makes no sense, or there is no such thing here.
    """
    script, description = _parts(version, body)
    warnings = _check_words(version, description)
    asked = _fields(version, description)
    if not asked.get("environment"):
        raise _no_environment(version)
    try:
        request = batch_request(
            settings, user, script, read_directives=False, inherit_environment=False, **asked
        )
    except Rejected as refused:
        raise refusal_of(refused) from None
    return Submission(request, _echo(request, description), warnings)


def changes(version: Version, body: Any) -> dict[str, Any]:
    """What the body of an update changes.

    Raises:
        Refusal: It makes no sense, or cannot be changed.
    """
    if not isinstance(body, dict):
        raise Refusal(9002, "job parsing failed", "_parse_job_list")
    _check_words(version, body)
    asked = _fields(version, body)
    if version.plain:
        asked.pop("name", None)  # 22.05 listens, and leaves the name as it is
    if unchangeable := asked.keys() - {"name", "duration", "queue", "hold"}:
        raise Refusal(2036, f"{min(unchangeable)} cannot be changed", "slurm_update_job2()")
    return asked


def comment_of(job: Job) -> str:
    """The comment that came with a job."""
    attributes = job.document.get("attributes") or {}
    return (attributes.get("custom_attributes") or {}).get(_COMMENT, "")


def name_in(body: bytes) -> str | None:
    """The name of the job that a submission describes, for orders.

    Raises:
        ValueError: It describes none.
        AttributeError: Likewise.
    """
    document = json.loads(body)
    described = document.get("job") or next(iter(document.get("jobs") or []), {})
    return described.get("name")


def _echo(request: JobRequest, description: Mapping[str, Any]) -> dict[str, Any]:
    echo: dict[str, Any] = {"executable": request.executable, "arguments": request.arguments}
    if request.name is not None:
        echo["name"] = request.name
    if description.get("comment"):
        echo["attributes"] = {"custom_attributes": {_COMMENT: str(description["comment"])}}
    return echo


def _parts(version: Version, body: Any) -> tuple[str, dict[str, Any]]:
    """The script and the job, wherever in the body they are."""
    if not isinstance(body, dict):
        raise Refusal(2009 if version.plain else 9002)
    beside, job, several = body.get("script"), body.get("job"), body.get("jobs")
    if version.plain and isinstance(job, list):
        job, several = None, job
    if version.plain and not isinstance(beside, str):
        raise Refusal(2009)
    if not version.plain and job is not None and several is not None:
        raise Refusal(9000, 'Specify only one "job" or "jobs" fields but never both', "_job_post")
    if not version.plain and beside == "":
        raise Refusal(9000, 'Populated "script" field is required for job submission', "_job_post")
    if job is None and isinstance(several, list):
        if len(several) > 1:
            raise Refusal(2036)  # heterogeneous jobs
        job = next(iter(several), None)
    if not isinstance(job, dict):
        raise Refusal(9002)
    script = beside if isinstance(beside, str) else job.get("script")
    if not isinstance(script, str) or not (script or version.plain):
        raise Refusal(2009)
    # slurmctld takes what has no interpreter, and slurmd cannot run it.
    return script if script.startswith("#!") else _NOT_EXECUTABLE, job


def _check_words(version: Version, description: Mapping[str, Any]) -> list[str]:
    unknown = sorted(description.keys() - known(version))
    if unknown and version.plain:
        raise Refusal(9001, first=[{"description": f'Unknown key "{unknown[0]}"', "source": "hsearch_r"}])
    for name, number in ABSENT.items():
        if description.get(name):
            raise Refusal(number)
    return [f'Ignoring unknown field "{name}" in DATA_PARSER_JOB_DESC_MSG' for name in unknown]


def _no_environment(version: Version) -> Refusal:
    if version.plain:
        return Refusal(9001, first=[{"error": "environment must be set", "error_code": 2127}])
    return Refusal(2127)


def _fields(version: Version, description: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in description.items() if value is not None}
    asked: dict[str, Any] = {}
    for name, ours in TEXTS.items():
        # Empty words are words that were not said.
        if name in given and (text := _text(version, name, given[name])):
            asked[ours] = text
    for name, ours in COUNTS.items():
        if name in given:
            asked[ours] = _count(version, name, given[name])
    if "hold" in given:
        asked["hold"] = given["hold"] in (True, "true")
    if "environment" in given:
        asked["environment"] = _environment(version, given["environment"])
    if (duration := _duration(version, given.get("time_limit"))) is not None:
        asked["duration"] = duration
    if (nodes := _nodes(version, given)) is not None:
        asked["node_count"] = nodes
    return asked


def _text(version: Version, name: str, value: Any) -> str:
    if isinstance(value, dict | list):
        raise _unreadable(version, name)
    return str(value)


def _count(version: Version, name: str, value: Any) -> int:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
        raise _unreadable(version, name, {"error": "Unable to read integer value", "error_code": 9202})
    return value


def _environment(version: Version, value: Any) -> dict[str, str]:
    if version.plain:
        if not isinstance(value, dict):
            first = {"error": "environment must be a dictionary", "error_code": -1}
            raise _unreadable(version, "environment", first)
        return {str(name): str(text) for name, text in value.items()}
    if not isinstance(value, list) or not all(isinstance(each, str) and "=" in each for each in value):
        raise _unreadable(version, "environment")
    return dict(each.split("=", 1) for each in value)


def _duration(version: Version, value: Any) -> int | None:
    """A time limit in seconds; the API counts minutes, and its first version reads what sbatch reads."""
    if version.plain and not isinstance(value, dict | list | None):
        try:
            return seconds(str(value)).get("duration") or None
        except Rejected:
            raise _unreadable(version, "time_limit") from None
    if isinstance(value, dict) and not version.plain:
        if not value.get("set") and not value.get("infinite"):
            return None
        value = value.get("number") if not value.get("infinite") else 2**31 - 1
    if isinstance(value, dict | list):
        raise _unreadable(version, "time_limit")
    return None if value is None else _count(version, "time_limit", value) * 60


def _nodes(version: Version, given: Mapping[str, Any]) -> int | None:
    """How many nodes: a number, or the lower end of a range."""
    value = given.get("nodes")
    if value is None and not version.plain:
        value = given.get("minimum_nodes")
    if version.plain and isinstance(value, list):
        if len(value) != 2:
            raise _unreadable(version, "nodes", {"error": "Invalid node count list size", "error_code": -1})
        value = value[0]
    if isinstance(value, str):
        if (found := re.fullmatch(r"(\d+)(-\d+)?", value)) is None:
            raise _unreadable(version, "nodes")
        value = found[1]
    return None if value is None else _count(version, "nodes", value)


def _unreadable(version: Version, name: str, first: Mapping[str, Any] | None = None) -> Refusal:
    """A word of another type than this version takes, such as a later version's object for a number."""
    if version.plain:
        process = {
            "description": f'Unable to process key "{name}"',
            "error_number": -1,
            "error": "Unspecified error",
            "source": "slurm_process_option_data",
        }
        return Refusal(9001, first=[first or {"error": "Unable to read string", "error_code": 9202}, process])
    return Refusal(9001, f"Unable to parse field {name}", f"#/job/{name}/")
