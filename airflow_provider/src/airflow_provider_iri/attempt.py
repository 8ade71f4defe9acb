"""One try of a task: which job is its own, and is it there already?"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_iri.hooks import IriHook
from airflow_provider_iri.record import JobRecord, Memory, new_ask
from airflow_provider_iri.storeless import first_ask, looked_at, recalled
from iri_common import (
    AuthError,
    Conflict,
    Facility,
    GenerationFacts,
    GenerationStep,
    IriError,
    JobKey,
    JobLost,
    JobRef,
    JobSpec,
    JobState,
    JobStatus,
    NotOffered,
    Refused,
    SubmitUncertain,
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

    Attributes:
        submitted_at: When its job was asked for, in seconds since the epoch.
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
        self._context = context
        self._ti: Any = context["ti"]
        self._memory = Memory(context)
        self._hook = hook
        self._sent = sent
        self._before = before
        self._ask = new_ask(self._ti, spec, resource, hook.iri_conn_id, more)
        if not self._memory.lasts:
            self._ask = first_ask(context, self._ask)
        self._asked: JobKey | None = None
        self.submitted_at = time.time()

    @property
    def on_its_way(self) -> tuple[Any, Facility, JobKey] | None:
        """What a signal's handler has to know of a job that is just being asked for."""
        return None if self._asked is None else (self._ti, self._hook.facility, self._asked)

    def settle(self) -> tuple[JobRef, JobStatus | None]:
        """The job of this try, and its status where that had to be asked for.

        Raises:
            IriError: if there is none; what was asked is remembered, the next try looks for it.
            AirflowTaskTimeout: if the task's time is over before that is known; what came of it is ended.
        """
        from airflow.sdk.exceptions import AirflowTaskTimeout

        try:
            return self._settled()
        except AirflowTaskTimeout:
            self._abandon()
            raise
        finally:
            self._asked = None

    def _settled(self) -> tuple[JobRef, JobStatus | None]:
        record = self._recall()
        step = generation_step(self._facts(record))
        status = None
        if record is not None and record.job is not None and step is GenerationStep.ATTACH:
            step, status = self._look(record, record.job)
        return self._act(step, record, status)

    def _recall(self) -> JobRecord | None:
        if self._memory.lasts:
            return self._memory.read()
        facility = self._hook.facility
        record, self._ask = recalled(self._context, facility, self._ask)
        if record is None:
            return None
        return self._memory.write(looked_at(facility, record, self._sent))

    def _abandon(self) -> None:
        try:
            record = self._memory.read()
            if record is None or record.reported is not None:
                return  # nothing was asked for, or that is over
            self._memory.write(replace(record, unwanted=True))
            self._end(record)
        except Exception as error:
            log.warning("what was asked for could not be cancelled; the next try does: %s", error)

    def _facts(self, record: JobRecord | None) -> GenerationFacts:
        if record is None:
            return GenerationFacts()
        return GenerationFacts(
            asked_before=True,
            reported=record.reported_state,
            # Clearing is also how a person says "go on" after a try that left its job alive.
            cleared=self._cleared(record) and not record.left,
            spec_changed=record.digest != self._ask.digest,
            again=record.unwanted,
        )

    def _cleared(self, record: JobRecord) -> bool:
        return self._ti.max_tries != record.max_tries

    def _act(
        self, step: GenerationStep, record: JobRecord | None, status: JobStatus | None
    ) -> tuple[JobRef, JobStatus | None]:
        if record is None or step is GenerationStep.SUBMIT:
            return self._submit(self._ask, seen_before=False), None
        if step is GenerationStep.ATTACH:
            record = self._memory.write(
                replace(record, max_tries=self._ti.max_tries, left=False, astray=False)
            )
            if record.job is None:
                log.info("an earlier try may have asked for this job: looking for it")
                return self._found(record), None
            log.info("going on with %s", record.job.describe())
            self.submitted_at = record.submitted_at or self.submitted_at
            self._ti.xcom_push(key="iri_job", value=record.ref)
            return record.job, status
        if step is GenerationStep.REPLACE:
            self._end(record)
        return self._submit(record.asks_for(self._ask), seen_before=False), None

    def _found(self, record: JobRecord) -> JobRef:
        try:
            return self._submit(record, seen_before=True)
        except Conflict as error:
            if error.operation is not None:  # the facility's own
                raise
            # The task was cleared while its worker asked for the job, and the worker has taken its key.
            log.info("%s", error)
            return self._submit(record.asks_for(self._ask), seen_before=False)

    def _submit(self, record: JobRecord, *, seen_before: bool) -> JobRef:
        spec = self._sent(self._hook.facility, record)
        if not seen_before:
            self._before(spec)
        self._memory.write(record)  # the intent, before anything is sent
        self._asked = record.key(self._ti)
        ref = self._hook.facility.jobs.submit(
            spec, resource=record.resource, key=self._asked, seen_before=seen_before
        )
        self.submitted_at = time.time()
        self._memory.write(replace(record, ref=str(ref), submitted_at=self.submitted_at))
        self._ti.xcom_push(key="iri_job", value=str(ref))
        log.info("submitted %s (%s)", ref.describe(), ref)
        return ref

    def _look(self, record: JobRecord, ref: JobRef) -> tuple[GenerationStep, JobStatus | None]:
        """Whether to go on with the job of before."""
        try:
            status = self._hook.facility.jobs.status(ref)
        except AuthError:
            self._memory.write(replace(record, left=True))
            raise
        except IriError as error:
            if error.transient:
                what = ref.describe()
                log.warning("%s cannot be looked at now (%s); waiting for it all the same", what, error)
                return GenerationStep.ATTACH, None
            if record.astray and self._cleared(record):
                return GenerationStep.REPLACE, None
            self._memory.write(replace(record, max_tries=self._ti.max_tries, left=True, astray=True))
            log.warning(
                "%s is left alone. Once the cause below is mended, clear this task: it goes on with that "
                "job. Where it is not to be, clear it as it is: it asks for another one",
                ref.describe(),
            )
            raise
        if status.state is not JobState.CANCELED or record.left:
            return GenerationStep.ATTACH, status
        # Nobody was told, and yet the task is to run: it was cleared while a worker held it (which cancels
        # the job, and is not to be told from a retry), or its job was cancelled by hand.
        log.info("%s was canceled before this try", ref.describe())
        return generation_step(replace(self._facts(record), reported=status.state)), status

    def _end(self, record: JobRecord) -> None:
        """Cancel the job of the time before if it lives, and see it end: it may write to the same files."""
        from airflow.sdk.exceptions import AirflowNotFoundException

        try:
            facility = self._facility(record)
            if record.reported is None or record.job is None:
                end_asked(facility, record.key(self._ti), record.job, record.resource)
            else:
                end_job(facility, record.job)  # over, unless its scheduler has queued it again
        except (IriError, AirflowNotFoundException) as error:
            if not self._passed_over(record, error):
                raise
            log.warning("the job of the time before is left as it is: %s", error)

    def _passed_over(self, record: JobRecord, error: Exception) -> bool:
        """Whether what keeps a job of before from being ended is no reason to go without one for ever."""
        if isinstance(error, UsageError | Refused | JobLost | WaitTimeout | SubmitUncertain):
            return True
        other = record.iri_conn_id != self._hook.iri_conn_id
        if isinstance(error, AuthError):
            return other
        return (other or record.astray) and not getattr(error, "transient", False)

    def _facility(self, record: JobRecord) -> Facility:
        same = record.iri_conn_id == self._hook.iri_conn_id
        return self._hook.facility if same else IriHook(record.iri_conn_id).facility


