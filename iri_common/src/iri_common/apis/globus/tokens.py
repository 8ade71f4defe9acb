"""Tokens of Globus Auth for its services; blocking, for the thread of a client. Loads the SDK."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import globus_sdk
from globus_sdk.token_storage import TokenStorage, TokenStorageData

from iri_common.apis.globus.credentials import GlobusCredential
from iri_common.apis.globus.rules import COMPUTE, FLOWS, TRANSFER, Needs, flow_scope
from iri_common.apis.globus.sdk import no_retries, transport
from iri_common.auth.store import StoredToken, Tokens, TokenStore
from iri_common.model.errors import AuthError, NotOffered

_NAMES = {FLOWS: "Globus Flows", COMPUTE: "Globus Compute"}
AHEAD = 120.0  # seconds: a request under way must not outlive its token


class StoredTokens(TokenStorage):
    """Our store as the SDK wants one; also for a ``GlobusApp`` of one's own over the same file."""

    def __init__(self, store: TokenStore) -> None:
        super().__init__()
        self._store = store

    def store_token_data_by_resource_server(
        self, token_data_by_resource_server: Mapping[str, TokenStorageData]
    ) -> None:
        """Keep them; one without a refresh token leaves that of the one before."""
        new = {name: _stored(data) for name, data in token_data_by_resource_server.items()}
        self._store.update(lambda tokens: tokens.update(new))

    def get_token_data_by_resource_server(self) -> dict[str, TokenStorageData]:
        """All there are."""
        return {name: _data(name, token) for name, token in self._store.read().items()}

    def remove_token_data(self, resource_server: str) -> bool:
        """Forget one."""
        return self._store.update(lambda tokens: tokens.pop(resource_server, None)) is not None


class GlobusTokens:
    """Gives the token for a service, fetched before it expires.

    Not the SDK's own app: that one refreshes in every process by itself, asks for an identity with each
    login, and prompts on stdin where something is missing.

    Args:
        credential: Whose; it may be replaced by another way to the same identity.
        store: Where the tokens of a login are.
    """

    def __init__(self, credential: GlobusCredential, store: TokenStore | None = None) -> None:
        self.credential = credential
        self._store = store or TokenStore("globus", credential.client_id or "given")
        self._had: dict[str, tuple[frozenset[str], StoredToken]] = {}  # of a client that acts for itself
        self._refused: set[str] = set()

    @property
    def renewable(self) -> bool:
        """Whether another token can be had without a person."""
        return self.credential.mode != "token"

    def token(self, service: str, scopes: Sequence[str]) -> str:
        """A token that this service takes.

        Raises:
            AuthError: naming the command to run.
        """
        if self.credential.mode == "client":
            return self._own(service, frozenset(scopes))
        if self.credential.mode == "login":
            return self._of_login(service, scopes)
        return self._given(service, scopes)

    def refused(self, token: str) -> None:
        """A service did not take it."""
        self._refused.add(token)

    def consented(self, needs: Needs) -> bool:
        """Whether what is needed could be had without a person: a client consents to itself."""
        if self.credential.mode != "client" or needs.session or not needs.scopes:
            return False
        self._fetch_own(frozenset(needs.scopes))
        return True

    def _own(self, service: str, scopes: frozenset[str]) -> str:
        # Looked up by scope: a token got before a collection's data was asked for does not carry it.
        granted, token = self._had.get(service, (frozenset[str](), StoredToken("")))
        if not scopes <= granted or not self._counts(token):
            self._fetch_own(scopes)
            _, token = self._had.get(service, (scopes, StoredToken("")))
        if not token.access_token:
            raise AuthError(f"Globus Auth gave {self.credential.identity} no token for {service}")
        return token.access_token

    def _fetch_own(self, scopes: frozenset[str]) -> None:
        with _confidential(self.credential) as auth:
            reply = auth.oauth2_client_credentials_tokens(requested_scopes=sorted(scopes))
        for service, token in tokens_of(reply).items():
            self._had[service] = (scopes, token)

    def _of_login(self, service: str, scopes: Sequence[str]) -> str:
        token = self._store.read().get(service)
        if token is not None and self._counts(token):
            return token.access_token
        return self._store.update(lambda tokens: self._refreshed(tokens, service, scopes))

    def _refreshed(self, tokens: Tokens, service: str, scopes: Sequence[str]) -> str:
        login = Needs(scopes).command(self.credential.login)
        token = tokens.get(service)
        if token is not None and self._counts(token):
            return token.access_token  # another process was quicker
        if token is None or token.refresh_token is None:
            raise AuthError(self._not_logged_in(service, scopes, login))
        reply = self._refresh(token.refresh_token)
        if reply is None:
            raise AuthError(
                f"{self.credential.identity} has ended, as the facility's or Globus' rules "
                f"want it from time to time; run: {login}"
            )
        for name, new in tokens_of(reply).items():
            tokens[name] = new.after(tokens.get(name))
        return tokens[service].access_token

    def _not_logged_in(self, service: str, scopes: Sequence[str], login: str) -> str:
        if service == TRANSFER:
            return f"nobody has logged in for Globus client {self.credential.client_id}; run: {login}"
        return f"{self.credential.identity} is not for {_called(service, scopes)}; run: {login}"

    def _refresh(self, refresh_token: str) -> globus_sdk.OAuthTokenResponse | None:
        """What Auth gives for it; None if it does not count any more."""
        try:
            with login_client(self.credential) as auth:
                return auth.oauth2_refresh_token(refresh_token)
        except globus_sdk.AuthAPIError as error:
            # OAuth's own word: the SDK's code is None here.
            if (error.raw_json or {}).get("error") != "invalid_grant":
                raise
            return None

    def _given(self, service: str, scopes: Sequence[str]) -> str:
        assert self.credential.token is not None
        if service != TRANSFER:
            login = Needs(scopes).command(self.credential.login)
            raise NotOffered(
                "a Globus token that is given is for Transfer alone; "
                f"{_called(service, scopes)} itself takes a client with a secret or a login ({login})"
            )
        return self.credential.token.read()

    def _counts(self, token: StoredToken) -> bool:
        return token.expires_at - AHEAD > time.time() and token.access_token not in self._refused


