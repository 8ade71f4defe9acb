"""How a door's credential stands: what is asked, what is remembered, and what a submit says of it."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from iri_common import (
    AuthError,
    CredentialState,
    NotOffered,
    PermissionDenied,
    ReplyError,
    StaticToken,
    TransientError,
    token_from_file,
)
from iri_common.auth.client_key import key_from_env
from iri_common.auth.endpoint import Granted
from iri_common.auth.keeper import TokenKeeper
from iri_common.auth.private_key_jwt import PrivateKeyJwt
from iri_common.auth.shared import SharedTokens
from iri_common.auth.store import TokenStore
from iri_common.facility import standing
from iri_common.facility.standing import Standing, facts_of
from iri_common.model.credential import Principal, Renewal, SourceFacts, Term
from iri_common.model.outcome import Done
from iri_common.model.ports import Token
from iri_common.policy.queues import QueueSign

S = CredentialState
DAY = 24.0


def ahead(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


class Source:
    """A token that ends so many hours from now, which its owner replaces."""

    identity = "a source of one's own"

    def __init__(self, hours: float | None = None, *, renewable: bool = False) -> None:
        self.hours, self.renewable = hours, renewable
        self.error: Exception | None = None

    async def fetch(self, send) -> Token:
        if self.error:
            raise self.error
        return Token("t", None if self.hours is None else ahead(self.hours).timestamp())


class Client(PrivateKeyJwt):
    """A client's key without an endpoint."""

    def __init__(self) -> None:
        super().__init__("https://t/token", key_from_env("NOBODY_SET_THIS"))

    async def fetch(self, send) -> Token:
        self.client_id = "a"
        return Token("t", ahead(0.1).timestamp())


