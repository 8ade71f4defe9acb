"""``/account``: who one is, what one may use, and the clients that one has."""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, HTTPException

from iri_local_facility.accounts import User
from iri_local_facility.facility import Facility
from iri_local_facility.jobs import FINISHED

from .access import user_of

# What a project gets; what it has used of it is true.
_HOURS = 1_000.0
_FIRST_GROUP = 70_000


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter()
    caller = Depends(user_of(core))

    async def user_info(username: str | None = None, user: User = caller) -> dict[str, Any]:
        name = core.accounts.user(username or user.name).name
        return {
            "uid": os.getuid(),
            "name": name,
            "firstname": name.capitalize(),
            "lastname": "Local",
            "middlename": None,
            "workphone": None,
            "otherPhones": None,
            "email": f"{name}@facility.invalid",
        }

    # The slash belongs to the address, but clients come without it as well.
    for path in ("/account", "/account/"):
        router.add_api_route(path, user_info, methods=["GET"], operation_id="sfGetUser")

    @router.get("/account/projects", operation_id="sfGetProjects")
    async def projects(user: User = caller) -> list[dict[str, Any]]:
        return [{**_role(core, user, name), **_usage(core, user, name)} for name in user.projects]

    @router.get("/account/roles", operation_id="sfGetRoles")
    async def roles(user: User = caller) -> list[dict[str, Any]]:
        return [_role(core, user, name) for name in user.projects]

    @router.get("/account/clients", operation_id="sfGetClients")
    async def clients(user: User = caller) -> list[dict[str, Any]]:
        return [
            {
                "name": client.name,
                "clientId": client.id,
                "expiresAt": datetime.fromtimestamp(client.expires).astimezone().isoformat(),
                "comments": None,
            }
            for client in core.superfacility.clients.of(user.name)
        ]

    _add_groups(router, core)
    return router


def _add_groups(router: APIRouter, core: Facility) -> None:
    caller = Depends(user_of(core))
    groups = _Groups(core)

    @router.get("/account/groups", operation_id="sfGetGroups")
    async def all_groups(user: User = caller) -> dict[str, Any]:
        return {"groups": [group for group in groups.all() if _has(group, user)]}

    @router.post("/account/groups", operation_id="sfCreateGroup")
    async def create(
        name: Annotated[str, Form(min_length=1, max_length=8, pattern="^[ -~]*$")],
        repo_name: Annotated[str, Form()],
        user: User = caller,
    ) -> dict[str, Any]:
        if repo_name not in user.projects or any(group["name"] == name for group in groups.all()):
            raise HTTPException(400, f"{name} cannot be made in {repo_name}")
        return groups.make(name, repo_name, user.name)

    @router.get("/account/groups/{group}", operation_id="sfGetGroup")
    async def one(group: str, user: User = caller) -> dict[str, Any]:
        return groups.get(group)

    @router.put("/account/groups/{group}", operation_id="sfUpdateGroup")
    async def update(
        group: str,
        usernames: Annotated[str, Form()],
        action: Annotated[Literal["batch_add", "batch_remove"], Form()],
        user: User = caller,
    ) -> dict[str, Any]:
        if not _has(groups.get(group), user):
            raise HTTPException(403, f"{user.name} is not in {group}")
        names = [core.accounts.user(name).name for name in usernames.split(",")]
        return groups.change(group, names, add=action == "batch_add")


class _Groups:
    """Those of the projects, whose members are fixed, and those that were made since."""

    def __init__(self, core: Facility) -> None:
        self._core = core

    def all(self) -> list[dict[str, Any]]:
        core = self._core
        fixed = [
            _group(_FIRST_GROUP + number, name, core.accounts.members(name))
            for number, name in enumerate(core.settings.projects)
        ]
        made = core.store.rows("SELECT * FROM superfacility_groups ORDER BY id")
        first = _FIRST_GROUP + len(fixed) - 1
        return fixed + [_group(first + row["id"], row["name"], json.loads(row["users"])) for row in made]

    def get(self, name: str) -> dict[str, Any]:
        for group in self.all():
            if group["name"] == name:
                return group
        raise HTTPException(404, "Not Found")

    def make(self, name: str, project: str, owner: str) -> dict[str, Any]:
        users = json.dumps([owner])
        self._core.store.insert("superfacility_groups", name=name, project=project, users=users)
        return self.get(name)

    def change(self, name: str, names: list[str], *, add: bool) -> dict[str, Any]:
        there = [member["name"] for member in self.get(name)["users"]]
        rest = [each for each in there if each not in names]
        users = [*rest, *dict.fromkeys(names)] if add else rest
        changed = self._core.store.run(
            "UPDATE superfacility_groups SET users = ? WHERE name = ?", json.dumps(users), name
        )
        if not changed.rowcount:
            raise HTTPException(403, f"the members of {name} are those of the project")
        return self.get(name)


def _group(gid: int, name: str, users: list[str]) -> dict[str, Any]:
    return {"gid": gid, "name": name, "users": [{"uid": os.getuid(), "name": user} for user in users]}


def _has(group: dict[str, Any], user: User) -> bool:
    return any(member["name"] == user.name for member in group["users"])


def _role(core: Facility, user: User, project: str) -> dict[str, Any]:
    owner = core.accounts.members(project)[0] == user.name
    return {
        "id": core.settings.projects.index(project) + 1,
        "repo_name": project,
        "description": f"Project {project}",
        "iris_role": "pi" if owner else "user",
    }


def _usage(core: Facility, user: User, project: str) -> dict[str, Any]:
    """Hours that are charged, those of jobs that still run among them; no GPUs are here."""
    states = ", ".join(f"'{state}'" for state in (*FINISHED, "active"))
    jobs = core.scheduler.jobs.where(f"account = ? AND state IN ({states})", project)
    of_all = sum(job.node_hours for job in jobs)
    mine = sum(job.node_hours for job in jobs if job.user == user.name)
    given = {"hours_given": _HOURS, "hours_used": mine}
    given |= {"project_hours_given": _HOURS, "project_hours_used": of_all}
    return {
        **given,
        **{f"cpu_{name}": hours for name, hours in given.items()},
        **{f"gpu_{name}": 0.0 for name in given},
        "projdir_usage": [],
        "project_projdir_usage": None,
        "hpss_usage": [],
    }
