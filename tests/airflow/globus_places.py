"""A facility with Globus, and a beamline's collection beside it, as the tasks of a worker see them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow_connections import connection_to

from iri_common.policy.globus_tasks import TaskPace
from iri_local_facility import LocalFacility

QUICK = TaskPace(0.05, 0.1)


@dataclass
class Places:
    """What the tests of one module share."""

    site: LocalFacility
    beam: Path
    own: Path
    before: frozenset[str]

    @property
    def there(self) -> str:
        """The test's own directory in the beamline's collection."""
        return f"globus://{self.site.collection_of('beam')}/{self.own.name}"

    def asked(self) -> list[str]:
        return [each["operation"] for each in self.site.requests()]

    def tasks(self) -> list[dict[str, Any]]:
        """Of Globus Transfer, since the test began."""
        return [each for each in self.site.transfers() if each["id"] not in self.before]


@pytest.fixture(scope="module")
def globus_site(
    nothing_left: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LocalFacility, Path]]:
    beam = tmp_path_factory.mktemp("beam")
    with LocalFacility(collections={"beam": beam}) as site:
        yield site, beam


@pytest.fixture
def places(
    globus_site: tuple[LocalFacility, Path], connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Places:
    site, beam = globus_site
    own = site.home / f"t{uuid.uuid4().hex[:8]}"
    own.mkdir()
    words = {"IRI_GLOBUS_CLIENT_ID": site.globus_client_id, "XDG_STATE_HOME": str(tmp_path / "state")}
    words["IRI_GLOBUS_CLIENT_SECRET"] = site.globus_client_secret
    # An identity is open once in a process; another environment is another identity.
    for name, value in {**site.globus_env, **words, "GLOBUS_SDK_TEST": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("iri_common.facility.flows.TaskPace", lambda: QUICK)
    connect("iri_default", connection_to(site, extra={"poll_seconds": 0.1}))
    site.clear_faults()
    site.reset_requests()
    return Places(site, beam, own, frozenset(each["id"] for each in site.transfers()))
