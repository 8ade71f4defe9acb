"""A trigger that does not end with its event; in a module that a triggerer can import."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

from airflow.triggers.base import TriggerEvent

from airflow_provider_iri import IriJobOperator
from airflow_provider_iri.triggers import IriJobTrigger
from iri_common import AuthError


class LingeringTrigger(IriJobTrigger):
    """Gives up a job that runs, and stays: Airflow ends it once the task is over."""

    async def come_about(self) -> NoReturn:
        raise AuthError("the token is refused")

    async def run(self) -> AsyncIterator[TriggerEvent]:
        async for event in super().run():
            yield event
        await asyncio.sleep(600)

    async def on_kill(self) -> None:
        self.log.info("Airflow ends the trigger that has fired")
        await super().on_kill()


class LingeringOperator(IriJobOperator):
    """Defers to it."""

    def defer(self, *, trigger: Any, **words: Any) -> None:
        super().defer(trigger=LingeringTrigger(**trigger.words()), **words)
