"""One submission, every way it can go; the facility is a script and time costs nothing."""

from __future__ import annotations

import pytest
from jobs_world import (
    ScriptedJobs,
    failing,
    seconds,
    status,
)
from submit_door import KEY, Door, hit, lose_the_reply, takes_it_and_loses_the_reply

from iri_common import (
    AmbiguousReply,
    AuthError,
    Conflict,
    JobSpec,
    NotOffered,
    Refused,
    SpecChanged,
    SubmitUncertain,
    TransientError,
    Unreachable,
    UsageError,
)
from iri_common.jobs import operations
from iri_common.jobs.operations import Patience
from iri_common.model.job import Accepted, JobEntry
from iri_common.model.ledger import Stage
from iri_common.model.outcome import Done, Pending

# ------------------------------------------------------------------------------------ the plain way


def test_accepted_at_once() -> None:
    door = Door()
    ref = door.ask()
    assert (ref.job_id, ref.key, ref.resource_id, ref.origin) == ("1", KEY, "machine", "facility.example")
    assert len(door.jobs.asks) == 1
    assert not door.jobs.looks
    assert door.ledger.stages == ["intent", "sent", "accepted"]
    assert not door.ledger.claims


def test_the_job_carries_the_name_by_which_it_is_found_and_the_key() -> None:
    door = Door()
    door.ask()
    (ask,) = door.jobs.asks
    assert ask.spec["name"] == KEY.job_name("probe")
    assert ask.key == KEY.idempotency_key("machine")


def test_asked_again_answers_from_the_ledger_without_a_request() -> None:
    door = Door()
    first = door.ask()
    assert door.ask() == first
    assert len(door.jobs.asks) == 1
    assert not door.jobs.looks


def test_a_replayed_answer_proves_that_keys_are_kept() -> None:
    door = Door(hit)
    assert door.ask().job_id == "1"
    assert door.memory.honours_keys


@pytest.mark.parametrize(("replayed", "proved"), [(None, False), (False, True), (True, True)])
def test_what_proves_that_keys_are_kept(replayed, proved) -> None:
    door = Door(lambda jobs, ask: jobs.run(ask, replayed))
    door.ask()
    assert door.memory.honours_keys is proved


def test_no_key_is_sent_where_the_facility_has_no_word_for_it() -> None:
    door = Door(settle="lookup")
    door.ask()
    assert door.jobs.asks[0].key is None


def test_the_facility_may_take_its_time_to_accept() -> None:
    pending = Pending("t1", "launchJob", lambda result: Accepted(result, status("new")))
    door = Door(pending)
    door.dialect.operations.looks["t1"] = [None, None, "77"]
    assert door.ask().job_id == "77"


# ------------------------------------------------------------------------------------ lost replies


def test_a_lost_reply_is_settled_by_the_name() -> None:
    door = Door(takes_it_and_loses_the_reply)
    assert door.ask().job_id == "1"
    assert len(door.jobs.asks) == 1
    assert door.ledger.stages == ["intent", "sent", "accepted"]


def test_a_job_that_ended_meanwhile_is_found_too() -> None:
    def quick(jobs, ask):
        jobs.run(ask)
        jobs.listed["1"] = (ask.spec["name"], status("completed", 0))
        return failing(AmbiguousReply, "reply lost")

    door = Door(quick)
    assert door.ask().job_id == "1"
    assert [historical for _, historical in door.jobs.looks] == [False, True]


def test_a_job_that_is_listed_late_is_waited_for() -> None:
    class Late(ScriptedJobs):
        async def list(self, *args, **kwargs):
            answer = await super().list(*args, **kwargs)
            return Done([]) if seconds() < 3 else answer

    door = Door()
    door.jobs = door.dialect.jobs = Late(script=[takes_it_and_loses_the_reply])
    assert door.ask().job_id == "1"
    assert len(door.jobs.asks) == 1


def test_a_lost_reply_is_sent_again_where_keys_are_kept() -> None:
    door = Door(lose_the_reply, hit)
    door.memory.honours_keys = True
    assert door.ask().job_id == "1"
    first, second = door.jobs.asks
    assert first.key == second.key is not None
    assert len(door.jobs.looks) == 6, "three looks, each at live and at ended jobs, come before"


def test_a_lost_reply_is_not_sent_again_where_nothing_proves_that_keys_are_kept() -> None:
    door = Door(lose_the_reply)
    with pytest.raises(SubmitUncertain) as caught:
        door.ask()
    assert len(door.jobs.asks) == 1
    assert caught.value.key == KEY
    assert str(KEY) in caught.value.message
    assert caught.value.operation == "launchJob"
    assert door.ledger.stages == ["intent", "sent", "uncertain"]
    assert not door.ledger.claims


