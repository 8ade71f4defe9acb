"""The device flow (RFC 8628): a person types a code into a page of the endpoint, in a browser anywhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from iri_common.auth.answers import answered, refused, words_of
from iri_common.auth.endpoint import Ask, Granted, PersonsSource
from iri_common.auth.provider import Application, Provider
from iri_common.model.errors import AuthError, Unreachable
from iri_common.model.ports import TokenExchange, WireReply, WireRequest

_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL = 5.0  # seconds between two looks where none are told (§3.2),
_SLOWER = 5.0  # and by so much longer once that is too often (§3.5)
_SLOWEST = 60.0
_LONGEST = 3600.0  # seconds that a code is waited for, whatever its endpoint says


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What an endpoint wants to be typed.

    Attributes:
        secret: By which we ask what came of it.
        code: For the person.
        page: Where it is typed.
        link: The page that knows it already; "" where there is none.
        life: Seconds that it counts.
        interval: Seconds between two looks.
    """

    secret: str = field(repr=False)
    code: str
    page: str
    link: str
    life: float
    interval: float


class _Pending(Exception):
    """Nobody has decided yet."""

    def __init__(self, *, slower: bool) -> None:
        super().__init__()
        self.slower = slower


class DeviceGrant(PersonsSource):
    """Fetches the tokens of a person who has typed the code.

    Args:
        provider: Where.
        application: Through which the person logs in.
        secret: Of the code.
    """

    def __init__(self, provider: Provider, application: Application, secret: str) -> None:
        super().__init__(provider.token_url, application.id, lambda: secret, application.secret)
        self._page = provider.issuer

    @property
    def identity(self) -> str:
        """The application, and where."""
        return self._who("a login")

    def ask(self, now: int) -> Ask:
        """By the code's secret."""
        secret = self._held()
        form = {"grant_type": _GRANT, "device_code": secret}
        return self._asking(f"client {self._client_id}", "Log in again", secret, form)

    def _granted(self, reply: WireReply, ask: Ask, asked_at: float) -> Granted:
        match words_of(reply).get("error") if reply.status >= 400 else None:
            case "authorization_pending":
                raise _Pending(slower=False)
            case "slow_down":
                raise _Pending(slower=True)
            case "access_denied":
                raise AuthError(
                    f"the login was denied at {self._page}; nothing has changed", status=reply.status
                )
            case "expired_token":
                raise _ended(self._page)
            case _:
                return super()._granted(reply, ask, asked_at)


async def begun(provider: Provider, application: Application, send: TokenExchange) -> DeviceCode:
    """A new code.

    Raises:
        AuthError: if the endpoint gives none, or names no page.
        Unreachable: if it does not answer.
    """
    scope = provider.scope(application.scope)
    form = await asyncio.to_thread(application.form) | ({"scope": scope} if scope else {})
    reply = await answered(send, WireRequest("POST", provider.device_url, form=form))
    answer = words_of(reply)
    secret, code = answer.get("device_code"), answer.get("user_code")
    page = _page(answer.get("verification_uri") or answer.get("verification_url"))
    if reply.status != 200 or not (isinstance(secret, str) and isinstance(code, str) and secret and code):
        advice = "Check whether this application may use the device flow"
        secrets = (form.get("client_secret", ""),)
        raise refused(reply, provider.device_url, f"client {application.id}", advice, secrets, "code")
    if not page:
        raise AuthError(f"{provider.device_url} names no page that a browser can open; nothing has changed")
    return DeviceCode(
        secret=secret,
        code=code,
        page=page,
        link=_page(answer.get("verification_uri_complete")),
        life=min(_seconds(answer.get("expires_in"), _LONGEST), _LONGEST),
        interval=_seconds(answer.get("interval"), _INTERVAL),
    )


async def typed(
    provider: Provider,
    application: Application,
    code: DeviceCode,
    send: TokenExchange,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Granted:
    """Wait until the person has decided; an endpoint that does not answer is asked again, less often.

    Raises:
        AuthError: if the login was denied, or nobody has come while the code counts.
    """
    grant, interval = DeviceGrant(provider, application, code.secret), code.interval
    ends = clock() + code.life
    while (left := ends - clock()) > 0:
        await sleep(min(interval, left))
        try:
            return await grant.granted(send)
        except _Pending as pending:
            interval += _SLOWER if pending.slower else 0.0
        except Unreachable:
            interval = max(interval, min(interval * 2, _SLOWEST))
    raise _ended(provider.issuer)


def _ended(issuer: str) -> AuthError:
    return AuthError(f"nobody typed the code at {issuer} while it counted; nothing has changed: log in again")


def _page(url: object) -> str:
    """The URL if a browser may be sent there."""
    text = url if isinstance(url, str) else ""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in {"http", "https"} and parts.netloc and text.isprintable() else ""


def _seconds(value: object, otherwise: float) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 10**6
    return float(value) if good else otherwise  # pyright: ignore[reportArgumentType]
