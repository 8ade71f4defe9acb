"""Who asks for tokens, in the words of a profile; secrets by reference only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from iri_common.auth.client_credentials import ClientCredentials
from iri_common.auth.client_key import KeyReader, key_from_env, key_from_file
from iri_common.auth.password import PasswordGrant
from iri_common.auth.private_key_jwt import NERSC_TOKEN_URL, PrivateKeyJwt
from iri_common.auth.static import TokenReader, token_from_env, token_from_file
from iri_common.model.ports import TokenSource

_POINT = 'must point to a secret, as { env = "NAME" } or { file = "path" }; no secret is written here'


class Words(BaseModel):
    """A table of a profile. What is written in a wrong place may be a secret, so no error shows it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Secret(Words):
    """Where a secret is; never the secret."""

    env: str | None = None
    file: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _not_inline(cls, value: object) -> object:
        if not isinstance(value, dict):
            raise ValueError(_POINT)
        return value  # pyright: ignore[reportUnknownVariableType]

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.env is None) == (self.file is None) or not (self.env or self.file):
            raise ValueError(_POINT)
        return self

    def reader(self) -> TokenReader:
        """Reads it when it is needed."""
        return token_from_env(self.env) if self.env else token_from_file(self.file or "")

    def key(self, client_id: str | None) -> KeyReader:
        """Reads it as a client's private key."""
        return key_from_env(self.env, client_id) if self.env else key_from_file(self.file or "", client_id)


class Client(Words):
    """An OAuth2 client: with a secret, with a private key, or for a person with a password."""

    id: str | None = None
    token_url: str | None = None
    secret: Secret | None = None
    key: Secret | None = None
    user: str | None = None
    password: Secret | None = None
    scope: str = ""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together")
        if self.key and (self.secret or self.password):
            raise ValueError("has a key; no secret or password goes with it")
        if not (self.key or self.secret or self.password):
            raise ValueError("needs a secret, a key (a private one), or user and password")
        if self.token_url is None and self.key is None:
            raise ValueError("needs a token_url")
        if self.id is None and self.key is None:
            raise ValueError("needs an id")
        return self

    def source(self) -> TokenSource:
        """Where its tokens come from."""
        secret = self.secret.reader().read if self.secret else None
        if self.key is not None:
            return PrivateKeyJwt(self.token_url or NERSC_TOKEN_URL, self.key.key(self.id), self.scope)
        if self.password is not None:
            return PasswordGrant(
                self.token_url or "",
                self.id or "",
                self.user or "",
                self.password.reader().read,
                secret,
                self.scope,
            )
        return ClientCredentials(self.token_url or "", self.id or "", secret or "", scope=self.scope)


# A variable of the environment, and the word of the table that it points with.
_POINTERS = {
    "client_secret": ("secret", "env"),
    "client_key": ("key", "env"),
    "client_key_file": ("key", "file"),
    "client_password": ("password", "env"),
}


def client_from_env(prefix: str, found: Mapping[str, str]) -> dict[str, Any]:
    """The words of a client that variables with this prefix say; empty for none.

    Args:
        prefix: Of the variables' names.
        found: The variables that are set, by the rest of their names in small letters.
    """
    if not any(word in found for word in ("client_id", "client_key", "client_key_file")):
        return {}
    words: dict[str, Any] = {
        word: found[name]
        for name, word in (("client_id", "id"), ("client_user", "user"), ("token_url", "token_url"))
        if name in found
    }
    words |= {word: found[word] for word in ("scope",) if word in found}
    pointed = [name for name in _POINTERS if name in found] or ["client_secret"]
    for name in pointed:
        word, place = _POINTERS[name]
        words[word] = {place: found[name] if place == "file" else f"{prefix}{name.upper()}"}
    return words
