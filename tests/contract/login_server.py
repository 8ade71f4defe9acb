"""An endpoint that others wrote, where people log in: Authlib's device flow, browser flow and revocation."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialDict
from flask import Flask, jsonify, request
from werkzeug.serving import make_server

from iri_common.auth.refresh import RefreshTokens
from iri_common.auth.store import default_directory
from iri_common.facility.loop import run_blocking
from iri_common.http.transport import HttpxTransport, WireSettings
from iri_common.model.ports import TokenSource


@dataclass
class Login(TokenMixin):
    refresh_token: str
    scope: str
    used: bool = False
    revoked: bool = False

    def check_client(self, client: Any) -> bool:
        return True

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Client(ClientMixin):
    """A program on a person's machine: it has no secret, and comes back to a port of that machine."""

    lasting: bool
    client_id: str = "app"

    def get_client_id(self) -> str:
        return self.client_id

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        parts = urlsplit(redirect_uri)
        return (parts.hostname, parts.path) == ("127.0.0.1", "/callback")

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "none"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return self.lasting or grant_type != "refresh_token"

    def get_allowed_scope(self, scope: str) -> str:
        return scope


@dataclass
class Code(AuthorizationCodeMixin):
    redirect_uri: str
    scope: str
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass
class LoginServer:
    """What it offers, gave and saw.

    Attributes:
        access: The access token that it gives: one that a facility takes.
        offers: Of device, code and revocation.
        interval: Seconds that it wants between two looks.
        life: Seconds of a code.
        lasting: A login has a refresh token.
        agrees: What a person does with each code; None while nobody has typed it.
        asked: Requests, by route or grant.
        words: What the authorization page was asked for.
        logins: That were given, by refresh token.
    """

    access: str = "access-token-Wp38Kd0q"
    offers: frozenset[str] = frozenset({"device", "code", "revocation"})
    interval: float = 0.05
    life: int = 600
    lasting: bool = True
    agrees: bool | None = None
    asked: Counter[str] = field(default_factory=Counter)
    words: dict[str, str] = field(default_factory=dict)
    codes: dict[str, Any] = field(default_factory=dict)
    logins: dict[str, Login] = field(default_factory=dict)
    reused: int = 0
    url: str = ""

    @property
    def token_url(self) -> str:
        return f"{self.url}/realms/lab/protocol/token"

    @property
    def secrets(self) -> list[str]:
        return [*self.logins, *self.codes, self.access]

    def noted(self, token: dict[str, Any], _: Any) -> None:
        if "refresh_token" in token:
            self.logins[token["refresh_token"]] = Login(token["refresh_token"], token.get("scope", ""))


