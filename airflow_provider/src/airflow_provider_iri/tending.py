"""What keeps a facility's affairs in order beside the jobs: ends them, and warns before a credential ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_iri.arguments import given

if TYPE_CHECKING:
    from airflow.sdk import Context


class IriCancelOperator(BaseOperator):
    """Cancels a job, or each of several, and sees it end.

    One that is over already, that the facility forgot, or that there never was, is no error.

    Example:
        >>> IriCancelOperator(task_id="stop", job="{{ ti.xcom_pull('serve', key='iri_job') }}")

    Args:
        job: Its reference (``iri+job://…``), as the XCom ``iri_job`` holds it; None for none; a list of them,
            as mapped tasks give. Templated.
        iri_conn_id: The connection. Templated.
        kwargs: Of every operator.
    """

    template_fields: Sequence[str] = ("job", "iri_conn_id")
    ui_color = "#f3e3df"

    def __init__(
        self, *, job: str | Sequence[str | None] | None, iri_conn_id: str = "iri_default", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.iri_conn_id = iri_conn_id

    def execute(self, context: Context) -> None:
        """Cancel it; one that cannot be does not keep the others alive."""
        from airflow_provider_iri.attempt import end_job
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.hooks import IriHook
        from iri_common import IriError, JobRef

        jobs = given(self.job)
        named = [
            each
            for each in (jobs if isinstance(jobs, list) else [jobs])
            if each not in (None, "", "None")  # as a teardown finds it whose setup submitted none
        ]
        if not named:
            self.log.info("there is no job to cancel")
            return
        failed: list[IriError] = []
        with told_to_airflow(self.iri_conn_id):
            refs, facility = [JobRef.parse(str(each)) for each in named], IriHook(self.iri_conn_id).facility
            for ref in refs:
                try:
                    end_job(facility, ref)
                except IriError as error:
                    self.log.warning("%s could not be cancelled: %s", ref.describe(), error)
                    failed.append(error)
            if failed:
                raise failed[0]


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
