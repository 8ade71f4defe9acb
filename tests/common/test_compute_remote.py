"""The text that runs at endpoints of Globus Compute: once for a key, and what it tells."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from iri_common import FunctionCall, JobKey, ShellCall
from iri_common.jobside import remote
from iri_common.jobside.calls import ENTRY, REMOTE, Call, argument, digest_of, told

KEY = JobKey.of("scan", 12)
Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a call as a task of an id, or of none."""
    monkeypatch.chdir(tmp_path)

    def run(call: Call, task: str | None = "t1", key: JobKey = KEY, *, recall: bool = False) -> Any:
        if task is None:
            monkeypatch.delenv("GC_TASK_UUID", raising=False)
        else:
            monkeypatch.setenv("GC_TASK_UUID", task)
        root = str(tmp_path / "root")
        ask = json.loads(json.dumps(argument(call, key, digest_of(call.words), root, recall=recall)))
        space: dict[str, Any] = {}
        exec(REMOTE, space)  # as an endpoint does
        return told(json.loads(json.dumps(space[ENTRY](ask))))

    return run


def touch(path: str) -> str:
    with open(path, "a") as file:
        file.write("x")
    return path


def fails(path: str) -> None:
    with open(path, "a") as file:
        file.write("x")
    raise KeyError("no beam")


def test_a_function_runs_once_for_its_key(run: Run, tmp_path: Path) -> None:
    call = FunctionCall.of(touch, "log")
    assert run(call).value == "log"
    assert run(call, "t2").value == "log"  # told from what was kept
    assert run(call, None).value == "log"
    assert (tmp_path / "log").read_text() == "x"
    assert run(call, "t3", KEY.next()).value == "log"
    assert (tmp_path / "log").read_text() == "xx"
    leftovers = {path.name for path in (tmp_path / "root" / KEY.digest).iterdir()}
    assert leftovers == {"1.task.owner", "1.task.result", "2.task.owner", "2.task.result"}


def test_what_is_left_is_told_without_any_work(run: Run, tmp_path: Path) -> None:
    call, root = FunctionCall.of(touch, "log"), tmp_path / "root"
    assert run(call, recall=True).double_of == ""
    assert not root.exists()
    run(call)
    assert run(call, "t2", recall=True).value == "log"
    assert (tmp_path / "log").read_text() == "x"


def test_more_than_plain_data_is_returned_as_it_is(run: Run, tmp_path: Path) -> None:
    ask = argument(FunctionCall("f", "def f():\n    return 1j\n"), KEY, "d", str(tmp_path / "root"))
    assert remote.iri_task(ask) == 1j


def test_a_double_tells_whose_the_work_is(run: Run, tmp_path: Path) -> None:
    call = FunctionCall.of(fails, "log")
    with pytest.raises(KeyError, match="no beam"):
        run(call)
    assert run(call, "t2").double_of == "t1"
    with pytest.raises(KeyError):  # what the endpoint itself runs again is no double
        run(call, "t1")
    assert (tmp_path / "log").read_text() == "xx"


def test_an_endpoint_that_tells_no_ids_has_doubles_all_the_same(run: Run, tmp_path: Path) -> None:
    call = FunctionCall.of(fails, "log")
    with pytest.raises(KeyError):
        run(call, None)
    assert run(call, None).double_of == run(call, "t2").double_of == ""
    assert (tmp_path / "log").read_text() == "x"


def test_another_call_under_the_same_key_is_refused(run: Run) -> None:
    run(FunctionCall.of(touch, "log"))
    with pytest.raises(ValueError, match="used for something else"):
        run(FunctionCall.of(touch, "other"), "t2")


def test_of_a_crowd_one_works(tmp_path: Path) -> None:
    stem = str(tmp_path / "1.task")
    with ThreadPoolExecutor(8) as pool:
        owners = set(pool.map(lambda number: remote._owner(stem, f"t{number}", "d"), range(64)))
    assert len(owners) == 1


def test_a_traceback_shows_the_functions_lines(run: Run) -> None:
    with pytest.raises(KeyError) as caught:
        run(FunctionCall.of(fails, "log"))
    assert 'raise KeyError("no beam")' in "".join(map(str, caught.traceback[-1:]))


def test_annotations_need_not_be_there(run: Run) -> None:
    source = "def f(x: np.ndarray) -> np.ndarray:\n    return f.__name__ + x\n"
    assert run(FunctionCall("f", source, ["!"])).value == "f!"


def test_what_is_no_plain_data_is_not_kept(tmp_path: Path) -> None:
    assert not remote._plain(str(tmp_path / "a"), {"value": 1j})
    assert remote._plain(str(tmp_path / "b"), {"value": "x" * remote.LARGEST})
    assert list(tmp_path.iterdir()) == []


def test_a_command_runs_where_and_as_it_is_asked_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    words = 'pwd; echo "$GREETING"; echo oops >&2; cat; exit 3'
    shell = run(ShellCall(words, str(tmp_path / "inner"), {"GREETING": "hello  you"})).shell
    assert (shell.exit_code, shell.timed_out) == (3, False)
    assert shell.stdout == f"{tmp_path}/inner\nhello  you\n"
    assert shell.stderr == "oops\n"
    assert Path(shell.stdout_path).read_text() == shell.stdout
    assert Path(shell.stderr_path).parent == tmp_path / "root" / KEY.digest
    with pytest.raises(FileNotFoundError):
        run(ShellCall("true", "/none"), key=JobKey.of("elsewhere"))


def test_the_end_of_what_a_command_wrote_comes_back(run: Run, tmp_path: Path) -> None:
    shell = run(ShellCall("head -c 200000 /dev/zero | tr '\\0' a; printf '\\377 end'", stdout="out")).shell
    assert (len(shell.stdout), shell.stdout[-6:]) == (65_536, "a\ufffd end")
    assert (tmp_path / "out").stat().st_size == 200_005


def test_a_command_whose_time_is_up_is_ended(run: Run) -> None:
    shell = run(ShellCall("sleep 60", seconds=0.2)).shell
    assert (shell.timed_out, shell.exit_code) == (True, -15)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("sleep 60 & echo $!; wait", -15),
        ("trap '' TERM; sleep 60 & echo $!; wait; wait", -9),
        ("(trap '' TERM; echo $BASHPID; exec sleep 60) & wait", -15),  # it outlives its shell
    ],
)
def test_what_a_command_has_begun_ends_with_it(line: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "GRACE", 0.2 if "trap" in line else 20)
    child = subprocess.Popen(
        ["bash", "-c", line],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    with child.stdout:
        grandchild = int(child.stdout.readline())
        remote._end(child)
    assert child.wait(10) == code
    deadline = time.monotonic() + 60
    while _lives(grandchild):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")