def _device(server: LoginServer) -> type[DeviceCodeGrant]:
    class Device(DeviceCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

        def query_device_credential(self, device_code: str) -> Any:
            return server.codes.get(device_code)

        def query_user_grant(self, user_code: str) -> Any:
            return None if server.agrees is None else ("alice", server.agrees)

        def should_slow_down(self, credential: Any) -> bool:
            return False

    return Device


def _codes(server: LoginServer) -> type[DeviceAuthorizationEndpoint]:
    class Codes(DeviceAuthorizationEndpoint):
        CLIENT_AUTH_METHODS = ("none",)
        EXPIRES_IN, INTERVAL = server.life, server.interval

        def get_verification_uri(self) -> str:
            return f"{server.url}/activate"

        def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
            words = {**data, "client_id": client_id, "scope": scope, "expires_at": time.time() + server.life}
            server.codes[data["device_code"]] = DeviceCredentialDict(words)

    return Codes


def _browser(server: LoginServer) -> type[grants.AuthorizationCodeGrant]:
    class Browser(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

        def save_authorization_code(self, code: str, asked: Any) -> None:
            words = asked.payload.data
            server.codes[code] = Code(
                asked.payload.redirect_uri,
                asked.payload.scope,
                words.get("code_challenge"),
                words.get("code_challenge_method"),
            )

        def query_authorization_code(self, code: str, client: Any) -> Any:
            return server.codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            for each in [code for code, known in server.codes.items() if known is authorization_code]:
                del server.codes[each]

        def authenticate_user(self, authorization_code: Code) -> str:
            return "alice"

    return Browser


def _refresh(server: LoginServer) -> type[grants.RefreshTokenGrant]:
    class Refresh(grants.RefreshTokenGrant):
        INCLUDE_NEW_REFRESH_TOKEN = True
        TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

        def authenticate_refresh_token(self, refresh_token: str) -> Login | None:
            login = server.logins.get(refresh_token)
            server.reused += bool(login and login.used)
            return None if login is None or login.used or login.revoked else login

        def authenticate_user(self, refresh_token: Login) -> str:
            return "alice"

        def revoke_old_credential(self, refresh_token: Login) -> None:
            refresh_token.used = True

    return Refresh


def _revocation(server: LoginServer) -> type[RevocationEndpoint]:
    class Revocation(RevocationEndpoint):
        CLIENT_AUTH_METHODS = ("none",)

        def query_token(self, token: str, token_type_hint: str) -> Login | None:
            return server.logins.get(token)

        def revoke_token(self, token: Login, asked: Any) -> None:
            token.revoked = True

    return Revocation


def _app(server: LoginServer) -> Flask:
    app = Flask("login")
    app.config["OAUTH2_ACCESS_TOKEN_GENERATOR"] = lambda *_, **__: server.access
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    oauth = AuthorizationServer(app, lambda _: Client(server.lasting), server.noted)
    oauth.register_grant(_browser(server), [CodeChallenge(required=True)])
    oauth.register_grant(_device(server))
    oauth.register_grant(_refresh(server))
    oauth.register_endpoint(_codes(server))
    oauth.register_endpoint(_revocation(server))

    @app.get("/realms/lab/.well-known/openid-configuration")
    def discovery() -> Any:
        issuer = f"{server.url}/realms/lab"
        words = {"issuer": issuer, "token_endpoint": server.token_url}
        words["scopes_supported"] = ["openid", "jobs", "offline_access"]
        routes = {
            "device": ("device_authorization_endpoint", f"{issuer}/device"),
            "code": ("authorization_endpoint", f"{issuer}/auth"),
            "revocation": ("revocation_endpoint", f"{issuer}/revoke"),
        }
        return jsonify(words | dict(routes[each] for each in server.offers))

    @app.post("/realms/lab/protocol/token")
    def token() -> Any:
        server.asked[request.form["grant_type"].rpartition(":")[2]] += 1
        return oauth.create_token_response()

    @app.post("/realms/lab/device")
    def device() -> Any:
        server.words = request.form.to_dict()
        return oauth.create_endpoint_response("device_authorization")

    @app.post("/realms/lab/revoke")
    def revoke() -> Any:
        server.asked["revoke"] += 1
        return oauth.create_endpoint_response("revocation")

    @app.get("/realms/lab/auth")
    def auth() -> Any:
        server.words = request.args.to_dict()
        grant = oauth.get_consent_grant(end_user="alice")
        return oauth.create_authorization_response(grant=grant, grant_user="alice")

    return app


@contextlib.contextmanager
def login_server(**words: Any) -> Iterator[LoginServer]:
    """It listens on loopback until the end of the context."""
    server = LoginServer(**words)
    with contextlib.ExitStack() as stack:
        listening = make_server("127.0.0.1", 0, _app(server), threaded=True)
        serving = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        stack.callback(listening.server_close)
        stack.callback(serving.join)
        stack.callback(listening.shutdown)
        serving.start()
        server.url = f"http://127.0.0.1:{listening.port}"
        yield server


def kept() -> list[str]:
    """The refresh tokens in our own store."""
    found = [json.loads(each.read_text())["tokens"] for each in default_directory().glob("client-*.json")]
    return [each["refresh_token"] for tokens in found for each in tokens.values()]


def fetch(source: TokenSource | None, times: int = 1) -> None:
    """Ask it as a process does that runs beside, whose facility refuses each of its tokens."""

    async def fetched() -> None:
        transport = HttpxTransport(WireSettings())
        try:
            for _ in range(times):
                assert isinstance(source, RefreshTokens)
                source.refused(await source.fetch(transport.send))
        finally:
            await transport.close()

    run_blocking(fetched())
