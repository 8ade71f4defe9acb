"""A facility with real processes, profiles that lead to it, and a look for what was left running."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from parsl.jobs.states import JobState

from iri_local_facility import LocalFacility
from parsl_iri import FacilityProvider

BIN = Path(sys.executable).parent


def until(condition: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
    """Wait until something is so; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not so after {seconds} s: {what or condition}"
        time.sleep(0.05)
    return value


def state_of(provider: FacilityProvider, job_id: object) -> JobState:
    return provider.status([job_id])[0].state


def until_state(provider: FacilityProvider, job_id: object, *states: JobState, seconds: float = 20.0) -> None:
    try:
        until(lambda: state_of(provider, job_id) in states, seconds)
    except AssertionError:
        raise AssertionError(f"{provider.status([job_id])[0]} is none of {states}") from None


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """No interchange, no worker, no job outlives the tests."""
    before = {process.pid for process in psutil.process_iter()}
    yield
    words = ("process_worker_pool", "interchange.py", "iri_local_facility")

    def left() -> list[str]:
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or ())
            if process.pid not in before and any(word in line for word in words):
                found.append(f"{process.pid}: {line[:200]}")
        mine = [child for child in psutil.Process().children(recursive=True) if child.is_running()]
        return [*found, *(f"child {child.pid}: {child.name()}" for child in mine)]

    until(lambda: not left(), 15.0, f"everything ended: {left()}")


@pytest.fixture(scope="session", autouse=True)
def executables_on_path(nobodys_home: Path) -> Iterator[None]:
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


def lead_to(patch: pytest.MonkeyPatch, name: str, facility: LocalFacility) -> None:
    """Make a profile that leads to a facility."""
    words = {
        "URL": facility.base_url,
        "TOKEN": facility.token,
        "RESOURCE": "cluster",
        "DIRECTORY": str(facility.scratch),
        "POLL_SECONDS": "0.2",
    }
    for word, value in words.items():
        patch.setenv(f"IRI_FACILITY_{name.upper()}_{word}", value)


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
