"""Clients in processes of their own, as tests start, watch and end them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import asking_client
from asking_client import Plan

if TYPE_CHECKING:
    from transfer_client import TransferPlan

PATIENCE = 120.0  # seconds for anything that is waited for, on a machine that has other things to do


def until(what: Callable[[], object], why: str) -> Any:
    """Wait for something to be true."""
    deadline = time.monotonic() + PATIENCE
    while not (value := what()):
        assert time.monotonic() < deadline, f"{why} did not come about"
        time.sleep(0.01)
    return value


class Client:
    """One client process."""

    def __init__(self, pid: int, plan: Plan | TransferPlan) -> None:
        self.pid = pid
        self.plan = plan

    @property
    def ended(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    @property
    def stopped(self) -> bool:
        """Whether it lies stopped; no question where the system does not tell."""
        try:
            words = Path(f"/proc/{self.pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return words.rpartition(")")[2].split()[0] == "T"

    def story(self) -> list[dict[str, Any]]:
        """What it was told so far."""
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in Path(self.plan.story).read_text().splitlines()]
        return []

    def told(self, what: str) -> dict[str, Any] | None:
        """The last word of one sort."""
        return next((each for each in reversed(self.story()) if each["what"] == what), None)

    def wait(self) -> Self:
        until(lambda: self.ended, f"the end of {self.pid} ({self.plan.strike})")
        return self

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


class Clients:
    """Starts clients; leaving ends all that are left.

    Args:
        stories: Directory for what they tell.
        program: What forks them.
    """

    def __init__(self, stories: Path, program: str = asking_client.__file__) -> None:
        self._stories = stories
        self._program = program
        self._count = 0

    def __enter__(self) -> Self:
        self._stories.mkdir(parents=True, exist_ok=True)
        environment = {name: word for name, word in os.environ.items() if not name.startswith("COV_")}
        self._parent = subprocess.Popen(
            [sys.executable, self._program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._parent.stdin
        assert self._parent.stdout
        self._parent.stdin.close()
        self._parent.wait(30)
        self._parent.stdout.close()

    def new_story(self) -> str:
        """A file for the next one."""
        self._count += 1
        return str(self._stories / f"{self._count}.story")

    def start(self, plan: Plan | TransferPlan) -> Client:
        """Start one; it is under way when this returns."""
        assert self._parent.stdin
        assert self._parent.stdout
        self._parent.stdin.write(plan.line())
        self._parent.stdin.flush()
        return Client(int(self._parent.stdout.readline()), plan)
