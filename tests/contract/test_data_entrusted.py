"""What Globus moves by itself: begun once under a submission that the caller keeps, waited for anywhere."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iri_common import EntrustedTransfers, Facility, JobKey, NotOffered, TransferError, WaitTimeout
from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalFacility, Path]]:
    beam = tmp_path_factory.mktemp("beam")
    with LocalFacility(collections={"beam": beam}) as site:
        yield site, beam


class World:
    """A directory of the test's own at a facility, and its place in a beamline's collection."""

    def __init__(self, site: LocalFacility, beam: Path) -> None:
        self.site, name = site, f"t{uuid.uuid4().hex[:8]}"
        self.facility = Facility(site.base_url, token=site.token, poll_seconds=0.1)
        self.source, self.target = site.home / name, beam / name
        self.source.mkdir()
        self.here = self.facility.files.at(str(self.source))
        self._before = {each["id"] for each in site.transfers()}
        self.there = f"globus://{site.collection_of('beam')}/{name}"

    @property
    def ends(self) -> tuple[Any, Any]:
        return self.here, self.there

    def asked(self) -> set[str]:
        return {each["operation"] for each in self.site.requests()}

    def tasks(self) -> list[dict[str, Any]]:
        return [each for each in self.site.transfers() if each["id"] not in self._before]


@pytest.fixture
def world(place: tuple[LocalFacility, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    site, beam = place
    words = {"IRI_GLOBUS_CLIENT_ID": site.globus_client_id, "XDG_STATE_HOME": str(tmp_path / "state")}
    words["IRI_GLOBUS_CLIENT_SECRET"] = site.globus_client_secret
    # An identity is open once in a process; another environment is another identity.
    for name, value in {**site.globus_env, **words, "GLOBUS_SDK_TEST": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    site.clear_faults()
    site.reset_requests()
    return World(site, beam)


def test_a_directory_is_moved_by_globus_alone(world: World) -> None:
    (world.source / "a").write_bytes(b"a" * 3000)
    (world.source / "sub").mkdir()
    (world.source / "sub" / "b").write_bytes(b"b")
    transfers, said = EntrustedTransfers(), list[str]()
    prepared = transfers.prepare(*world.ends, road="globus")
    assert prepared is not None
    assert world.tasks() == []
    assert "Globus Transfer" in prepared.plan.explain()
    task = transfers.submit(prepared)
    done = transfers.wait(*world.ends, task, on_change=lambda now: said.append(str(now.state)))
    assert (done.whole, said[-1]) == (True, "SUCCEEDED")
    assert (world.target / "sub" / "b").read_bytes() == b"b"
    assert (world.target / "a").stat().st_size == 3000


def test_under_a_submission_there_is_one_task(world: World) -> None:
    """Whoever died between the submit and the note of the task asks again, on whatever host."""
    (world.source / "a").write_bytes(b"a")
    first = EntrustedTransfers().prepare(*world.ends, road="globus", key=JobKey.of("scan", 1))
    assert first is not None
    world.site.order("lose_reply", "globusSubmitTransfer", times=2)
    task = EntrustedTransfers().submit(first)
    again = EntrustedTransfers().prepare(
        *world.ends, road="globus", submission=first.submission, key=JobKey.of("scan", 1)
    )
    assert again is not None
    assert EntrustedTransfers().submit(again) == task
    assert len(world.tasks()) == 1
    EntrustedTransfers().wait(*world.ends, task)


def test_links_are_followed_and_empty_directories_made(world: World) -> None:
    (world.source / "empty").mkdir()
    (world.source / "a").write_bytes(b"a")
    (world.source / "link").symlink_to("a")
    prepared = EntrustedTransfers().prepare(*world.ends, road="globus")
    assert prepared is not None
    EntrustedTransfers().wait(*world.ends, EntrustedTransfers().submit(prepared))
    assert (world.target / "link").read_bytes() == b"a"
    assert (world.target / "empty").is_dir()


def test_what_takes_another_road_is_not_entrusted(world: World, tmp_path: Path) -> None:
    (world.source / "a").write_bytes(b"a")
    assert EntrustedTransfers().prepare(world.here, str(tmp_path / "here")) is None
    other = world.facility.files.at(f"{world.source}-copy")
    assert EntrustedTransfers().prepare(world.here, other) is None  # the facility copies for itself
    assert "globusSubmissionId" not in world.asked()
    with pytest.raises(NotOffered, match="this machine"):
        EntrustedTransfers().wait(world.here, str(tmp_path / "here"), "0")


def test_a_task_can_be_given_time_looked_at_and_ended(world: World) -> None:
    (world.source / "a").write_bytes(b"a")
    world.site.order("transfer_inactive", "*")
    transfers = EntrustedTransfers()
    prepared = transfers.prepare(*world.ends, road="globus")
    assert prepared is not None
    task = transfers.submit(prepared)
    with pytest.raises(WaitTimeout, match="it goes on"):
        transfers.wait(*world.ends, task, timeout=0.3)
    seen = transfers.status(*world.ends, task)
    assert seen is not None
    assert not seen.state.over
    for _ in range(2):  # one that is over is fine
        transfers.cancel(*world.ends, task)
    with pytest.raises(TransferError, match=task):
        transfers.wait(*world.ends, task)
    assert transfers.status(*world.ends, str(uuid.uuid4())) is None
