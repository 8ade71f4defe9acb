"""What a facility does by itself for a transfer is waited for as long as was said, and gone on with later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from string import ascii_letters

import pytest

from iri_common import Facility, Transfers, UsageError, WaitTimeout
from iri_common.transfers import within
from iri_local_facility import LocalFacility

WAIT = 0.5
AS_ONE = 20  # files, so many that a directory is copied as one


@pytest.fixture(scope="module")
def site() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=2) as running:
        yield running


@pytest.fixture
def there(site: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of the test's own, at a facility whose jobs are all held, copies among them."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    own = site.scratch / tmp_path.name
    own.mkdir()
    site.order("hold", times=None)
    site.reset_requests()
    yield own
    site.clear_faults()


@pytest.fixture
def copy(site: LocalFacility, there: Path) -> Callable[..., str]:
    facility = Facility(site.firecrest_url, token=site.token, dialect="firecrest", poll_seconds=0.05)

    def work(source: Path, **words: float) -> str:
        ends = [facility.files.at(str(each)) for each in (source, there / "out")]
        return str(Transfers().copy(*ends, **words).road)

    return work


def asked(site: LocalFacility) -> int:
    return len(site.requests("firecrestTransferCp"))


def timed_out(copy: Callable[..., str], source: Path) -> WaitTimeout:
    with pytest.raises(WaitTimeout, match="still works on transfer/cp") as raised:
        copy(source, wait=WAIT)
    return raised.value


def plant(there: Path, count: int) -> None:
    (there / "in" / "sub").mkdir(parents=True)
    for name in ascii_letters[:count]:
        (there / "in" / "sub" / name).write_bytes(b"a" * 1000)


def finish(site: LocalFacility, error: WaitTimeout) -> None:
    assert error.task is not None
    site.clear_faults()
    facility = Facility(site.firecrest_url, token=site.token, dialect="firecrest", poll_seconds=0.05)
    facility.files.finish(error.task, timeout=60)


@pytest.fixture(params=["file", "files", "tree"])
def source(request: pytest.FixtureRequest, there: Path) -> Path:
    plant(there, 3 if request.param == "files" else AS_ONE)
    return there / "in" / "sub" / "a" if request.param == "file" else there / "in"


def copies(source: Path) -> int:
    """That are needed of what is there."""
    files = len(list((source / "sub").iterdir())) if source.is_dir() else 1
    return files if files < AS_ONE else 1


def arrived(there: Path, source: Path) -> bytes:
    return (there / "out" if source.is_file() else there / "out" / "sub" / "a").read_bytes()


@pytest.mark.parametrize("waited_for", [True, False])
def test_a_copy_that_takes_longer_is_gone_on_with(site, there, copy, source, waited_for: bool) -> None:
    error = timed_out(copy, source)
    if waited_for:  # by another process, whose look may be the last one that finds it
        finish(site, error)
    site.clear_faults()
    assert copy(source) == "within"
    assert arrived(there, source) == b"a" * 1000
    assert asked(site) == copies(source)
    assert {each.name for each in there.iterdir()} == {"in", "out"}


def test_a_copy_of_what_looks_otherwise_is_not_gone_on_with(site, there, copy, source) -> None:
    timed_out(copy, source)
    (there / "in" / "sub" / "a").write_bytes(b"b" * 999)
    site.clear_faults()
    copy(source)
    assert arrived(there, source) == b"b" * 999
    assert asked(site) > copies(source)


def test_an_old_copy_of_what_has_no_date_is_not_gone_on_with(site, there, copy, monkeypatch) -> None:
    """The API tells no times of what is below a directory."""
    plant(there, AS_ONE)
    error = timed_out(copy, there / "in")
    monkeypatch.setattr(within, "_UNDATED", 0.0)
    finish(site, error)
    (there / "in" / "sub" / "a").write_bytes(b"b" * 1000)
    copy(there / "in")
    assert arrived(there, there / "in") == b"b" * 1000


def test_a_wait_is_no_less_than_nothing(copy, source) -> None:
    with pytest.raises(UsageError, match="wait is a number of seconds, not -1"):
        copy(source, wait=-1)
