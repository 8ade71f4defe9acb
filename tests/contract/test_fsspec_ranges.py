"""``iri://`` over a collection's HTTPS, which reads by ranges: what is not asked for does not travel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from iri_common import Facility, FileLedger
from iri_common.apis.globus import GlobusCredential
from iri_common.facility.collections import GlobusSettings
from iri_common.facility.filesystem import FIRST_PIECE, IriFileSystem
from iri_local_facility import LocalFacility

CONTENT = bytes(range(256)) * 4 * 2**10 * 3  # 3 MiB


@pytest.fixture(scope="module")
def bare() -> Iterator[LocalFacility]:
    with LocalFacility(without=("filesystem",), data_access=True) as place:
        yield place


@pytest.fixture
def files(bare: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IriFileSystem:
    for name, value in bare.globus_env.items():
        monkeypatch.setenv(name, value)
    bare.reset_requests()
    credential = GlobusCredential(bare.globus_client_id, lambda: bare.globus_client_secret)
    globus = GlobusSettings(bare.collection, "/", lend=True, credential=credential)
    ledger = FileLedger(tmp_path / "ledger")
    return IriFileSystem.over(
        Facility(bare.base_url, token=bare.new_token(), ledger=ledger, globus=globus, name="bare")
    )


def test_only_what_is_asked_for_travels(files: IriFileSystem, bare: LocalFacility) -> None:
    (bare.home / "large").write_bytes(CONTENT)
    path = f"bare/{bare.home}/large"
    assert files.cat_file(path, 10, 20) == CONTENT[10:20]
    assert [each["operation"] for each in bare.requests()].count("collectionGet") == 1
    with files.open(path, block_size=2**18) as file:
        assert file.size == len(CONTENT)
        file.seek(2 * 2**20 + 7)
        assert file.read(100) == CONTENT[2 * 2**20 + 7 :][:100]
        file.seek(-3, 2)
        assert file.read() == CONTENT[-3:]
    assert files.cat_file(path) == CONTENT
    assert files.cat_file(path, -5) == CONTENT[-5:]


@pytest.mark.parametrize("size", [0, 1, FIRST_PIECE - 1, FIRST_PIECE, FIRST_PIECE + 1])
def test_files_of_any_size_are_read_to_their_end(
    files: IriFileSystem, bare: LocalFacility, size: int
) -> None:
    (bare.home / "sized").write_bytes(CONTENT[:size])
    with files.open(f"bare/{bare.home}/sized") as file:
        assert (file.size, file.read(), file.read(1)) == (size, CONTENT[:size], b"")


def test_what_is_not_there_is_told(files: IriFileSystem, bare: LocalFacility) -> None:
    with pytest.raises(FileNotFoundError):
        files.open(f"bare/{bare.home}/nothing")
    with pytest.raises(FileNotFoundError):
        files.cat_file(f"bare/{bare.home}/nothing", 0, 5)


def test_a_file_is_written_into_the_collection(files: IriFileSystem, bare: LocalFacility) -> None:
    with files.open(f"bare/{bare.home}/written", "wb") as file:
        file.write(CONTENT)
    assert (bare.home / "written").read_bytes() == CONTENT
    assert [each["name"] for each in files.ls(f"bare/{bare.home}/written")] == [f"bare/{bare.home}/written"]
