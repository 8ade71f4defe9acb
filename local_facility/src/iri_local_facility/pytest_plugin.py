"""Fixtures for people's own tests: ``pytest -p iri_local_facility.pytest_plugin``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .testing import LocalFacility


@pytest.fixture(scope="session")
def local_facility() -> Iterator[LocalFacility]:
    """A facility for the whole test session."""
    with LocalFacility() as facility:
        yield facility
