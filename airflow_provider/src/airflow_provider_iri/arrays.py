"""Runs one program over many inputs as one job."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_iri.arguments import final
from airflow_provider_iri.operators import IriJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_iri.record import JobRecord
    from iri_common import Facility, JobRef, JobResult, JobSpec, JobStatus

STORE_KEY = "iri_inputs"
WORDS = 20  # lines of stderr around the end of an element, as many as a failed job's are told
WORDS_AMONG = 1000  # lines of a pack's stderr among which they are looked for
SAID_AFTER = 40  # lines of a pack's output, its own word among them: a site may add some of its own


class IriArrayOperator(IriJobOperator):
    """Runs a program once for each input, all as one job in one task: submitted, watched, cancelled as one.

    Where the facility's API has arrays, it is one of the scheduler's; elsewhere one job runs the elements
    on its first node, ``parallel`` of them at a time. A retry runs the elements that have not succeeded.
    An element finds its index in ``IRI_ELEMENT``.

    Example:
        >>> IriArrayOperator(
        ...     task_id="reconstruct",
        ...     job={"executable": "./slice", "arguments": ["--fast"]},
        ...     inputs=["a.h5", ["b.h5", "--dark"]],
        ... )

    Args:
        inputs: A text or a list of texts for each element: arguments after those of the job. Templated.
        parallel: So many elements at a time. By default an array leaves that to the scheduler, and a pack
            runs one after the other.
        kwargs: Of :class:`~airflow_provider_iri.operators.IriJobOperator`.

    Returns:
        What that returns, with ``exit_codes`` in the order of the inputs. The XCom ``iri_elements`` has them
        after a failure too; None for an element of which nothing is told.
    """

    template_fields: Sequence[str] = ("inputs", *IriJobOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **IriJobOperator.template_fields_renderers,
        "inputs": "json",
    }

    def __init__(self, *, inputs: Any, parallel: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inputs = inputs
        self.parallel = parallel
        self._names: Mapping[int, str] = {}
        if final((inputs, self.job, self.script)):
            self._asked()

    def _asked(self) -> JobSpec:
        from airflow_provider_iri.elements import spread, words_of
        from iri_common import UsageError

        if self.parallel is not None and self.parallel < 1:
            raise UsageError(f"parallel is 1 or more, not {self.parallel}")
        words = words_of(self.inputs)
        return spread(self._spec(), words, range(len(words)), self.parallel)

    def _sent(self, facility: Facility, record: JobRecord) -> JobSpec:
        from airflow_provider_iri.elements import packed, spread, words_of
        from iri_common import GrantExceeded, UsageError

        one, words = super()._sent(facility, record), words_of(self.inputs)
        left = self._left(record, len(words))
        array = spread(one, words, left, self.parallel)
        try:
            facility.jobs.preview(array, resource=record.resource)
        except GrantExceeded:
            raise
        except UsageError as error:
            self.log.info("the elements go as one job: %s", error)
            return packed(one, words, left, self.parallel, f"{record.nonce}.{record.generation}")
        return array

    def _prepare(self, context: Context, facility: Facility, spec: JobSpec) -> None:
        from airflow_provider_iri.elements import digest_of, words_of
        from airflow_provider_iri.record import remember

        super()._prepare(context, facility, spec)
        store: Any = context.get("task_state_store")
        if store is not None:
            words = words_of(self.inputs)
            remember(store, STORE_KEY, {"count": len(words), "digest": digest_of(words)})

    def _recall(self, context: Context) -> int:
        """How many elements were asked for, and their names: the DAG may have been edited meanwhile."""
        from airflow_provider_iri.elements import digest_of, names_of, words_of
        from iri_common import UsageError

        store: Any = context.get("task_state_store")
        known = store.get(STORE_KEY) if store is not None else None
        if not known:
            self._names = names_of(words_of(self.inputs))
            return len(self._names)
        with contextlib.suppress(UsageError):
            words = words_of(self.inputs)
            self._names = names_of(words) if known.get("digest") == digest_of(words) else {}
        return known["count"]

    def _finish(self, context: Context, facility: Facility, ref: JobRef, status: JobStatus) -> dict[str, Any]:
        from iri_common import JobState, JobStatus

        status = self._with_tasks(facility, ref, status)
        told = self._learn(context, facility, ref, status)
        if all(code == 0 for code in told):
            status = JobStatus(JobState.COMPLETED, 0, time=status.time)
        return {**super()._finish(context, facility, ref, status), "exit_codes": told}

    def _tell_last(self, facility: Facility, ref: JobRef) -> None:
        if not ref.array:  # each element of one wrote for itself, and why it failed is told with the failure
            super()._tell_last(facility, ref)

    def _require_success(self, facility: Facility, ref: JobRef, status: JobStatus) -> JobResult:
        return facility.jobs.require_success(ref, status, names=self._names)

    def _give_up(self, context: Context, facility: Facility, ref: JobRef, why: str) -> JobStatus:
        from airflow.sdk.exceptions import AirflowTaskTimeout

        from iri_common import JobState, JobStatus

        try:
            return super()._give_up(context, facility, ref, why)
        except AirflowTaskTimeout:
            canceled = JobStatus(JobState.CANCELED)
            self._learn(context, facility, ref, self._with_tasks(facility, ref, canceled))
            raise

    def _learn(
        self, context: Context, facility: Facility, ref: JobRef, status: JobStatus
    ) -> list[int | None]:
        """Remember which elements have succeeded; gives the exit codes of all, in the order of the inputs."""
        from airflow_provider_iri.elements import unfinished
        from airflow_provider_iri.record import Memory

        memory = Memory(context)
        record = memory.read()
        codes = dict.fromkeys(record.done, 0) if record else {}
        count = self._recall(context)
        left = self._left(record, count)
        codes |= dict.fromkeys(left, 0) if status.succeeded else self._codes(facility, ref, status, left)
        told = [codes.get(each) for each in range(count)]
        memory.note(done=[each for each, code in enumerate(told) if code == 0])
        context["ti"].xcom_push(key="iri_elements", value=told)
        if words := unfinished(told, self._names):
            self.log.warning("%s", words)
        else:
            self.log.info("%d of %d elements have succeeded", count, count)
        if any(told) and not ref.array and self.tail_lines:
            self._tell_of_pack(facility, ref, told)
        return told

    def _tell_of_pack(self, facility: Facility, ref: JobRef, told: Sequence[int | None]) -> None:
        """All elements write to one stderr: of those that failed early the last lines show nothing."""
        from airflow_provider_iri.elements import seen_before

        stderr = facility.jobs.tail(ref, "stderr", lines=WORDS_AMONG)
        for each, text in seen_before(stderr, told, WORDS).items():
            self.log.warning("the stderr of the job up to where element %d failed:\n%s", each, text)

    def _left(self, record: JobRecord | None, count: int) -> list[int]:
        done = set(record.done) if record else set()
        return [each for each in range(count) if each not in done]

    def _codes(
        self, facility: Facility, ref: JobRef, status: JobStatus, left: Sequence[int]
    ) -> Mapping[int, int | None]:
        from airflow_provider_iri.elements import told_by

        if not ref.array:
            mark = str(ref.key).rpartition("/")[2]  # the nonce and the generation of the record
            return told_by(facility.jobs.tail(ref, "stdout", lines=SAID_AFTER), left, mark)
        return {each: 0 if task.succeeded else task.exit_code for each, task in status.tasks.items()}

    def _with_tasks(self, facility: Facility, ref: JobRef, status: JobStatus) -> JobStatus:
        """A trigger told only the gist of it; after a success that is enough."""
        from iri_common import IriError

        if not ref.array or status.succeeded or status.tasks:
            return status
        try:
            return replace(status, tasks=facility.jobs.status(ref).tasks)
        except IriError as error:
            self.log.warning("how the elements ended is not told: %s", error)
            return status
