"""What a login is, from a profile's words; what is believed of an endpoint; when it is asked again: pure."""

from __future__ import annotations

import base64
import hashlib
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from iri_common.auth.authcode import CodeRequest, redirect_of
from iri_common.auth.device import DeviceCode, begun, typed
from iri_common.auth.provider import Application, Provider, discovered, documents, safe
from iri_common.model.errors import AuthError, IriError, NotOffered, Unreachable
from iri_common.model.ports import WireReply, WireRequest
from iri_common.policy.classify import ReplyLost
from iri_common.policy.login import Plan, Road, Way, has_browser, plan_of, road_of

TOKEN_URL = "https://login.example/realms/lab/protocol/openid-connect/token"
ISSUER = "https://login.example/realms/lab"
PROVIDER = Provider(ISSUER, TOKEN_URL, f"{ISSUER}/auth", f"{ISSUER}/device")
APPLICATION = Application("app", lambda: "app-secret-Yq92", "jobs")
CODE = DeviceCode("device-secret-Lk27", "ABCD-EFGH", f"{ISSUER}/go", "", life=100.0, interval=5.0)


@pytest.mark.parametrize(
    ("places", "plan"),
    [
        ({"token": "file"}, Plan(Way.PASTE, "token", "token")),
        ({"token": "keyring"}, Plan(Way.PASTE, "token", "token")),
        ({"token": "env"}, Plan(Way.LOOK, "token", "token")),
        ({"token": "command"}, Plan(Way.LOOK, "token", "token")),
        ({"refresh": "file", "secret": "env"}, Plan(Way.PERSON, "refresh", "refresh token")),
        ({"refresh": "env", "secret": "file"}, Plan(Way.LOOK, "refresh", "refresh token")),
        ({"key": "file"}, Plan(Way.LOOK, "key", "key")),
        ({"exchange": "github"}, Plan(Way.LOOK, "exchange", "token that is exchanged")),
        ({"password": "keyring", "secret": "file"}, Plan(Way.PASTE, "password", "password")),
        ({"secret": "file"}, Plan(Way.PASTE, "secret", "secret")),
        ({}, Plan(Way.LOOK)),
    ],
    ids=str,
)
def test_what_a_login_is(places: dict[str, str], plan: Plan) -> None:
    assert plan_of(places) == plan


@pytest.mark.parametrize(
    ("environment", "platform", "there"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "a 1 b 22"}, "darwin", False),
        ({"DISPLAY": "localhost:10.0", "SSH_TTY": "/dev/pts/1"}, "linux", False),
        ({"BROWSER": "firefox", "SSH_CONNECTION": "a 1 b 22"}, "linux", True),
    ],
    ids=str,
)
def test_whether_there_is_a_browser_here(environment: dict, platform: str, there: bool) -> None:
    assert has_browser(environment, platform) is there


@pytest.mark.parametrize(
    ("asked", "browser", "offered", "road"),
    [
        (None, True, {"code", "device"}, Road.BROWSER),
        (None, True, {"device"}, Road.DEVICE),
        (None, False, {"code", "device"}, Road.DEVICE),
        (None, False, {"code"}, Road.ADDRESS),
        (None, True, set(), None),
        (Road.BROWSER, False, {"code"}, Road.BROWSER),
        (Road.DEVICE, True, {"code"}, None),
        (Road.ADDRESS, True, {"code", "device"}, Road.ADDRESS),
    ],
)
def test_how_a_person_comes_to_the_page(asked, browser: bool, offered: set, road) -> None:
    assert road_of(asked, browser=browser, code="code" in offered, device="device" in offered) is road


# -------------------------------------------------------------------------------- what an issuer tells


def test_an_issuer_is_looked_for_above_its_endpoint_the_nearest_first() -> None:
    looked = [issuer for issuer, _ in documents(TOKEN_URL)]
    assert looked[::2] == [
        f"{ISSUER}/protocol/openid-connect",
        f"{ISSUER}/protocol",
        ISSUER,
        "https://login.example/realms",
        "https://login.example",
    ]
    assert list(documents(TOKEN_URL, f"{ISSUER}/")) == [
        (ISSUER, f"{ISSUER}/.well-known/openid-configuration"),
        (ISSUER, "https://login.example/.well-known/oauth-authorization-server/realms/lab"),
    ]


