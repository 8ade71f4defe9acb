"""A terminal with ``iri`` in its foreground, as a person has one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

from cli_shell import COMMAND

IN_THE_FOREGROUND = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A terminal of 80 columns with ``iri`` in its foreground."""

    def __init__(self, words: list[str], variables: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_THE_FOREGROUND, COMMAND, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", **variables},
        )
        os.close(theirs)

    def await_text(self, words: str) -> None:
        deadline = time.monotonic() + 60
        while words not in self.seen:
            assert time.monotonic() < deadline, self.seen
            self._read(0.1)

    def type(self, letters: str) -> None:
        os.write(self._ours, letters.encode())

    def end(self) -> int:
        """The exit code, once all was said."""
        deadline = time.monotonic() + 60
        while self._read(0.2) or self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen
        os.close(self._ours)
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        try:
            text = os.read(self._ours, 65536).decode()
        except OSError:  # Linux says EIO when the other side has closed
            text = ""
        self.seen += text
        return bool(text)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r\n", "\n")
