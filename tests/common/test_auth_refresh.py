"""Refresh tokens that rotate, at Authlib's server: sent once each, whatever becomes of who sends them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from oauth_processes import Processes, asked, heard, processes, tell, until
from oauth_server import SECRET, OAuthServer, oauth_server

from iri_common.auth.refresh import RefreshGrant, RefreshTokens
from iri_common.auth.secret import secret_from_file
from iri_common.auth.store import TokenStore
from iri_common.facility.credentials import client_tokens
from iri_common.http.transport import HttpxTransport, WireSettings
from iri_common.model.errors import AuthError, Unreachable
from iri_common.model.ports import WireReply, WireRequest
from iri_common.policy.classify import NotSent, ReplyLost

FIRST = "first-refresh-token-Hk29dLwq"
PROCESSES = 10


class Login:
    """A person's login: a refresh token in a file, and a store of its own."""

    def __init__(self, server: OAuthServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.file = folder / "refresh.token"
        self.put(server.login(FIRST))

    def put(self, refresh_token: str) -> None:
        self.file.touch(0o600)
        self.file.write_text(refresh_token)

    def source(self, store: str = "test") -> RefreshTokens:
        first = secret_from_file(self.file, "refresh token")
        grant = RefreshGrant(self.server.url, "app", first, lambda: SECRET)
        return RefreshTokens(grant, TokenStore("client", store, directory=self.folder / "tokens"))

    def processes(self, number: int) -> contextlib.AbstractContextManager[Processes]:
        """They ask for a token each time that a line comes."""
        profile = f"""
        [site]
        url = "http://127.0.0.1:1/api/v2"
        [site.client]
        id = "app"
        token_url = "{self.server.url}"
        refresh = {{ file = "{self.file}" }}
        secret = {{ env = "APP_SECRET" }}
        """
        return processes(number, self.folder, profile, "site")


@pytest.fixture
def login(tmp_path: Path) -> Iterator[Login]:
    with oauth_server() as server:
        yield Login(server, tmp_path)


@contextlib.asynccontextmanager
async def wire() -> AsyncIterator[HttpxTransport]:
    transport = HttpxTransport(WireSettings(read_seconds=20.0))
    try:
        yield transport
    finally:
        await transport.close()


async def fetched(source: RefreshTokens) -> str:
    """One, and refused at once."""
    async with wire() as transport:
        token = await source.fetch(transport.send)
    source.refused(token)
    return token.value


async def test_each_refresh_token_is_used_once(login: Login) -> None:
    source = login.source()
    tokens = [await fetched(source) for _ in range(4)]
    assert len(set(tokens)) == 4
    assert await fetched(login.source()) == tokens[-1], "whoever starts anew reads what counts"
    assert (login.server.answered["refresh_token"], login.server.reused) == (4, 0)


async def test_an_endpoint_that_leaves_the_refresh_token_as_it_is(tmp_path: Path) -> None:
    with oauth_server(rotates=False) as server:
        source = Login(server, tmp_path).source()
        assert len({await fetched(source) for _ in range(3)}) == 3

        async def lose(request: WireRequest) -> WireReply:
            raise ReplyLost("gone")

        with pytest.raises(Unreachable):
            await source.fetch(lose)
        await fetched(source)  # what never rotated may be sent again
        assert server.reused == 0


@pytest.mark.parametrize(
    ("fate", "known"),
    [
        (NotSent("no route"), True),
        (WireReply(429, {}, b""), True),
        (WireReply(401, {}, b'{"error": "invalid_client"}'), True),
        (WireReply(302, {}, b""), True),
        (ReplyLost("gone"), False),
        (WireReply(408, {}, b""), False),
        (WireReply(500, {}, b""), False),
        (WireReply(503, {}, b""), False),
        (WireReply(200, {}, b'{"access_tok'), False),
    ],
)
async def test_what_may_have_been_used_is_not_sent_again(login: Login, fate, known: bool) -> None:
    async def fail(request: WireRequest) -> WireReply:
        if isinstance(fate, Exception):
            raise fate
        return fate

    source = login.source()
    with pytest.raises((AuthError, Unreachable)):
        await source.fetch(fail)
    for each in (source, login.source()):
        if known:
            await fetched(each)
        else:
            with pytest.raises(AuthError, match=r"no reply came back.*log in again") as caught:
                await fetched(each)
            assert str(login.file) in str(caught.value)
    assert login.server.reused == 0
    assert login.server.begun["refresh_token"] == (1 if known else 0)


async def test_a_new_login_mends_it_at_once(login: Login) -> None:
    source = login.source()
    login.server.ended = True
    with pytest.raises(AuthError, match="log in again"):
        await fetched(source)
    login.server.ended = False
    login.put(login.server.login("second-refresh-token"))
    assert await fetched(source)


async def test_two_machines_with_one_login_are_told_why_it_ends(login: Login, monkeypatch, tmp_path) -> None:
    """Workers of an engine, say, which all read one connection or block."""
    words = {"id": "app", "token_url": login.server.url, "refresh": FIRST, "secret": SECRET}
    for machine in ("one", "two"):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / machine))
        source = client_tokens("the connection 'hpc'", **words)
        async with wire() as transport:
            if machine == "one":
                await source.fetch(transport.send)
                continue
            with pytest.raises(AuthError, match=r"for the machines that share one home") as caught:
                await source.fetch(transport.send)
    assert "the refresh token of the connection 'hpc'" in str(caught.value)
    assert "start again with that" in str(caught.value), "it is not read again while this process lives"
    assert FIRST not in str(caught.value)
    assert login.server.reused == 1


