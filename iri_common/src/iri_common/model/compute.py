"""Shell commands and Python functions at the endpoints of Globus Compute, and what may be asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from iri_common.model.errors import ReplyError
from iri_common.model.outcome import Done


class ComputeState(StrEnum):
    """Of a task; the service has a dozen words for the first three."""

    WAITING = "waiting"
    RUNNING = "running"
    UNKNOWN = "unknown"  # a word that nobody here knows, or none: no end
    SUCCEEDED = "succeeded"  # a command that ran may have failed all the same: see its exit code
    FAILED = "failed"
    DROPPED = "dropped"  # over, but the service no longer has what came of it

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self in {ComputeState.SUCCEEDED, ComputeState.FAILED, ComputeState.DROPPED}


@dataclass(frozen=True, slots=True)
class ComputeEndpoint:
    """Where tasks run.

    Attributes:
        id: Of the endpoint.
        name: For people.
        online: Whether it takes tasks now; None where that was not asked for.
        status: The same in the service's word.
        details: Of its workers, as it reports them.
        high_assurance: Whether it runs only functions that were registered for it.
    """

    id: str
    name: str = ""
    online: bool | None = None
    status: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    high_assurance: bool = False


@dataclass(frozen=True, slots=True)
class ShellResult:
    """What came of a command.

    Attributes:
        exit_code: Minus the number of the signal that ended it, if one did.
        stdout: The end of what it wrote.
        stderr: The end of what it wrote there.
        stdout_path: The whole, at the endpoint.
        stderr_path: The whole, at the endpoint.
        timed_out: It was ended because its time was up.
    """

    exit_code: int
    stdout: str = ""
    stderr: str = ""
    stdout_path: str = ""
    stderr_path: str = ""
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class ComputeTask:
    """A task as it is now.

    Attributes:
        task_id: Its id.
        state: In our words.
        status: In the service's.
        shell: What came of a command.
        returned: What a function returned: plain data.
        packed: What a function returned, as it came, where it is more than plain data: reading it runs code
            that the endpoint chose. Whoever trusts that hands it to ``globus_compute_sdk``'s
            ``ComputeSerializer().deserialize``.
        trouble: Why there is no result: the traceback of the endpoint, or the service's reason.
        double_of: The task that does the work, as one for the same key was there before; "" where the
            endpoint does not tell which.
    """

    task_id: str
    state: ComputeState
    status: str = ""
    shell: ShellResult | None = None
    returned: Any = None
    packed: str = ""
    trouble: str = ""
    double_of: str | None = None

    @property
    def value(self) -> Any:
        """What the function returned.

        Raises:
            ReplyError: if it is more than plain data; it is left packed.
        """
        if self.packed:
            raise ReplyError(
                f"what task {self.task_id} returned is more than plain data, and reading it would run code "
                "that the endpoint chose: return numbers, texts, lists and dictionaries, or unpack "
                "task.packed with globus_compute_sdk's ComputeSerializer"
            )
        return self.returned

    @property
    def ok(self) -> bool:
        """Whether it did what was asked: it returned, or its command ended with 0 in time."""
        if self.state is not ComputeState.SUCCEEDED or self.double_of is not None:
            return False
        return self.shell is None or (self.shell.exit_code == 0 and not self.shell.timed_out)


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """What is asked of an endpoint.

    Attributes:
        endpoint: Its id.
        function: The id of a registered function; None for ours, which takes everything as its argument.
        args: Plain data.
        kwargs: Plain data.
        config: What the endpoint's owner lets users choose (``user_endpoint_config``). Another one is another
            endpoint process, with batch jobs of its own.
        resources: What one task takes (``resource_specification``).
    """

    endpoint: str
    function: str | None
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    resources: Mapping[str, Any] = field(default_factory=dict[str, Any])


class ComputeApi(Protocol):
    """Endpoints and tasks of one identity."""

    async def origin(self) -> Done[str]:
        """Where the service is: ``host[:port]``."""
        ...

    async def endpoints(self, *, all_visible: bool) -> Done[Sequence[ComputeEndpoint]]:
        """The endpoints that are mine, or all that I may see; whether they are online is not told."""
        ...

    async def endpoint(self, endpoint: str) -> Done[ComputeEndpoint]:
        """One endpoint, and whether it is online."""
        ...

    async def submit(self, request: TaskRequest) -> Done[str]:
        """Have a task run; gives its id. Every arrival is another task: there is no key that counts."""
        ...

    async def tasks(self, task_ids: Sequence[str]) -> Done[Mapping[str, ComputeTask]]:
        """Several tasks in one request; those that this identity does not see are missing."""
        ...
