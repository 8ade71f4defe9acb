"""Asks for things that are no jobs, each once: the program that submits jobs, before other services."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from iri_common.jobs.claim import claimed
from iri_common.jobs.ledger import claim_owner
from iri_common.model.errors import IriError, SpecChanged, SubmitUncertain, UsageError
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.logfields import about
from iri_common.model.ports import Ledger
from iri_common.model.ref import JobRef
from iri_common.policy import asking
from iri_common.policy.asking import End, Seen, Sent, Verdict, outcome_of_ask
from iri_common.policy.classify import Outcome
from iri_common.policy.onrecord import DoorFacts, known_of, noted

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked for, and how.

    Attributes:
        key: Who asks.
        service: What errors call whoever is asked.
        thing: What errors call that which is asked for.
        dialect: In the reference that the ledger keeps.
        origin: Where the service is.
        target: That it is asked for at, or of.
        name: Under which it is asked for; one in doubt is looked up by the name that it had then.
        digest: Of what is asked for.
        send: Asks, once; gives the id.
        find: The id of what is there under a name; None where nothing can be looked up.
        guarded: What is asked for knows by itself whether it is a double.
        search: Somebody may have asked for it, under this name, with another ledger.
    """

    key: JobKey
    service: str
    thing: str
    dialect: str
    origin: str
    target: str
    name: str
    digest: str
    send: Callable[[], Awaitable[str]]
    find: Callable[[str], Awaitable[str | None]] | None = None
    guarded: bool = False
    search: bool = False


async def asked_once(ledger: Ledger, ask: Ask) -> str:
    """Make sure that what this key asks for is there, and that there is one; gives its id.

    Args:
        ledger: Where intents are kept; not that of jobs.
        ask: What, and how.

    Raises:
        SpecChanged: if the key was used for something else.
        SubmitUncertain: if it was asked for and its fate cannot be settled.
        IriError: if it certainly is not there.
    """
    owner = claim_owner()
    while True:
        asked = _Asked(ledger, ask, owner)
        async with claimed(ledger, ask.key, owner, asked.before, ask.service) as known:
            found = known or await asked.recorded_or_driven()
        if found is not None:
            return found


async def asked_before(ledger: Ledger, ask: Ask) -> str | None:
    """The id, if the ledger has it.

    Raises:
        SpecChanged: if the key was used for something else.
        UsageError: if it was used for a later generation.
    """
    return await _Asked(ledger, ask, "").before()


