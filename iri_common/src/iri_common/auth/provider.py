"""What an endpoint tells of its logins: OpenID Connect Discovery, and RFC 8414 where it speaks that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from iri_common.auth.answers import answered, words_of
from iri_common.auth.endpoint import ReadSecret, exposed
from iri_common.model.errors import NotOffered, Unreachable
from iri_common.model.ports import TokenExchange, WireRequest

_OPENID = "/.well-known/openid-configuration"
_OAUTH = "/.well-known/oauth-authorization-server"
_LASTING = ("openid", "offline_access")  # a refresh token that outlives the browser's session is asked for so
_MOST = 1 << 20  # bytes of a document


@dataclass(frozen=True, slots=True)
class Application:
    """What a person logs in through.

    Attributes:
        id: Its own, at the endpoint.
        secret: Reads its secret, where it has one.
        scope: What is wanted, blank-separated.
    """

    id: str
    secret: ReadSecret | None = field(default=None, repr=False)
    scope: str = ""

    def form(self) -> dict[str, str]:
        """How it tells who it is; it blocks."""
        secret = {"client_secret": self.secret()} if self.secret is not None else {}
        return {"client_id": self.id} | secret


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a person logs in; "" for what is not offered.

    Attributes:
        issuer: Names it.
        token_url: Its token endpoint.
        code_url: The page that sends a browser back with a code.
        device_url: Gives codes to type (RFC 8628).
        revoke_url: Ends a login (RFC 7009).
        scopes: Those that it tells.
        names_itself: It says who it is when it sends a browser back (RFC 9207).
    """

    issuer: str
    token_url: str
    code_url: str = ""
    device_url: str = ""
    revoke_url: str = ""
    scopes: frozenset[str] = frozenset()
    names_itself: bool = False

    def scope(self, wanted: str) -> str:
        """What to ask for; no more than a profile wants: some clients are refused for one scope too many."""
        return wanted or (" ".join(_LASTING) if set(_LASTING) <= self.scopes else "")


async def discovered(token_url: str, issuer: str, send: TokenExchange) -> Provider:
    """What the issuer of a token endpoint tells.

    Args:
        token_url: The endpoint; only who names it as its own is believed.
        issuer: Its issuer, where that is known; else it is looked for above the endpoint.
        send: The wire.

    Raises:
        NotOffered: if nobody tells of this endpoint.
        Unreachable: if it does not answer.
    """
    away: Unreachable | None = None
    for named, document in documents(token_url, issuer):
        reply = await answered(send, WireRequest("GET", document, most=_MOST))
        if reply.status == 200 and (provider := _understood(words_of(reply), named, token_url)):
            return provider
        if reply.status >= 500 or reply.status == 429:  # some gateways say so of what they do not have
            away = Unreachable(f"{document} answered HTTP {reply.status}; try later")
    if away is not None:
        raise away
    where = f"at {issuer}" if issuer else "above it"
    raise NotOffered(
        f"nobody tells of a login for {token_url}: no {_OPENID} {where} names that endpoint. "
        'Name its issuer in the profile, as issuer = "https://…", or log in elsewhere and give the refresh '
        "token with --paste"
    )


def documents(token_url: str, issuer: str = "") -> Iterator[tuple[str, str]]:
    """Issuers that the endpoint may have, each with where it would tell of itself; the nearest first."""
    if issuer:
        yield from _of(issuer.rstrip("/"))
        return
    parts = urlsplit(token_url)
    folders = parts.path.split("/")[1:-1]
    for depth in range(len(folders), -1, -1):
        yield from _of("/".join([f"{parts.scheme}://{parts.netloc}", *folders[:depth]]))


def _of(issuer: str) -> Iterator[tuple[str, str]]:
    parts = urlsplit(issuer)
    yield issuer, f"{issuer}{_OPENID}"
    yield issuer, f"{parts.scheme}://{parts.netloc}{_OAUTH}{parts.path}"  # RFC 8414 §3.1: in between


def safe(url: object) -> str:
    """The URL if what goes there cannot be read on the way; else none."""
    if not isinstance(url, str):
        return ""
    try:
        parts = urlsplit(url)
        fit = parts.scheme in {"http", "https"} and not exposed(url)
    except ValueError:
        return ""
    return url if fit and parts.hostname and url.isprintable() and " " not in url else ""


def _understood(words: Mapping[str, object], issuer: str, token_url: str) -> Provider | None:
    # Who is not whom we asked for could lead a person anywhere (RFC 8414 §3.3).
    if str(words.get("issuer")).rstrip("/") != issuer or words.get("token_endpoint") != token_url:
        return None
    methods = _texts(words.get("code_challenge_methods_supported")) or {"S256"}  # few servers name them
    return Provider(
        issuer=str(words["issuer"]),
        token_url=token_url,
        code_url=safe(words.get("authorization_endpoint")) if "S256" in methods else "",
        device_url=safe(words.get("device_authorization_endpoint")),
        revoke_url=safe(words.get("revocation_endpoint")),
        scopes=frozenset(_texts(words.get("scopes_supported"))),
        names_itself=words.get("authorization_response_iss_parameter_supported") is True,
    )


def _texts(value: object) -> set[str]:
    return {str(each) for each in cast("list[object]", value)} if isinstance(value, list) else set()
