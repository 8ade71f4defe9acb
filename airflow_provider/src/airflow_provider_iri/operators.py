"""Runs one job at a facility."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_iri.hooks import IriHook
    from iri_common import Facility, JobRef, JobSpec, JobStatus

KILL_SECONDS = 2.0  # to learn the state, and again to cancel: Airflow kills 5 s after its first signal


class IriJobOperator(BaseOperator):
    """Submits a job, waits for its end and tells how it went.

    The job outlives the processes of Airflow: a retry goes on with the job of the try before while that is
    not over, a clear cancels it and asks for a new one, marking the task cancels it.

    Example:
        >>> IriJobOperator(
        ...     task_id="hello",
        ...     job={"executable": "/bin/echo", "arguments": ["{{ ds }}"], "attributes": {"duration": 60}},
        ... )

    Args:
        job: What to run, in the words of :class:`iri_common.JobSpec`; templated at any depth. Numbers stay
            numbers through a template if the DAG renders native objects.
        resource: Name or id; the connection's default if None. Templated.
        iri_conn_id: The connection. Templated.
        deferrable: Wait in the triggerer. Otherwise the worker's slot is held until the job ends.
        tail_lines: So many last lines of the job's stdout go to the task's log.

    Returns:
        ``{"ref": …, "state": …, "exit_code": …}`` as XCom; ``iri_job`` holds the reference from the start.
    """

    template_fields: Sequence[str] = ("job", "resource", "iri_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"job": "json"}
    ui_color = "#d5e8e4"

    def __init__(
        self,
        *,
        job: Mapping[str, Any] | JobSpec,
        resource: str | None = None,
        iri_conn_id: str = "iri_default",
        deferrable: bool = True,
        tail_lines: int = 20,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.resource = resource
        self.iri_conn_id = iri_conn_id
        self.deferrable = deferrable
        self.tail_lines = tail_lines
        self._running: tuple[Any, Facility, JobRef] | None = None
        if _final(job):
            self._spec()  # a DAG with a typo in it fails when it is read

    def execute(self, context: Context) -> dict[str, Any]:
        """Find or submit the job; wait for it, here or in the triggerer."""
        from airflow_provider_iri.attempt import Attempt
        from airflow_provider_iri.errors import told_to_airflow

        with told_to_airflow(self.iri_conn_id):
            spec = self._spec()
            hook = self._hook()
            ref, status = Attempt(context, hook, spec, self.resource).settle()
            self._running = (context["ti"], hook.facility, ref)
            if status is None or not status.state.terminal:
                if self.deferrable:
                    self._defer(ref)
                status = self._wait(context, hook.facility, ref)
            return self._finish(context, hook.facility, ref, status)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Tell how it went; called when the trigger has fired."""
        from airflow.sdk.exceptions import AirflowTaskTimeout

        from airflow_provider_iri.errors import tell_again, told_to_airflow
        from iri_common import JobRef, JobState, JobStatus

        with told_to_airflow(self.iri_conn_id):
            ref = JobRef.parse(event["ref"])
            try:
                facility = self._hook().facility
            except Exception:
                self._leave(context, ref)
                raise
            if event.get("trouble") == "WaitTimeout":
                self._give_up(context, facility, ref)
                raise AirflowTaskTimeout(event["message"])
            if "trouble" in event:
                if event["trouble"] != "JobLost":
                    self._leave(context, ref)
                tell_again(event["trouble"], event["message"], self.iri_conn_id)
            status = JobStatus(
                JobState(event["state"]), event.get("exit_code"), event.get("message"), event.get("time")
            )
            return self._finish(context, facility, ref, status)

    def on_kill(self) -> None:
        """Cancel the job, but only if a person ended the task: a worker that goes away is no reason."""
        from airflow_provider_iri.guard import JobKiller

        if self._running is None:
            return
        killer = JobKiller(*self._running)
        killer.start()
        killer.finish(KILL_SECONDS)

    def _spec(self) -> JobSpec:
        from iri_common import JobSpec

        return JobSpec.of(self.job)

    def _hook(self) -> IriHook:
        from airflow_provider_iri.hooks import IriHook

        return IriHook(self.iri_conn_id)

    def _defer(self, ref: JobRef) -> None:
        from airflow_provider_iri.triggers import IriJobTrigger

        # Not defer(timeout=…): when that is over, Airflow fails the task without asking it, and the job runs
        # on with nobody to know. Nor does Airflow look at execution_timeout while a task is deferred.
        limit = self.execution_timeout
        deadline = time.time() + limit.total_seconds() if limit else None
        trigger = IriJobTrigger(iri_conn_id=self.iri_conn_id, ref=str(ref), deadline=deadline)
        self.defer(trigger=trigger, method_name="execute_complete")

    def _wait(self, context: Context, facility: Facility, ref: JobRef) -> JobStatus:
        from airflow.sdk.exceptions import AirflowTaskTimeout

        from iri_common import AuthError, PermissionDenied

        try:
            return facility.jobs.wait(ref, on_change=self._say)
        except AirflowTaskTimeout:
            self._give_up(context, facility, ref)
            raise
        except (AuthError, PermissionDenied):
            self._leave(context, ref)
            raise

    def _finish(self, context: Context, facility: Facility, ref: JobRef, status: JobStatus) -> dict[str, Any]:
        from airflow_provider_iri.record import Memory

        self._running = None
        said = facility.jobs.tail(ref, "stdout", lines=self.tail_lines)
        if said.strip():
            self.log.info("the last lines of the job's stdout:\n%s", said.rstrip())
        Memory(context).note(reported=str(status.reported))
        facility.jobs.require_success(ref, status)
        self.log.info("%s: %s", ref.describe(), status.describe())
        return {"ref": str(ref), "state": str(status.state), "exit_code": status.exit_code}

    def _give_up(self, context: Context, facility: Facility, ref: JobRef) -> None:
        from airflow_provider_iri.attempt import end_job
        from airflow_provider_iri.record import Memory
        from iri_common import IriError, JobState

        self._running = None
        try:
            end_job(facility, ref)
        except IriError as error:
            self.log.warning("%s could not be cancelled: %s", ref.describe(), error)
        Memory(context).note(reported=str(JobState.CANCELED))

    def _leave(self, context: Context, ref: JobRef) -> None:
        from airflow_provider_iri.record import Memory

        self._running = None
        Memory(context).note(left=True)
        self.log.warning(
            "%s is left alone. Once the cause below is mended, clear this task: it goes on with that job",
            ref.describe(),
        )

    def _say(self, status: JobStatus) -> None:
        self.log.info("the job is %s", status.describe())


def _final(value: object) -> bool:
    """Whether nothing in it waits to be rendered: no template, no other task's result."""
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    if isinstance(value, Mapping):
        return all(_final(each) for pair in value.items() for each in pair)
    if isinstance(value, list | tuple):
        return all(_final(each) for each in value)
    return value is None or isinstance(value, bool | int | float)
