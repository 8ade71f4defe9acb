"""May this request be made again, and when: a table over outcome and replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from iri_common.policy.classify import Outcome


class Replay(StrEnum):
    """What making a request twice does."""

    SAFE = "safe"  # a look, or an act that ends in the same place however often it is done
    ONCE = "once"  # every arrival has an effect of its own


class Action(StrEnum):
    """What to do after an outcome."""

    STOP = "stop"
    AGAIN = "again"
    RENEW = "renew"  # fetch another token, then once more


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a request is.

    Attributes:
        attempts: The most sends of one request; a renewed token gives it one more.
        total: Seconds after which no further attempt begins.
        first_delay: Seconds before the second attempt; doubled for each further one.
        longest_delay: Seconds; also what a larger ``Retry-After`` must not exceed to be waited for.
    """

    attempts: int = 5
    total: float = 60.0
    first_delay: float = 0.5
    longest_delay: float = 15.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, after ``delay`` seconds."""

    action: Action
    delay: float = 0.0


STOP = Decision(Action.STOP)

# Rows: what happened. Columns: a request that may be repeated, one that must arrive once.
# A once-only request is made again only after outcomes that certainly had no effect and pass by themselves.
TABLE: Mapping[Outcome, Mapping[Replay, Action]] = {
    Outcome.OK: {Replay.SAFE: Action.STOP, Replay.ONCE: Action.STOP},
    Outcome.NOT_SENT: {Replay.SAFE: Action.AGAIN, Replay.ONCE: Action.AGAIN},
    Outcome.LOST: {Replay.SAFE: Action.AGAIN, Replay.ONCE: Action.STOP},
    Outcome.BAD_TOKEN: {Replay.SAFE: Action.RENEW, Replay.ONCE: Action.RENEW},
    Outcome.FORBIDDEN: {Replay.SAFE: Action.STOP, Replay.ONCE: Action.STOP},
    Outcome.NOT_FOUND: {Replay.SAFE: Action.STOP, Replay.ONCE: Action.STOP},
    Outcome.INVALID: {Replay.SAFE: Action.STOP, Replay.ONCE: Action.STOP},
    Outcome.CONFLICT: {Replay.SAFE: Action.STOP, Replay.ONCE: Action.STOP},
    Outcome.KEY_USED: {Replay.SAFE: Action.STOP, Replay.ONCE: Action.STOP},
    Outcome.TOO_LARGE: {Replay.SAFE: Action.STOP, Replay.ONCE: Action.STOP},
    Outcome.RATE_LIMITED: {Replay.SAFE: Action.AGAIN, Replay.ONCE: Action.AGAIN},
    Outcome.BROKEN: {Replay.SAFE: Action.AGAIN, Replay.ONCE: Action.STOP},
    Outcome.AWAY: {Replay.SAFE: Action.AGAIN, Replay.ONCE: Action.STOP},
    Outcome.NOT_OFFERED: {Replay.SAFE: Action.STOP, Replay.ONCE: Action.STOP},
    Outcome.UNREADABLE: {Replay.SAFE: Action.AGAIN, Replay.ONCE: Action.STOP},
    Outcome.TOO_LONG: {Replay.SAFE: Action.STOP, Replay.ONCE: Action.STOP},
}


def decide(
    outcome: Outcome,
    replay: Replay,
    *,
    attempt: int,
    elapsed: float,
    chance: float,
    renewed: bool = False,
    retry_after: float | None = None,
    limits: Limits = Limits(),
) -> Decision:
    """Decide what follows the ``attempt``-th send (1 for the first).

    Args:
        outcome: Of that send.
        replay: What a second arrival would do.
        attempt: How many sends were made.
        elapsed: Seconds since the first one.
        chance: A random number in [0, 1) for the jitter.
        renewed: Whether the token was renewed already for this request.
        retry_after: Seconds the facility asked for.
        limits: How patient to be.
    """
    action = TABLE[outcome][replay]
    if action is Action.RENEW:
        return STOP if renewed else Decision(Action.RENEW)
    if action is Action.STOP or attempt >= limits.attempts:
        return STOP
    delay = backoff(attempt, chance, limits)
    if retry_after is not None:
        if retry_after > limits.longest_delay:
            return STOP
        delay = max(delay, retry_after)
    return STOP if elapsed + delay > limits.total else Decision(Action.AGAIN, delay)


def backoff(attempt: int, chance: float, limits: Limits) -> float:
    """Seconds before the next attempt: doubled each time, capped, and spread over its upper half."""
    full = min(limits.longest_delay, limits.first_delay * 2 ** min(attempt - 1, 32))
    return full * (0.5 + chance / 2)
