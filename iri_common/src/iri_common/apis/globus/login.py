"""A person's login: a link to open, and the code that its page shows; blocking. Loads the SDK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import globus_sdk

from iri_common.apis.globus.credentials import GlobusCredential
from iri_common.apis.globus.rules import Needs
from iri_common.apis.globus.sdk import Trouble, trouble_of
from iri_common.apis.globus.tokens import StoredTokens, login_client
from iri_common.auth.store import TokenStore
from iri_common.model.errors import AuthError, Unreachable
from iri_common.policy.classify import Outcome

_PAGE = "v2/web/auth-code"  # of Globus Auth: shows the code for whoever has no page of his own


class Login:
    """One login, with tokens that can be refreshed.

    Args:
        credential: In the mode ``login``.
        scopes: To be granted.
        needs: What Globus asked for beside them.
    """

    def __init__(self, credential: GlobusCredential, scopes: Sequence[str], needs: Needs) -> None:
        self._credential = credential
        self._auth: Any = login_client(credential)
        self.url = self._begun(scopes, needs)

    def finish(self, code: str, store: TokenStore | None = None) -> Sequence[str]:
        """Trade the code for tokens and keep them; gives the services that they are for.

        Raises:
            AuthError: if the code is not taken.
        """
        reply = self._traded(code)
        if isinstance(reply, Trouble):
            # Out here, so that nothing refers to the SDK's exception, which holds the code.
            if reply.outcome in {Outcome.NOT_SENT, Outcome.LOST}:
                raise Unreachable(f"no answer from Globus Auth: {reply.words}")
            raise AuthError(
                f"Globus Auth did not take the code ({reply.words}); it counts once and for a few "
                f"minutes: run {self._credential.login} again"
            )
        StoredTokens(store or TokenStore("globus", self._credential.client_id)).store_token_response(reply)
        services: Mapping[str, Any] = reply.by_resource_server
        return sorted(services)

    def _traded(self, code: str) -> globus_sdk.OAuthTokenResponse | Trouble:
        try:
            return self._auth.oauth2_exchange_code_for_tokens(code)
        except globus_sdk.GlobusError as error:
            return trouble_of(error)

    def _begun(self, scopes: Sequence[str], needs: Needs) -> str:
        if isinstance(self._auth, globus_sdk.NativeAppAuthClient):
            self._auth.oauth2_start_flow(list(scopes), refresh_tokens=True)  # with PKCE: it has no secret
        else:
            page = f"{self._auth.base_url.rstrip('/')}/{_PAGE}"
            self._auth.oauth2_start_flow(page, list(scopes), refresh_tokens=True)
        asked: dict[str, Any] = {
            "session_required_single_domain": list(needs.domains),
            "session_required_policies": list(needs.policies),
            "session_required_identities": list(needs.identities),
            "session_required_mfa": needs.mfa,
            "session_message": needs.message,
        }
        return self._auth.oauth2_get_authorize_url(**{name: value for name, value in asked.items() if value})


def log_out(credential: GlobusCredential, store: TokenStore | None = None) -> Sequence[str]:
    """End a login at Globus Auth, and forget its tokens; gives the services that they were for.

    Raises:
        AuthError: if Globus Auth refuses that.
        Unreachable: if it does not answer: then they are kept, for nobody else could end them.
    """
    store = store or TokenStore("globus", credential.client_id)
    if not store.read():
        return ()
    with store.locked() as tokens:
        for each in tokens.values():
            for secret in filter(None, (each.refresh_token, each.access_token)):
                if (trouble := _revoked(credential, secret)) is None:
                    continue
                if trouble.outcome in {Outcome.NOT_SENT, Outcome.LOST}:
                    raise Unreachable(f"no answer from Globus Auth: {trouble.words}")
                raise AuthError(f"Globus Auth did not end the login ({trouble.words}); nothing is forgotten")
        store.write({})
        return sorted(tokens)


def _revoked(credential: GlobusCredential, token: str) -> Trouble | None:
    try:
        with login_client(credential) as auth:
            auth.oauth2_revoke_token(token)
    except globus_sdk.GlobusError as error:
        return trouble_of(error)
    return None
