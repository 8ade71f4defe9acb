"""One program over many inputs as one job, as an array or a pack; what failed is done again alone."""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, XComArg
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout, TaskDeferred
from airflow_connections import connection_to
from airflow_versions import needs_store

from airflow_provider_iri import IriArrayOperator, IriHook, IriJobOperator
from airflow_provider_iri.elements import names_of, packed, seen_before, spread, told_by, unfinished
from airflow_provider_iri.errors import TaskFailed
from airflow_provider_iri.record import STORE_KEY
from iri_common import JobSpec, UsageError

# Runs once for each input; one that is "late" succeeds when it is asked for again.
SCRIPT = (
    'echo "$IRI_ELEMENT:$0:$1" >> ran; '
    'test "$1" != bad || exit 3; test "$1" != late || { test -e came || { touch came; exit 4; }; }'
)


@pytest.fixture(params=["array", "pack"])
def door(request, demo, connect) -> str:
    """A connection to an API that has arrays, or to one that has none."""
    firecrest = request.param == "array"
    extra = {"poll_seconds": 0.3} | ({"dialect": "firecrest"} if firecrest else {})
    url = demo.firecrest_url if firecrest else demo.base_url
    connect("iri_test", {"conn_type": "iri", "host": url, "password": demo.token, "extra": extra})
    return request.param


@pytest.fixture
def place(demo) -> Path:
    own = demo.scratch / uuid.uuid4().hex
    own.mkdir()
    return own


def operator(place: Path, *inputs: Any, **more: Any) -> IriArrayOperator:
    job = {
        "executable": "/bin/sh",
        "arguments": ["-c", SCRIPT, "it's"],
        "name": f"t{place.name[:8]}",
        "directory": str(place),
    }
    return IriArrayOperator(task_id="task", iri_conn_id="iri_test", job=job, inputs=list(inputs), **more)


def ran(place: Path) -> list[str]:
    return sorted((place / "ran").read_text().splitlines())


def rows(facility, place: Path) -> list[dict[str, Any]]:
    return [each for each in facility.jobs() if each["name"].startswith(f"t{place.name[:8]}.")]


def states(facility, place: Path) -> list[str]:
    """Of each job, or element of an array."""
    return [each["state"] for each in rows(facility, place)]


def jobs(facility, place: Path) -> list[dict[str, Any]]:
    """Its jobs; an array counts once."""
    found = rows(facility, place)
    return list({each["array_job"] or each["id"]: each for each in found}.values())


def test_every_input_is_an_element_of_one_job(demo, task, door, place: Path) -> None:
    inputs = ["a", ["b", "ignored"], "$HOME 'c'"]
    result = task.execute(operator(place, *inputs))
    assert (result["state"], result["exit_codes"]) == ("completed", [0, 0, 0])
    assert ran(place) == ["0:it's:a", "1:it's:b", "2:it's:$HOME 'c'"]
    assert len(jobs(demo, place)) == 1


@needs_store
def test_what_failed_is_done_again_alone(demo, task, door, place: Path) -> None:
    array = operator(place, "a", "late", "b", "late too")
    with pytest.raises(TaskFailed):
        task.execute(array)
    assert task.ti.xcoms["iri_elements"] == [0, 4, 0, 0]
    result = task.execute(array)
    assert result["exit_codes"] == [0, 0, 0, 0]
    assert ran(place) == ["0:it's:a", "1:it's:late", "1:it's:late", "2:it's:b", "3:it's:late too"]
    assert len(jobs(demo, place)) == 2


@needs_store
@pytest.mark.parametrize("by_then", [("a", "bad", "more", "and more"), ("a",)], ids=["more", "fewer"])
@pytest.mark.parametrize("second", ["b", "bad"])
def test_inputs_that_change_while_the_job_runs_are_not_the_jobs(
    task, door, place: Path, by_then: tuple[str, ...], second: str
) -> None:
    """Whoever goes on after the wait reads the DAG anew, and somebody may have edited it."""
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(place, "a", second))
    edited = operator(place, *by_then)
    if second == "b":
        assert task.resume(edited, deferred.value)["exit_codes"] == [0, 0]
    else:
        with pytest.raises(TaskFailed):
            task.resume(edited, deferred.value)
        assert task.ti.xcoms["iri_elements"] == [0, 3]
    assert task.store[STORE_KEY]["done"] == [0, 1] if second == "b" else [0]


