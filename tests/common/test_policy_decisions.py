"""The pure decisions: what a reply means, whether to ask again, how often to look, what a new try is."""

from __future__ import annotations

import email.utils
import itertools
import json
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iri_common.model.state import JobState
from iri_common.policy.classify import GENERAL, Outcome, Rules, Word, classify, retry_after
from iri_common.policy.generation import GenerationFacts, GenerationStep, generation_step
from iri_common.policy.retry import TABLE, Action, Limits, Replay, backoff, decide

JSON = {"content-type": "application/json"}
PROBLEM = {"content-type": "application/problem+json"}
HTML = {"content-type": "text/html; charset=utf-8"}
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
problems = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("detail", "title", "error_description", "invalid_params"), json_values)
)
bodies = st.binary() | json_values.map(json.dumps).map(str.encode) | problems.map(json.dumps).map(str.encode)
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(["application/json", "application/problem+json", "text/html", ""]),
        "retry-after": st.text() | st.sampled_from(["120", "Wed, 21 Oct 2015 07:28:00 GMT"]),
        "date": st.text() | st.just("Wed, 21 Oct 2015 07:27:00 GMT"),
        "location": st.text(),
    },
)
CERTAINLY_NOT = {
    Outcome.NOT_SENT, Outcome.BAD_TOKEN, Outcome.FORBIDDEN, Outcome.NOT_FOUND, Outcome.INVALID,
    Outcome.CONFLICT, Outcome.KEY_USED, Outcome.TOO_LARGE, Outcome.RATE_LIMITED, Outcome.NOT_OFFERED,
}  # fmt: skip


@given(st.integers(100, 599), headers, bodies)
@example(200, JSON, b"[" * 100_000)
@example(500, PROBLEM, b'{"detail":"x","invalid_params":5}')
@example(503, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "soon"}, b"")
@example(429, {"retry-after": "Wed, 21 Oct 99999999999999999999999 07:28:00 -0000"}, b"")
def test_no_reply_is_too_odd_for_a_verdict(status: int, sent: dict[str, str], body: bytes) -> None:
    verdict = classify(status, sent, body)
    assert (verdict.outcome is Outcome.OK) <= (200 <= status < 300)
    assert len(verdict.detail) < 700
    assert verdict.retry_after is None or verdict.retry_after >= 0


