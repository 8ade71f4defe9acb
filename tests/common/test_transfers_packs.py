"""Many files down as one archive: a job packs, parts come, and what breaks between."""

from __future__ import annotations

import asyncio
import os
import tarfile
from pathlib import Path

import pytest
from roads_world import KIB, STRANGE, Roads, Told, move_of, tree

from iri_common import TransferError
from iri_common.model.errors import IriError, ReplyError
from iri_common.model.transfer import Move
from iri_common.transfers import local, packs
from iri_common.transfers.landing import Landing
from iri_common.transfers.packs import PacksRoad
from iri_common.transfers.unpacking import unpacking
from iri_local_facility import LocalFacility

PART = 64 * KIB


@pytest.fixture
def there(place: LocalFacility, tmp_path: Path) -> Path:
    """A tree of this test at the facility."""
    top = place.scratch / tmp_path.name / "tree"
    top.mkdir(parents=True)
    return top


@pytest.fixture
def here(tmp_path: Path) -> Path:
    path = tmp_path / "here"
    path.mkdir()
    return path


def planted(top: Path, here: Path, count: int = 40) -> dict[str, bytes]:
    made = {f"d{number % 4}/f{number}": os.urandom(5000 + number) for number in range(count)}
    made |= {f"strange/{name}": name.encode() for name in STRANGE}
    made |= {"empty": b"", "large": os.urandom(3 * PART), "long" * 60: b"x", " lead and trail ": b"y"}
    for name, content in made.items():
        for root in (top, here):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    return made


def moves_between(source: Path, target: Path, names) -> list[Move]:
    return [move_of(source / name, target / name) for name in sorted(names)]


def go(roads: Roads, there: Path, here: Path, moves: list[Move], told: Told, parallel: int = 4) -> None:
    roads.carry(
        lambda dialect, fs: PacksRoad(
            dialect, fs, roads.run_script, source=str(there), target=str(here), part_size=PART
        ),
        moves,
        told,
        parallel,
    )


def test_all_files_come_with_one_job_and_a_request_a_part(roads: Roads, there: Path, here: Path) -> None:
    made, told = planted(there, here), Told()
    (there / "large").chmod(0o750)
    (there / "not asked for").write_bytes(bytes(PART))
    (there / "link").symlink_to("d0/f0")
    os.link(there / "d0/f0", there / "second name")
    moves = moves_between(there, here, [*made, "link", "second name"])
    go(roads, there, here, moves, told)
    made |= {"link": made["d0/f0"], "second name": made["d0/f0"]}
    assert tree(here) == made
    assert not (here / "link").is_symlink()
    umask = os.umask(0)
    os.umask(umask)
    assert (here / "large").stat().st_mode & 0o777 == 0o750 & ~umask
    assert set(told.landings) == {str(here / name) for name in made}
    assert told.bytes_moved + told.bytes_kept == sum(map(len, made.values()))
    assert told.notes == {}
    assert os.listdir(there.parent) == ["tree"]
    seen = roads.counted()
    strays = [name for name in STRANGE if set("\n\\") & set(name)]
    archive = sum(1024 + len(content) for content in made.values())
    assert (seen["launchJob"], seen["upload"], seen["mkdir"]) == (1, 1, 1)
    assert seen["download"] <= len(strays) + archive // PART + 2


def interrupted(roads: Roads, there: Path, here: Path, moves: list[Move], told: Told) -> None:
    roads.place.order("status", "download", status=413, skip=3, times=None)
    with pytest.raises(IriError):
        go(roads, there, here, moves, told, parallel=1)
    roads.place.clear_faults()
    roads.place.reset_requests()


def test_parts_that_are_here_are_not_fetched_again(roads: Roads, there: Path, here: Path) -> None:
    made, told = planted(there, here), Told()
    moves = [each for each in moves_between(there, here, made) if "strange" not in each.source]
    interrupted(roads, there, here, moves, told)
    assert not told.landings
    # Had some landed before the process ended, the same archive is good for the others.
    go(roads, there, here, moves[5:], told)
    assert set(told.landings) == {each.target for each in moves[5:]}
    seen = roads.counted()
    assert (seen["launchJob"], seen["upload"]) == (0, 0)
    with_all = sum(1024 + each.size for each in moves)
    assert seen["download"] <= with_all // PART + 2 - 3
    assert (os.listdir(there.parent), told.notes) == (["tree"], {})
    assert not list(here.glob(".iri*"))


def test_what_has_changed_since_is_packed_again(roads: Roads, there: Path, here: Path) -> None:
    made, told = planted(there, here), Told()
    moves = [each for each in moves_between(there, here, made) if "strange" not in each.source]
    interrupted(roads, there, here, moves, told)
    (there / "d0/f0").write_bytes(b"other" * 1000)
    changed = [move_of(Path(each.source), Path(each.target)) for each in moves]
    go(roads, there, here, changed, told)
    assert (here / "d0/f0").read_bytes() == b"other" * 1000
    assert roads.counted()["launchJob"] == 1
    assert set(told.landings) == {each.target for each in moves}


def test_a_file_that_is_not_as_it_was_listed_comes_by_itself(roads: Roads, there: Path, here: Path) -> None:
    made, told = planted(there, here, 8), Told()
    moves = moves_between(there, here, made)
    (there / "d1/f1").write_bytes(b"longer than before" * 1000)
    go(roads, there, here, moves, told)
    assert (here / "d1/f1").read_bytes() == b"longer than before" * 1000
    assert len(told.landings) == len(moves)


