"""Who asks for tokens, in the words of a profile; secrets by reference only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, model_validator

from iri_common.auth.client_credentials import ClientCredentials
from iri_common.auth.client_key import KeyReader, key_from, key_from_file
from iri_common.auth.endpoint import EXPOSED, EndpointSource, exposed
from iri_common.auth.exchange import ExchangedTokens, ExchangeGrant, GithubToken
from iri_common.auth.keychain import secret_from_keyring
from iri_common.auth.password import PasswordGrant
from iri_common.auth.private_key_jwt import NERSC_TOKEN_URL, PrivateKeyJwt
from iri_common.auth.refresh import RefreshGrant, RefreshTokens
from iri_common.auth.secret import SecretReader, secret_from_command, secret_from_env, secret_from_file
from iri_common.auth.shared import SharedTokens
from iri_common.auth.static import TokenReader, token_from
from iri_common.model.errors import ProfileError, UsageError
from iri_common.model.ports import TokenSource
from iri_common.model.ref import origin_of

_POINT = (
    'must point to a secret, as { env = "NAME" }, { file = "path" }, { command = ["…"] } or '
    '{ keyring = "name" }; no secret is written here'
)


class Words(BaseModel):
    """A table of a profile. What is written in a wrong place may be a secret, so no error shows it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Secret(Words):
    """Where a secret is; never the secret."""

    env: str | None = None
    file: str | None = None
    command: str | list[str] | None = None
    keyring: str | list[str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _not_inline(cls, value: object) -> object:
        if not isinstance(value, dict):
            raise ValueError(_POINT)
        return value  # pyright: ignore[reportUnknownVariableType]

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        places = [each for name in type(self).model_fields if (each := getattr(self, name)) is not None]
        if len(places) != 1 or not places[0]:
            raise ValueError(_POINT)
        return self

    @property
    def place(self) -> str:
        """What kind of place that is: the word for it."""
        return next(name for name in type(self).model_fields if getattr(self, name))

    def secret(self, what: str = "secret", login: str = "") -> SecretReader:
        """Reads it when it is needed.

        Args:
            what: It is.
            login: The command that puts another one there, where one can.
        """
        reader = self._reader(what)
        return replace(reader, login=login) if reader.put else reader

    def _reader(self, what: str) -> SecretReader:
        if self.env:
            return secret_from_env(self.env, what)
        if self.command:
            return secret_from_command(self.command, what)
        if self.keyring:
            return secret_from_keyring(self.keyring, what)
        return secret_from_file(self.file or "", what)

    def reader(self, login: str = "") -> TokenReader:
        """Reads it as a token."""
        return token_from(self.secret("token", login))

    def key(self, client_id: str | None) -> KeyReader:
        """Reads it as a client's private key."""
        return key_from_file(self.file, client_id) if self.file else key_from(self.secret("key"), client_id)


class Subject(Secret):
    """Where a token is that is given for another: a secret, or what GitHub says of its workflow."""

    github: str | None = None

    def source(self) -> GithubToken | TokenReader:
        """Gives it."""
        return GithubToken(self.github) if self.github else self.reader()


class Client(Words):
    """An OAuth2 client: with a secret, a private key, a person's login or password, or another's token."""

    id: str | None = None
    token_url: str | None = None
    issuer: str = ""
    secret: Secret | None = None
    key: Secret | None = None
    refresh: Secret | None = None
    user: str | None = None
    password: Secret | None = None
    exchange: Subject | None = None
    subject: str = ""
    audience: str = ""
    scope: str = ""
    share: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = {name for name in self.model_fields_set if getattr(self, name)}
        if problem := _problem_of(given) or _problem_of_urls(self.token_url or "", self.issuer):
            raise ValueError(problem)
        return self

    def secrets(self) -> dict[str, Secret]:
        """Where its secrets are, by its words for them."""
        words = ("refresh", "key", "exchange", "password", "secret")
        return {word: each for word in words if (each := getattr(self, word)) is not None}

    def source(self, login: str = "") -> TokenSource:
        """Where its tokens come from, and the command by which a person logs in."""
        return _Means(
            self.token_url or "",
            self.id or "",
            secret=self.secret.secret() if self.secret else None,
            key=self.key.key(self.id) if self.key else None,
            refresh=self.refresh.secret("refresh token", login) if self.refresh else None,
            user=self.user or "",
            password=self.password.secret("password") if self.password else None,
            exchange=self.exchange.source() if self.exchange else None,
            subject=self.subject,
            audience=self.audience,
            scope=self.scope,
            share=self.share,
        ).source()


def client_tokens(
    origin: str,
    *,
    id: str = "",
    token_url: str = "",
    secret: str = "",
    key: str = "",
    refresh: str = "",
    user: str = "",
    password: str = "",
    exchange: str = "",
    subject: str = "",
    audience: str = "",
    scope: str = "",
    share: bool = False,
) -> TokenSource:
    """Where the tokens of a client come from whose secrets are in hand, as an engine's store gives them.

    Args:
        origin: What holds them, for messages.
        id: Of the client; a key may tell it.
        token_url: The token endpoint; with a key NERSC's if there is none.
        secret: Of the client.
        key: Its private one, as PEM or JWK.
        refresh: The refresh token of a person's login; the ones that come after are kept on this machine.
        user: A person's name, where the endpoint allows it,
        password: and what belongs to it.
        exchange: Another's token, for which the endpoint gives one,
        subject: what that is, ``jwt`` if nothing is said, and
        audience: whom the new one is for, where the endpoint wants to know.
        scope: Blank-separated, where the endpoint wants any.
        share: All processes of a user on this machine use one token, which is kept there.

    Raises:
        UsageError: if these words make no client.
    """
    words = {"id": id, "token_url": token_url, "secret": secret, "key": key}
    words |= {"refresh": refresh, "user": user, "password": password}
    words |= {"exchange": exchange, "subject": subject, "audience": audience}
    given = {name for name, value in words.items() if value}
    if problem := _problem_of(given) or _problem_of_urls(token_url):
        raise UsageError(f"the client of {origin} {problem}")

    def held(value: str, what: str) -> SecretReader:
        digest = hashlib.sha256(value.encode()).hexdigest()[:8]
        return SecretReader(lambda: value, f"the {what} of {origin} (…{digest})", mendable=False, given=True)

    return _Means(
        token_url,
        id,
        secret=held(secret, "secret") if secret else None,
        key=key_from(held(key, "key"), id or None) if key else None,
        refresh=held(refresh, "refresh token") if refresh else None,
        user=user,
        password=held(password, "password") if password else None,
        exchange=token_from(held(exchange, "token")) if exchange else None,
        subject=subject,
        audience=audience,
        scope=scope,
        share=share,
    ).source()


def _problem_of(given: set[str]) -> str | None:
    """What is wrong with a client that has these words."""
    if "issuer" in given and "refresh" not in given:
        return "has an issuer, which goes with a login (refresh)"
    return (_problem_of_exchange if "exchange" in given else _problem_of_secrets)(given)


def _problem_of_urls(token_url: str, issuer: str = "") -> str | None:
    """What is wrong with them; what stands there may be a secret, and messages show a good one as it is."""
    for name, url in (("token_url", token_url), ("issuer", issuer)):
        try:
            if url and origin_of(str(url)) and "@" in urlsplit(url).netloc:
                return f"has a name or password in its {name}"
            if url and exposed(str(url)):
                return f"has plain http in its {name}: {EXPOSED}"
        except UsageError:
            return f"has no http(s) URL as its {name}"
    return None


def _problem_of_secrets(given: set[str]) -> str | None:
    if alone := given & {"subject", "audience"}:
        return f"has {' and '.join(sorted(alone))}, which go with an exchange"
    if ("user" in given) != ("password" in given):
        return "user and password belong together"
    if "key" in given and given & {"secret", "password"}:
        return "has a key; no secret or password goes with it"
    if "refresh" in given and given & {"key", "password"}:
        return "has a refresh token; no key or password goes with it"
    if not given & {"key", "secret", "password", "refresh"}:
        return "needs a secret, a key (a private one), a refresh token (refresh), or user and password"
    missing = [] if "key" in given else [name for name in ("token_url", "id") if name not in given]
    return f"needs {'an' if missing[0] == 'id' else 'a'} {missing[0]}" if missing else None


def _problem_of_exchange(given: set[str]) -> str | None:
    if other := given & {"key", "refresh", "user", "password"}:
        return f"has an exchange; no {' or '.join(sorted(other))} goes with it"
    if "secret" in given and "id" not in given:
        return "needs an id"
    return None if "token_url" in given else "needs a token_url"


@dataclass(frozen=True, slots=True)
class _Means:
    """What a client has to get tokens with."""

    token_url: str
    id: str
    secret: SecretReader | None
    key: KeyReader | None
    refresh: SecretReader | None
    user: str
    password: SecretReader | None
    exchange: GithubToken | TokenReader | None
    subject: str
    audience: str
    scope: str
    share: bool

    def source(self) -> TokenSource:
        """Where its tokens come from; those of a login are shared in any case."""
        if self.refresh is not None:
            return RefreshTokens(RefreshGrant(self.token_url, self.id, self.refresh, self.secret, self.scope))
        asking = self._asking()
        return SharedTokens(asking) if self.share else asking

    def _asking(self) -> EndpointSource | ExchangedTokens:
        url, scope = self.token_url, self.scope
        if self.exchange is not None:
            kind = self.subject or "jwt"
            grant = ExchangeGrant(url, "", kind, self.audience, self.id, self.secret, scope)
            return ExchangedTokens(grant, self.exchange)
        if self.key is not None:
            return PrivateKeyJwt(url or NERSC_TOKEN_URL, self.key, scope)
        if self.password is not None:
            return PasswordGrant(url, self.id, self.user, self.password, self.secret, scope)
        return ClientCredentials(url, self.id, self.secret or "", scope)


_PLACES = ("", "_file", "_command", "_keyring")
_SECRETS = ("client_secret", "client_key", "client_refresh", "client_password")
_PLAIN = {each: each for each in ("token_url", "issuer", "scope")} | {
    f"client_{word}": word for word in ("id", "user", "subject", "audience", "share")
}


def pointer_from_env(
    prefix: str, found: Mapping[str, str], name: str, places: Sequence[str] = _PLACES
) -> dict[str, str]:
    """Where variables say that a secret is: in one of them, in the file or from the command that one names.

    Args:
        prefix: Of the variables' names.
        found: The variables that are set, by the rest of their names in small letters.
        name: Of the secret.
        places: What can stand behind the name.

    Raises:
        ProfileError: naming both, if two of them say so: nobody knows which one is old.
    """
    said = [f"{name}{place}" for place in places if f"{name}{place}" in found]
    if len(said) > 1:
        both = " and ".join(f"{prefix}{each.upper()}" for each in said)
        raise ProfileError(f"{both} name two secrets where one is used; unset one of them")
    if not said:
        return {}
    place = said[0].removeprefix(name).removeprefix("_")
    return {place: found[said[0]]} if place else {"env": f"{prefix}{name.upper()}"}


def client_from_env(prefix: str, found: Mapping[str, str]) -> dict[str, Any]:
    """The words of a client that variables with this prefix say; empty for none.

    Raises:
        ProfileError: if a secret is said to be in two places.
    """
    secrets = {name: pointer_from_env(prefix, found, name) for name in _SECRETS}
    secrets["client_exchange"] = pointer_from_env(prefix, found, "client_exchange", (*_PLACES, "_github"))
    if "client_id" not in found and not secrets["client_key"] and not secrets["client_exchange"]:
        return {}
    words: dict[str, Any] = {word: found[name] for name, word in _PLAIN.items() if name in found}
    pointed = {name.removeprefix("client_"): where for name, where in secrets.items() if where}
    return words | (pointed or {"secret": {"env": f"{prefix}CLIENT_SECRET"}})