@pytest.mark.parametrize("status", range(100, 600))
def test_every_status_has_one_meaning(status: int) -> None:
    known = {
        301: Outcome.INVALID, 307: Outcome.INVALID, 308: Outcome.INVALID,
        401: Outcome.BAD_TOKEN, 403: Outcome.FORBIDDEN, 404: Outcome.NOT_FOUND, 408: Outcome.BROKEN,
        409: Outcome.CONFLICT, 413: Outcome.TOO_LARGE, 429: Outcome.RATE_LIMITED, 501: Outcome.NOT_OFFERED,
        499: Outcome.AWAY, 502: Outcome.AWAY, 503: Outcome.AWAY, 504: Outcome.AWAY,
    }  # fmt: skip
    by_hundred = {
        1: Outcome.UNREADABLE,
        2: Outcome.OK,
        3: Outcome.UNREADABLE,
        4: Outcome.INVALID,
        5: Outcome.BROKEN,
    }
    expected = known.get(status, by_hundred[status // 100])
    assert classify(status, JSON, b"{}").outcome is expected
    assert classify(status, {}, b"").outcome is (Outcome.AWAY if status == 404 else expected)
    assert status >= 300 or classify(status, HTML, b"<p>hi").outcome is Outcome.UNREADABLE


def test_only_a_wire_without_a_reply_is_lost() -> None:
    # A submit is sent again after LOST, never after a reply of a service that forgets the key as it fails.
    assert Outcome.LOST not in {classify(status, JSON, b"{}").outcome for status in range(100, 600)}


@pytest.mark.parametrize("outcome", Outcome)
def test_what_may_have_worked(outcome: Outcome) -> None:
    assert outcome.may_have_worked == (outcome not in CERTAINLY_NOT and outcome is not Outcome.OK)


@pytest.mark.parametrize(
    ("sent", "body", "outcome", "value"),
    [
        (JSON, b'{"id": "42"}', Outcome.OK, {"id": "42"}),
        ({"content-type": "Application/JSON; charset=UTF-8"}, b"[]", Outcome.OK, []),
        ({"content-type": "application/hal+json"}, b"null", Outcome.OK, None),
        ({}, b"", Outcome.OK, None),
        (JSON, b'{"id": "4', Outcome.UNREADABLE, None),
        (JSON, b"\xff\xfe\x00", Outcome.UNREADABLE, None),
        (HTML, b"<html>login</html>", Outcome.UNREADABLE, None),
        ({}, b'{"id": "42"}', Outcome.UNREADABLE, None),
    ],
)
def test_a_success_is_one_only_when_it_can_be_read(sent, body, outcome, value) -> None:
    verdict = classify(200, sent, body)
    assert (verdict.outcome, verdict.value) == (outcome, value)


@pytest.mark.parametrize(
    ("sent", "body", "detail"),
    [
        (PROBLEM, {"title": "Not Found", "detail": "Job 42 not found"}, "Job 42 not found"),
        (PROBLEM, {"title": "Error", "detail": ""}, "Error"),
        (
            PROBLEM,
            {"detail": "bad", "invalid_params": [{"name": "duration", "reason": "long"}, "?", {"name": "x"}]},
            "bad; duration: long; x: None",
        ),
        (JSON, {"error_description": "expired"}, "expired"),
        (JSON, {"error": "queue is closed"}, '{"error": "queue is closed"}'),
        (JSON, ["a", "b"], '["a", "b"]'),
        (HTML, None, "an HTML page, probably from a gateway"),
        ({}, None, "an HTML page, probably from a gateway"),
    ],
)  # fmt: skip
def test_the_facilitys_words_reach_a_person(sent, body, detail) -> None:
    raw = b" \n<html>Bad Gateway</html>" if body is None else json.dumps(body).encode()
    assert classify(400, sent, raw).detail == detail


def test_a_long_answer_is_cut_and_an_empty_one_has_its_number() -> None:
    assert len(classify(500, {}, b"word " * 10_000).detail) == 600
    assert len(classify(500, PROBLEM, json.dumps({"detail": "x" * 10_000}).encode()).detail) == 600
    assert classify(503, {}, b"").detail == "HTTP 503"


def test_a_redirect_says_where_to() -> None:
    verdict = classify(308, {"location": "https://elsewhere/api"}, b"")
    assert "https://elsewhere/api" in verdict.detail
    assert "base URL" in verdict.detail


RULES = Rules(
    {500: Outcome.INVALID},
    errors="problem+json",
    empty_when_missing=frozenset({"getSites"}),
    words=[Word(Outcome.NOT_FOUND, re.compile("no such job"), frozenset({"getJob"}), frozenset({400}))],
    key_used={"launchJob": 422},
)


@pytest.mark.parametrize(
    ("status", "sent", "operation", "keyed", "outcome"),
    [
        (500, JSON, "getJob", False, Outcome.INVALID),
        (404, PROBLEM, "getSites", False, Outcome.OK),
        (404, PROBLEM, "getSite", False, Outcome.NOT_FOUND),
        # A wrong base URL would look like a facility without sites, or like one that has lost our job.
        (404, HTML, "getSites", False, Outcome.AWAY),
        (404, JSON, "getSites", False, Outcome.AWAY),
        (404, JSON, "getJob", False, Outcome.AWAY),
        (404, HTML, "getJob", False, Outcome.AWAY),
        (404, {"content-type": "text/plain"}, "getJob", False, Outcome.AWAY),
        (404, {}, "launchJob", True, Outcome.AWAY),
        (400, PROBLEM, "getJob", False, Outcome.NOT_FOUND),
        (400, JSON, "getJob", False, Outcome.NOT_FOUND),
        (400, PROBLEM, "launchJob", True, Outcome.INVALID),
        (400, HTML, "getJob", False, Outcome.INVALID),
        (400, {"content-type": "text/plain"}, "getJob", False, Outcome.INVALID),
        (422, PROBLEM, "getJob", False, Outcome.INVALID),
        (422, PROBLEM, "launchJob", True, Outcome.KEY_USED),
        (422, PROBLEM, "launchJob", False, Outcome.INVALID),
        (422, PROBLEM, "getJob", True, Outcome.INVALID),
        (422, HTML, "launchJob", True, Outcome.INVALID),
        (400, PROBLEM, "updateJob", True, Outcome.INVALID),
    ],
)
def test_rules_turn_the_oddities_of_an_api(status, sent, operation, keyed, outcome) -> None:
    words = (
        b'{"detail": "there is no such job"}' if "json" in sent.get("content-type", "") else b"no such job"
    )
    verdict = classify(status, sent, words, operation=operation, keyed=keyed, rules=RULES)
    assert verdict.outcome is outcome
    assert (verdict.value == []) == (outcome is Outcome.OK)
    assert ("base URL" in verdict.detail) == (outcome is Outcome.AWAY)
    general = classify(status, sent, words, operation=operation, keyed=keyed, rules=GENERAL).outcome
    assert general not in {Outcome.OK, Outcome.KEY_USED}


TEXT = {"content-type": "text/plain; charset=utf-8"}


def _told(operation: str, value: object) -> str | None:
    return value["error"] if isinstance(value, dict) and value.get("status") == "ERROR" else None


WORDY = Rules(
    words=[
        Word(Outcome.BAD_TOKEN, re.compile("expired"), statuses=frozenset({500})),
        Word(Outcome.NOT_FOUND, re.compile("no such"), operations=frozenset({"look"})),
        Word(Outcome.INVALID, re.compile("no such|bad account")),
    ],
    texts=True,
    failure=_told,
    says=lambda problem: problem["errors"][0] if isinstance(problem, dict) and problem.get("errors") else "",
)


@pytest.mark.parametrize(
    ("status", "sent", "body", "operation", "outcome"),
    [
        (200, JSON, '{"status": "OK", "error": "bad account"}', "ask", Outcome.OK),
        (200, JSON, '{"status": "ERROR", "error": "bad account"}', "ask", Outcome.INVALID),
        (200, JSON, '{"status": "ERROR", "error": "no such job"}', "ask", Outcome.INVALID),
        (200, JSON, '{"status": "ERROR", "error": "no such job"}', "look", Outcome.NOT_FOUND),
        # Nobody knows what it did: a word for one status does not count for another, nor does a strange one.
        (200, JSON, '{"status": "ERROR", "error": "expired"}', "ask", Outcome.BROKEN),
        (200, JSON, '{"status": "ERROR", "error": ""}', "ask", Outcome.BROKEN),
        (500, JSON, '{"errors": ["the token has expired"]}', "ask", Outcome.BAD_TOKEN),
        (500, JSON, '{"detail": "the token has expired"}', "ask", Outcome.BAD_TOKEN),
        (500, TEXT, "expired", "ask", Outcome.BAD_TOKEN),
        (500, HTML, "expired", "ask", Outcome.BROKEN),
        (500, JSON, '{"errors": ["disk full"]}', "ask", Outcome.BROKEN),
        (404, TEXT, "unknown version", "ask", Outcome.NOT_FOUND),
        (404, HTML, "no such page", "ask", Outcome.AWAY),
    ],
)
def test_words_of_an_api_count_more_than_its_status(status, sent, body, operation, outcome) -> None:
    verdict = classify(status, sent, body.encode(), operation=operation, rules=WORDY)
    assert verdict.outcome is outcome
    assert verdict.detail or outcome is Outcome.OK


@pytest.mark.parametrize(("before", "outcome"), [(5_000, Outcome.INVALID), (10**6, Outcome.BROKEN)])
def test_words_count_that_are_too_far_behind_to_be_told(before: int, outcome: Outcome) -> None:
    error = "x " * (before // 2) + "bad account"
    told = json.dumps({"status": "ERROR", "error": error}).encode()
    problem = json.dumps({"errors": [error]}).encode()
    for status, body in ((200, told), (500, problem), (500, problem[:-1])):
        verdict = classify(status, JSON, body, operation="ask", rules=WORDY)
        assert (verdict.outcome, len(verdict.detail)) == (outcome, 600)


def test_control_characters_are_not_told() -> None:
    body = json.dumps({"detail": "\x1b]0;title\x07 bad\n account"}).encode()
    assert (
        classify(400, JSON, body).detail
        == "\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER} bad account"
    )


@pytest.mark.parametrize("body", [b"", b"\xff\x00", b'{"status": "ERROR"}'])
def test_what_is_asked_for_raw_is_its_body(body: bytes) -> None:
    assert classify(200, HTML, body, raw=True, rules=WORDY).value == body
    assert classify(500, JSON, b'{"detail": "x"}', raw=True).outcome is Outcome.BROKEN


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0), (" 0 ", 0.0), ("", None), ("-1", None), ("soon", None), ("1e3", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 60.0), ("Wed, 21 Oct 2015 07:26:00 GMT", 0.0),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", 60.0),
    ],
)  # fmt: skip
def test_retry_after_in_seconds_and_as_a_date(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text, "date": "Wed, 21 Oct 2015 07:27:00 GMT"}) == seconds