def test_a_file_that_is_gone_fails_the_job_that_tells_it(roads: Roads, there: Path, here: Path) -> None:
    made, told = planted(there, here, 8), Told()
    moves = moves_between(there, here, made)
    (there / "d1/f1").unlink()
    with pytest.raises(
        TransferError, match=r"(?s)pack \d+ files.*d1/f1.*not all files of .* could be packed"
    ):
        go(roads, there, here, moves, told)
    assert not told.landings


def test_a_list_larger_than_a_body_goes_in_pieces(roads, there, here, monkeypatch) -> None:
    monkeypatch.setattr("iri_common.transfers.packs.PART_UP", 200)
    made, told = planted(there, here), Told()
    go(roads, there, here, moves_between(there, here, made), told)
    assert tree(here) == made
    assert roads.counted()["upload"] > 3


@pytest.mark.parametrize(
    ("fault", "operation"),
    [("lose_reply", "upload"), ("cut", "upload"), ("lose_reply", "download"), ("garble", "getTask")],
)
def test_replies_that_are_lost_cost_no_file(roads: Roads, there: Path, here: Path, fault, operation) -> None:
    made, told = planted(there, here, 8), Told()
    roads.place.order(fault, operation, times=1)
    go(roads, there, here, moves_between(there, here, made), told)
    assert tree(here) == made
    assert roads.counted()["launchJob"] == 1


def test_parts_of_another_archive_are_not_unpacked(roads: Roads, there: Path, here: Path) -> None:
    made, told = planted(there, here, 8), Told()

    def damage() -> None:
        (mark,) = there.parent.glob("tree.*.parts/pieces/whole-*")
        mark.rename(mark.with_name(f"whole-{'0' * 64}-{mark.name.rpartition('-')[2]}"))

    async def run_and_damage(script, key, output):
        result = await Roads.run_script(roads, script, key, output)
        await asyncio.to_thread(damage)
        return result

    true_run, roads.run_script = roads.run_script, run_and_damage  # type: ignore[method-assign]
    with pytest.raises(TransferError, match="did not arrive whole; ask again"):
        go(roads, there, here, moves_between(there, here, made), told)
    assert not tree(here)
    assert os.listdir(there.parent) == ["tree"]
    roads.run_script = true_run  # type: ignore[method-assign]
    go(roads, there, here, moves_between(there, here, made), told)
    assert tree(here) == made


def test_an_archive_that_cannot_be_read_is_packed_anew_by_the_next_try(
    roads: Roads, there: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, told = planted(there, here, 8), Told()
    with monkeypatch.context() as patch:
        patch.setattr(packs, "unpacking", lambda path, *words: unpacking(__file__, *words))
        with pytest.raises(ReplyError, match="what the facility packed cannot be read"):
            go(roads, there, here, moves_between(there, here, made), told)
    assert not tree(here)
    assert os.listdir(there.parent) == ["tree"]
    go(roads, there, here, moves_between(there, here, made), told)
    assert tree(here) == made


# -------------------------------------------------------------------------------------------- unpacking


def archive_of(path: Path, members: list[tuple[str, bytes] | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            source = path.with_name("member")
            source.write_bytes(member[1])
            archive.add(source, member[0])
    return path


def test_an_archive_writes_nothing_but_what_was_asked_for(here: Path, tmp_path: Path) -> None:
    link = tarfile.TarInfo("./soft")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
    members = [
        ("./good", b"abc"),
        ("../outside", b"abc"),
        ("/absolute", b"abc"),
        ("./other", b"abc"),
        ("./short", b"ab"),
        ("./good", b"xyz"),
        link,
    ]
    names = ("good", "short", "soft", "missing")
    wanted = {name: Move(f"/d/{name}", str(here / name), 3) for name in names}
    told = [
        move for some in unpacking(str(archive_of(tmp_path / "a", members)), wanted, "0") for move in some
    ]
    assert told == [wanted["good"]]
    assert tree(here) == {"good": b"abc"}


def test_what_is_no_archive_says_so(here: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no tar" * 500)
    with pytest.raises(ReplyError, match="cannot be read"):
        list(unpacking(str(tmp_path / "a"), {"x": Move("/x", str(here / "x"), 1)}, "0"))


def test_a_full_disk_leaves_neither_half_a_file_nor_what_lies_aside(here: Path, monkeypatch) -> None:
    (here / "b").write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with Landing("0") as landing:
        for name in "ab":
            landing.write(Move(f"/{name}", str(here / name), 3), [b"new"], 0o644)
        assert sorted(os.listdir(here)) == ["a.0.part", "b", "b.0.part"]
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(TransferError, match="No space left on device; make room there"):
            landing.land()
    assert tree(here) == {"b": b"old"}


def test_a_mode_is_kept_as_far_as_the_umask_lets_it(here: Path) -> None:
    before = os.umask(0o027)
    try:
        for mode, seen in ((0o777, 0o750), (0o600, 0o600), (0o444, 0o640), (0o7755, 0o750)):
            local.write_aside_now(str(here / f"{mode:o}"), [b"x"], mode)
            assert (here / f"{mode:o}").stat().st_mode & 0o7777 == seen
    finally:
        os.umask(before)
