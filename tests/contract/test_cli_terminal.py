"""The ``iri`` command on a terminal: Ctrl-C as a person types it, colours, and lines that can be copied."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_shell import COMMAND, launched, variables_of

from iri_local_facility import LocalFacility

IN_THE_FOREGROUND = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=4) as facility:
        yield facility


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


@pytest.fixture
def variables(place: LocalFacility, tmp_path: Path) -> dict[str, str]:
    place.reset_requests()
    return variables_of(place, tmp_path)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r\n", "\n")


def test_ctrl_c_leaves_the_job_and_shows_the_line_that_comes_back(place: LocalFacility, variables) -> None:
    terminal = Terminal(
        ["run", "--key", "pty/a key that is longer than what is left", "sleep", "2"], variables
    )
    terminal.await_text("active")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "\x1b[" in terminal.seen
    (line,) = [each for each in plain(terminal.seen).splitlines() if "iri wait" in each]
    done = subprocess.run(
        line.strip().replace("iri", COMMAND, 1), shell=True, capture_output=True, text=True, timeout=30,
        env={**os.environ, **variables}, check=False,
    )  # fmt: skip
    assert (done.returncode, "completed" in done.stderr) == (0, True)
    assert launched(place) == 1


def test_ctrl_c_cancels_where_that_was_asked_for(place: LocalFacility, variables) -> None:
    terminal = Terminal(["run", "--cancel-on-interrupt", "sleep", "60"], variables)
    terminal.await_text("active")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "canceled" in plain(terminal.seen)
    assert not [each for each in place.jobs() if each["state"] == "active"]


def test_no_colour_where_none_is_wanted(variables) -> None:
    terminal = Terminal(["doctor"], {**variables, "NO_COLOR": "1"})
    assert terminal.end() == 0
    assert "\x1b[3" not in terminal.seen  # no foreground colour; bold and dim are none
    for line in plain(terminal.seen).splitlines():
        assert len(line) <= 80 or " " not in line[15:], "a line is broken where it has a blank"


def test_ctrl_c_leaves_a_transfer_that_goes_on_where_it_was(
    place: LocalFacility, variables, tmp_path: Path
) -> None:
    (tmp_path / "tree").mkdir()
    for name in "abcdefgh":
        (tmp_path / "tree" / name).write_bytes(name.encode() * 50_000)
    words = ["put", "--road", "direct", str(tmp_path / "tree"), f"iri://place/{place.scratch}/interrupted"]
    terminal = Terminal([*words, "--rate", "100K"], variables)
    terminal.await_text(" 2 of 8 files")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "goes on where it was" in plain(terminal.seen)
    assert len([line for line in plain(terminal.seen).split("\n") if "of 8 files" in line]) == 1
    again = subprocess.run(
        [COMMAND, *words, "--json"], capture_output=True, text=True, timeout=30,
        env={**os.environ, **variables}, check=True,
    )  # fmt: skip
    (told,) = json.loads(again.stdout)["transfers"]
    assert told["files_skipped"] >= 2
    assert told["files"] + told["files_skipped"] == 8
    assert sorted(each.name for each in (place.scratch / "interrupted").iterdir()) == list("abcdefgh")
