"""``iri://`` paths in ObjectStoragePath: by a profile of the worker, or by a connection."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from airflow.sdk import ObjectStoragePath
from airflow_connections import connection_to

from airflow_provider_iri import IriHook
from airflow_provider_iri.filesystem import get_fs
from iri_local_facility import LocalFacility

# A connection of its own for each test: Airflow keeps a file system for each in this process.
pytestmark = pytest.mark.filterwarnings("ignore:UPath 'iri' filesystem not explicitly implemented")


@pytest.fixture
def there(facility: LocalFacility) -> Path:
    """A directory of the test's own at the facility."""
    own = facility.scratch / uuid.uuid4().hex
    own.mkdir()
    return own


def exercise(base: ObjectStoragePath, there: Path) -> None:
    path = base / "results" / "runs.csv"
    path.parent.mkdir()
    path.write_text("run,energy\n")
    assert (there / "results" / "runs.csv").read_text() == "run,energy\n"
    with path.open("rb") as file:
        assert file.read(3) == b"run"
    assert path.stat().st_size == 11
    assert [each.name for each in base.glob("*/*.csv")] == ["runs.csv"]
    path.copy(base / "copy.csv")
    assert (there / "copy.csv").read_text() == "run,energy\n"
    path.unlink()
    assert not path.exists()


def test_by_a_profile(facility: LocalFacility, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_DESK_URL", facility.base_url)
    monkeypatch.setenv("IRI_FACILITY_DESK_TOKEN", facility.token)
    exercise(ObjectStoragePath(f"iri://desk/scratch{there}"), there)


def test_a_connection_that_is_of_no_use_is_not_replaced_by_a_profile(
    facility: LocalFacility, there: Path, connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow passes over what goes wrong when a path is made, and opens it by its words alone then."""
    monkeypatch.setenv("IRI_FACILITY_DESK_URL", facility.base_url)
    monkeypatch.setenv("IRI_FACILITY_DESK_TOKEN", facility.token)
    connect("iri_strict", {"conn_type": "iri", "extra": {"profile": "desk", "grnat": {"verbs": ["look"]}}})
    path = ObjectStoragePath(f"iri://iri_strict@desk/scratch{there}/a")
    with pytest.raises(ValueError, match="unknown extras: grnat"):
        path.write_text("a")
    assert list(there.iterdir()) == []


def test_a_path_in_a_dag_reads_no_connection(
    facility: LocalFacility, there: Path, connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(IriHook, "get_connection", read.append)
    path = ObjectStoragePath(f"iri://iri_later@iri_later/scratch{there}") / "a"
    assert read == []
    monkeypatch.undo()
    connect("iri_later", connection_to(facility))
    path.write_text("a")
    assert (there / "a").read_text() == "a"


def test_by_a_connection(there: Path, demo: LocalFacility) -> None:
    exercise(ObjectStoragePath(f"iri://iri_default@iri_default/scratch{there}"), there)
    with pytest.raises(ValueError, match="files of 'iri_default', not of 'another'"):
        get_fs("iri_default").ls("another//home")
    with pytest.raises(ValueError, match="belong into the connection"):
        get_fs("iri_default", {"account": "m1"})
