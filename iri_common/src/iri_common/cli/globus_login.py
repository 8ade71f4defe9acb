"""What ``iri globus login`` and ``iri globus logout`` do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from iri_common.apis.globus import GlobusClient, GlobusCredential
from iri_common.apis.globus.client import MISSING, Collection
from iri_common.apis.globus.rules import TRANSFER, Needs, https_scope, transfer_scope
from iri_common.auth.store import TokenStore
from iri_common.cli.exits import Exit
from iri_common.cli.speak import Screen
from iri_common.facility.loop import run_blocking
from iri_common.facility.profiles import load_globus, load_profile
from iri_common.model.errors import AuthError, UsageError

if TYPE_CHECKING:
    from iri_common.apis.globus.login import Login


def log_in(
    screen: Screen, facility: str | None, client: str | None, collections: Sequence[str], needs: Needs
) -> int:
    """One login; a second one if what the collections need can only be learned with the first."""
    credential = _credential(facility, client)
    store = TokenStore("globus", credential.client_id)
    if collections and TRANSFER not in store.read():
        screen.say("First for Globus Transfer, which then tells what the collections need.")
        _once(screen, credential, [transfer_scope()], Needs())
    known = run_blocking(_looked_up(credential, collections))
    scopes = [
        transfer_scope(each.id for each in known if each.data_access),
        *(https_scope(each.id) for each in known if each.https),
        *needs.scopes,
    ]
    services = _once(screen, credential, scopes, needs)
    screen.say(f"Logged in; tokens for {', '.join(services)} are in {store.path}.", "green")
    return Exit.OK


def log_out(screen: Screen, facility: str | None, client: str | None) -> int:
    """End the login at Globus, and forget it here."""
    credential = _credential(facility, client)
    services = _login().log_out(credential)
    told = (
        f"The login at Globus has ended, for {', '.join(services)}." if services else "Nobody was logged in."
    )
    screen.say(told, "green" if services else "")
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "revoked": list(services)})
    return Exit.OK


async def _looked_up(credential: GlobusCredential, collections: Sequence[str]) -> list[Collection]:
    globus = GlobusClient(credential)
    return [await globus.collection(each) for each in collections]


def _credential(facility: str | None, client: str | None) -> GlobusCredential:
    if client is not None:
        return GlobusCredential(client, login=f"iri globus login --client {client}")
    of_facility = load_profile(facility).globus if facility else None
    credential = (of_facility and of_facility.credential) or load_globus()
    if credential is None:
        raise UsageError(
            "no Globus application is configured: register one at app.globus.org/settings/developers, then "
            'write its id as id = "…" under [globus.client], or give it with --client'
        )
    if credential.mode != "login":
        raise UsageError(f"{credential.identity} needs no login: it brings its own secret or token")
    return credential


def _once(screen: Screen, credential: GlobusCredential, scopes: Sequence[str], needs: Needs) -> Sequence[str]:
    begun: Login = _login().Login(credential, scopes, needs)
    screen.say("Open this link, log in, and paste the code that it shows:")
    screen.copyable(begun.url)
    code = sys.stdin.readline().strip()
    if not code:
        raise AuthError("no code was given; nothing has changed")
    return begun.finish(code)


def _login() -> ModuleType:
    try:
        from iri_common.apis.globus import login
    except ImportError:
        raise UsageError(MISSING) from None
    return login
