"""A credential that is taken away and replaced under those who use it, before every API."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS

from iri_common import AuthError, ClientCredentials, Facility, JobKey, JobRef, JobStatus
from iri_common.auth.client_key import key_from_file
from iri_common.auth.private_key_jwt import PrivateKeyJwt
from iri_common.auth.refresh import RefreshGrant, RefreshTokens
from iri_common.auth.secret import secret_from_file
from iri_common.auth.static import token_from_file
from iri_common.auth.store import TokenStore
from iri_common.facility.credentials import client_tokens
from iri_common.jobs import watch
from iri_common.model.credential import Renewal
from iri_common.model.ports import Token, TokenExchange
from iri_local_facility import LocalFacility

pytestmark = pytest.mark.timeout(90)

JOBS, WAITS = 10, 10  # and so many waits for each
POLL = 0.05  # seconds; a credential that is refused is tried at a twentieth of that pace
TOKEN_REQUESTS = {"token", "sfToken", "senseToken"}


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    words = {name: value for each in DOORS.values() for name, value in each.start.items()}
    with LocalFacility(nodes=JOBS, **words) as facility:
        yield facility


@dataclass
class Held:
    """A credential in a file, as a person has it.

    Attributes:
        source: Reads it.
        file: Where it is.
        another: Gets another one.
        end: Makes the one that is there good for nothing.
        given: The tokens that were had with it.
    """

    source: Any
    file: Path
    another: Callable[[], str]
    end: Callable[[], object] = lambda: None
    given: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        fetch = self.source.fetch

        async def noted(send: TokenExchange) -> Token:
            self.given.append((await fetch(send)).value)
            return Token(self.given[-1])

        self.source.fetch = noted

    @property
    def renews(self) -> bool:
        """Whether the next token comes by itself."""
        return self.source.facts().renewal is Renewal.ITSELF

    def revoke(self, place: LocalFacility) -> None:
        """What was had with it is good for nothing; the next one may be."""
        assert all(place.revoke(each) for each in set(self.given))

    def replace(self) -> None:
        """A person puts another one there, as editors do."""
        beside = self.file.with_suffix(".new")
        beside.touch(mode=0o600)
        beside.write_text(self.another())
        beside.replace(self.file)


def held_key(place: LocalFacility, file: Path) -> Held:
    def another() -> str:
        return place.new_superfacility_key().read_text()

    source = PrivateKeyJwt(place.superfacility_token_url, key_from_file(file))
    return Held(source, file, another, lambda: place.end_superfacility_client(file))


def held_secret(place: LocalFacility, file: Path) -> Held:
    source = ClientCredentials(place.token_url, place.client_id, secret_from_file(file))
    return Held(source, file, lambda: place.client_secret, place.new_client_secret)


def held_login(place: LocalFacility, file: Path) -> Held:
    grant = RefreshGrant(
        place.sense_token_url, place.sense_public_client, secret_from_file(file, "refresh token")
    )
    store = TokenStore("client", "test", directory=file.parent / "tokens")

    def end() -> None:
        tokens = {file.read_text(), *(each.refresh_token or "" for each in store.read().values())}
        assert all(place.revoke(each) for each in tokens)

    return Held(RefreshTokens(grant, store), file, place.sense_login, end)


def held_token(another: Callable[[LocalFacility], str]) -> Callable[[LocalFacility, Path], Held]:
    return lambda place, file: Held(token_from_file(file), file, lambda: another(place))


HELD: dict[str, tuple[str, Callable[[LocalFacility, Path], Held]]] = {
    "token": ("iri-v2", held_token(lambda place: place.new_token())),
    "login": ("iri-v2", held_login),
    "key": ("superfacility", held_key),
    "secret": ("firecrest", held_secret),
    "scontrol token": ("slurm", held_token(lambda place: f"SLURM_JWT={place.new_slurm_token()}")),
    "project token": ("s3m", held_token(lambda place: place.new_s3m_token("beamline"))),
}
RENEWED = ["login", "key", "secret"]


@dataclass
class World:
    """A credential, its door, and jobs that go on when they are told to."""

    place: LocalFacility
    held: Held
    facility: Facility
    operations: tuple[str, str, str, str]
    seconds: int
    folder: Path
    tries: list[dict[str, Any]] = field(default_factory=list)

    async def submit(self, number: int = 0) -> JobRef:
        text = f"while [ ! -e {self.folder}/go ]; do sleep 0.3; done"
        spec = {"executable": "/bin/sh", "arguments": ["-c", text]}
        spec |= {"attributes": {"duration": max(self.seconds, 300)}}
        key = JobKey.of("under those who wait", self.folder.name, number)
        return await self.facility.aio.jobs.submit(spec, key=key, guard=False)

    def waiting(self, job: JobRef) -> asyncio.Task[JobStatus]:
        return asyncio.create_task(self.facility.aio.jobs.wait(job, timeout=80))

    def go(self) -> None:
        (self.folder / "go").touch()

    def made(self) -> int:
        key = JobKey.of("under those who wait", self.folder.name, 0)
        return sum(each["name"].endswith(key.tag) for each in self.place.jobs())

    def looked(self) -> bool:
        """Whether the jobs were seen."""
        return any(each["operation"] in self.operations[1:3] for each in self.place.requests())

    def tried_twice(self) -> bool:
        """Whether the requests since the last reset are those of two tries, a second apart."""
        self.tries = self.place.requests()
        return bool(self.tries) and self.tries[-1]["time"] - self.tries[0]["time"] > 18 * POLL

    def asked_for_tokens(self) -> int:
        return sum(each["operation"] in TOKEN_REQUESTS for each in self.place.requests())


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def world(place: LocalFacility, name: str, tmp_path: Path) -> Iterator[World]:
    door, make = HELD[name]
    held = make(place, tmp_path / "held")
    held.replace()
    facility = DOORS[door].open(place, tmp_path, token=held.source, poll_seconds=POLL)
    place.reset_requests()
    made = World(place, held, facility, DOORS[door].operations, DOORS[door].least_seconds, tmp_path)
    yield made
    place.clear_faults()
    made.go()


async def until(seen: Callable[[], object]) -> None:
    def look() -> None:
        limit = time.monotonic() + 60
        while not seen():
            assert time.monotonic() < limit
            time.sleep(0.05)

    await asyncio.to_thread(look)


@pytest.mark.parametrize("name", [name for name in HELD if name != "token"], indirect=True)
async def test_a_hundred_waits_go_on_when_their_credential_is_replaced(
    world: World, place: LocalFacility, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [await world.submit(number) for number in range(JOBS)]
    with caplog.at_level(logging.INFO, "iri_common"):
        waits = [world.waiting(each) for each in jobs * WAITS]
        await until(world.looked)
        await asyncio.to_thread(world.held.end)
        await asyncio.to_thread(world.held.revoke, place)
        await until(lambda: "does not take the credential any more" in caplog.text)
        await asyncio.to_thread(place.reset_requests)
        await until(world.tried_twice)
        assert len(world.tries) <= 6, "a question and what goes with it, at a slow pace"
        assert not any(each.done() for each in waits), "no wait is lost"
        await asyncio.to_thread(world.held.replace)
        world.go()
        ends = await asyncio.gather(*waits)
    assert all(each.succeeded for each in ends)
    assert caplog.text.count("does not take the credential any more") == 1
    assert caplog.text.count("; it is read again by itself: the jobs run on") == 1
    assert str(world.held.file) in caplog.text
    assert caplog.text.count("works again") == 1


@pytest.mark.parametrize("name", RENEWED, indirect=True)
async def test_a_token_that_is_revoked_is_renewed_once_and_nobody_notices(
    world: World, place: LocalFacility, caplog: pytest.LogCaptureFixture
) -> None:
    job = await world.submit()
    with caplog.at_level(logging.WARNING, "iri_common"):
        waits = [world.waiting(job) for _ in range(WAITS)]
        await until(world.looked)
        await asyncio.to_thread(world.held.revoke, place)
        before = await asyncio.to_thread(world.asked_for_tokens)
        await until(lambda: world.asked_for_tokens() > before)
        world.go()
        ends = await asyncio.gather(*waits)
    assert all(each.succeeded for each in ends)
    assert await asyncio.to_thread(world.asked_for_tokens) == before + 1
    assert not caplog.text


@pytest.mark.parametrize("name", HELD, indirect=True)
async def test_a_submit_under_way_when_its_token_is_revoked_stays_once(
    world: World, place: LocalFacility
) -> None:
    await world.facility.aio.status.resources()
    await asyncio.to_thread(world.facility.accounts.credential)
    place.order("delay", world.operations[0], seconds=0.5, when="before")
    submitting = asyncio.create_task(world.submit())
    await until(lambda: any(each["struck"] for each in place.faults()))
    await asyncio.to_thread(world.held.revoke, place)
    if world.held.renews:
        job = await submitting
    else:
        with pytest.raises(AuthError):
            await submitting
        await asyncio.to_thread(world.held.replace)
        job = await world.submit()
    world.go()
    assert (await world.waiting(job)).succeeded
    assert await asyncio.to_thread(world.made) == 1


@pytest.mark.parametrize("name", ["secret"], indirect=True)
async def test_a_wait_with_a_secret_in_hand_ends_and_the_next_try_goes_on(
    world: World, place: LocalFacility, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an engine has it, whose next try reads its store again."""
    monkeypatch.setattr(watch, "HOPELESS", 0.5)
    words = {"id": place.client_id, "secret": place.client_secret, "token_url": place.token_url}
    source = client_tokens("a store", **words)
    facility = DOORS["firecrest"].open(place, world.folder, token=source, poll_seconds=POLL)
    first = replace(world, facility=facility, held=replace(world.held, source=source, given=[]))
    job = await first.submit()
    waiting = first.waiting(job)
    await until(first.looked)
    await asyncio.to_thread(place.new_client_secret)
    await asyncio.to_thread(first.held.revoke, place)
    with pytest.raises(AuthError, match="no token"):
        await waiting
    await asyncio.to_thread(world.held.replace)
    again = await world.submit()
    assert again.job_id == job.job_id
    world.go()
    assert (await world.waiting(again)).succeeded
    assert await asyncio.to_thread(world.made) == 1
