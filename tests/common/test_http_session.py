"""The session and its budget: who is sent what, how often, how fast, and which error comes out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import pickle
from types import SimpleNamespace

import pytest

from iri_common.auth.client_credentials import ClientCredentials
from iri_common.auth.keeper import TokenKeeper
from iri_common.auth.static import StaticToken
from iri_common.http import session as session_module
from iri_common.http.budget import Budget
from iri_common.http.session import Request, Session
from iri_common.model import errors
from iri_common.model.ports import Token, WireReply, WireRequest
from iri_common.policy.classify import NotSent, Outcome, ReplyLost
from iri_common.policy.retry import Limits, Replay

SECRET = "hunter2-secret-token"
LOOK = Request("getJob", "GET", "/compute/status/r/42")
SUBMIT = Request("launchJob", "POST", "/compute/job/r", replay=Replay.ONCE, json={"executable": "x"})


class FakeTransport:
    """Plays a script: a reply, an exception, or a function of the request; the last one for ever."""

    def __init__(self, *script: object) -> None:
        self.script = list(script)
        self.seen: list[WireRequest] = []
        self.under_way = self.most_under_way = 0

    async def send(self, request: WireRequest) -> WireReply:
        self.seen.append(request)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0.01)
            turn = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            turn = turn(request) if callable(turn) else turn
            if isinstance(turn, Exception):
                raise turn
            assert isinstance(turn, WireReply)
            return turn
        finally:
            self.under_way -= 1

    async def close(self) -> None: ...


class Source:
    """Token after token: ``secret-1``, ``secret-2``, …"""

    identity = "the test's source"

    def __init__(self, renewable: bool = True) -> None:
        self.renewable = renewable
        self.fetched = 0

    async def fetch(self, send) -> Token:
        self.fetched += 1
        await asyncio.sleep(0.05)
        return Token(f"{SECRET}-{self.fetched}")


def reply(status: int, value: object = None, **headers: str) -> WireReply:
    kind = "application/json" if status < 300 else "application/problem+json"
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return WireReply(status, {"content-type": kind, **named}, json.dumps(value or {}).encode())


def open_session(transport, source=None, budget: Budget | None = None, **limits: float) -> Session:
    async def exchange(_: WireRequest) -> WireReply:
        raise AssertionError("these sources need no wire")

    keeper = TokenKeeper(source, exchange) if source else None
    patience = Limits(**{"first_delay": 0.001, "longest_delay": 0.01, **limits})  # type: ignore[arg-type]
    return Session(
        "https://host/api/v2/",
        transport,
        keeper,
        budget or Budget(1000, 1e6, 1000),
        label="here",
        limits=patience,
    )


async def error_of(script: object, request: Request = LOOK, source=None, **limits: float) -> errors.IriError:
    transport = FakeTransport(*(script if isinstance(script, list) else [script]))
    with pytest.raises(errors.IriError) as caught:
        await open_session(transport, source, **limits).send(request)
    caught.value.sends = len(transport.seen)  # type: ignore[attr-defined]
    return caught.value


async def test_a_request_carries_base_url_token_and_its_own_words() -> None:
    transport = FakeTransport(reply(200, {"id": "42"}, x_request_id="r1"))
    request = Request(
        "op", "POST", "/p", params=[("a", "1"), ("a", "2")], json={"x": 1}, headers={"idempotency-key": "k"}
    )
    answer = await open_session(transport, Source()).send(request)
    (sent,) = transport.seen
    assert (sent.method, sent.url, sent.params, sent.json) == (
        "POST",
        "https://host/api/v2/p",
        request.params,
        {"x": 1},
    )
    assert sent.headers == {"idempotency-key": "k", "authorization": f"Bearer {SECRET}-1"}
    assert answer.value == {"id": "42"}
    assert answer.headers["x-request-id"] == "r1"
    assert SECRET not in repr(sent)


async def test_a_public_request_carries_no_token_and_fetches_none() -> None:
    source, transport = Source(), FakeTransport(reply(200, []))
    session = open_session(transport, source)
    await session.send(Request("getFacility", "GET", "/facility", public=True))
    assert "authorization" not in transport.seen[0].headers
    assert source.fetched == 0
    await open_session(transport).send(LOOK)
    assert "authorization" not in transport.seen[1].headers


async def test_many_callers_whose_token_ran_out_renew_it_once() -> None:
    def door(request: WireRequest) -> WireReply:
        return reply(200, "ok") if request.headers["authorization"].endswith("-2") else reply(401)

    class Together(FakeTransport):
        async def send(self, request: WireRequest) -> WireReply:
            await all_of_them.wait()
            return await super().send(request)

    all_of_them = asyncio.Barrier(40)
    source, transport = Source(), Together(door)
    session = open_session(transport, source)
    answers = await asyncio.gather(*(session.send(SUBMIT if n % 2 else LOOK) for n in range(40)))
    assert [each.value for each in answers] == ["ok"] * 40
    assert source.fetched == 2
    assert len(transport.seen) == 80


async def test_a_token_refused_twice_is_a_matter_for_a_person() -> None:
    error = await error_of(reply(401, {"detail": f"no: {SECRET}-2"}, x_request_id="r9"), LOOK, Source())
    assert type(error) is errors.AuthError
    assert error.sends == 2
    assert "the test's source" in str(error)
    assert "new token" in str(error)
    assert "request r9" in str(error)
    for shown in (str(error), repr(error), repr(vars(error)), repr(pickle.dumps(error))):
        assert SECRET not in shown


async def test_a_given_token_is_not_tried_twice() -> None:
    error = await error_of(reply(401), LOOK, StaticToken(SECRET, "the test"))
    assert type(error) is errors.AuthError
    assert error.sends == 1
    assert "the test" in str(error)


async def test_without_a_token_a_401_says_so() -> None:
    error = await error_of(reply(401, {"detail": "who?"}))
    assert "without a token: who?" in str(error)
    assert error.sends == 1


@pytest.mark.parametrize(
    "loss", [ReplyLost("closed"), reply(500), reply(503), reply(504), reply(408), reply(302)]
)
async def test_a_once_only_request_with_an_unknown_fate_is_sent_once(loss) -> None:
    error = await error_of(loss, SUBMIT)
    assert type(error) is errors.AmbiguousReply
    assert error.sends == 1
    assert Outcome(error.outcome).may_have_worked
    assert not error.transient


@pytest.mark.parametrize("loss", [NotSent("refused"), reply(429)])
async def test_a_once_only_request_that_certainly_did_nothing_is_sent_again(loss) -> None:
    transport = FakeTransport(loss, loss, reply(200, "ok"))
    assert (await open_session(transport).send(SUBMIT)).value == "ok"
    assert len(transport.seen) == 3


async def test_a_look_survives_a_service_that_comes_back() -> None:
    transport = FakeTransport(
        reply(503), ReplyLost("x"), WireReply(200, {"content-type": "text/html"}, b"<"), reply(200, 1)
    )
    assert (await open_session(transport).send(LOOK)).value == 1
    assert len(transport.seen) == 4


@pytest.mark.parametrize(
    ("script", "kind", "sends"),
    [
        (reply(403), errors.PermissionDenied, 1),
        (reply(404), errors.NotFound, 1),
        (reply(400), errors.Refused, 1),
        (reply(422), errors.Refused, 1),
        (reply(307, location="https://elsewhere"), errors.Refused, 1),
        (reply(409), errors.Conflict, 1),
        (reply(413), errors.TooLarge, 1),
        (reply(501), errors.NotOffered, 1),
        (reply(429), errors.RateLimited, 5),
        (reply(500), errors.TransientError, 5),
        (reply(503), errors.TransientError, 5),
        (NotSent("refused"), errors.Unreachable, 5),
        (ReplyLost("closed"), errors.Unreachable, 5),
        (WireReply(200, {}, b"<html>"), errors.ReplyError, 5),
    ],
)
async def test_each_outcome_of_a_look_has_its_error(script, kind: type[errors.IriError], sends: int) -> None:
    error = await error_of(script)
    assert type(error) is kind
    assert (error.sends, error.facility, error.operation) == (sends, "here", "getJob")
    assert error.status == getattr(script, "status", None)
    assert sends == 1 or "after 5 attempts" in str(error)


async def test_an_error_repeats_the_facilitys_words_and_its_request_id() -> None:
    error = await error_of(reply(400, {"detail": "no such queue"}, x_request_id="abc"), SUBMIT)
    assert "no such queue" in str(error)
    assert error.request_id == "abc"


async def test_a_wait_that_the_facility_wants_too_long_is_an_error_at_once() -> None:
    error = await error_of(reply(429, retry_after="3600"))
    assert type(error) is errors.RateLimited
    assert error.sends == 1


async def test_a_dead_token_service_is_not_a_refused_token() -> None:
    async def exchange(_: WireRequest) -> WireReply:
        raise NotSent("no route")

    transport = FakeTransport(reply(200))
    keeper = TokenKeeper(ClientCredentials("https://idp/token", "me", SECRET), exchange)
    with pytest.raises(errors.Unreachable, match="idp"):
        await Session("https://h", transport, keeper, Budget()).send(LOOK)
    assert not transport.seen


@pytest.fixture
def on_virtual_clock(virtual, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session_module, "time", SimpleNamespace(monotonic=virtual.time))
    return virtual


@pytest.mark.parametrize(("headers", "least"), [({"retry_after": "5"}, 5.0), ({}, 0.5)])
def test_a_429_slows_everyone_at_this_door(on_virtual_clock, headers: dict[str, str], least: float) -> None:
    virtual, starts = on_virtual_clock, []

    def door(request: WireRequest) -> WireReply:
        starts.append(virtual.time())
        return reply(429, **headers) if len(starts) == 1 else reply(200)

    async def main() -> None:
        budget = Budget(8, 20.0, 20, virtual.time)
        one, other = (
            open_session(FakeTransport(door), budget=budget, first_delay=1.0, longest_delay=15.0)
            for _ in range(2)
        )
        first = asyncio.create_task(one.send(LOOK))
        await asyncio.sleep(0.1)
        await asyncio.gather(first, *(other.send(LOOK) for _ in range(30)))

    virtual.run(main())
    assert starts[1] - starts[0] >= least
    later = starts[1:]
    assert len(later) == 31
    gaps = [after - before for before, after in itertools.pairwise(later)]
    assert min(gaps) > 0.04, "no burst when the quiet ends"


def test_the_total_time_of_a_request_is_bounded(on_virtual_clock) -> None:
    virtual = on_virtual_clock
    start = virtual.time()
    session = open_session(
        FakeTransport(reply(503)), attempts=1000, total=30.0, first_delay=0.5, longest_delay=4.0
    )
    with pytest.raises(errors.TransientError):
        virtual.run(session.send(LOOK))
    assert 20 < virtual.time() - start <= 31


def test_the_budget_bounds_how_many_are_under_way(virtual) -> None:
    transport = FakeTransport(reply(200))
    session = open_session(transport, budget=Budget(3, 1e6, 1000, virtual.time))

    async def main() -> None:
        await asyncio.gather(*(session.send(LOOK) for _ in range(50)))

    virtual.run(main())
    assert transport.most_under_way == 3


@pytest.mark.parametrize("burst", [1, 5, 20])
def test_the_budget_lets_a_burst_begin_and_then_keeps_the_rate(virtual, burst: int) -> None:
    budget, starts = Budget(100, 10.0, burst, virtual.time), []

    async def one() -> None:
        async with budget:
            starts.append(virtual.time())

    async def main() -> None:
        await asyncio.gather(*(one() for _ in range(burst + 30)))
        await asyncio.sleep(60)
        starts.append(None)
        await asyncio.gather(*(one() for _ in range(burst + 5)))

    virtual.run(main())
    for times, rest in ((starts[: burst + 30], 30), (starts[burst + 31 :], 5)):
        assert sum(each - times[0] < 1e-6 for each in times) == burst
        assert times[-1] - times[0] == pytest.approx(rest / 10, abs=0.01)


def test_everyone_in_the_queue_of_a_budget_gets_a_turn_in_order(virtual) -> None:
    budget, order = Budget(1, 100.0, 1, virtual.time), []

    async def one(number: int) -> None:
        async with budget:
            order.append(number)

    async def main() -> None:
        await asyncio.gather(*(one(number) for number in range(50)))

    virtual.run(main())
    assert order == list(range(50))


@pytest.mark.parametrize("inside", [True, False])
def test_a_cancelled_request_gives_its_slot_back(virtual, inside: bool) -> None:
    budget = Budget(1, 1000.0, 10, virtual.time)
    if not inside:
        budget.slow_down(100.0)

    async def hold() -> None:
        async with budget:
            await asyncio.sleep(1000)

    async def main() -> float:
        tasks = [asyncio.create_task(hold()) for _ in range(3)]
        await asyncio.sleep(1.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(200), budget:
            return virtual.time()

    start = virtual.time()
    assert virtual.run(main()) - start < (2 if inside else 101)


def test_a_shorter_wish_does_not_shorten_a_longer_one(virtual) -> None:
    budget = Budget(8, 10.0, 5, virtual.time)

    async def main() -> None:
        budget.slow_down(50.0)
        budget.slow_down(1.0)
        async with budget:
            pass

    start = virtual.time()
    virtual.run(main())
    assert virtual.time() - start >= 50.0


async def test_what_a_service_repeats_of_an_environment_is_not_told() -> None:
    """FastAPI's own 422 holds what it was sent."""
    secrets = ["s3cret-pass", "1"]
    echo = {"detail": [{"loc": ["body"], "msg": "1 is bad", "input": {"environment": {"PW": secrets[0]}}}]}
    request = Request("launchJob", "POST", "/compute/job/r", replay=Replay.ONCE, json={}, secrets=secrets)
    with pytest.raises(errors.Refused) as told:
        await open_session(FakeTransport(reply(422, echo))).send(request)
    assert "s3cret" not in str(told.value)
    assert "1 is bad" in str(told.value)  # a value that short is no secret, and words need their letters
    assert "s3cret" not in repr(request)


