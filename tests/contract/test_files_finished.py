"""What a facility takes long for with files: one process asks for it, another one waits for its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS, Door

from iri_common import (
    AmbiguousReply,
    Facility,
    FacilityTask,
    NotFound,
    NotOffered,
    TransientError,
    UsageError,
    WaitTimeout,
)
from iri_local_facility import LocalFacility

pytestmark = [pytest.mark.timeout(90), pytest.mark.usefixtures("short_pauses")]

WORDS = b"first\nlast\n"
ALL = ("checksum", "compress", "cp", "extract", "mv", "rm")
# What each API answers with a promise; it does the rest at once.
PROMISED = {"iri-v2": ALL, "iri-v1": ALL, "superfacility": ALL, "firecrest": ("cp", "mv")}


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    words = {name: value for each in PROMISED for name, value in DOORS[each].start.items()}
    with LocalFacility(nodes=4, kill_grace=0.2, **words) as facility:
        yield facility


@pytest.fixture(params=PROMISED)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def door(name: str) -> Door:
    return DOORS[name]


@pytest.fixture
def facility(place: LocalFacility, door: Door, tmp_path: Path) -> Facility:
    return door.open(place, tmp_path)


@pytest.fixture
def folder(place: LocalFacility, tmp_path: Path) -> Path:
    made = place.home / f"finished-{tmp_path.name}"
    made.mkdir()
    (made / "in").write_bytes(WORDS)
    return made


def ask(facility: Facility, folder: Path, operation: str, source: str = "in", **words: Any) -> Any:
    at = str(folder / source)
    target = [] if operation in {"rm", "checksum"} else [str(folder / "out")]
    return getattr(facility.files, operation)(at, *target, **words)


def left_at_work(call: Callable[[], object]) -> FacilityTask:
    with pytest.raises(WaitTimeout, match="may still finish there") as late:
        call()
    assert late.value.task is not None
    return FacilityTask(**{word: str(value) for word, value in asdict(late.value.task).items()})


@pytest.mark.parametrize("operation", ALL)
def test_another_process_sees_the_end(
    place: LocalFacility, name: str, facility: Facility, folder: Path, tmp_path: Path, operation: str
) -> None:
    source = "in"
    if operation == "extract":
        facility.files.compress(str(folder / "in"), str(folder / "packed"))
        (folder / "out").mkdir()  # FirecREST makes none
        source = "packed"
    if operation not in PROMISED[name]:
        ask(facility, folder, operation, source, timeout=0.0)
        return
    task = left_at_work(lambda: ask(facility, folder, operation, source, timeout=0.0))
    told = DOORS[name].open(place, tmp_path / "other").files.finish(task)
    assert told == (facility.files.checksum(str(folder / "in")) if operation == "checksum" else None)
    found = sorted(str(each.relative_to(folder)) for each in folder.rglob("*"))
    assert (
        found
        == {
            "checksum": ["in"],
            "compress": ["in", "out"],
            "cp": ["in", "out"],
            "extract": ["in", "out", "out/in", "packed"],
            "mv": ["out"],
            "rm": [],
        }[operation]
    )


def test_it_tells_how_it_failed(facility: Facility, folder: Path) -> None:
    task = left_at_work(lambda: ask(facility, folder, "cp", "nothing", timeout=0.0))
    with pytest.raises(NotFound):
        facility.files.finish(task)


def test_a_wait_for_it_may_end_again(facility: Facility, folder: Path) -> None:
    task = left_at_work(lambda: ask(facility, folder, "cp", timeout=0.0))
    for patience in (0.0, 0.0, 60.0):
        with suppress(WaitTimeout):
            facility.files.finish(task, timeout=patience)
            break
    assert (folder / "out").read_bytes() == WORDS


def test_a_task_that_is_forgotten_says_whether_to_look_or_to_ask(facility: Facility, name: str) -> None:
    if name == "firecrest":
        pytest.skip("accounting may hear of a job late, so none is ever called forgotten")
    with pytest.raises(AmbiguousReply, match="look before asking"):
        facility.files.finish(FacilityTask("987654", "cp"))
    with pytest.raises(TransientError, match="ask for the operation again"):
        facility.files.finish(FacilityTask("987654", "checksum"))


@pytest.mark.parametrize("operation", ["launchJob", "getTask", ""])
def test_what_is_no_such_operation_is_refused_before_anything_is_sent(
    place: LocalFacility, facility: Facility, operation: str
) -> None:
    place.reset_requests()
    with pytest.raises(UsageError, match="no operation on files that is waited for"):
        facility.files.finish(FacilityTask("1", operation))
    assert place.requests() == []


@pytest.mark.parametrize("name", ["slurm"])
def test_an_api_without_such_tasks_says_so(place: LocalFacility, door: Door, tmp_path: Path) -> None:
    with pytest.raises(NotOffered, match="no operations to wait for"):
        door.open(place, tmp_path).files.finish(FacilityTask("1", "cp"))
