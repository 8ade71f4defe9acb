"""A token endpoint that others wrote: Authlib's, whose refresh tokens rotate and end the login if reused."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, InvalidGrantError, TokenMixin, grants
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from flask import Flask, request
from werkzeug.serving import make_server

SECRET = "app-secret-Zq81vTnB"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
PASSWORD = "alice-password-Ty63mKcd"
RUNNER = "runner-bearer-Mw3xK90a"  # by which a job of GitHub Actions asks for its token


@dataclass
class Issued(TokenMixin):
    refresh_token: str
    scope: str = "jobs"
    used: bool = False

    def check_client(self, client: Any) -> bool:
        return True

    def get_scope(self) -> str:
        return self.scope


class Client(ClientMixin):
    client_id = "app"

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in {"client_secret_basic", "client_secret_post", "client_assertion_jwt"}

    def check_grant_type(self, grant_type: str) -> bool:
        return True

    def get_allowed_scope(self, scope: str) -> str:
        return scope or "jobs"


@dataclass
class OAuthServer:
    """What it gave and saw.

    Attributes:
        life: Seconds of an access token.
        rotates: A refresh token is replaced when it is used.
        begun: Requests that came, by grant.
        answered: Those that got a token.
        reused: Times that a used refresh token came again: the whole login ends.
        hold: What comes waits for this before it is looked at,
        keep: or before its answer leaves.
        subjects: What it takes for a token of its own,
        asked: and the forms in which it came.
        key: The public one of a client that signs.
    """

    life: int = 3600
    rotates: bool = True
    begun: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    reused: int = 0
    ended: bool = False
    hold: threading.Event = field(default_factory=threading.Event)
    keep: threading.Event = field(default_factory=threading.Event)
    logins: dict[str, Issued] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    key: Any = None
    url: str = ""

    def __post_init__(self) -> None:
        self.hold.set()
        self.keep.set()

    def login(self, refresh_token: str) -> str:
        """A person logged in."""
        self.logins[refresh_token] = Issued(refresh_token)
        self.given.append(refresh_token)
        return refresh_token

    def noted(self, token: dict[str, Any], _: Any) -> None:
        """A token was given."""
        self.given += [token["access_token"], *filter(None, [token.get("refresh_token")])]
        if "refresh_token" in token:
            self.logins[token["refresh_token"]] = Issued(token["refresh_token"])


def _grant(server: OAuthServer) -> type[grants.RefreshTokenGrant]:
    class Refresh(grants.RefreshTokenGrant):
        INCLUDE_NEW_REFRESH_TOKEN = server.rotates
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

        def authenticate_refresh_token(self, refresh_token: str) -> Issued | None:
            issued = server.logins.get(refresh_token)
            if issued is not None and issued.used:
                server.reused += 1
                server.ended = True
            return None if server.ended else issued

        def authenticate_user(self, refresh_token: Issued) -> object:
            return "alice"

        def revoke_old_credential(self, refresh_token: Issued) -> None:
            refresh_token.used = server.rotates

    return Refresh


class _Itself(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_assertion_jwt")


class _Person(grants.ResourceOwnerPasswordCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

    def authenticate_user(self, username: str, password: str) -> object:
        return username if (username, password) == ("alice", PASSWORD) else None


def _exchange(server: OAuthServer) -> type[grants.BaseGrant]:
    class Exchange(grants.BaseGrant, grants.TokenEndpointMixin):
        GRANT_TYPE = EXCHANGE

        def validate_token_request(self) -> None:
            self.request.client = Client()
            form = self.request.form
            if form["subject_token"] not in server.subjects:
                raise InvalidGrantError(f"{form['subject_token']} is not trusted here")
            server.asked.append(form.to_dict())

        def create_token_response(self) -> Any:
            token = self.generate_token(scope=self.request.form.get("scope"), include_refresh_token=False)
            self.save_token(token)
            kind = "urn:ietf:params:oauth:token-type:access_token"
            return 200, {**token, "issued_token_type": kind}, self.TOKEN_RESPONSE_HEADER

    return Exchange


class _Signed(JWTBearerClientAssertion):
    """A client that signs who it is."""

    def __init__(self, server: OAuthServer) -> None:
        super().__init__()
        self._server = server
        self._seen: set[str] = set()

    def get_audiences(self) -> list[str]:
        return [self._server.url]

    def validate_jti(self, claims: Any, jti: str) -> bool:
        fresh = jti not in self._seen
        self._seen.add(jti)
        return fresh

    def resolve_client_public_key(self, client: Any) -> Any:
        return self._server.key


@contextlib.contextmanager
def oauth_server(**words: Any) -> Iterator[OAuthServer]:
    """It listens on loopback until the end of the context."""
    server, app = OAuthServer(**words), Flask("oauth")
    kinds = ("refresh_token", "client_credentials", "password", EXCHANGE)
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = dict.fromkeys(kinds, server.life)
    oauth = AuthorizationServer(app, lambda _: Client(), server.noted)
    oauth.register_client_auth_method("client_assertion_jwt", _Signed(server))
    oauth.register_grant(_grant(server))
    oauth.register_grant(_Itself)
    oauth.register_grant(_Person)
    oauth.register_grant(_exchange(server))

    @app.post("/token")
    def token() -> Any:
        kind = request.form["grant_type"]
        with server.lock:
            server.begun[kind] += 1
        server.hold.wait(30)
        with server.lock:
            reply = oauth.create_token_response()
            server.answered[kind] += reply.status_code == 200
        server.keep.wait(30)
        return reply

    @app.get("/github")
    def github() -> Any:
        if request.headers.get("authorization") != f"Bearer {RUNNER}" or request.args["api-version"] != "2":
            return {"message": "no"}, 401
        server.subjects.append(f"github-{len(server.subjects)}-for-{request.args['audience']}")
        return {"count": 9, "value": server.subjects[-1]}

    with contextlib.ExitStack() as stack:
        listening = make_server("127.0.0.1", 0, app, threaded=True)
        serving = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        stack.callback(listening.server_close)
        stack.callback(serving.join)
        stack.callback(listening.shutdown)
        stack.callback(server.keep.set)
        stack.callback(server.hold.set)
        serving.start()
        server.url = f"http://127.0.0.1:{listening.port}/token"
        yield server
