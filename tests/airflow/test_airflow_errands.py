"""Which ask a try is about: that of the try before it, or the next one."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from airflow_versions import needs_store

from airflow_provider_iri.errands import Errand

pytestmark = needs_store


def asked(task, what: Any = "a", **noted: Any) -> Errand:
    """A try that asks, and what becomes of it."""
    errand = Errand(task.context, "errand", what)
    errand.note(**noted)
    return errand


@pytest.mark.parametrize("cleared", [False, True])
@pytest.mark.parametrize(
    ("noted", "retry", "clear"),
    [
        ({}, "same", "same"),  # whether it came to anything is not known: the same key settles that
        ({"submission": "s"}, "same", "same"),
        ({"ref": "r"}, "same", "next, r ended"),
        ({"ref": "r", "left": True}, "same", "same"),  # a clear is how a person says "go on"
        ({"ref": "r", "ended": True}, "next", "next, r ended"),
    ],
)
def test_what_a_try_is_about(task, noted: dict[str, Any], retry: str, clear: str, cleared: bool) -> None:
    first = asked(task, **noted)
    task.ti.id = str(uuid.uuid4())  # each try has its own
    task.ti.max_tries += cleared
    then = Errand(task.context, "errand", "a")
    expected = clear if cleared else retry
    assert (then.key == first.key) is (expected == "same")
    assert then.record.generation == (1 if expected == "same" else 2)
    assert then.record.ref == (first.record.ref if expected == "same" else None)
    assert then.record.before == ("r" if "ended" in expected else None)
    assert not then.record.left
    again = Errand(task.context, "errand", "a")
    assert again.record == then.record, "a clear counts once"


def test_something_else_is_another_ask(task) -> None:
    first = asked(task, "a", ref="r")
    then = Errand(task.context, "errand", "b")
    assert then.key != first.key
    assert then.record.before == "r"
    third = Errand(task.context, "errand", "c")
    assert third.record.before == "r", "which is still to be ended"


def test_a_deferred_task_is_about_what_it_had_asked_for(task) -> None:
    """Fields with a clock in them are rendered anew when it comes back."""
    first = asked(task, "at 12:00", ref="r")
    back = Errand(task.context, "errand")
    back.note(left=True)
    assert (back.key, back.record.ref) == (first.key, "r")
    assert Errand(task.context, "errand", "at 12:00").record.ref == "r"


def test_what_ended_otherwise_than_it_should_is_asked_for_another_time(task) -> None:
    first = asked(task, ref="r", submission="s")
    first.again()
    then = Errand(task.context, "errand", "a")
    assert (then.record.generation, then.record.ref, then.record.submission) == (2, None, None)


@pytest.mark.parametrize("lasting", [False, True])
def test_without_a_store_every_try_asks_anew_but_for_what_lasts(task, lasting: bool) -> None:
    task.store = None
    first = Errand(task.context, "errand", "a", lasting=lasting)
    first.note(ref="r")
    task.ti.id = str(uuid.uuid4())
    then = Errand(task.context, "errand", "a", lasting=lasting)
    assert (then.key == first.key) is lasting
    assert then.record.ref is None