async def told(words: object, issuer: str = "") -> Provider:
    async def send(request: WireRequest) -> WireReply:
        here = request.url == f"{ISSUER}/.well-known/openid-configuration"
        return WireReply(200 if here else 404, {}, json.dumps(words).encode())

    return await discovered(TOKEN_URL, issuer, send)


WORDS = {
    "issuer": ISSUER,
    "token_endpoint": TOKEN_URL,
    "authorization_endpoint": f"{ISSUER}/auth",
    "device_authorization_endpoint": f"{ISSUER}/device",
    "revocation_endpoint": "http://login.example/revoke",
    "scopes_supported": ["openid", "offline_access"],
}


async def test_what_could_be_read_on_the_way_is_not_offered() -> None:
    provider = await told(WORDS)
    assert (provider.code_url, provider.device_url, provider.revoke_url) == (
        f"{ISSUER}/auth", f"{ISSUER}/device", "",
    )  # fmt: skip
    assert (provider.scope(""), provider.scope("jobs")) == ("openid offline_access", "jobs")
    assert (await told(WORDS | {"scopes_supported": ["openid"]})).scope("") == ""
    assert not (await told(WORDS | {"code_challenge_methods_supported": ["plain"]})).code_url


@pytest.mark.parametrize(
    "words",
    [
        WORDS | {"issuer": "https://elsewhere.example"},
        WORDS | {"token_endpoint": f"{ISSUER}/other"},
        [WORDS],
        "nothing",
    ],
    ids=["another issuer", "another endpoint", "a list", "a text"],
)
async def test_who_is_not_whom_we_ask_for_is_not_believed(words: object) -> None:
    for issuer in ("", ISSUER):
        with pytest.raises(NotOffered, match="issuer = "):
            await told(words, issuer)


@pytest.mark.parametrize(("status", "kind"), [(503, Unreachable), (429, Unreachable), (302, NotOffered)])
async def test_one_who_is_away_hides_no_other(status: int, kind: type[IriError]) -> None:
    there: list[str] = []

    async def send(request: WireRequest) -> WireReply:
        found = request.url in there
        return reply(200, **WORDS) if found else reply(status)

    with pytest.raises(kind):
        await discovered(TOKEN_URL, "", send)
    there.append(f"{ISSUER}/.well-known/openid-configuration")
    assert (await discovered(TOKEN_URL, "", send)).issuer == ISSUER


@pytest.mark.parametrize(
    "url", ["ftp://h/x", "javascript:alert(1)", "http://h/x", "https://", "https://[", "https://h/\x1b", 7]
)
def test_a_url_that_nobody_should_go_to(url: object) -> None:
    assert safe(url) == ""


# ------------------------------------------------------------------------------------ the device flow


def reply(status: int, **words: object) -> WireReply:
    return WireReply(status, {}, json.dumps(words).encode())


PENDING, SLOWER = reply(400, error="authorization_pending"), reply(400, error="slow_down")
DONE = reply(200, access_token="access", expires_in=60, refresh_token="refresh")


class Endpoint:
    """Answers as told, on a clock that only sleep moves."""

    def __init__(self, *answers: WireReply | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[dict] = []
        self.now = 0.0
        self.slept: list[float] = []

    async def send(self, request: WireRequest) -> WireReply:
        self.asked.append(dict(request.form or {}))
        answer = self.answers.pop(0) if self.answers else PENDING
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def typed(self, code: DeviceCode = CODE):
        return await typed(PROVIDER, APPLICATION, code, self.send, self.sleep, lambda: self.now)


async def test_slow_down_holds_for_all_looks_that_follow() -> None:
    endpoint = Endpoint(PENDING, SLOWER, PENDING, SLOWER, DONE)
    granted = await endpoint.typed()
    assert (granted.token.value, granted.refresh_token) == ("access", "refresh")
    assert endpoint.slept == [5, 5, 10, 10, 15]
    assert endpoint.asked[0] == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": CODE.secret,
        "client_id": "app",
        "client_secret": "app-secret-Yq92",
    }


