"""A token that somebody else got: given, from the environment, or from a file."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from iri_common.model.errors import AuthError
from iri_common.model.ports import Token, TokenExchange

_PREFIX = re.compile(r"^bearer(\s+|$)", re.IGNORECASE)  # copied from a header, with or without a token


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
    """

    renewable = True

    def __init__(self, read: Callable[[], str], origin: str, *, mendable: bool = True) -> None:
        self.read = read
        self.mendable = mendable
        self._origin = origin

    @property
    def identity(self) -> str:
        """What is read."""
        return self._origin

    async def fetch(self, send: TokenExchange) -> Token:
        """Read it; a file may lie on a slow disk, and the loop has others to serve."""
        return Token(_clean(await asyncio.to_thread(self.read), self._origin))

    def __repr__(self) -> str:
        return f"TokenReader({self._origin})"


def token_from_env(variable: str) -> TokenReader:
    """The token in an environment variable."""

    def read() -> str:
        value = os.environ.get(variable, "")
        if not value:
            raise AuthError(f"the environment variable {variable} holds no token; set it")
        return value

    return TokenReader(read, f"the environment variable {variable}", mendable=False)


def token_from_file(path: str | Path) -> TokenReader:
    """The token in a file that nobody else may read (mode 0600 or 0400)."""
    file = Path(path).expanduser()

    def read() -> str:
        try:
            mode = file.stat().st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise AuthError(f"others may read the token file {file}; run: chmod 600 {file}")
            return file.read_text().strip()
        except OSError as error:
            raise AuthError(f"the token file {file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise AuthError(f"the token file {file} holds no text") from None

    return TokenReader(read, f"the token file {file}")


def _clean(value: str, origin: str) -> str:
    token = _PREFIX.sub("", value.strip())
    if not token or any(not 0x21 <= ord(letter) <= 0x7E for letter in token):
        raise AuthError(
            f"{origin} is not a bearer token: it is empty or has blanks or control characters in it"
        )
    return token
