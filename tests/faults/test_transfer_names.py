"""Files whose names, links and sizes are odd arrive as they are; names from a hostile server lead nowhere."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from misbehaving_relay import Relay
from s3_server import BUCKET
from transfer_client import AT_EASE, MIB
from transfer_world import Ends, Parcel

from iri_common import Facility, FileLedger, IriError
from iri_common.facility import doors

ODD = (
    " spaces  in it ",
    "ünï✓ 文件",
    "e\u0301",  # not the same as é
    "new\nline",
    "-rf",
    "--help",
    "'single' \"double\"",
    "a&b;c|d>e<f",
    "$(touch pwned)",
    "`touch pwned`",
    "${HOME}",
    "back\\slash\\n",
    "*?[x]{y}",
    "#hash%2e%2e%2f+plus",
    "~",
    "...",
    ".hidden",
    "tab\tbell\a",
    "x" * 200,
)
WORST = "-n 'a'\"b\"&$(touch pwned)`x`\\ é✓\n%2e*?#~"


@pytest.fixture
def facility(ends: Ends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Facility:
    return door(ends, ends.place.base_url, tmp_path, monkeypatch)


def door(ends: Ends, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Facility:
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.setattr(doors, "Budget", AT_EASE)
    ledger = FileLedger(folder / "ledger")
    return Facility(
        url, token=ends.place.token, poll_seconds=0.05, ledger=ledger, directory=str(ends.place.home)
    )


@pytest.fixture
def there(ends: Ends, tmp_path: Path) -> Path:
    """A directory of the test's own at the facility."""
    path = ends.place.scratch / tmp_path.name
    path.mkdir()
    return path


