"""Secrets in the keyring of a person's desktop (GNOME, KDE, macOS), through the library of that name."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from iri_common.auth.secret import SecretReader
from iri_common.model.errors import AuthError, UsageError
from iri_common.policy.telling import told

T = TypeVar("T")

SERVICE = "iri"  # under which a bare name is kept
_MISSING = "a keyring is reached through the library of that name: install iri-common[keyring]"


def secret_from_keyring(entry: str | Sequence[str], what: str = "secret") -> SecretReader:
    """What a keyring has under a name, or under a service and a user's name.

    Raises:
        AuthError: if the words are neither.
    """
    service, user = _named(entry)
    origin = f"the keyring's {what} {service}/{user}"

    def read() -> str:
        secret = _asked(origin, lambda keyring: keyring.get_password(service, user)) or ""
        if not secret.strip():
            raise AuthError(f"there is none: {origin}; run: keyring set {shlex.join([service, user])}")
        return secret.strip()

    def put(secret: str) -> None:
        _asked(origin, lambda keyring: keyring.set_password(service, user, secret))

    def drop() -> bool:
        there = _asked(origin, lambda keyring: keyring.get_password(service, user)) is not None
        if there:
            _asked(origin, lambda keyring: keyring.delete_password(service, user))
        return there

    return SecretReader(read, origin, put=put, drop=drop)


def _named(entry: str | Sequence[str]) -> tuple[str, str]:
    try:
        words = shlex.split(entry) if isinstance(entry, str) else list(entry)
    except ValueError:
        words = []
    if len(words) == 1:
        words = [SERVICE, *words]
    if len(words) != 2 or not all(words):
        raise AuthError("a secret in a keyring has a name, or the names of a service and a user")
    return words[0], words[1]


def _asked(origin: str, ask: Callable[[Any], T]) -> T:
    """What the keyring answers. Its errors are those of whatever is behind it."""
    try:
        import keyring
        from keyring.errors import NoKeyringError
    except ImportError:
        raise UsageError(_MISSING) from None
    try:
        return ask(keyring)
    except NoKeyringError:
        raise AuthError(
            f"{origin} cannot be reached: there is no keyring here, as on most machines without a desktop; "
            "keep the secret in a file"
        ) from None
    except Exception as error:
        raise AuthError(f"{origin} cannot be reached: {told(f'{type(error).__name__}: {error}')}") from None
