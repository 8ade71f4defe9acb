"""To and from the object store that a facility names among its resources."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import BUCKET, KEYS, Store

from iri_common import Facility, Road, Transfers
from iri_local_facility import LocalFacility

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def place(store_server: Store) -> Iterator[LocalFacility]:
    with LocalFacility(s3=(store_server.url, BUCKET, KEYS["AWS_DEFAULT_REGION"])) as facility:
        yield facility


@pytest.fixture
def facility(
    place: LocalFacility, store_keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Facility:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    place.reset_requests()
    return Facility(place.base_url, token=place.token, name="local")


def test_a_file_goes_to_the_store_and_comes_back(facility, place, store: Store, tmp_path: Path) -> None:
    content = os.urandom(20 * MIB)
    (tmp_path / "x").write_bytes(content)
    result = facility.files.put(tmp_path / "x", "/runs/7/x", storage="objects")
    assert result.road is Road.PARTS
    assert store.content("runs/7/x") == content
    back = facility.files.get("/runs/7/x", tmp_path / "back", storage="objects")
    assert (tmp_path / "back").read_bytes() == content
    assert (back.bytes, back.road, back.sha256) == (20 * MIB, Road.PARTS, None), "the store tells no digest"
    again = facility.files.get("/runs/7/x", tmp_path / "back", storage="objects", checksum=True)
    assert again.sha256 == result.sha256 == hashlib.sha256(content).hexdigest()
    assert {each["operation"] for each in place.requests()} <= {"getResources", "getStorageAccessEndpoints"}


def test_a_tree_becomes_objects(facility: Facility, store: Store, tmp_path: Path) -> None:
    (tmp_path / "t" / "sub").mkdir(parents=True)
    (tmp_path / "t" / "a b").write_bytes(b"A")
    (tmp_path / "t" / "sub" / "empty").write_bytes(b"")
    target = facility.files.at("/trees/t", storage="objects")
    told = Transfers().plan(tmp_path / "t", target).explain()
    assert "SHA-256 is not compared" in told
    Transfers().copy(tmp_path / "t", target)
    assert (store.content("trees/t/a b"), store.content("trees/t/sub/empty")) == (b"A", b"")
