"""What can be seen from outside: spans, counters and log fields, in the words that the docs list."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from iri_common import AuthError, JobKey, JobRef
from iri_common.auth.keeper import TokenKeeper
from iri_common.http import telemetry
from iri_common.http.budget import Budget
from iri_common.http.session import Request, Session
from iri_common.jobs.watch import Poller
from iri_common.jobs.watched import Watched
from iri_common.model import errors
from iri_common.model.job import JobStatus
from iri_common.model.outcome import Done
from iri_common.model.ports import Token, WireReply
from iri_common.model.state import JobState
from iri_common.policy.classify import ReplyLost
from iri_common.policy.pace import Pace
from iri_common.policy.retry import Limits
from iri_local_facility import LocalFacility

SECRET = "hunter2-secret-token"
DOCS = Path(__file__).resolve().parents[2] / "docs/observability.md"
LOOK = Request("getJob", "GET", "/compute/status/r/42")


class Seen:
    """A real SDK that keeps everything in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        delta = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}
        self.reader = InMemoryMetricReader(preferred_temporality=delta)
        self.meters = MeterProvider([self.reader])
        self.tracer = self.tracers.get_tracer("test")
        self.instruments = telemetry.Instruments.on(self.tracer, self.meters.get_meter("test"), Context())

    def spans(self, name: str | None = None) -> list:
        return [each for each in self.exporter.get_finished_spans() if name in (None, each.name)]

    def points(self) -> dict[str, list]:
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def everything(self) -> str:
        spans = [span.to_json() for span in self.spans()]
        data = self.reader.get_metrics_data()
        return "\n".join([*spans, data.to_json() if data else ""])


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    seen = Seen()
    monkeypatch.setattr(telemetry, "_instruments", seen.instruments)
    return seen


class Script:
    """Plays replies and exceptions, the last one for ever."""

    def __init__(self, *script: object) -> None:
        self.script = list(script)

    async def send(self, request) -> WireReply:
        await asyncio.sleep(0)
        turn = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(turn, Exception):
            raise turn
        assert isinstance(turn, WireReply)
        return turn

    async def close(self) -> None: ...


class Source:
    identity, renewable = "the test's source", True

    def __init__(self, life: float | None = None) -> None:
        self.life, self.fetched = life, 0
        self.error: Exception | None = None

    async def fetch(self, send) -> Token:
        self.fetched += 1
        if self.error:
            raise self.error
        return Token(f"{SECRET}-{self.fetched}", None if self.life is None else time.time() + self.life)


def reply(status: int, value: object = None, **headers: str) -> WireReply:
    kind = "application/json" if status < 300 else "application/problem+json"
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return WireReply(status, {"content-type": kind, **named}, json.dumps(value or {}).encode())


def session(*script: object, source: Source | None = None) -> Session:
    async def exchange(_) -> WireReply:
        raise AssertionError("these sources need no wire")

    keeper = TokenKeeper(source, exchange) if source else None
    limits = Limits(first_delay=0.001, longest_delay=0.01)
    budget = Budget(1000, 1e6, 1000)
    return Session("https://host/api/v2", Script(*script), keeper, budget, label="here", limits=limits)


# ------------------------------------------------------------------------------------------ requests


async def test_each_request_is_a_span_and_counted_and_a_repeated_one_is_a_retry(seen: Seen) -> None:
    away = reply(503, x_request_id="r1")
    await session(away, ReplyLost("reset"), reply(200, [], x_request_id="r3")).send(LOOK)
    first, second, third = seen.spans()
    assert {span.name for span in seen.spans()} == {"iri getJob"}
    assert {span.kind for span in seen.spans()} == {SpanKind.CLIENT}
    here = {"iri.facility": "here", "iri.operation": "getJob", "http.request.method": "GET"}
    assert dict(first.attributes) == {
        **here,
        "iri.attempt": 1,
        "iri.outcome": "away",
        "http.response.status_code": 503,
        "iri.request_id": "r1",
    }
    assert dict(second.attributes) == {**here, "iri.attempt": 2, "iri.outcome": "reply lost"}
    assert third.attributes["iri.request_id"] == "r3"
    codes = [span.status.status_code for span in (first, second, third)]
    assert codes == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    points = seen.points()
    counted = {point.attributes["iri.outcome"]: point.value for point in points["iri.requests"]}
    assert counted == {"away": 1, "reply lost": 1, "ok": 1}
    assert [point.value for point in points["iri.retries"]] == [2]
    assert sum(point.count for point in points["iri.request.duration"]) == 3