@pytest.mark.parametrize("secret", ["s3cret" * 200, 's3cret"q\\z', "s3cret\nline  two", "s3crét-größe"])
@pytest.mark.parametrize("status", [200, 422, 500])
@pytest.mark.parametrize("where", ["detail", "text", "input", "html"])
async def test_no_part_of_a_secret_is_told_however_it_comes_back(
    status: int, where: str, secret: str
) -> None:
    bodies = {
        "detail": {"detail": f"{'x ' * 200} {secret} is bad"},
        "text": f"{'x ' * 200} {secret} is bad",
        "input": {"detail": [{"input": {"PW": secret}}]},
        "html": {"unknown": {"PW": secret}},
    }
    body = bodies[where] if isinstance(bodies[where], str) else json.dumps(bodies[where])
    kind = "application/json" if where in {"detail", "input"} and status != 200 else "text/plain"
    answer = WireReply(status, {"content-type": kind}, body.encode())
    request = Request("launchJob", "POST", "/compute/job/r", replay=Replay.ONCE, json={}, secrets=[secret])
    with pytest.raises(errors.IriError) as told:
        await open_session(FakeTransport(answer), attempts=1).send(request)
    assert "s3cr" not in str(told.value)


@pytest.mark.parametrize(("request_", "kind"), [(LOOK, errors.Unreachable), (SUBMIT, errors.AmbiguousReply)])
async def test_a_reply_that_trickles_for_ever_is_lost(monkeypatch, request_, kind) -> None:
    class Trickle(FakeTransport):
        async def send(self, request: WireRequest) -> WireReply:
            await asyncio.sleep(3600)
            raise AssertionError

    monkeypatch.setattr(session_module, "LONGEST_REPLY", 0.02)
    async with asyncio.timeout(5):
        with pytest.raises(kind):
            await open_session(Trickle(), attempts=1).send(request_)


