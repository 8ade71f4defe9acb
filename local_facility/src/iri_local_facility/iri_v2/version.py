"""What tells one major of the API from another, for the routes that both are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Header, Query
from pydantic import BaseModel, Field

from . import filerequests as bodies
from .fields import ALLOCATION_URN, RESOURCE_URN

UnitUrn = Annotated[str, Field(min_length=24, pattern=ALLOCATION_URN)]


@dataclass(frozen=True)
class FileRequest:
    """How a file operation is asked for: a GET or DELETE has its options in the query, others in the body."""

    method: str
    options: type[BaseModel]


@dataclass(frozen=True)
class Version:
    """One major of the API.

    Attributes:
        number: Of the API.
        prefix: Of all its paths.
        document: Path of the OpenAPI document.
        answer: The model that an object of a v2 answer has in this version.
        resource_type: Type of the filter of that name; its value is a URN, or the beginning of one.
        units: Type of the filter by units; its values are URNs.
        key: Type of the idempotency key of a request, None where there is none.
        file_resources: Verb of the list of file systems.
        file_requests: The file operations but upload, by name, at a facility with this size limit.
        whoami: Whether the caller can be asked for.
        attributes: Whether every object has them; those of a job specification are another thing.
    """

    number: str
    prefix: str
    document: str
    answer: Callable[[type[BaseModel]], type[BaseModel]]
    resource_type: Any
    units: Any
    key: Any
    file_resources: str
    file_requests: Callable[[int], Mapping[str, FileRequest]]
    whoami: bool
    attributes: bool


def _file_requests(limit: int) -> Mapping[str, FileRequest]:
    options: dict[str, type[BaseModel]] = {
        **bodies.OF_BOTH_VERSIONS,
        "file": bodies.PostFileRequest,
        "stat": bodies.PostStatRequest,
        "ls": bodies.PostLsRequest,
        "head": bodies.PostHeadRequest,
        "view": bodies.limited_view(limit),
        "tail": bodies.PostTailRequest,
        "checksum": bodies.PostChecksumRequest,
        "rm": bodies.PostRmRequest,
        "compress": bodies.PostCompressRequest,
        "extract": bodies.PostExtractRequest,
        "download": bodies.PostDownloadRequest,
    }
    return {name: FileRequest("POST", model) for name, model in options.items()}


V2 = Version(
    number="2.0.0",
    prefix="/api/v2",
    document="/api/v2/openapi.json",
    answer=lambda model: model,
    resource_type=Annotated[str | None, Query(min_length=15, pattern=RESOURCE_URN)],
    units=Annotated[list[UnitUrn] | None, Query(min_length=1)],
    key=Annotated[str | None, Header(alias="Idempotency-Key")],
    file_resources="POST",
    file_requests=_file_requests,
    whoami=True,
    attributes=True,
)