def test_a_date_without_the_servers_clock_is_read_by_ours() -> None:
    soon = email.utils.formatdate(time.time() + 100, usegmt=True)
    for date in ({}, {"date": "noon"}):
        assert 90 < (retry_after({"retry-after": soon, **date}) or 0) < 110


def test_the_retry_table_is_complete() -> None:
    assert set(TABLE) == set(Outcome)
    assert all(set(row) == set(Replay) for row in TABLE.values())
    assert [outcome for outcome in Outcome if TABLE[outcome][Replay.ONCE] is Action.AGAIN] == [
        Outcome.NOT_SENT,
        Outcome.RATE_LIMITED,
    ]


limits = st.builds(
    Limits,
    attempts=st.integers(1, 8),
    total=st.floats(0, 1000),
    first_delay=st.floats(0.001, 10),
    longest_delay=st.floats(0.001, 100),
)
chances = st.floats(0, 1, exclude_max=True)


one_reply = st.tuples(st.sampled_from(Outcome), chances, st.none() | st.floats(0, 200))


@given(st.lists(one_reply, min_size=40, max_size=40), st.sampled_from(Replay), limits, st.floats(0, 5))
def test_a_request_ends_in_bounded_time_and_never_doubles_an_effect(replies, replay, limits, service) -> None:
    elapsed, renewed, began_last = 0.0, False, 0.0
    for attempt, (outcome, chance, wanted) in enumerate(replies, start=1):
        elapsed += service
        decision = decide(
            outcome, replay, attempt=attempt, elapsed=elapsed, chance=chance,
            renewed=renewed, retry_after=wanted, limits=limits,
        )  # fmt: skip
        if decision.action is Action.STOP:
            break
        assert outcome is not Outcome.OK
        if replay is Replay.ONCE:
            assert not outcome.may_have_worked
        if decision.action is Action.RENEW:
            assert outcome is Outcome.BAD_TOKEN
            assert not renewed
            renewed = True
        else:
            assert decision.delay >= (wanted or 0.0)
            assert decision.delay <= limits.longest_delay
            assert elapsed + decision.delay <= limits.total
        elapsed += decision.delay
        began_last = elapsed
    assert attempt <= limits.attempts + renewed
    assert began_last <= limits.total + service * 2


