"""What tests have of the SENSE face of a facility of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from iri_local_facility.server import write_private
from iri_local_facility.settings import Settings
from iri_local_facility.store import Store

from . import API, CLIENT_ID, TOKEN
from .network import PORTS
from .tokens import password_of


def issue_password(root: Path, user: str) -> str:
    """The password of a user, from the state of the facility at ``root``."""
    store = Store(Settings(root=root).state / "facility.db")
    try:
        return password_of(store, user)
    finally:
        store.close()


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
