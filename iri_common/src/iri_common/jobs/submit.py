"""Drives the pure steps of a submission: ledger, send, look, verdict."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace

from iri_common.jobs.ledger import claim_owner
from iri_common.jobs.operations import settled
from iri_common.model.errors import IriError, SpecChanged, SubmitUncertain, UsageError, WaitTimeout
from iri_common.model.job import Accepted
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.ports import Dialect, Ledger
from iri_common.model.ref import JobRef
from iri_common.model.submission import Submission
from iri_common.policy.classify import Outcome
from iri_common.policy.submission import Evidence, Step, look_pause, next_step, send_pause

log = logging.getLogger(__name__)

CLAIM_SECONDS = 180.0  # longer than one step takes at its slowest; renewed by every step
PAGE = 1000  # the most that the IRI list gives at once
MOST_PAGES = 10


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
        await self._claim(submission, owner)
        try:
            record = await self._ledger.read(submission.key)
            if record is not None and record.generation == submission.key.generation:
                self._check_spec(submission, record)
                if record.stage is Stage.ACCEPTED:
                    log.info("%s was submitted before: %s", submission.key, record.ref)
                    return JobRef.parse(record.ref)
            elif record is not None and record.generation > submission.key.generation:
                raise UsageError(
                    f"generation {record.generation} of {submission.key.identity} was asked for already; "
                    f"generation {submission.key.generation} is in the past",
                    facility=self._label,
                )
            sent = record is not None and record.stage in {Stage.SENT, Stage.UNCERTAIN}
            same = record is not None and record.generation == submission.key.generation
            return await self._drive(submission, owner, maybe_sent=(sent and same) or submission.seen_before)
        finally:
            await self._ledger.release(submission.key, owner)

    async def _claim(self, submission: Submission, owner: str) -> None:
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

    async def _drive(self, submission: Submission, owner: str, *, maybe_sent: bool) -> JobRef:
        evidence = Evidence(
            maybe_sent=maybe_sent,
            keyed=self._memory.keeps_keys and self._dialect.grades.settle == "native",
            honoured=self._memory.honours_keys,
            lookup=self._dialect.grades.settle in {"native", "lookup"},
        )
        if not maybe_sent:
            await self._note(submission, Stage.INTENT)
        accepted: Accepted | None = None
        error: IriError | None = None
        while True:
            step = next_step(evidence)
            if step is Step.SEND:
                await asyncio.sleep(send_pause(evidence.sends))
                await self._note(submission, Stage.SENT)
                evidence, accepted, error = await self._send(submission, evidence)
            elif step is Step.DROP_KEY:
                self._memory.keeps_keys = False
                evidence = replace(evidence, keyed=False, last=None)
            elif step is Step.LOOK:
                await asyncio.sleep(look_pause(evidence.looks))
                evidence, found = await self._look(submission, evidence)
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
        try:
            answer = await self._dialect.jobs.submit(submission.resource_id, submission.wire_spec(), key)
            accepted = await settled(answer, self._dialect.operations)
        except IriError as error:
            last = Outcome(error.outcome) if error.outcome else Outcome.LOST
            return replace(evidence, last=last), None, error
        if accepted.replayed is not None:
            self._memory.honours_keys = True
        return replace(evidence, last=Outcome.OK), accepted, None

    async def _look(self, submission: Submission, evidence: Evidence) -> tuple[Evidence, Accepted | None]:
        found = await self._find(submission)
        return replace(evidence, looks=evidence.looks + 1, found=found is not None), found

    async def _find(self, submission: Submission) -> Accepted | None:
        wanted = submission.key.job_name(submission.spec.name)
        for historical in (False, True):  # a live job is found in the short list
            for page in range(MOST_PAGES):
                entries = await self._dialect.jobs.list(
                    submission.resource_id, offset=page * PAGE, limit=PAGE, historical=historical, names=True
                )
                for entry in entries.value:
                    if entry.name == wanted:
                        log.info("%s found at %s as job %s", submission.key, self._label, entry.job_id)
                        return Accepted(entry.job_id, entry.status)
                if len(entries.value) < PAGE:
                    break
        return None

    async def _accept(self, submission: Submission, accepted: Accepted) -> JobRef:
        ref = self._ref(submission).with_job(accepted.job_id)
        await self._note(submission, Stage.ACCEPTED, ref=ref)
        return ref

    async def _uncertain(self, submission: Submission, error: IriError | None) -> SubmitUncertain:
        cause = error.message if error else "an earlier attempt may have reached the facility"
        await self._note(submission, Stage.UNCERTAIN, detail=cause)
        name = submission.key.job_name(submission.spec.name)
        return SubmitUncertain(
            f"whether the facility took the job is unknown: {cause}. No job named {name!r} was seen there. "
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