@needs_store
def test_a_clear_does_all_of_them_again(demo, task, door, place: Path) -> None:
    array = operator(place, "a", "bad")
    with pytest.raises(TaskFailed):
        task.execute(array)
    assert task.store[STORE_KEY]["done"] == [0]
    task.ti.max_tries += 1
    with pytest.raises(TaskFailed):
        task.execute(array)
    assert ran(place) == ["0:it's:a", "0:it's:a", "1:it's:bad", "1:it's:bad"]


def test_elements_of_which_nothing_is_told_are_done_again(demo, task, connect, place: Path) -> None:
    """A pack that is killed tells nothing."""
    connect("iri_test", connection_to(demo))
    array = operator(place, "a", "b", run_limit=timedelta(seconds=1))
    array.job["arguments"][1] += "; test -e came || { touch came; sleep 60; }"
    with pytest.raises(AirflowTaskTimeout):
        task.execute(array)
    array.run_limit = None  # for a busy machine
    assert task.execute(array)["exit_codes"] == [0, 0]


@needs_store
@pytest.mark.parametrize("door", ["array"], indirect=True)
def test_what_succeeded_before_a_limit_is_not_done_again(demo, task, door, wait_until, place: Path) -> None:
    array = operator(place, "a", "b")
    array.job["arguments"][1] += "; test $1 != b || test -e came || { touch came; sleep 60; }"
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(array)
    wait_until(lambda: (place / "came").exists() and "completed" in states(demo, place))
    over = {"ref": deferred.value.trigger.ref, "trouble": "WaitTimeout", "message": "over its run_limit"}
    with pytest.raises(AirflowTaskTimeout):
        array.execute_complete(task.context, over)
    assert task.execute(array)["exit_codes"] == [0, 0]
    assert ran(place) == ["0:it's:a", "1:it's:b", "1:it's:b"]


@pytest.mark.parametrize("door", ["pack"], indirect=True)
def test_a_pack_is_not_taken_at_the_word_of_one_before_it(demo, task, door, place: Path) -> None:
    array = operator(place, "a", "b")
    array.job["stdout_path"] = str(place / "out")
    task.execute(array)
    task.ti.max_tries += 1
    demo.order("hold")
    try:
        with pytest.raises(TaskDeferred) as deferred:
            task.begin(array)
        IriHook("iri_test").facility.jobs.cancel(task.ti.xcoms["iri_job"])
        with pytest.raises(TaskFailed):
            task.resume(array, deferred.value)
    finally:
        demo.clear_faults()
    assert task.ti.xcoms["iri_elements"] == [None, None]


@needs_store
@pytest.mark.parametrize("door", ["pack"], indirect=True)
def test_a_retry_finds_the_job_whose_id_was_never_stored(demo, task, door, place: Path) -> None:
    array = operator(place, "a", "late")
    with pytest.raises(TaskFailed):
        task.execute(array)
    with pytest.raises(TaskDeferred):
        task.begin(array)
    task.store[STORE_KEY]["ref"] = None
    assert task.execute(array)["state"] == "completed"
    assert len(jobs(demo, place)) == 2


WHY = 'case $1 in bad*) echo "no such slice: $1" >&2; exit 3 ;; odd) echo "said here"; exit 5 ;; esac'


def at_api(demo, api: str, **more: Any) -> dict[str, Any]:
    """A connection to an API with arrays."""
    words = {
        "firecrest": (demo.firecrest_url, demo.new_token(), {}),
        "superfacility": (
            demo.superfacility_url,
            demo.superfacility_key.read_text(),
            {"credential": "key", "token_url": demo.superfacility_token_url},
        ),
        "slurm": (demo.slurm_url, demo.slurm_token, {"user": demo.slurm_user}),
    }
    url, password, extra = words[api]
    extra |= {"dialect": api, "poll_seconds": 0.3, **more}
    return {"conn_type": "iri", "host": url, "password": password, "extra": extra}


