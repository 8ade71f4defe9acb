"""Tokens that processes share: asked for once, whoever comes first, and only by who has the same secret."""

from __future__ import annotations

import asyncio
import json
import pickle
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import RSAKey
from oauth_processes import asked, processes
from oauth_server import EXCHANGE, PASSWORD, oauth_server

from iri_common.auth.client_credentials import ClientCredentials
from iri_common.auth.keeper import TokenKeeper
from iri_common.auth.secret import secret_from_file
from iri_common.auth.shared import SharedTokens
from iri_common.auth.store import TokenStore
from iri_common.facility.credentials import Client
from iri_common.model.errors import AuthError, Unreachable
from iri_common.model.ports import Token, WireReply, WireRequest

LIFE = 600


class World:
    """An endpoint that counts, a clock, and a secret in a file."""

    def __init__(self, folder: Path) -> None:
        self.now, self.requests, self.status = 1e9, 0, 200
        self.life = f', "expires_in": {LIFE}'
        self.store = TokenStore("client", "test", directory=folder / "tokens")
        self.file = folder / "secret"
        self.put("one")

    def put(self, secret: str) -> None:
        self.file.touch(0o600)
        self.file.write_text(secret)

    def source(self) -> SharedTokens:
        secret = secret_from_file(self.file)
        grant = ClientCredentials("https://t/token", "app", secret, clock=lambda: self.now)
        return SharedTokens(grant, self.store, lambda: self.now)

    async def send(self, request: WireRequest) -> WireReply:
        self.requests += 1
        body = f'{{"access_token": "token-{self.requests}"{self.life}}}'
        return WireReply(self.status, {}, body.encode())

    async def token(self, source: SharedTokens) -> str:
        return (await source.fetch(self.send)).value


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_who_comes_later_reads_what_the_first_one_got(world: World) -> None:
    assert [await world.token(world.source()) for _ in range(3)] == ["token-1"] * 3
    assert (await world.source().fetch(world.send)).expires_at == world.now + LIFE
    assert stat.S_IMODE(world.store.path.stat().st_mode) == 0o600


async def test_one_of_all_renews_it_and_the_others_read_that(world: World) -> None:
    sources = [world.source() for _ in range(3)]
    assert {await world.token(each) for each in sources} == {"token-1"}
    assert {await world.token(each) for each in sources} == {"token-1"}, (
        "asked again, neither refused nor due"
    )
    for each in sources:
        each.refused(Token("token-1"))
    assert {await world.token(each) for each in sources} == {"token-2"}
    assert world.requests == 2


async def test_who_had_it_renews_it_in_time_and_who_comes_new_takes_it(world: World) -> None:
    had = world.source()
    await world.token(had)
    world.now += LIFE * 0.9 - 1
    assert await world.token(had) == "token-1"
    world.now += 2
    assert await world.token(world.source()) == "token-1"
    assert await world.token(had) == await world.token(world.source()) == "token-2"


async def test_a_keeper_tells_what_was_refused_and_only_that(world: World) -> None:
    keepers = [TokenKeeper(world.source(), world.send, lambda: world.now) for _ in range(2)]
    old = [await each.token() for each in keepers]
    assert {each.value for each in old} == {"token-1"}
    for _ in range(2):  # the second time it is news of before
        for keeper, token in zip(keepers, old, strict=True):
            keeper.refused(token)
        assert {(await each.token()).value for each in keepers} == {"token-2"}
    assert world.requests == 2


@pytest.mark.parametrize(("passed", "counts"), [(LIFE - 6, True), (LIFE - 4, False), (LIFE + 1, False)])
async def test_shortly_before_its_end_there_is_another(world: World, passed: float, counts: bool) -> None:
    await world.token(world.source())
    world.now += passed
    assert await world.token(world.source()) == ("token-1" if counts else "token-2")


async def test_a_token_of_seconds_is_shared_for_half_of_them(world: World) -> None:
    world.life = ', "expires_in": 4'
    await world.token(world.source())
    world.now += 1.9
    assert await world.token(world.source()) == "token-1"
    world.now += 0.2
    assert await world.token(world.source()) == "token-2"


async def test_one_whose_end_is_not_told_is_not_shared(world: World) -> None:
    world.life = ""
    assert {await world.token(world.source()) for _ in range(2)} == {"token-1", "token-2"}
    assert not world.store.path.exists()


