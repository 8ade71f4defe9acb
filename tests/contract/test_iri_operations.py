"""Every operation of the IRI API is asked by a call of a facility, or is known not to be."""

from __future__ import annotations

import contextlib
import getpass
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iri_common import Facility, FileLedger, Refused
from iri_local_facility import LocalFacility

pytestmark = pytest.mark.timeout(90)

DOCUMENTS = {"v1": "/openapi.json", "v2": "/api/v2/openapi.json"}
# What one of these tells of one object, the list of all has in the same words.
SINGLES = {
    "getSite",
    "getIncident",
    "getEventByIncident",
    "getCapability",
    "getProject",
    "getProjectAllocationByProject",
    "getUserAllocationByProjectAllocation",
}
# Subsets of getResources, which tells what each resource takes; other tasks than one's own; and the end of a
# result that nobody has read yet.
NOT_ASKED = SINGLES | {"getComputeResources", "getFilesystemResources", "getTasks", "deleteTask"}


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(kill_grace=0.2) as facility:
        yield facility


@pytest.fixture(params=["v1", "v2"])
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def facility(place: LocalFacility, version: str, tmp_path: Path) -> Facility:
    return Facility(
        f"{place.url}/api/{version}",
        token=place.new_token(),
        poll_seconds=0.1,
        directory=str(place.home),
        ledger=FileLedger(tmp_path / "ledger"),
    )


def use_status(facility: Facility) -> None:
    status = facility.status
    status.facility()
    status.sites()
    status.resource()
    status.incidents()
    status.events(incident="none")


def use_accounts(facility: Facility, version: str) -> None:
    accounts = facility.accounts
    accounts.check_token()
    accounts.capabilities()
    (project, *_) = accounts.projects()
    (allocation, *_) = accounts.allocations(project.id)
    accounts.user_allocations(project.id, allocation.id)
    if version == "v2":
        accounts.whoami()
        facility.storage.locations()
        facility.storage.access_endpoints()


def use_jobs(facility: Facility) -> None:
    jobs = facility.jobs
    ref = jobs.submit({"executable": "/bin/sleep", "arguments": ["60"]})
    jobs.status(ref)
    with contextlib.suppress(Refused):  # it may have begun
        jobs.update(ref, {"attributes": {"duration": 61}})
    jobs.mine()
    jobs.cancel(ref)
    ref = jobs.submit({"executable": "/bin/echo", "arguments": ["told"]})
    assert "".join(each.text for each in jobs.follow(ref)) == "told\n"


def use_files(facility: Facility, folder: Path) -> None:
    files, top = facility.files, str(folder)
    files.mkdir(f"{top}/d")
    local = folder / "local"
    local.write_text("text\n")
    files.put(local, f"{top}/d/f")
    files.get(f"{top}/d/f", folder / "back")
    uses: list[Callable[[], Any]] = [
        lambda: files.ls(f"{top}/d"),
        lambda: files.stat(f"{top}/d/f"),
        lambda: files.file_type(f"{top}/d/f"),
        lambda: files.checksum(f"{top}/d/f"),
        lambda: files.head(f"{top}/d/f", lines=1),
        lambda: files.tail(f"{top}/d/f", size=2),
        lambda: files.chmod(f"{top}/d/f", 0o600),
        lambda: files.chown(f"{top}/d/f", owner=getpass.getuser()),
        lambda: files.symlink(f"{top}/d/f", f"{top}/link"),
        lambda: files.cp(f"{top}/d/f", f"{top}/copy"),
        lambda: files.mv(f"{top}/copy", f"{top}/moved"),
        lambda: files.compress(f"{top}/d", f"{top}/d.tar", compression="none"),
        lambda: files.extract(f"{top}/d.tar", f"{top}/out", compression="none"),
        lambda: files.rm(f"{top}/moved"),
    ]
    for use in uses:
        use()
    assert (folder / "back").read_text() == "text\n"


def test_every_operation_is_asked_by_a_call(
    place: LocalFacility, facility: Facility, version: str, tmp_path: Path
) -> None:
    with urllib.request.urlopen(place.url + DOCUMENTS[version]) as reply:
        paths = json.load(reply)["paths"]
    served = {each["operationId"] for verbs in paths.values() for each in verbs.values()}
    place.reset_requests()
    folder = place.home / tmp_path.name
    folder.mkdir(exist_ok=True)
    use_status(facility)
    use_accounts(facility, version)
    use_jobs(facility)
    use_files(facility, folder)
    asked = {each["operation"] for each in place.requests()}
    assert served - asked == NOT_ASKED & served
