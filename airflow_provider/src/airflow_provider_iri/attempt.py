"""One try of a task: which job is its own, and is it there already?"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_iri.hooks import IriHook
from airflow_provider_iri.record import JobRecord, Memory, new_ask
from iri_common import (
    Facility,
    GenerationFacts,
    GenerationStep,
    IriError,
    JobLost,
    JobRef,
    JobSpec,
    JobState,
    JobStatus,
    Refused,
    UsageError,
    WaitTimeout,
    generation_step,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

CANCEL_PATIENCE = 60.0  # seconds for an old job to end before its successor is asked for


class Attempt:
    """Finds or submits the job of this try.

    Args:
        context: Of the task.
        hook: The open connection.
        spec: What is asked.
        resource: Where; the connection's default if None.
        sent: What is sent, by what the tries of before remember.
        before: Called with that right before a new job is asked for, and not for one that may be there.
        more: What else makes this ask another one.
    """

    def __init__(
        self,
        context: Context,
        hook: IriHook,
        spec: JobSpec,
        resource: str | None,
        sent: Callable[[Facility, JobRecord], JobSpec],
        before: Callable[[JobSpec], object],
        more: str = "",
    ) -> None:
        self._ti: Any = context["ti"]
        self._memory = Memory(context)
        self._hook = hook
        self._sent = sent
        self._before = before
        self._ask = new_ask(self._ti, spec, resource, hook.iri_conn_id, more)
        self.submitted_at = time.time()

    def settle(self) -> tuple[JobRef, JobStatus | None]:
        """The job of this try, and its status where that had to be asked for.

        Raises:
            IriError: if there is none; what was asked is remembered, the next try looks for it.
        """
        record = self._memory.read()
        step = generation_step(self._facts(record))
        status = None
        if record is not None and record.job is not None and step is GenerationStep.ATTACH:
            status = self._look(record, record.job)
            if status is not None and status.state is JobState.CANCELED and not record.left:
                # Nobody was told, and yet the task is to run: it was cleared while a worker held it (which
                # cancels the job, and is not to be told from a retry), or its job was cancelled by hand.
                log.info("%s was canceled before this try", record.job.describe())
                step = generation_step(replace(self._facts(record), reported=status.state))
        return self._act(step, record, status)

    def _facts(self, record: JobRecord | None) -> GenerationFacts:
        if record is None:
            return GenerationFacts()
        return GenerationFacts(
            asked_before=True,
            reported=record.reported_state,
            # Clearing is also how a person says "go on" after a try that left its job alive.
            cleared=self._ti.max_tries > record.max_tries and not record.left,
            spec_changed=record.digest != self._ask.digest,
            again=record.unwanted,
        )

    def _act(
        self, step: GenerationStep, record: JobRecord | None, status: JobStatus | None
    ) -> tuple[JobRef, JobStatus | None]:
        if record is None or step is GenerationStep.SUBMIT:
            return self._submit(self._ask, seen_before=False), None
        if step is GenerationStep.ATTACH:
            record = self._memory.write(replace(record, max_tries=self._ti.max_tries, left=False))
            if record.job is None:
                log.info("an earlier try may have asked for this job: looking for it")
                return self._submit(record, seen_before=True), None
            log.info("going on with %s", record.job.describe())
            self.submitted_at = record.submitted_at or self.submitted_at
            self._ti.xcom_push(key="iri_job", value=record.ref)
            return record.job, status
        if step is GenerationStep.REPLACE:
            self._end(record)
        return self._submit(record.asks_for(self._ask), seen_before=False), None

    def _submit(self, record: JobRecord, *, seen_before: bool) -> JobRef:
        spec = self._sent(self._hook.facility, record)
        if not seen_before:
            self._before(spec)
        self._memory.write(record)  # the intent, before anything is sent
        ref = self._hook.facility.jobs.submit(
            spec, resource=record.resource, key=record.key(self._ti), seen_before=seen_before
        )
        self.submitted_at = time.time()
        self._memory.write(replace(record, ref=str(ref), submitted_at=self.submitted_at))
        self._ti.xcom_push(key="iri_job", value=str(ref))
        log.info("submitted %s (%s)", ref.describe(), ref)
        return ref

    def _look(self, record: JobRecord, ref: JobRef) -> JobStatus | None:
        try:
            return self._hook.facility.jobs.status(ref)
        except IriError as error:
            if not error.transient:
                self._memory.write(replace(record, left=True))
                raise
            log.warning("%s cannot be looked at now (%s); waiting for it all the same", ref.describe(), error)
            return None

    def _end(self, record: JobRecord) -> None:
        """Cancel the job of the time before if it lives, and see it end: it may write to the same files."""
        try:
            facility = self._facility(record)
            ref = record.job or facility.jobs.find(record.key(self._ti), resource=record.resource)
            if ref is not None:
                end_job(facility, ref)
        except (UsageError, Refused, JobLost, WaitTimeout) as error:
            log.warning("the job of the time before is left as it is: %s", error)

    def _facility(self, record: JobRecord) -> Facility:
        same = record.iri_conn_id == self._hook.iri_conn_id
        return self._hook.facility if same else IriHook(record.iri_conn_id).facility


def end_job(facility: Facility, ref: JobRef) -> JobStatus | None:
    """Cancel a job if it lives and wait, not for ever, for its end; gives the end of one that was over.

    Raises:
        IriError: if that cannot be done.
    """
    status = facility.jobs.status(ref)
    if status.state.terminal:
        return status
    if status.state is not JobState.MISSING:
        log.info("cancelling %s", ref.describe())
        facility.jobs.cancel(ref)
        facility.jobs.wait(ref, timeout=CANCEL_PATIENCE)
    return None
