"""Starts runs of flows, each once: the program that submits jobs, before a service that knows no key."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from dataclasses import dataclass
from typing import Any

from iri_common.jobs.claim import claimed
from iri_common.jobs.ledger import claim_owner
from iri_common.jobs.submit import outcome_of_ask
from iri_common.model.errors import IriError, SpecChanged, SubmitUncertain, UsageError
from iri_common.model.flows import FlowsApi, RunRequest
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.logfields import about
from iri_common.model.ports import Ledger
from iri_common.model.ref import JobRef
from iri_common.policy import asking
from iri_common.policy.asking import End, Seen, Sent, Verdict
from iri_common.policy.classify import Outcome
from iri_common.policy.onrecord import DoorFacts, known_of, noted

log = logging.getLogger(__name__)

LABEL = "Globus Flows"
_DIALECT = "globus-flows"
_DOOR = DoorFacts("lookup")  # by the label: nothing that a run does could tell whether it is a double


@dataclass(frozen=True, slots=True)
class RunStarter:
    """Starts runs as one identity.

    Attributes:
        flows: The service.
        ledger: Where intents are kept; not that of jobs.
    """

    flows: FlowsApi
    ledger: Ledger

    async def start(self, key: JobKey, request: RunRequest) -> str:
        """Make sure that the run of this key is there, and that there is one; gives its id.

        Raises:
            SpecChanged: if the key was used for another flow or another input.
            SubmitUncertain: if it was asked for and its fate cannot be settled.
            IriError: if it certainly does not run.
        """
        origin = (await self.flows.origin()).value
        owner = claim_owner()
        while True:
            ask = _Ask(self, key, request, origin, owner)
            async with claimed(self.ledger, key, owner, ask.started_before, LABEL) as known:
                run_id = known or await ask.recorded_or_driven()
            if run_id is not None:
                return run_id


class _Ask:
    """One run on its way."""

    def __init__(
        self, starter: RunStarter, key: JobKey, request: RunRequest, origin: str, owner: str
    ) -> None:
        self._flows, self._ledger = starter.flows, starter.ledger
        self._key, self._request, self._origin, self._owner = key, request, origin, owner
        self._record: LedgerRecord | None = None
        self._error: IriError | None = None  # of the last send
        self._unseen: IriError | None = None  # of the last look

    async def started_before(self) -> str | None:
        """The run, if the ledger has it."""
        record = await self._ledger.read(self._key)
        if record is None or record.generation < self._key.generation:
            return None
        if record.generation > self._key.generation:
            raise UsageError(
                f"generation {record.generation} of {self._key.identity} was asked for already; "
                f"generation {self._key.generation} is in the past",
                facility=LABEL,
            )
        self._record = record
        then = JobRef.parse(record.ref)
        if record.stage not in {Stage.INTENT, Stage.REFUSED}:
            self._check(record, then)
        return then.job_id if record.stage.has_job else None

    async def recorded_or_driven(self) -> str | None:
        """The run, asked for if need be; None if the claim was lost before anything more was sent."""
        known = await self.started_before()
        if known is not None:
            return known
        facts = known_of(self._record, _DOOR, seen_before=False, guarded=False, now=time.time())
        program = asking.asking(facts)
        reply: Any = None
        while True:
            try:
                effect = program.send(reply)
            except StopIteration as end:
                return self._conclude(end.value)
            reply = await self._perform(effect)

    def _check(self, record: LedgerRecord, then: JobRef) -> None:
        if record.spec_digest == self._digest and then.origin == self._origin:
            return
        raise SpecChanged(
            f"the key {self._key} was used for another run ({record.ref}); "
            "ask for its next generation, or under another identity",
            facility=LABEL,
        )

    async def _perform(self, effect: asking.Effect) -> Any:
        match effect:
            case asking.Note():
                return await self._note(effect)
            case asking.Pause():
                await asyncio.sleep(max(effect.seconds, effect.age - self._age()))
            case asking.Send():
                return await self._send()
            case asking.Look():
                return await self._look()
            case asking.Snapshot():
                pass  # there are labels to go by
        return None

    def _age(self) -> float:
        """Seconds since the request in doubt left; another host's clock may be ahead."""
        doubt = self._record is not None and self._record.stage.in_doubt
        return max(0.0, time.time() - (self._record.written_at if self._record and doubt else 0.0))

    async def _send(self) -> Sent:
        try:
            return Sent(Outcome.OK, (await self._flows.start(self._request)).value)
        except IriError as error:
            self._error = error
            return Sent(outcome_of_ask(error))

    async def _look(self) -> Seen:
        self._unseen = None
        try:
            found = (await self._flows.find(self._request.flow_id, self._label)).value
        except IriError as error:
            self._unseen = error
            return Seen(failure=outcome_of_ask(error))
        if not found:
            return Seen()
        fields = about(facility=LABEL, key=self._key)
        log.info("%s found at %s as run %s", self._key, LABEL, found[-1].run_id, extra=fields)
        return Seen(found[-1].run_id)

    @property
    def _label(self) -> str:
        """Under which label it was asked for, or will be."""
        record = self._record
        return record.name if record is not None and record.stage.in_doubt else self._request.label

    @property
    def _digest(self) -> str:
        body = json.dumps([self._request.flow_id, self._request.body], sort_keys=True)
        return hashlib.sha256(body.encode()).hexdigest()

    def _conclude(self, verdict: Verdict) -> str | None:
        match verdict.end:
            case End.ACCEPTED if verdict.job_id is not None:
                return verdict.job_id
            case End.TAKEN_OVER:
                return None
            case End.REFUSED if self._error is not None:
                raise self._error
            case End.UNSEEN if self._unseen is not None:
                raise self._unseen
            case _:
                raise self._uncertain() from self._unseen

    def _uncertain(self) -> SubmitUncertain:
        key, error = self._key, self._error
        cause = error.message if error else "an earlier attempt may have reached it"
        seen = f"no run {self._label!r} was seen there"
        if self._unseen is not None:
            seen = f"its runs cannot be seen now: {self._unseen.message}"
        return SubmitUncertain(
            f"whether {LABEL} began the run is unknown: {cause}; {seen}. Start it again with the same key "
            f"({key}) later: a run that appears is adopted, not repeated. If none ever does, ask for the "
            "next generation",
            key=key,
            facility=LABEL,
            operation=error.operation if error else None,
            request_id=error.request_id if error else None,
            outcome=error.outcome if error else None,
        )

    async def _note(self, note: asking.Note) -> bool:
        told = self._error is not None and note.stage in {Stage.REFUSED, Stage.UNCERTAIN}
        ref = JobRef(self._origin, _DIALECT, self._request.flow_id, self._key, note.job_id)
        blank = LedgerRecord(
            identity=self._key.identity,
            generation=self._key.generation,
            stage=note.stage,
            ref=str(ref),
            spec_digest=self._digest,
            written_at=0.0,
            detail=self._error.message if self._error and told else "",
            name=self._label,
        )
        record = noted(blank, self._record, note, time.time())
        written = await self._ledger.write(record, self._owner)
        self._record = record if written else self._record
        return written
