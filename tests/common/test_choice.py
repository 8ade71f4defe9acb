"""Which facility comes first, and when a submit goes to the next one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common import Facilities, Facility, JobKey, Requirements, UsageError
from iri_common.model import errors
from iri_common.model.facility import Availability, QueueLength
from iri_common.policy.choice import Prospect, moves_on, nowhere, ranked, stays
from iri_common.policy.enclave import enclave_of

SOON = datetime(2026, 11, 24, 8, tzinfo=UTC)
HOUR = Requirements(nodes=4, seconds=3600)


def order(*prospects: Prospect, wanted: Requirements = HOUR) -> list[str]:
    return [each.facility for each in ranked(wanted, prospects)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"closed": "no answer"}),
        ({}, {"status": Availability.DOWN}),
        ({}, {"node_hours_left": 3.9}),
        ({"node_hours_left": 4.0}, {"node_hours_left": 0.0}),
        ({"status": Availability.UP}, {"status": Availability.DEGRADED}),
        ({"status": Availability.UNKNOWN}, {"status": Availability.DEGRADED}),
        ({"status": Availability.DEGRADED}, {"away": SOON}),
        ({}, {"credential_ends": SOON}),
        ({"credential_ends": SOON}, {"status": Availability.DEGRADED}),
        ({"waiting": 9}, {"waiting": 0, "credential_ends": SOON}),
        ({"waiting": 2}, {"waiting": 3}),
        ({"waiting": 90}, {"waiting": 0, "away": SOON}),
        ({"away": SOON}, {"closed": "no right"}),
    ],
)
def test_what_can_begin_sooner_comes_first(first: dict, second: dict) -> None:
    better, worse = Prospect("better", **first), Prospect("worse", **second)
    assert order(better, worse) == order(worse, better) == ["better", "worse"]


def test_queues_of_all_users_are_compared_where_all_tell_them() -> None:
    small, busy = QueueLength(waiting=20, running=10), QueueLength(waiting=90, running=300)
    told = [Prospect("small", queue=small), Prospect("busy", queue=busy)]
    assert order(*told) == ["busy", "small"]
    assert order(*told, Prospect("closed", closed="no answer")) == ["busy", "small", "closed"]
    assert order(*told, Prospect("mute")) == ["small", "busy", "mute"]


def test_among_equals_the_order_given_stands() -> None:
    assert order(Prospect("b"), Prospect("a"), Prospect("c")) == ["b", "a", "c"]


def test_every_place_is_explained() -> None:
    told = ranked(
        HOUR,
        [
            Prospect("near", "one", status=Availability.DOWN, node_hours_left=1.5),
            Prospect(
                "far",
                "two",
                "",
                Availability.UP,
                SOON,
                SOON + timedelta(hours=6),
                SOON,
                12.25,
                waiting=3,
                running=1,
                queue=QueueLength(40, 12),
            ),
            Prospect("mute", closed="no answer from far.example"),
        ],
    )
    assert [str(each) for each in told] == [
        (
            "far (two): open; the machine is up; announced to be away from 2026-11-24 08:00 UTC until "
            "2026-11-24 14:00 UTC; the credential ends at 2026-11-24 08:00 UTC; the job lives on; "
            "12.25 node hours are left; 3 of my jobs wait and 1 runs there; "
            "of all users 40 jobs wait and 12 run"
        ),
        "near (one): closed; the machine is down; 1.5 node hours are left, and up to 4 are asked for",
        "mute: closed; no answer from far.example",
    ]


def test_one_is_told_otherwise_than_several() -> None:
    one = Prospect("a", node_hours_left=1.0, waiting=1, queue=QueueLength(1, 1))
    [told] = ranked(Requirements(), [one])
    assert told.reasons[1:] == (
        "1 node hour is left",
        "1 of my jobs waits and 0 run there",
        "of all users 1 job waits and 1 runs",
    )


def test_without_a_time_limit_anything_that_is_left_is_enough() -> None:
    told = ranked(
        Requirements(nodes=100), [Prospect("some", node_hours_left=0.1), Prospect("none", node_hours_left=0)]
    )
    assert [each.open for each in told] == [True, False]


@given(
    st.lists(
        st.builds(
            Prospect,
            facility=st.uuids().map(str),
            closed=st.sampled_from(("", "no answer")),
            status=st.sampled_from(Availability),
            away=st.sampled_from((None, SOON)),
            node_hours_left=st.none() | st.floats(-10, 10),
            waiting=st.none() | st.integers(0, 9),
        ),
        max_size=8,
    )
)
def test_nothing_is_lost_and_no_closed_door_stands_before_an_open_one(prospects: list[Prospect]) -> None:
    choices = ranked(HOUR, prospects)
    assert sorted(each.facility for each in choices) == sorted(each.facility for each in prospects)
    assert [each.open for each in choices] == sorted((each.open for each in choices), reverse=True)
    assert all(each.reasons for each in choices)


MOVES = {
    "TransientError",
    "ResourceDown",
    "Unreachable",
    "RateLimited",
    "AuthError",
    "PermissionDenied",
    "NotOffered",
    "GrantExceeded",
    "ReplyError",
}


@pytest.mark.parametrize(
    "kind",
    [
        errors.IriError,
        *(
            each
            for each in vars(errors).values()
            if isinstance(each, type)
            and each.__module__ == errors.__name__
            and issubclass(each, errors.IriError)
        ),
    ],
    ids=lambda kind: kind.__name__,
)
def test_a_submit_moves_on_from_a_closed_door_and_from_nothing_else(kind: type[errors.IriError]) -> None:
    error = kind.__new__(kind)
    assert moves_on(error) is (kind.__name__ in MOVES)


def test_an_ask_that_nobody_takes_says_whether_time_mends_it() -> None:
    key = JobKey.of("nightly")
    away, grant = errors.Unreachable("no answer"), errors.NotOffered("no such machine")
    assert isinstance(told := nowhere(key, [grant, away]), errors.ResourceDown)
    assert told.message == f"no facility takes {key}, and nothing was sent: no such machine; no answer"
    assert isinstance(nowhere(key, [grant, errors.PermissionDenied("no right")]), errors.NotOffered)


def test_an_ask_in_doubt_says_what_becomes_of_the_other_doors() -> None:
    doubt = errors.SubmitUncertain(
        "its fate is open", key=JobKey.of("nightly"), candidates=("7",), facility="near", outcome="away"
    )
    told = stays(doubt)
    assert told.message.startswith("its fate is open. No other facility is asked meanwhile. To give it up")
    assert vars(told) | {"message": ""} == vars(doubt) | {"message": ""}


@pytest.mark.parametrize(
    ("url", "enclave"),
    [
        ("https://amsc-moderate.s3m.olcf.ornl.gov/api/v1", "moderate"),
        ("https://amsc-open.s3m.olcf.ornl.gov/api/v1", "open"),
        ("https://s3m.olcf.ornl.gov/slurm/moderate/v0.0.42/defiant", "moderate"),
        ("https://api.iri.nersc.gov/api/v2", "open"),
        ("https://immoderate.example/api/v2", "open"),
    ],
)
def test_an_enclave_is_told_by_the_url(url: str, enclave: str) -> None:
    assert enclave_of(url) == enclave


def test_doors_are_named_once_and_enclaves_mixed_only_on_demand() -> None:
    inner = Facility("https://amsc-moderate.s3m.olcf.ornl.gov/api/v1")
    outer = Facility("https://amsc-open.s3m.olcf.ornl.gov/api/v1")
    with pytest.raises(UsageError, match=r"different enclaves .*moderate.*mixed=True"):
        Facilities(inner, outer)
    assert Facilities(inner, outer, mixed=True)
    told = Facility("https://api.example/api/v2", enclave="moderate")
    assert Facilities(inner, told)
    for doors in ((), (outer, outer)):
        with pytest.raises(UsageError, match="each once"):
            Facilities(*doors)


@pytest.mark.parametrize("words", [{"nodes": 0}, {"seconds": 0}, {"seconds": float("nan")}])
def test_requirements_that_make_no_sense(words: dict) -> None:
    with pytest.raises(UsageError):
        Requirements(**words)
