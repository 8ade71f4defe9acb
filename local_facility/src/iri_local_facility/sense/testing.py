"""What tests have of the SENSE face of a facility of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from iri_local_facility.accounts import Accounts
from iri_local_facility.server import write_private
from iri_local_facility.settings import Settings
from iri_local_facility.state import state_of

from . import API, CLIENT_ID, PUBLIC_ID, TOKEN
from .network import PORTS
from .tokens import login, password_of


def issue_password(root: Path, user: str) -> str:
    """The password of a user, from the state of the facility at ``root``."""
    with state_of(root) as (_, store):
        return password_of(store, user)


def issue_login(root: Path, user: str) -> str:
    """The refresh token of a login, made in the state of the facility at ``root``."""
    with state_of(root) as (settings, store):
        return login(Accounts(settings, store), user)


def password_file(root: Path, user: str) -> Path:
    """Where a profile finds it."""
    path = Settings(root=root).state / f"sense-password-{user}"
    write_private(path, issue_password(root, user))
    return path


class WithSense:
    """The part of a `LocalFacility` that is about SENSE."""

    root: Path
    _ready: dict[str, Any]

    @property
    def sense_url(self) -> str:
        """SENSE's northbound API."""
        return f"{self._ready['url']}{API}"

    @property
    def sense_token_url(self) -> str:
        """Its Keycloak; the client `sense_client` has the facility's ``client_secret``."""
        return f"{self._ready['url']}{TOKEN}"

    @property
    def sense_client(self) -> str:
        """The application that users log in with."""
        return CLIENT_ID

    @property
    def sense_public_client(self) -> str:
        """An application without a secret."""
        return PUBLIC_ID

    def sense_login(self) -> str:
        """The refresh token of a new login of the default user, through either application."""
        return issue_login(self.root, self.sense_user)

    @property
    def sense_user(self) -> str:
        """Who has the `sense_password`."""
        return self._ready["user"]

    @property
    def sense_password(self) -> str:
        """The password of the default user."""
        return issue_password(self.root, self.sense_user)

    @property
    def sense_ports(self) -> list[str]:
        """The URIs of the ports of its network; between each two there is a path."""
        return list(PORTS)
