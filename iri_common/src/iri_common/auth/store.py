"""Tokens that outlive a process: one file a client, changed by one process or thread at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from iri_common.auth.privatefile import write_private
from iri_common.model.errors import AuthError
from iri_common.policy.places import place

T = TypeVar("T")

_AGAIN = 0.005  # seconds between two tries of the lock


@dataclass(frozen=True, slots=True)
class StoredToken:
    """What a token service gave for one of its services.

    Attributes:
        access_token: The secret.
        expires_at: Of that, seconds since the epoch.
        refresh_token: Another secret, with which a new one can be had; None where there is none.
        scope: What they are for, blank-separated.
        details: Whatever else the service's own library wants to read again.
    """

    access_token: str = field(repr=False)
    expires_at: float = 0.0
    refresh_token: str | None = field(default=None, repr=False)
    scope: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def after(self, old: StoredToken | None) -> StoredToken:
        """This one for an older one, whose refresh token lives on if no other came (RFC 6749 §6)."""
        if old is None or self.refresh_token is not None:
            return self
        return replace(self, refresh_token=old.refresh_token)


Tokens = dict[str, StoredToken]


def default_directory() -> Path:
    """``$XDG_STATE_HOME/iri/tokens``, by default under ``~/.local/state``."""
    return Path(place(os.environ, "state", "tokens")).expanduser()


class TokenStore:
    """The tokens of one client, by the service that they are for.

    All methods block, and are called in threads. A reader needs no lock: the file is replaced as a whole.

    Args:
        kind: Whose tokens: the name of a token service.
        client: The client's id there.
        directory: Created when first written to, for nobody else to read.
        patience: Seconds to wait for another process that holds the lock, as it does during a refresh.
    """

    def __init__(
        self, kind: str, client: str, *, directory: Path | None = None, patience: float = 60.0
    ) -> None:
        name = f"{kind}-{quote(client, safe='')}"
        self.path = (directory or default_directory()) / f"{name}.json"
        self._patience = patience

    def read(self) -> Tokens:
        """All there are.

        Raises:
            AuthError: if the file cannot be read or understood.
        """
        try:
            tokens = _understood(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise AuthError(f"the tokens in {self.path} cannot be read: {error.strerror}") from None
        if tokens is None:
            raise AuthError(
                f"{self.path} holds no tokens that can be understood; move it away and log in again"
            )
        return tokens

    def elsewhere(self, name: str) -> list[StoredToken]:
        """What the stores beside this one keep under a name; one that cannot be read tells nothing."""
        kind = self.path.name.partition("-")[0]
        found: list[StoredToken] = []
        for path in self.path.parent.glob(f"{kind}-*.json"):
            with contextlib.suppress(OSError):
                tokens = _understood(path.read_bytes()) if path != self.path else None
                found += [tokens[name]] if tokens and name in tokens else []
        return found

    def update(self, change: Callable[[Tokens], T]) -> T:
        """Change them; what ``change`` leaves in its dictionary is on the disk when this returns.

        Nobody else changes them meanwhile, so ``change`` may ask a token service: one refresh for all.

        Raises:
            AuthError: if the file cannot be used, or is held by another process for too long.
        """
        with self.locked() as tokens:
            before = dict(tokens)
            result = change(tokens)
            if tokens != before:
                self.write({name: token.after(before.get(name)) for name, token in tokens.items()})
            return result

    @contextlib.contextmanager
    def locked(self) -> Generator[Tokens]:
        """All there are, while nobody else changes them; what is to stay is written.

        Raises:
            AuthError: if the file cannot be used, or is held by another process for too long.
        """
        # Beside the file, because that one is replaced. A lock belongs to this opening of it, so it also
        # keeps threads apart.
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            self._take(descriptor)
            yield self.read()
        finally:
            # Said, and not left to the closing: a child that was forked meanwhile has it open, too.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _take(self, descriptor: int) -> None:
        until = time.monotonic() + self._patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until:
                    raise AuthError(
                        f"another process holds the tokens in {self.path} since {self._patience:.0f} s; "
                        "end it if it hangs, then try again"
                    ) from None
                time.sleep(_AGAIN)
            except OSError as error:
                raise self._unusable(error) from None

    def write(self, tokens: Tokens) -> None:
        """Put them on the disk; for who has the lock.

        Raises:
            AuthError: if that cannot be; what was there before is there still.
        """
        text = json.dumps({"tokens": {name: asdict(token) for name, token in tokens.items()}})
        try:
            write_private(self.path, text)
        except OSError as error:
            raise self._unusable(error) from None
        # Those who were killed while they wrote left theirs: also a token that is to be forgotten.
        with contextlib.suppress(OSError):
            for left in self.path.parent.glob(f"{self.path.stem}.{'[0-9a-f]' * 8}"):
                left.unlink()

    def _unusable(self, error: OSError) -> AuthError:
        return AuthError(
            f"tokens cannot be kept in {self.path.parent} ({error.strerror}); make it writable, or point "
            "XDG_STATE_HOME to a directory that is"
        )


def _understood(content: bytes) -> Tokens | None:
    """The tokens in a file; None if it holds none, without the parser's error, which refers to all of it."""
    try:
        services: dict[str, dict[str, Any]] = json.loads(content)["tokens"]
        known = {each.name for each in fields(StoredToken)}  # a newer version may know more
        return {
            name: StoredToken(**{word: value for word, value in words.items() if word in known})
            for name, words in services.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
