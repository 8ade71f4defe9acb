"""What keeps a facility's affairs in order beside the jobs: ends them, and warns before a credential ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_iri.arguments import given

if TYPE_CHECKING:
    from airflow.sdk import Context

    from iri_common import Facility, IriError, JobRef

AT_ONCE = 10.0  # seconds for which a worker waits: most jobs are over by then, and a deferral takes as long
CANCEL_PATIENCE = 60.0  # the same where it is not to be deferred


class IriCancelOperator(BaseOperator):
    """Cancels a job, or each of several, and sees it end.

    One that is over already, that the facility forgot, or that there never was, is no error.

    Example:
        >>> IriCancelOperator(task_id="stop", job="{{ ti.xcom_pull('serve', key='iri_job') }}")

    Args:
        job: Its reference (``iri+job://…``), as the XCom ``iri_job`` holds it; None for none; a list of them,
            as mapped tasks give. Templated.
        iri_conn_id: The connection. Templated.
        deferrable: Wait in the triggerer for those that do not end within seconds. Otherwise a worker waits,
            for a minute.
        kwargs: Of every operator. ``execution_timeout`` counts while the task is deferred, too.
    """

    template_fields: Sequence[str] = ("job", "iri_conn_id")
    ui_color = "#f3e3df"

    def __init__(
        self,
        *,
        job: str | Sequence[str | None] | None,
        iri_conn_id: str = "iri_default",
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.iri_conn_id = iri_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> None:
        """Cancel it; one that cannot be does not keep the others alive."""
        from airflow_provider_iri.attempt import cancel_living
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.hooks import IriHook
        from iri_common import IriError, JobRef

        if not (named := self._named()):
            self.log.info("there is no job to cancel")
            return
        living, trouble = list[JobRef](), list[IriError]()
        with told_to_airflow(self.iri_conn_id):
            refs, facility = [JobRef.parse(each) for each in named], IriHook(self.iri_conn_id).facility
            for ref in refs:
                try:
                    living += [ref] if cancel_living(facility, ref)[1] else []
                except IriError as error:
                    self.log.warning("%s could not be cancelled: %s", ref.describe(), error)
                    trouble.append(error)
            self._see_end(context, facility, living, trouble)
            if trouble:
                raise trouble[0]

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """Tell what went wrong, if anything did; called when the trigger has fired."""
        from airflow.sdk.exceptions import AirflowTaskTimeout

        from airflow_provider_iri.errors import tell_again, told_to_airflow

        if event.get("trouble") == "WaitTimeout":
            raise AirflowTaskTimeout(event["message"])
        if "trouble" in event:
            with told_to_airflow(self.iri_conn_id):
                tell_again(event["trouble"], event["message"], self.iri_conn_id)

    def _named(self) -> list[str]:
        jobs = given(self.job)
        return [
            str(each)
            for each in (jobs if isinstance(jobs, list) else [jobs])
            if each not in (None, "", "None")  # as a teardown finds it whose setup submitted none
        ]

    def _see_end(
        self, context: Context, facility: Facility, living: list[JobRef], trouble: list[IriError]
    ) -> None:
        """Wait for what was cancelled, here for a while, then in the triggerer."""
        from iri_common import IriError, JobLost, JobRef, WaitTimeout

        until, left = time.monotonic() + (AT_ONCE if self.deferrable else CANCEL_PATIENCE), list[JobRef]()
        for ref in living:
            try:
                facility.jobs.wait(ref, timeout=round(max(0.0, until - time.monotonic()), 1))
            except JobLost as error:
                self.log.info("%s", error)
            except IriError as error:
                if self.deferrable and (error.transient or isinstance(error, WaitTimeout)):
                    left.append(ref)
                else:
                    trouble.append(error)
        if left:
            self._defer(context, left, trouble)

    def _defer(self, context: Context, living: list[JobRef], trouble: list[IriError]) -> None:
        from airflow_provider_iri.cancel_triggers import IriCancelledTrigger
        from airflow_provider_iri.rounds import end_of_try

        failed = (type(trouble[0]).__name__, str(trouble[0])) if trouble else None
        deadline = end_of_try(context, self.execution_timeout)
        trigger = IriCancelledTrigger(self.iri_conn_id, [str(ref) for ref in living], deadline, failed)
        self.defer(trigger=trigger, method_name="execute_complete")


class IriCredentialOperator(BaseOperator):
    """Fails if the connection's credential does not work, or will not for as long as it has to.

    In a DAG of its own, once a day, with an ``on_failure_callback``, it tells somebody to renew the
    credential before anything else fails.

    Example:
        >>> IriCredentialOperator(task_id="credential", lasts=timedelta(days=3))

    Args:
        lasts: For so long from now on.
        iri_conn_id: The connection. Templated.
        kwargs: Of every operator.

    Returns:
        ``{"state": …, "identity": …, "until": …}``; ``until`` is None where nobody tells.
    """

    template_fields: Sequence[str] = ("iri_conn_id",)
    ui_color = "#f0ecd9"

    def __init__(
        self, *, lasts: timedelta = timedelta(0), iri_conn_id: str = "iri_default", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(lasts, timedelta):
            raise TypeError(f"lasts is a timedelta, as timedelta(days=3), not {lasts!r}")
        self.lasts = lasts
        self.iri_conn_id = iri_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Have it judged."""
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.hooks import IriHook
        from iri_common import AuthError, CredentialState, Unreachable

        with told_to_airflow(self.iri_conn_id):
            found = IriHook(self.iri_conn_id).facility.accounts.credential()
            until = f"{found.until:%Y-%m-%d %H:%M} UTC" if found.until else None
            told = {"state": str(found.state), "identity": found.identity, "until": until}
            if found.state is CredentialState.UNKNOWN:
                if found.mend:
                    raise Unreachable(f"the credential cannot be judged now: {found.why}")
                self.log.warning("this facility does not tell what a credential is worth: %s", found.why)
                return told
            if not found.state.works:
                raise AuthError(f"the credential is {found.state}: {found.why}. {found.mend}".rstrip())
            if not found.outlives(datetime.now(UTC) + self.lasts):
                raise AuthError(f"the credential works until {until} only: renew it before")
            self.log.info("%s is %s, until %s", found.identity, found.state, until or "no known time")
            return told
