"""One operation on a facility's files as a task, and what a second try of it does."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow_versions import needs_store

from airflow_provider_iri import IriFileOperator
from airflow_provider_iri.errors import TaskFailed


@pytest.fixture
def own(demo) -> Path:
    """A directory of the test's own at the facility, with a file and a directory in it."""
    own = demo.scratch / uuid.uuid4().hex
    (own / "run").mkdir(parents=True)
    (own / "run" / "a").write_text("a\n")
    (own / "in").write_text("first\nlast\n")
    yield own
    demo.clear_faults()


def operator(operation: str, path: Any, target: Any = None, **more: Any) -> IriFileOperator:
    where = {} if target is None else {"target": str(target)}
    return IriFileOperator(task_id="task", operation=operation, path=str(path), **where, **more)


def test_what_is_asked_for_is_told(own: Path, task) -> None:
    words = (own / "in").read_bytes()
    assert task.execute(operator("stat", own / "in"))["size"] == len(words)
    digest = task.execute(operator("checksum", own / "in"))
    assert digest == {"algorithm": "SHA-256", "value": hashlib.sha256(words).hexdigest()}
    assert {each["name"] for each in task.execute(operator("ls", own))} == {"in", "run"}
    assert task.execute(operator("tail", own / "in", options={"lines": 1}))["content"] == "last\n"


KNOWN_AGAIN = [pytest.param(each, marks=needs_store) for each in ("cp", "mv")]


@pytest.mark.parametrize("operation", ["mkdir", "rm", *KNOWN_AGAIN, "chmod", "compress"])
def test_an_operation_does_the_same_a_second_time(own: Path, task, operation: str) -> None:
    """A retry, whose first try did it and was not told."""
    there = {
        "mkdir": (own / "new" / "deep",),
        "rm": (own / "run",),
        "cp": (own / "run", own / "copy"),
        "mv": (own / "run", own / "moved"),
        "chmod": (own / "in",),
        "compress": (own / "run", own / "run.tgz"),
    }[operation]
    options = {"options": {"mode": 0o640}} if operation == "chmod" else {}
    for _ in range(2):
        assert task.execute(operator(operation, *there, **options)) is None
        found = sorted(str(each.relative_to(own)) for each in own.rglob("*"))
        assert (
            found
            == {
                "mkdir": ["in", "new", "new/deep", "run", "run/a"],
                "rm": ["in"],
                "cp": ["copy", "copy/a", "in", "run", "run/a"],
                "mv": ["in", "moved", "moved/a"],
                "chmod": ["in", "run", "run/a"],
                "compress": ["in", "run", "run.tgz", "run/a"],
            }[operation]
        )
    assert operation != "chmod" or (own / "in").stat().st_mode & 0o777 == 0o640


AGAIN = pytest.mark.parametrize("cleared", [False, True], ids=["retry", "clear"])


@needs_store
@AGAIN
def test_a_move_whose_reply_was_lost_is_done(own: Path, task, demo, cleared: bool) -> None:
    demo.order("lose_reply", "mv", times=1)
    with pytest.raises(AirflowException):
        task.execute(operator("mv", own / "in", own / "out"))
    task.ti.max_tries += cleared
    assert task.execute(operator("mv", own / "in", own / "out")) is None
    assert (own / "out").read_text() == "first\nlast\n"


@needs_store
@AGAIN
def test_half_a_copy_is_copied_again(own: Path, task, demo, cleared: bool) -> None:
    demo.order("status", "cp", status=403, times=2)
    for _ in range(2):
        with pytest.raises(AirflowException):
            task.execute(operator("cp", own / "run", own / "copy"))
        (own / "copy").mkdir()  # as far as it got
        (own / "copy" / "half").write_text("")
        task.ti.max_tries += cleared
    task.execute(operator("cp", own / "run", own / "copy"))
    assert [each.name for each in (own / "copy").iterdir()] == ["a"]


@needs_store
@pytest.mark.parametrize("operation", ["cp", "mv"])
@pytest.mark.parametrize(
    ("source", "says"),
    [
        pytest.param("in", "name the new path itself", id="of-a-file"),
        pytest.param("nothing", "No such file", id="of-what-is-gone"),
    ],
)
def test_a_directory_that_can_be_no_half_copy_is_left_alone(
    own: Path, task, demo, operation: str, source: str, says: str
) -> None:
    demo.order("status", operation, status=403, times=1)
    with pytest.raises(AirflowException):
        task.execute(operator(operation, own / source, own / "out"))
    (own / "out").mkdir()
    (own / "out" / "precious").write_text("")
    if (operation, source) == ("mv", "nothing"):
        assert (
            task.execute(operator(operation, own / source, own / "out")) is None
        )  # it may be what was moved
    else:
        with pytest.raises(AirflowFailException, match=says):
            task.execute(operator(operation, own / source, own / "out"))
    assert [each.name for each in (own / "out").iterdir()] == ["precious"]


