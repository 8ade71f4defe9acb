"""A program behind the guard lives as if it had no guard: signals, input, descriptors, manners."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from jobside_shells import SHELLS, Place, ended, python, sh, until

# Says "ready", then one line for each signal that it sees, until it is told to end.
LISTEN = """
import os, signal, sys
seen = []
def note(number, frame):
    os.write(1, signal.Signals(number).name.encode() + b'\\n')
    seen.append(number)
numbers = [signal.Signals[name] for name in sys.argv[2:]]
for number in numbers:
    signal.signal(number, note)
print('ready', flush=True)
while len(seen) < len(numbers):
    signal.pause()
sys.exit(int(sys.argv[1]))
"""
pytestmark = pytest.mark.timeout(60)
FORWARDED = ["HUP", "INT", "QUIT", "ALRM", "USR1", "USR2", "TERM", "XCPU"]


@pytest.fixture(params=SHELLS.values(), ids=SHELLS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path / "root")


def number_of(name: str) -> int:
    return int(signal.Signals[f"SIG{name}"])


def codes_with_signal(place: Place, code: int, name: str) -> set[int]:
    """What a guard may say of a program that ended in the very moment of a signal: bash forgets its code."""
    is_bash = "bash" in os.path.realpath(str(shutil.which(place.shell[0])))
    return {code, 128 + number_of(name)} if is_bash else {code}


# ------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("around", [{}, {"pre_launch": "set -eu", "post_launch": "true"}], ids=["", "within"])
def test_each_signal_to_the_shell_reaches_the_program(place: Place, around: dict) -> None:
    job = place.start(python(LISTEN, "7", *(f"SIG{name}" for name in FORWARDED), **around))
    assert job.stdout
    assert job.stdout.readline() == b"ready\n"
    for name in FORWARDED:
        os.kill(job.pid, number_of(name))
        assert job.stdout.readline() == f"SIG{name}\n".encode()
    result = ended(job)
    assert (result.code, result.stderr) == (7, "")
    assert place.journal.exit_code == 7


@pytest.mark.parametrize("name", FORWARDED)
def test_a_program_that_a_signal_ended_says_so(place: Place, name: str) -> None:
    job = place.start(python("print('ready', flush=True); import signal; signal.pause()"))
    assert job.stdout
    assert job.stdout.readline() == b"ready\n"
    os.kill(job.pid, number_of(name))
    result = ended(job)
    # Python makes an exception of INT and dies of it.
    assert result.code == 128 + number_of(name)
    assert "Terminated" not in result.stderr
    assert place.journal.exit_code == result.code
    assert place.journal.ended


@pytest.mark.parametrize("signal_name", ["KILL", "SEGV", "ABRT", "TERM"])
def test_a_program_that_dies_by_itself_says_how(place: Place, signal_name: str) -> None:
    result = place.run(sh(f"kill -{signal_name} $$"))
    assert result.code == place.journal.exit_code == 128 + number_of(signal_name)


def test_many_signals_do_not_confuse_the_wait(place: Place) -> None:
    count = "for i in 1 2 3 4 5 6 7 8; do sleep 0.1; done"
    job = place.start(sh(f"trap 'n=$((n+1))' USR1; echo ready; {count}; echo done; exit 9"))
    assert job.stdout
    assert job.stdout.readline() == b"ready\n"
    while job.poll() is None:
        os.kill(job.pid, signal.SIGUSR1)
        time.sleep(0.005)
    result = ended(job)
    assert result.stdout == b"done\n", "the guard outlives the program"
    assert result.code in codes_with_signal(place, 9, "USR1")
    assert place.journal.exit_code == result.code


@pytest.mark.parametrize("delay", [0, 2, 4, 6, 8, 12, 16, 24, 32])
def test_a_signal_at_any_moment_ends_it_and_the_journal_is_true(place: Place, delay: int) -> None:
    job = place.start({"executable": "/bin/sleep", "arguments": ["20"]})
    time.sleep(delay / 1000)
    os.kill(job.pid, signal.SIGTERM)
    result = ended(job)
    assert result.code in {143, -signal.SIGTERM}
    assert result.seconds < 5, "the signal was not lost"
    assert place.journal.exit_code == (143 if place.journal.began else None)


def test_a_signal_to_the_whole_group_ends_it(place: Place) -> None:
    job = place.start(sh("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done"))
    assert job.stdout
    assert job.stdout.readline() == b"ready\n"
    os.killpg(job.pid, signal.SIGTERM)
    result = ended(job)
    assert result.stdout in (b"bye\n", b"bye\nbye\n"), "the program may see it twice"
    assert result.code in codes_with_signal(place, 5, "TERM")
    assert place.journal.exit_code == result.code


def test_a_node_that_dies_leaves_a_beginning_without_end(place: Place) -> None:
    job = place.start({"executable": "/bin/sleep", "arguments": ["30"]})
    until(lambda: place.journal.began)
    os.killpg(job.pid, signal.SIGKILL)
    ended(job)
    assert (place.journal.began, place.journal.ended, place.journal.exit_code) == (True, False, None)
    again = place.run(sh("exit 0"), environment={"IRI_RESTART_COUNT": "1"})
    assert (again.code, place.journal.exit_code, len(place.journal.attempts)) == (0, 0, 2)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux shows what is ignored")
def test_the_program_ignores_what_it_would_ignore_anyway(place: Place) -> None:
    show = "print([l for l in open('/proc/self/status') if l.startswith(('SigIgn', 'SigBlk'))])"
    plain = subprocess.run([python(show)["executable"], "-I", "-c", show], capture_output=True, check=True)
    assert place.run(python(show)).stdout == plain.stdout
    around = Place(place.shell, place.root).run(python(show, pre_launch="true"))
    assert around.stdout == plain.stdout


def test_a_signal_ignored_from_the_start_stays_ignored(place: Place) -> None:
    job = place.start(
        sh("echo ready; sleep 0.5; echo done"),
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert job.stdout
    assert job.stdout.readline() == b"ready\n"
    os.kill(job.pid, signal.SIGHUP)
    assert ended(job).stdout == b"done\n"


# ----------------------------------------------------------------------------- input, descriptors, manners


def test_input_arrives_while_the_program_runs(place: Place) -> None:
    job = place.start({"executable": "/bin/cat"}, stdin=subprocess.PIPE)
    assert job.stdin
    assert job.stdout
    for line in (b"one\n", b"two\n"):
        job.stdin.write(line)
        job.stdin.flush()
        assert job.stdout.readline() == line
    assert ended(job).code == 0


def _hand_down(opened: int, numbers: list[int]) -> None:
    """In the child: these descriptors, and none of those that the tests' own process happens to have."""
    for fd in range(3, 1024):
        with contextlib.suppress(OSError):
            os.set_inheritable(fd, False)
    for fd in numbers:
        os.dup2(opened, fd)
        os.set_inheritable(fd, True)  # onto itself, dup2 changes nothing


