"""What v1 does in another way than v2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, Query
from pydantic import AfterValidator

from iri_local_facility.iri_v2 import filerequests as bodies
from iri_local_facility.iri_v2.version import FileRequest, Version

from . import filerequests as options
from .models import ResourceType, Unit, answer

_UNITS = {
    "node_hours": "urn:doe-iri:allocation:compute:node-hours",
    "bytes": "urn:doe-iri:allocation:storage:bytes",
    "inodes": "urn:doe-iri:allocation:storage:inodes",
}


def _type_urn(word: str | None) -> str | None:
    return word and f"urn:doe-iri:resource:{word}"


def _unit_urns(words: list[str] | None) -> list[str] | None:
    return words and [_UNITS[word] for word in words]


def _no_key() -> None:
    """The header means nothing here: it is not even looked at."""


def _file_requests(limit: int) -> Mapping[str, FileRequest]:
    return {
        **{name: FileRequest("POST", model) for name, model in bodies.OF_BOTH_VERSIONS.items()},
        "chmod": FileRequest("PUT", bodies.PutFileChmodRequest),
        "chown": FileRequest("PUT", bodies.PutFileChownRequest),
        "compress": FileRequest("POST", options.PostCompressRequest),
        "extract": FileRequest("POST", options.PostExtractRequest),
        "rm": FileRequest("DELETE", options.OfPath),
        "file": FileRequest("GET", options.OfPath),
        "checksum": FileRequest("GET", options.OfPath),
        "download": FileRequest("GET", options.OfPath),
        "stat": FileRequest("GET", options.Stat),
        "ls": FileRequest("GET", options.Ls),
        "head": FileRequest("GET", options.Head),
        "tail": FileRequest("GET", options.Tail),
        "view": FileRequest("GET", options.limited_view(limit)),
    }


V1 = Version(
    number="1.2.0",
    prefix="/api/v1",
    document="/openapi.json",
    answer=answer,
    resource_type=Annotated[ResourceType | None, Query(), AfterValidator(_type_urn)],
    units=Annotated[list[Unit] | None, Query(min_length=1), AfterValidator(_unit_urns)],
    key=Annotated[None, Depends(_no_key)],
    file_resources="GET",
    file_requests=_file_requests,
    whoami=False,
    attributes=False,
)
