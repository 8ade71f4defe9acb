"""What ``iri logout`` does: ends a login where that is possible, forgets it here, and tells what stays."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from iri_common.cli.exits import Exit
from iri_common.cli.hidden import at_a_terminal
from iri_common.cli.speak import Screen
from iri_common.facility.login import ProfileLogin, login_of
from iri_common.facility.loop import run_blocking
from iri_common.facility.profiles import GLOBUS
from iri_common.model.errors import UsageError
from iri_common.policy.login import Way


def log_out(screen: Screen, name: str, *, yes: bool) -> int:
    """Log out; what cannot be undone is asked for first."""
    if name == GLOBUS:
        return _of_globus(screen, None)
    login = login_of(name)
    if not login.plan.word and login.settings.globus is not None:
        return _of_globus(screen, name)
    removes = login.plan.way is not Way.LOOK
    if removes and not yes and not _agreed(screen, name, login):
        screen.say("Nothing has changed.")
        return Exit.OTHER
    revoked = run_blocking(login.revoke()) if login.plan.word == "refresh" else None
    removed = run_blocking(login.drop())
    # What stays is known by its successors: without them it would be sent again, and look stolen.
    if removes or revoked is not False:
        run_blocking(login.forget())
    stays = _staying(login, revoked=revoked, removed=removed)
    origin = login.secret.origin if login.secret and removed else None
    if screen.as_json:
        words = {"profile": name, "revoked": revoked, "removed": origin, "stays": stays}
        screen.document({"ok": True, "exit": 0, **words})
        return Exit.OK
    if revoked:
        screen.say("The login has ended at its endpoint.", "green")
    if origin:
        screen.say(f"Removed: {origin}.", "green")
    for each in stays:
        screen.say(f"Stays: {each}.", "yellow")
    return Exit.OK


def _of_globus(screen: Screen, facility: str | None) -> int:
    from iri_common.cli.globus_login import log_out as at_globus

    return at_globus(screen, facility, None)


def _staying(login: ProfileLogin, *, revoked: bool | None, removed: bool) -> Sequence[str]:
    """What still counts, or is still there."""
    token = login.settings.token
    if token is None:
        return ["nothing was there: the profile has no credential"]
    if login.plan.way is Way.LOOK:
        ended = ", of a login that has ended" if revoked else ", which is not for iri to remove"
        return [f"{token.identity}{ended}"]
    if login.plan.word == "refresh":
        if revoked is None and not removed:
            return ["nothing was there: nobody was logged in"]
        alive = "the login itself: its endpoint offers no way to end one before its time"
        return [alive] if revoked is False else []
    if not removed:
        return [f"nothing was there: no {login.plan.what}"]
    return [f"the {login.plan.what} itself counts until it is changed or has ended there"]


def _agreed(screen: Screen, name: str, login: ProfileLogin) -> bool:
    assert login.secret is not None
    if not at_a_terminal():
        raise UsageError(f"this removes {login.secret.origin}: give --yes where nobody can be asked")
    ends = "End the login and remove" if login.plan.way is Way.PERSON else "Remove"
    print(f"{ends} {login.secret.origin}, of {name}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