def _called(service: str, scopes: Sequence[str]) -> str:
    if service in _NAMES:
        return _NAMES[service]
    return f"the {'flow' if flow_scope(service) in scopes else 'collection'} {service}"


def _confidential(credential: GlobusCredential) -> globus_sdk.ConfidentialAppAuthClient:
    assert credential.secret is not None
    return globus_sdk.ConfidentialAppAuthClient(
        credential.client_id, credential.secret(), transport=transport(), retry_config=no_retries()
    )


def login_client(credential: GlobusCredential) -> globus_sdk.AuthLoginClient:
    """For a login, or to refresh what one gave."""
    if credential.secret is not None:
        return _confidential(credential)
    return globus_sdk.NativeAppAuthClient(
        credential.client_id, transport=transport(), retry_config=no_retries()
    )


def tokens_of(reply: globus_sdk.OAuthTokenResponse) -> dict[str, StoredToken]:
    """What a reply of Globus Auth brings, by service."""
    services: Mapping[str, Mapping[str, Any]] = reply.by_resource_server
    return {
        name: StoredToken(
            str(words["access_token"]),
            float(words["expires_at_seconds"]),
            words.get("refresh_token"),
            str(words.get("scope") or ""),
        )
        for name, words in services.items()
    }


def _stored(data: TokenStorageData) -> StoredToken:
    details = {"identity_id": data.identity_id, "token_type": data.token_type}
    return StoredToken(
        data.access_token, float(data.expires_at_seconds), data.refresh_token, data.scope, details
    )


def _data(service: str, token: StoredToken) -> TokenStorageData:
    return TokenStorageData(
        resource_server=service,
        identity_id=token.details.get("identity_id"),
        scope=token.scope,
        access_token=token.access_token,
        refresh_token=token.refresh_token,
        expires_at_seconds=int(token.expires_at),
        token_type=token.details.get("token_type"),
    )
