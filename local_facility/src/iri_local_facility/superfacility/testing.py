"""What tests have of the Superfacility face of a facility of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from iri_local_facility.state import state_of

from . import API, TOKEN
from .clients import ALL, Clients


def issue_key(root: Path, user: str, lifetime: float | None = None, scope: str = ALL) -> Path:
    """The key file of a client, made in the state of the facility at ``root``.

    Without a ``lifetime`` it is the user's own client; with one, a new client that lives for so many seconds.

    Raises:
        NoCrypto: PyJWT or cryptography is not there.
    """
    with state_of(root) as (settings, store):
        clients = Clients(settings, store)
        return clients.key_of(user) if lifetime is None else clients.make(user, lifetime, scope)


def end_client(root: Path, client_id: str) -> None:
    """Let a client of the facility at ``root`` die."""
    with state_of(root) as (settings, store):
        Clients(settings, store).end(client_id)


class WithSuperfacility:
    """The part of a `LocalFacility` that is about the Superfacility API."""

    root: Path
    _ready: dict[str, Any]

    @property
    def superfacility_url(self) -> str:
        """The Superfacility API v1.2."""
        return f"{self._ready['url']}{API}"

    @property
    def superfacility_token_url(self) -> str:
        """Its token endpoint."""
        return f"{self._ready['url']}{TOKEN}"

    @property
    def superfacility_key(self) -> Path:
        """The key file of the default user's client, as in ``~/.superfacility``; made at the first look."""
        return issue_key(self.root, self._ready["user"])

    def new_superfacility_key(
        self, user: str | None = None, lifetime: float = 48 * 3600.0, scope: str = ALL
    ) -> Path:
        """The key file of a new client.

        Args:
            user: Whom it acts for.
            lifetime: Seconds until it dies.
            scope: What it may do beyond looking: ``jobs`` (and commands, and uploads), ``globus``.
        """
        return issue_key(self.root, user or self._ready["user"], lifetime, scope)

    def end_superfacility_client(self, key: Path) -> None:
        """Let the client of a key file die; tokens that it got live on."""
        end_client(self.root, key.read_text().partition("\n")[0])
