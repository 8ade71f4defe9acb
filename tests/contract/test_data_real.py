"""Files, trees and patterns between this machine and a facility that really keeps them."""

from __future__ import annotations

import asyncio
import filecmp
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from iri_common import (
    Facility,
    Progress,
    Road,
    TooLarge,
    TransferError,
    Transfers,
    UsageError,
)
from iri_local_facility import LocalFacility

MIB = 1024 * 1024
NAMES = [
    "a b",
    "Überführung→ß",
    "new\nline",
    "-rf",
    'it\'s "quoted"',
    "a&b;$HOME|c",
    "back\\slash",
    "*?[x]",
    ".hidden",
]


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as facility:
        yield facility


@pytest.fixture
def there(place: LocalFacility, request: pytest.FixtureRequest) -> Path:
    """A directory of the test's own at the facility."""
    path = place.home / request.node.name.replace("[", "_").replace("]", "")
    path.mkdir()
    return path


@pytest.fixture
def facility(place: LocalFacility, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Facility:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    place.clear_faults()
    place.reset_requests()
    return Facility(
        place.base_url, token=place.token, name="local", poll_seconds=0.1, directory=str(place.home)
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A few files, one of them empty, and an empty directory."""
    top = tmp_path / "tree"
    (top / "empty dir" / "deeper").mkdir(parents=True)
    (top / "sub").mkdir()
    for number, name in enumerate(["a", "sub/b c", "sub/d"]):
        (top / name).write_bytes(os.urandom(number * 1000))
    return top


def same(one: Path, other: Path) -> bool:
    """Whether two trees have the same names and bytes."""

    def contents(top: Path) -> dict[str, bytes | None]:
        return {
            str(path.relative_to(top)): path.read_bytes() if path.is_file() else None
            for path in top.rglob("*")
        }

    return contents(one) == contents(other)


def asked(place: LocalFacility) -> Counter[str]:
    return Counter(each["operation"] for each in place.requests())


def notes_left(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "state" / "iri" / "transfers").glob("*"))


def test_a_tree_of_any_names_goes_there_and_comes_back(facility, place, there: Path, tree, tmp_path) -> None:
    for name in NAMES:
        (tree / name).write_text(name)
        (tree / "sub" / f"dir {name}").mkdir()
    (tree / "link").symlink_to("sub/b c")
    result = facility.files.put(tree, str(there / "new" / "tree"))
    assert same(tree, there / "new" / "tree")
    assert (result.files, result.road, result.sha256) == (len(NAMES) + 4, Road.DIRECT, None)
    assert result.bytes == sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    back = facility.files.get(str(there / "new" / "tree"), tmp_path / "back")
    assert same(tree, tmp_path / "back")
    assert back.files == result.files
    assert not notes_left(tmp_path), "what is done is forgotten"
    assert not list(there.rglob("*.part"))


def test_a_pattern_brings_what_it_names(facility, there: Path, tree: Path, tmp_path: Path) -> None:
    facility.files.put(f"{tree}/s*", str(there / "some"))
    assert [path.name for path in (there / "some").iterdir()] == ["sub"]
    facility.files.get(f"{there}/some/*/b*", tmp_path / "back")
    assert [str(path.relative_to(tmp_path / "back")) for path in (tmp_path / "back").rglob("*")] == [
        "sub",
        "sub/b c",
    ]


def test_one_small_file_costs_a_few_requests(facility, place, there: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * 1000)
    facility.status.resources()
    facility.files.put(tmp_path / "x", str(there / "first"))
    place.reset_requests()
    facility.files.put(tmp_path / "x", str(there / "x"))
    assert len(place.requests()) <= 8
    assert set(asked(place)) == {"stat", "upload", "checksum", "mv", "getTask"}
    place.reset_requests()
    facility.files.get(str(there / "x"), tmp_path / "back")
    assert len(place.requests()) <= 6
    assert set(asked(place)) == {"stat", "download", "checksum", "getTask"}


def test_a_tree_costs_no_look_at_each_file(facility, place, there: Path, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "t" / str(number)).mkdir(parents=True)
        (tmp_path / "t" / str(number) / "x").write_text("x")
    facility.files.put(tmp_path / "t", str(there / "t"))
    count = asked(place)
    assert (count["mkdir"], count["stat"], count["ls"], count["upload"]) == (3, 1, 0, 3)


def test_what_is_over_the_limit_says_what_would_help_and_sends_nothing(
    facility, place, there, tmp_path
) -> None:
    big = tmp_path / "big"
    big.write_bytes(os.urandom(6 * MIB))
    before = place.jobs()
    with pytest.raises(TooLarge, match=r"6291456 bytes(.|\n)*allow_job=True or --allow-job"):
        facility.files.put(big, str(there / "big"))
    assert not place.requests("upload")
    assert place.jobs() == before
    told = Transfers().plan(big, facility.files.at(str(there / "big")), allow_job=True)
    assert told.road is Road.CHUNKS
    assert told.spends
    assert "a short job of your allocation" in told.explain()
    assert place.jobs() == before, "a plan does nothing"


def test_small_and_large_files_take_roads_of_their_own(facility, place, there: Path, tmp_path: Path) -> None:
    source = tmp_path / "mixed"
    (source / "sub").mkdir(parents=True)
    for number in range(3):
        (source / "sub" / f"small {number}").write_bytes(os.urandom(1000))
    (source / "sub" / "large").write_bytes(os.urandom(9 * MIB))
    before = len(place.jobs())
    result = facility.files.put(source, str(there / "mixed"), allow_job=True)
    assert same(source, there / "mixed")
    assert (result.files, result.bytes) == (4, 9 * MIB + 3000)
    assert len(place.jobs()) == before + 1
    facility.files.get(str(there / "mixed"), tmp_path / "back", allow_job=True)
    assert same(source, tmp_path / "back")


def test_many_small_files_go_as_archives(facility, place, there: Path, tmp_path: Path) -> None:
    source = tmp_path / "many"
    for number in range(200):
        path = source / f"d {number % 7}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number))
    assert facility.files.put(source, str(there / "many")).road is Road.ARCHIVE
    assert same(source, there / "many")
    assert len(place.requests()) < 60
    place.reset_requests()
    again = Transfers().sync(source, facility.files.at(str(there / "many")))
    assert (again.files, again.files_skipped) == (0, 200)
    assert len(place.requests()) < 10
    assert facility.files.get(str(there / "many"), tmp_path / "back").road is Road.ARCHIVE
    assert same(source, tmp_path / "back")


def test_a_few_changed_files_do_not_bring_what_lies_beside_them(facility, place, there, tmp_path) -> None:
    (there / "t").mkdir()
    (there / "t" / "large").write_bytes(os.urandom(4 * MIB))
    for number in range(12):
        (there / "t" / f"f{number}").write_text("x")
    target = tmp_path / "here"
    Transfers().sync(facility.files.at(str(there / "t")), target)
    for number in range(12):
        (there / "t" / f"f{number}").write_text("changed")
    place.reset_requests()
    assert Transfers().sync(facility.files.at(str(there / "t")), target).files == 12
    assert same(there / "t", target)
    assert not asked(place)["compress"]


def test_a_facility_copies_a_tree_for_itself(facility, place, there: Path, tree: Path) -> None:
    for number in range(9):
        (tree / "sub" / f"new\nline {number}").write_text("x" * number)
    shutil.copytree(tree, there / "t")
    source, target = facility.files.at(str(there / "t")), there / "far" / "below" / "copy"
    place.order("lose_reply", "mv")
    result = Transfers().copy(source, facility.files.at(str(target)))
    assert (result.road, result.files) == (Road.WITHIN, 12)
    assert same(tree, target)
    assert len(place.requests()) < 30
    assert not asked(place)["download"]
    (target / "a").write_text("another")
    assert Transfers().copy(source, facility.files.at(str(target)), parallel=8).files == 12
    assert same(tree, target)
    assert not list(target.parent.glob("*.part"))


def test_a_sync_moves_what_changed_and_takes_away_what_is_gone(
    facility, place, there, tree, tmp_path
) -> None:
    target = facility.files.at(str(there / "copy"))
    transfers = Transfers()
    assert transfers.sync(tree, target).files == 3
    place.reset_requests()
    again = transfers.sync(tree, target)
    assert (again.files, again.bytes, again.files_skipped) == (0, 0, 3)
    assert not place.requests("upload")
    (tree / "sub" / "d").unlink()
    (there / "copy" / "extra dir").mkdir()
    (there / "copy" / "extra dir" / "x").write_text("x")
    (tree / "sub" / "b c").write_text("changed, and of another length")
    third = transfers.sync(tree, target, delete=True)
    assert (third.files, third.files_skipped, third.deleted) == (1, 1, 2)
    assert same(tree, there / "copy")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine").write_text("not at the facility")
    transfers.sync(target, tmp_path / "here")
    assert (tmp_path / "here" / "mine").exists()
    transfers.sync(target, tmp_path / "here", delete=True)
    assert same(tree, tmp_path / "here")


def test_what_landed_before_a_fault_is_not_sent_again(facility, place, there: Path, tmp_path: Path) -> None:
    source = tmp_path / "t"
    source.mkdir()
    for number in range(4):
        (source / f"f{number}").write_text(f"{number}" * 100)
    place.order("status", "upload", status=403, times=1, skip=2)
    with pytest.raises(Exception, match="f2"):
        facility.files.put(source, str(there / "t"), parallel=1)
    assert len(notes_left(tmp_path)) == 1
    assert sorted(path.name for path in (there / "t").iterdir()) == ["f0", "f1"]
    (source / "f0").write_text("changed since")
    place.clear_faults()
    place.reset_requests()
    result = facility.files.put(source, str(there / "t"), parallel=1)
    assert (result.files, result.files_skipped) == (3, 1)
    assert len(place.requests("upload")) == 3
    assert same(source, there / "t")
    assert not notes_left(tmp_path)


@pytest.mark.parametrize("verb", ["copy", "sync"])
def test_what_landed_and_is_gone_since_is_sent_again(facility, place, there, tmp_path, verb: str) -> None:
    source, target = tmp_path / "t", there / "t"
    source.mkdir()
    for number in range(4):
        (source / f"f{number}").write_text(f"{number}" * 100)
    place.order("status", "upload", status=403, times=1, skip=3)
    with pytest.raises(Exception, match="f3"):
        getattr(Transfers(), verb)(source, facility.files.at(str(target)), parallel=1)
    (target / "f0").unlink()
    (target / "f1").write_text("of somebody else")
    result = getattr(Transfers(), verb)(source, facility.files.at(str(target)))
    assert (result.files, result.files_skipped) == (3, 1)
    assert same(source, target)


@pytest.mark.parametrize(
    ("source", "target"),
    [("t/sub", "t"), ("t", "t/sub"), ("t/", "t//."), ("t*", "u")],
    ids=["above", "below", "same", "pattern"],
)
def test_a_sync_deletes_nothing_that_nobody_means(facility, there: Path, source: str, target: str) -> None:
    for name in ("t/sub/x", "t/y", "u/mine"):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text(name)
    ends = [facility.files.at(f"{there}/{each}") for each in (source, target)]
    with pytest.raises(UsageError, match=r"lie in one another|are the same|is a pattern"):
        Transfers().sync(*ends, delete=True)
    assert all((there / name).read_text() == name for name in ("t/sub/x", "t/y", "u/mine"))


def test_a_sync_deletes_nothing_behind_a_link(facility, there: Path, tmp_path: Path) -> None:
    for name in ("a/wanted", "b/too"):
        (there / name).parent.mkdir()
        (there / name).write_text(name)
    target = tmp_path / "here"
    (target / "a").mkdir(parents=True)
    (target / "a" / "wanted").write_text("a/wanted")
    (target / "b").symlink_to("a")
    Transfers().sync(facility.files.at(str(there)), target, delete=True)
    assert (target / "a" / "wanted").read_text() == "a/wanted"


def links_laid(top: Path, outside: Path) -> None:
    """A tree with a link to a directory of its own and with two that lead out of it."""
    (top / "a").mkdir(parents=True)
    (top / "a" / "x").write_text("x")
    for name, leads_to in (("alias", "a"), ("out", str(outside)), ("nowhere", "none")):
        (top / name).symlink_to(leads_to)


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_a_link_that_is_skipped_is_no_reason_to_delete(facility, there, tmp_path, up: bool) -> None:
    source, target = (tmp_path / "s", there / "t") if up else (there / "s", tmp_path / "t")
    links_laid(source, tmp_path)
    for name in ("a/y", "out/kept", "out/dir/kept", "nowhere", "gone/y"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text("of the target")
    ends = (source, facility.files.at(str(target))) if up else (facility.files.at(str(source)), target)
    would = Transfers().difference(*ends, delete=True, links="skip")
    did = Transfers().sync(*ends, delete=True, links="skip")
    assert [os.path.relpath(each, target) for each in would.deleted] == ["a/y", "gone"]
    assert did.deleted == 2
    assert all(
        (target / name).read_text() == "of the target" for name in ("out/kept", "out/dir/kept", "nowhere")
    )
    assert not (target / "gone").exists()


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_links_in_the_target_are_taken_away_as_what_they_are(facility, there, tmp_path, up: bool) -> None:
    source, target = (tmp_path / "s", there / "t") if up else (there / "s", tmp_path / "t")
    (source / "a").mkdir(parents=True)
    (source / "a" / "x").write_text("x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").write_text("kept")
    links_laid(target, tmp_path / "mine")
    ends = (source, facility.files.at(str(target))) if up else (facility.files.at(str(source)), target)
    would = Transfers().difference(*ends, delete=True)
    did = Transfers().sync(*ends, delete=True)
    assert [os.path.relpath(each, target) for each in would.deleted] == ["alias", "nowhere", "out"]
    assert (did.deleted, same(source, target)) == (3, True)
    assert not [path for path in target.rglob("*") if path.is_symlink()]
    assert (tmp_path / "mine" / "kept").exists()


def test_a_sync_into_a_directory_that_is_a_link_keeps_what_it_leads_to(facility, there, tmp_path) -> None:
    (there / "s" / "d").mkdir(parents=True)
    (there / "s" / "d" / "x").write_text("x")
    target = tmp_path / "t"
    (target / "e").mkdir(parents=True)
    (target / "e" / "y").write_text("y")
    (target / "d").symlink_to("e")
    ends = facility.files.at(str(there / "s")), target
    assert Transfers().difference(*ends, delete=True).deleted == ()
    assert Transfers().sync(*ends, delete=True).deleted == 0
    assert {name: (target / name).read_text() for name in ("d/x", "e/y")} == {"d/x": "x", "e/y": "y"}


def test_progress_is_told_on_the_callers_side(facility, there: Path, tree: Path) -> None:
    told: list[tuple[int, Progress]] = []
    facility.files.put(
        tree, str(there / "t"), on_progress=lambda each: told.append((threading.get_ident(), each))
    )
    assert {thread for thread, _ in told} == {threading.get_ident()}
    first, last = told[0][1], told[-1][1]
    assert (first.bytes_done, first.finished) == (0, False)
    assert (last.finished, last.bytes_done, last.files_done) == (True, last.bytes_total, 3)


async def test_a_loop_awaits_the_same(facility: Facility, there: Path, tree: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    await facility.aio.files.put(tree, str(there / "t"), on_progress=told.append)
    assert told[0].files_total == 3
    await Transfers().aio.copy(facility.aio.files.at(str(there / "t")), str(tmp_path / "back"))
    assert same(tree, tmp_path / "back")


async def test_who_is_cancelled_goes_on_where_it_was(facility, place, there: Path, tmp_path: Path) -> None:
    source, arrived = tmp_path / "t", asyncio.Event()
    source.mkdir()
    for number in range(4):
        (source / f"f{number}").write_bytes(bytes([number]) * 1000)
    words = {"parallel": 1, "on_progress": lambda now: arrived.set() if now.files_done else None}
    putting = asyncio.create_task(facility.aio.files.put(source, str(there / "t"), rate=2000.0, **words))
    await asyncio.wait_for(arrived.wait(), 20)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    for _ in range(100):
        try:
            result = await facility.aio.files.put(source, str(there / "t"))
            break
        except UsageError:  # the first one lets go of it when it has cleared away what was under way
            await asyncio.sleep(0.05)
    assert result.files_skipped >= 1
    assert result.files + result.files_skipped == 4
    assert same(source, there / "t")


def test_an_end_is_named_by_its_profile(facility, place, there: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_HPC_URL", place.base_url)
    monkeypatch.setenv("IRI_FACILITY_HPC_TOKEN", place.token)
    (tmp_path / "x").write_text("x")
    Transfers().copy(tmp_path / "x", f"iri://hpc/{there}/x")
    Transfers().copy(f"iri://hpc/scratch{there}/x", tmp_path / "back")
    assert filecmp.cmp(tmp_path / "x", tmp_path / "back", shallow=False)
    result = Transfers().copy(f"iri://hpc/{there}/x", f"iri://hpc/{there}/y")
    assert result.road is Road.WITHIN
    assert (there / "y").read_text() == "x"


def test_a_link_in_the_target_leads_no_file_out_of_it(facility, there: Path, tmp_path: Path) -> None:
    (there / "t" / "sub" / "deep").mkdir(parents=True)
    (there / "t" / "sub" / "deep" / "x").write_text("harm")
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "sub").symlink_to(outside)
    with pytest.raises(TransferError, match="leads out of"):
        facility.files.get(str(there / "t"), tmp_path / "here")
    assert not list(outside.iterdir()), "not even a directory"


def test_the_same_transfer_twice_at_once_is_refused(facility: Facility, there: Path, tree: Path) -> None:
    first, target = threading.Event(), str(there / "t")
    failures: list[BaseException] = []

    def put() -> None:
        try:
            facility.files.put(tree, target, rate=1500.0, on_progress=lambda _: first.set())
        except BaseException as error:
            failures.append(error)

    worker = threading.Thread(target=put)
    worker.start()
    assert first.wait(10)
    with pytest.raises(UsageError, match="is being moved already, by process"):
        facility.files.put(tree, target)
    worker.join(60)
    assert not failures
    assert same(tree, there / "t")


@pytest.mark.parametrize(
    "words",
    [{"road": "pigeon"}, {"parallel": 0}, {"rate": -1.0}, {"links": "copy"}, {"recursive": True}],
    ids=lambda words: next(iter(words)),
)
def test_words_that_make_no_sense_send_nothing(facility, place, there: Path, tree: Path, words) -> None:
    with pytest.raises(UsageError):
        facility.files.put(tree, str(there / "t"), **words)
    with pytest.raises(UsageError, match="are the same"):
        Transfers().copy(facility.files.at(str(there)), facility.files.at(str(there)))
    assert not place.requests("upload")


def test_a_file_lands_in_a_directory_under_its_own_name(facility, place, there: Path, tmp_path: Path) -> None:
    (there / "x").write_text("x")
    (tmp_path / "dir" / "y").mkdir(parents=True)
    facility.files.get(str(there / "x"), tmp_path / "dir")
    assert (tmp_path / "dir" / "x").read_text() == "x"
    assert asked(place)["stat"] == 1, "what is here is known without a request"
    with pytest.raises(UsageError, match="end it with a slash to put the file inside"):
        facility.files.put(tmp_path / "dir" / "x", str(there))
    facility.files.put(tmp_path / "dir" / "x", f"{there}/y")
    facility.files.put(tmp_path / "dir" / "x", f"{there.parent}/")
    assert (there.parent / "x").read_text() == "x"
    with pytest.raises(UsageError, match=r"is in .* already"):
        Transfers().copy(facility.files.at(str(there / "x")), facility.files.at(f"{there}/"))
    (tmp_path / "dir" / "y" / "z").mkdir()
    with pytest.raises(UsageError, match="must be a file name"):
        facility.files.get(str(there / "y"), tmp_path / "dir")
