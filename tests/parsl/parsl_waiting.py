"""Waiting for what a facility does in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from parsl.jobs.states import JobState

from iri_local_facility import LocalFacility
from parsl_iri import FacilityProvider


def until(condition: Callable[[], Any], seconds: float = 90.0, what: str = "") -> Any:
    """Wait until something is so; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not so after {seconds} s: {what or condition}"
        time.sleep(0.05)
    return value


def state_of(provider: FacilityProvider, job_id: object) -> JobState:
    return provider.status([job_id])[0].state


def until_state(provider: FacilityProvider, job_id: object, *states: JobState, seconds: float = 90.0) -> None:
    try:
        until(lambda: state_of(provider, job_id) in states, seconds)
    except AssertionError:
        raise AssertionError(f"{provider.status([job_id])[0]} is none of {states}") from None


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