async def test_a_long_token_that_comes_back_is_not_told_in_part() -> None:
    token = "eyJ" + "a1B2" * 300
    answer = reply(400, {"detail": f"malformed token {token}"})
    told = await error_of(answer, source=StaticToken(token))
    assert "a1B2" not in str(told)
    assert "malformed token" in str(told)


async def test_a_link_that_a_redirect_names_is_not_told() -> None:
    answer = WireReply(307, {"location": "https://me:pw@s3.example/b/k?X-Amz-Signature=abcdef&x=1#t"}, b"")
    told = str(await error_of(answer))
    assert "s3.example/b/k" in told
    assert not {"Signature", "abcdef", "pw@"} & {
        each for each in ("Signature", "abcdef", "pw@") if each in told
    }


@pytest.mark.parametrize(
    ("answer", "reached"),
    [
        (NotSent("refused"), False),
        (ReplyLost("closed"), False),
        (WireReply(404, {"content-type": "text/html"}, b"<html>"), False),
        (WireReply(502, {"content-type": "text/html"}, b"<html>"), False),
        (reply(404, {"detail": "no such job"}), True),
        (reply(401), True),
        (reply(200, {}), True),
    ],
)
async def test_what_shows_that_the_service_is_there(answer, reached) -> None:
    session = open_session(FakeTransport(answer), attempts=1)
    with contextlib.suppress(errors.IriError):
        await session.send(LOOK)
    assert session.reached is reached


async def test_an_api_may_want_its_token_forms_and_bodies_in_its_own_way() -> None:
    wire = FakeTransport(WireReply(200, {"content-type": "application/octet-stream"}, b"\x00raw"))
    session = Session(
        "http://door",
        wire,
        TokenKeeper(StaticToken(SECRET), wire.send),
        Budget(),
        credential=lambda token: {"x-user": "me", "x-token": token.value},
    )
    form = {"isPath": "false", "args": ["a", "b"]}
    reply = await session.send(Request("get", "POST", "/bytes", form=form, raw=True))
    assert reply.value == b"\x00raw"
    (seen,) = wire.seen
    assert (seen.form, seen.headers) == (form, {"x-user": "me", "x-token": SECRET})
