"""Fault orders: what can be ordered, and which requests and jobs an order is meant for. Nothing acts here."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar, Literal, TypedDict, get_args

ReplyKind = Literal[
    "lose_reply",
    "reset",
    "cut",
    "slow_body",
    "delay",
    "hang",
    "status",
    "garble",
    "adapter_error",
    "empty_list",
    "crash",
]
SightKind = Literal["missing", "late", "unknown_state", "stale", "skew", "unregistered"]
JobKind = Literal["node_death", "out_of_memory", "preempt", "requeue", "hold"]
TransferKind = Literal["transfer_stuck", "transfer_inactive", "transfer_fails", "transfer_slow"]
PathKind = Literal["path_fails", "path_unstable", "path_unclean", "path_slow"]
LastingKind = Literal["refuse_tokens", "no_space"]
Kind = Literal[ReplyKind, SightKind, JobKind, TransferKind, PathKind, LastingKind, "maintenance"]
When = Literal["before", "after"]
Body = Literal["problem", "html", "plain", "truncated", "empty"]
Api = Literal["open", "unavailable", "refuse"]

REPLY_KINDS: frozenset[str] = frozenset(get_args(ReplyKind))
SIGHT_KINDS: frozenset[str] = frozenset(get_args(SightKind))
JOB_KINDS: frozenset[str] = frozenset(get_args(JobKind))
TRANSFER_KINDS: frozenset[str] = frozenset(get_args(TransferKind))
PATH_KINDS: frozenset[str] = frozenset(get_args(PathKind))

# These describe a time, not a stroke: they go on until they are cleared, unless they say otherwise.
_LASTING = SIGHT_KINDS | {*get_args(LastingKind), "maintenance"}
_NEED_SECONDS = {
    "delay",
    "late",
    "stale",
    "skew",
    "unregistered",
    "transfer_slow",
    "path_unclean",
    "path_slow",
}
_AT_A_COMMAND = {"node_death", "out_of_memory", "requeue"}
# Nothing hangs for longer, whatever was ordered.
LONGEST = 120.0


class Options(TypedDict, total=False):
    """What an order may say beside its kind and its operations.

    Attributes:
        user: Strikes only requests with this user's token, or only this user's jobs.
        job: Strikes only what concerns the job of this id or name, or the transfer of this id or label,
            or the network path of this id or alias.
        resource: Strikes only requests about the resource of this id or name; for maintenance, which one.
        times: How often it strikes; ``None`` until cleared. Once is the default, but orders on what is seen
            of jobs, on tokens and maintenance go on until cleared.
        skip: Lets that many chances pass first.
        chance: How likely each chance is taken, drawn from ``seed``: the same seed, the same strikes.
        lasts: Seconds after which the order is over.
        when: Before or after acting (``status``, ``delay``, ``hang``, ``crash``), or before or after the
            command runs (with ``command``).
        seconds: How long (``delay``, ``slow_body``, ``hang``), how late (``late``, ``unregistered``), how
            old (``stale``), how far off (``skew``), how long after the job's start (``node_death``,
            ``out_of_memory``, ``requeue``), the time between SIGTERM and SIGKILL (``preempt``), before
            each file of a transfer (``transfer_slow``), for each phase of a path (``path_slow``), or until
            its sites are clean (``path_unclean``).
        status: The status of the reply.
        body: What the reply holds: a problem document, a gateway's HTML page, plain text, the true reply cut
            off in mid-JSON, or nothing.
        retry_after: The ``Retry-After`` of the reply.
        word: The state that is shown in place of the true one.
        code: What a transfer is stuck on or fails of, in Globus' words.
        command: Strikes when the job runs this program (found in ``PATH``) for the ``nth`` time.
        node: Strikes the jobs on this node.
        requeue: Whether the job goes back to the queue or fails.
        starts_in: Seconds until announced maintenance begins; it takes ``seconds``, or until cleared.
        api: During maintenance, whether the API works, answers 503, or refuses submissions only.
    """

    user: str | None
    job: str | None
    resource: str | None
    times: int | None
    skip: int
    chance: float
    seed: int
    lasts: float | None
    when: When
    seconds: float | None
    status: int | None
    body: Body | None
    retry_after: str | int | None
    word: str
    code: str
    command: str | None
    nth: int
    node: str | None
    requeue: bool
    starts_in: float
    api: Api


@dataclass(frozen=True)
class Order:
    """One order; `Options` says what each field means."""

    # An order with a misspelt field must not strike everything.
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: Kind
    operations: str | list[str] = "*"
    user: str | None = None
    job: str | None = None
    resource: str | None = None
    times: int | Literal["by kind"] | None = "by kind"
    skip: int = 0
    chance: float = 1.0
    seed: int = 0
    lasts: float | None = None
    when: When = "before"
    seconds: float | None = None
    status: int | None = None
    body: Body | None = None
    retry_after: str | int | None = None
    word: str = "SUSPENDED"
    code: str = "ENDPOINT_ERROR"
    command: str | None = None
    nth: int = 1
    node: str | None = None
    requeue: bool = False
    starts_in: float = 0.0
    api: Api = "open"

    def __post_init__(self) -> None:
        """Refuse what could not strike as it is meant."""
        if self.times == "by kind":
            object.__setattr__(self, "times", None if self.kind in _LASTING else 1)
        if self.kind in _NEED_SECONDS and self.seconds is None:
            raise ValueError(f"{self.kind} needs seconds")
        if self.kind in REPLY_KINDS and not 0 <= (self.seconds or 0) <= LONGEST:
            raise ValueError(f"{self.kind} takes from 0 to {LONGEST:.0f} seconds")
        if self.kind == "status" and not 200 <= (self.status or 0) <= 599:
            raise ValueError("status needs a status from 200 to 599")
        if self.kind == "status" and self.body == "truncated" and self.when == "before":
            raise ValueError("a reply can be truncated only after acting")
        if self.command is not None and (self.kind not in _AT_A_COMMAND or "/" in self.command):
            raise ValueError(f"{self.kind} does not strike at the command {self.command}")
        if self.kind == "maintenance" and self.lasts is not None:
            raise ValueError("maintenance takes seconds, from its start")
        if self.nth < 1 or self.skip < 0 or not 0 <= self.chance <= 1:
            raise ValueError("nth counts from 1, skip from 0, chance goes from 0 to 1")

    @property
    def limit(self) -> int | None:
        """How often it may strike."""
        return None if isinstance(self.times, str) else self.times

    def is_for(self, operation: str | None, user: str | None) -> bool:
        """Whether the order names this sort of request and this user."""
        names = [self.operations] if isinstance(self.operations, str) else self.operations
        return ("*" in names or operation in names) and self.user in (None, user)

    def is_for_job(self, job_id: str | None, name: str | None = None) -> bool:
        """Whether a job is the one that the order names."""
        return self.job in (None, job_id, name)

    def chosen(self, chance_number: int) -> bool:
        """Whether the n-th chance (from 0) is taken; of the same order always the same ones are."""
        if chance_number < self.skip:
            return False
        # A generator a chance, not one an order: a facility that restarts goes on where it was.
        return self.chance >= 1 or random.Random(f"{self.seed}/{chance_number}").random() < self.chance
