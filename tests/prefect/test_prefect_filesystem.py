"""``iri://`` behind Prefect's own block for remote files."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect.filesystems import RemoteFileSystem

from iri_local_facility import LocalFacility


def test_results_and_directories_at_a_facility(
    facility: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IRI_FACILITY_DESK_URL", facility.base_url)
    monkeypatch.setenv("IRI_FACILITY_DESK_TOKEN", facility.token)
    there = facility.scratch / tmp_path.name
    block = RemoteFileSystem(basepath=f"iri://desk/scratch{there}")
    block.write_path("results/one", b"\x00result")
    assert (there / "results" / "one").read_bytes() == b"\x00result"
    assert block.read_path("results/one") == b"\x00result"
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "a.txt").write_text("a")
    assert block.put_directory(str(tmp_path / "in"), "tree") == 1
    block.get_directory("tree", str(tmp_path / "out"))
    assert (tmp_path / "out" / "sub" / "a.txt").read_text() == "a"
