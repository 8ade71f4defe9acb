"""The files of a job's task: in before the job, out after it, over outages of the facility."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_iri.rounds import Turn
    from iri_common import Facility, JobRef, JobSpec, JobStatus


class JobFiles(BaseOperator):
    """An operator of jobs that moves files; its worker is given back while the facility is away.

    Attributes:
        stage_in: Pairs of source and target.
        stage_out: Likewise.
        transfer: Words for these moves.
        iri_conn_id: The connection.
        deferrable: An outage is waited out in the triggerer.
    """

    stage_in: Any
    stage_out: Any
    transfer: dict[str, Any]
    iri_conn_id: str
    deferrable: bool
    _turn: Turn | None = None
    _began: float | None = None

    def go_on(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on where an outage stopped the files, in another worker maybe; it is the same try."""
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.rounds import Turn

        with told_to_airflow(self.iri_conn_id):
            self._turn = Turn(self, context, event)
        ended = event["kept"].get("ended")
        return self._run(context) if ended is None else self.execute_complete(context, ended)

    def _run(self, context: Context) -> Any:
        """Find or submit the job, its files before."""
        raise NotImplementedError

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Tell how the job went."""
        raise NotImplementedError

    def _staged(self, way: str) -> list[tuple[str, str]]:
        given = self.stage_in if way == "in" else self.stage_out
        if not given:
            return []
        from airflow_provider_iri.staging import pairs_of

        return pairs_of(f"stage_{way}", given)

    def _bring(self, context: Context, facility: Facility, spec: JobSpec) -> None:
        """Move the files that go in; the XCom ``iri_staged_in`` tells of them."""
        if not (pairs := self._staged("in")):
            return
        # A job that would be refused takes no files along.
        facility.jobs.preview(spec, resource=getattr(self, "resource", None))
        self._stage(context, facility, "in", pairs, spec, {})

    def _fetch(
        self, context: Context, facility: Facility, spec: JobSpec, ref: JobRef, status: JobStatus
    ) -> None:
        """Move the files that come out of a job that has succeeded; ``iri_staged_out`` tells of them."""
        from airflow.sdk.exceptions import TaskDeferred

        from airflow_provider_iri.outcome import told_of
        from airflow_provider_iri.record import Memory

        memory, resumed = Memory(context), self._turn is not None
        ended = {**told_of(status, self._began), "ref": str(ref), "told": True}
        try:
            if pairs := self._staged("out"):
                self._stage(context, facility, "out", pairs, spec, {"ended": ended})
        except BaseException as error:
            # While the facility is away, too: a clear meanwhile is for the files, not for another job.
            memory.note(left=True)
            if not isinstance(error, TaskDeferred):
                self.log.warning(
                    "the job has succeeded, and not all of its files have come: a retry, or a clear, fetches "
                    "them and runs no other job"
                )
            raise
        if resumed:
            memory.note(left=False)

    def _stage(
        self,
        context: Context,
        facility: Facility,
        way: str,
        pairs: list[tuple[str, str]],
        spec: JobSpec,
        kept: Mapping[str, Any],
    ) -> None:
        from airflow_provider_iri.ends import End
        from airflow_provider_iri.rounds import Turn
        from airflow_provider_iri.staging import Staging
        from iri_common import IriError

        turn, self._turn = self._turn or Turn(self, context), None
        words = {"wait": turn.wait, **self.transfer}
        staging = Staging(context["ti"], facility, spec.directory, words, turn.saw)
        try:
            told = staging.put(pairs) if way == "in" else staging.fetch(pairs)
        except IriError as error:
            here = End(spec.directory or facility.directory or "/", self.iri_conn_id)
            turn.wait_out(error, [*(End(path) for pair in pairs for path in pair), here], kept)
            raise
        context["ti"].xcom_push(key=f"iri_staged_{way}", value=told)
