"""Who speaks to Globus: a program for itself, a person who logged in, or whoever got the token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from iri_common.apis.globus.rules import LOGIN, Needs
from iri_common.auth.static import GivenToken, TokenReader
from iri_common.model.credential import Renewal, SourceFacts
from iri_common.model.errors import UsageError


@dataclass(frozen=True, slots=True)
class GlobusCredential:
    """How tokens are had; no secret is in it, only the way to one.

    Attributes:
        client_id: Of the application registered at Globus.
        secret: Reads its secret; None for a native application, which has none.
        token: Reads a token of Transfer that somebody else got; instead of a client.
        person: Speak for the person who logged in, though the client has a secret.
        login: The command with which a person does that.
    """

    client_id: str = ""
    secret: Callable[[], str] | None = field(default=None, repr=False)
    token: TokenReader | None = None
    person: bool = False
    login: str = LOGIN

    def __post_init__(self) -> None:
        if bool(self.client_id) == (self.token is not None):
            raise UsageError("a Globus credential is either a client's id or a token")
        if self.token is not None and (self.secret or self.person):
            raise UsageError("a Globus token that is given has no client")

    @property
    def mode(self) -> Literal["client", "login", "token"]:
        """``client`` speaks for itself, ``login`` for a person, ``token`` for whoever got it."""
        if self.token is not None:
            return "token"
        return "client" if self.secret is not None and not self.person else "login"

    @property
    def identity(self) -> str:
        """Names the credential without telling it; equal for equal ones."""
        if self.token is not None:
            return f"Globus token from {self.token.identity}"
        client = f"Globus client {self.client_id}"
        return client if self.mode == "client" else f"the login for {client}"

    @property
    def mendable(self) -> bool:
        """Whether it can become another one while this process lives: by a login, or another secret."""
        return self.token is None or self.token.mendable

    def facts(self) -> SourceFacts:
        """How its next token comes about, and what a person does when none comes."""
        if self.token is not None:
            told = self.token.facts()
            return SourceFacts(self.identity, told.renewal, told.mend)
        mends = {
            "client": "check its id and secret at app.globus.org/settings/developers",
            "login": f"run: {self.login}",
        }
        return SourceFacts(self.identity, Renewal.ITSELF, mends[self.mode])

    def remedy(self, needs: Needs) -> str:
        """What a person does where Globus Auth wants more than it brings."""
        if self.mode == "client":
            return (
                f"client {self.client_id} cannot log in as a person; have the collection's owner share a "
                f"guest collection with {self.client_id}@clients.auth.globus.org"
            )
        if self.mode == "token":
            return "get a token that carries it, and put it where the configuration points"
        return f"run: {needs.command(self.login)}"

    def __reduce__(self) -> str:
        raise TypeError("a credential is not pickled: hand over the name of its source instead")


def given_token(value: str) -> GlobusCredential:
    """A token of Transfer that is in hand."""
    return GlobusCredential(token=GivenToken(value))