async def test_a_counter_has_no_ids(seen: Seen) -> None:
    await session(reply(200, [], x_request_id="r3")).send(LOOK)
    with telemetry.submission("here", JobKey.of("me"), "r") as ending:
        ending.job = "42"
    with telemetry.tick("here", "r", 5):
        pass
    few = {"iri.facility", "iri.operation", "iri.outcome", "iri.resource"}
    for name, points in seen.points().items():
        for point in points:
            assert set(point.attributes) <= few, name


async def test_a_request_that_is_cancelled_says_so(seen: Seen) -> None:
    class Silent(Script):
        async def send(self, request) -> WireReply:
            await asyncio.sleep(60)
            raise AssertionError

    waiting = session()
    waiting._transport = Silent()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await waiting.send(LOOK)
    (span,) = seen.spans()
    assert span.attributes["iri.outcome"] == "interrupted"
    assert span.status.status_code is StatusCode.ERROR


async def test_fetched_tokens_are_counted_and_their_age_is_told(seen: Seen, monkeypatch) -> None:
    source = Source(life=3600)
    through = session(reply(401), reply(200), source=source)
    await through.send(LOOK)
    points = seen.points()
    assert [point.value for point in points["iri.token.fetches"]] == [2], "refused once, renewed once"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100)
    await through.send(LOOK)
    points = seen.points()
    assert "iri.token.fetches" not in points
    assert points["iri.token.age"][0].value == pytest.approx(100, abs=2)
    assert points["iri.token.remaining"][0].value == pytest.approx(3500, abs=2)
    source.error = AuthError("the client has expired")
    with pytest.raises(AuthError):
        await session(reply(200), source=source).send(LOOK)
    (point,) = seen.points()["iri.token.fetches"]
    assert (point.value, point.attributes["iri.outcome"]) == (1, "failed")


async def test_no_secret_is_in_anything_that_leaves(seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    first, second = ({"detail": f"no such token: {SECRET}-{number}"} for number in (1, 2))
    through = session(reply(503, first), reply(401, first), reply(401, second), source=Source(life=60))
    with pytest.raises(errors.AuthError) as caught, telemetry.submission("here", JobKey.of("me"), "r"):
        await through.send(LOOK)
    assert seen.spans(), "or nothing is shown here"
    shown = [seen.everything(), caplog.text, str(caught.value)]
    shown += [repr(vars(record)) for record in caplog.records]
    assert [each for each in shown if SECRET in each] == []


# ------------------------------------------------------------------------------------ jobs and looks


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "accepted"),
        (errors.SubmitUncertain("?", key=JobKey.of("me")), "uncertain"),
        (errors.Refused("no"), "not taken"),
        (errors.SpecChanged("no"), "not taken"),
        (asyncio.CancelledError(), "interrupted"),
    ],
)
def test_a_submission_is_a_span_and_counted_by_its_end(seen: Seen, error, outcome: str) -> None:
    key = JobKey.of("dag", "run", generation=3)

    def submit() -> None:
        with telemetry.submission("here", key, "machine") as ending:
            if error:
                raise error
            ending.job = "42"

    if error is None:
        submit()
    else:
        with pytest.raises(type(error)):
            submit()
    (span,) = seen.spans("iri submit")
    assert span.attributes["iri.outcome"] == outcome
    assert span.attributes["iri.key"] == "dag/run.3"
    assert span.attributes["iri.key.tag"] == key.tag
    assert span.attributes.get("iri.job") == (None if error else "42")
    assert not span.events, "an error's text is not told"
    (point,) = seen.points()["iri.submits"]
    assert (point.value, dict(point.attributes)) == (1, {"iri.facility": "here", "iri.outcome": outcome})


def test_a_look_begins_a_trace_of_its_own(seen: Seen) -> None:
    with (
        seen.tracer.start_as_current_span("the first caller") as caller,
        telemetry.tick("here", "machine", 7) as ending,
        telemetry.request("here", "getJobs", "GET", 1) as inner,
    ):
        ending.outcome = inner.outcome = "ok"
    (look,) = seen.spans("iri watch")
    (request,) = seen.spans("iri getJobs")
    assert look.parent is None
    assert look.context.trace_id != caller.get_span_context().trace_id
    assert request.parent.span_id == look.context.span_id
    points = seen.points()
    assert [(point.value, point.attributes["iri.outcome"]) for point in points["iri.watch.ticks"]] == [
        (1, "ok")
    ]
    assert [point.value for point in points["iri.watch.jobs"]] == [7]


