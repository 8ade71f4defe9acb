"""A facility with real processes, profiles that lead to it, and a look for what was left running."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from parsl_waiting import lead_to, until

from iri_local_facility import LocalFacility
from parsl_iri import FacilityProvider

BIN = Path(sys.executable).parent
sys.path.append(str(Path(__file__).parents[1] / "contract"))  # for the doors


@pytest.fixture(scope="session", autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No interchange, no facility, no worker and no other process of a job outlives the tests."""
    ours = str(tmp_path_factory.mktemp("facilities"))
    patch = pytest.MonkeyPatch()
    patch.setattr(tempfile, "tempdir", ours)  # where facilities put themselves: it marks what is ours

    def left() -> list[str]:
        found = psutil.Process().children(recursive=True)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                # A job's home is in its facility, whoever has become its parent.
                if process.environ().get("HOME", "").startswith(ours) or ours in " ".join(process.cmdline()):
                    found.append(process)
        return [str(process) for process in found]

    yield
    patch.undo()
    until(lambda: not left(), 15.0, f"everything has ended: {left()}")


@pytest.fixture(scope="session", autouse=True)
def executables_on_path(nothing_left: None) -> Iterator[None]:
    """Parsl starts its interchange by name."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    yield
    patch.undo()


@pytest.fixture(scope="session")
def facility(executables_on_path: None) -> Iterator[LocalFacility]:
    """One facility for all tests that leave it in peace."""
    with LocalFacility(nodes=16, kill_grace=0.5) as facility:
        yield facility


@pytest.fixture
def fragile(executables_on_path: None) -> Iterator[LocalFacility]:
    """A facility of one's own, to be killed and restarted."""
    with LocalFacility(nodes=4, kill_grace=0.5) as facility:
        yield facility


@pytest.fixture
def demo(facility: LocalFacility, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalFacility]:
    """The shared facility as profile "demo", its log empty, no job of the test left behind."""
    lead_to(monkeypatch, "demo", facility)
    facility.reset_requests()
    yield facility
    until(lambda: not [job for job in facility.jobs() if job["state"] in {"active", "queued", "new"}])


@pytest.fixture
def providers() -> Iterator[Callable[..., FacilityProvider]]:
    """Makes providers whose blocks are cancelled after the test."""
    made: list[FacilityProvider] = []

    def make(facility: Any = "demo", **words: Any) -> FacilityProvider:
        words = {"walltime": "00:05:00", "cmd_timeout": 10, **words}
        made.append(FacilityProvider(facility, **words))
        return made[-1]

    yield make
    for provider in made:
        living = [each for each in provider.resources if not provider.status([each])[0].terminal]
        provider.cancel(living)
