"""Drives the pure steps of a submission: ledger, send, look, verdict."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from iri_common.jobs.ledger import claim_owner
from iri_common.jobs.operations import settled
from iri_common.jobs.search import find_job
from iri_common.model.errors import (
    AmbiguousReply,
    IriError,
    NotOffered,
    SpecChanged,
    SubmitUncertain,
    UsageError,
    WaitTimeout,
)
from iri_common.model.job import Accepted
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.outcome import Pending
from iri_common.model.ports import Answer, Dialect, Ledger
from iri_common.model.ref import JobRef
from iri_common.model.submission import Submission
from iri_common.policy.classify import Outcome
from iri_common.policy.submission import (
    LOOKS_BEFORE_VERDICT,
    Evidence,
    Step,
    look_pause,
    next_step,
    send_pause,
)

log = logging.getLogger(__name__)

CLAIM_SECONDS = 180.0  # renewed all the while, so this long only after the process is gone
LISTED_WITHIN = 30.0  # seconds from a request to its job's place in the list: some submits take over ten


@dataclass(slots=True)
class DoorMemory:
    """What submits through one door learned about it.

    Attributes:
        honours_keys: Some reply proved that idempotency keys are kept (``Idempotency-Key-Reply``).
        keeps_keys: False once a reply said that there is no store for them.
    """

    honours_keys: bool = False
    keeps_keys: bool = True


class Submitter:
    """Submits through one door.

    Args:
        dialect: The facility's API.
        ledger: Where intents are kept.
        memory: Shared by all submitters of this door.
        origin: ``host[:port]`` for references.
        label: What errors call the facility.
        profile: Its configured name, a hint in references.
    """

    def __init__(
        self,
        dialect: Dialect,
        ledger: Ledger,
        memory: DoorMemory,
        *,
        origin: str,
        label: str,
        profile: str | None = None,
    ) -> None:
        self._dialect = dialect
        self._ledger = ledger
        self._memory = memory
        self._origin = origin
        self._label = label
        self._profile = profile

    async def submit(self, submission: Submission) -> JobRef:
        """Make sure that the job of this key is at the facility, and that there is one.

        Raises:
            SpecChanged: if the key was used for another spec.
            SubmitUncertain: if a request was sent and its fate cannot be settled.
            IriError: if the facility certainly did not take the job.
        """
        owner = claim_owner()
        while True:
            async with self._claimed(submission, owner) as known:
                ref = known or await self._recorded_or_driven(submission, owner)
            if ref is not None:
                return ref
            log.info("another process took over %s; reading what it wrote", submission.key)

    async def _recorded_or_driven(self, submission: Submission, owner: str) -> JobRef | None:
        record = await self._recorded(submission)
        if record is not None:
            self._check_spec(submission, record)
            if record.stage is Stage.ACCEPTED:
                return JobRef.parse(record.ref)
        asked = record is not None and record.stage in {Stage.SENT, Stage.UNCERTAIN}
        return await self._drive(submission, owner, record.written_at if record and asked else None)

    async def _recorded(self, submission: Submission) -> LedgerRecord | None:
        """What is on record of this generation."""
        key = submission.key
        record = await self._ledger.read(key)
        if record is None or record.generation < key.generation:
            return None
        if record.generation > key.generation:
            raise UsageError(
                f"generation {record.generation} of {key.identity} was asked for already; "
                f"generation {key.generation} is in the past",
                facility=self._label,
            )
        if record.stage is Stage.ACCEPTED:
            log.info("%s was submitted before: %s", key, record.ref)
        return record

    @contextlib.asynccontextmanager
    async def _claimed(self, submission: Submission, owner: str) -> AsyncGenerator[JobRef | None, None]:
        """Hold the claim; gives the job if another process had it accepted while this one waited."""
        keeping: asyncio.Task[None] | None = None
        try:
            known = await self._claim(submission, owner)
            keeping = asyncio.create_task(self._keep_claim(submission, owner)) if known is None else None
            yield known
        finally:
            try:
                if keeping is not None:
                    keeping.cancel()
                    await asyncio.wait([keeping])  # a claim renewed after the release would stay
            finally:
                await self._ledger.release(submission.key, owner)

    async def _keep_claim(self, submission: Submission, owner: str) -> None:
        while True:
            await asyncio.sleep(CLAIM_SECONDS / 3)
            with contextlib.suppress(IriError):  # asked once more before anything is sent
                await self._ledger.claim(submission.key, owner, CLAIM_SECONDS)

    async def _claim(self, submission: Submission, owner: str) -> JobRef | None:
        deadline = time.monotonic() + CLAIM_SECONDS
        pause = 0.05
        while not await self._ledger.claim(submission.key, owner, CLAIM_SECONDS):
            if time.monotonic() > deadline:
                raise WaitTimeout(
                    f"another process has been submitting {submission.key} for {CLAIM_SECONDS:.0f} s; "
                    "try again later, the job is not asked for twice",
                    facility=self._label,
                )
            await asyncio.sleep(pause)
            pause = min(2.0, pause * 2)
            record = await self._recorded(submission)  # of a crowd, only the first needs the claim
            if record is not None and record.stage is Stage.ACCEPTED:
                self._check_spec(submission, record)
                return JobRef.parse(record.ref)
        return None

    def _check_spec(self, submission: Submission, record: LedgerRecord) -> None:
        if record.stage is Stage.REFUSED:
            return  # nothing ran under this key yet
        then, now = JobRef.parse(record.ref), self._ref(submission)
        same_place = (then.origin, then.dialect, then.resource_id) == (
            now.origin,
            now.dialect,
            now.resource_id,
        )
        if record.spec_digest == self._digest(submission) and same_place:
            return
        what = "another job" if same_place else f"a job at {then.profile or then.origin}"
        raise SpecChanged(
            f"the key {submission.key} was used for {what} ({record.ref}); "
            "ask for its next generation, or under another identity",
            facility=self._label,
        )

    async def _drive(self, submission: Submission, owner: str, asked_at: float | None) -> JobRef | None:
        """Step to the end; None if the claim was lost on the way, before anything more was sent."""
        evidence = Evidence(
            maybe_sent=asked_at is not None or submission.seen_before,
            keyed=self._memory.keeps_keys and self._dialect.grades.settle == "native",
            honoured=self._memory.honours_keys,
            lookup=self._dialect.grades.settle in {"native", "lookup"},
        )
        if not evidence.maybe_sent:
            await self._note(submission, Stage.INTENT)
        accepted: Accepted | None = None
        error: IriError | None = None
        while True:
            step = next_step(evidence)
            if step is Step.SEND:
                await asyncio.sleep(send_pause(evidence.sends))
                if not await self._ledger.claim(submission.key, owner, CLAIM_SECONDS):
                    return None  # this process slept too long: the identity is somebody else's now
                await self._note(submission, Stage.SENT)
                evidence, accepted, error = await self._send(submission, evidence)
            elif step is Step.DROP_KEY:
                self._memory.keeps_keys = False
                evidence = replace(evidence, keyed=False, last=None)
            elif step is Step.LOOK:
                await asyncio.sleep(_before_look(evidence, asked_at))
                evidence, found = await self._look(submission, evidence, error)
                accepted = found or accepted
            elif step is Step.ACCEPT and accepted is not None:
                return await self._accept(submission, accepted)
            elif step is Step.REFUSE and error is not None:
                await self._note(submission, Stage.REFUSED, detail=error.message)
                raise error
            else:
                raise await self._uncertain(submission, error)

    async def _send(
        self, submission: Submission, evidence: Evidence
    ) -> tuple[Evidence, Accepted | None, IriError | None]:
        key = submission.key.idempotency_key(submission.resource_id) if evidence.keyed else None
        evidence = replace(evidence, sends=evidence.sends + 1, looks=0)
        answer: Answer[Accepted] | None = None
        try:
            answer = await self._dialect.jobs.submit(submission.resource_id, submission.wire_spec(), key)
            accepted = await settled(answer, self._dialect.operations)
        except IriError as error:
            last = _outcome_of_ask(error) if answer is None else _outcome_of_wait(error, answer)
            return replace(evidence, last=last), None, error
        if accepted.replayed is not None:
            self._memory.honours_keys = True
        return replace(evidence, last=Outcome.OK, honoured=self._memory.honours_keys), accepted, None

    async def _look(
        self, submission: Submission, evidence: Evidence, error: IriError | None
    ) -> tuple[Evidence, Accepted | None]:
        """Look once by name.

        Raises:
            SubmitUncertain: if a request is out and the facility cannot be looked at.
        """
        name = submission.key.job_name(submission.spec.name)
        try:
            found, conclusive = await find_job(self._dialect.jobs, submission.resource_id, name)
        except NotOffered:
            found, conclusive = None, False
        except IriError as failure:
            # Not seeing anything is not seeing nothing: no verdict may rest on it.
            if evidence.sends == 0:
                raise
            raise await self._uncertain(submission, error, failure) from failure
        evidence = replace(evidence, looks=evidence.looks + 1, lookup=evidence.lookup and conclusive)
        if found is None:
            return evidence, None
        log.info("%s found at %s as job %s", submission.key, self._label, found.job_id)
        return replace(evidence, found=True), Accepted(found.job_id, found.status)

    async def _accept(self, submission: Submission, accepted: Accepted) -> JobRef:
        ref = self._ref(submission).with_job(accepted.job_id)
        await self._note(submission, Stage.ACCEPTED, ref=ref)
        return ref

    async def _uncertain(
        self, submission: Submission, error: IriError | None, unseen: IriError | None = None
    ) -> SubmitUncertain:
        cause = error.message if error else "an earlier attempt may have reached the facility"
        await self._note(submission, Stage.UNCERTAIN, detail=cause)
        name = submission.key.job_name(submission.spec.name)
        seen = (
            f"Its jobs cannot be seen now: {unseen.message}" if unseen else f"No job {name!r} was seen there"
        )
        return SubmitUncertain(
            f"whether the facility took the job is unknown: {cause}. {seen}. "
            f"Submit again with the same key ({submission.key}) when the facility answers: "
            "a job that appears is adopted, not repeated",
            key=submission.key,
            facility=self._label,
            operation=error.operation if error else None,
            request_id=error.request_id if error else None,
        )

    async def _note(
        self, submission: Submission, stage: Stage, *, ref: JobRef | None = None, detail: str = ""
    ) -> None:
        await self._ledger.write(
            LedgerRecord(
                identity=submission.key.identity,
                generation=submission.key.generation,
                stage=stage,
                ref=str(ref or self._ref(submission)),
                spec_digest=self._digest(submission),
                written_at=time.time(),
                detail=detail,
            )
        )

    def _ref(self, submission: Submission) -> JobRef:
        return JobRef(
            origin=self._origin,
            dialect=self._dialect.name,
            resource_id=submission.resource_id,
            key=submission.key,
            directory=submission.spec.directory,
            profile=self._profile,
        )

    @staticmethod
    def _digest(submission: Submission) -> str:
        return submission.spec.digest()


def _before_look(evidence: Evidence, asked_at: float | None) -> float:
    """Seconds before the next look.

    When the request was another process's, the last look comes no sooner than its job must be listed:
    whoever crashed may have been restarted while the facility was still at it.
    """
    pause = look_pause(evidence.looks)
    if asked_at is None or evidence.sends or evidence.looks < LOOKS_BEFORE_VERDICT - 1:
        return pause
    age = max(0.0, time.time() - asked_at)  # another host's clock may be ahead
    return max(pause, LISTED_WITHIN - age)


def _outcome_of_ask(error: IriError) -> Outcome:
    """What became of a submit that raised."""
    if error.outcome:
        return Outcome(error.outcome)
    # Whatever is asked of the facility has an operation; an error without one was there before: no token.
    ambiguous = isinstance(error, AmbiguousReply) or error.operation is not None
    return Outcome.LOST if ambiguous else Outcome.NOT_SENT


def _outcome_of_wait(error: IriError, answer: Answer[Accepted]) -> Outcome:
    """What became of a submit that the facility took as a task, when waiting for the task raised.

    What a look at the task met (no network, no token) says nothing of the submit itself.
    """
    own = isinstance(answer, Pending) and error.operation == answer.operation
    return Outcome(error.outcome) if own and error.outcome else Outcome.LOST