@given(st.integers(1, 10_000), chances, limits)
def test_a_backoff_doubles_to_its_cap_and_is_spread_over_the_upper_half(attempt, chance, limits) -> None:
    full = min(limits.longest_delay, limits.first_delay * 2.0 ** min(attempt - 1, 32))
    delay = backoff(attempt, chance, limits)
    assert full / 2 <= delay <= full
    assert backoff(attempt + 1, chance, limits) >= delay


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("replay", Replay)
def test_a_token_is_renewed_once(outcome: Outcome, replay: Replay) -> None:
    first = decide(outcome, replay, attempt=1, elapsed=0, chance=0)
    second = decide(outcome, replay, attempt=2, elapsed=0, chance=0, renewed=True)
    assert (first.action is Action.RENEW) == (outcome is Outcome.BAD_TOKEN)
    assert second.action is not Action.RENEW


def test_a_facility_that_asks_for_too_long_a_wait_is_not_waited_for() -> None:
    for wanted, action in ((15.0, Action.AGAIN), (15.1, Action.STOP), (float("inf"), Action.STOP)):
        decision = decide(
            Outcome.RATE_LIMITED, Replay.ONCE, attempt=1, elapsed=0, chance=0, retry_after=wanted
        )
        assert decision.action is action


@pytest.mark.parametrize("reported", [None, *JobState])
@pytest.mark.parametrize(
    ("asked", "cleared", "changed", "again"), list(itertools.product([False, True], repeat=4))
)
def test_when_an_ask_is_a_new_ask(asked, cleared, changed, again, reported) -> None:
    step = generation_step(GenerationFacts(asked, reported, cleared, changed, again))
    if not asked:
        assert step is GenerationStep.SUBMIT
    elif cleared or changed or again:
        assert step is GenerationStep.REPLACE
    elif reported in ("failed", "canceled"):
        assert step is GenerationStep.RAISE
    else:
        assert step is GenerationStep.ATTACH, (
            "a crash, a lost reply, a running or a done job keep the generation"
        )