@pytest.mark.parametrize("outcome", ["broken", "away", "unreadable"])
def test_a_service_that_broke_is_never_asked_twice(outcome: str) -> None:
    door = Door(failing(AmbiguousReply, outcome))
    door.memory.honours_keys = True
    with pytest.raises(SubmitUncertain):
        door.ask()
    assert len(door.jobs.asks) == 1


def test_resending_has_an_end() -> None:
    door = Door(*[lose_the_reply] * 9)
    door.memory.honours_keys = True
    with pytest.raises(SubmitUncertain):
        door.ask()
    assert len(door.jobs.asks) == 4


def test_asking_again_after_an_uncertain_end_adopts_the_job() -> None:
    door = Door(lose_the_reply)
    with pytest.raises(SubmitUncertain):
        door.ask()
    door.jobs.listed["5"] = (KEY.job_name("probe"), status("active"))
    assert door.ask().job_id == "5"
    assert len(door.jobs.asks) == 1
    assert door.ledger.stages[-1] == "accepted"


# ------------------------------------------------------------------------------ looks that see nothing


@pytest.mark.parametrize("failure", [failing(Unreachable, "not sent"), failing(AuthError, "bad token")])
def test_a_look_that_fails_settles_nothing_and_the_key_is_told(failure) -> None:
    door = Door(takes_it_and_loses_the_reply, looking=[failure])
    door.memory.honours_keys = True
    with pytest.raises(SubmitUncertain) as caught:
        door.ask()
    assert caught.value.key == KEY
    assert failure.message in caught.value.message
    assert caught.value.__cause__ is failure
    assert door.ask().job_id == "1", "and once it can be seen, it is adopted"
    assert len(door.jobs.asks) == 1


def test_a_look_that_fails_before_anything_was_sent_is_told_as_it_is() -> None:
    door = Door(looking=[failing(Unreachable, "not sent")])
    door.remember(Stage.SENT)
    with pytest.raises(Unreachable):
        door.ask()
    assert not door.jobs.asks
    assert door.ledger.records[KEY.identity].stage is Stage.SENT


def test_a_list_without_names_proves_nothing() -> None:
    unnamed = [JobEntry("9", status("active"))]
    door = Door(lose_the_reply, looking=[unnamed] * 20)
    with pytest.raises(SubmitUncertain):
        door.ask()
    assert len(door.jobs.looks) == 2, "one look is enough to learn that looking is no use"


def test_a_list_without_names_does_not_make_a_crash_a_second_job() -> None:
    door = Door(looking=[[JobEntry("9", status("active"))]] * 20)
    door.remember(Stage.SENT)
    with pytest.raises(SubmitUncertain):
        door.ask()
    assert not door.jobs.asks


def test_a_list_without_an_end_proves_nothing() -> None:
    others = [JobEntry(str(n), status("active"), "other") for n in range(30_000)]
    door = Door(looking=[others] * 100)
    door.remember(Stage.SENT)
    with pytest.raises(SubmitUncertain):
        door.ask()
    assert not door.jobs.asks


def test_a_job_on_a_later_page_is_found() -> None:
    others = [JobEntry(str(n), status("active"), "other") for n in range(2500)]
    ours = JobEntry("mine", status("active"), KEY.job_name("probe"))
    door = Door(looking=[[*others, ours]] * 10)
    door.remember(Stage.SENT)
    assert door.ask().job_id == "mine"


def test_a_site_without_a_list_trusts_the_kept_key() -> None:
    nowhere = failing(NotOffered, "not offered", "getJobs")
    door = Door(lose_the_reply, hit, looking=[nowhere])
    door.memory.honours_keys = True
    assert door.ask().job_id == "1"
    unproved = Door(lose_the_reply, looking=[nowhere])
    with pytest.raises(SubmitUncertain):
        unproved.ask()


# ------------------------------------------------------------------------------------ refusals


def test_a_server_without_a_store_gets_no_key_and_is_not_asked_with_one_again() -> None:
    door = Door(failing(NotOffered, "not offered"))
    assert door.ask().job_id == "1"
    assert [ask.key is None for ask in door.jobs.asks] == [False, True]
    door.ask(KEY.next())
    assert door.jobs.asks[-1].key is None