def end_asked(
    facility: Facility, key: JobKey, ref: JobRef | None, resource: str | None = None
) -> JobStatus | None:
    """End what came of an ask, or comes of it yet; gives what was found of it, None for nothing.

    Raises:
        IriError: if that cannot be done.
    """
    if ref is None:
        with suppress(NotOffered):
            ref = facility.jobs.find(key, resource=resource)
    found = end_job(facility, ref) if ref is not None else None
    if found is None or found.state is JobState.MISSING:
        # Where the request, or the list, is late, a job finds its key taken when it begins.
        facility.jobs.cancel(key, resource=resource)
    return found


def end_job(facility: Facility, ref: JobRef) -> JobStatus:
    """Cancel a job if it lives and wait, not for ever, for its end; gives what it was found as.

    Raises:
        IriError: if that cannot be done.
    """
    status, lived = cancel_living(facility, ref)
    if lived:
        facility.jobs.wait(ref, timeout=CANCEL_PATIENCE)
    return status


def cancel_living(facility: Facility, ref: JobRef) -> tuple[JobStatus, bool]:
    """Cancel a job if it lives; gives what it was found as, and whether it lived.

    Raises:
        IriError: if that cannot be done.
    """
    status = facility.jobs.status(ref)
    lived = not status.state.terminal and status.state is not JobState.MISSING
    if lived:
        log.info("cancelling %s", ref.describe())
        facility.jobs.cancel(ref)
    return status, lived


def give_up(memory: Memory, facility: Facility, ref: JobRef, why: str) -> JobStatus:
    """Cancel the job of a try, unless it is over by now: then that counts, and this is how it ended.

    Raises:
        AirflowTaskTimeout: if it was not over.
    """
    from airflow.sdk.exceptions import AirflowTaskTimeout

    try:
        found = end_asked(facility, ref.key, ref)
    except IriError as error:
        log.warning("%s could not be cancelled; the next try does: %s", ref.describe(), error)
        memory.note(unwanted=True)
    else:
        # A trigger that finds the time over cancels the job before a worker comes to this.
        if found is not None and found.state.terminal and found.state is not JobState.CANCELED:
            log.info("%s has ended after all, just after its time: %s", ref.describe(), why)
            return found
        memory.note(reported=str(JobState.CANCELED))
    raise AirflowTaskTimeout(why) from None
