"""Secrets in the keyring of a person's desktop (GNOME, KDE, macOS), through the library of that name."""

from __future__ import annotations

import os
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from iri_common.auth.secret import PATIENCE, SecretReader
from iri_common.model.errors import AuthError, UsageError
from iri_common.policy.telling import told

T = TypeVar("T")

SERVICE = "iri"  # under which a bare name is kept
_MISSING = "a keyring is reached through the library of that name: install iri-common[keyring]"
_turns: dict[int, threading.Lock] = {}  # by process: in one that was forked nobody lets go of the parent's


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

    def there() -> bool:
        return _asked(origin, lambda keyring: keyring.get_password(service, user)) is not None

    def drop() -> bool:
        found = there()
        if found:
            _asked(origin, lambda keyring: keyring.delete_password(service, user))
        return found

    return SecretReader(read, origin, put=put, drop=drop, there=there)


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
        return _in_time(lambda: ask(keyring))
    except TimeoutError:
        raise AuthError(
            f"{origin} cannot be reached: no answer in {PATIENCE:.0f} s; it may wait for a person to unlock "
            "it. Unlock it in its dialogue on the desktop, or keep the secret in a file"
        ) from None
    except NoKeyringError:
        raise AuthError(
            f"{origin} cannot be reached: there is no keyring here, as on most machines without a desktop; "
            "keep the secret in a file"
        ) from None
    except Exception as error:
        raise AuthError(f"{origin} cannot be reached: {told(f'{type(error).__name__}: {error}')}") from None


def _in_time(ask: Callable[[], T]) -> T:
    """What an ask gives in time.

    The libraries behind a keyring wait for its dialogue without an end and cannot be stopped. So a thread
    waits for it; as long as one does, no other dialogue is opened.

    Raises:
        TimeoutError: if it gives nothing; what it gives later is dropped.
    """
    until = time.monotonic() + PATIENCE
    turn = _turns.setdefault(os.getpid(), threading.Lock())
    if not turn.acquire(timeout=PATIENCE):
        raise TimeoutError
    answer = Future[T]()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)
        finally:
            turn.release()

    threading.Thread(target=run, name="iri-keyring", daemon=True).start()
    return answer.result(until - time.monotonic())
