"""``/instance``: compute, provision, modify, cancel, reprovision, delete, and how it stands."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from iri_local_facility.facility import Facility

from .access import caller
from .instances import Instance, Sight
from .network import answers, find
from .profiles import edited
from .refusals import Refusal

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# By action: the super state that it leads to, and those that it may begin from.
_ACTIONS = {
    "provision": ("CREATE", ("CREATE",)),
    "cancel": ("CANCEL", ("CREATE", "MODIFY", "REINSTATE")),
    "reprovision": ("REINSTATE", ("CANCEL",)),
}


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/instance")

    @router.get("", operation_id="senseNew")
    async def new(request: Request) -> str:
        caller(core, request)
        return str(uuid.uuid4())

    @router.post("/{instance_id}", operation_id="senseCompute")
    async def compute(request: Request, instance_id: str) -> dict[str, Any]:
        return _compute(core, caller(core, request), instance_id, await _intent(request))

    @router.post("/{instance_id}/modify", operation_id="senseModify")
    async def modify(request: Request, instance_id: str) -> dict[str, Any]:
        user = caller(core, request)
        instance = core.sense.get(instance_id)
        sight = instance.seen(time.time())
        if sight.doing == "CANCEL" or sight.phase != "READY":
            raise _wrong_state("modify", instance, sight)
        told = _compute(core, user, instance_id, await _intent(request))
        if request.query_params.get("proceed", "false").lower() == "true":
            await _begin(core, request, core.sense.get(instance_id), "MODIFY", "modify")
        return told

    _add_actions(router, core)
    _add_looks(router, core)
    return router


def _add_actions(router: APIRouter, core: Facility) -> None:
    @router.put("/{instance_id}/provision", operation_id="senseProvision")
    async def provision(request: Request, instance_id: str) -> str:
        return await _act(core, request, instance_id, "provision")

    @router.put("/{instance_id}/cancel", operation_id="senseCancel")
    async def cancel(request: Request, instance_id: str) -> str:
        return await _act(core, request, instance_id, "cancel")

    @router.put("/{instance_id}/reprovision", operation_id="senseReprovision")
    async def reprovision(request: Request, instance_id: str) -> str:
        return await _act(core, request, instance_id, "reprovision")

    @router.put("/{instance_id}/delete", operation_id="senseDelete")
    @router.delete("/{instance_id}", operation_id="senseDelete")
    async def delete(request: Request, instance_id: str) -> str:
        caller(core, request)
        instance = core.sense.get(instance_id)
        sight = instance.seen(time.time())
        never = sight.phase in ("INIT", "COMPILED") or (sight.phase == "FAILED" and sight.last == "INIT")
        if not (never or sight.state == "CANCEL - READY"):
            raise _wrong_state("delete", instance, sight)
        core.sense.delete(instance)
        return instance_id

    @router.put("/{instance_id}/archive", operation_id="senseArchive")
    async def archive(request: Request, instance_id: str) -> str:
        caller(core, request)
        return core.sense.archive(core.sense.get(instance_id), True).id

    @router.put("/{instance_id}/unarchive", operation_id="senseUnarchive")
    async def unarchive(request: Request, instance_id: str) -> str:
        caller(core, request)
        return core.sense.archive(core.sense.get(instance_id), False).id


def _add_looks(router: APIRouter, core: Facility) -> None:
    def sight(request: Request, instance_id: str) -> Sight:
        caller(core, request)
        return core.sense.shown(core.sense.get(instance_id))

    @router.get("/{instance_id}", operation_id="senseInstance")
    async def instance(request: Request, instance_id: str) -> dict[str, Any]:
        caller(core, request)
        return described(core, core.sense.get(instance_id))

    @router.get("/{instance_id}/status", operation_id="senseStatus")
    async def status(request: Request, instance_id: str) -> str:
        return sight(request, instance_id).state

    @router.get("/{instance_id}/status/phase", operation_id="sensePhase")
    async def phase(request: Request, instance_id: str) -> str:
        return sight(request, instance_id).doing

    @router.get("/{instance_id}/status/configuration", operation_id="senseConfiguration")
    async def configuration(request: Request, instance_id: str) -> str:
        return sight(request, instance_id).configured

    @router.get("/{instance_id}/substatus", operation_id="senseSubstatus")
    async def substatus(request: Request, instance_id: str) -> str:
        return sight(request, instance_id).phase


def described(core: Facility, instance: Instance) -> dict[str, Any]:
    """An instance with all that is known of it."""
    seen = core.sense.shown(instance)
    return {
        "referenceUUID": instance.id,
        "alias": instance.alias,
        "owner": instance.user,
        "state": seen.state,
        "superState": seen.doing,
        "subState": seen.phase,
        "lastState": seen.last,
        "configState": seen.configured,
        "archived": instance.archived,
        "locked": seen.phase in ("PROPAGATED", "COMMITTING", "COMMITTED"),
        "intents": [{"id": each["id"], "json": each["json"]} for each in instance.intents],
    }


async def _intent(request: Request) -> dict[str, Any]:
    try:
        intent = json.loads(await request.body())
    except (ValueError, RecursionError):
        intent = None
    if not isinstance(intent, dict):
        raise Refusal("malformed intent: JSON expected", as_json=True)
    return intent


def _compute(core: Facility, user: str, instance_id: str, intent: dict[str, Any]) -> dict[str, Any]:
    """Find a path for an instance, which begins to be known with that."""
    if not _UUID.fullmatch(instance_id):
        raise Refusal(f"malformed instance id {instance_id}")
    alias = str(intent.get("alias") or "")
    before = [each for each in core.sense.all() if each.id == instance_id]
    if before and before[0].began is not None and before[0].seen(time.time()).phase != "READY":
        raise _wrong_state("compute", before[0], before[0].seen(time.time()))
    try:
        path = find(edited(intent), core.sense.held(instance_id))
    except Refusal:
        if not before or before[0].began is None:
            core.sense.computed(instance_id, user, alias, intent, None)
        raise
    made = core.sense.computed(instance_id, user, alias, intent, path)
    return {
        "service_uuid": instance_id,
        "intent_uuid": made.intents[-1]["id"],
        "queries": answers(intent.get("queries"), path),
        "model": "",
    }


async def _act(core: Facility, request: Request, instance_id: str, action: str) -> str:
    caller(core, request)
    instance = core.sense.get(instance_id)
    sight = instance.seen(time.time())
    doing, origins = _ACTIONS[action]
    forced = request.query_params.get("force", "false").lower() == "true"
    if action == "provision":
        fits = sight.phase == "COMPILED"
    else:
        fits = instance.began is not None and (sight.phase == "READY" or forced)
    if sight.doing not in origins or not fits:
        raise _wrong_state(action, instance, sight)
    await _begin(core, request, instance, doing, action)
    return instance_id


async def _begin(core: Facility, request: Request, instance: Instance, doing: str, action: str) -> None:
    begun = core.sense.begin(instance, doing, action)
    if request.query_params.get("sync", "false").lower() == "true":
        await asyncio.sleep(2 * begun.step)  # it answers once it is committed


def _wrong_state(action: str, instance: Instance, sight: Sight) -> Refusal:
    return Refusal(f"cannot {action} instance {instance.id} in state {sight.state}")
