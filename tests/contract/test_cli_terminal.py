"""The ``iri`` command on a terminal: Ctrl-C as a person types it, colours, and lines that can be copied."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_shell import COMMAND, launched, variables_of
from terminal import Terminal, plain

from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=4) as facility:
        yield facility


@pytest.fixture
def variables(place: LocalFacility, tmp_path: Path) -> dict[str, str]:
    place.reset_requests()
    return variables_of(place, tmp_path)


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
