"""The gate before a dialect: a grant is kept here, and what goes through is written down."""

from __future__ import annotations

import asyncio
import functools
import inspect
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from iri_common.jobs.audit import AuditLog, Tell
from iri_common.model.compute import ComputeApi
from iri_common.model.dataports import BehalfApi, FilesApi, PartsApi, RangesApi
from iri_common.model.errors import AmbiguousReply, GrantExceeded, IriError
from iri_common.model.facility import Resource
from iri_common.model.flows import FlowsApi
from iri_common.model.grant import Audit, Grant, Verb
from iri_common.model.key import JobKey
from iri_common.model.networkports import NetworksApi
from iri_common.model.outcome import Answer, Pending
from iri_common.model.ports import AttachApi, JobsApi
from iri_common.model.reservationports import ReservationsApi
from iri_common.model.streamports import StreamingApi
from iri_common.model.submission import Submission
from iri_common.policy.asking import Sent
from iri_common.policy.classify import Outcome
from iri_common.policy.grants import Ask, Refusal, refusal
from iri_common.policy.operations import OPERATIONS, ask_of, confided, job_ask, job_paths
from iri_common.policy.spending import Fate, fate_of_send, masked

PORTS: Mapping[str, type[Any]] = {
    "jobs": JobsApi,
    "files": FilesApi,
    "parts": PartsApi,
    "ranges": RangesApi,
    "networks": NetworksApi,
    "streaming": StreamingApi,
    "reservations": ReservationsApi,
    "attaching": AttachApi,
    "behalf": BehalfApi,
    "flows": FlowsApi,
    "compute": ComputeApi,
}
"""The ports that stand behind the gate; the others of a dialect only look, at what is public or one's own."""

MOST_PATHS = 8  # in a line
MOST_WORDS = 500  # letters of a reason
_BEGINNING = {Verb.SUBMIT, Verb.WRITE, Verb.LEASE}  # of something that has an id from then on

_asker: ContextVar[str] = ContextVar("asker", default="")
_carrying: ContextVar[bool] = ContextVar("carrying", default=False)


def speak_for(key: JobKey | str) -> None:
    """From here on, what this task asks for is asked for under a key."""
    _asker.set(str(key))


Names = Callable[[str], Awaitable[Sequence[str]]]
"""Tells what else a resource is called, by its id."""


async def nowhere_else(resource_id: str) -> Sequence[str]:
    """It has no other name."""
    return ()


