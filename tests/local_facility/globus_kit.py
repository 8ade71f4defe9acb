"""The unmodified Globus SDK, pointed at a local facility."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import globus_sdk
from globus_sdk import ClientApp, GlobusAppConfig, TransferClient, TransferData
from globus_sdk.scopes import GCSCollectionScopes

from iri_local_facility import LocalFacility


def auth_client(facility: LocalFacility) -> globus_sdk.ConfidentialAppAuthClient:
    return globus_sdk.ConfidentialAppAuthClient(facility.globus_client_id, facility.globus_client_secret)


def transfer_client(facility: LocalFacility, **config: Any) -> TransferClient:
    app = ClientApp(
        "test",
        client_id=facility.globus_client_id,
        client_secret=facility.globus_client_secret,
        config=GlobusAppConfig(token_storage="memory", **config),
    )
    return TransferClient(app=app)


def https_token(facility: LocalFacility, collection: str) -> str:
    scope = str(GCSCollectionScopes(collection).https)
    tokens = auth_client(facility).oauth2_client_credentials_tokens(scope)
    return tokens.by_resource_server[collection]["access_token"]


def request(
    source: str,
    destination: str,
    *items: tuple[Path | str, Path | str],
    recursive: bool = False,
    **options: Any,
) -> TransferData:
    data = TransferData(source, destination, **options)
    for here, there in items:
        data.add_item(str(here), str(there), recursive=recursive)
    return data


def await_task(client: TransferClient, task_id: str, seconds: float = 20) -> dict[str, Any]:
    return await_that(client, task_id, lambda task: task["status"] in ("SUCCEEDED", "FAILED"), seconds)


def await_that(client: TransferClient, task_id: str, wanted: Any, seconds: float = 20) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while not wanted(task := client.get_task(task_id).data):
        assert time.monotonic() < deadline, task
        time.sleep(0.02)
    return task
