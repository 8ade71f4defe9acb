"""Command lines, run as on a login node: by a shell, in the user's home, for a minute at most."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from iri_local_facility.accounts import User
from iri_local_facility.processes import signal_group, wait_child
from iri_local_facility.scripts import login_environment

LIMIT = 60.0
# Standard input is a pipe from the server. When that is gone, however it went, the pipe ends, and so does the
# whole process group.
_LEASH = """\
exec 3<&0
{ cat <&3; kill -KILL 0; } >/dev/null 2>&1 &
exec "$1" -c "$2" 3<&- </dev/null
"""


class Commands:
    """Runs command lines on a few threads."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="command")

    async def run(self, line: str, user: User) -> dict[str, Any]:
        """Run a command line and tell how it went; whoever stops waiting ends it."""
        command = _Command(line, user)
        running = asyncio.get_running_loop().run_in_executor(self._pool, command.run)
        try:
            async with asyncio.timeout(LIMIT):
                return await asyncio.shield(running)
        except TimeoutError:
            command.kill()
            return {**await running, "status": "error", "error": f"command timed out after {LIMIT:.0f} s"}
        except asyncio.CancelledError:
            command.kill()
            await running
            raise

    def stop(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown()


class _Command:
    """One command line; nothing of its process group outlives it."""

    def __init__(self, line: str, user: User) -> None:
        self._line = line
        self._user = user
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._killed = False

    def run(self) -> dict[str, Any]:
        """Run it to its end."""
        # Into files: a process that it leaves behind would keep a pipe open.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            code = self._run(out, err)
            output, complaint = _text(out), _text(err)
        if code == 0:
            return {"status": "ok", "output": output, "error": None, "exit_code": 0}
        error = complaint or f"exit code {code}"
        return {"status": "error", "output": output, "error": error, "exit_code": code}

    def _run(self, out: IO[bytes], err: IO[bytes]) -> int:
        with self._lock:
            if self._killed:
                return 128 + signal.SIGKILL
            process = subprocess.Popen(
                ["/bin/sh", "-c", _LEASH, "login", shutil.which("bash") or "/bin/sh", self._line],
                cwd=self._user.areas.home,
                env=login_environment(self._user, os.environ, os.environ.get("PATH", os.defpath)),
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            self._pid = process.pid
        with process:  # it closes the pipe
            code = wait_child(process)
        self._pid = None
        return 128 - code if code < 0 else code  # as shells report a death by signal

    def kill(self) -> None:
        """End it now, or before it begins."""
        with self._lock:
            self._killed = True
            if self._pid is not None:
                signal_group(self._pid, signal.SIGKILL)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
