"""A wait for Globus whose credential is renewed before it is over."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import globus_sdk
import pytest
from airflow.sdk.exceptions import TaskDeferred
from globus_sdk.scopes import TransferScopes

from airflow_provider_iri import IriTransferOperator
from airflow_provider_iri.globus_triggers import IriTransferTrigger


@pytest.fixture
def token(places, monkeypatch, tmp_path) -> Path:
    """A file from which everybody reads who speaks to Globus."""
    auth = globus_sdk.ConfidentialAppAuthClient(
        places.site.globus_client_id, places.site.globus_client_secret
    )
    got = auth.oauth2_client_credentials_tokens(str(TransferScopes.all)).data["access_token"]
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_text(got)
    for each in ("IRI_GLOBUS_CLIENT_ID", "IRI_GLOBUS_CLIENT_SECRET"):
        monkeypatch.delenv(each)
    monkeypatch.setenv("IRI_GLOBUS_TOKEN_FILE", str(path))
    return path


@pytest.fixture
def trigger(places, task, token) -> IriTransferTrigger:
    """Of a transfer that does not get on."""
    (places.own / "a.h5").write_bytes(os.urandom(5000))
    places.site.order("transfer_inactive", "*")
    words: dict[str, Any] = {"source_conn_id": "iri_default", "options": {"road": "globus"}}
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(IriTransferOperator(task_id="task", source=str(places.own), target=places.there, **words))
    places.site.reset_requests()
    return IriTransferTrigger(**deferred.value.trigger.serialize()[1])


def looks(places) -> list[int]:
    """What Globus answered to those who asked for tasks."""
    return [each["status"] for each in places.site.requests() if each["operation"] == "globusTaskList"]


async def looked(places, status: int) -> None:
    async with asyncio.timeout(60):
        while status not in looks(places):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)


async def fired(trigger: IriTransferTrigger) -> dict[str, Any]:
    (payload,) = [event.payload async for event in trigger.run()]
    return payload


async def test_a_wait_goes_on_by_the_token_that_is_there_by_then(places, trigger, token) -> None:
    """Somebody puts another one into the file, long after the one before was refused."""
    good = token.read_text()
    waiting = asyncio.create_task(fired(trigger))
    await looked(places, 200)
    token.write_text("worth-nothing")
    await looked(places, 401)
    token.write_text(good)
    places.site.clear_faults()
    assert (await asyncio.wait_for(waiting, 60))["bytes"] == 5000
