"""Clients whose clocks are five minutes off, before every API: no refusal, and no token asked for in vain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from doors import DOORS

from iri_local_facility import LocalFacility

pytestmark = pytest.mark.timeout(90)

CHILD = Path(__file__).with_name("skewed_child.py")
SHORT = 240  # seconds of a token that tells its end: over, or far away, by a clock that is off


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as facility:
        yield facility


def profiles(place: LocalFacility, folder: Path) -> dict[str, dict[str, str]]:
    """The variables of a profile for each way in which tokens have a time."""
    client = {"CLIENT_ID": place.client_id, "CLIENT_SECRET": place.client_secret}
    login = {"CLIENT_ID": place.sense_public_client, "CLIENT_REFRESH": place.sense_login()}
    words = {
        "iri-v2": {**login, "TOKEN_URL": place.sense_token_url},
        "superfacility": {},
        "firecrest": {**client, "TOKEN_URL": place.token_url},
        "slurm": {"TOKEN": place.new_slurm_token(lifetime=SHORT)},
        "s3m": {},
    }
    found = {}
    for door, own in words.items():
        told = DOORS[door].variables(place, folder)
        if "CLIENT_ID" in own:
            del told["IRI_FACILITY_PLACE_TOKEN"]
        name = door.replace("-", "_")
        told |= {f"IRI_FACILITY_PLACE_{word}": value for word, value in own.items()}
        found[name] = {each.replace("_PLACE_", f"_{name.upper()}_"): value for each, value in told.items()}
    return found


@pytest.mark.parametrize("ahead", [300, -300])
def test_a_clock_that_is_five_minutes_off_harms_nothing(
    place: LocalFacility, ahead: int, tmp_path: Path
) -> None:
    found = profiles(place, tmp_path)
    place.reset_requests()
    env = {name: value for name, value in os.environ.items() if not name.startswith("IRI_")}
    for variables in found.values():
        env |= variables
    said = subprocess.run(
        [sys.executable, str(CHILD), str(ahead), *found],
        env={**env, "XDG_CONFIG_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=80,
    )
    assert json.loads(said.stdout) == dict.fromkeys(found, "completed")
    seen = place.requests()
    asked = Counter(each["operation"] for each in seen if each["operation"].lower().endswith("token"))
    # An assertion from the future is not believed: one more, by the endpoint's clock.
    assert asked == {"token": 1, "senseToken": 1, "sfToken": 2 if ahead > 0 else 1}
    refused = [each["operation"] for each in seen if each["status"] in {401, 403}]
    assert refused == (["sfToken"] if ahead > 0 else [])