async def test_an_endpoint_that_does_not_answer_is_asked_less_often() -> None:
    endpoint = Endpoint(ReplyLost("gone"), reply(503), reply(429), PENDING, DONE)
    await endpoint.typed()
    assert endpoint.slept == [5, 10, 20, 40, 25], "the last look is when the code ends"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (reply(400, error="access_denied"), "was denied at https://login.example"),
        (reply(400, error="expired_token"), "nobody typed the code"),
        (reply(400, error="invalid_grant", error_description=f"no {CODE.secret}"), r"no \[secret\]"),
        (PENDING, "nobody typed the code"),
    ],
)
async def test_a_login_ends_without_tokens_and_says_why(answer: WireReply, why: str) -> None:
    with pytest.raises(AuthError, match=why) as caught:
        await Endpoint(*[answer] * 30).typed()
    assert CODE.secret not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(200, device_code="d", user_code="U", verification_uri="file:///etc/passwd"), AuthError),
        (reply(200, device_code="d", user_code="U"), AuthError),
        (reply(200, user_code="U", verification_uri="https://h"), AuthError),
        (reply(400, error="unauthorized_client", error_description="app-secret-Yq92?"), AuthError),
        (WireReply(200, {}, b"<html>"), AuthError),
        (reply(502), Unreachable),
        (ReplyLost("gone"), Unreachable),
    ],
)
async def test_no_code_is_no_login(answer: WireReply | Exception, kind: type[IriError]) -> None:
    with pytest.raises(kind) as caught:
        await begun(PROVIDER, APPLICATION, Endpoint(answer).send)
    assert "app-secret" not in str(caught.value)


@pytest.mark.parametrize(("told", "known"), [(0, 5.0), ("7", 5.0), (True, 5.0), (1.5, 1.5), (None, 5.0)])
async def test_an_interval_that_makes_no_sense_is_the_usual_one(told: object, known: float) -> None:
    words = {"device_code": "d", "user_code": "U", "verification_uri": "https://h", "expires_in": 10**9}
    code = await begun(PROVIDER, APPLICATION, Endpoint(reply(200, **words, interval=told)).send)
    assert (code.interval, code.life) == (known, 3600.0)
    assert "'d'" not in repr(code)


# ------------------------------------------------------------------------------------------ a browser


def test_the_link_proves_who_asked_and_shows_no_secret() -> None:
    request = CodeRequest(PROVIDER, APPLICATION, redirect_of(4711))
    words = {name: each[0] for name, each in parse_qs(urlsplit(request.link).query).items()}
    challenge = base64.urlsafe_b64encode(hashlib.sha256(request.verifier.encode()).digest()).decode()
    assert (words["code_challenge"], words["code_challenge_method"]) == (challenge.rstrip("="), "S256")
    assert words["redirect_uri"] == "http://127.0.0.1:4711/callback"
    assert len(request.verifier) >= 43
    assert request.verifier not in request.link + repr(request)
    assert request.link != CodeRequest(PROVIDER, APPLICATION, redirect_of(4711)).link


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("code=c", "not the address"),
        ("code=c&state=guessed", "not the address"),
        ("code=c&state={state}&state={state}", "not the address"),
        ("state={state}", "sent no code"),
        ("code=c&code=d&state={state}", "sent no code"),
        ("error=access_denied&error_description=%1b[2Jno&state={state}", "access_denied.*no"),
        ("code=c&state={state}&iss=https://elsewhere.example", "did not come back from"),
    ],
)
def test_only_one_s_own_browser_is_believed(query: str, why: str) -> None:
    provider = Provider(ISSUER, TOKEN_URL, f"{ISSUER}/auth", names_itself="iss" in query)
    request = CodeRequest(provider, APPLICATION, redirect_of(1))
    with pytest.raises(AuthError, match=why) as caught:
        request.code_in(f"/callback?{query.format(state=request.state)}")
    with pytest.raises(AuthError, match="not the address"):
        request.code_in(f"http://[/callback?{query.format(state=request.state)}")
    assert "\x1b" not in str(caught.value)
    named = f"&iss={ISSUER}" if provider.names_itself else ""
    assert request.code_in(f"/callback?code=c&state={request.state}{named}") == "c"
