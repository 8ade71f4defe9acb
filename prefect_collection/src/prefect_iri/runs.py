"""Who asks: the run of Prefect in which a call is made, found again when that run is tried again."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from uuid import UUID

from prefect.context import FlowRunContext, TaskRunContext

from iri_common import Facility, JobSpec, UsageError

OUR_TASKS = "prefect_iri.tasks"


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked for, as far as it tells one ask of a run from another.

    Attributes:
        label: The name that the caller gave to the call, or a digest of door, resource and spec.
        named: Whether the caller named it.
        spec: Digest of the spec, to notice that a named call asks for something else now.
    """

    label: str
    named: bool
    spec: str

    @classmethod
    def of(cls, door: Facility, spec: JobSpec, resource: str | None, call: str | None) -> Ask:
        """Raises UsageError for an empty name; an empty one could not be told from none."""
        digest = spec.digest()
        if call is None:
            words = json.dumps([door.url, resource, digest])
            return cls(hashlib.sha256(words.encode()).hexdigest()[:16], False, digest)
        if not isinstance(call, str) or not call:
            raise UsageError(f"a call is named by a text that is not empty, not {call!r}")
        return cls(f"call {call}", True, digest)


@dataclass(frozen=True, slots=True)
class Run:
    """The run that a call belongs to.

    Attributes:
        kind: "flow", or "task" for a task outside of any flow.
        id: Of that run; the same in all its tries.
        epoch: Of this try of the run.
        owner: The call within this try: the same in all retries of the task that makes it.
    """

    kind: str
    id: UUID
    epoch: str
    owner: str


def current_run(ask: Ask) -> Run | None:
    """The run around this call; None outside of any."""
    flow = FlowRunContext.get()
    if flow is not None and flow.flow_run is not None and flow.flow_run.state is not None:
        kind, run_id = "flow", flow.flow_run.id
        # A flow run that is tried again, resumed, or started again after a crash enters Running anew; the
        # count of its tries is not enough: it stays the same when a suspended run is resumed.
        epoch = flow.flow_run.state.id.hex[-12:]
        frames = _frames(run_id)
    else:
        frames = _frames(None)
        if not frames:
            return None
        kind, run_id, epoch = "task", frames[-1][0], "0"
    return Run(kind, run_id, epoch, _owner(frames, (run_id, 0), epoch, ask))


def _frames(flow_run_id: UUID | None) -> list[tuple[UUID, int]]:
    """Id and try of the task runs around this call, innermost first."""
    frames: dict[UUID, int] = {}
    context = TaskRunContext.get()
    while context is not None and context.task_run.flow_run_id == flow_run_id:
        frames.setdefault(context.task_run.id, context.task_run.run_count)
        # Prefect tells a task who its parent is, but not the parent's try. tests/prefect watches this name.
        token = getattr(context, "_token", None)
        outer = token.old_value if token is not None else None
        context = outer if isinstance(outer, TaskRunContext) else None
    return list(frames.items())


# Calls made from inside of other tasks, in their order, by the try of the task around them.
_calls: dict[Hashable, list[Hashable]] = {}
_lock = threading.Lock()


def _owner(frames: list[tuple[UUID, int]], run: tuple[UUID, int], epoch: str, ask: Ask) -> str:
    """A name for this call that a retry of any task around it gives again.

    A call right in a flow is owned by its task run. Inside of another task, a retry of that task makes new
    task runs: there the n-th equal call of a try is the n-th equal call of the try before.
    """
    context = TaskRunContext.get()
    own: Hashable = None
    if frames and context is not None and context.task.fn.__module__ == OUR_TASKS:
        own, frames = frames[0][0], frames[1:]
        if not frames:
            return str(own)
    around = frames or [run]
    with _lock:
        nth = _position((around[0], epoch, ask.label, "here"), own or object())
        place = _position((around[-1], epoch, ask.label, "within"), (around[0][0], nth))
    return f"{around[-1][0]}/{place}"


def _position(calls: Hashable, call: Hashable) -> int:
    made = _calls.setdefault(calls, [])
    if call not in made:
        made.append(call)
    return made.index(call)