async def test_looks_are_told_apart_by_what_they_brought(seen: Seen) -> None:
    script: list[object] = [
        JobStatus(JobState.QUEUED, raw_state="queued"),
        errors.Unreachable("away"),
        errors.AuthError("no token"),
        JobStatus(JobState.COMPLETED, raw_state="completed"),
    ]

    class Jobs:
        async def status(self, resource_id: str, job_id: str) -> Done[JobStatus]:
            turn = script.pop(0)
            if isinstance(turn, Exception):
                raise turn
            assert isinstance(turn, JobStatus)
            return Done(turn)

    poller = Poller(Jobs(), "machine", "here")  # type: ignore[arg-type]
    ref = JobRef("h", "iri", "machine", JobKey.of("k"), "1")
    pace = Pace(quickest=0.02, slowest=0.02)
    async with asyncio.timeout(60):
        await poller.wait(ref, pace=pace)
        assert poller._task is not None
        await poller._task  # the last look ends after it has told its waiters
    outcomes = [span.attributes["iri.outcome"] for span in seen.spans("iri watch")]
    assert outcomes == ["ok", "failed", "bad token", "ok"]


def queue_waits(seen: Seen) -> list[float]:
    return [point.sum for point in seen.points().get("iri.queue.wait", [])]


@pytest.mark.parametrize(
    ("waited", "told"), [(0.0, [0.0]), (250.0, [250.0]), (-3.0, []), (None, [])], ids=str
)
def test_the_wait_in_the_queue_is_what_the_facility_tells(seen: Seen, waited, told: list[float]) -> None:
    telemetry.started("here", "machine", "42", waited)
    assert queue_waits(seen) == told, "clocks that disagree tell nothing"


