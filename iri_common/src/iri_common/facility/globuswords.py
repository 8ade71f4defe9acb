"""The words of a profile about Globus: who speaks to it, what for, and a facility's files as it sees them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from iri_common.apis.globus import LOGIN, GlobusCredential
from iri_common.facility.collections import GlobusSettings
from iri_common.facility.credentials import Secret, Words


class _GlobusClient(Words):
    """An application registered at Globus."""

    id: str
    secret: Secret | None = None
    person: bool = False


class GlobusIdentity(Words):
    """Who speaks to Globus."""

    client: _GlobusClient | None = None
    token: Secret | None = None

    def credential(self, login: str = LOGIN) -> GlobusCredential | None:
        """Who that is; None where nobody is named.

        Args:
            login: The command with which a person logs in.
        """
        if self.token:
            return GlobusCredential(self.client.id if self.client else "", token=self.token.reader())
        if self.client is None:
            return None
        secret = self.client.secret
        return GlobusCredential(
            self.client.id,
            secret.secret() if secret else None,
            person=self.client.person,
            login=login,
        )


class GlobusSection(GlobusIdentity):
    """Who speaks to Globus beside all facilities, and what for."""

    grant: dict[str, Any] | None = None
    audit: str | None = None


class GlobusOfFacility(GlobusIdentity):
    """A facility's files as Globus sees them."""

    collection: UUID | None = None
    root: str = "/"
    base: str = "/"
    lend: bool | None = None
    account: str | None = None

    def settings(self, credential: GlobusCredential | None) -> GlobusSettings:
        """The same with whoever speaks for it."""
        collection = str(self.collection) if self.collection else None
        return GlobusSettings(collection, self.root, self.base, self.lend, credential, self.account)
