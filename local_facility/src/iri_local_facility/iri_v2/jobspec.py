"""Jobs on the wire: what a client sends, what it gets back, and the way into the scheduler."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema

from iri_local_facility.errors import Rejected, Unsupported
from iri_local_facility.jobs import Job as JobRecord
from iri_local_facility.jobs import JobRequest
from iri_local_facility.launch import output_paths

from .fields import Count, Flag, Text
from .models import Base

_STATES = ["new", "queued", "held", "active", "completed", "failed", "canceled"]
# Described as closed, as in the API; but a facility can be ordered to show words that are not in it.
JobState = Annotated[str, WithJsonSchema({"type": "string", "enum": _STATES})]


class VolumeMount(Base):
    """A directory inside a container."""

    source: Text
    target: Text
    read_only: Flag = True


class Container(Base):
    """A container to run in."""

    image: Text
    volume_mounts: list[VolumeMount] = Field(default_factory=list)


class ResourceSpec(Base):
    """How much of the machine a job wants; unknown keys are dropped."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"additionalProperties": True})
    node_count: Count | None = None
    process_count: Count | None = None
    processes_per_node: Count | None = None
    cpu_cores_per_process: Count | None = None
    gpu_cores_per_process: Count | None = None
    exclusive_node_use: Flag = True
    memory: Count | None = None


class JobAttributes(Base):
    """What the scheduler should know; unknown keys are dropped."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"additionalProperties": True})
    duration: Count | None = None
    queue_name: Text | None = None
    account: Text | None = None
    reservation_id: Text | None = None
    custom_attributes: dict[str, str] = Field(default_factory=dict)


class JobSpec(Base):
    """A job as a client describes it; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")
    attributes: JobAttributes | None = None  # type: ignore[assignment]
    executable: Text | None = None
    container: Container | None = None
    arguments: list[str] = Field(default_factory=list)
    directory: Text | None = None
    name: Text | None = None
    inherit_environment: Flag = True
    environment: dict[str, str] = Field(default_factory=dict)
    stdin_path: Text | None = None
    stdout_path: Text | None = None
    stderr_path: Text | None = None
    resources: ResourceSpec | None = None
    pre_launch: Text | None = None
    post_launch: Text | None = None
    launcher: Text | None = None


class JobStatus(Base):
    """Where a job stands."""

    state: JobState
    time: float | None = None
    message: str | None = None
    exit_code: int | None = None
    meta_data: dict[str, Any] | None = None


class Job(Base):
    """A job."""

    id: str
    status: JobStatus | None = None
    job_spec: JobSpec | None = None


def to_request(spec: JobSpec) -> JobRequest:
    """The scheduler's view of a job specification.

    Raises:
        Rejected: Nothing to run.
        Unsupported: Containers.
    """
    if spec.container is not None:
        raise Unsupported("this facility does not run containers")
    if spec.executable is None:
        raise Rejected("Job submit failed: no executable given")
    resources = spec.resources or ResourceSpec()
    attributes = spec.attributes or JobAttributes()
    nodes = resources.node_count or 1
    return JobRequest(
        executable=spec.executable,
        arguments=spec.arguments,
        directory=spec.directory,
        name=spec.name,
        inherit_environment=spec.inherit_environment,
        environment=spec.environment,
        stdin=spec.stdin_path,
        stdout=spec.stdout_path,
        stderr=spec.stderr_path,
        pre_launch=spec.pre_launch,
        post_launch=spec.post_launch,
        launcher=spec.launcher,
        node_count=nodes,
        process_count=resources.process_count or nodes * (resources.processes_per_node or 1),
        queue=attributes.queue_name,
        account=attributes.account,
        duration=attributes.duration,
        hold=_hold(attributes) or False,
        reservation=attributes.reservation_id,
    )


def to_changes(spec: JobSpec, current: JobSpec) -> tuple[dict[str, Any], JobSpec]:
    """What an update changes: the scheduler's fields, and the specification as it is afterwards.

    Clients send defaults along, so only values that are neither a default nor the job's own count as changes.

    Raises:
        Rejected: A change of something that is settled at submission.
    """
    attributes = spec.attributes or JobAttributes()
    mine = current.attributes or JobAttributes()
    candidates = {"duration": attributes.duration, "queue": attributes.queue_name, "name": spec.name}
    changes = {name: value for name, value in candidates.items() if value is not None}
    if (hold := _hold(attributes)) is not None:
        changes["hold"] = hold
    for field in set(JobSpec.model_fields) - {"attributes", "name"}:
        wanted = getattr(spec, field)
        if wanted not in (getattr(JobSpec(), field), getattr(current, field)):
            raise Rejected(f"Job update failed: {field} cannot be changed after submission")
    if attributes.account not in (None, mine.account) or attributes.reservation_id is not None:
        raise Rejected("Job update failed: account and reservation cannot be changed after submission")
    merged = mine.model_copy(
        update={
            "duration": attributes.duration or mine.duration,
            "queue_name": attributes.queue_name or mine.queue_name,
            "custom_attributes": {**mine.custom_attributes, **attributes.custom_attributes},
        }
    )
    return changes, current.model_copy(update={"name": spec.name or current.name, "attributes": merged})


def to_job(record: JobRecord, *, include_spec: bool = False) -> dict[str, Any]:
    """A job as the face answers it."""
    stdout, stderr = output_paths(record)
    status: dict[str, Any] = {"state": record.state, "time": record.changed}
    if record.message is not None:
        status["message"] = record.message
    if record.exit_code is not None:
        status["exit_code"] = record.exit_code
    status["meta_data"] = {
        "name": record.name,
        "queue_name": record.queue,
        "account": record.account,
        "node_count": record.node_count,
        "duration": record.duration,
        "submit_time": record.submitted,
        "start_time": record.started,
        "end_time": record.ended,
        "stdout_path": stdout,
        "stderr_path": stderr,
    }
    job: dict[str, Any] = {"id": str(record.id), "status": status}
    if include_spec:
        job["job_spec"] = spec_of(record)
    return job


def spec_of(record: JobRecord) -> dict[str, Any]:
    """What was asked for; of a batch script of another face, what the scheduler made of it."""
    request = record.request
    if request.script is None:
        return record.document
    asked = {
        "executable": request.executable,
        "directory": request.directory,
        "name": record.name,
        "inherit_environment": request.inherit_environment,
        "environment": request.environment,
        "stdout_path": request.stdout,
        "stderr_path": request.stderr,
        "resources": {"node_count": record.node_count, "process_count": request.process_count},
        "attributes": {
            "duration": record.duration,
            "queue_name": record.queue,
            "account": record.account,
        },
    }
    return {name: value for name, value in asked.items() if value is not None}


def _hold(attributes: JobAttributes) -> bool | None:
    """Whether the job is to be held, ``None`` when nothing is said about it."""
    value = attributes.custom_attributes.get("hold")
    if value is None:
        return None
    if value.lower() not in ("true", "false"):
        raise Rejected(f"custom attribute hold is true or false, not {value}")
    return value.lower() == "true"
