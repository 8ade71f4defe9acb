"""From one facility to another, and to and from a collection that is no facility's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from iri_common import Facility, NotOffered, PermissionDenied, Progress, Road, Transfers, UsageError
from iri_local_facility import LocalFacility

MIB = 1024 * 1024
# Operations that carry the bytes of files.
OF_BYTES = {"upload", "download", "collectionGet", "collectionPut"}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalFacility, LocalFacility, Path]]:
    beam = tmp_path_factory.mktemp("beam")
    with (
        LocalFacility(name="one", collections={"beam": beam}) as one,
        LocalFacility(name="two", globus=one) as two,
    ):
        yield one, two, beam


class World:
    """Two facilities, and what a user has of both."""

    def __init__(self, one: LocalFacility, two: LocalFacility, beam: Path, name: str) -> None:
        self.one, self.two, self.beam = one, two, beam
        self.source, self.target = one.home / name, two.home / name
        self.source.mkdir()
        self.target.mkdir()
        self.first, self.second = (
            Facility(each.base_url, token=each.token, name=label, poll_seconds=0.1, directory=str(each.home))
            for label, each in (("one", one), ("two", two))
        )
        for each in (one, two):
            each.clear_faults()
            each.reset_requests()

    def here(self, name: str = "") -> object:
        return self.first.files.at(str(self.source / name))

    def there(self, name: str = "") -> object:
        return self.second.files.at(str(self.target / name))

    def bytes_through_this_machine(self) -> list[str]:
        return [
            each["operation"]
            for place in (self.one, self.two)
            for each in place.requests()
            if each["operation"] in OF_BYTES
        ]


@pytest.fixture
def world(places, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return World(*places, request.node.name)


@pytest.fixture
def globus(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who speaks to Globus."""
    for name, value in world.one.globus_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IRI_GLOBUS_CLIENT_ID", world.one.globus_client_id)
    monkeypatch.setenv("IRI_GLOBUS_CLIENT_SECRET", world.one.globus_client_secret)


def grown(top: Path) -> dict[str, bytes]:
    """A small tree."""
    contents = {"a": os.urandom(3000), "sub dir/b": b"", "sub dir/deep/c\nd": os.urandom(500)}
    for name, content in contents.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    return contents


def read(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_without_globus_small_things_are_relayed(world: World, tmp_path: Path) -> None:
    contents = grown(world.source / "t")
    told: list[Progress] = []
    result = Transfers().copy(world.here("t"), world.there("t"), on_progress=told.append)
    assert read(world.target / "t") == contents
    assert (result.road, result.files, result.bytes) == (Road.RELAY, 3, 3500)
    assert (told[-1].bytes_done, told[-1].bytes_total, told[-1].finished) == (3500, 3500, True)
    assert not list((tmp_path / "cache").rglob("*.*")), "nothing stays on the machine between"


def test_a_relay_that_broke_fetches_nothing_twice(world: World, tmp_path: Path) -> None:
    for number in range(3):
        (world.source / f"f{number}").write_bytes(bytes([number]) * 100)
    world.two.order("status", "upload", status=403, times=1, skip=1)
    with pytest.raises(Exception, match="f1"):
        Transfers().copy(world.here(), world.there("t"), parallel=1, road="relay")
    assert len(world.one.requests("download")) == 3
    world.two.clear_faults()
    result = Transfers().copy(world.here(), world.there("t"), parallel=1, road="relay")
    assert (result.files, result.files_skipped) == (2, 1)
    assert len(world.one.requests("download")) == 3
    assert len(read(world.target / "t")) == 3


def test_a_relay_that_was_killed_takes_its_own_parts_for_no_files(world: World, tmp_path: Path) -> None:
    (world.source / "t").mkdir()
    for name in "ab":
        (world.source / "t" / name).write_bytes(os.urandom(6 * MIB))
    left = world.source / "t" / "a.0123456789abcdef.parts" / "pieces"
    left.mkdir(parents=True)
    (left / "000000-0123456789abcdef").write_text("of a try that was killed")
    result = Transfers().copy(world.here("t"), world.there("t"), allow_job=True, road="relay")
    assert result.files == 2
    assert sorted(read(world.target / "t")) == ["a", "b"]


@pytest.mark.usefixtures("globus")
def test_nothing_is_left_of_a_relay_that_broke_when_globus_moves_it(world: World, tmp_path: Path) -> None:
    contents = grown(world.source / "t")
    world.two.order("status", "upload", status=403, times=1, skip=1)
    with pytest.raises(PermissionDenied):
        Transfers().copy(world.here("t"), world.there("t"), road="relay", parallel=1)
    assert list((tmp_path / "cache").rglob("transfers/*/*"))
    world.two.clear_faults()
    assert Transfers().copy(world.here("t"), world.there("t"), road="globus").files_skipped == 1
    assert read(world.target / "t") == contents
    assert not list((tmp_path / "cache").rglob("transfers/*"))


@pytest.mark.usefixtures("globus")
async def test_a_task_of_globus_is_ended_before_a_relay_moves_it(world: World) -> None:
    contents = grown(world.source / "t")
    before = len(world.one.transfers())
    world.one.order("transfer_inactive", "*")
    copying = asyncio.create_task(Transfers().aio.copy(world.here("t"), world.there("t"), road="globus"))
    async with asyncio.timeout(20):
        while len(world.one.transfers()) == before:  # noqa: ASYNC110 - it is of another process
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)  # its answer is noted
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    await Transfers().aio.copy(world.here("t"), world.there("t"), road="relay")
    assert read(world.target / "t") == contents
    assert len(world.one.requests("globusCancelTask")) == 1


