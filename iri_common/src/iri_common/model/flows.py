"""Flows that somebody else runs step by step, Globus: their runs, and what may be asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from iri_common.model.outcome import Done


class RunState(StrEnum):
    """Of a run; INACTIVE waits for somebody and is no end, ENDED is one; UNKNOWN is a new word."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ENDED = "ENDED"
    UNKNOWN = "UNKNOWN"

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self in {RunState.SUCCEEDED, RunState.FAILED, RunState.ENDED}


@dataclass(frozen=True, slots=True)
class FlowRun:
    """A run of a flow as it is now.

    Attributes:
        run_id: Its id.
        flow_id: Of the flow.
        state: In Globus' words.
        label: With the key of who asked at its end.
        code: Why it is as it is, one of Globus' words: FlowSucceeded, FlowCanceled, ConsentRequired, ….
        words: The same for people.
        output: The data of the flow at the end of a run that succeeded.
        wants: The consents, or what of a login, that it waits for.
        remedy: What a person does about those; "" for nothing.
    """

    run_id: str
    flow_id: str
    state: RunState
    label: str = ""
    code: str = ""
    words: str = ""
    output: Any = None
    wants: Sequence[str] = ()
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """A line of a run's log."""

    time: str
    code: str
    words: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is asked of a flow.

    Attributes:
        flow_id: Which.
        body: Its input, plain JSON.
        label: The run is found by it: it ends with the key of who asks.
        tags: For people.
    """

    flow_id: str
    body: Mapping[str, Any]
    label: str
    tags: Sequence[str] = ()


class FlowsApi(Protocol):
    """Runs of flows of one identity; a method makes one request, as those of the other ports do."""

    async def origin(self) -> Done[str]:
        """Where the service is: ``host[:port]``."""
        ...

    async def start(self, request: RunRequest) -> Done[str]:
        """Start a run; gives its id. Every arrival is another run: there is no key that the service knows."""
        ...

    async def find(self, flow_id: str, label: str) -> Done[Sequence[FlowRun]]:
        """The runs of mine with this label, newest first."""
        ...

    async def runs(self, run_ids: Sequence[str]) -> Done[Mapping[str, FlowRun]]:
        """Several runs at once; those that this identity does not see are missing."""
        ...

    async def log(self, run_id: str, limit: int) -> Done[Sequence[RunEvent]]:
        """The newest lines of its log, oldest of them first; at most 100."""
        ...

    async def resume(self, run: FlowRun) -> Done[None]:
        """Have a run that is INACTIVE go on, with the consents that the credential can have by itself."""
        ...

    async def cancel(self, run_id: str) -> Done[None]:
        """End a run; one that is over already is fine."""
        ...

    async def release(self, run_id: str) -> Done[None]:
        """Have the service forget a run that is over, its log and output with it."""
        ...
