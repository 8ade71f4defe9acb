"""The state of a credential, from what its source, its token and the facility tell."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common import Credential, CredentialState, StaticToken, token_from_command, token_from_env
from iri_common.auth.claims import term_of
from iri_common.auth.client_credentials import ClientCredentials
from iri_common.auth.client_key import key_from_env
from iri_common.auth.password import PasswordGrant
from iri_common.auth.private_key_jwt import PrivateKeyJwt
from iri_common.auth.static import token_from_file
from iri_common.model.credential import CredentialFacts, Renewal, SourceFacts, Term
from iri_common.policy.credential import SKEW, judge

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
PAST, SOON, LATER = NOW - HOUR, NOW + timedelta(minutes=2), NOW + HOUR
JUST = NOW - timedelta(minutes=2)
S = CredentialState

GIVEN = SourceFacts("a given token", Renewal.NEVER, "start again")
FILE = SourceFacts("the token file t", Renewal.REPLACED, "put a new token there")
CLIENT = SourceFacts("client c", Renewal.ITSELF, "make a new client")
TAKEN, REFUSED, UNASKED = True, False, None
NOT_TOLD = Term()


def state(source: SourceFacts, accepted: bool | None, token: Term = NOT_TOLD, lasting: Term = NOT_TOLD):
    return judge(CredentialFacts(source, token, lasting, accepted, "its words"), NOW)


@pytest.mark.parametrize("source", [GIVEN, FILE], ids=["given", "file"])
@pytest.mark.parametrize(
    ("accepted", "token", "is_"),
    [
        (TAKEN, Term(), S.OK),
        (TAKEN, Term(PAST, LATER), S.OK),
        (TAKEN, Term(ends=PAST), S.OK),  # our clock is ahead
        (TAKEN, Term(LATER), S.OK),  # or behind
        (REFUSED, Term(), S.NEEDS_PERSON),
        (REFUSED, Term(PAST, LATER), S.NEEDS_PERSON),  # revoked, or not for this facility
        (REFUSED, Term(PAST, JUST), S.EXPIRED),
        (REFUSED, Term(PAST, SOON), S.EXPIRED),  # the facility's clock is ahead
        (REFUSED, Term(SOON, LATER), S.NOT_YET_VALID),
        (REFUSED, Term(JUST, LATER), S.NOT_YET_VALID),  # the facility's clock is behind
        (REFUSED, Term(NOW - SKEW, NOW + SKEW + SECOND), S.NEEDS_PERSON),
        (REFUSED, Term(JUST, NOW), S.EXPIRED),  # what is certain comes first,
        (REFUSED, Term(SOON, SOON + SECOND), S.NOT_YET_VALID),  # for a token of seconds, too
        (UNASKED, Term(), S.UNKNOWN),
        (UNASKED, Term(PAST, SOON), S.UNKNOWN),
        (UNASKED, Term(JUST), S.UNKNOWN),
        (UNASKED, Term(ends=NOW), S.EXPIRED),
        (UNASKED, Term(SOON), S.NOT_YET_VALID),
    ],
)
def test_a_token_that_a_person_got(source, accepted, token, is_) -> None:
    """Static at any API; at S3M the same times come from its introspection."""
    for told in (state(source, accepted, token), state(source, accepted, lasting=token)):
        assert told.state is is_
        assert told.identity == source.identity
        assert (told.mend == source.mend) is (is_ in {S.EXPIRED, S.NEEDS_PERSON})
        assert bool(told.mend) is not told.state.works


@pytest.mark.parametrize(
    ("accepted", "token", "lasting", "is_"),
    [
        (TAKEN, Term(), Term(), S.RENEWABLE),
        (TAKEN, Term(ends=PAST), Term(), S.RENEWABLE),
        (TAKEN, Term(ends=SOON), Term(ends=LATER), S.RENEWABLE),
        (TAKEN, Term(ends=SOON), Term(ends=JUST), S.RENEWABLE),  # by a clock that may be wrong
        (TAKEN, Term(ends=SOON), Term(ends=PAST), S.EXPIRED),  # the last token of a client that is dead
        (REFUSED, Term(ends=PAST), Term(), S.NEEDS_PERSON),  # its tokens end all the time
        (REFUSED, Term(), Term(ends=LATER), S.NEEDS_PERSON),
        (REFUSED, Term(), Term(ends=SOON), S.EXPIRED),
        (REFUSED, Term(), Term(ends=PAST), S.EXPIRED),
        (UNASKED, Term(ends=PAST), Term(), S.UNKNOWN),
        (UNASKED, Term(), Term(ends=PAST), S.EXPIRED),
    ],
)
def test_a_client_that_renews_its_tokens(accepted, token, lasting, is_) -> None:
    told = state(CLIENT, accepted, token, lasting)
    assert told.state is is_
    assert bool(told.mend) is not told.state.works


def test_since_when_and_until_when() -> None:
    both = state(FILE, TAKEN, Term(PAST, LATER + HOUR), Term(JUST, LATER))
    assert (both.since, both.until) == (JUST, LATER), "while both count"
    ended = state(FILE, REFUSED, Term(ends=PAST))
    assert (ended.since, ended.until) == (PAST, None)
    assert ended.why == "it ended on 2026-11-23 11:00 UTC; its words"
    early = state(FILE, UNASKED, Term(LATER))
    assert (early.since, early.until) == (None, LATER)
    assert "counts from 2026-11-23 13:00 UTC on" in early.why
    assert "wait until then" in early.mend
    assert state(FILE, REFUSED).why == "its words"


@pytest.mark.parametrize(
    ("accepted", "token", "mend"),
    [
        (REFUSED, Term(), "run: chmod"),
        (REFUSED, Term(ends=PAST), FILE.mend),  # that alone would not make it count again
        (UNASKED, Term(), "ask again later"),
        (TAKEN, Term(), ""),
    ],
)
def test_a_refusal_that_has_a_mend_of_its_own_tells_that_one(accepted, token, mend) -> None:
    assert judge(CredentialFacts(FILE, token, accepted=accepted, mend="run: chmod"), NOW).mend == mend


def test_where_nobody_can_be_asked_there_is_nothing_to_do() -> None:
    told = judge(CredentialFacts(FILE, words="it never tells", silent=True), NOW)
    assert (told.state, told.why, told.mend) == (S.UNKNOWN, "it never tells", "")
    assert judge(CredentialFacts(FILE, Term(ends=PAST), silent=True), NOW).mend == FILE.mend


def test_what_it_outlives() -> None:
    assert Credential(S.OK, "t", until=LATER).outlives(LATER)
    assert not Credential(S.OK, "t", until=LATER).outlives(LATER + SECOND)
    assert Credential(S.RENEWABLE, "t").outlives(LATER)
    assert not Credential(S.NOT_YET_VALID, "t", until=PAST).outlives(LATER)


moments = st.none() | st.integers(-3000, 3000).map(lambda each: NOW + timedelta(seconds=each))
terms = st.builds(Term, moments, moments)


@given(st.sampled_from([GIVEN, FILE, CLIENT]), terms, terms, st.sampled_from([TAKEN, REFUSED, UNASKED]))
def test_what_does_not_work_always_says_what_to_do(source, token, lasting, accepted) -> None:
    told = state(source, accepted, token, lasting)
    assert bool(told.mend) is not told.state.works
    assert told.why
    assert not told.state.works or accepted
    if accepted and not (source is CLIENT and lasting.ends):
        assert told.state.works, "the facility's word counts more than a clock's"


# ------------------------------------------------------------------------------ what sources and tokens tell


@pytest.mark.parametrize(
    ("source", "renewal", "mend"),
    [
        (StaticToken("secret-value", "the option"), Renewal.NEVER, "start again"),
        (token_from_env("TOKEN_OF_MINE"), Renewal.NEVER, "TOKEN_OF_MINE and start again"),
        (token_from_file("/there/token"), Renewal.REPLACED, "put a new token into the token file /there"),
        (token_from_command(["scontrol", "token"]), Renewal.ITSELF, "see to the command scontrol"),
        (ClientCredentials("https://t/token", "c", "secret-value"), Renewal.ITSELF, "put a secret"),
        (PasswordGrant("https://t/token", "c", "u", lambda: "secret-value"), Renewal.ITSELF, "put a secret"),
        (
            PrivateKeyJwt("https://t/token", key_from_env("KEY_OF_MINE")),
            Renewal.ITSELF,
            "new client (at NERSC: in Iris, Superfacility API Clients) and replace the environment variable",
        ),
    ],
)
def test_each_source_tells_how_it_is_mended_and_no_secret(source, renewal, mend) -> None:
    told = source.facts()
    assert told.renewal is renewal
    assert mend in told.mend
    assert told.identity == source.identity
    assert "secret-value" not in repr(told)


def jwt(**claims: object) -> str:
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.x"


@pytest.mark.parametrize(
    ("token", "term"),
    [
        ("opaque", Term()),
        (jwt(), Term()),
        (jwt(exp=NOW.timestamp()), Term(ends=NOW)),
        (jwt(nbf=NOW.timestamp(), exp=LATER.timestamp()), Term(NOW, LATER)),
        (jwt(iat=JUST.timestamp(), nbf=NOW.timestamp()), Term(NOW)),
        (jwt(iat=NOW.timestamp(), nbf=NOW.timestamp(), exp=LATER.timestamp()), Term(ends=LATER)),
        (jwt(nbf="soon", exp=True), Term()),
        (jwt(nbf=-(10**30), exp=10**30), Term()),
        (jwt(exp=float("nan")), Term()),
    ],
)
def test_the_term_that_a_token_tells(token, term) -> None:
    assert term_of(token) == term
