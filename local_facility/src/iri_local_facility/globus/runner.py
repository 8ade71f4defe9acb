"""Runs flows: each on a thread of its own, from state to state, over restarts, until it ends or waits."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from iri_local_facility.errors import FacilityError

from .actions import Calling, Provider, Transferring
from .definitions import BadPath, provider_of, read, rendered, written
from .refusals import Refusal
from .runtable import Run

if TYPE_CHECKING:
    from .service import Globus

_PAUSE = 0.05
_CONSENTS = {"ConsentRequired", "AuthorizationRequired"}


class Runner:
    """Runs flows."""

    def __init__(self, globus: Globus) -> None:
        self._globus = globus
        self._stops: dict[str, threading.Event] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._providers: dict[str, Provider] = {"transfer": Transferring(globus), "compute": Calling(globus)}

    def start(self) -> None:
        """Go on with what an earlier server did not get to the end of."""
        for run in self._globus.runs.under_way():
            self.begin(run)

    def begin(self, run: Run) -> None:
        """Take up a run."""
        stop = self._stops[run.id] = threading.Event()
        thread = threading.Thread(target=self._run, args=(run.id, stop), name=f"flow-{run.id}", daemon=True)
        self._threads[run.id] = thread
        thread.start()

    def cancel(self, run: Run) -> Run:
        """End a run, and with it what it asked for."""
        if not run.finished:
            self._end(run, "FAILED", "FlowCanceled", "The Flow Instance was canceled by the user", {})
            # Read again: its action may have begun since the caller read it, and none begins any more.
            run = self._globus.runs.get(run.id)
            if run.action is not None:
                self._provider(self._globus.flows.get(run.flow).states[run.state]).cancel(run.action)
        return self._globus.runs.get(run.id)

    def resume(self, run: Run, client: str | None, session: bool) -> Run:
        """Have a run that waits for somebody try again, with the consents that this client has."""
        if run.status != "INACTIVE":
            return run
        details = {"code": "FlowResumed", "description": "The Flow Instance was resumed", "details": {}}
        self._globus.runs.note(run.id, details["code"], details["description"], {})
        resumed = self._globus.runs.update(
            run, status="ACTIVE", client=client, session=session, details=details
        )
        self.begin(resumed)
        return resumed

    def stop(self) -> None:
        """Let go of all runs; they are taken up again at the next start."""
        for stop in list(self._stops.values()):
            stop.set()
        for thread in list(self._threads.values()):
            thread.join(5)

    def _provider(self, state: dict[str, Any]) -> Provider:
        return self._providers[provider_of(state["ActionUrl"]) or ""]

    # -- one run, on its thread

    def _run(self, run_id: str, stop: threading.Event) -> None:
        try:
            with contextlib.suppress(Refusal):  # released meanwhile
                while not stop.is_set():
                    run = self._globus.runs.get(run_id)
                    if run.status != "ACTIVE":
                        return
                    self._step(run, stop)
        finally:
            self._stops.pop(run_id, None)
            self._threads.pop(run_id, None)

    def _step(self, run: Run, stop: threading.Event) -> None:
        try:
            state = self._globus.flows.get(run.flow).states[run.state]
        except Refusal as gone:
            self._end(run, "ENDED", "FlowEnded", gone.message, {})
            return
        kind = state["Type"]
        if not run.begun:
            self._note(run, f"{kind}Started", f"State {run.state} of type {kind} started")
            run = self._globus.runs.update(run, begun=True)
        try:
            match kind:
                case "Pass":
                    self._pass(run, state)
                case "Wait":
                    self._wait(run, state, stop)
                case "Action":
                    self._act(run, state, stop)
                case "Fail":
                    self._fail(run, str(state.get("Error", "")), str(state.get("Cause", "")))
                case _:
                    self._succeed(run)
        except BadPath as bad:
            self._fail(run, "States.Runtime", str(bad))

    def _pass(self, run: Run, state: dict[str, Any]) -> None:
        value = rendered(state["Parameters"], run.context) if "Parameters" in state else run.context
        self._advance(run, state, written(run.context, state.get("ResultPath"), value))

    def _wait(self, run: Run, state: dict[str, Any], stop: threading.Event) -> None:
        if run.due is None:
            path = state.get("SecondsPath")
            seconds = read(run.context, path) if path else state["Seconds"]
            if not isinstance(seconds, (int, float)):
                raise BadPath(f"{seconds!r} is no number of seconds")
            run = self._globus.runs.update(run, due=time.time() + seconds)
        if time.time() >= (run.due or 0):
            self._advance(run, state, run.context)
        else:
            stop.wait(_PAUSE)

    def _act(self, run: Run, state: dict[str, Any], stop: threading.Event) -> None:
        provider = self._provider(state)
        if run.submission is None:
            # Kept before it is used: whatever breaks, what the action asks for is there once.
            due = time.time() + state.get("WaitTime", 300.0)
            run = self._globus.runs.update(run, submission=str(uuid.uuid4()), due=due)
        if run.action is None:
            self._ask(run, state, provider)
            return
        sight = provider.look(run.action)
        if not sight.finished:
            if time.time() >= (run.due or 0):
                provider.cancel(run.action)
                self._fail(run, "ActionTimeout", f"{run.state} took longer than its WaitTime")
            stop.wait(_PAUSE)
        elif sight.failure is not None and state.get("ExceptionOnActionFailure", True):
            self._fail(run, "ActionFailedException", f"{run.state}: {sight.failure}")
        else:
            result = {**sight.result, "state_name": run.state}
            self._advance(run, state, written(run.context, state.get("ResultPath"), result))

    def _ask(self, run: Run, state: dict[str, Any], provider: Provider) -> None:
        parameters = rendered(state.get("Parameters", {}), run.context)
        try:
            action = provider.begin(run, parameters)
        except Refusal as refusal:
            if refusal.code in _CONSENTS:
                details = {"code": refusal.code, "description": refusal.message, **refusal.more}
                self._note(run, "FlowInactive", refusal.message)
                self._globus.runs.update(run, status="INACTIVE", details=details)
            else:
                self._fail(run, "ActionUnableToRun", f"{run.state}: {refusal.message}")
        except FacilityError as error:
            self._fail(run, "ActionUnableToRun", f"{run.state}: {error}")
        else:
            if self._globus.runs.update(run, action=action).finished:  # canceled meanwhile
                provider.cancel(action)

    def _advance(self, run: Run, state: dict[str, Any], context: Any) -> None:
        kind = state["Type"]
        self._note(run, f"{kind}Completed", f"State {run.state} of type {kind} completed", output=context)
        following = {"begun": False, "due": None, "submission": None, "action": None}
        if "Next" in state:
            self._globus.runs.update(run, context=context, state=state["Next"], **following)
        else:
            self._succeed(replace(run, context=context))

    def _succeed(self, run: Run) -> None:
        words = "The Flow run reached a successful completion state"
        self._end(run, "SUCCEEDED", "FlowSucceeded", words, {"output": run.context})

    def _fail(self, run: Run, error: str, cause: str) -> None:
        self._end(run, "FAILED", "FlowFailed", cause, {"details": {"error": error, "cause": cause}})

    def _end(self, run: Run, status: str, code: str, description: str, more: dict[str, Any]) -> None:
        details = {"code": code, "description": description, **more}
        changes = {"context": run.context, "completed": time.time(), "details": details}
        if self._globus.runs.update(run, status=status, **changes).details == details:
            self._globus.runs.note(run.id, code, description, more)

    def _note(self, run: Run, code: str, description: str, **more: Any) -> None:
        kind = self._globus.flows.get(run.flow).states[run.state]["Type"]
        details = {"state_name": run.state, "state_type": kind, **(more or {"input": run.context})}
        self._globus.runs.note(run.id, code, description, details)
