"""OpenLineage's words for jobs and files at facilities; imported only where its client is installed."""

from __future__ import annotations

from urllib.parse import urlsplit

from attrs import define
from openlineage.client.event_v2 import Dataset
from openlineage.client.generated.base import RunFacet


@define
class IriJobRunFacet(RunFacet):
    """The job at a facility that a run of a task was.

    Attributes:
        ref: The job's reference.
        jobId: The facility's id of it.
        facility: Host of its API.
        machine: Name of the resource.
        account: Charged for it, where the job or the connection names one.
        state: In which it ended.
        exitCode: Of its process.
        nodeHours: Nodes times the time that it ran; None where nothing tells when it began.
    """

    ref: str
    jobId: str | None  # noqa: N815 - OpenLineage writes all its words so
    facility: str
    machine: str
    account: str | None
    state: str
    exitCode: int | None  # noqa: N815
    nodeHours: float | None  # noqa: N815


def dataset(uri: str) -> Dataset:
    """The file of an ``iri`` URI."""
    parts = urlsplit(uri)
    return Dataset(namespace=f"iri://{parts.netloc}", name=parts.path.removeprefix("/"))
