"""Bodies of requests. Names come in camelCase or snake_case, and what is not known is not looked at."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, Field

Compression = Literal["none", "bzip2", "gzip", "xz"]


def _named(camel: str, snake: str, **more: Any) -> Any:
    return Field(validation_alias=AliasChoices(camel, snake), **more)


class JobDescription(BaseModel):
    """A job to be submitted."""

    directory: str = _named("workingDirectory", "working_directory")
    name: str | None = None
    account: str | None = None
    partition: str | None = None
    reservation: str | None = None
    constraints: str | None = None
    stdin: str | None = _named("standardInput", "standard_input", default=None)
    stdout: str | None = _named("standardOutput", "standard_output", default=None)
    stderr: str | None = _named("standardError", "standard_error", default=None)
    env: dict[str, str] | list[str] = {"F7T_version": "v2.0.0"}
    script: str | None = None
    script_path: str | None = _named("scriptPath", "script_path", default=None)


class Submission(BaseModel):
    """A submission."""

    job: JobDescription


class Attachment(BaseModel):
    """A command to run beside a job."""

    command: str | None = None


class OfPath(BaseModel):
    """Anything about a path."""

    path: str | None = Field(default=None, validation_alias=AliasChoices("path", "sourcePath", "source_path"))


class Mkdir(OfPath):
    """A new directory."""

    parent: bool = False


class Symlink(OfPath):
    """A new link."""

    link_path: str = _named("linkPath", "link_path")


class Chmod(OfPath):
    """New permissions."""

    mode: str


class Chown(OfPath):
    """A new owner or group."""

    owner: str = ""
    group: str = ""


class ToPath(OfPath):
    """From one path to another; transfers may also name who pays for the job."""

    target_path: str = _named("targetPath", "target_path")
    account: str | None = None


class Copy(ToPath):
    """A copy."""

    dereference: bool = False


class Extract(ToPath):
    """An archive to unpack."""

    compression: Compression = "gzip"


class Compress(Extract):
    """An archive to make."""

    match_pattern: str | None = _named("matchPattern", "match_pattern", default=None)
    dereference: bool = False


class Directives(BaseModel):
    """How bytes are to travel."""

    method: Literal["s3", "streamer", "wormhole"] = _named("transferMethod", "transfer_method")
    file_size: int | None = _named("fileSize", "file_size", default=None)


class Transfer(OfPath):
    """An upload or a download by way of something else."""

    account: str | None = None
    directives: Directives = _named("transferDirectives", "transfer_directives")
