"""A token that somebody else got: given, or read where it is kept."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from iri_common.auth.claims import end_of
from iri_common.auth.secret import SecretReader, secret_from_command, secret_from_env, secret_from_file
from iri_common.model.credential import Renewal, SourceFacts
from iri_common.model.errors import AuthError
from iri_common.model.ports import Token, TokenExchange

# Copied from a header, with or without a token; or as `scontrol token` writes it.
_PREFIX = re.compile(r"^(bearer(\s+|$)|SLURM_JWT=)", re.IGNORECASE)
_GIVEN = "get a new token and start again with that: this one was given"


class StaticToken:
    """A bearer token as given.

    Args:
        value: The token, without "Bearer".
        origin: Where it comes from, for messages ("the environment variable X").
    """

    renewable = False

    def __init__(self, value: str, origin: str = "a given token") -> None:
        self._value = _clean(value, origin)
        self._origin = origin

    @property
    def identity(self) -> str:
        """Origin and a short digest."""
        return f"{self._origin} (…{hashlib.sha256(self._value.encode()).hexdigest()[:8]})"

    def facts(self) -> SourceFacts:
        """It is all there is."""
        return SourceFacts(self.identity, Renewal.NEVER, _GIVEN, given=True)

    async def fetch(self, send: TokenExchange) -> Token:
        """The token itself."""
        return Token(self._value)

    def __repr__(self) -> str:
        return f"StaticToken({self._origin})"

    def __reduce__(self) -> str:
        raise TypeError("a token is not pickled: hand over the name of its source instead")


class TokenReader:
    """A token read anew each time one is needed: replacing the file or variable is noticed.

    Args:
        read: Gives the token; raises AuthError with what to do when there is none.
        origin: What it reads.
        mendable: Somebody outside of this process can put another one there.
        renews: Reading again gives another one without anybody's help.
        login: The command with which a person puts another one there.
        given: It was handed over, and reading again gives the same.
    """

    renewable = True

    def __init__(
        self,
        read: Callable[[], str],
        origin: str,
        *,
        mendable: bool = True,
        renews: bool = False,
        login: str = "",
        given: bool = False,
    ) -> None:
        self.read = read
        self.mendable = mendable
        self.renews = renews
        self._given = given
        self._login = login
        self._origin = origin

    @property
    def identity(self) -> str:
        """What is read."""
        return self._origin

    def facts(self) -> SourceFacts:
        """Who puts the next one there."""
        if self.renews:
            mend = f"see to {self._origin}: it is to give a token that counts, and is run again by itself"
            return SourceFacts(self._origin, Renewal.ITSELF, mend)
        if self.mendable:
            mend = f"put a new token into {self._origin}; it is read again by itself"
            mend += f". {self._login} asks for it and puts it there" if self._login else ""
            return SourceFacts(self._origin, Renewal.REPLACED, mend)
        mend = f"get a new token, put it into {self._origin} and start again"
        return SourceFacts(self._origin, Renewal.NEVER, mend, self._given)

    def proof(self) -> str:
        """The token that is there now; it blocks."""
        return _clean(self.read(), self._origin)

    async def fetch(self, send: TokenExchange) -> Token:
        """Read it; a file may lie on a slow disk, and the loop has others to serve."""
        token = await asyncio.to_thread(self.proof)
        return Token(token, end_of(token, time.time()))

    def __repr__(self) -> str:
        return f"TokenReader({self._origin})"


class GivenToken(TokenReader):
    """A token in hand, where one that is read is wanted."""

    def __init__(self, value: str) -> None:
        digest = hashlib.sha256(value.encode()).hexdigest()[:8]
        super().__init__(lambda: value, f"a given token (…{digest})", mendable=False, given=True)

    def facts(self) -> SourceFacts:
        """Nobody puts another one there."""
        return SourceFacts(self.identity, Renewal.NEVER, _GIVEN, given=True)


def token_from(secret: SecretReader) -> TokenReader:
    """The token that is kept there."""
    return TokenReader(
        secret.read,
        secret.origin,
        mendable=secret.mendable,
        renews=secret.renews,
        login=secret.login,
        given=secret.given,
    )


def token_from_env(variable: str) -> TokenReader:
    """The token in an environment variable."""
    return token_from(secret_from_env(variable, "token"))


def token_from_file(path: str | Path) -> TokenReader:
    """The token in a file that nobody else may read (mode 0600 or 0400)."""
    return token_from(secret_from_file(path, "token"))


def token_from_command(command: str | Sequence[str]) -> TokenReader:
    """The token that a command writes, such as ``scontrol token``; it is run again before that one ends."""
    return token_from(secret_from_command(command, "token"))


def _clean(value: str, origin: str) -> str:
    token = _PREFIX.sub("", value.strip())
    if not token or any(not 0x21 <= ord(letter) <= 0x7E for letter in token):
        raise AuthError(
            f"{origin} is not a bearer token: it is empty or has blanks or control characters in it"
        )
    return token
