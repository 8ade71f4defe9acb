"""Runs the program of a submission: what it says to do is done at the facility and in the ledger."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from iri_common.http import telemetry
from iri_common.jobs.audit import Books, NoBooks
from iri_common.jobs.claim import claimed
from iri_common.jobs.guards import GuardFiles
from iri_common.jobs.ledger import claim_owner
from iri_common.jobs.operations import settled
from iri_common.jobs.sighting import Sighting
from iri_common.jobside.guard import Guard
from iri_common.jobside.wrap import mounted, wrap_spec
from iri_common.model.errors import (
    Conflict,
    IriError,
    SpecChanged,
    SubmitUncertain,
    UsageError,
)
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.logfields import about
from iri_common.model.ports import Dialect, Ledger, WireRequest
from iri_common.model.ref import JobRef
from iri_common.model.submission import Submission
from iri_common.policy import asking
from iri_common.policy.asking import End, Known, Seen, Sent, Verdict, outcome_of_ask, outcome_of_wait
from iri_common.policy.classify import Outcome
from iri_common.policy.onrecord import DoorFacts, known_of, noted

log = logging.getLogger(__name__)


@dataclass(slots=True)
class DoorMemory:
    """What submits through one door learned about it.

    Attributes:
        honours_keys: Some reply proved that idempotency keys are kept (``Idempotency-Key-Reply``).
        keeps_keys: False once a reply said that there is no store for them.
    """

    honours_keys: bool = False
    keeps_keys: bool = True


@dataclass(frozen=True, slots=True)
class Submitter:
    """Submits through one door.

    Attributes:
        dialect: The facility's API.
        ledger: Where intents are kept.
        memory: Shared by all submissions through this door.
        origin: ``host[:port]`` for references.
        label: What errors call the facility.
        profile: Its configured name, a hint in references.
        guards: Reads what guarded jobs leave; None where nothing can be read.
        books: Where each send is written down.
    """

    dialect: Dialect
    ledger: Ledger
    memory: DoorMemory
    origin: str
    label: str
    profile: str | None = None
    guards: GuardFiles | None = None
    books: Books = field(default_factory=NoBooks)

    async def submit(self, submission: Submission) -> JobRef:
        """Make sure that the job of this key is at the facility, and that there is one.

        Raises:
            SpecChanged: if the key was used for another spec.
            SubmitUncertain: if a request was sent and its fate cannot be settled.
            IriError: if the facility certainly did not take the job.
        """
        key = submission.key
        with telemetry.submission(self.label, key, submission.resource_id) as ending:
            ref = await self._submit(submission)
            ending.job = ref.job_id
        log.debug("%s is %s", key, ref.describe(), extra=about(facility=self.label, ref=ref))
        return ref

    async def _submit(self, submission: Submission) -> JobRef:
        owner, key = claim_owner(), submission.key
        while True:
            run = _Run(self, submission, owner)
            async with claimed(self.ledger, key, owner, run.accepted_before, self.label) as known:
                ref = known or await run.recorded_or_driven()
            if ref is not None:
                return ref
            log.info("another process took over %s; reading what it wrote", key, extra=self.about(key))

    def about(self, key: JobKey, error: IriError | None = None) -> dict[str, str]:
        """The fields of a log line."""
        return about(facility=self.label, key=key, error=error)

    def request(self, submission: Submission) -> WireRequest:
        """What would be sent first, without the credential."""
        return self.dialect.jobs.submit_request(*_asked(submission, keyed=self.facts.keyed))

    @property
    def facts(self) -> DoorFacts:
        """What this door can do for a submission."""
        return DoorFacts(self.dialect.grades.settle, self.memory.keeps_keys, self.memory.honours_keys)


class _Run:
    """One submission on its way."""

    def __init__(self, submitter: Submitter, submission: Submission, owner: str) -> None:
        self._submitter = submitter
        self._submission = submission
        self._key = submission.key
        self._owner = owner
        self._begun = time.time()
        self._record: LedgerRecord | None = None
        self._error: IriError | None = None  # of the last send
        self._sight = Sighting(submitter.dialect, submission, submitter.guards, submitter.label)

    async def accepted_before(self) -> JobRef | None:
        """The job, if the ledger has it."""
        record = await self._read()
        if record is None:
            return None
        self._check_spec(record)
        if not record.stage.has_job:
            return None
        ref = JobRef.parse(record.ref)
        if ref.job_id is None:
            raise Conflict(
                f"{self._key} was canceled while it was not known whether the facility had taken the job; "
                "ask for its next generation",
                facility=self._submitter.label,
            )
        log.info("%s was submitted before: %s", self._key, ref, extra=about(ref=ref))
        return ref

    async def recorded_or_driven(self) -> JobRef | None:
        """The job, asked for if need be; None if the claim was lost before anything more was sent."""
        known = await self.accepted_before()
        if known is not None:
            return known
        program = asking.asking(self._known())
        reply: Any = None
        while True:
            try:
                effect = program.send(reply)
            except StopIteration as end:
                return self._conclude(end.value)
            reply = await self._perform(effect)

    async def _read(self) -> LedgerRecord | None:
        """What is on record of this generation."""
        record = await self._submitter.ledger.read(self._key)
        if record is None or record.generation < self._key.generation:
            return None
        if record.generation > self._key.generation:
            raise UsageError(
                f"generation {record.generation} of {self._key.identity} was asked for already; "
                f"generation {self._key.generation} is in the past",
                facility=self._submitter.label,
            )
        self._record = record
        return record

    def _check_spec(self, record: LedgerRecord) -> None:
        if record.stage in {Stage.INTENT, Stage.REFUSED} or not record.spec_digest:
            return  # nothing ran under this key yet, or nobody knows what did: it was adopted
        then, now = JobRef.parse(record.ref), self._ref()
        same_place = (then.origin, then.dialect, then.resource_id) == (
            now.origin,
            now.dialect,
            now.resource_id,
        )
        if record.spec_digest == self._submission.digest and same_place:
            return
        what = "another job" if same_place else f"a job at {then.profile or then.origin}"
        raise SpecChanged(
            f"the key {self._key} was used for {what} ({record.ref}); "
            "ask for its next generation, or under another identity",
            facility=self._submitter.label,
        )

    def _known(self) -> Known:
        submission = self._submission
        return known_of(
            self._record,
            self._submitter.facts,
            seen_before=submission.seen_before,
            guarded=submission.guarded,
            now=time.time(),
        )

    async def _perform(self, effect: asking.Effect) -> Any:
        match effect:
            case asking.Note():
                return await self._note(effect)
            case asking.Pause():
                await asyncio.sleep(max(effect.seconds, effect.age - self._age()))
            case asking.Send():
                return await self._send(keyed=effect.keyed)
            case asking.Look():
                return await self._look()
            case asking.Snapshot():
                return await self._sight.ids()
        return None

    def _age(self) -> float:
        """Seconds since the request in doubt left, or may have; another host's clock may be ahead."""
        record = self._record
        left = record.written_at if record is not None and record.stage.in_doubt else self._begun
        return max(0.0, time.time() - left)

    async def _send(self, *, keyed: bool) -> Sent:
        try:
            async with self._submitter.books.noted(self._submission) as tell:
                sent = await self._ask(keyed=keyed)
                tell(sent, self._error)
                return sent
        except IriError as error:  # it was not to be sent
            self._error = error
            return Sent(outcome_of_ask(error))

    async def _ask(self, *, keyed: bool) -> Sent:
        dialect, answer = self._submitter.dialect, None
        try:
            answer = await dialect.jobs.submit(*_asked(self._submission, keyed=keyed))
            accepted = await settled(answer, dialect.operations)
        except IriError as error:
            self._error = error
            return Sent(outcome_of_ask(error) if answer is None else outcome_of_wait(error, answer))
        if not keyed and dialect.grades.settle == "native":
            # Proved now: what was not offered may have been the job.
            self._submitter.memory.keeps_keys = False
        if not accepted.replayed:
            telemetry.accepted(self._submitter.label, self._submission.resource_id, accepted.job_id)
        if accepted.replayed is not None:
            self._submitter.memory.honours_keys = True
        return Sent(Outcome.OK, accepted.job_id, accepted.replayed)

    async def _look(self) -> Seen:
        seen = await self._sight.look()
        if seen.job_id is not None:
            fields, label = about(ref=self._ref(seen.job_id)), self._submitter.label
            log.info("%s found at %s as job %s", self._key, label, seen.job_id, extra=fields)
        return seen

    def _conclude(self, verdict: Verdict) -> JobRef | None:
        match verdict.end:
            case End.ACCEPTED if verdict.job_id is not None:
                return self._ref(verdict.job_id)
            case End.TAKEN_OVER:
                return None
            case End.REFUSED if self._error is not None:
                raise self._error
            case End.UNSEEN if self._sight.unseen is not None:
                raise self._sight.unseen
            case _:
                raise self._uncertain(verdict) from self._sight.unseen

    def _uncertain(self, verdict: Verdict) -> SubmitUncertain:
        key, error = self._key, self._error
        cause = error.message if error else "an earlier attempt may have reached the facility"
        seen = f"No job {self._submission.name!r} was seen there"
        if self._sight.unseen is not None:
            seen = f"Its jobs cannot be seen now: {self._sight.unseen.message}"
        elif verdict.candidates:
            ids = ", ".join(sorted(verdict.candidates))
            seen = f"New jobs there that may be it: {ids}; if one is, adopt it under this key"
        return SubmitUncertain(
            f"whether the facility took the job is unknown: {cause}. {seen}. "
            f"Submit again with the same key ({key}) when the facility answers: "
            "a job that appears is adopted, not repeated. If none ever does, ask for the next generation",
            key=key,
            candidates=tuple(sorted(verdict.candidates)),
            facility=self._submitter.label,
            operation=error.operation if error else None,
            request_id=error.request_id if error else None,
            outcome=error.outcome if error else None,
        )

    async def _note(self, note: asking.Note) -> bool:
        submission, error = self._submission, self._error
        told = error is not None and note.stage in {Stage.REFUSED, Stage.UNCERTAIN}
        blank = LedgerRecord(
            identity=self._key.identity,
            generation=self._key.generation,
            stage=note.stage,
            ref=str(self._ref(note.job_id)),
            spec_digest=submission.digest,
            written_at=0.0,
            detail=error.message if error and told else "",
            name=submission.name,
            guarded=submission.guarded,
            wall_time=submission.spec.attributes.duration if submission.spec.attributes else None,
        )
        record = noted(blank, self._record, note, time.time())
        written = await self._submitter.ledger.write(record, self._owner)
        self._record = record if written else self._record
        return written

    def _ref(self, job_id: str | None = None) -> JobRef:
        submitter, guards = self._submitter, self._submitter.guards
        return JobRef(
            origin=submitter.origin,
            dialect=submitter.dialect.name,
            resource_id=self._submission.resource_id,
            key=self._key,
            job_id=job_id,
            directory=guards.known_directory(self._key) if guards and self._submission.guarded else None,
            profile=submitter.profile,
            array=self._submission.array,
            once=f"{'lock' if self._submission.guarded else 'none'}-{submitter.dialect.grades.settle}",
        )


def _asked(submission: Submission, *, keyed: bool) -> tuple[str, Mapping[str, Any], str | None]:
    """What the dialect is asked for: where, what, and under which idempotency key."""
    spec, key = submission.wire_spec(), submission.key
    if submission.guarded:
        guard = Guard(key, submission.guard_root, submission.digest, counted=submission.counted)
        spec = wrap_spec(mounted(spec, guard), guard, container_has_shell=True)
    return submission.resource_id, spec, key.idempotency_key(submission.resource_id) if keyed else None
