"""What a user asks to be run, in the vocabulary of PSI/J and the IRI Facility API v2 (schema JobSpec)."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from iri_common.model.array import array_text
from iri_common.model.errors import UsageError
from iri_common.model.ref import JobRef

# A NUL cannot be in a path, an argument or an environment value of any POSIX process.
Text = Annotated[str, StringConstraints(strict=True, min_length=1, pattern=r"^[^\x00]+$")]
Argument = Annotated[str, StringConstraints(strict=True, pattern=r"^[^\x00]*$")]
Name = Annotated[str, StringConstraints(strict=True, min_length=1, pattern=r"^[^\x00-\x1f\x7f/]+$")]
VariableName = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Count = Annotated[StrictInt, Field(ge=1)]


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _named(value: object) -> object:
    """Job references as the texts that they are kept in."""
    if not isinstance(value, list | tuple):
        return value
    return tuple(str(each) if isinstance(each, JobRef) else each for each in cast("Sequence[Any]", value))


def _job_id(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._\[\]-]*|iri\+job://\S+", value):
        raise ValueError(f"{value!r} is neither the id of a job nor a reference (iri+job://…)")
    return value


ArrayText = Annotated[str, StringConstraints(strict=True), AfterValidator(array_text)]
JobId = Annotated[str, StringConstraints(strict=True), AfterValidator(_job_id)]
JobIds = Annotated[tuple[JobId, ...], BeforeValidator(_named), Field(strict=True)]


class _Words(BaseModel):
    # Servers drop unknown keys of `attributes` and `resources` without a word (a typo in `duration` is
    # accepted), so the client refuses them before anything is sent.
    # Hidden: the environment of a job may hold a secret.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise _usage_error(type(self), error) from None
        except TypeError as error:  # a nested mapping whose keys are not words
            raise UsageError(f"this {type(self).__name__} cannot be sent: {error}") from None


def _usage_error(model: type[BaseModel], error: ValidationError) -> UsageError:
    lines: list[str] = []
    for problem in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in problem["loc"]) or model.__name__
        if problem["type"] == "extra_forbidden":
            known = ", ".join(sorted(model.model_fields))
            lines.append(f"{where}: no such field (known here: {known})")
        else:
            cause = problem.get("ctx", {}).get("error")
            lines.append(f"{where}: {cause or problem['msg']}")
    return UsageError(f"this {model.__name__} cannot be sent: " + "; ".join(lines))


class VolumeMount(_Words):
    """A directory of the facility shown inside a container."""

    source: Text
    target: Text
    read_only: StrictBool = True


class Container(_Words):
    """A container image to run in; the executable is its entry point."""

    image: Text
    volume_mounts: tuple[VolumeMount, ...] = ()


class ResourceSpec(_Words):
    """What the job needs. Memory in bytes; the rest are counts."""

    node_count: Count | None = None
    process_count: Count | None = None
    processes_per_node: Count | None = None
    cpu_cores_per_process: Count | None = None
    gpu_cores_per_process: Count | None = None
    exclusive_node_use: StrictBool | None = None
    memory: Count | None = None


class After(_Words):
    """Other jobs of the same machine whose ends this one waits for: ids, or references of jobs.

    Attributes:
        ok: They must have succeeded, an array all of its tasks; else this job never begins.
        any: They must be over, however they ended.
        failure: They must have failed.
    """

    ok: JobIds = ()
    any: JobIds = ()
    failure: JobIds = ()

    def __bool__(self) -> bool:
        return bool(self.ok or self.any or self.failure)


class JobAttributes(_Words):
    """How the job is scheduled. Duration in whole seconds.

    Attributes:
        array: The same program once for each index, under one id: ``0-9``, ``1,3,7``, ``0-20:4``; of
            ``0-9%2`` two at a time. A task learns its index from the scheduler's own variable, such as
            SLURM_ARRAY_TASK_ID.
        after: Other jobs that are waited for.
    """

    duration: Count | None = None
    queue_name: Text | None = None
    account: Text | None = None
    reservation_id: Text | None = None
    array: ArrayText | None = None
    after: After | None = None
    custom_attributes: dict[Text, Argument] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _wait_in_one_way(self) -> Self:
        if self.after and "dependency" in self.custom_attributes:
            raise ValueError("other jobs are waited for by `after` or by the custom attribute, not by both")
        return self


class JobSpec(_Words):
    """One job: an executable with arguments; no shell unless you ask for one.

    Example:
        >>> JobSpec(executable="/bin/echo", arguments=["hello"], attributes=JobAttributes(duration=60))

    Raises:
        UsageError: on any unknown field, empty string, or value of another type; nothing is converted.
    """

    executable: Text
    # Strict: a set or a mapping has no order that could be meant.
    arguments: Annotated[tuple[Argument, ...], BeforeValidator(_listed), Field(strict=True)] = ()
    name: Name | None = None
    directory: Text | None = None
    inherit_environment: StrictBool | None = None
    environment: dict[VariableName, Argument] = Field(default_factory=dict)
    stdin_path: Text | None = None
    stdout_path: Text | None = None
    stderr_path: Text | None = None
    pre_launch: Text | None = None
    post_launch: Text | None = None
    launcher: Text | None = None
    container: Container | None = None
    resources: ResourceSpec | None = None
    attributes: JobAttributes | None = None

    @classmethod
    def of(cls, spec: JobSpec | Mapping[str, Any]) -> JobSpec:
        """Take a spec, or the same words as a mapping (from YAML, a template, an engine's arguments)."""
        if isinstance(spec, JobSpec):
            return spec
        if not isinstance(spec, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(f"a job is described by a JobSpec or a mapping, not by {type(spec).__name__}")
        strays = [word for word in spec if not isinstance(word, str)]  # pyright: ignore[reportUnnecessaryIsInstance]
        if strays:
            raise UsageError(f"a job's fields have names, not {strays!r}")
        return cls(**spec)

    def sent(self) -> dict[str, Any]:
        """The fields that the user set, as JSON values; unset ones are left out, servers refuse null."""
        return _without_empty(self.model_dump(mode="json", exclude_none=True))

    def digest(self) -> str:
        """SHA-256 over what would be sent: equal digests are the same ask. One way, so no secret leaks."""
        return hashlib.sha256(json.dumps(self.sent(), sort_keys=True).encode()).hexdigest()

    def with_attributes(self, *, account: str | None = None, queue_name: str | None = None) -> Self:
        """A copy whose account and queue take these values where the user set none."""
        own = self.attributes or JobAttributes()
        words = own.model_dump()
        words |= {
            "account": own.account or account or None,
            "queue_name": own.queue_name or queue_name or None,
        }
        merged = JobAttributes.model_validate(words)
        return self if merged == own else self.model_copy(update={"attributes": merged})

    def output_path(self, stream: str) -> str | None:
        """Where ``stdout`` or ``stderr`` lands, absolute where the job's directory is known."""
        path = self.stdout_path if stream == "stdout" else self.stderr_path
        return posixpath.join(self.directory, path) if path and self.directory else path


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in fields.items():
        if name in {"resources", "attributes", "container", "after"}:
            value = _without_empty(value)
        if value not in ({}, []):
            kept[name] = value
    return kept