@pytest.mark.parametrize("rotates", [True, False])
async def test_one_login_in_two_places_is_told_before_it_looks_stolen(tmp_path: Path, rotates: bool) -> None:
    with oauth_server(rotates=rotates) as server:
        login = Login(server, tmp_path)
        first, other = login.source(), login.source("other")
        await fetched(first)
        if rotates:
            with pytest.raises(AuthError, match="have a login for each: log in again"):
                await fetched(other)
            login.put(server.login("login-of-the-other"))
        await fetched(other)
        assert server.reused == 0


async def test_a_caller_that_is_cancelled_loses_no_token(login: Login) -> None:
    login.server.keep.clear()
    source = login.source()
    async with wire() as transport:
        calling = asyncio.create_task(source.fetch(transport.send))
        await asyncio.to_thread(until, lambda: login.server.answered["refresh_token"])
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        login.server.keep.set()
        assert (await source.fetch(transport.send)).value
    assert login.server.answered["refresh_token"] == 1


def test_ten_processes_refresh_once_and_once_more_when_it_is_refused(login: Login) -> None:
    server = login.server
    with login.processes(PROCESSES) as running:
        assert len(asked(running)) == 1, "all got the same token"
        assert server.answered["refresh_token"] == 1
        assert len(asked(running, "refused")) == 1
        assert (server.begun["refresh_token"], server.reused) == (2, 0)


@pytest.mark.parametrize("used", [False, True], ids=["before-it-was-used", "after"])
def test_a_kill_in_mid_refresh_is_told_and_nothing_sent_twice(login: Login, used: bool) -> None:
    server, waiting = login.server, login.server.keep if used else login.server.hold
    waiting.clear()
    with login.processes(1) as (first,), login.processes(2) as others:
        tell(first)
        until(lambda: server.answered["refresh_token"] if used else server.begun["refresh_token"])
        for each in others:
            tell(each)
        first.send_signal(signal.SIGKILL)
        assert all("no reply came back" in heard(each) for each in others)
        waiting.set()
        assert (server.begun["refresh_token"], server.reused) == (1, 0)
        login.put(server.login("second-refresh-token"))
        assert len(asked(others)) == 1, "a new login mends it for all"
        assert (server.begun["refresh_token"], server.reused) == (2, 0)
