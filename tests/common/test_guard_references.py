"""A job's reference is text that anybody can write: it leads to no guards but those of its own door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from iri_common import Facility, FileLedger, Grant, GrantExceeded, JobKey, JobRef, JobState
from iri_common.policy import vanished
from iri_local_facility import LocalFacility

pytestmark = pytest.mark.timeout(90)

ELSEWHERE = "elsewhere"  # part of each path that is not the door's own


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as facility:
        yield facility


@pytest.fixture
def roots(place: LocalFacility, tmp_path: Path) -> tuple[Path, Path]:
    """The door's own guards, and others beside them."""
    folder = place.home / tmp_path.name
    own, other = folder / "guards", folder / ELSEWHERE
    for each in (own, other):
        each.mkdir(parents=True)
    return own, other


def door(place: LocalFacility, state: Path, root: Path | None, **words: Any) -> Facility:
    words = {"guard_directory": str(root) if root else None, "poll_seconds": 0.1, **words}
    return Facility(place.base_url, token=place.token, ledger=FileLedger(state), **words)


def ran(facility: Facility, what: str) -> JobRef:
    """A job that has ended well, and says so in its journal."""
    ref = facility.jobs.submit({"executable": "/bin/true"}, key=JobKey.of("references", what))
    assert facility.jobs.wait(ref, timeout=60).exit_code == 0
    return ref


def planted(own: Path, other: Path, digest: str) -> None:
    """The journal of a job that failed, as somebody would have it believed."""
    (other / digest).mkdir()
    journal = (own / digest / "1.journal").read_text()
    (other / digest / "1.journal").write_text(journal.replace("exit 0", "exit 7"))


def forged(own: Path, other: Path, digest: str) -> dict[str, str]:
    link = own.parent / f"{ELSEWHERE}-link"
    link.symlink_to(other)
    return {
        "another root": f"{other}/{digest}",
        "up and down again": f"{own}/../{ELSEWHERE}/{digest}",
        "up within its own": f"{own}/{ELSEWHERE}/../{digest}",
        "through a link": f"{link}/{digest}",
        "of another key": f"{own}/{ELSEWHERE}",
        "a slash more": f"{own}//{ELSEWHERE}/..//{digest}",
        "no path": f"{ELSEWHERE}/{digest}",
    }


def asked(place: LocalFacility) -> str:
    return json.dumps(place.requests())


def test_a_reference_leads_to_no_guards_but_the_doors_own(
    place: LocalFacility, roots: tuple[Path, Path], tmp_path: Path
) -> None:
    own, other = roots
    ref = ran(door(place, tmp_path / "ledger", own), "forged")
    planted(own, other, ref.key.digest)
    stranger = door(place, tmp_path / "another", own)  # with no ledger that knows the key
    place.reset_requests()
    for what, directory in forged(own, other, ref.key.digest).items():
        told = replace(ref, directory=directory)
        for text in (told, str(told)):
            journal = stranger.jobs.journal(text)
            assert journal is not None, what
            assert journal.exit_code == 0, what
        stranger.jobs.cancel(replace(told, job_id=None))
    assert ELSEWHERE not in asked(place)
    assert {each.name for each in other.iterdir()} == {ref.key.digest}
    assert [each.name for each in (other / ref.key.digest).iterdir()] == ["1.journal"]


def test_a_job_that_is_gone_is_judged_by_no_journal_that_its_reference_names(
    place: LocalFacility, roots: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vanished, "GRACE_UNSEEN", 0.0)
    own, other = roots
    ref = ran(door(place, tmp_path / "ledger", own), "gone")
    planted(own, other, ref.key.digest)
    place.order("missing", job=ref.job_id)
    place.reset_requests()
    for name, directory in enumerate(forged(own, other, ref.key.digest).values()):
        stranger = door(place, tmp_path / str(name), own)
        ended = stranger.jobs.wait(replace(ref, directory=directory), timeout=60)
        assert (ended.state, ended.exit_code) == (JobState.COMPLETED, 0)
    assert ELSEWHERE not in asked(place)


def test_where_guards_were_when_it_was_asked_for_the_ledger_tells(
    place: LocalFacility, roots: tuple[Path, Path], tmp_path: Path
) -> None:
    own, other = roots
    ref = ran(door(place, tmp_path / "ledger", other), "moved")
    moved = door(place, tmp_path / "ledger", own)
    for each in (ref, replace(ref, directory=None), replace(ref, directory=f"{own}/../x/{ref.key.digest}")):
        journal = moved.jobs.journal(each)
        assert journal is not None
        assert journal.exit_code == 0
    assert door(place, tmp_path / "another", own).jobs.journal(ref) is None


def test_guards_in_the_home_are_found_by_whoever_the_facility_tells_it(
    place: LocalFacility, tmp_path: Path
) -> None:
    ref = ran(door(place, tmp_path / "ledger", None), "home")
    stranger = door(place, tmp_path / "another", None)
    for directory in (ref.directory, None, f"/{ELSEWHERE}/.iri/{ref.key.digest}"):
        journal = stranger.jobs.journal(replace(ref, directory=directory))
        assert journal is not None
        assert journal.exit_code == 0


def test_the_guards_of_a_machine_that_the_grant_does_not_name_are_not_read(
    place: LocalFacility, roots: tuple[Path, Path], tmp_path: Path
) -> None:
    own, _ = roots
    ref = ran(door(place, tmp_path / "ledger", own), "machine")
    elsewhere = door(place, tmp_path / "another", own, grant=Grant(resources={"another machine"}))
    place.reset_requests()
    for refused in (
        lambda: elsewhere.jobs.journal(ref),
        lambda: elsewhere.jobs.ask({"executable": "/bin/true"}, key=ref.key),
        lambda: elsewhere.jobs.cancel(ref.key),
        lambda: elsewhere.jobs.clean(older_than=0, dry_run=True),
    ):
        with pytest.raises(GrantExceeded):
            refused()
    assert ref.key.digest not in asked(place)
