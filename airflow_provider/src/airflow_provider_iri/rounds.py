"""Rounds of a task that moves bytes: in a worker while they move, in the triggerer during an outage."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_iri.outages import PATIENCE

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

    from airflow_provider_iri.ends import End
    from airflow_provider_iri.outage_triggers import IriAnswerTrigger
    from iri_common import IriError, Progress

AT_ONCE = 10.0  # seconds for which a worker waits for what a facility does by itself
MOST_IDLE = 5  # rounds in a row in which nothing moves, though whoever was away answers
LONGEST_PAUSE = 600.0  # seconds between two of them


@dataclass(frozen=True, slots=True)
class Rounds:
    """How the rounds of one try went so far.

    Attributes:
        idle: So many in a row, up to the last one, came no further.
        files: That had arrived when it was furthest, those of earlier tries among them.
        size: In bytes, likewise.
    """

    idle: int = 0
    files: int = 0
    size: int = 0

    def after(self, files: int, size: int) -> Rounds:
        """With one more, which came so far."""
        further = files > self.files or size > self.size
        return Rounds(0 if further else self.idle + 1, max(files, self.files), max(size, self.size))

    @property
    def futile(self) -> bool:
        """Whether another one makes no sense."""
        return self.idle >= MOST_IDLE

    @property
    def pause(self) -> float:
        """Seconds before whoever was away is looked at for the first time."""
        return min(LONGEST_PAUSE, PATIENCE * 2**self.idle)


def passes(error: IriError) -> bool:
    """Whether what ended a transfer may pass by itself: then it goes on when it is asked for again."""
    from iri_common import AmbiguousReply, TransientError, WaitTimeout

    return isinstance(error, TransientError | AmbiguousReply | WaitTimeout)


class Turn:
    """One round, in a worker.

    Args:
        operator: Whose; its ``go_on`` is called for the next one.
        context: Of the task.
        event: What the trigger between the rounds told; None for the first one.

    Raises:
        AirflowTaskTimeout: if the time of the try was over before anybody answered again.
    """

    def __init__(self, operator: Any, context: Context, event: Mapping[str, Any] | None = None) -> None:
        self._operator = operator
        self.resumed = event is not None
        self._rounds = Rounds()
        self._files = self._size = 0  # of the transfers of this round that are over
        self._now: Progress | None = None
        if event is None:
            self._deadline = end_of_try(context, operator.execution_timeout)
            return
        self._rounds = Rounds(**event["rounds"])
        self._deadline = event["deadline"]
        _require_answer(event)
        _shorten_alarm(self._deadline)

    @property
    def wait(self) -> float | None:
        """Seconds for what a facility does by itself; then the triggerer waits for it."""
        return AT_ONCE if self._operator.deferrable else None

    @property
    def moved(self) -> tuple[int, int]:
        """Files and bytes that have arrived, those of earlier rounds among them."""
        now = self._now
        return self._files + (now.files_done if now else 0), self._size + (now.bytes_done if now else 0)

    def saw(self, now: Progress) -> None:
        """Take note of how far a transfer is."""
        self._now = now
        if now.finished:
            self._files, self._size = self.moved
            self._now = None

    def wait_out(self, error: IriError, ends: Iterable[End], kept: Mapping[str, Any]) -> None:
        """Defer until who is away answers again, or is done with its work; return if that makes no sense.

        Args:
            error: What ended the round.
            ends: Of its transfers; the last one is where the facility copies by itself.
            kept: What the next round is told, plain JSON.
        """
        log = self._operator.log
        if not self._operator.deferrable or not passes(error):
            return
        rounds = self._rounds.after(*self.moved)
        if rounds.futile:
            log.warning("nothing more has moved in %d rounds, so this try ends", rounds.idle)
            return
        asked = {each.whom: asdict(each) for each in ends if each.whom}
        words = (list(asked.values()), asdict(rounds), self._deadline, dict(kept))
        log.warning("%s; it is waited out in the triggerer, and what has arrived stays", error)
        self._operator.defer(trigger=_trigger(error, words), method_name="go_on")


def end_of_try(context: Context, limit: timedelta | None) -> float | None:
    """When the time of a try is over, in seconds since the epoch; None for never.

    Airflow itself counts anew from each deferral on.
    """
    from airflow_provider_iri.limits import deadline_of

    began = getattr(context["ti"], "start_date", None)  # over deferrals, that of the first worker
    return began.timestamp() + limit.total_seconds() if began and limit else deadline_of(limit)


def _trigger(error: IriError, words: tuple[Any, ...]) -> IriAnswerTrigger:
    from airflow_provider_iri.outage_triggers import IriAnswerTrigger, IriWorkTrigger
    from iri_common import WaitTimeout

    if isinstance(error, WaitTimeout):
        if error.ref is not None:
            return IriWorkTrigger(*words, {"ref": str(error.ref)})
        if error.task is not None:
            return IriWorkTrigger(*words, {"task": asdict(error.task)})
    return IriAnswerTrigger(*words)


def _require_answer(event: Mapping[str, Any]) -> None:
    from airflow.sdk.exceptions import AirflowTaskTimeout

    from airflow_provider_iri.errors import tell_again

    if event.get("trouble") == "WaitTimeout":
        raise AirflowTaskTimeout(event["message"])
    if "trouble" in event:
        tell_again(event["trouble"], event["message"])


def _shorten_alarm(deadline: float | None) -> None:
    """Have what Airflow sets for each worker of a try ring when the time of all of them is over."""
    rings_in = signal.getitimer(signal.ITIMER_REAL)[0]
    if deadline is not None and rings_in:
        signal.setitimer(signal.ITIMER_REAL, min(rings_in, max(0.01, deadline - time.time())))
