"""The directory that a file is to lie in: made when that is said, named when it is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS, Door

from iri_common import Facility, GrantExceeded, NotFound, Transfers, UsageError
from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as facility:
        yield facility


@pytest.fixture
def there(place: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory at the facility that is not there, with nothing above it either."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    place.reset_requests()
    return place.home / tmp_path.name / "run"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "scan.h5").write_bytes(b"scan" * 100)
    return tmp_path / "scan.h5"


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Door:
    return DOORS[request.param]


@pytest.fixture
def opened(place: LocalFacility, door: Door, tmp_path: Path) -> Callable[..., Facility]:
    def opens(**words: Any) -> Facility:
        facility = door.open(place, tmp_path, **words)
        if facility.grades.files == "none":
            pytest.skip("this API has no files")
        return facility

    return opens


def test_it_is_made(opened, there: Path, file: Path) -> None:
    facility = opened()
    facility.files.put(file, str(there / "a.h5"), parents=True)
    Transfers().copy(file, facility.files.at(f"{there}/other/"), parents=True)
    facility.files.put(file, str(there / "b.h5"), parents=True)  # it is there by now
    assert {each.name: each.read_bytes() for each in there.rglob("*.h5")} == dict.fromkeys(
        ("a.h5", "b.h5", "scan.h5"), file.read_bytes()
    )


def test_without_that_word_what_is_missing_is_named(opened, there: Path, file: Path) -> None:
    with pytest.raises(NotFound, match=rf"the directory {there} is not there.*--parents"):
        opened().files.put(file, str(there / "a.h5"))
    assert not there.parent.exists()


def test_a_source_that_is_missing_is_no_matter_of_directories(opened, there: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as raised:
        opened().files.get(str(there / "a.h5"), tmp_path / "new" / "a.h5", parents=True)
    assert "parents" not in str(raised.value)
    assert not (tmp_path / "new").exists()


def test_a_directory_that_is_no_part_of_the_grant_is_not_made(opened, there: Path, file: Path) -> None:
    """Nor looked at: a grant of a single file is as good with the word as without it."""
    facility = opened(grant={"verbs": ["read", "write"], "paths": [f"{there}/a.h5"]})
    with pytest.raises((GrantExceeded, NotFound)):
        facility.files.put(file, str(there / "a.h5"), parents=True)
    assert not there.parent.exists()
    there.mkdir(parents=True)

    def fate(**words: bool) -> str:
        try:
            return str(facility.files.put(file, str(there / "a.h5"), **words).files)
        except GrantExceeded as error:  # where a file is written aside first
            return error.asked.rpartition("/")[2]

    assert fate(parents=True) == fate()


def test_it_costs_a_look_where_it_is_there(place: LocalFacility, there: Path, file: Path) -> None:
    facility = Facility(place.base_url, token=place.token, poll_seconds=0.05)
    there.mkdir(parents=True)
    facility.files.put(file, str(there / "first.h5"))
    place.reset_requests()
    facility.files.put(file, str(there / "a.h5"))
    plain = Counter(each["operation"] for each in place.requests() if each["operation"] != "getTask")
    place.reset_requests()
    facility.files.put(file, str(there / "b.h5"), parents=True)
    asked = Counter(each["operation"] for each in place.requests() if each["operation"] != "getTask")
    assert asked - plain == {"stat": 1}


def test_it_is_made_here_too(place: LocalFacility, there: Path, file: Path, tmp_path: Path) -> None:
    facility = Facility(place.base_url, token=place.token, poll_seconds=0.05)
    facility.files.put(file, str(there / "a.h5"), parents=True)
    with pytest.raises(UsageError, match="a directory that exists"):
        facility.files.get(str(there / "a.h5"), tmp_path / "new" / "er" / "a.h5")
    facility.files.get(str(there / "a.h5"), tmp_path / "new" / "er" / "a.h5", parents=True)
    assert (tmp_path / "new" / "er" / "a.h5").read_bytes() == file.read_bytes()
