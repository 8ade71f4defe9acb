"""The profile through which the engines reach the facility, for each of the APIs that it speaks."""

from __future__ import annotations

from iri_local_facility import LocalFacility

APIS = ("iri", "firecrest", "superfacility", "slurm")


def profile(facility: LocalFacility, api: str) -> dict[str, str]:
    """The profile "demo", as variables of the environment."""
    words = {
        "iri": _iri,
        "firecrest": _firecrest,
        "superfacility": _superfacility,
        "slurm": _slurm,
    }[api](facility)
    words |= {"DIALECT": api, "DIRECTORY": str(facility.scratch), "POLL_SECONDS": "1"}
    variables = {f"IRI_FACILITY_DEMO_{word}": value for word, value in words.items()}
    return {**variables, **(facility.globus_env if api == "slurm" else {})}


def _iri(facility: LocalFacility) -> dict[str, str]:
    return {"URL": facility.base_url, "TOKEN": facility.token}


def _firecrest(facility: LocalFacility) -> dict[str, str]:
    return {"URL": facility.firecrest_url, "TOKEN": facility.token}


def _superfacility(facility: LocalFacility) -> dict[str, str]:
    return {
        "URL": facility.superfacility_url,
        "TOKEN_URL": facility.superfacility_token_url,
        "CLIENT_KEY_FILE": str(facility.superfacility_key),
    }


def _slurm(facility: LocalFacility) -> dict[str, str]:
    # Slurm moves no files: a Globus collection lends it some.
    return {
        "URL": facility.slurm_url,
        "USER": facility.slurm_user,
        "TOKEN": facility.slurm_token,
        "GUARD_DIRECTORY": str(facility.scratch / ".iri"),
        "GLOBUS_COLLECTION": facility.collection,
        "GLOBUS_CLIENT_ID": facility.globus_client_id,
        "GLOBUS_CLIENT_SECRET": facility.globus_client_secret,
    }
