"""Replies as FirecREST sends them.

Keys are camelCase; in some places, and in releases before 2.5, snake_case: both are read everywhere.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import AliasChoices, AliasGenerator, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from iri_common.apis.reading import Id, WireModel


def _both(name: str) -> AliasChoices:
    return AliasChoices(to_camel(name), name)


def _count_or_none(value: object) -> object:
    # Sizes of `ls` are texts, as are the exit codes of some releases; Slurm's REST API has objects in places.
    text = str(value).strip()
    return int(text) if text.removeprefix("-").isdecimal() and len(text) < 20 else None


def _object_or_empty(value: object) -> object:
    return cast("dict[object, object]", value) if isinstance(value, dict) else {}


def _first_word(value: object) -> object:
    words = cast("list[object]", value) if isinstance(value, list) else [value]
    return words[0] if words else None


Count = Annotated[int | None, BeforeValidator(_count_or_none)]


class Wire(WireModel):
    """A reply's object, its keys in either spelling."""

    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=_both))


# --------------------------------------------------------------------------------------------- systems


class SchedulerReply(Wire):
    """Schema Scheduler."""

    type: str = "slurm"
    connection_mode: str = "ssh"
    version: str = ""


class ServiceReply(Wire):
    """Schemas …ServiceHealth."""

    service_type: str = ""
    healthy: bool | None = None
    message: str | None = None
    path: str | None = None


class FileSystemReply(Wire):
    """Schema FileSystem."""

    path: str
    data_type: str = ""
    default_work_dir: bool = False


class TransferMethodReply(Wire):
    """Schemas …DataTransfer, as far as they are used."""

    service_type: str = ""
    ttl: Count = None


class DataOperationReply(Wire):
    """Schema DataOperation."""

    datatransfer_jobs_directives: list[str] = Field(default_factory=list[str])
    data_transfer: TransferMethodReply | None = None


class SystemReply(Wire):
    """Schema HPCCluster."""

    name: Id
    scheduler: SchedulerReply = SchedulerReply()
    services_health: list[ServiceReply] = Field(default_factory=list[ServiceReply])
    file_systems: list[FileSystemReply] = Field(default_factory=list[FileSystemReply])
    data_operation: DataOperationReply = DataOperationReply()


class SystemsReply(Wire):
    """Of ``GET /status/systems``."""

    systems: Any = None


class IdentityReply(Wire):
    """Schema PosixIdentified."""

    name: Id


class AccountReply(Wire):
    """Schema AccountsModel."""

    name: Id
    default: bool = False


class UserReply(Wire):
    """Schema UserInfoResponse."""

    user: IdentityReply
    accounts: list[AccountReply] = Field(default_factory=list[AccountReply])


# ------------------------------------------------------------------------------------------------ jobs


class SubmittedReply(Wire):
    """Schema PostJobSubmissionResponse."""

    job_id: Id


class JobsReply(Wire):
    """Schemas GetJobResponse and GetJobMetadataResponse."""

    jobs: Any = None


class JobReply(Wire):
    """Schema JobModel. The parts are read on their own, so that a bad one does not cost the id."""

    job_id: Id
    name: str | None = None
    status: Any = None
    time: Any = None
    working_directory: str | None = None


class StatusReply(Wire):
    """Schema JobStatus."""

    state: Annotated[str | None, BeforeValidator(_first_word)] = None
    state_reason: str | None = None
    exit_code: Count = None
    interrupt_signal: Count = None


class TimeReply(Wire):
    """Schema JobTime."""

    start: Count = None
    end: Count = None


class MetadataReply(Wire):
    """Schema JobMetadataModel."""

    job_id: Id
    script: str | None = None
    standard_output: str | None = None
    standard_error: str | None = None


# ----------------------------------------------------------------------------------------------- files


class OutputReply(Wire):
    """The object around every answer of a file operation."""

    output: Any = None


class FileReply(Wire):
    """Schema File."""

    name: str
    type: str | None = None
    size: Count = None
    user: str = ""
    group: str = ""
    permissions: str = ""
    last_modified: str = ""
    link_target: str | None = None


# ------------------------------------------------------------------------------------------- transfers


class LogsReply(Wire):
    """Schema TransferJobLogs."""

    output_log: Id
    error_log: str = ""


class TransferJobReply(Wire):
    """Schema TransferJob."""

    job_id: Id
    logs: LogsReply


class DirectivesReply(Wire):
    """Schema S3TransferResponse; releases before 2.4 have its fields beside the job's."""

    parts_upload_urls: list[str] = Field(default_factory=list[str], repr=False)
    complete_upload_url: str | None = Field(default=None, repr=False)
    max_part_size: int | None = None
    download_url: str | None = Field(default=None, repr=False)


class TransferReply(DirectivesReply):
    """Schemas …Response of ``transfer/``."""

    transfer_job: TransferJobReply
    transfer_directives: Annotated[dict[str, object], BeforeValidator(_object_or_empty)] = Field(
        default_factory=dict[str, object], repr=False
    )
