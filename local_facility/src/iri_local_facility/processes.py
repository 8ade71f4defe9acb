"""Real processes: spawning a job so that it outlives the server, watching it, ending it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

# The outer shell writes its pid first and the exit status last, so that a server that was killed in between
# can still find the process and learn how it ended. It survives what may be sent to a job, to let the job
# below it react in its own time.
_WRAPPER = (
    'echo $$ >"$2/pid"; trap : HUP INT QUIT USR1 USR2 TERM; '
    '/bin/sh "$1"; code=$?; echo $code >"$2/exit"; exit $code'
)


def spawn(
    job_dir: Path, script: Path, cwd: Path, environment: Mapping[str, str], files: tuple[int, int, int]
) -> subprocess.Popen[bytes]:
    """Start a job script in a session of its own, with ``files`` as stdin, stdout and stderr."""
    stdin, stdout, stderr = files
    return subprocess.Popen(
        ["/bin/sh", "-c", _WRAPPER, "iri-job", str(script), str(job_dir)],
        cwd=cwd,
        env=dict(environment),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def birth(pid: int) -> str | None:
    """When a process started, in whatever unit the system gives; ``None`` when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        return None if fields[0] == b"Z" else fields[19].decode()
    except FileNotFoundError:
        if os.path.exists("/proc/self/stat"):
            return None
    except ProcessLookupError:
        return None
    answer = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return answer or None


def recorded_pid(job_dir: Path) -> int | None:
    """The pid that the wrapper wrote down, if it got that far."""
    try:
        return int((job_dir / "pid").read_text())
    except (OSError, ValueError):
        return None


def recorded_exit(job_dir: Path) -> tuple[int, float] | None:
    """Exit status and time of end that the wrapper wrote down, if it did."""
    try:
        path = job_dir / "exit"
        return int(path.read_text()), path.stat().st_mtime
    except (OSError, ValueError):
        return None


def wait_child(process: subprocess.Popen[bytes]) -> int:
    """Block until a child ends, sweep up what it left in its process group, and return its exit status."""
    if hasattr(os, "waitid"):
        # The leader stays a zombie until the sweep is over: its pid, hence the group's, cannot be recycled.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        signal_group(process.pid, signal.SIGKILL)
        return process.wait()
    code = process.wait()
    signal_group(process.pid, signal.SIGKILL)
    return code


def wait_adopted(pid: int, born: str) -> None:
    """Block until a process that is not our child ends, then sweep up its group."""
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):
        while birth(pid) == born:
            time.sleep(0.1)
    else:
        try:
            if birth(pid) == born:
                select.select([handle], [], [])
        finally:
            os.close(handle)
    signal_group(pid, signal.SIGKILL)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a job's process group; it may be gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