def test_a_conflict_in_flight_is_looked_at_then_asked_for_again() -> None:
    def other_one_wins(jobs, ask):
        jobs.run(ask)
        return failing(Conflict, "conflict")

    door = Door(other_one_wins)
    assert door.ask().job_id == "1"
    assert len(door.jobs.asks) == 1

    replayed = Door(failing(Conflict, "conflict"), hit)
    assert replayed.ask().job_id == "1"
    assert len(replayed.jobs.asks) == 2


def test_an_endless_conflict_ends_uncertain() -> None:
    door = Door(*[failing(Conflict, "conflict")] * 9)
    with pytest.raises(SubmitUncertain):
        door.ask()
    assert len(door.jobs.asks) == 8


def test_a_refusal_is_told_and_may_be_asked_again() -> None:
    door = Door(failing(Refused, "invalid"))
    with pytest.raises(Refused, match="invalid"):
        door.ask()
    assert door.ledger.stages == ["intent", "sent", "refused"]
    other = JobSpec(executable="/bin/false")
    assert door.ask(spec=other).job_id == "1", "nothing ran: the same key may ask for what is right"


def test_the_network_away_before_anything_was_sent_is_a_refusal_to_try_again() -> None:
    door = Door(failing(Unreachable, "not sent"))
    with pytest.raises(Unreachable):
        door.ask()
    assert not door.jobs.looks
    assert door.ask().job_id == "1"


@pytest.mark.parametrize("kind", [AuthError, Unreachable])
def test_a_token_that_cannot_be_had_is_no_lost_reply(kind) -> None:
    door = Door(failing(kind, None, operation=None))
    with pytest.raises(kind):
        door.ask()
    assert not door.jobs.looks
    assert door.ledger.stages[-1] == "refused"


def test_an_error_of_the_request_without_a_word_on_its_fate_counts_as_lost() -> None:
    door = Door(failing(TransientError, None))
    with pytest.raises(SubmitUncertain):
        door.ask()


@pytest.mark.parametrize(
    "met", [failing(Unreachable, "not sent", "getTask"), failing(AuthError, "bad token", "getTask")]
)
def test_what_a_look_at_the_task_met_says_nothing_of_the_submit(met) -> None:
    pending = Pending("t1", "launchJob", lambda result: Accepted(result, status("new")))
    door = Door(pending)
    door.dialect.operations.looks["t1"] = [met]
    with pytest.raises(SubmitUncertain):
        door.ask()
    assert len(door.jobs.asks) == 1


def test_a_task_that_failed_is_the_submit_that_failed() -> None:
    pending = Pending("t1", "launchJob", lambda result: Accepted(result, status("new")))
    door = Door(pending)
    door.dialect.operations.looks["t1"] = [failing(Refused, "invalid")]
    with pytest.raises(Refused):
        door.ask()


def test_a_task_without_an_end_is_uncertain(monkeypatch) -> None:
    door = Door(Pending("t1", "launchJob", lambda result: Accepted(result, status("new"))))
    door.dialect.operations.looks["t1"] = [None] * 10
    # This patience is counted by the real clock, so it is cut short.
    monkeypatch.setattr(operations, "Patience", lambda: Patience(total=0.0))
    with pytest.raises(SubmitUncertain, match="still works on launchJob"):
        door.ask()


# ------------------------------------------------------------------------------ what was asked before


def test_a_key_belongs_to_one_spec() -> None:
    door = Door()
    door.ask()
    with pytest.raises(SpecChanged, match="another job"):
        door.ask(spec=JobSpec(executable="/bin/false"))
    assert len(door.jobs.asks) == 1


def test_a_key_belongs_to_one_place() -> None:
    here = Door()
    here.ask()
    with pytest.raises(SpecChanged):
        here.ask(resource="other machine")
    there = Door(ledger=here.ledger, origin="elsewhere.example")
    with pytest.raises(SpecChanged, match="a job at test"):
        there.ask()
    assert not there.jobs.asks


def test_an_older_generation_is_refused_and_the_next_one_runs() -> None:
    door = Door()
    door.ask()
    second = door.ask(KEY.next())
    assert (second.job_id, second.key.generation) == ("2", 2)
    with pytest.raises(UsageError, match="in the past"):
        door.ask()
    assert len(door.jobs.asks) == 2


def test_an_uncertain_generation_does_not_make_the_next_one_look() -> None:
    door = Door()
    door.remember(Stage.UNCERTAIN)
    assert door.ask(KEY.next(), spec=JobSpec(executable="/bin/false")).job_id == "1"
    assert not door.jobs.looks
