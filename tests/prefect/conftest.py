"""A facility with real processes, a Prefect server of its own, and a look for what was left running."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from prefect import settings
from prefect.testing.utilities import prefect_test_harness
from prefect_seeing import until

from iri_local_facility import LocalFacility
from prefect_iri import IriFacility

sys.path.append(str(Path(__file__).parents[1] / "contract"))  # for the doors


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """No server, no flow, no job outlives the tests."""
    yield

    def left() -> list[str]:
        found = []
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(f"{child.pid}: {' '.join(child.cmdline())[:200]}")
        # Python's own helper of a process pool; it ends with the process that has started it.
        return [line for line in found if "multiprocessing.resource_tracker" not in line]

    until(lambda: not left(), 15.0, f"everything ended: {left()}")


@pytest.fixture(scope="session", autouse=True)
def prefect_server(nothing_left: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Prefect's own server in a process of its own; starting it takes the longest of all here."""
    home = tmp_path_factory.mktemp("prefect")
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        patch.delenv(name)
    patch.setenv("PREFECT_HOME", str(home))  # for flows in processes of their own
    patch.setenv("DO_NOT_TRACK", "1")
    patch.setenv("NO_PROXY", "127.0.0.1,localhost")
    updates = {
        settings.PREFECT_HOME: home,
        settings.PREFECT_SERVER_ANALYTICS_ENABLED: False,
        settings.PREFECT_LOGGING_TO_API_BATCH_INTERVAL: 0.2,  # seconds until a log can be read back
        settings.PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore",
    }
    with settings.temporary_settings(updates), prefect_test_harness(server_startup_timeout=90):
        yield settings.PREFECT_API_URL.value()
    patch.undo()


@pytest.fixture(scope="session")
def shared_facility(nothing_left: None) -> Iterator[LocalFacility]:
    with LocalFacility(nodes=8, kill_grace=0.5) as facility:
        yield facility


@pytest.fixture
def facility(shared_facility: LocalFacility) -> LocalFacility:
    """The shared facility, its request log empty."""
    shared_facility.reset_requests()
    return shared_facility


@pytest.fixture
def block(facility: LocalFacility) -> IriFacility:
    """A door to it, not saved."""
    return IriFacility(
        url=facility.base_url,
        token=facility.token,
        resource="cluster",
        directory=str(facility.scratch),
        poll_seconds=0.2,
    )


@pytest.fixture
def saved(block: IriFacility) -> str:
    """The name of the same, saved with Prefect."""
    name = f"hpc-{uuid4().hex[:8]}"
    block.save(name)
    return name


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Where jobs leave one line each time they really run."""
    return tmp_path / f"ran-{os.getpid()}"
