from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iri_local_facility.jobs import JobRequest
from iri_local_facility.scripts import job_script


def run(tmp_path: Path, **request: object) -> tuple[int, list[str]]:
    script = tmp_path / "script"
    script.write_text(job_script(JobRequest(**request)))
    done = subprocess.run(["/bin/sh", str(script)], capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize(
    "words",
    [
        ["plain"],
        ["two words", ""],
        ["$HOME", "`id`", "a'b\"c", "*"],
        ["line\nbreak"],
        ["-n", "--"],
        ["é", "🙂"],
    ],
)
def test_arguments_arrive_as_they_are(tmp_path: Path, words: list[str]) -> None:
    code, lines = run(tmp_path, executable="/usr/bin/printf", arguments=["<%s>", *words])
    assert (code, "\n".join(lines)) == (0, "".join(f"<{word}>" for word in words))


def test_the_order_around_the_program(tmp_path: Path) -> None:
    code, lines = run(
        tmp_path,
        executable="/bin/sh",
        arguments=["-c", 'echo "run $FROM_PRE"; exit 7'],
        pre_launch="export FROM_PRE=x\necho pre",
        post_launch="echo post",
    )
    assert (code, lines) == (7, ["pre", "run x", "post"])


def test_pre_launch_may_end_the_job(tmp_path: Path) -> None:
    assert run(tmp_path, executable="/bin/echo", pre_launch="exit 4") == (4, [])


def test_parallel_launchers_start_copies(tmp_path: Path) -> None:
    code, lines = run(
        tmp_path,
        executable="/bin/sh",
        arguments=["-c", 'echo "$IRI_PROCESS_ID"; exit "$IRI_PROCESS_ID"'],
        launcher="srun --mpi=none",
        process_count=3,
    )
    assert sorted(lines) == ["0", "1", "2"]
    assert code == 2


def test_other_launchers_are_prefixes(tmp_path: Path) -> None:
    code, lines = run(tmp_path, executable="/bin/sh", arguments=["-c", "echo $X"], launcher="env X=1")
    assert (code, lines) == (0, ["1"])
    assert run(tmp_path, executable="/bin/true", launcher="no-such-launcher")[0] == 127