def test_a_relay_sends_what_changed_since_it_broke(world: World) -> None:
    for number in range(60):
        (world.source / f"f{number}").write_bytes(b"of before")
        os.utime(world.source / f"f{number}", (1e9, 1e9))
    world.two.order("status", "mv", status=403, times=1)
    with pytest.raises(PermissionDenied):
        Transfers().copy(world.here(), world.there("t"), road="relay")
    for number in range(60):
        (world.source / f"f{number}").write_bytes(b"of  after")
        os.utime(world.source / f"f{number}", (1.1e9, 1.1e9))
    world.two.clear_faults()
    Transfers().copy(world.here(), world.there("t"), road="relay")
    assert world.two.requests("extract"), "it went as an archive"
    assert set(read(world.target / "t").values()) == {b"of  after"}
    assert (world.target / "t" / "f0").stat().st_mtime == 1.1e9


def test_what_cannot_be_relayed_says_why(world: World) -> None:
    (world.source / "big").write_bytes(os.urandom(6 * MIB))
    with pytest.raises(Exception, match=r"globus: one: nobody speaks to Globus for it(.|\n)*allow_job"):
        Transfers().copy(world.here("big"), world.there("big"))
    result = Transfers().copy(world.here("big"), world.there("big"), allow_job=True)
    assert result.road is Road.RELAY
    assert (world.target / "big").read_bytes() == (world.source / "big").read_bytes()


@pytest.mark.usefixtures("globus")
def test_links_of_a_tree_arrive_as_files_over_globus(world: World) -> None:
    """As one item, Globus takes the directory without them, and still tells of success."""
    grown(world.source / "t")
    (world.source / "t" / "sub dir" / "link").symlink_to("../a")
    result = Transfers().copy(world.here("t"), world.there("t"), road="globus")
    assert read(world.target / "t") == read(world.source / "t")
    assert (result.files, len(read(world.target / "t"))) == (4, 4)


@pytest.mark.usefixtures("globus")
def test_over_globus_no_byte_passes_this_machine(world: World) -> None:
    contents = grown(world.source / "t") | {"large": os.urandom(60 * MIB)}
    (world.source / "t" / "large").write_bytes(contents["large"])
    assert Transfers().plan(world.here("t"), world.there("t")).chosen.bytes_here == 0
    result = Transfers().copy(world.here("t"), world.there("t"))
    assert read(world.target / "t") == contents
    assert (result.road, result.files, result.bytes) == (Road.GLOBUS, 4, 60 * MIB + 3500)
    assert result.task_id is not None
    assert not world.bytes_through_this_machine()
    for each in (world.one, world.two):
        assert len(each.requests("getStorageAccessEndpoints")) <= 2, (
            "asked for once, by the machine and by the storage"
        )


@pytest.mark.usefixtures("globus")
def test_a_collection_is_an_end_like_any_other(world: World, tmp_path: Path) -> None:
    beam = f"globus://{world.one.collection_of('beam')}"
    contents = grown(tmp_path / "t") | {"large": os.urandom(8 * MIB)}
    (tmp_path / "t" / "large").write_bytes(contents["large"])
    transfers = Transfers()
    assert transfers.copy(tmp_path / "t", f"{beam}/runs/t").road is Road.HTTPS
    assert read(world.beam / "runs" / "t") == contents
    assert transfers.copy(f"{beam}/runs/t", tmp_path / "back").road is Road.HTTPS
    assert read(tmp_path / "back") == contents
    assert transfers.copy(f"{beam}/runs/t", world.there("t"), road="globus").files == 4
    assert read(world.target / "t") == contents
    (tmp_path / "t" / "a").unlink()
    assert transfers.sync(tmp_path / "t", f"{beam}/runs/t", delete=True).deleted == 1
    assert "a" not in read(world.beam / "runs" / "t")


@pytest.mark.usefixtures("globus")
def test_a_large_file_needs_no_job_where_a_collection_has_https(world: World, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(12 * MIB))
    before = world.one.jobs()
    result = world.first.files.put(tmp_path / "big", str(world.source / "big"))
    assert result.road is Road.HTTPS
    assert (world.source / "big").read_bytes() == (tmp_path / "big").read_bytes()
    assert world.one.jobs() == before


def test_a_collection_without_anybody_who_speaks_to_globus(world: World, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\[globus.client\], then `iri globus login`"):
        Transfers().copy(f"globus://{world.one.collection}/x", tmp_path / "x")
    with pytest.raises(NotOffered, match="globus"):
        Transfers().plan(world.here(), world.there("t"), road="globus")