def test_the_wait_of_a_job_of_ones_own_is_measured_once(seen: Seen, monkeypatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    telemetry.accepted("here", "machine", "7")
    clock[0] = 130.0
    telemetry.started("here", "another", "7", None)
    telemetry.started("here", "machine", "7", 999.0)
    assert queue_waits(seen) == [30.0]
    telemetry.started("here", "machine", "7", None)
    assert queue_waits(seen) == [], "a job that was queued anew did not wait since then"


def test_jobs_that_never_start_are_forgotten(seen: Seen, monkeypatch) -> None:
    monkeypatch.setattr(telemetry, "_accepted", {})
    monkeypatch.setattr(telemetry, "MOST_ACCEPTED", 3)
    for number in range(5):
        telemetry.accepted("here", "machine", str(number))
    assert [job for _, _, job in telemetry._accepted] == ["2", "3", "4"]


@pytest.mark.parametrize(
    ("looks", "waited"),
    [
        ([("queued", 100.0), ("active", 160.0)], 60.0),
        ([("new", 100.0), ("held", 130.0), ("active", 160.0)], 60.0),
        ([("queued", 100.0), ("active", 160.0), ("queued", 200.0), ("active", 205.0)], 5.0),
        ([("active", 160.0)], None),
        ([("queued", None), ("active", 160.0)], None),
        ([("queued", 100.0), ("active", None)], None),
    ],
)
def test_a_watch_reads_the_wait_from_the_facilitys_own_times(looks, waited: float | None) -> None:
    watched = Watched(JobRef("h", "iri", "r", JobKey.of("k"), "1"), Pace(), changed_at=0.0, due=0.0)
    told = None
    for number, (state, at) in enumerate(looks):
        status = JobStatus(JobState(state), raw_state=state, time=at)
        told = watched.waited(status)
        watched.saw(status, float(number))
    assert told == waited


def test_a_job_is_told_from_its_submission_to_its_end(
    seen: Seen, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from iri_common import Facility, FileLedger

    caplog.set_level(logging.DEBUG, "iri_common")
    key = JobKey.of("telemetry", tmp_path.name)
    with LocalFacility() as place:
        facility = Facility(
            place.base_url, token=place.token, name="here", poll_seconds=0.1, ledger=FileLedger(tmp_path)
        )
        spec = {"executable": "/bin/sleep", "arguments": ["1"], "directory": str(place.home)}
        with seen.tracer.start_as_current_span("my workflow") as mine:
            ref = facility.jobs.submit(spec, key=key)
            facility.jobs.wait(ref, timeout=60)
            heard: list[object] = []
            here = trace.get_current_span
            asyncio.run(facility.aio.jobs.wait(ref, on_change=lambda _: heard.append(here())))
        token = place.token
    assert heard == [mine], "what the caller does when it is told is the caller's, not the look's"
    (submit,) = seen.spans("iri submit")
    assert submit.parent.span_id == mine.get_span_context().span_id, "the caller's trace, over two threads"
    assert submit.attributes["iri.job"] == ref.job_id
    assert submit.attributes["iri.key"] == str(key)
    assert len(queue_waits(seen)) == 1
    assert {span.attributes["iri.outcome"] for span in seen.spans("iri watch")} == {"ok"}
    assert {span.parent for span in seen.spans("iri watch")} == {None}
    (launch,) = seen.spans("iri launchJob")
    assert launch.parent.span_id == submit.context.span_id
    assert token not in seen.everything()
    fields = [vars(record) for record in caplog.records if getattr(record, "iri_job", None)]
    assert {(each["iri_key"], each["iri_job"], each["iri_facility"]) for each in fields} == {
        (str(key), ref.job_id, "here")
    }


# ---------------------------------------------------------------------------------- with and without

BARE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)
if {blocked}:
    sys.meta_path.insert(0, Blocked())
else:
    import opentelemetry.metrics as old
    del old.Meter.create_gauge, old._internal._ProxyMeter.create_gauge
from iri_common import JobKey
from iri_common.http import telemetry
assert telemetry._instruments is None
with telemetry.request("f", "op", "GET", 1) as ending:
    ending.outcome = "ok"
with telemetry.submission("f", JobKey.of("k"), "r") as ending:
    ending.job = "42"
with telemetry.tick("f", "r", 3):
    pass
telemetry.accepted("f", "r", "1")
telemetry.started("f", "r", "1", None)
assert not telemetry._accepted
telemetry.token_fetched("f", worked=True)
telemetry.token_used("f", 1.0, None)
assert {blocked} == ("opentelemetry" not in sys.modules)
"""


@pytest.mark.parametrize("blocked", [True, False], ids=["not installed", "too old"])
def test_without_the_package_nothing_is_told_and_nothing_fails(blocked: bool) -> None:
    script = BARE.format(blocked=blocked)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_the_package_it_costs_nothing_to_speak_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_instruments", None)

    def once() -> float:
        begun = time.perf_counter()
        for _ in range(1000):
            with telemetry.request("f", "op", "GET", 1) as ending:
                ending.outcome = "ok"
        return (time.perf_counter() - begun) / 1000

    assert min(once() for _ in range(5)) < 50e-6, "a request costs milliseconds"


def test_providers_that_are_set_after_the_import_are_found() -> None:
    script = """
from iri_common.http import telemetry
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([reader]))
with telemetry.request("f", "op", "GET", 1) as ending:
    ending.outcome = "ok"
(span,) = spans.get_finished_spans()
assert span.instrumentation_scope.name == "iri_common"
assert "iri.requests" in reader.get_metrics_data().to_json()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_docs_list_every_name(seen: Seen) -> None:
    source = Path(telemetry.__file__).read_text()
    names = set(re.findall(r'"((?:iri|http)\.[a-z_.]+)"', source))
    documented = set(re.findall(r"`((?:iri|http)\.[a-z_.]+)`", DOCS.read_text()))
    assert names == documented


# ------------------------------------------------------------------------------------------ log lines


async def test_a_retry_is_a_line_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "iri_common")
    await session(reply(503, {"detail": "in maintenance"}, x_request_id="r7"), reply(200)).send(LOOK)
    (record,) = caplog.records
    text = record.getMessage()
    assert [part for part in ("getJob", "here", "in maintenance", "r7") if part not in text] == []
    fields = {name: value for name, value in vars(record).items() if name.startswith("iri_")}
    assert fields == {"iri_facility": "here", "iri_operation": "getJob", "iri_request_id": "r7"}


async def test_with_debug_every_request_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "iri_common")
    await session(reply(200, [], x_request_id="r8")).send(LOOK)
    (record,) = caplog.records
    assert vars(record)["iri_request_id"] == "r8"
    assert "r8" in record.getMessage()