class _Asked:
    """One ask on its way."""

    def __init__(self, ledger: Ledger, ask: Ask, owner: str) -> None:
        self._ledger, self._ask, self._owner = ledger, ask, owner
        self._door = DoorFacts("none" if ask.find is None else "lookup")
        self._record: LedgerRecord | None = None
        self._error: IriError | None = None  # of the last send
        self._unseen: IriError | None = None  # of the last look

    async def before(self) -> str | None:
        """The id, if the ledger has it."""
        key = self._ask.key
        record = await self._ledger.read(key)
        if record is None or record.generation < key.generation:
            return None
        if record.generation > key.generation:
            raise UsageError(
                f"generation {record.generation} of {key.identity} was asked for already; "
                f"generation {key.generation} is in the past",
                facility=self._ask.service,
            )
        self._record = record
        then = JobRef.parse(record.ref)
        if record.stage not in {Stage.INTENT, Stage.REFUSED}:
            self._check(record, then)
        return then.job_id if record.stage.has_job else None

    async def recorded_or_driven(self) -> str | None:
        """The id, asked for if need be; None if the claim was lost before anything more was sent."""
        known = await self.before()
        if known is None and self._record is None and self._ask.search:
            known = await self._from_elsewhere()
        if known is not None:
            return known
        facts = known_of(
            self._record, self._door, seen_before=False, guarded=self._ask.guarded, now=time.time()
        )
        program = asking.asking(facts)
        reply: Any = None
        while True:
            try:
                effect = program.send(reply)
            except StopIteration as end:
                return self._conclude(end.value)
            reply = await self._perform(effect)

    async def _from_elsewhere(self) -> str | None:
        """What another ledger has on record; nobody can tell whether just the same was asked for there."""
        seen = await self._look()
        if self._unseen is not None and self._unseen.transient:
            raise self._unseen
        if seen.job_id is None:  # none is there, or whoever may ask for one may not look
            return None
        return seen.job_id if await self._note(asking.Note(Stage.ACCEPTED, seen.job_id)) else None

    def _check(self, record: LedgerRecord, then: JobRef) -> None:
        if record.spec_digest == self._ask.digest and then.origin == self._ask.origin:
            return
        raise SpecChanged(
            f"the key {self._ask.key} was used for another {self._ask.thing} ({record.ref}); "
            "ask for its next generation, or under another identity",
            facility=self._ask.service,
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
                pass  # none of these services has only ids to go by
        return None

    def _age(self) -> float:
        """Seconds since the request in doubt left; another host's clock may be ahead."""
        doubt = self._record is not None and self._record.stage.in_doubt
        return max(0.0, time.time() - (self._record.written_at if self._record and doubt else 0.0))

    async def _send(self) -> Sent:
        try:
            return Sent(Outcome.OK, await self._ask.send())
        except IriError as error:
            self._error = error
            return Sent(outcome_of_ask(error))

    async def _look(self) -> Seen:
        self._unseen = None
        if self._ask.find is None:
            return Seen(offered=False)
        try:
            found = await self._ask.find(self._name)
        except IriError as error:
            self._unseen = error
            return Seen(failure=outcome_of_ask(error))
        if found is not None:
            fields = about(facility=self._ask.service, key=self._ask.key)
            what = (self._ask.key, self._ask.service, self._ask.thing, found)
            log.info("%s found at %s as %s %s", *what, extra=fields)
        return Seen(found)

    @property
    def _name(self) -> str:
        """Under which name it was asked for, or will be."""
        record = self._record
        return record.name if record is not None and record.stage.in_doubt else self._ask.name

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
        key, thing, error = self._ask.key, self._ask.thing, self._error
        cause = error.message if error else "an earlier attempt may have reached it"
        return SubmitUncertain(
            f"whether {self._ask.service} began the {thing} is unknown: {cause}; {self._seen}. "
            f"{self._way_out}ask for the next generation",
            key=key,
            facility=self._ask.service,
            operation=error.operation if error else None,
            request_id=error.request_id if error else None,
            outcome=error.outcome if error else None,
        )

    @property
    def _seen(self) -> str:
        thing = self._ask.thing
        if self._ask.find is None:
            return f"it has no list in which a {thing} could be found"
        if self._unseen is not None:
            return f"its {thing}s cannot be seen now: {self._unseen.message}"
        return f"no {thing} {self._name!r} was seen there"

    @property
    def _way_out(self) -> str:
        again = f"Start it again with the same key ({self._ask.key}) later: "
        if self._ask.guarded:
            return f"{again}of two, only the first does the work. If it is certain that there is none, "
        if self._ask.find is None:
            return f"Nothing is sent again by itself. If a second {self._ask.thing} does no harm, "
        return f"{again}a {self._ask.thing} that appears is adopted, not repeated. If none ever does, "

    async def _note(self, note: asking.Note) -> bool:
        ask = self._ask
        told = self._error is not None and note.stage in {Stage.REFUSED, Stage.UNCERTAIN}
        ref = JobRef(ask.origin, ask.dialect, ask.target, ask.key, note.job_id)
        blank = LedgerRecord(
            identity=ask.key.identity,
            generation=ask.key.generation,
            stage=note.stage,
            ref=str(ref),
            spec_digest=ask.digest,
            written_at=0.0,
            detail=self._error.message if self._error and told else "",
            name=self._name,
            guarded=ask.guarded,
        )
        record = noted(blank, self._record, note, time.time())
        written = await self._ledger.write(record, self._owner)
        self._record = record if written else self._record
        return written