class Accounts:
    """Judges tokens; ``error`` is raised instead while it is set."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.asked = error, 0

    async def check_token(self):
        self.asked += 1
        if self.error:
            raise self.error
        return Done(None)


class Terms(Accounts):
    """Tells the term of client "a"; any other has none."""

    def __init__(self, ends: float | None = None, begins: float | None = None) -> None:
        super().__init__()
        self.told = Term(*(None if each is None else ahead(each) for each in (begins, ends)))

    async def term(self, client_id):
        await self.check_token()
        return Done(self.told)


def stands(source, accounts) -> Standing:
    dialect = SimpleNamespace(accounts=accounts)
    return Standing("lab", dialect, source, TokenKeeper(source, lambda request: None))


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, S.OK),
        (AuthError("revoked"), S.NEEDS_PERSON),
        (PermissionDenied("no such user"), S.NEEDS_PERSON),
        (NotOffered("no accounts"), S.UNKNOWN),
        (TransientError("away"), S.UNKNOWN),
    ],
)
async def test_one_request_judges_it(error, state) -> None:
    accounts = Accounts(error)
    told = await stands(Source(), accounts).credential()
    assert told.state is state
    assert accounts.asked == 1


@pytest.mark.parametrize(("hours", "state"), [(-1, S.EXPIRED), (0.05, S.EXPIRED), (1, S.NEEDS_PERSON)])
async def test_a_refused_token_is_judged_by_its_end(hours, state) -> None:
    assert (await stands(Source(hours), Accounts(AuthError("no"))).credential()).state is state


async def test_a_secret_that_cannot_be_had_needs_a_person_and_no_request() -> None:
    source, accounts = Source(), Accounts()
    source.error = AuthError("the file is gone")
    told = await stands(source, accounts).credential()
    assert (told.state, told.why) == (S.NEEDS_PERSON, "the file is gone")
    source.error = TransientError("the endpoint is away")
    assert (await stands(source, accounts).credential()).state is S.UNKNOWN
    assert accounts.asked == 0


async def test_a_door_without_a_credential_says_how_to_give_one() -> None:
    told = await Standing("lab").credential()
    assert told.state is S.NEEDS_PERSON
    assert "token = " in told.mend


async def test_the_facility_tells_more_than_the_token() -> None:
    told = await stands(Source(), Terms(ends=30 * DAY)).credential()
    assert abs(told.until - ahead(30 * DAY)) < timedelta(hours=1)
    client = stands(Client(), Terms(ends=1))
    assert (await client.credential()).state is S.RENEWABLE
    client.dialect.accounts.told = Term(ends=ahead(-1))
    assert (await client.credential()).state is S.EXPIRED


async def test_the_end_of_a_client_is_remembered_when_it_is_refused() -> None:
    lab = stands(Client(), Terms(ends=0.01))
    assert (await lab.credential()).state is S.RENEWABLE
    lab.dialect.accounts.error = AuthError("unknown client")
    assert (await lab.credential()).state is S.EXPIRED


def test_a_source_that_tells_nothing_of_itself() -> None:
    assert facts_of(Source(renewable=True)).renewal is Renewal.ITSELF
    assert facts_of(Source()).renewal is Renewal.NEVER
    assert "a source of one's own" in facts_of(Source()).mend


# ------------------------------------------------------------------------------------------- at a submit


async def said_of(lab: Standing, seconds: float | None, caplog) -> list[str]:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await lab.warn(seconds)
    return caplog.messages


@pytest.mark.parametrize(
    ("hours", "seconds", "told"),
    [(1, 7200, 1), (1, 1800, 0), (1, None, 0), (None, 7200, 0), (-1, 60, 1)],
)
async def test_a_token_that_ends_before_the_job_is_told_once(hours, seconds, told, caplog) -> None:
    accounts = Accounts()
    said = await said_of(stands(Source(hours), accounts), seconds, caplog)
    assert len(said) == told
    assert all("works at lab until" in each and "see to a source" in each for each in said)
    assert accounts.asked == 0, "what the token tells costs no request"


async def test_a_token_that_is_renewed_by_itself_outlives_every_job(caplog) -> None:
    assert not await said_of(stands(Source(0.1, renewable=True), Accounts()), 7200, caplog)


@pytest.mark.parametrize(
    ("ends", "seconds", "told"),
    [(23, 60, 1), (23, None, 1), (-1, 60, 1), (25, 60, 0), (25, 26 * 3600, 1), (None, 60, 0)],
)
async def test_a_client_that_ends_within_a_day_or_the_job_is_told_once(ends, seconds, told, caplog) -> None:
    accounts = Terms(ends)
    said = await said_of(stands(Client(), accounts), seconds, caplog)
    assert len(said) == told
    assert all("make a new client" in each for each in said)
    assert accounts.asked == 1


async def test_it_is_told_again_of_the_next_one(caplog, monkeypatch) -> None:
    monkeypatch.setattr(standing, "CLIENTS_STAY_FRESH", -1.0)
    lab = stands(Client(), Terms(1))
    assert len(await said_of(lab, 60, caplog)) == 1
    lab.dialect.accounts.told = Term(ends=ahead(2))
    assert len(await said_of(lab, 60, caplog)) == 2


async def test_a_submit_asks_about_no_token_that_an_ask_may_use_up(caplog) -> None:
    """One-time tokens of S3M; what was told of one before is used."""
    lab = stands(StaticToken("t"), Terms(1))
    assert not await said_of(lab, 7200, caplog)
    assert lab.dialect.accounts.asked == 0
    await lab.credential()
    assert len(await said_of(lab, 7200, caplog)) == 1


class Queue:
    """Tells how long jobs wait, and whether that was worth a request."""

    def __init__(self, seconds: float | None, *, seen: bool = False) -> None:
        self.seconds, self.seen = seconds, seen
        self.asked: list[bool] = []

    async def __call__(self, worth_a_look: bool) -> QueueSign | None:
        self.asked.append(worth_a_look)
        known = self.seconds is not None and (worth_a_look or self.seen)
        return QueueSign(self.seconds, "as long as the last one did") if known else None


@pytest.mark.parametrize(
    ("hours", "queued", "told", "asked"),
    [
        (2, 3, 1, True),  # it would end in the queue
        (2, 0.1, 0, True),
        (2, None, 0, True),
        (0.5, 3, 1, False),  # it ends before the job in any case
        (24 * 9, 3, 0, False),  # no queue is that long
        (None, 3, 0, None),  # nothing is told of its end
    ],
)
async def test_the_wait_in_the_queue_counts_where_it_decides(hours, queued, told, asked, caplog) -> None:
    queue = Queue(None if queued is None else queued * 3600)
    with caplog.at_level(logging.WARNING):
        await stands(Source(hours), Accounts()).warn(3600, queue)
    assert len(caplog.messages) == told
    assert queue.asked == ([] if asked is None else [asked])
    counted = (
        "some 3 h in the queue counted, as long as the last one did"
        if asked
        else "time in the queue not counted"
    )
    assert all(f"Jobs that take longer ({counted})" in each for each in caplog.messages)


async def test_no_look_is_worth_it_for_what_renews_itself_but_what_was_seen_counts(caplog) -> None:
    renewed = Queue(3600)
    await stands(Source(2, renewable=True), Accounts()).warn(3600, renewed)
    assert renewed.asked == [], "its end is no news"
    client = stands(Client(), Terms(25))
    await client.warn(3600, queue := Queue(30 * 3600, seen=True))
    assert queue.asked == [False]
    assert "some 30 h in the queue counted" in caplog.text


async def test_what_is_not_told_stops_nobody(caplog) -> None:
    lab = stands(Client(), Terms(1))
    lab.dialect.accounts.error = TransientError("away")
    assert not await said_of(lab, 7200, caplog)
    source = Source(1)
    source.error = AuthError("gone")
    assert not await said_of(stands(source, Accounts()), 7200, caplog)
    assert not await said_of(Standing("lab"), 7200, caplog)


@pytest.mark.parametrize("name", ["token", "a token's"])
async def test_a_file_that_others_may_read_is_mended_by_its_mode_alone(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text("t")
    file.chmod(0o640)
    lab = stands(token_from_file(file), Accounts())
    told = await lab.credential()
    assert (told.state, told.why) == (S.NEEDS_PERSON, f"others may read the token file {file}")
    mended = await asyncio.create_subprocess_shell(told.mend.removeprefix("run: "))
    assert await mended.wait() == 0
    assert (await lab.credential()).state is S.OK


# ------------------------------------------------------------------------------------- in whose name


class Named(Accounts):
    """Tells the user."""

    async def whoami(self):
        return await self._told()

    async def check_token(self):
        return await self._told()

    async def _told(self):
        await super().check_token()
        return Done("alice")


async def test_whose_it_is_is_asked_for_once_a_token() -> None:
    lab = stands(Source(), Named())
    await lab.tokens.token()
    assert lab.known is None
    told = await asyncio.gather(*(lab.whose() for _ in range(3)))
    assert {*told, lab.known} == {Principal("alice", "alice")}
    assert lab.dialect.accounts.asked == 1


async def test_another_token_may_be_another_persons() -> None:
    lab = stands(Source(), Named())
    first = await lab.tokens.token()
    await lab.whose()
    lab.tokens.refused(first)
    await lab.tokens.token()
    assert lab.known is None
    await lab.whose()
    assert lab.dialect.accounts.asked == 2


async def test_what_renews_itself_stays_the_same_one() -> None:
    lab = stands(Source(1, renewable=True), Named())
    first = await lab.tokens.token()
    await lab.whose()
    lab.tokens.refused(first)
    await lab.tokens.token()
    assert lab.known == Principal("alice", "alice")


class Login:
    """Asks for the tokens of whoever logged in last."""

    identity, person = "a login", "alice"

    def facts(self) -> SourceFacts:
        return SourceFacts(self.identity, Renewal.ITSELF, "log in")

    def proof(self) -> str:
        return self.person

    async def granted(self, send) -> Granted:
        return Granted(Token(f"of-{self.person}", ahead(1).timestamp()))


async def test_another_login_may_be_another_persons(tmp_path: Path) -> None:
    login = Login()
    lab = stands(SharedTokens(login, TokenStore("client", "x", directory=tmp_path)), Named())
    for login.person, asked in (("alice", 1), ("alice", 1), ("bob", 2), ("bob", 2)):
        await lab.tokens.anew()
        assert (lab.known is None) == (lab.dialect.accounts.asked < asked)
        await lab.whose()
        assert (lab.known, lab.dialect.accounts.asked) == (Principal("alice", "alice"), asked)


@pytest.mark.parametrize("error", [NotOffered("no word for it"), PermissionDenied("no"), AuthError("no")])
async def test_where_nobody_tells_nobody_is_asked_again(error) -> None:
    lab = stands(Source(), Named(error))
    await lab.tokens.token()
    assert [await lab.whose() for _ in range(3)] == [None] * 3
    assert lab.dialect.accounts.asked == 1


@pytest.mark.parametrize(
    ("error", "renewable"),
    [
        (TransientError("away"), False),
        (ReplyError("a page of a gateway"), False),
        (TransientError("away"), True),
        (AuthError("its key was being replaced"), True),
    ],
)
async def test_what_passes_is_asked_again(error, renewable) -> None:
    lab = stands(Source(1, renewable=renewable), Named(error))
    await lab.tokens.token()
    assert [await lab.whose() for _ in range(2)] == [None] * 2
    lab.dialect.accounts.error = None
    assert [await lab.whose() for _ in range(2)] == [Principal("alice", "alice")] * 2
    assert lab.dialect.accounts.asked == 3


async def test_a_wait_asks_again_when_an_outage_is_over(monkeypatch) -> None:
    monkeypatch.setattr(standing, "WAIT_LASTS", 0.001)
    lab = stands(Source(), Named(TransientError("away")))
    await lab.tokens.token()
    async with lab.learned_beside():
        while lab.dialect.accounts.asked < 3:  # noqa: ASYNC110 - its task gives no sign
            await asyncio.sleep(0.001)
        lab.dialect.accounts.error = None
        while lab.known is None:  # noqa: ASYNC110 - its task gives no sign
            await asyncio.sleep(0.001)
    assert lab.known == Principal("alice", "alice")


async def test_a_judgement_that_tells_the_name_is_remembered() -> None:
    lab = stands(Source(), Named())
    await lab.credential()
    assert (await lab.whose(), lab.dialect.accounts.asked) == (Principal("alice", "alice"), 1)


async def test_a_network_has_no_owner_of_jobs() -> None:
    lab = stands(Source(), Named())
    lab.runs_jobs = False
    assert await lab.whose() == Principal("alice")


async def test_a_wait_that_lasts_learns_whose_its_job_is(monkeypatch) -> None:
    lab = stands(Source(), Named())
    await lab.tokens.token()
    async with lab.learned_beside():
        await asyncio.sleep(0)
    assert lab.known is None, "a short one asks nobody"
    monkeypatch.setattr(standing, "WAIT_LASTS", 0.0)
    async with lab.learned_beside() as same:
        while lab.known is None:  # noqa: ASYNC110 - its task gives no sign
            await asyncio.sleep(0.01)
    async with same.learned_beside():
        await asyncio.sleep(0.05)
    assert lab.dialect.accounts.asked == 1
