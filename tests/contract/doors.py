"""Doors to one local facility, one for each API that it speaks; the same tests go through all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from misbehaving_relay import Relay

from iri_common import Facility, FileLedger
from iri_common.auth.client_key import key_from_file
from iri_common.auth.private_key_jwt import PrivateKeyJwt
from iri_local_facility import LocalFacility


@dataclass(frozen=True)
class Door:
    """One API.

    Attributes:
        url: Its base URL at the facility.
        words: What a profile says of it beside the URL, the credential among it.
        submit: What the request that creates a job looks like.
        cancel: What the request that ends one looks like.
        per_submit: Requests that a submit costs, the question for resources left out.
        operations: What the facility's log calls a submit, a list, a look at one job, a cancel.
        profile: What a profile in the environment says beside URL and token.
        guards: The client finds the guards by itself; else the profile names their directory.
        least_seconds: The shortest time limit that its jobs can have.
    """

    url: Callable[[LocalFacility], str]
    words: Callable[[LocalFacility], Mapping[str, Any]]
    submit: str
    cancel: str
    operations: tuple[str, str, str, str]
    per_submit: int = 1
    profile: Callable[[LocalFacility], Mapping[str, str]] = lambda place: {}
    guards: bool = True
    least_seconds: int = 1
    start: Mapping[str, Any] = field(default_factory=dict)

    def open(self, place: LocalFacility, folder: Path, relay: Relay | None = None, **words: Any) -> Facility:
        """A facility object of its own, with its ledger below ``folder``."""
        told: dict[str, Any] = {"name": "place", "poll_seconds": 0.1, "directory": str(place.home)}
        if not self.guards:
            told["guard_directory"] = str(place.home / "guards")
        url = relay.base_url if relay else self.url(place)
        told |= {"ledger": FileLedger(folder / "ledger"), **self.words(place), **words}
        return Facility(url, **told)

    def variables(self, place: LocalFacility, folder: Path) -> dict[str, str]:
        """The same as the profile "place" in the environment."""
        told = {"URL": self.url(place), "TOKEN": place.token, "DIRECTORY": str(place.home)}
        told |= {"POLL_SECONDS": "0.1", **self.profile(place)}
        if not self.guards:
            told["GUARD_DIRECTORY"] = str(place.home / "guards")
        if "CLIENT_KEY_FILE" in told:
            del told["TOKEN"]
        variables = {f"IRI_FACILITY_PLACE_{word}": value for word, value in told.items()}
        return {**variables, "XDG_STATE_HOME": str(folder / "state")}


def _signed(place: LocalFacility) -> PrivateKeyJwt:
    return PrivateKeyJwt(place.superfacility_token_url, key_from_file(place.superfacility_key))


def _of_slurm(place: LocalFacility) -> dict[str, str]:
    return {"dialect": "slurm", "user": place.slurm_user, "token": place.slurm_token}


def _of_s3m(place: LocalFacility) -> dict[str, str]:
    # The project is the one that the tests charge.
    token = place.new_s3m_token("beamline")
    return {"dialect": "slurm", "site": "s3m", "resource": "cluster", "token": token}


def _variables(words: Mapping[str, str]) -> dict[str, str]:
    return {name.upper(): value for name, value in words.items()}


DOORS: Mapping[str, Door] = {
    "iri-v2": Door(
        url=lambda place: place.base_url,
        words=lambda place: {"token": place.new_token()},
        submit=r"^POST .*/compute/job/",
        cancel=r"^DELETE .*/compute/cancel/",
        operations=("launchJob", "getJobs", "getJob", "cancelJob"),
    ),
    "iri-v1": Door(
        url=lambda place: f"{place.url}/api/v1",
        words=lambda place: {"token": place.new_token()},
        submit=r"^POST .*/compute/job/",
        cancel=r"^DELETE .*/compute/cancel/",
        operations=("launchJob", "getJobs", "getJob", "cancelJob"),
        guards=False,
    ),
    "superfacility": Door(
        url=lambda place: place.superfacility_url,
        words=lambda place: {"dialect": "superfacility", "token": _signed(place)},
        profile=lambda place: {
            "DIALECT": "superfacility",
            "CLIENT_KEY_FILE": str(place.superfacility_key),
            "TOKEN_URL": place.superfacility_token_url,
        },
        submit=r"^POST .*/compute/jobs/",
        cancel=r"^DELETE .*/compute/jobs/",
        operations=("sfSubmitJob", "sfGetJobs", "sfGetJob", "sfCancelJob"),
    ),
    "firecrest": Door(
        url=lambda place: place.firecrest_url,
        words=lambda place: {"dialect": "firecrest", "token": place.new_token()},
        profile=lambda place: {"DIALECT": "firecrest"},
        submit=r"^POST .*/compute/cluster/jobs",
        cancel=r"^DELETE .*/compute/cluster/jobs/",
        operations=("firecrestSubmit", "firecrestJobs", "firecrestJob", "firecrestCancel"),
    ),
    "slurm": Door(
        url=lambda place: place.slurm_url,
        words=_of_slurm,
        profile=lambda place: _variables(_of_slurm(place)),
        submit=r"^POST .*/slurm/.*/job/submit",
        cancel=r"^DELETE .*/slurm/.*/job/",
        operations=("slurmSubmit", "slurmJobs", "slurmJob", "slurmCancel"),
        guards=False,
        least_seconds=60,
    ),
    "slurm-v38": Door(
        url=lambda place: place.slurm_url,
        words=lambda place: {**_of_slurm(place), "api_version": "v0.0.38"},
        profile=lambda place: _variables({**_of_slurm(place), "api_version": "v0.0.38"}),
        submit=r"^POST .*/slurm/.*/job/submit",
        cancel=r"^DELETE .*/slurm/.*/job/",
        operations=("slurmSubmit", "slurmJobs", "slurmJob", "slurmCancel"),
        guards=False,
        least_seconds=60,
    ),
    "s3m": Door(
        url=lambda place: place.s3m_url,
        words=_of_s3m,
        profile=lambda place: _variables(_of_s3m(place)),
        submit=r"^POST .*/slurm/open/.*/job/submit",
        cancel=r"^DELETE .*/slurm/open/.*/job/",
        operations=("s3mSubmit", "s3mJobs", "s3mJob", "s3mCancel"),
        guards=False,
        least_seconds=60,
    ),
}

SUBMITS = sorted({door.operations[0] for door in DOORS.values()})
