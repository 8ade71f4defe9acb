"""Runs one job at a facility."""

from __future__ import annotations

import asyncio
import hashlib
import json
import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_iri.arguments import final, given, included, require_sense
from airflow_provider_iri.ends import moving_words
from airflow_provider_iri.job_files import JobFiles
from airflow_provider_iri.lineage import JobLineage, with_parent
from airflow_provider_iri.links import LINKS, write_down

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

    from airflow_provider_iri.attempt import Attempt
    from airflow_provider_iri.hooks import IriHook
    from airflow_provider_iri.limits import Limits, Patience
    from airflow_provider_iri.record import JobRecord
    from iri_common import Facility, JobRef, JobResult, JobSpec, JobStatus

KILL_SECONDS = 2.0  # to learn the state, and again to cancel: Airflow kills 5 s after its first signal


class IriJobOperator(JobLineage, JobFiles):
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
        script: A batch script in place of an executable: its text, or a file beside the DAG, ``….sh``,
            ``….sbatch`` or ``….pbs``. Its directives become words of the job, under those of ``job``, whose
            ``arguments`` it gets. Templated either way.
        resource: Name or id; the connection's default if None. Templated.
        stage_in: Pairs of source and target: files that are moved to the facility before a job is submitted.
            A source is here or, with ``iri://`` or ``globus://``, elsewhere; a target that does not begin
            with a slash is meant from the job's directory on. Templated.
        stage_out: Pairs of the facility's path and a target, moved when the job has succeeded. Templated.
        transfer: Words for these moves: ``allow_job``, ``road``, ``checksum`` … of
            :meth:`iri_common.Transfers.sync`.
        iri_conn_id: The connection. Templated.
        deferrable: Wait in the triggerer, also for a facility that is away while files move. Otherwise the
            worker's slot is held until the job ends, and such an outage fails the try.
        follow: Tell what the job writes in the task's log while it runs.
        tail_lines: So many last lines of the job's stdout go to the task's log, where it was not followed.
        queue_limit: A job that has not begun so long after it was submitted is cancelled, and the try failed.
        run_limit: Likewise one that has run for so long, where that is less than the job's own duration.
        escalate: After a job that ended for want of ``duration`` or ``memory``, the next try asks for so many
            times as much: ``{"duration": 2}``. Without it, such a job fails the task for good.
        skip_on_exit_code: A job that ends with this exit code, or with one of these, skips its task.
        wait_for_completion: False ends the task as soon as there is its job, a server, say, for the tasks
            after it; :class:`~airflow_provider_iri.tending.IriCancelOperator`, as a teardown, ends that.
        kwargs: Of every operator. Without a ``retry_policy`` of its own,
            :class:`~airflow_provider_iri.retries.RetryByCause` decides.

    Returns:
        How the job went, as XCom: ``ref``, ``state``, ``exit_code``, ``reason``, ``submitted_at``,
        ``began_at``, ``ended_at``, ``node_hours``, ``owner``; None for what nobody tells. ``iri_end`` holds
        it after a failure too, without the owner, and ``iri_job`` the reference from the start. Of a job
        that is not waited for, ``ref`` alone.
    """

    template_fields: Sequence[str] = ("job", "script", "stage_in", "stage_out", "resource", "iri_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "job": "json",
        "script": "bash",
        "stage_in": "json",
        "stage_out": "json",
    }
    operator_extra_links = LINKS
    ui_color = "#d5e8e4"

    def __init__(
        self,
        *,
        job: Mapping[str, Any] | JobSpec | None = None,
        script: str | None = None,
        resource: str | None = None,
        stage_in: Any = (),
        stage_out: Any = (),
        transfer: Mapping[str, Any] | None = None,
        iri_conn_id: str = "iri_default",
        deferrable: bool = True,
        follow: bool = False,
        tail_lines: int = 20,
        queue_limit: timedelta | None = None,
        run_limit: timedelta | None = None,
        escalate: Mapping[str, float] | None = None,
        skip_on_exit_code: int | Collection[int] | None = None,
        wait_for_completion: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.script = included(script)
        self.script_name = posixpath.basename(script) if self.script != script else "script"
        self.resource = resource
        self.stage_in = stage_in
        self.stage_out = stage_out
        self.transfer = moving_words("transfer", transfer)
        self.iri_conn_id = iri_conn_id
        self.deferrable = deferrable
        self.follow = follow
        self.tail_lines = tail_lines
        self.queue_limit = queue_limit
        self.run_limit = run_limit
        self.escalate = dict(escalate or {})
        codes = skip_on_exit_code
        self.skip_on_exit_code = {codes} if isinstance(codes, int) else set(codes or ())
        self.wait_for_completion = wait_for_completion
        if getattr(self, "retry_policy", False) is None:  # Airflow 3.2 has none
            from airflow_provider_iri.retries import RetryByCause

            self.retry_policy = RetryByCause()
        self.addresses: Mapping[str, str] | None = None
        self._attempt: Attempt | None = None
        self._running: tuple[Any, Facility, JobRef] | None = None
        self._killed = False
        self._told = False
        self._began = None
        # A DAG with a typo in it fails when it is read.
        require_sense(self)
        if final((job, self.script)):
            self._spec()
        for way, pairs in (("in", stage_in), ("out", stage_out)):
            if final(pairs):
                self._staged(way)

    def execute(self, context: Context) -> dict[str, Any]:
        """Find or submit the job; wait for it, here or in the triggerer."""
        return self._run(context)

    def _run(self, context: Context) -> dict[str, Any]:
        from airflow_provider_iri.attempt import Attempt
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.guard import require_wanted

        self._take_given()
        with told_to_airflow(self.iri_conn_id):
            spec, hook = self._asked(), self._hook()
            more = "".join(f" {word}*{factor:g}" for word, factor in sorted(self.escalate.items()))
            staged, _ = self._staged("in"), self._staged("out")  # the other is wanted when the job is over
            if staged:  # maybe thousands of files, which Airflow's store is not made for
                more += f" {hashlib.sha256(json.dumps(staged).encode()).hexdigest()}"
            before = partial(self._prepare, context, hook.facility)
            sent = with_parent(context, self._sent)
            attempt = self._attempt = Attempt(context, hook, spec, self.resource, sent, before, more)
            ref, status = attempt.settle()
            self.addresses = write_down(context["ti"], hook, ref, spec)
            self._running = (context["ti"], hook.facility, ref)
            if self._killed:
                self.on_kill()
            if status is None or not status.state.terminal:
                if not self.wait_for_completion:
                    return {"ref": str(ref)}
                if self.deferrable:
                    end = partial(hook.facility.jobs.cancel, ref)
                    require_wanted(context["ti"], "the job is cancelled", end)
                    self._defer(context, ref, attempt.submitted_at)
                status = self._wait(context, hook.facility, ref, attempt.submitted_at)
            return self._finish(context, hook.facility, ref, status)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Tell how it went; called when the trigger has fired."""
        from airflow_provider_iri.errors import tell_again, told_to_airflow
        from airflow_provider_iri.outcome import status_of
        from iri_common import JobRef

        self._take_given()
        self.iri_conn_id = event.get("iri_conn_id", self.iri_conn_id)  # where the job is
        self._told, self._began = event.get("told", False), event.get("began")
        with told_to_airflow(self.iri_conn_id):
            ref, hook = JobRef.parse(event["ref"]), self._hook()
            try:
                facility = hook.facility
                self.addresses = write_down(context["ti"], hook, ref, self._spec())
            except Exception:
                self._leave(context, ref)
                raise
            if event.get("trouble") == "WaitTimeout":
                status = self._give_up(context, facility, ref, event["message"])
                return self._finish(context, facility, ref, status)
            if "trouble" in event:
                if event["trouble"] != "JobLost":
                    self._leave(context, ref)
                tell_again(event["trouble"], event["message"], self.iri_conn_id)
            status = status_of(event) or facility.jobs.status(ref)  # in the words of a newer version
            return self._finish(context, facility, ref, status)

    def on_kill(self) -> None:
        """Cancel the job, but only if a person ended the task: a worker that goes away is no reason."""
        from airflow_provider_iri.guard import JobKiller

        job = self._running
        if job is None:
            self._killed = True  # its job may be on its way: then it is looked at as soon as it is there
            job = self._attempt.on_its_way if self._attempt else None
        if job is None:
            return
        killer = JobKiller(*job)
        killer.start()
        killer.finish(KILL_SECONDS)

    def _take_given(self) -> None:
        for name in self.template_fields:
            setattr(self, name, given(getattr(self, name)))

    def _spec(self) -> JobSpec:
        from airflow_provider_iri.escalation import grown
        from iri_common import JobSpec, UsageError

        if self.script is not None:
            from iri_common import job_of_script  # most DAGs have none, and are read without it

            words = self.job.sent() if isinstance(self.job, JobSpec) else self.job
            spec = job_of_script(self.script, words, name=self.script_name)
        elif self.job is not None:
            spec = JobSpec.of(self.job)
        else:
            raise UsageError("a task that runs a job needs one: job, or script")
        grown(spec, self.escalate, {})
        return spec

    def _asked(self) -> JobSpec:
        """What the author asks for, by which one ask is told from another."""
        return self._spec()

    def _sent(self, facility: Facility, record: JobRecord) -> JobSpec:
        """What is sent for it, by what the tries of before remember."""
        from airflow_provider_iri.escalation import grown

        return grown(self._spec(), self.escalate, record.grown)

    def _prepare(self, context: Context, facility: Facility, spec: JobSpec) -> None:
        from airflow_provider_iri.guard import require_wanted

        self._bring(context, facility, spec)
        if self._killed:
            require_wanted(context["ti"], "no job is asked for")

    def _hook(self) -> IriHook:
        from airflow_provider_iri.hooks import IriHook

        return IriHook(self.iri_conn_id)

    def _defer(self, context: Context, ref: JobRef, submitted_at: float) -> None:
        from airflow_provider_iri.rounds import end_of_try
        from airflow_provider_iri.triggers import IriJobTrigger

        # Not defer(timeout=…): when that is over, Airflow fails the task without asking it, and the job runs
        # on with nobody to know. Nor does Airflow look at execution_timeout while a task is deferred.
        deadline = end_of_try(context, self.execution_timeout)
        limits = self._limits(submitted_at, deadline)
        trigger = IriJobTrigger(self.iri_conn_id, str(ref), **asdict(limits), follow=self.follow)
        self.defer(trigger=trigger, method_name="execute_complete")

    def _limits(self, submitted_at: float, deadline: float | None = None) -> Limits:
        from airflow_provider_iri.limits import Limits

        queue = submitted_at + self.queue_limit.total_seconds() if self.queue_limit else None
        return Limits(deadline, queue, self.run_limit.total_seconds() if self.run_limit else None)

    def _wait(self, context: Context, facility: Facility, ref: JobRef, submitted_at: float) -> JobStatus:
        from airflow.sdk.exceptions import AirflowTaskTimeout

        from airflow_provider_iri.limits import Patience
        from iri_common import AuthError, PermissionDenied, WaitTimeout

        try:
            patience = Patience(self._limits(submitted_at), self._say)
            if self.follow:
                status = self._wait_and_tell(facility, ref, patience)
            else:
                status = patience.wait(facility, ref)
            self._began = patience.began
            return status
        except (WaitTimeout, AirflowTaskTimeout) as error:
            return self._give_up(context, facility, ref, str(error))
        except (AuthError, PermissionDenied):
            self._leave(context, ref)
            raise

    def _wait_and_tell(self, facility: Facility, ref: JobRef, patience: Patience) -> JobStatus:
        from airflow_provider_iri.output import JobOutput

        output = JobOutput(str(ref), self.log)
        status = asyncio.run(output.beside(facility.aio, patience.wait_awaited(facility.aio, ref)))
        self._told = output.complete
        return status

    def _finish(self, context: Context, facility: Facility, ref: JobRef, status: JobStatus) -> dict[str, Any]:
        from airflow.sdk.exceptions import AirflowSkipException

        from airflow_provider_iri.errors import TaskFailed
        from airflow_provider_iri.escalation import ENDED_BY
        from airflow_provider_iri.record import Memory
        from iri_common import JobFailed

        self._running = None
        self._tell_last(facility, ref)
        memory = Memory(context)
        memory.note(reported=str(status.reported))
        told = self._outcome(memory.read(), ref, status)
        context["ti"].xcom_push(key="iri_end", value=told)
        self._note_end(facility, ref, told)
        try:
            principal = self._require_success(facility, ref, status).principal
        except JobFailed as failed:
            if status.exit_code in self.skip_on_exit_code:
                raise AirflowSkipException(f"{ref.describe()} ended as {status.describe()}") from None
            word = ENDED_BY.get(failed.reason)
            if word not in self.escalate or not memory.grow(word):
                raise
            more = f"{failed}\nthe next try asks for {self.escalate[word]:g} times the {word}"
            raise TaskFailed(more, retry_sensible=True) from None
        self.log.info("%s: %s", ref.describe(), status.describe())
        self._fetch(context, facility, self._spec(), ref, status)
        return {**told, "owner": principal.owner if principal else None}

    def _tell_last(self, facility: Facility, ref: JobRef) -> None:
        if self._told or not self.tail_lines:
            return
        said = facility.jobs.tail(ref, "stdout", lines=self.tail_lines)
        if said.strip():
            self.log.info("the last lines of the job's stdout:\n%s", said.rstrip())

    def _require_success(self, facility: Facility, ref: JobRef, status: JobStatus) -> JobResult:
        return facility.jobs.require_success(ref, status)

    def _outcome(self, record: JobRecord | None, ref: JobRef, status: JobStatus) -> dict[str, Any]:
        from airflow_provider_iri.outcome import began_at, outcome

        submitted = record.submitted_at if record else None
        return outcome(ref, status, self._spec(), submitted, began_at(status, self._began))

    def _give_up(self, context: Context, facility: Facility, ref: JobRef, why: str) -> JobStatus:
        from airflow_provider_iri.attempt import give_up
        from airflow_provider_iri.record import Memory

        self._running = None
        return give_up(Memory(context), facility, ref, why)

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
