"""A small process above each program, which leaves nothing of it behind, however we ourselves end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""


class Keeper:
    """A program in a session of its own, ended with all that it started.

    Ctrl-C at the terminal is for us: we end the program. If we are killed, the keeper sees the end of its
    stdin and ends it all the same.

    Args:
        command: The program.
        environment: All of it.
        log: File that its output is added to.
        cwd: Where it runs.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, cwd: Path | None = None
    ) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, __file__, *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=dict(environment),
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The keeper's own process."""
        return self._process.pid

    def poll(self) -> int | None:
        """The program's exit code, once it has ended."""
        return self._process.poll()

    def tell(self) -> None:
        """Begin to end the program."""
        self._process.terminate()

    def stop(self) -> None:
        """End the program and all that it started; returns when nothing is left."""
        self._process.terminate()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()  # bounded: the keeper kills whatever has not ended after its grace


def keep(command: list[str]) -> int:
    """Run a command until it ends, or until stdin or SIGTERM says so; leave none of its processes behind.

    Airflow's components fork, make process groups of their own, and lose children when they are killed.
    Orphans become children of this process (on Linux), so that it finds them all.
    """
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    while child.poll() is None and not told:
        if select.select([sys.stdin], [], [], 0.2)[0] and not os.read(sys.stdin.fileno(), 1):
            break
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
    code = child.wait()
    _kill_all()
    return code


def _kill_all() -> None:
    import psutil

    deadline = time.monotonic() + GRACE
    while (rest := psutil.Process().children(recursive=True)) and time.monotonic() < deadline:
        for each in rest:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        time.sleep(0.05)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
