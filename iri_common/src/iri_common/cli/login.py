"""What ``iri login`` does: a person, a browser or a paste, and then how the credential stands."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import webbrowser

from iri_common.auth.authcode import CodeRequest, redirect_of
from iri_common.auth.device import DeviceCode
from iri_common.auth.loopback import Loopback
from iri_common.auth.provider import Provider
from iri_common.cli.hidden import at_a_terminal, pasted
from iri_common.cli.speak import Screen, plain
from iri_common.cli.whoami import whoami
from iri_common.facility.login import ProfileLogin, login_of
from iri_common.facility.loop import run_blocking
from iri_common.facility.profiles import GLOBUS
from iri_common.model.credential import CredentialState
from iri_common.model.errors import AuthError, NotOffered, UsageError
from iri_common.policy.login import Road, Way, has_browser, road_of

_REFUSED = {CredentialState.EXPIRED, CredentialState.NEEDS_PERSON}


def log_in(screen: Screen, name: str, road: str | None, *, paste: bool) -> int:
    """Log in as the profile says, and show how its credential stands then."""
    if road is not None and road not in list(Road):
        raise UsageError(f"--road is one of {', '.join(Road)}, not {road!r}")
    login = login_of(name) if name != GLOBUS else None
    if (road or paste) and (login is None or login.plan.way is not Way.PERSON):
        raise UsageError(f"{name} has no login that takes another road: leave --road and --paste out")
    if login is None:
        _at_globus(screen, None)
        return whoami(screen, [GLOBUS])
    if not login.plan.word and login.settings.globus is not None:
        return _at_globus(screen, name)
    if login.plan.way is Way.PERSON and not paste:
        _by_person(screen, name, login, Road(road) if road else None)
    elif login.plan.way is not Way.LOOK:
        _by_paste(screen, name, login)
    else:
        _by_nobody(screen, name, login)
    return whoami(screen, [name])


def _at_globus(screen: Screen, facility: str | None) -> int:
    from iri_common.apis.globus.rules import Needs
    from iri_common.cli.globus_login import log_in as at_globus

    return at_globus(screen, facility, None, (), Needs())


def _by_nobody(screen: Screen, name: str, login: ProfileLogin) -> None:
    if (token := login.settings.token) is not None:
        screen.say(f"Nothing is written for {name}: what it has is {token.identity}. It is looked at.")


def _by_paste(screen: Screen, name: str, login: ProfileLogin) -> None:
    assert login.secret is not None
    _require_person(f"put the {login.plan.what} into {login.secret.origin} some other way")
    screen.say(f"Paste the {login.plan.what} for {name}: it is not shown, and kept in {login.secret.origin}.")
    value = pasted(login.plan.what)
    if login.plan.way is Way.PASTE:
        credential = run_blocking(login.judged(value))
        if credential.state in _REFUSED:
            raise AuthError(f"{credential.why}. Nothing has changed: {login.secret.origin} is as it was")
    run_blocking(login.put(value))


def _by_person(screen: Screen, name: str, login: ProfileLogin, asked: Road | None) -> None:
    browser = has_browser(os.environ, sys.platform)
    provider = run_blocking(login.provider())
    road = road_of(asked, browser=browser, code=bool(provider.code_url), device=bool(provider.device_url))
    match road:
        case Road.DEVICE:
            _require_person("give --json to a program that shows the code", also=screen.as_json)
            _by_device(screen, login, provider)
        case Road.BROWSER:
            _require_person("log in on a machine with a browser", also=screen.as_json)
            _by_browser(screen, login, provider)
        case Road.ADDRESS:
            _require_person("log in at a terminal")
            _by_address(screen, login, provider)
        case None:
            by = f"by {asked}" if asked else "that a terminal can begin"
            raise NotOffered(
                f"{provider.issuer} offers no login {by}; log in elsewhere and run: iri login {name} --paste"
            )


def _by_device(screen: Screen, login: ProfileLogin, provider: Provider) -> None:
    code = run_blocking(login.code(provider))
    if screen.as_json:
        _tell(url=code.page, link=code.link or None, code=code.code, seconds=code.life)
    else:
        _show_code(screen, code)
    run_blocking(login.typed(provider, code))


def _show_code(screen: Screen, code: DeviceCode) -> None:
    screen.say("Open this page in any browser, on any machine, and type the code there:")
    screen.copyable(code.page)
    screen.copyable(plain(code.code))
    if code.link:
        screen.say("Or open this one, and compare the code:")
        screen.copyable(code.link)
    screen.say(f"It counts for {code.life / 60:.0f} minutes; Ctrl-C ends the login.", "dim")


def _by_browser(screen: Screen, login: ProfileLogin, provider: Provider) -> None:
    door = Loopback()
    try:
        request = run_blocking(
            door.open(lambda port: CodeRequest(provider, login.application, redirect_of(port)))
        )
        if screen.as_json:
            _tell(url=request.link)
        else:
            screen.say("Log in in the browser. If none opens, open this page on this machine:")
            screen.copyable(request.link)
        _open(request.link, apart=screen.as_json)
        address = run_blocking(door.address())
    finally:
        run_blocking(door.close())
    run_blocking(login.came_back(request, address))


def _open(link: str, *, apart: bool) -> None:
    """Open a browser; apart where its words are not for our streams, nor is a pipe to last as long as it."""
    if not apart:
        webbrowser.open(link)
        return
    nowhere = subprocess.DEVNULL
    command = [sys.executable, "-I", "-m", "webbrowser", link]
    subprocess.run(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, check=False)


def _by_address(screen: Screen, login: ProfileLogin, provider: Provider) -> None:
    # Nothing has to listen there, on no machine; PKCE makes the code useless to what may.
    request = CodeRequest(provider, login.application, redirect_of(49152 + secrets.randbelow(16384)))
    screen.say("Open this page in any browser, on any machine, and log in there:")
    screen.copyable(request.link)
    screen.say(
        "It ends at an address that the browser cannot open. Paste that address here; it is not shown."
    )
    run_blocking(login.came_back(request, pasted("address")))


def _tell(**words: object) -> None:
    """A line for a program, before the document that ends the command."""
    sys.stderr.write(json.dumps(words) + "\n")
    sys.stderr.flush()


def _require_person(instead: str, *, also: bool = False) -> None:
    if not (also or at_a_terminal()):
        raise AuthError(
            f"a login needs a person, and nobody is at a terminal here: run it at one, or {instead}"
        )