@pytest.mark.parametrize("api", ["firecrest", "superfacility", "slurm"])
def test_the_log_tells_why_the_first_elements_failed(
    demo, task, connect, capsys, caplog, place: Path, api: str
) -> None:
    connect("iri_test", at_api(demo, api))
    array = operator(place, "good", "bad b.h5", "odd", ["bad", "--dark"], "bad", "bad too")
    array.job["arguments"][1] = WHY
    caplog.set_level("INFO")
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(array)
    connect("iri_test", at_api(demo, api, poll_seconds=0.31))  # as in another worker, which knows no paths
    demo.reset_requests()
    with pytest.raises(TaskFailed) as failed:
        task.resume(array, deferred.value)
    assert "cannot be read" not in caplog.text
    assert (
        "5 of 6 elements have not succeeded: 1 ('bad b.h5'), exit code 3; 2 (odd), exit code 5; "
        "3 (bad --dark), exit code 3; and 2 more: 4-5"
    ) in capsys.readouterr().out
    _, one, two, three, more = re.split(r"\n(?=task |and )", str(failed.value))
    assert [each.partition(":")[0] for each in (one, two, three, more)] == [
        *("task 1 ('bad b.h5')", "task 2 (odd)", "task 3 (bad --dark)", "and 2 more")
    ]
    assert ("exit code 3" in one, "exit code 5" in two, "exit code 3" in three) == (True, True, True)
    if api != "slurm":  # which shows no files
        assert one.endswith("its stderr:\nno such slice: bad b.h5")
        assert two.endswith("its stdout:\nsaid here")
        assert three.endswith("its stderr:\nno such slice: bad")
    files = ("firecrestTail", "firecrestMetadata", "sfCommand")
    asked = [each for each in demo.requests() if each["operation"] in files]
    assert len(asked) <= 7  # where three wrote, and four files


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("door", ["array"], indirect=True)
def test_after_a_success_the_log_has_a_line_of_the_elements_and_no_file_is_read(
    demo, task, door, capsys, caplog, place: Path, follow: bool
) -> None:
    caplog.set_level("INFO")
    demo.reset_requests()
    task.execute(operator(place, "a", "b", follow=follow))
    assert "2 of 2 elements have succeeded" in capsys.readouterr().out
    assert not demo.requests("firecrestTail") + demo.requests("firecrestMetadata")
    assert "cannot be read" not in caplog.text


@pytest.mark.parametrize("door", ["pack"], indirect=True)
def test_a_pack_tells_in_its_stderr_where_an_element_failed(demo, task, door, capsys, place: Path) -> None:
    array = operator(place, "bad", "noisy", "bad last")
    array.job["arguments"][1] = f'{WHY}; for i in $(seq 50); do echo "noise $i" >&2; done'
    with pytest.raises(TaskFailed) as failed:
        task.execute(array)
    assert str(failed.value).endswith(
        "noise 50\nno such slice: bad last\niri-elements: element 2, exit code 3"
    )
    said = capsys.readouterr().out
    assert "2 of 3 elements have not succeeded: 0 (bad), exit code 3; 2 ('bad last'), exit code 3" in said
    early = "up to where element 0 failed:\nno such slice: bad\niri-elements: element 0, exit code 3"
    assert early in said
    assert "up to where element 2 failed" not in said  # that is in the error


@needs_store
@pytest.mark.parametrize("door", ["array"], indirect=True)
def test_elements_are_not_called_by_the_inputs_of_an_edited_dag(
    demo, task, door, capsys, place: Path
) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(place, "a", "bad"))
    with pytest.raises(TaskFailed, match=r"\ntask 1: failed"):
        task.resume(operator(place, "a", "another"), deferred.value)
    assert "have not succeeded: 1, exit code 3" in capsys.readouterr().out


@pytest.mark.parametrize("door", ["array"], indirect=True)
def test_another_input_is_another_ask(demo, task, door, place: Path) -> None:
    task.execute(operator(place, "a"))
    task.execute(operator(place, "b"))
    assert ran(place) == ["0:it's:a", "0:it's:b"]


