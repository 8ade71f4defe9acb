"""``iri logs --follow`` and ``iri run --follow``: output as it comes, each stream where it belongs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from cli_shell import COMMAND, Shell, job_of

from iri_local_facility import LocalFacility

SLOWLY = "for n in 1 2 3; do echo o$n é; echo e$n >&2; sleep 0.3; done"


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=16) as facility:
        yield facility


def test_logs_come_as_they_are_written_and_ctrl_c_leaves_the_job(iri: Shell, place: LocalFacility) -> None:
    left = place.home / "left"
    waits = f"echo begun; echo err >&2; until [ -e {left} ]; do sleep 0.05; done; printf end"
    ref = iri("submit", "sh", "-c", waits).out.strip()
    with iri.process("logs", "-F", ref) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        assert job_of(place, ref)["state"] == "active"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    left.touch()
    (back,) = [line.strip() for line in err.splitlines() if line.strip().startswith("iri logs --follow")]
    again = iri(*back.split()[1:])
    assert (again.code, again.out, again.err) == (0, "begun\nend", "err\n")
    assert job_of(place, ref)["state"] == "completed"


def test_programs_read_a_line_for_each_piece(iri: Shell) -> None:
    ref = iri("submit", "sh", "-c", SLOWLY).out.strip()
    chunks = [json.loads(line) for line in iri("logs", "--follow", "--json", ref).out.splitlines()]
    assert all(set(each) == {"stream", "text", "offset"} for each in chunks)
    told = "".join(each["text"] for each in chunks if each["stream"] == "stdout")
    assert told == "".join(f"o{n} é\n" for n in range(1, 4))
    assert [each["offset"] for each in chunks if each["stream"] == "stdout"][-1] == len(told.encode())


def test_run_shows_the_output_while_it_runs(iri: Shell) -> None:
    with iri.process("run", "--follow", "sh", "-c", f"{SLOWLY}; exit 5") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        assert process.poll() is None
        out, err = process.stdout.read(), process.stderr.read()
    assert process.returncode == 3
    assert first + out == "".join(f"o{n} é\n" for n in range(1, 4))
    assert [line for line in err.splitlines() if line.startswith("e")] == [f"e{n}" for n in range(1, 4)]
    assert "failed, exit code 5" in err


def test_run_gives_one_document_or_the_output_not_both(iri: Shell) -> None:
    said = iri("run", "--follow", "--json", "true")
    assert (said.code, said.document["error"]["kind"]) == (2, "UsageError")
    late = iri("run", "-F", "--timeout", "1", "sh", "-c", "echo begun; sleep 20")
    assert (late.code, late.out) == (7, "begun\n")
    assert "iri wait" in late.err


def test_whoever_stops_reading_leaves_the_job(iri: Shell, place: LocalFacility) -> None:
    loud = "while echo again; do sleep 0.1; done"
    with iri.process("run", "-F", "--key", "pipe/run", "sh", "-c", loud) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "again\n"
        process.stdout.close()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 141
    (back,) = [line.strip() for line in err.splitlines() if line.strip().startswith("iri wait")]
    assert "The job goes on" in err
    assert not {"Traceback", "Exception"} & set(err.split())
    again = iri(*back.split()[1:], "--timeout", "1")
    assert again.code == 7, "it runs"
    with iri.process("logs", "-F", "--key", "pipe/run") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "again\n"
        process.stdout.close()
        _, err = process.communicate(timeout=60)
    assert (process.returncode, "iri logs --follow" in err) == (141, True)
    iri("cancel", "--key", "pipe/run")


def test_a_reader_of_both_streams_who_has_gone_ends_it_without_a_word(iri: Shell) -> None:
    script = f"{COMMAND} facilities 2>&1 | true; echo ${{PIPESTATUS[0]}}"
    said = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env={**iri.variables, **os.environ},
        check=True,
    )
    assert (said.stdout, said.stderr) == ("141\n", "")


def test_an_error_is_a_line_too(iri: Shell, place: LocalFacility) -> None:
    ref = iri("submit", "true").out.strip()
    order = place.order("refuse_tokens", "*")
    said = iri.apart("logs", "-F", "--json", ref)
    place.clear_faults(order)
    assert said.code == 8
    (line,) = said.out.splitlines()
    assert json.loads(line)["error"]["kind"] == "AuthError"
