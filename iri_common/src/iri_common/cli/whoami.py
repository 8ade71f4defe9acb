"""``iri whoami``: in whose name each profile acts, how its credential stands, and what mends it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from iri_common.cli.documents import principal_words
from iri_common.cli.exits import Exit, exit_of_error
from iri_common.cli.speak import Screen, elapsed, plain
from iri_common.model.credential import Credential, CredentialState, Principal
from iri_common.model.errors import IriError, UsageError
from iri_common.policy.credential import moment

PATIENCE = 30.0  # seconds for each facility: one that is down must not hide the others

_STYLES: Mapping[CredentialState, str] = {
    CredentialState.OK: "green",
    CredentialState.RENEWABLE: "green",
    CredentialState.UNKNOWN: "yellow",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one profile.

    Attributes:
        name: Of the profile.
        credential: How it stands; None for a profile that cannot be used.
        principal: In whose name it acts, where that is told.
        error: Why the profile cannot be used.
    """

    name: str
    credential: Credential | None = None
    principal: Principal | None = None
    error: IriError | None = None

    @property
    def exit(self) -> Exit:
        """The code that it alone would make."""
        if self.credential is None:
            return exit_of_error(self.error) if self.error else Exit.OTHER
        if self.credential.state.works:
            return Exit.OK
        if self.credential.state is not CredentialState.UNKNOWN:
            return Exit.AUTH
        return Exit.DOWN if self.credential.mend else Exit.OK  # where nobody can be asked, nothing is wrong


def whoami(screen: Screen, names: Sequence[str]) -> int:
    """Ask every facility at once; the first that does not work gives the code, one for a person first."""
    from iri_common.facility.loop import run_blocking
    from iri_common.facility.profiles import GLOBUS, load_globus, profile_names

    among = list(names) or [*profile_names(), *([GLOBUS] if load_globus() else [])]
    if not among:
        raise UsageError("there is no profile yet; iri doctor shows how to write one")
    found = run_blocking(_all(among))
    codes = [each.exit for each in found]
    code = Exit.AUTH if Exit.AUTH in codes else next((each for each in codes if each), Exit.OK)
    now = datetime.now(UTC)
    if screen.as_json:
        profiles = [_words(each, now) for each in found]
        screen.document({"ok": code is Exit.OK, "exit": int(code), "profiles": profiles})
        return code
    for each in found:
        _show(screen, each, now)
    return code


async def _all(names: Sequence[str]) -> list[Standing]:
    return list(await asyncio.gather(*map(_one, names)))


async def _one(name: str) -> Standing:
    from iri_common.facility.profiles import GLOBUS

    try:
        async with asyncio.timeout(PATIENCE):
            return await (_of_globus() if name == GLOBUS else _of_facility(name))
    except TimeoutError:
        why = f"no answer in {PATIENCE:.0f} s"
        unknown = Credential(CredentialState.UNKNOWN, "its credential", why=why, mend="ask again later")
        return Standing(name, unknown)
    except IriError as error:
        return Standing(name, error=error)


async def _of_globus() -> Standing:
    from iri_common.facility.profiles import GLOBUS, load_globus
    from iri_common.facility.standing import NONE, at_globus

    credential = await asyncio.to_thread(load_globus)  # these read files
    return Standing(GLOBUS, await at_globus(credential) if credential else NONE)


async def _of_facility(name: str) -> Standing:
    from iri_common.facility.profiles import load_profile
    from iri_common.facility.services import AccountService
    from iri_common.jobs.ledger import FileLedger

    settings = await asyncio.to_thread(load_profile, name)
    accounts = AccountService(settings, FileLedger())
    credential, principal = await accounts.credential(), None
    if credential.state.works:
        try:
            principal = await accounts.principal()
        except IriError:  # some tell nothing of that
            principal = None
    return Standing(name, credential, principal)


def unattended(credential: Credential, now: datetime) -> str:
    """How long a workflow goes on with it before a person is needed."""
    if not credential.state.works:
        return "for an unknown time" if credential.state is CredentialState.UNKNOWN else "not at all"
    if credential.until is None:
        renewed = credential.state is CredentialState.RENEWABLE
        return "as long as its secret counts" if renewed else "as long as it counts; its end is not told"
    if credential.until <= now:
        return f"not for long: it should have ended on {moment(credential.until)}"
    return f"until {moment(credential.until)}, for {elapsed((credential.until - now).total_seconds())}"


def _show(screen: Screen, standing: Standing, now: datetime) -> None:
    credential = standing.credential
    if credential is None:
        screen.entry(standing.name, "cannot be used", [plain(str(standing.error))], "red")
        return
    lines = [*_whose(standing.principal), f"with {credential.identity}"]
    if credential.state.works:
        lines.append(f"unattended {unattended(credential, now)}")
    else:
        lines += [credential.why, *([f"-> {credential.mend}"] if credential.mend else [])]
    style = _STYLES.get(credential.state, "red")
    screen.entry(standing.name, str(credential.state), [plain(each) for each in lines], style)


def _whose(principal: Principal | None) -> list[str]:
    if principal is None:
        return []
    if principal.owner in (None, principal.name):
        return [f"as {principal.name}" + (", who owns jobs and their files" if principal.owner else "")]
    return [f"as {principal.name}; jobs and their files belong to {principal.owner}", principal.why]


def _words(standing: Standing, now: datetime) -> dict[str, Any]:
    credential, principal = standing.credential, standing.principal
    words: dict[str, Any] = {"name": standing.name, "exit": int(standing.exit)}
    if credential is None:
        return words | {"state": None, "error": str(standing.error)}
    return words | {
        "state": str(credential.state),
        "identity": credential.identity,
        "since": credential.since.isoformat() if credential.since else None,
        "until": credential.until.isoformat() if credential.until else None,
        "why": credential.why,
        "mend": credential.mend or None,
        "unattended": unattended(credential, now),
        **principal_words(principal),
    }