@dataclass(frozen=True, slots=True)
class Gate:
    """What one profile may be used for, and the log of what it was used for.

    Attributes:
        grant: The limits.
        audit: What is written down.
        whose: What every line says of the door: ``profile``, ``facility``, ``origin``, ``principal``.
        names: What else a resource is called, by its id.
        log: Where it is written.
    """

    grant: Grant = field(default_factory=Grant)
    audit: Audit = Audit.OFF
    whose: Mapping[str, Any] = field(default_factory=dict[str, Any])
    names: Names = nowhere_else
    log: AuditLog = field(default_factory=AuditLog)

    # -- jobs

    async def admit_job(self, submission: Submission, where: Resource) -> None:
        """Refuse what no send could pass; the hours of a day are counted when it is sent.

        Raises:
            GrantExceeded: saying what would be allowed.
        """
        ask = _ask_of_job(submission, (where.id, where.name or where.id))
        await self._require(ask, refusal(self.grant, ask), submission.key, {"spec": _facts(submission)})

    @asynccontextmanager
    async def noted(self, submission: Submission) -> AsyncGenerator[Tell]:
        """One send of a job; its hours are taken before, and given back if it came to nothing.

        Raises:
            GrantExceeded: if the hours of the day are spent.
            IriError: if they cannot be counted.
        """
        ask = _ask_of_job(submission, (submission.resource_id,))
        # With another ledger one key may be asked for at several machines, and each has its job then.
        tag = f"{submission.key.tag} {self.whose.get('origin', '')}/{submission.resource_id}"
        facts = {"tag": tag, "spec": _facts(submission)}
        entry = self._entry(ask, submission.key, facts)
        if self.grant.node_hours_a_day is not None:
            entry |= await self._reserved(entry, ask, submission.key)
        else:
            await self._add(entry)
        fate, told = Fate.UNCERTAIN, dict[str, Any]()

        def tell(sent: Sent, error: IriError | None) -> None:
            nonlocal fate
            fate = fate_of_send(sent)
            if sent.job_id is not None:
                told["job"] = sent.job_id
            if error is not None and sent.outcome is not Outcome.OK:
                told["why"] = masked(str(error), submission.spec.sent())[:MOST_WORDS]

        try:
            yield tell
        finally:
            kept = {word: entry[word] for word in ("grant", "tag", "hours") if word in entry}
            await self._add({"act": entry["act"], "fate": fate, **kept, **told})

    async def spent_today(self) -> float:
        """Node hours that were asked for within a day, where those are limited; else nobody counts them.

        Raises:
            IriError: if they cannot be counted.
        """
        if self.grant.node_hours_a_day is None:
            return 0.0
        return await asyncio.to_thread(self.log.spent, self._holder)

    @property
    def _holder(self) -> str:
        """Whose grant it is."""
        return str(self.whose.get("profile") or self.whose.get("facility", ""))

    async def _reserved(self, entry: Mapping[str, Any], ask: Ask, key: JobKey) -> Mapping[str, Any]:
        hours = ask.job.hours or 0.0 if ask.job is not None else 0.0
        budget = {"grant": self._holder, "hours": hours}

        def judge(spent: float) -> Refusal | None:
            return refusal(replace(self.grant, resources=None), ask, spent)

        refused = await asyncio.to_thread(self.log.reserve, {**entry, **budget}, judge)
        await self._require(ask, refused, key, {"spec": entry["spec"]})
        return budget

    # -- everything else

    async def admit(self, ask: Ask, facts: Mapping[str, Any] | None = None) -> None:
        """Let something pass, or refuse it.

        Args:
            ask: What.
            facts: For the line that says so.

        Raises:
            GrantExceeded: saying what would be allowed.
        """
        await self._require(ask, await self._refusal(ask), facts=facts)

    async def lets(self, ask: Ask) -> bool:
        """Whether something would pass that nobody asked for; nothing is written down of that."""
        return await self._refusal(ask) is None

    async def _refusal(self, ask: Ask) -> Refusal | None:
        """Why it is not allowed. What else its resources are called is looked up only if that decides it."""
        refused = refusal(replace(self.grant, resources=None), ask)
        if refused is not None or self.grant.resources is None:
            return refused
        beside = [await self._named(each) for each in ask.beside]
        whole = replace(ask, resource=await self._named(ask.resource), beside=tuple(beside))
        return refusal(self.grant, whole)

    @asynccontextmanager
    async def act(
        self,
        ask: Ask,
        told: dict[str, Any],
        facts: Mapping[str, Any] | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[None]:
        """Something that is done: admitted, and written down before and after.

        Args:
            ask: What.
            told: For the line that says what came of it; may be filled meanwhile.
            facts: For the one before.
            spec: Whose arguments and environment are not written, also if the facility repeats them.

        Raises:
            GrantExceeded: if it is not allowed.
        """
        await self.admit(ask, facts)
        if not self._writes_down(ask.verb):
            yield
            return
        entry, fate = self._entry(ask, facts=facts), Fate.UNCERTAIN
        await self._add(entry)
        try:
            yield
            fate = Fate.DONE
        except IriError as error:
            fate = Fate.UNCERTAIN if isinstance(error, AmbiguousReply) else Fate.REFUSED
            told["why"] = masked(str(error), spec or {})[:MOST_WORDS]
            raise
        finally:
            await self._add({"act": entry["act"], "fate": fate, **told})

    @asynccontextmanager
    async def transfer(
        self, verb: Verb, resource: str, paths: Sequence[str], top: str, told: dict[str, Any]
    ) -> AsyncGenerator[None]:
        """Files that are carried over whatever road: admitted one by one, written down as one act.

        Args:
            verb: READ or WRITE.
            resource: The file system.
            paths: All of them.
            top: What they are written down as.
            told: As in :meth:`act`.
        """
        ask = Ask(verb, "transfer", (resource,), tuple(paths))
        await self.admit(ask)
        async with self.act(replace(ask, paths=(top,)), told):
            outer = _carrying.set(True)
            try:
                yield
            finally:
                _carrying.reset(outer)

    async def _named(self, resource: tuple[str, ...]) -> tuple[str, ...]:
        return (*resource, *await self.names(resource[0])) if resource else ()

    def port(self, name: str, api: Any) -> Any:
        """A port behind the gate; None if there is none."""
        return None if api is None else _Port(name, api, self)

    def _writes_down(self, verb: Verb) -> bool:
        if self.audit is Audit.ACTS:
            return verb not in {Verb.LOOK, Verb.READ} and not _carrying.get()
        return self.audit is Audit.ALL

    async def _require(
        self,
        ask: Ask,
        refused: Refusal | None,
        key: JobKey | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        if refused is None:
            return
        if self.audit is not Audit.OFF:
            why = {"fate": Fate.DENIED, "why": str(refused)[:MOST_WORDS]}
            await asyncio.to_thread(self.log.add, self._entry(ask, key, facts) | why)
        raise GrantExceeded(
            f"the grant of {self._holder} does not allow {refused.asked}; allowed: {refused.allowed}. "
            "It was not sent; whoever wrote the profile can change its grant",
            profile=self._holder,
            asked=refused.asked,
            allowed=refused.allowed,
            facility=str(self.whose.get("facility", "")),
            outcome=str(Outcome.FORBIDDEN),
        )

    def _entry(
        self, ask: Ask, key: JobKey | None = None, facts: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The first line of an act."""
        more = len(ask.paths) - MOST_PATHS
        entry = {
            "act": secrets.token_hex(6),
            "fate": Fate.ASKED,
            "key": str(key) if key is not None else _asker.get(),
            **self.whose,
            "verb": ask.verb,
            "operation": ask.operation,
            "resource": ask.resource[0] if ask.resource else "",
            "paths": [*ask.paths[:MOST_PATHS], *([f"and {more} more"] if more > 0 else [])],
            **(facts or {}),
        }
        return {name: value for name, value in entry.items() if value not in ("", None, [])}

    async def _add(self, entry: Mapping[str, Any]) -> None:
        if self.audit is not Audit.OFF:
            await asyncio.to_thread(self.log.add, entry)


class _Port:
    """One port behind a gate; an operation that no grant has a word for is refused."""

    def __init__(self, port: str, api: Any, gate: Gate) -> None:
        self._port, self._api, self._gate = port, api, gate

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._api, name)
        if not callable(value):
            return value  # a fact, such as whether parts are brought by a job
        row = OPERATIONS[self._port].get(name)
        if row is None:
            raise AttributeError(f"no grant has a word for the operation {name} of {self._port}")
        if row.verb is None:
            return value
        passing = _reading if (self._port, name) == ("ranges", "read") else _calling
        return functools.partial(passing, self._gate, self._port, name, value)


async def _calling(gate: Gate, port: str, name: str, call: Any, /, *args: Any, **words: Any) -> Any:
    given = _arguments(port, name, args, words)
    ask, job = _ask_of_call(port, name, given), given.get("job_id")
    if (port, name) == ("jobs", "submit"):  # who sends it writes down what came of it
        await gate.admit(ask)
        return await call(*args, **words)
    told = dict[str, Any]()
    async with gate.act(ask, told, {"job": job} if job else None, confided(given)):
        answer: Answer[Any] = await call(*args, **words)
        if isinstance(answer, Pending):
            told["task"] = answer.task_id
        elif ask.verb in _BEGINNING and isinstance(answer.value, str):
            told["task"] = answer.value
        return answer


@asynccontextmanager
async def _reading(
    gate: Gate,
    port: str,
    name: str,
    call: Callable[..., AbstractAsyncContextManager[Any]],
    /,
    *args: Any,
    **words: Any,
) -> AsyncGenerator[Any]:
    ask = _ask_of_call(port, name, _arguments(port, name, args, words))
    async with gate.act(ask, {}), call(*args, **words) as pieces:
        yield pieces


def _arguments(port: str, name: str, args: tuple[Any, ...], words: Mapping[str, Any]) -> Mapping[str, Any]:
    return _signature(port, name).bind(None, *args, **words).arguments


def _ask_of_call(port: str, name: str, given: Mapping[str, Any]) -> Ask:
    ask = ask_of(port, name, given)
    # What a transfer takes away on its way is its own; what it shall take away was admitted before.
    return replace(ask, verb=Verb.WRITE) if ask.verb is Verb.DELETE and _carrying.get() else ask


@functools.cache
def _signature(port: str, name: str) -> inspect.Signature:
    return inspect.signature(getattr(PORTS[port], name))


def _ask_of_job(submission: Submission, names: tuple[str, ...]) -> Ask:
    spec = submission.spec.sent()
    paths = job_paths(spec, root=submission.guard_root or "")
    return Ask(Verb.SUBMIT, "jobs submit", names, tuple(paths), job_ask(spec))


def _facts(submission: Submission) -> dict[str, Any]:
    """What may be told of a job: neither arguments nor environment."""
    spec, attributes, resources = submission.spec, submission.spec.attributes, submission.spec.resources
    facts = {
        "digest": submission.digest[:16],
        "name": spec.name,
        "executable": spec.executable,
        "account": attributes.account if attributes else None,
        "queue": attributes.queue_name if attributes else None,
        "seconds": attributes.duration if attributes else None,
        "array": attributes.array if attributes else None,
        "nodes": resources.node_count if resources else None,
        "processes": resources.process_count if resources else None,
    }
    return {name: value for name, value in facts.items() if value is not None}