@pytest.mark.parametrize(
    ("inputs", "more", "says"),
    [
        ([], {}, "at least one element"),
        (["a", 7], {}, "input 1 is a text, or a list of texts, not 7"),
        (["a"], {"parallel": 0}, "parallel is 1 or more"),
        (["x" * 200_000], {}, "put them into files"),
    ],
)
def test_inputs_that_make_no_sense_fail_the_parsing_of_the_dag(inputs: Any, more: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        operator(Path("/"), *inputs, **more)


@pytest.mark.parametrize("door", ["pack"], indirect=True)
def test_inputs_of_another_task_are_checked_when_they_are_there(demo, task, door) -> None:
    with DAG("dag"):
        before = IriJobOperator(task_id="before", job={"executable": "x"})
        array = IriArrayOperator(
            task_id="task", iri_conn_id="iri_test", job={"executable": "x"}, inputs=XComArg(before)
        )
    array.inputs = "not a list"  # as rendered
    with pytest.raises(AirflowFailException, match="inputs are a list"):
        task.execute(array)


class Given(Sequence[str]):
    """What Airflow hands over of a mapped task: a sequence, and no list."""

    def __getitem__(self, index: Any) -> Any:
        return ["a", "b"][index]

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize("door", ["pack"], indirect=True)
def test_the_results_of_a_mapped_task_are_inputs(demo, task, door, place: Path) -> None:
    array = operator(place, "as rendered:")
    array.inputs = Given()
    assert task.execute(array)["exit_codes"] == [0, 0]
    assert ran(place) == ["0:it's:a", "1:it's:b"]


SPEC = JobSpec(executable="/bin/sh", arguments=["-c", 'echo "$1"; exit "$1"', "sh"])


def test_a_pack_runs_its_lanes_and_tells_every_code() -> None:
    pack = packed(SPEC, [(str(code),) for code in range(7)], [0, 2, 3, 5, 6], 3, "x.1")
    done = subprocess.run([pack.executable, *pack.arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert told_by(done.stdout, [0, 2, 3, 5, 6], "x.1") == {0: 0, 2: 2, 3: 3, 5: 5, 6: 6}
    assert sorted(done.stdout.splitlines()[:5]) == ["0", "2", "3", "5", "6"]


@pytest.mark.parametrize(
    "output",
    ["", "iri-elements: x.1 0", "iri-elements: x.1 0 x", "iri-elements: x.1 0 0 0", "iri-elements: x.2 0 0"],
)
def test_what_a_pack_did_not_tell_is_not_made_up(output: str) -> None:
    assert told_by(output, [3, 4], "x.1") == {}


@pytest.mark.parametrize(
    ("left", "parallel", "array"),
    [([0, 1, 2], None, "0-2"), ([1], 4, "1%4"), ([0, 2, 3, 4, 9], 2, "0,2-4,9%2")],
)
def test_the_indices_of_an_array(left: list[int], parallel: int | None, array: str) -> None:
    spec = spread(SPEC, [(str(each),) for each in range(10)], left, parallel)
    assert spec.attributes.array == array


def test_an_array_of_the_author_and_a_launcher_are_refused() -> None:
    with pytest.raises(UsageError, match=r"leave attributes\.array out"):
        spread(JobSpec(executable="x", attributes={"array": "0-1"}), [("a",)], [0], None)
    with pytest.raises(UsageError, match="no launcher"):
        packed(JobSpec(executable="x", launcher="srun"), [("a",)], [0], None, "x.1")


def test_what_a_person_knows_elements_by_is_one_short_line() -> None:
    names = names_of([("a.h5", "--dark"), ("two\nlines",), ("x" * 200,)])
    assert (names[0], names[1]) == ("a.h5 --dark", "'two lines'")
    assert (len(names[2]), names[2][-1]) == (80, "…")


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ([0, 0], ""),
        ([0, None], "1 of 2 elements have not succeeded: 1, no exit code"),
        ([2, 0], "1 of 2 elements have not succeeded: 0 (a), exit code 2"),
        ([1] * 9, "9 of 9 elements have not succeeded: 0 (a), exit code 1; 1, exit code 1; "
         "2, exit code 1; and 6 more: 3-8"),
    ],
)  # fmt: skip
def test_a_line_tells_which_elements_have_not_succeeded(told: list[int | None], says: str) -> None:
    assert unfinished(told, {0: "a"}) == says


def test_what_stood_in_stderr_at_a_failure_is_shown_once() -> None:
    early = ["old", "why", "iri-elements: element 1, exit code 3"]
    late = ["iri-elements: element 2, exit code 4", *["noise"] * 3]
    stderr = "\n".join([*early, *["noise"] * 5, *late])
    assert seen_before(stderr, [0, 3, 4, None], 2) == {
        1: "why\niri-elements: element 1, exit code 3",
        2: "noise\niri-elements: element 2, exit code 4",
    }
    assert list(seen_before(stderr, [0, 3, 4, None], 4)) == [1]
    assert seen_before(stderr, [0, 3, 4, None], 40) == {}
    assert seen_before("", [3], 2) == {}
