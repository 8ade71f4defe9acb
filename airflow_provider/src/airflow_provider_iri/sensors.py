"""Sensors: waits for what others do at a facility, in the triggerer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_iri.arguments import final
from airflow_provider_iri.patterns import require_wait

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_iri.sights import Sight
    from airflow_provider_iri.triggers import IriTrigger
    from iri_common import Facility


class IriSensor(BaseSensorOperator):
    """What the sensors have in common.

    Args:
        iri_conn_id: The connection. Templated.
        deferrable: Wait in the triggerer. Otherwise in a worker, as ``mode`` says.
        kwargs: Of every sensor: ``timeout``, ``poke_interval``, ``soft_fail`` …
    """

    ui_color = "#e3edf5"

    def __init__(self, *, iri_conn_id: str = "iri_default", deferrable: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.iri_conn_id = iri_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Look once, and wait where that has not done."""
        from airflow.sdk.exceptions import AirflowException, AirflowSkipException

        if not self.deferrable:
            return super().execute(context)
        try:
            found = self.poke(context)
        except AirflowException as error:
            # As Airflow itself does with what execute_complete raises, which would tell the same a bit later.
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
        if found:
            return found.xcom_value
        # Nothing at the facility is this task's own, so there is nothing to forget when its time is over.
        return self.defer(
            trigger=self._trigger(),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.hooks import IriHook

        with told_to_airflow(self.iri_conn_id):
            return self._look(IriHook(self.iri_conn_id).facility)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Tell what the trigger found."""
        from airflow_provider_iri.errors import tell_again

        if "trouble" in event:
            tell_again(event["trouble"], event["message"], self.iri_conn_id)
        return event

    @abstractmethod
    def _look(self, facility: Facility) -> PokeReturnValue:
        """Look once; may raise what the facility says."""

    @abstractmethod
    def _trigger(self) -> IriTrigger:
        """Who goes on looking."""


class _SightSensor(IriSensor):
    kind: str
    _looked_at: Sight | None = None  # one for all looks of a process: it may compare them

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Tell what the trigger found."""
        return self._result(super().execute_complete(context, event))

    def _look(self, facility: Facility) -> PokeReturnValue:
        from airflow_provider_iri.sights import NotYet

        if self._looked_at is None:
            self._looked_at = self._sight()
        found = self._looked_at.patiently(facility)
        if isinstance(found, NotYet):
            self.log.info("%s", found.why)
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._result(found))

    def _trigger(self) -> IriTrigger:
        from airflow_provider_iri.triggers import IriSightTrigger

        return IriSightTrigger(self.iri_conn_id, self.kind, self._sight().words(), self.poke_interval)

    def _result(self, found: dict[str, Any]) -> Any:
        return found

    @abstractmethod
    def _sight(self) -> Sight:
        """What is looked at."""


