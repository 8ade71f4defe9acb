"""What a person is told of a run that is late, where Airflow calls back of a missed deadline."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, ClassVar

import pytest
from airflow.sdk import DAG, BaseNotifier

from airflow_provider_iri import IriHook, IriNotifier, lateness
from airflow_provider_iri.lateness import SHOWN, Late, Waiting, look

RUN = {"dag_id": "dag", "dag_run_id": "r", "state": "running", "start_date": "2026-11-23T18:00:01Z"}
DUE = datetime(2026, 11, 23, 19, 30, tzinfo=UTC)
PATH = "airflow_provider_iri.notifier.IriNotifier"
REF = "iri+job://api.example.org/iri/cluster/key.1?job=7"


def missed(**deadline: Any) -> dict[str, Any]:
    """As Airflow gives it, in the triggerer and in an executor."""
    return {"dag_run": RUN, "deadline": {"id": "1", "deadline_time": DUE, **deadline}}


class Page(BaseNotifier):
    """Another provider's notifier, which can be awaited."""

    template_fields = ("text",)
    told: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, text: str = "{{ iri.subject }}", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.text = text

    async def async_notify(self, context: Any) -> None:
        self.told.append(("awaited", self.text))


class Letter(Page):
    """One that cannot."""

    async_notify = BaseNotifier.async_notify

    def notify(self, context: Any) -> None:
        self.told.append(("called", self.text))


def note(context: Any, mark: str = "") -> None:
    Page.told.append((f"noted{mark}", context["iri"]["subject"]))


def keep(context: Any) -> None:
    Page.told.append(("text", context["iri"]["text"]))


async def anote(context: Any) -> None:
    Page.told.append(("awaited function", context["iri"]["subject"]))


@pytest.fixture
def told(monkeypatch) -> list[tuple[str, str]]:
    """What is told to those of a module that the triggerer finds by its name."""
    module = ModuleType("our_site_alerts")
    for each in (Page, Letter, note, anote, keep):
        setattr(module, each.__name__, each)
    monkeypatch.setitem(sys.modules, "our_site_alerts", module)
    monkeypatch.setattr(Page, "told", [])
    return Page.told


@pytest.fixture
def airflow_has(monkeypatch):
    """The tasks of the run, by their states, and their XComs."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from airflow.sdk.execution_time.xcom import XCom

    def have(
        states: dict[str, str | None], xcoms: dict[tuple[str, int, str], str] | None = None
    ) -> list[str]:
        asked: list[str] = []

        def get_one(*, key: str, dag_id: str, run_id: str, task_id: str, map_index: int) -> str | None:
            assert (dag_id, run_id) == ("dag", "r")
            asked.append(key)
            return (xcoms or {}).get((task_id, map_index, key))

        monkeypatch.setattr(XCom, "get_one", get_one)
        told = staticmethod(lambda **_: {"r": states})
        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", told)
        return asked

    return have


async def fired(kwargs: dict[str, Any]) -> dict[str, Any]:
    """What Airflow's own trigger makes of a callback, once it has run."""
    from airflow.triggers.callback import CallbackTrigger

    events = [event.payload async for event in CallbackTrigger(PATH, {**kwargs, "context": missed()}).run()]
    return events[-1]


async def test_a_late_run_is_told_in_the_triggerer(told, airflow_has) -> None:
    airflow_has(
        {"fit_0": "deferred", "fit_1": "success", "prepare_2": "running", "later": None},
        {("fit", 0, "iri_job"): REF, ("prepare_2", -1, "iri_transfer"): "task-id"},
    )
    paths = ["our_site_alerts.Page", "our_site_alerts.note", "our_site_alerts.anote"]
    to = [
        *paths,
        ["our_site_alerts.Letter", {"text": "{{ iri.job }}"}],
        ["our_site_alerts.note", {"mark": 2}],
    ]
    assert (await fired({"to": [*to, "our_site_alerts.keep"]}))["state"] == "success"
    jobs = "fit[0]: job 7 at api.example.org, the task is deferred; prepare_2: task of Globus task-id"
    _, text = told.pop()
    assert told == [
        ("awaited", "dag is late (run r)"),
        ("noted", "dag is late (run r)"),
        ("awaited function", "dag is late (run r)"),
        ("called", f"{jobs}, the task is running"),
        ("noted2", "dag is late (run r)"),
    ]
    assert "it was to be over by 2026-11-23 19:30 UTC, and is running since 2026-11-23 18:00 UTC" in text
    assert "tasks that are not over: 1 deferred, 1 running, 1 not begun" in text