async def test_another_secret_has_a_token_of_its_own_at_once(world: World) -> None:
    source = world.source()
    await world.token(source)
    world.put("two")
    assert await world.token(source) == "token-2"
    world.put("one")
    assert await world.token(world.source()) == "token-1", "nor does it replace the other one's"


async def test_what_has_ended_is_cleared_away(world: World) -> None:
    for number in range(5):
        world.put(f"secret {number}")
        await world.token(world.source())
        world.now += LIFE
    assert len(await asyncio.to_thread(world.store.read)) == 1


@pytest.mark.parametrize(("status", "error"), [(400, AuthError), (503, Unreachable)])
async def test_a_failure_leaves_nothing_behind(world: World, status: int, error: type[Exception]) -> None:
    world.status = status
    with pytest.raises(error):
        await world.token(world.source())
    world.status = 200
    assert await world.token(world.source()) == "token-2"


@pytest.mark.parametrize("answer", ['{"value": "x"}', "[1]", "5", '""', "null"])
async def test_what_is_no_token_is_kept_for_nobody(world: World, answer: str) -> None:
    async def garbled(_: WireRequest) -> WireReply:
        return WireReply(200, {}, f'{{"access_token": {answer}, "expires_in": 600}}'.encode())

    with pytest.raises(AuthError):
        await world.source().fetch(garbled)
    assert await world.token(world.source()) == "token-1"


async def test_it_is_named_as_its_source_and_not_pickled(world: World) -> None:
    source = world.source()
    await world.token(source)
    assert source.identity == source.source.identity
    assert source.facts() == source.source.facts()
    assert "token-1" not in f"{source!r} {source}"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(source)


def test_the_words_of_a_profile() -> None:
    words = {"id": "app", "token_url": "https://t/token", "secret": {"env": "S"}}
    assert isinstance(Client(**words, share=True).source(), SharedTokens)
    assert isinstance(Client(**words).source(), ClientCredentials), "nothing is stored unasked"
    exchange = Client(token_url="https://t/token", exchange={"env": "S"}, share=True).source()
    assert isinstance(exchange, SharedTokens)
    assert exchange.identity == "a token exchanged of https://t/token, given the environment variable S"


async def test_all_steps_of_a_github_job_make_one_exchange(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "https://runner.invalid/token?v=2")
    words = {"token_url": "https://t/token", "exchange": {"github": "https://t"}, "share": True}
    asked: list[str] = []

    async def send(request: WireRequest) -> WireReply:
        asked.append(request.method)
        told = {"value": f"id-{len(asked)}", "access_token": f"token-{len(asked)}", "expires_in": 600}
        return WireReply(200, {}, json.dumps(told).encode())

    async def step() -> str:
        return (await Client.model_validate(words).source().fetch(send)).value

    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-one-job")
    assert {await step() for _ in range(3)} == {"token-2"}
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-another")
    assert await step() == "token-4"
    assert asked == ["GET", "POST"] * 2


def test_ten_processes_with_fifty_calls_each_ask_once_for_each_client(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(kind, form, serialization.NoEncryption()).decode()
    held = {"key.pem": f"app\n{pem}", "password": PASSWORD, "subject": "another-token-Wb5rQk81"}
    for name, text in held.items():
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(text)
    application = 'id = "app"\nsecret = { env = "APP_SECRET" }'
    with oauth_server(subjects=[held["subject"]]) as server:
        server.key = RSAKey.import_key(key.public_key())
        clients = {
            "secret": application,
            "key": f'key = {{ file = "{tmp_path}/key.pem" }}',
            "person": f'{application}\nuser = "alice"\npassword = {{ file = "{tmp_path}/password" }}',
            "exchange": f'exchange = {{ file = "{tmp_path}/subject" }}',
        }
        profiles = "".join(
            f'[{name}]\nurl = "http://127.0.0.1:1/api/v2"\n[{name}.client]\n'
            f'token_url = "{server.url}"\nshare = true\n{words}\n'
            for name, words in clients.items()
        )
        each = {"client_credentials": 2, "password": 1, EXCHANGE: 1}
        with processes(10, tmp_path, profiles, *clients) as running:
            assert len(asked(running)) == len(clients)
            assert server.begun == each
            assert len(asked(running, "refused")) == len(clients)
            assert server.begun == {grant: 2 * times for grant, times in each.items()}
