"""Buttons of a task that lead to its job at the facility's own pages."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_iri.hooks import IriHook
    from iri_common import JobRef, JobSpec


class _Link(BaseOperatorLink):
    """One that was written down as soon as there was a job, not only when the task's process ends."""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address; "" for none. Airflow writes it down again whenever a process of the task ends."""
        from airflow.sdk.execution_time.xcom import XCom

        # Who asks for an XCom that is not there has Airflow log an error.
        if (known := getattr(operator, "addresses", None)) is not None:
            return known.get(self.xcom_key, "")
        return XCom.get_value(ti_key=ti_key, key=self.xcom_key) or ""


class IriJobLink(_Link):
    """The job's page in the facility's portal."""

    name = "Job"
    xcom_key = "_link_iri_job"


class IriOutputLink(_Link):
    """The file that the job's stdout goes to, in the facility's portal."""

    name = "Output"
    xcom_key = "_link_iri_output"


LINKS = (IriJobLink(), IriOutputLink())


def write_down(ti: Any, hook: IriHook, ref: JobRef, spec: JobSpec) -> dict[str, str]:
    """Have both links lead to this job, as far as the connection says where; gives the addresses."""
    job_page, file_page = hook.pages
    output = posixpath.join(spec.directory or hook.facility.directory or "", spec.stdout_path or "")
    words, found = {"job": ref.job_id or "", "resource": ref.resource_id}, dict[str, str]()
    if job_page:
        found[IriJobLink.xcom_key] = _filled(job_page, words)
    if file_page and spec.stdout_path and output.startswith("/"):
        found[IriOutputLink.xcom_key] = _filled(file_page, {**words, "path": output})
    for key, address in found.items():
        ti.xcom_push(key=key, value=address)
    return found


def _filled(page: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        page = page.replace(f"{{{word}}}", quote(value))
    return page
