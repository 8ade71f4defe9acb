"""A facility with a network, flows and message brokers, and what it saw of what is asked for there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import globus_sdk
from globus_sdk import AccessTokenAuthorizer, FlowsClient
from globus_sdk.scopes import FlowsScopes
from lease_world import KINDS, Asker

from iri_common import JobKey
from iri_common.model.pathandnodes import nodes_key, path_key
from iri_local_facility import LocalFacility

SECONDS = 0.15  # that a run takes of itself


@contextmanager
def facility() -> Iterator[tuple[LocalFacility, dict[str, str]]]:
    """The facility, and the words by which it is asked."""
    with LocalFacility(sense_step=0.02, stream_setup=0.1, nodes=64) as place:
        words = {
            "sense": place.sense_url,
            "token": place.token,
            "ports": " ".join(place.sense_ports),
            "slurm": place.slurm_url,
            "slurm_user": place.slurm_user,
            "slurm_token": place.slurm_token,
            "mesh": place.s3m_url,
            "mesh_token": place.s3m_token,
            "client": place.globus_client_id,
            "secret": place.globus_client_secret,
        }
        yield place, words


def a_flow(place: LocalFacility) -> str:
    """A flow that rests for a moment; who calls this has the facility's Globus in the environment."""
    auth = globus_sdk.ConfidentialAppAuthClient(place.globus_client_id, place.globus_client_secret)
    token = auth.oauth2_client_credentials_tokens(str(FlowsScopes.all)).data["access_token"]
    rest = {"Type": "Wait", "Seconds": SECONDS, "End": True}
    client = FlowsClient(authorizer=AccessTokenAuthorizer(token))
    return client.create_flow("Rest", {"StartAt": "Rest", "States": {"Rest": rest}}, {})["id"]


def asker(kind: str, words: dict[str, str], folder: Path) -> Asker:
    """Somebody with a ledger of their own."""
    return KINDS[kind]({**words, "folder": str(folder)})


def taken(place: LocalFacility, kind: str, key: JobKey) -> int:
    """How often the facility did what was asked for under a key; of streams and both, how many there are."""
    if kind == "both":
        there = [len(left(place, "nodes", nodes_key(key)))]
        there += [taken(place, "path", path_key(key)) if left(place, "path", path_key(key)) else 0]
        return max(there)
    if kind == "path":
        mine = [each for each in place.paths() if key.names(each["alias"])]
        return sum(each["asked"].get("provision", 0) for each in mine)
    if kind == "nodes":
        return sum(key.names(each["name"]) for each in place.reservations())
    if kind == "run":
        return sum(key.names(each["label"]) for each in place.flow_runs())
    return sum(each["name"].endswith(key.tag) and not each["released"] for each in place.clusters())


def left(place: LocalFacility, kind: str, key: JobKey) -> list[object]:
    """What is there of a key, or was left behind."""
    if kind == "both":
        return [*left(place, "path", path_key(key)), *left(place, "nodes", nodes_key(key))]
    if kind == "path":
        mine = [each for each in place.paths() if key.names(each["alias"])]
        return [each for each in mine if not each["deleted"] or each["left"]]
    if kind == "nodes":
        return [each for each in place.reservations() if key.names(each["name"]) and not each["deleted"]]
    if kind == "run":
        mine = [each for each in place.flow_runs() if key.names(each["label"])]
        return [each for each in mine if each["status"] == "ACTIVE"]
    return [each for each in place.clusters() if each["name"].endswith(key.tag) and not each["released"]]