def held(root: Path) -> dict[str, bytes | str]:
    """What lies below a directory; of a link, where it leads."""
    return {
        str(path.relative_to(root)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in root.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


# ----------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("road", ["direct", "archive"])
def test_a_tree_of_odd_names_comes_back_as_it_went(facility, ends, there, tmp_path, road) -> None:
    sent = tmp_path / "sent"
    for number, name in enumerate(ODD):
        (sent / name).parent.mkdir(exist_ok=True)
        (sent / name).write_bytes(b"%d" % number)
        (sent / f"in {name}"[:200]).mkdir()
        (sent / f"in {name}"[:200] / name).write_bytes(b"")
    wanted = held(sent)
    assert facility.files.put(sent, str(there / "tree"), road=road).files == len(wanted)
    assert held(there) == {f"tree/{name}": content for name, content in wanted.items()}
    facility.files.get(str(there / "tree"), tmp_path / "back", road=road)
    assert held(tmp_path / "back") == wanted
    assert not [*ends.place.root.rglob("pwned"), *tmp_path.rglob("pwned"), *Path.cwd().glob("pwned")]


@pytest.mark.parametrize("size", [0, 1, 700_000])
@pytest.mark.parametrize("road", ["direct", "chunks", "parts", "https"])
def test_one_file_of_the_worst_name_goes_over_every_road(ends, there, tmp_path, road, size) -> None:
    content, worst = os.urandom(size), WORST
    if road == "parts":  # moto finds no object whose key has a line end in it
        worst = worst.replace("\n", " ")
    for way in ("up", "down"):
        parcel = Parcel(ends, f"{road} {way}", {"": content}, None, tmp_path / way, there / way, name=worst)
        parcel.lay()
        parcel.start()
        assert not parcel.heard()
        parcel.whole()
    assert not [*ends.place.root.rglob("pwned"), *tmp_path.rglob("pwned")]


# ----------------------------------------------------------------------------------------------- sizes

SPARSE = 4097 if "IRI_TRANSFER_MIB" in os.environ else 256  # MiB


@pytest.mark.parametrize("road", ["https", "parts"] if SPARSE == 256 else ["https"])
def test_a_sparse_file_goes_there_and_back(ends, there, tmp_path, road) -> None:
    marks = {0: b"first", SPARSE * MIB // 2 + 7: b"middle", SPARSE * MIB - 4: b"last"}
    sent, back = tmp_path / "sent", tmp_path / "back"
    with sent.open("wb") as file:
        for place, mark in marks.items():
            file.seek(place)
            file.write(mark)
    far = "/sparse" if road == "parts" else str(there / "sparse")
    for way, source, target in (("up", sent, far), ("down", far, back)):
        plan = ends.plan(f"{road} {way}", str(source), str(target), tmp_path / "state", small=False)
        client = ends.clients.start(plan).wait()
        assert client.told("done"), client.story()
    assert back.stat().st_size == SPARSE * MIB
    assert back.stat().st_blocks * 512 < 8 * MIB, "holes stay holes"
    with sent.open("rb") as one, back.open("rb") as other:
        assert hashlib.file_digest(one, "sha256").digest() == hashlib.file_digest(other, "sha256").digest()
    ends.store.admin.delete_object(Bucket=BUCKET, Key="sparse")


# ----------------------------------------------------------------------------------------------- links


def links(root: Path, outside: Path) -> None:
    """A tree in which a file can be had under two names."""
    (root / "d").mkdir(parents=True)
    (root / "d" / "true").write_bytes(b"true")
    (root / "same").symlink_to("d/true")


BAD = {
    "out": lambda root, outside: (root / "bad").symlink_to(outside),
    "up and out": lambda root, outside: (root / "bad").symlink_to("../../outside"),
    "dangling": lambda root, outside: (root / "bad").symlink_to("nothing"),
    "itself": lambda root, outside: (root / "bad").symlink_to("bad"),
    "round": lambda root, outside: (root / "d" / "bad").symlink_to(".."),
}
ROUND = pytest.mark.parametrize("kind", BAD)


def laid(root: Path, outside: Path, kind: str) -> None:
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    links(root, outside)
    BAD[kind](root, outside)


@ROUND
def test_a_link_that_leads_out_is_refused_by_name_or_skipped_going_up(
    facility, there, tmp_path, kind
) -> None:
    laid(tmp_path / "sent", tmp_path / "outside", kind)
    with pytest.raises(IriError, match=r"bad"):
        facility.files.put(tmp_path / "sent", str(there / "tree"))
    assert held(there) == {}
    facility.files.put(tmp_path / "sent", str(there / "tree"), links="skip")
    assert held(there / "tree") == {"d/true": b"true", "same": b"true"}


@ROUND
def test_a_link_that_leads_out_is_refused_by_name_or_skipped_coming_down(
    facility, there, tmp_path, kind
) -> None:
    laid(there / "tree", there / "outside", kind)
    with pytest.raises(IriError, match=r"bad"):
        facility.files.get(str(there / "tree"), tmp_path / "back")
    assert not (tmp_path / "back").exists()
    facility.files.get(str(there / "tree"), tmp_path / "back", links="skip")
    assert held(tmp_path / "back") == {"d/true": b"true", "same": b"true"}


def test_a_link_here_that_leads_out_is_not_written_through(facility, there, tmp_path) -> None:
    (there / "tree" / "d").mkdir(parents=True)
    (there / "tree" / "d" / "x").write_bytes(b"x")
    outside, back = tmp_path / "outside", tmp_path / "back"
    outside.mkdir()
    back.mkdir()
    (back / "d").symlink_to(outside)
    with pytest.raises(IriError, match=r"leads out"):
        facility.files.get(str(there / "tree"), back)
    assert held(outside) == {}


# ------------------------------------------------------------------------------------- a hostile server


class Hostile(Relay):
    """Before a facility: changes the rows of listings, and gives the one file there is under every name."""

    def __init__(self, url: str, tree: Path) -> None:
        super().__init__(url)
        self._tree = tree
        self.change: Callable[[dict[str, Any]], object] = lambda row: None

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        if b"/filesystem/download/" in head or b"/filesystem/checksum/" in head:
            head, body = self._redirected(head, body)
        reply = await super()._forward(head, body)
        start, separator, said = reply.partition(b"\r\n\r\n")
        if b"application/json" not in start.lower():
            return reply
        said = json.dumps(self._changed(json.loads(said))).encode()
        return (
            re.sub(rb"(?i)content-length: \d+", b"content-length: %d" % len(said), start) + separator + said
        )

    def _redirected(self, head: bytes, body: bytes) -> tuple[bytes, bytes]:
        words = json.loads(body)
        if not os.path.isfile(words["path"]) or "innocent" not in words["path"]:
            words["path"] = str(self._tree / "innocent")
        body = json.dumps(words).encode()
        return re.sub(rb"(?i)content-length: \d+", b"content-length: %d" % len(body), head), body

    def _changed(self, value: Any) -> Any:
        if isinstance(value, dict):
            value = {key: self._changed(each) for key, each in value.items()}
            if value.get("name") == "innocent":
                self.change(value)
        return [self._changed(each) for each in value] if isinstance(value, list) else value


@pytest.fixture
def hostile(ends: Ends, there: Path) -> Iterator[Hostile]:
    (there / "innocent").write_bytes(b"evil")
    (there / "other").write_bytes(b"other")
    with Hostile(ends.place.base_url, there) as relay:
        yield relay


@pytest.mark.parametrize("road", ["direct", "archive"])
@pytest.mark.parametrize(
    "name",
    ["../x", "../../x", "a/../../x", "/pwned", "./../x", "..", ".", "", "a/../..", "nul\0"],
)
def test_no_name_of_a_listing_leads_out_of_the_directory(
    ends, hostile, there, tmp_path, monkeypatch, name, road
) -> None:
    facility = door(ends, hostile.base_url, tmp_path, monkeypatch)
    if name == "/pwned":
        name = str(tmp_path / "in" / "pwned")
    hostile.change = lambda row: row.update(name=name)
    chosen = tmp_path / "in" / "chosen"
    chosen.mkdir(parents=True)
    with pytest.raises(IriError) as caught:
        facility.files.get(str(there), chosen, road=road)
    assert repr(name)[1:-1] in str(caught.value) or repr(name) in str(caught.value)
    assert held(tmp_path / "in") == {}
    assert not Path("/pwned").exists()


def test_no_link_of_a_listing_leads_out_of_the_directory(ends, hostile, there, tmp_path, monkeypatch) -> None:
    facility = door(ends, hostile.base_url, tmp_path, monkeypatch)
    hostile.change = lambda row: row.update(type="symlink", link_target="/etc/passwd")
    with pytest.raises(IriError, match="innocent"):
        facility.files.get(str(there), tmp_path / "chosen")
    assert held(tmp_path / "chosen") == {}
