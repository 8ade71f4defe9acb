"""A batch script behind the guard: directives first, the text unchanged, its own interpreter."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jobside_shells import PYTHON, SHELLS, Place, ended

from iri_common.jobside.codes import GuardCode
from iri_common.jobside.guard import Guard
from iri_common.jobside.wrap import obstacle, placeable, wrap_script, wrap_spec
from iri_common.model.errors import UsageError
from iri_common.model.key import JobKey

GUARD = Guard(JobKey.of("script"), root="/guards")
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=SHELLS.values(), ids=SHELLS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path / "root")


def head(script: str) -> list[str]:
    """What a scheduler reads of it: the lines before the first command."""
    lines = []
    for line in wrap_script(script, GUARD).split("\n"):
        if line.strip() and not line.startswith("#"):
            return lines
        lines.append(line)
    raise AssertionError("no command in it")


# ------------------------------------------------------------------------------------------ directives


@pytest.mark.parametrize(
    ("script", "lifted"),
    [
        ("#!/bin/sh\n#SBATCH -N 1\n#SBATCH --time=1:00\necho\n", ["#SBATCH -N 1", "#SBATCH --time=1:00"]),
        ("#!/bin/sh\n\n# words\n  \n   # more\n#SBATCH -N 1\n", ["#SBATCH -N 1"]),
        ("#!/bin/sh\n#SBATCH -N 1\necho\n#SBATCH -N 2\n", ["#SBATCH -N 1"]),
        ("#PBS -l select=1\n#PBS -q debug\n", ["#PBS -l select=1", "#PBS -q debug"]),
        (
            "#!/bin/bash\n#BSUB -W 10\n# flux: -n 2\n#FLUX: -N 1\n",
            ["#BSUB -W 10", "# flux: -n 2", "#FLUX: -N 1"],
        ),
        ("#!/bin/sh\n##SBATCH -N 1\n# SBATCH -N 2\n#SBATCHX\n #SBATCH -N 3\n#PBSX\n", []),
        ("#!/bin/sh\n#SBATCH --comment='a  b' # c\n", ["#SBATCH --comment='a  b' # c"]),
        ("#!/bin/sh\n#DW jobdw capacity=1\n#BB x\n", ["#DW jobdw capacity=1", "#BB x"]),
        ("", []),
        ("\n", []),
    ],
)
def test_directives_stand_first_and_in_order(script: str, lifted: list[str]) -> None:
    assert head(script)[1:] == lifted


@pytest.mark.parametrize(
    ("first", "outer"),
    [
        ("#!/bin/sh", "#!/bin/sh"),
        ("#!/bin/bash -l", "#!/bin/bash"),
        ("#!/usr/bin/bash", "#!/usr/bin/bash"),
        ("#!/usr/bin/env python3", "#!/bin/sh"),
        ("#!/bin/csh -f", "#!/bin/sh"),
        ("#! /bin/zsh", "#!/bin/sh"),
        ("echo", "#!/bin/sh"),
        ("#!", "#!/bin/sh"),
    ],
)
def test_the_guard_is_read_by_a_posix_shell(first: str, outer: str) -> None:
    assert wrap_script(f"{first}\n", GUARD).split("\n")[0] == outer


# -------------------------------------------------------------------------------------------- the body

lines = st.lists(
    st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]))
    | st.sampled_from(
        ["$x", "`x`", "\\", "EOF", "'", '"', "$(", "}", "IRI_", "\x81\x88", "日本", "<<'X'", ""]
    ),
    max_size=12,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=lines, newline=st.booleans())
@example(body=["", "\x01\x7f\u0081\u0088", "\\", "'\"`$("], newline=False)
@example(body=[], newline=False)
@example(body=["", "", ""], newline=True)
@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)
def test_the_interpreter_reads_the_script_byte_for_byte(
    shell, body: list[str], newline: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = Place(shell, tmp_path_factory.mktemp("place") / "root")
    place.root.mkdir()
    text = "\n".join(["#!/bin/cat", *body]) + "\n" * newline
    done = place.run_script(text, environment={"TMPDIR": str(place.root)})
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == text.encode()
    assert not list(place.root.glob("iri.*")), "the private file is gone"


def test_a_long_script(place: Place) -> None:
    text = "#!/bin/cat\n" + "".join(f"line {n} of a script that is longer than a pipe\n" for n in range(9000))
    assert place.run_script(text).stdout == text.encode()


@pytest.mark.parametrize(
    ("text", "output"),
    [
        (f"#!{PYTHON}\nimport sys\nprint(sys.stdin.read(), __file__ == sys.argv[0])\n", "input True\n"),
        (f"#!{PYTHON} -I\nimport sys\nprint(sys.flags.isolated)", "1\n"),
        ("#!/usr/bin/env -S sh -u\necho $-; cat", "u"),
        ("#!/bin/bash\na=(1 2); echo ${a[1]}; cat\n", "2\ninput"),
        ("#!/bin/bash -l\nshopt -q login_shell && echo login", "login\n"),
        ("#!/bin/sh\nset -eu; echo ${1-none} $#; cat\n", "none 0\ninput"),
        ("echo no interpreter named\n", "no interpreter named\n"),
        ("#! /bin/sh\ncat <<X\n$((1+1))\nX\n", "2\n"),
    ],
)
def test_each_interpreter_gets_its_script_and_the_input(place: Place, text: str, output: str) -> None:
    done = place.run_script(text, input=b"input", environment={"LC_ALL": "C"})
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.decode().startswith(output)
    assert place.journal.exit_code == 0


def test_the_scripts_exit_code_and_signals_are_its_own(place: Place) -> None:
    text = "#!/bin/bash\ntrap 'echo saved; exit 7' USR1\necho ready\nwhile :; do sleep 0.05; done\n"
    job = place.start_script(text)
    assert job.stdout
    assert job.stdout.readline() == b"ready\n"
    os.kill(job.pid, signal.SIGUSR1)
    done = ended(job)
    assert (done.code, done.stdout, place.journal.exit_code) == (7, b"saved\n", 7)


def test_an_interpreter_that_is_not_there(place: Place) -> None:
    done = place.run_script("#!/bin/no-csh -f\nsetenv X 1\n")
    assert (done.code, place.journal.exit_code) == (127, 127)
    assert "/bin/no-csh" in done.stderr


def test_a_double_of_a_script_writes_nothing(place: Place, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    environment = {"TMPDIR": str(tmp_path / "tmp")}
    text = "#!/bin/sh\necho worked $0\n"
    first = place.run_script(text, "1", environment)
    assert first.stdout.startswith(f"worked {tmp_path}/tmp/iri.".encode())
    double = place.run_script(text, "2", environment)
    assert (double.code, double.stdout) == (GuardCode.DOUBLE, b"")
    assert not list((tmp_path / "tmp").iterdir())


def test_a_place_for_temporary_files_that_is_not_there(place: Place) -> None:
    done = place.run_script("#!/bin/sh\necho $0\n", environment={"TMPDIR": "/no where"})
    assert done.stdout.startswith(b"/tmp/iri.")


def test_the_private_file_is_the_owners_only(place: Place) -> None:
    done = place.run_script('#!/bin/sh\nstat -c %a "$0" || stat -f %Lp "$0"\n')
    assert done.stdout == b"600\n"


# ---------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "line"), [("#!/bin/sh\r\necho\r\n", 1), ("#!/bin/sh\necho\r\n", 2), ("a\nb\r", 2)]
)
def test_line_ends_of_windows_are_named(text: str, line: int) -> None:
    with pytest.raises(UsageError, match=f"line {line} of the script ends with CR LF"):
        wrap_script(text, GUARD)


def test_a_carriage_return_within_a_line_is_text(place: Place) -> None:
    assert place.run_script("#!/bin/cat\na\rb\n").stdout == b"#!/bin/cat\na\rb\n"


@pytest.mark.parametrize("text", ["#!/bin/sh\necho \0", "echo \udc80"])
def test_what_no_file_can_hold_as_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="the script"):
        wrap_script(text, GUARD)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"executable": "a", "container": {"image": "x"}}, "container"),
        ({"name": "a"}, "names no executable"),
        ({"executable": "#!/bin/sh\necho"}, "whole script"),
    ],
)
def test_where_no_guard_can_be_placed(spec: dict, reason: str) -> None:
    assert not placeable(spec)
    assert reason in str(obstacle(spec))
    with pytest.raises(UsageError, match=reason):
        wrap_spec(spec, GUARD)


def test_a_container_may_be_asked_for() -> None:
    spec = {"executable": "a", "container": {"image": "x"}}
    assert placeable(spec, container_has_shell=True)
    wrapped = wrap_spec(spec, GUARD, container_has_shell=True)
    assert wrapped["container"] == {"image": "x"}
    assert wrapped["arguments"][-1] == "a"


def test_everything_but_the_command_line_stays() -> None:
    spec = {
        "executable": "a",
        "arguments": ["b"],
        "name": "n",
        "launcher": "srun",
        "pre_launch": "x",
        "post_launch": "y",
        "environment": {"A": "b"},
        "attributes": {"duration": 60},
    }
    before = {**spec, "arguments": list(spec["arguments"])}
    wrapped = wrap_spec(spec, GUARD)
    assert spec == before, "the given spec is not touched"
    assert {**wrapped, "executable": "a", "arguments": ["b"]} == spec
    assert wrapped["arguments"][3:] == ["/guards", GUARD.key.digest, "1", "", "", "spec", "a", "b"]
    del spec["launcher"]
    alone = wrap_spec(spec, GUARD)
    assert "pre_launch" not in alone
    assert "post_launch" not in alone


def test_words_that_no_process_can_be_given_are_refused() -> None:
    for word in ("a\0b", "\ud800"):
        with pytest.raises(UsageError, match="the command line"):
            wrap_spec({"executable": "a", "arguments": [word]}, GUARD)
        with pytest.raises(UsageError, match="commands before and after"):
            wrap_spec({"executable": "a", "pre_launch": word}, GUARD)