class IriFileSensor(_SightSensor):
    """Waits until a file or a directory is there, or files that match a pattern.

    It fires when they exist: whoever writes a file should do so aside and rename it at the end. Where nobody
    does, ``settled`` waits until it is whole.

    Example:
        >>> IriFileSensor(task_id="raw", path="/scratch/alice/{{ ds }}/raw.h5", timeout=6 * 3600)
        >>> IriFileSensor(
        ...     task_id="scan", path="/scratch/alice/*/raw_*.h5", at_least=4, settled=timedelta(minutes=5)
        ... )

    Args:
        path: At the facility; with ``*``, ``?``, ``[…]`` or ``**`` for any directories a pattern, of files.
            Templated.
        at_least: So many files that match.
        settled: For so long none has come, gone, or changed in size or time, as looks at them show. In a
            worker only with ``mode="poke"``.
        storage: Name or id of the file system; the connection's if None. Templated.
        kwargs: Of :class:`IriSensor`.

    Returns:
        ``{"path": …, "size": …, "mtime": …}``; for a pattern a list of ``{"path": …, "size": …,
        "last_modified": …}``, sorted by path, the time as the facility spells it.
    """

    template_fields: Sequence[str] = ("path", "storage", "iri_conn_id")
    kind = "file"

    def __init__(
        self,
        *,
        path: str,
        at_least: int = 1,
        settled: timedelta | None = None,
        storage: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.at_least = at_least
        self.settled = settled
        self.storage = storage
        if final(path):
            require_wait(path, at_least, settled)
        if settled is not None and not self.deferrable and self.mode != "poke":
            raise ValueError("settled compares looks: with deferrable=False it takes mode='poke'")

    def _sight(self) -> Sight:
        from airflow_provider_iri.sights import FileThere
        from iri_common import UsageError

        try:
            require_wait(self.path, self.at_least, self.settled)
        except ValueError as error:
            raise UsageError(str(error)) from None
        settled = self.settled.total_seconds() if self.settled is not None else 0.0
        return FileThere(self.path, self.storage, self.at_least, settled)

    def _result(self, found: dict[str, Any]) -> Any:
        return found.get("files", found)


class IriResourceSensor(_SightSensor):
    """Waits until a resource is not down, and no maintenance of it is under way or about to begin.

    Example:
        >>> IriResourceSensor(task_id="open", resource="perlmutter", ahead=timedelta(hours=6))

    Args:
        resource: Name or id; the connection's if None. Templated.
        ahead: For so long from now on no maintenance may be announced; say how long the work will take.
        kwargs: Of :class:`IriSensor`.

    Returns:
        ``{"resource": …, "status": …}``.
    """

    template_fields: Sequence[str] = ("resource", "iri_conn_id")
    kind = "resource"

    def __init__(
        self, *, resource: str | None = None, ahead: timedelta = timedelta(0), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.resource = resource
        self.ahead = ahead

    def _sight(self) -> Sight:
        from airflow_provider_iri.sights import ResourceUsable

        return ResourceUsable(self.resource, self.ahead.total_seconds())


class IriJobSensor(IriSensor):
    """Waits for the success of a job that somebody else submitted: another DAG, a script, a person.

    All jobs that a triggerer waits for at a facility are asked about together, those of
    :class:`~airflow_provider_iri.operators.IriJobOperator` too. The job is left alone, whatever becomes of
    this task.

    Example:
        >>> IriJobSensor(task_id="calibrated", job="{{ dag_run.conf['job'] }}")

    Args:
        job: Its reference (``iri+job://…``), as the XCom ``iri_job`` holds it. Templated.
        kwargs: Of :class:`IriSensor`.

    Returns:
        ``{"ref": …, "state": …, "exit_code": …}``; a job without success fails the task.
    """

    template_fields: Sequence[str] = ("job", "iri_conn_id")

    def __init__(self, *, job: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Tell how the job ended."""
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.hooks import IriHook
        from airflow_provider_iri.outcome import status_of
        from iri_common import JobRef

        super().execute_complete(context, event)
        with told_to_airflow(self.iri_conn_id):
            facility = IriHook(self.iri_conn_id).facility
            return self._ended(facility, status_of(event) or facility.jobs.status(JobRef.parse(self.job)))

    def _look(self, facility: Facility) -> PokeReturnValue:
        from iri_common import IriError, JobRef

        try:
            status = facility.jobs.status(JobRef.parse(str(self.job)))
        except IriError as error:
            if not error.transient:
                raise
            self.log.info("%s", error)
            return PokeReturnValue(is_done=False)
        if not status.state.terminal:
            self.log.info("the job is %s", status.describe())
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._ended(facility, status))

    def _trigger(self) -> IriTrigger:
        from airflow_provider_iri.triggers import IriJobTrigger

        return IriJobTrigger(self.iri_conn_id, self.job, owned=False)

    def _ended(self, facility: Facility, status: Any) -> dict[str, Any]:
        facility.jobs.require_success(self.job, status)
        return {"ref": self.job, "state": str(status.state), "exit_code": status.exit_code}
