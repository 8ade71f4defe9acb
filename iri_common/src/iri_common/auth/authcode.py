"""A login in a browser (RFC 6749 §4.1), for a program on a person's machine (RFC 8252), with PKCE."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from iri_common.auth.endpoint import Ask, PersonsSource
from iri_common.auth.provider import Application, Provider
from iri_common.model.errors import AuthError
from iri_common.policy.telling import told

PATH = "/callback"


def redirect_of(port: int) -> str:
    """Where the browser comes back to; endpoints allow any port of this address (RFC 8252 §7.3)."""
    return f"http://127.0.0.1:{port}{PATH}"


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """One login, from the link to open to the code that comes back.

    Attributes:
        provider: Where.
        application: Through which the person logs in.
        redirect: Where the browser comes back to.
        verifier: Proves that who has the code is who asked for it.
        state: Comes back with the browser, so that nobody else sends us a code.
    """

    provider: Provider
    application: Application
    redirect: str
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    state: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def link(self) -> str:
        """The page to open."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest())
        words = {
            "response_type": "code",
            "client_id": self.application.id,
            "redirect_uri": self.redirect,
            "state": self.state,
            "code_challenge": challenge.decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        if scope := self.provider.scope(self.application.scope):
            words["scope"] = scope
        if "offline_access" in scope.split():
            words["prompt"] = "consent"  # OpenID Connect §11: without, that scope is to be ignored
        url = self.provider.code_url
        return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(words)}"

    def ours(self, address: str) -> bool:
        """Whether the browser comes back from this very login."""
        states = _words_in(address).get("state", [])
        return len(states) == 1 and secrets.compare_digest(states[0].encode(), self.state.encode())

    def code_in(self, address: str) -> str:
        """The code in the address that the browser came back to.

        Raises:
            AuthError: if the login was denied, or this is no address of this login.
        """
        if not self.ours(address):
            raise AuthError("that is not the address to which this login came back; nothing has changed")
        words = _words_in(address)
        if self.provider.names_itself and words.get("iss") != [self.provider.issuer]:
            raise AuthError(f"the browser did not come back from {self.provider.issuer}; nothing has changed")
        if words.get("error"):
            reason = told(" ".join([*words["error"], *words.get("error_description", [])]))
            raise AuthError(f"{self.provider.issuer} let nobody log in: {reason}; nothing has changed")
        if len(words.get("code", [])) != 1:
            raise AuthError(f"{self.provider.issuer} sent no code; nothing has changed: log in again")
        return words["code"][0]


def _words_in(address: str) -> dict[str, list[str]]:
    try:
        return parse_qs(urlsplit(address).query)
    except ValueError:  # a bracket where no address of IPv6 is
        return {}


class CodeGrant(PersonsSource):
    """Fetches the tokens of a person whose browser came back with a code.

    Args:
        request: The login.
        code: What it came back with.
    """

    def __init__(self, request: CodeRequest, code: str) -> None:
        application = request.application
        super().__init__(request.provider.token_url, application.id, lambda: code, application.secret)
        self._request = request

    @property
    def identity(self) -> str:
        """The application, and where."""
        return self._who("a login")

    def ask(self, now: int) -> Ask:
        """With the code, and what proves that it is ours."""
        code, verifier = self._held(), self._request.verifier
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
        form["redirect_uri"] = self._request.redirect
        ask = self._asking(
            f"client {self._client_id}", "A code counts once, for minutes: log in again", code, form
        )
        return Ask(ask.client, ask.advice, ask.form, (*ask.secrets, verifier))
