"""Carries out the steps of :mod:`prefect_iri.turns`: against Prefect's server, blocking or awaited."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import get_client

from iri_common import JobRef
from prefect_iri.logs import run_logger
from prefect_iri.turns import Steps, run_kind

T = TypeVar("T")


class _ProcessStore:
    """The store for tasks outside of flows: such a task run never outlives its process."""

    def __init__(self) -> None:
        self._rows: dict[tuple[UUID, str], str] = {}

    def filter_flow_run_input(self, *, flow_run_id: UUID, key_prefix: str, **_: Any) -> list[Any]:
        return [
            SimpleNamespace(key=key, value=value)
            for (run_id, key), value in list(self._rows.items())
            if run_id == flow_run_id and key.startswith(key_prefix)
        ]

    def create_flow_run_input(self, *, flow_run_id: UUID, key: str, value: str) -> None:
        self._rows.setdefault((flow_run_id, key), value)


_process_store = _ProcessStore()


def settle(kind: str, steps: Steps[T]) -> T:
    """Carry the steps out against the store of a run of this kind."""
    if kind == "task":
        return _drive(steps, _process_store)
    with get_client(sync_client=True) as client:
        return _drive(steps, client)


async def asettle(kind: str, steps: Steps[T]) -> T:
    """The same for event loops."""
    if kind == "task":
        return _drive(steps, _process_store)
    async with get_client() as client:
        return await _adrive(steps, client)


def note(ref: JobRef, steps: Steps[None]) -> None:
    """Carry out what only helps a later try: that Prefect is away must not hide how the job is."""
    if kind := run_kind(ref.key):
        try:
            settle(kind, steps)
        except Exception as error:
            _warn(ref, error)


async def anote(ref: JobRef, steps: Steps[None]) -> None:
    """The same for event loops."""
    if kind := run_kind(ref.key):
        try:
            await asettle(kind, steps)
        except Exception as error:
            _warn(ref, error)


def _warn(ref: JobRef, error: Exception) -> None:
    run_logger().warning("Prefect's server took no note of %s: %s", ref.describe(), error)


def _drive(steps: Steps[T], store: Any) -> T:
    try:
        request = next(steps)
        while True:
            try:
                answer = request(store)
            except Exception as error:
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as done:
        return done.value


async def _adrive(steps: Steps[T], store: Any) -> T:
    try:
        request = next(steps)
        while True:
            try:
                answer = await request(store)
            except Exception as error:
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as done:
        return done.value