async def test_jobs_of_a_late_run_are_looked_at_by_a_connection(demo, told, airflow_has) -> None:
    jobs = IriHook().facility.aio.jobs
    ref = await jobs.submit({"executable": "/bin/sleep", "arguments": ["60"]})
    elsewhere = str(replace(ref, origin="elsewhere.example.org"))
    airflow_has(
        {"a": "deferred", "b": "deferred"}, {("a", -1, "iri_job"): str(ref), ("b", -1, "iri_job"): elsewhere}
    )
    await fired({"iri_conn_id": "iri_default", "to": ["our_site_alerts.keep"]})
    await jobs.cancel(ref)
    ((_, text),) = told
    assert any(f"a: {ref.describe()}, {word} since 20" in text for word in ("queued", "active"))
    assert f"b: job {ref.job_id} at elsewhere.example.org, not seen: " in text
    assert "connection: iri_default" in text


async def test_few_of_many_tasks_are_asked_for_what_they_have(airflow_has) -> None:
    states = {f"fit_{n}": "queued" for n in range(1000)} | {f"fit_{n}": "deferred" for n in range(900, 950)}
    asked = airflow_has(states, {("fit", n, "iri_job"): REF for n in range(1000)})
    late = await look("dag", "r", None)
    assert late.states == {"queued": 950, "deferred": 50}
    assert {each.state for each in late.waiting} == {"deferred"}
    assert len(asked) == len(late.waiting) == SHOWN


@pytest.mark.parametrize("error", [ConnectionError("no answer"), TypeError("another version")])
async def test_a_late_run_is_told_though_nobody_tells_of_its_tasks(
    monkeypatch, told, error: Exception
) -> None:
    def silent(*_: Any) -> None:
        raise error

    monkeypatch.setattr(lateness, "states_of", silent)
    assert (await fired({"to": ["our_site_alerts.Page"]}))["state"] == "success"
    assert told == [("awaited", "dag is late (run r)")]


def test_a_late_run_is_told_in_an_executor_which_has_no_answers(told) -> None:
    """Of Airflow's ``SyncCallback``: connections and variables are all that it may ask for there."""
    kwargs = {"to": ["our_site_alerts.Letter", "our_site_alerts.note"], "context": missed()}
    IriNotifier(**kwargs)(kwargs["context"])
    assert told == [("called", "dag is late (run r)"), ("noted", "dag is late (run r)")]


@pytest.mark.parametrize("due", [DUE, DUE.isoformat(), "2026-11-23T19:30:00Z"])
def test_the_time_that_was_missed_is_told_however_airflow_writes_it(told, due: Any) -> None:
    IriNotifier(to=[keep])(missed(deadline_time=due))
    assert "to be over by 2026-11-23 19:30 UTC" in told[0][1]


async def test_one_that_cannot_be_told_keeps_the_others_from_nothing(told, airflow_has) -> None:
    airflow_has({})
    done = await fired({"to": ["our_site_alerts.gone", "our_site_alerts.Page"]})
    assert done["state"] == "failed"
    assert "our_site_alerts.gone" in done["body"]
    assert told == [("awaited", "dag is late (run r)")]


@pytest.mark.parametrize(
    ("late", "ref"),
    [
        (Late({"deferred": 1}, [Waiting("a", "deferred", REF, "job 7")]), REF),
        (Late({"deferred": 2}, [Waiting(each, "deferred", REF, "job 7") for each in "ab"]), ""),
        (Late({}), ""),
    ],
)
def test_the_reference_is_told_where_there_is_one(late: Late, ref: str) -> None:
    from airflow_provider_iri.notifier import notice_of

    context: Any = missed()
    assert notice_of(context, late).ref == ref


@pytest.mark.parametrize("each", [7, "plain", ["a.b", {}, 1], ["a.b", 1], {"a.b": {}}])
def test_what_tells_nobody_is_refused_when_its_dag_is_read(each: Any) -> None:
    with pytest.raises(ValueError, match="tells nobody"):
        IriNotifier(to=[each])


def test_a_deadline_alert_goes_through_airflows_database() -> None:
    from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference
    from airflow.serialization.serialized_objects import DagSerialization

    words = {
        "to": ["our_site_alerts.note", ["our_site_alerts.Page", {"text": "late"}]],
        "iri_conn_id": "nersc",
    }
    alert = DeadlineAlert(
        DeadlineReference.DAGRUN_QUEUED_AT, timedelta(hours=6), AsyncCallback(IriNotifier, words)
    )
    data = DagSerialization.to_dict(DAG("dag", schedule=None, deadline=alert))
    assert PATH in str(data)
    assert "our_site_alerts.Page" in str(data)
