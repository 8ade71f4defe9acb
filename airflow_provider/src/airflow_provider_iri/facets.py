"""OpenLineage's words for jobs and files at facilities; imported only where its client is installed."""

from __future__ import annotations

from attrs import define, field
from openlineage.client.event_v2 import Dataset
from openlineage.client.generated.base import RunFacet

from airflow_provider_iri import __version__

PACKAGE = f"pkg:pypi/airflow-provider-iri@{__version__}"
"""Who tells it, as a package URL: Airflow's provider, which sends it, would put its own name there."""

SCHEMA = "airflow_provider_iri/iri_job.schema.json"
"""Of the facet, in that package."""


@define
class IriJobRunFacet(RunFacet):
    """The job at a facility that a run of a task was.

    Attributes:
        ref: The job's reference.
        jobId: The facility's id of it.
        facility: Host of its API.
        machine: Name of the resource.
        account: Charged for it, where the facility, the job or the connection names one.
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
    _producer: str = field(default=PACKAGE, kw_only=True)

    @staticmethod
    def _get_schema() -> str:
        return f"{PACKAGE}#{SCHEMA}"


def dataset(address: str) -> Dataset:
    """What is at a URI, or at a path of the worker."""
    scheme, separator, rest = address.partition("://")
    if not separator or scheme == "file":
        return Dataset(namespace="file", name=rest or address)
    store, _, path = rest.partition("/")
    store = store.rpartition("@")[2]  # a connection is how one gets there
    return Dataset(namespace=f"{scheme}://{store}", name=path)
