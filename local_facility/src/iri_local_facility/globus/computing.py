"""Runs tasks of Globus Compute: each in a process of its own, for a bounded time, over restarts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from iri_local_facility.accounts import Accounts
from iri_local_facility.processes import signal_group

from .computetable import Call, ComputeTable, Endpoint
from .refusals import Refusal

_WORKER = Path(__file__).with_name("worker.py")
_AT_A_TIME = 4
_LONGEST = 120.0  # seconds of a task, as the owner of an endpoint may choose
_MOST = 10_000_000  # characters of a payload
_LEAVE = 5.0  # seconds for a worker to end what it has begun
_PAUSE = 0.05


class Computing:
    """The endpoints of this facility at work."""

    def __init__(self, table: ComputeTable, accounts: Accounts) -> None:
        self._table = table
        self._accounts = accounts
        self._slots = threading.Semaphore(_AT_A_TIME)
        self._stopping = threading.Event()
        self._threads: dict[str, threading.Thread] = {}

    def start(self) -> None:
        """Go on with what an earlier server did not get to the end of: such a task is run again."""
        for call in self._table.under_way():
            self._begin(call)

    def submit(
        self, user: str, endpoint_id: str, tasks: list[tuple[str, str]], group: str, how: list[str]
    ) -> list[Call]:
        """Have tasks run, or none of them.

        Args:
            user: For whom.
            endpoint_id: Where.
            tasks: Functions by id, each with its arguments, packed.
            group: Their task group.
            how: How the results are to be written.

        Raises:
            Refusal: The endpoint does not take them.
        """
        endpoint = self._table.endpoint(endpoint_id)
        for function, payload in tasks:
            self._admit(user, endpoint, function)
            if not isinstance(payload, str) or len(payload) > _MOST:
                raise Refusal(422, "REQUEST_MALFORMED", "a payload is a text of at most 10 MB")
        calls = [self._table.add(group, user, endpoint.id, *task, how) for task in tasks]
        for call in calls:
            self._begin(call)
        return calls

    def _admit(self, user: str, endpoint: Endpoint, function_id: str) -> None:
        function = self._table.function(function_id)
        if endpoint.owner != user:
            raise Refusal(403, "ENDPOINT_ACCESS_FORBIDDEN", f"Endpoint {endpoint.id} is somebody else's")
        if endpoint.allowed_functions and function.id not in endpoint.allowed_functions:
            words = f"Function {function.id} is not permitted on endpoint {endpoint.id}"
            raise Refusal(403, "FUNCTION_NOT_PERMITTED", words)
        if endpoint.high_assurance and function.document.get("ha_endpoint_id") != endpoint.id:
            words = f"Function {function.id} was not registered for high assurance endpoint {endpoint.id}"
            raise Refusal(403, "FUNCTION_NOT_PERMITTED", words)

    def _begin(self, call: Call) -> None:
        thread = threading.Thread(target=self._run, args=(call,), name=f"compute-{call.id}", daemon=True)
        self._threads[call.id] = thread
        thread.start()

    def stop(self) -> None:
        """End all processes; their tasks are taken up again at the next start."""
        self._stopping.set()
        for thread in list(self._threads.values()):
            thread.join(2 * _LEAVE)

    def _run(self, call: Call) -> None:
        try:
            while not self._stopping.is_set():
                if not self._table.endpoint(call.endpoint).online or not self._slots.acquire(timeout=_PAUSE):
                    self._stopping.wait(_PAUSE)
                    continue
                try:
                    self._work(call)
                finally:
                    self._slots.release()
                return
        finally:
            self._threads.pop(call.id, None)

    def _work(self, call: Call) -> None:
        try:
            function = self._table.function(call.function)
        except Refusal as gone:
            self._table.end(call, exception=gone.message)
            return
        task = {"id": call.id, "buffer": function.code + call.payload, "serializers": call.serializers}
        self._table.begin(call)
        said = self._asked(call, task)
        if self._stopping.is_set():
            return
        if said is None:
            self._table.end(call, exception="parsl.executors.errors.WorkerLost: Task failure due to its loss")
        else:
            self._table.end(call, result=said.get("result"), exception=said.get("exception"))

    def _asked(self, call: Call, task: dict[str, Any]) -> dict[str, Any] | None:
        """What the worker tells; nothing if it was ended."""
        home = self._accounts.user(call.user).areas.home
        process = subprocess.Popen(
            [sys.executable, "-I", str(_WORKER)],
            cwd=home,
            env={**os.environ, "HOME": str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        done = threading.Event()
        ending = threading.Thread(target=self._end, args=(process, done), daemon=True)
        ending.start()
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(task).encode() + b"\n")
            process.stdin.flush()
        with process.stdout as answer:
            text = answer.read()
        done.set()
        ending.join()
        with contextlib.suppress(ValueError):
            return json.loads(text)
        return None

    def _end(self, process: subprocess.Popen[bytes], done: threading.Event) -> None:
        """Have a worker leave when it is done, has taken too long, or the facility stops."""
        waited = 0.0
        while not done.wait(_PAUSE) and waited < _LONGEST and not self._stopping.is_set():
            waited += _PAUSE
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LEAVE)
        signal_group(process.pid, signal.SIGKILL)
        process.wait()