@pytest.mark.parametrize("inherited", [[], [3], [9], [8, 9], [3, 7, 8, 9], [15]])
def test_descriptors_are_handed_down_and_none_is_added(
    place: Place, inherited: list[int], tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("data")
    show = (
        "import os\n"
        "fds = sorted(int(n) for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}'))\n"
        "print([(fd, os.fstat(fd).st_ino) for fd in fds if fd > 2], os.read(0, 9))\n"
    )
    opened = os.open(tmp_path / "data", os.O_RDONLY)
    try:
        job = place.start(
            python(show),
            stdin=subprocess.PIPE,
            preexec_fn=lambda: _hand_down(opened, inherited),
            close_fds=False,
        )
        result = ended(job, b"input")
    finally:
        os.close(opened)
    inode = (tmp_path / "data").stat().st_ino
    assert (result.stdout.decode(), result.stderr) == (
        f"{[(fd, inode) for fd in inherited]} {b'input'!r}\n",
        "",
    )


def test_closed_input_stays_closed(place: Place) -> None:
    show = "import os\ntry: os.fstat(0); print('open')\nexcept OSError: print('closed')"
    job = place.start(python(show), stdin=None, preexec_fn=lambda: os.close(0))
    assert ended(job).stdout == b"closed\n"


def test_umask_is_the_jobs_own(place: Place) -> None:
    job = place.start(sh("umask; ulimit -c"), preexec_fn=lambda: os.umask(0o027))
    assert ended(job).stdout.startswith(b"0027\n")


@pytest.mark.parametrize("code", [0, 1, 2, 126, 127, 128, 129, 143, 211, 255])
def test_every_exit_code_is_the_programs(place: Place, code: int) -> None:
    assert (place.run(sh(f"exit {code}")).code, place.journal.exit_code) == (code, code)


@pytest.mark.parametrize(("name", "code"), [("/no/such", 127), ("no-such-program", 127), ("/etc", 126)])
def test_a_program_that_cannot_be_started(place: Place, name: str, code: int) -> None:
    result = place.run({"executable": name})
    assert (result.code, place.journal.exit_code) == (code, code)
    assert name in result.stderr


# ---------------------------------------------------------------------------- commands before and after


@pytest.mark.parametrize(
    ("before", "program", "after", "code", "output"),
    [
        ("echo a", "echo b", "echo c", 0, "a\nb\nc\n"),
        ("echo a", "exit 3", "echo c $?", 3, "a\nc 3\n"),
        ("echo a; exit 4", "echo b", "echo c", 4, "a\n"),
        ("false", "echo b", None, 0, "b\n"),
        ("set -eu; echo a", "echo ${x-unset}; false; echo b", "echo $never_set", 1, "a\nunset\nb\n"),
        ("set -e", "exit 3", "echo c", 3, ""),
        ("set -e; trap 'echo bye' EXIT", "exit 3", None, 3, "bye\n"),
        ("cd /; X=1; export X; Y=2", "echo $PWD $X ${Y-}", "echo $PWD $Y", 0, "/ 1\n/ 2\n"),
        ("exec 2>&1; umask 077", "umask; echo e >&2", None, 0, "0077\ne\n"),
        (None, "exit 3", "exit 0", 0, ""),
        ("f() { echo f; }\nf # comment", "echo b", "f # comment", 0, "f\nb\nf\n"),
        ("cat <<X\nhere $((1+1))\nX", "cat", None, 0, "here 2\ninput"),
        (None, "echo b", "echo c; kill -9 $$", 137, "b\nc\n"),
    ],
)
def test_commands_before_and_after_do_what_they_would_do_in_a_script(
    place: Place, before: str | None, program: str, after: str | None, code: int, output: str
) -> None:
    around = {name: text for name, text in (("pre_launch", before), ("post_launch", after)) if text}
    result = place.run(sh(program, **around), input=b"input")
    if "never_set" in (after or ""):
        assert result.code not in (0, None)
    else:
        assert result.code == code
    assert result.stdout.decode() == (output if code != 1 else "a\nunset\nb\n")
    assert place.journal.exit_code == result.code


def test_a_double_runs_none_of_them(place: Place, tmp_path: Path) -> None:
    spec = sh("echo b", pre_launch="echo a", post_launch="echo c")
    assert place.run(spec, job="1").stdout == b"a\nb\nc\n"
    assert (place.run(spec, job="2").stdout, place.journal.attempts[0].job_id) == (b"", "1")


def test_they_may_be_written_for_bash(place: Place) -> None:
    spec = sh("echo $X", pre_launch="a=(x y); [[ ${a[1]} == y ]] && source /dev/null && export X=${a[1]}")
    assert place.run(spec).stdout == b"y\n"


@pytest.mark.parametrize("options", ["-e", "-u", "-eu", "-f"])
def test_options_of_the_shell_do_not_matter(place: Place, options: str) -> None:
    place.shell = [*place.shell, options]
    result = place.run(sh("echo $-; exit 3"))
    assert (result.code, place.journal.exit_code) == (3, 3)
    assert not set(options[1:]) & set(result.stdout.decode())