@needs_store
def test_a_move_that_may_go_on_is_not_asked_for_again(own: Path, task, demo) -> None:
    """It would put what is left of the directory into that which is there already."""
    demo.order("status", "mv", status=403, times=1)
    with pytest.raises(AirflowException):
        task.execute(operator("mv", own / "run", own / "out"))
    (own / "out").mkdir()  # as a facility begins that has to copy
    with pytest.raises(TaskFailed, match="may go on yet"):
        task.execute(operator("mv", own / "run", own / "out"))
    (own / "run" / "a").rename(own / "out" / "a")
    (own / "run").rmdir()
    assert task.execute(operator("mv", own / "run", own / "out")) is None
    assert [each.name for each in (own / "out").iterdir()] == ["a"]
    assert len(demo.requests("mv")) == 1


@pytest.mark.parametrize("operation", ["cp", "mv"])
def test_nothing_goes_into_a_directory_that_is_there(own: Path, task, operation: str) -> None:
    with pytest.raises(AirflowFailException, match="name the new path itself"):
        task.execute(operator(operation, own / "in", own / "run"))
    assert [each.name for each in (own / "run").iterdir()] == ["a"]


@pytest.mark.parametrize("operation", ["stat", "mv", "chmod"])
def test_what_is_not_there_fails_for_good(own: Path, task, operation: str) -> None:
    target = own / "out" if operation == "mv" else None
    options = {"options": {"mode": 0o640}} if operation == "chmod" else {}
    with pytest.raises(AirflowFailException, match="nothing"):
        task.execute(operator(operation, own / "nothing", target, **options))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"operation": "shred", "path": "/a"}, "one of"),
        ({"operation": "mv", "path": "/a"}, "wants a target"),
        ({"operation": "rm", "path": "/a", "target": "/b"}, "has no target"),
    ],
)
def test_a_task_that_makes_no_sense_fails_when_its_dag_is_read(words: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        IriFileOperator(task_id="task", **words)


def test_options_may_come_from_another_task(own: Path, task) -> None:
    with DAG("options", schedule=None):
        before = operator("ls", own).output
        made = IriFileOperator(task_id="after", operation="chmod", path=str(own / "in"), options=before)
    assert made.upstream_task_ids == {"task"}
    made.options = {"mode": 0o640}  # rendered
    task.execute(made)
    assert (own / "in").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("operation", "options", "says"),
    [
        ("stat", {"colour": "red"}, "colour"),
        ("stat", {"dereference": "maybe"}, "dereference is true or false, not 'maybe'"),
        ("head", {"lines": "few"}, "lines is a number, not 'few'"),
        ("chmod", {"mode": "rwx"}, "mode is a number"),
        ("stat", {"storage": "scratch"}, "storage"),
        ("checksum", {"timeout": "5"}, "timeout"),
    ],
)
def test_an_option_that_makes_no_sense_fails_for_good(
    own: Path, task, demo, operation: str, options: dict[str, str], says: str
) -> None:
    with pytest.raises(AirflowFailException, match=says):
        task.execute(operator(operation, own / "in", options=options))
    assert demo.requests() == []


NOTHING = pytest.mark.parametrize("nothing", [None, "", " ", "None"])


@NOTHING
@pytest.mark.parametrize("operation", ["rm", "mkdir", "mv", "stat"])
def test_a_path_that_comes_to_nothing_is_not_asked_for(
    own: Path, task, demo, operation: str, nothing: str | None
) -> None:
    made: Any = operator(operation, own / "in", own / "out" if operation == "mv" else None)
    made.path = nothing  # as rendered
    with pytest.raises(AirflowFailException, match="has come to nothing"):
        task.execute(made)
    assert demo.requests() == []


@NOTHING
def test_nothing_is_moved_to_a_target_that_comes_to_nothing(
    own: Path, task, demo, nothing: str | None
) -> None:
    made = operator("mv", own / "in", own / "out")
    made.target = nothing
    with pytest.raises(AirflowFailException, match="the target of mv has come to nothing"):
        task.execute(made)
    assert demo.requests() == []


def test_a_path_may_be_one_of_pythons(own: Path, task) -> None:
    made: Any = operator("cp", "/", "/")
    made.path, made.target = own / "in", own / "out"
    task.execute(made)
    assert (own / "out").read_text() == "first\nlast\n"


@pytest.mark.parametrize("options", [["lines"], "{'lines': 1}"])
def test_options_that_are_no_words_fail_for_good(own: Path, task, options: Any) -> None:
    with pytest.raises(AirflowFailException, match="words and their values"):
        task.execute(operator("tail", own / "in", options=options))


def test_an_option_that_was_a_template_is_what_its_text_says(own: Path, task) -> None:
    task.execute(operator("chmod", own / "in", options={"mode": "640"}))
    assert (own / "in").stat().st_mode & 0o777 == 0o640
    assert task.execute(operator("tail", own / "in", options={"lines": "1"}))["content"] == "last\n"
    listed = task.execute(operator("ls", own, options={"recursive": "False"}))
    assert {each["name"] for each in listed} == {"in", "run"}
