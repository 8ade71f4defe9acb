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

from .computetable import Call, ComputeTable
from .refusals import Refusal

_WORKER = Path(__file__).with_name("worker.py")
_AT_A_TIME = 4
_LONGEST = 120.0  # seconds of a task, as the owner of an endpoint may choose
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
            self.begin(call)

    def begin(self, call: Call) -> None:
        """Take up a task."""
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
