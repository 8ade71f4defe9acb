"""The pure rules of watching: how often, by which question, and when a job is gone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common.policy.bulk import ListMemory, Way, choose, list_lies, list_the_ended, quicker_singly
from iri_common.policy.pace import Allowance, Pace, after_failures, per_minute, while_refused
from iri_common.policy.vanished import Absence, counted, judge

paces = st.builds(
    Pace,
    quickest=st.floats(0.01, 10),
    slowest=st.floats(10, 600),
    fraction=st.floats(0.01, 1),
)
ages = st.floats(0, 10**6)


# -------------------------------------------------------------------------------- how often


@given(paces, ages, ages)
def test_the_pace_stays_in_its_bounds_and_slows_with_age(pace: Pace, one: float, other: float) -> None:
    young, old = sorted((one, other))
    assert pace.quickest <= pace.delay(young) <= pace.delay(old) <= pace.slowest


@pytest.mark.parametrize(
    ("since", "left", "ending", "delay"),
    [
        (0, None, False, 2.0),
        (30, None, False, 3.0),
        (119, None, False, 4.0),
        (120, None, False, 12.0),
        (10**5, None, False, 28.0),
        (10**5, None, True, 2.0),
        (10**5, 29, False, 2.0),
        (10**5, -100, False, 2.0),
        (10**5, 31, False, 28.0),
        (10**5, -121, False, 28.0),
    ],
)
def test_a_job_is_looked_at_quickly_when_it_is_young_or_about_to_end(since, left, ending, delay) -> None:
    assert Pace().delay(since, left, ending=ending) == delay


@given(paces, st.integers(1, 10**6))
def test_failures_stretch_the_pause_up_to_twice_the_slowest(pace: Pace, failures: int) -> None:
    pauses = [after_failures(pace, failures), after_failures(pace, failures + 1)]
    assert pace.quickest * 2 <= pauses[0] <= pauses[1] <= 2 * pace.slowest


@given(paces)
def test_a_dead_credential_is_tried_at_most_every_minute_and_at_least_every_half(pace: Pace) -> None:
    assert while_refused(pace) <= 45
    assert while_refused(Pace()) == 40


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_more_jobs_never_get_more_requests_for_each(one: int, other: int) -> None:
    few, many = sorted((one, other))
    assert 60 >= per_minute(Pace(), few) >= per_minute(Pace(), many) >= 20
    assert per_minute(Pace(), 10_000) == 20


@given(
    st.floats(20, 1200), st.lists(st.tuples(st.floats(0, 100), st.integers(0, 40)), min_size=1, max_size=40)
)
def test_what_is_spent_never_exceeds_the_rate_in_the_long_run(rate, steps) -> None:
    """Whoever waits until the last look is paid for stays within the rate, and one look more."""
    allowance, now, spent, largest = Allowance(left=0.0), 0.0, 0, 0
    allowance.set_rate(rate, now)
    for pause, requests in steps:
        now += pause + allowance.ready_in(1, now + pause)
        allowance.count(now)
        allowance.spend(requests)
        spent, largest = spent + requests, max(largest, requests)
    assert spent <= now * rate / 60 + largest + 1e-6


@given(st.floats(20, 1200), st.floats(-50, 100), st.floats(0, 100))
def test_an_allowance_is_ready_when_it_says_so(rate, left, requests) -> None:
    allowance = Allowance(left=left)
    allowance.set_rate(rate, 0.0)
    ready = allowance.ready_in(requests, 0.0)
    assert allowance.expected(ready) >= min(requests, allowance.most) - 1e-6
    if ready > 1e-6:
        assert allowance.expected(ready * 0.9) < min(requests, allowance.most)


# -------------------------------------------------------------------------------- list or single questions


def memory(**facts) -> ListMemory:
    return ListMemory(**{"live_pages": 1, "worked": True, **facts})


@pytest.mark.parametrize(
    ("facts", "due", "watched", "way"),
    [
        ({}, 1, 1, Way.ONE_BY_ONE),
        ({}, 2, 2, Way.ONE_BY_ONE),
        ({}, 1, 3, Way.LIVE),
        ({}, 3, 3, Way.LIVE),
        ({"not_before": math.inf}, 3, 3, Way.ONE_BY_ONE),
        ({"live_pages": 10}, 9, 10_000, Way.ONE_BY_ONE),
        ({"live_pages": 10, "ended_pages": 30}, 10, 10_000, Way.LIVE),
        ({"live_pages": 10, "ended_pages": 10}, 10_000, 10_000, Way.ENDED),
        ({"live_pages": 10}, 10_000, 10_000, Way.ENDED),  # worth a try
        ({"live_pages": 10, "ended_not_before": 1e9}, 10_000, 10_000, Way.LIVE),
        ({"live_pages": 10, "ended_pages": 15, "ends": 4.0}, 10_000, 10_000, Way.LIVE),
        ({"live_pages": 10, "ended_pages": 15, "ends": 5.0}, 10_000, 10_000, Way.ENDED),
        ({"ended_pages": 1, "ends": 0.5}, 100, 100, Way.ENDED),
        ({"ended_pages": 1}, 100, 100, Way.LIVE),
        ({"ended_pages": 3, "ends": 1.0}, 100, 100, Way.LIVE),
    ],
)
def test_a_look_takes_the_way_of_fewest_requests(facts, due, watched, way) -> None:
    assert choose(memory(**facts), due=due, watched=watched, now=100.0) is way


@given(
    st.builds(
        ListMemory,
        live_pages=st.integers(0, 20),
        ended_pages=st.none() | st.integers(1, 20),
        ends=st.floats(0, 100),
        not_before=st.floats(0, 200),
        ended_not_before=st.floats(0, 200),
    ),
    st.integers(1, 10**5),
    st.integers(1, 10**5),
)
def test_no_list_is_asked_for_that_failed_or_costs_more_than_single_questions(memory, due, watched) -> None:
    way = choose(memory, due=min(due, watched), watched=watched, now=100.0)
    if way is not Way.ONE_BY_ONE:
        assert memory.usable(100.0)
        assert min(due, watched) >= min(memory.cost(Way.LIVE, watched), memory.cost(Way.ENDED, watched))
    if way is Way.ENDED:
        assert memory.ended_not_before <= 100.0


def test_a_list_that_fails_is_left_alone_for_longer_each_time_and_trusted_again_at_once() -> None:
    lists = memory()
    pauses = []
    for _ in range(8):
        lists.failed(0.0, 2.0)
        pauses.append(lists.not_before)
        assert not lists.usable(pauses[-1] - 0.1)
        assert lists.usable(pauses[-1])
    assert pauses == [30, 60, 120, 240, 480, 600, 600, 600]
    lists.answered()
    assert lists.usable(0.0)
    lists.refused(0.0, for_good=True)
    assert not lists.usable(1e9)


def test_the_ended_are_listed_where_that_is_cheaper_than_asking_for_each() -> None:
    lists = memory(ended_pages=5)
    assert not list_the_ended(lists, gone=5, watched=100, now=0.0)
    assert list_the_ended(lists, gone=6, watched=100, now=0.0)
    lists.ended_failed(0.0)
    assert not list_the_ended(lists, gone=100, watched=100, now=599.0)
    assert list_the_ended(lists, gone=100, watched=100, now=600.0)


@pytest.mark.parametrize(
    ("asked", "alive", "lies"), [(0, 0, False), (2, 2, False), (3, 3, True), (10, 5, False), (10, 6, True)]
)
def test_a_list_lies_if_most_of_those_that_left_it_live(asked: int, alive: int, lies: bool) -> None:
    assert list_lies(asked, alive) is lies


@pytest.mark.parametrize(
    ("hurried", "pages", "singly"), [(1, 5, True), (2, 5, True), (3, 5, False), (1, 10, False), (1, 1, False)]
)
def test_jobs_in_a_hurry_are_asked_for_one_by_one_while_that_is_quicker(hurried, pages, singly) -> None:
    assert quicker_singly(hurried, pages, 20 / 60, 28.0) is singly


# -------------------------------------------------------------------------------- gone


@pytest.mark.parametrize(
    ("absent", "facts", "verdict"),
    [
        (59, {"seen": True}, Absence.WAIT),
        (60, {"seen": True}, Absence.LOST),
        (119, {"seen": False}, Absence.WAIT),
        (120, {"seen": False}, Absence.LOST),
        (59, {"seen": True, "witness": True}, Absence.WAIT),
        (60, {"seen": True, "witness": True}, Absence.ASK),
        (60, {"seen": True, "witness": True, "since_asked": 59}, Absence.WAIT),
        (120, {"seen": True, "witness": True, "since_asked": 60}, Absence.ASK),
        (10**6, {"seen": True, "witness": True, "since_asked": 60}, Absence.ASK),
        (899, {"seen": True, "witness": True, "begun": True, "since_asked": 60}, Absence.ASK),
        (900, {"seen": True, "witness": True, "begun": True, "since_asked": 60}, Absence.LOST),
    ],
)
def test_an_unlisted_job_is_late_before_it_is_a_case_and_a_case_before_it_is_lost(
    absent, facts, verdict
) -> None:
    assert judge(absent, **{"witness": False, **facts}) is verdict


@given(st.floats(0, 10**6))
def test_no_single_look_proves_that_a_job_is_gone(since: float) -> None:
    assert judge(counted(since), seen=True, witness=False) is Absence.WAIT
