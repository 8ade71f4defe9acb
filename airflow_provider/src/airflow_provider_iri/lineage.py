"""OpenLineage: what a task tells of its job, and what the job is told of its task.

All of it is off unless Airflow's OpenLineage provider is installed and switched on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from airflow_provider_iri.ends import End
    from airflow_provider_iri.record import JobRecord
    from iri_common import Facility, JobRef, JobSpec

    Sent = Callable[[Facility, JobRecord], JobSpec]

STORE_KEY = "iri_lineage"


def enabled() -> bool:
    """Whether somebody listens."""
    try:
        from airflow.providers.openlineage.conf import is_disabled
    except ImportError:
        return False
    return not is_disabled()


def with_parent(context: Context, sent: Sent) -> Sent:
    """What is sent for a job, with its task as the parent of whatever OpenLineage tells in there.

    The names are those that the clients of OpenLineage read. What the author set stays.
    """
    if not enabled():
        return sent

    def told(facility: Facility, record: JobRecord) -> JobSpec:
        spec = sent(facility, record)
        environment = _parent(context, record.generation) | dict(spec.environment or {})
        return spec.model_copy(update={"environment": environment})

    return told


def _parent(context: Context, generation: int) -> dict[str, str]:
    """The same for every try that asks for the same job: the core takes another spec for another ask."""
    from airflow.providers.openlineage.plugins.macros import lineage_parent_id, lineage_root_parent_id

    from airflow_provider_iri.record import remember

    store: Any = context.get("task_state_store")
    known = store.get(STORE_KEY) if store is not None else None
    if known and known["generation"] == generation:
        return dict(known["environment"])
    ti: Any = context["ti"]
    environment = {
        "OPENLINEAGE_PARENT_ID": lineage_parent_id(ti),
        "OPENLINEAGE_ROOT_PARENT_ID": lineage_root_parent_id(ti),
    }
    if store is not None:
        remember(store, STORE_KEY, {"generation": generation, "environment": environment})
    return environment


class JobLineage:
    """An operator that tells OpenLineage of its job."""

    _job_facts: dict[str, Any] | None = None

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage:
        """What Airflow's provider asks for when the task has ended, with success or without."""
        from airflow.providers.openlineage.extractors import OperatorLineage

        from airflow_provider_iri.facets import IriJobRunFacet

        if self._job_facts is None:
            return OperatorLineage()
        return OperatorLineage(run_facets={"iri_job": IriJobRunFacet(**self._job_facts)})

    def _note_end(self, facility: Facility, ref: JobRef, told: Mapping[str, Any]) -> None:
        """Keep what is to be told: who asks for it is a fork of this process, which should ask nobody."""
        if enabled():
            self._job_facts = job_facts(facility, ref, told)


class TransferLineage:
    """An operator that tells OpenLineage what it moved, and where to."""

    _moved: tuple[str, str] | None = None

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage:
        """What Airflow's provider asks for when the task has ended, with success or without."""
        from airflow.providers.openlineage.extractors import OperatorLineage

        from airflow_provider_iri.facets import dataset

        if self._moved is None:
            return OperatorLineage()
        source, target = self._moved
        return OperatorLineage(inputs=[dataset(source)], outputs=[dataset(target)])

    def _note_move(self, source: End, target: End) -> None:
        """Keep what is to be told."""
        if enabled():
            self._moved = (_address(source), _address(target))


def job_facts(facility: Facility, ref: JobRef, told: Mapping[str, Any]) -> dict[str, Any]:
    """A job that has ended, in the words of its facet; ``told`` is what Airflow keeps of it."""
    from iri_common import IriError

    machine = ref.resource_id
    with suppress(IriError):
        machine = facility.status.resource(ref.resource_id).name or machine
    return {
        "ref": str(ref),
        "jobId": ref.job_id,
        "facility": ref.origin,
        "machine": machine,
        "account": told["account"] or facility.account,
        "state": told["state"],
        "exitCode": told["exit_code"],
        "nodeHours": told["node_hours"],
    }


def _address(end: End) -> str:
    """By which an asset names the same file."""
    if end.conn_id is None or end.scheme:
        return end.path
    from airflow_provider_iri.hooks import IriHook

    # Not made an asset of: a path may be a pattern, whose ? no asset can hold.
    return f"iri://{IriHook(end.conn_id).facility.name}/{end.storage or ''}{end.path}"
