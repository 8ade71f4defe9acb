"""Spans and counters through OpenTelemetry, where its API package is installed; nothing where it is not.

Names and attributes are listed in ``docs/observability.md``. What is told is told by name here: no header,
body, URL or error text becomes an attribute, so a secret has no way in. Spans carry ids of jobs and requests;
counters carry only words of which there are few.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from iri_common.model.errors import AmbiguousReply, IriError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Counter, Histogram
    from opentelemetry.metrics._internal.instrument import Gauge
    from opentelemetry.trace import Tracer

    from iri_common.model.key import JobKey

SCOPE = "iri_common"
MOST_ACCEPTED = 10_000  # jobs remembered until they start
QUEUE_SECONDS = (1, 10, 30, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 86400, 3 * 86400, 7 * 86400)
REQUEST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


@dataclass(slots=True)
class Ending:
    """How that which a span covers has ended; filled in by whoever learns it.

    Attributes:
        outcome: In one word; "interrupted" until somebody says otherwise.
        status: HTTP status of the reply.
        request_id: The facility's id of the request.
        job: The facility's id of the job.
    """

    outcome: str = "interrupted"
    status: int | None = None
    request_id: str | None = None
    job: str | None = None


class _Meter(Protocol):
    """The part of a meter that is used here."""

    create_counter: Callable[..., Any]
    create_histogram: Callable[..., Any]
    create_gauge: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Instruments:
    """Everything that is told, on one tracer and meter."""

    tracer: Tracer
    root: Context
    requests: Counter
    retries: Counter
    request_duration: Histogram
    token_fetches: Counter
    token_age: Gauge
    token_life: Gauge
    submits: Counter
    queue_wait: Histogram
    ticks: Counter
    watched: Gauge

    @classmethod
    def on(cls, tracer: Tracer, meter: _Meter, root: Context) -> Instruments:
        """Made on these; ``root`` is the context without a span."""
        counter, gauge, histogram = meter.create_counter, meter.create_gauge, meter.create_histogram
        return cls(
            tracer,
            root,
            requests=counter("iri.requests", "{request}", "Requests that went to a facility"),
            retries=counter("iri.retries", "{request}", "Those of them that repeated an earlier one"),
            request_duration=histogram(
                "iri.request.duration",
                "s",
                "From sending a request to having read the answer",
                explicit_bucket_boundaries_advisory=REQUEST_SECONDS,
            ),
            token_fetches=counter("iri.token.fetches", "{token}", "Tokens fetched, or not to be had"),
            token_age=gauge("iri.token.age", "s", "Since the token in use was fetched"),
            token_life=gauge("iri.token.remaining", "s", "Until the token in use expires"),
            submits=counter("iri.submits", "{job}", "Jobs asked for, by how the asking ended"),
            queue_wait=histogram(
                "iri.queue.wait",
                "s",
                "From a facility's acceptance of a job to its start",
                explicit_bucket_boundaries_advisory=QUEUE_SECONDS,
            ),
            ticks=counter("iri.watch.ticks", "{tick}", "Looks at all watched jobs of a resource"),
            watched=gauge("iri.watch.jobs", "{job}", "Jobs watched at the last look"),
        )


def _open() -> Instruments | None:
    try:
        from opentelemetry import context, metrics, trace

        # Providers may be set later: what is made of the API's proxies now finds them then.
        return Instruments.on(trace.get_tracer(SCOPE), metrics.get_meter(SCOPE), context.Context())
    except (ImportError, AttributeError, TypeError):
        return None  # not installed, or from before it had these instruments; never a reason to fail


_accepted: dict[tuple[str, str, str], float] = {}  # jobs whose start nobody has seen yet
_instruments = _open()  # with this module, since an import on the I/O loop would stop every wait


@contextlib.contextmanager
def request(facility: str, operation: str, method: str, attempt: int) -> Generator[Ending]:
    """One request on the wire."""
    ending, here = Ending(), _instruments
    if here is None:
        yield ending
        return
    words = {"iri.facility": facility, "iri.operation": operation}
    begun = time.perf_counter()
    try:
        with _span(here, operation, {**words, "http.request.method": method, "iri.attempt": attempt}, ending):
            yield ending
    finally:
        counted = {**words, "iri.outcome": ending.outcome}
        here.requests.add(1, counted)
        here.request_duration.record(time.perf_counter() - begun, counted)
        if attempt > 1:
            here.retries.add(1, words)


def token_fetched(facility: str, *, worked: bool) -> None:
    """A token was fetched, or was not to be had."""
    if _instruments:
        words = {"iri.facility": facility, "iri.outcome": "ok" if worked else "failed"}
        _instruments.token_fetches.add(1, words)


def token_used(facility: str, age: float, remaining: float | None) -> None:
    """A request takes a token of this age, which has so many seconds left where its end is known."""
    if _instruments:
        _instruments.token_age.set(age, {"iri.facility": facility})
        if remaining is not None:
            _instruments.token_life.set(remaining, {"iri.facility": facility})


@contextlib.contextmanager
def submission(facility: str, key: JobKey, resource_id: str) -> Generator[Ending]:
    """One submission with all its requests and looks; how it ended is read from what leaves the block."""
    ending, here = Ending(), _instruments
    if here is None:
        yield ending
        return
    words = {
        "iri.facility": facility,
        "iri.resource": resource_id,
        "iri.key": str(key),
        "iri.key.tag": key.tag,
    }
    try:
        with _span(here, "submit", words, ending, good="accepted"):
            try:
                yield ending
                ending.outcome = "accepted"
            except IriError as error:
                ending.outcome = "uncertain" if isinstance(error, AmbiguousReply) else "not taken"
                raise
    finally:
        here.submits.add(1, {"iri.facility": facility, "iri.outcome": ending.outcome})


@contextlib.contextmanager
def tick(facility: str, resource_id: str, jobs: int) -> Generator[Ending]:
    """One look of a poller at all its jobs.

    Begins a trace of its own: the poller serves many callers, and lives on in the context of the first.
    """
    ending, here = Ending(), _instruments
    if here is None:
        yield ending
        return
    words = {"iri.facility": facility, "iri.resource": resource_id}
    try:
        with _span(here, "watch", {**words, "iri.watch.jobs": jobs}, ending, context=here.root):
            yield ending
    finally:
        here.watched.set(jobs, words)
        here.ticks.add(1, {**words, "iri.outcome": ending.outcome})


def accepted(facility: str, resource_id: str, job_id: str) -> None:
    """A facility has just taken a job that this process asked for."""
    if _instruments:
        while len(_accepted) >= MOST_ACCEPTED:
            del _accepted[next(iter(_accepted))]
        _accepted[facility, resource_id, job_id] = time.monotonic()


def started(facility: str, resource_id: str, job_id: str, waited: float | None) -> None:
    """A job was first seen to run.

    Args:
        facility: As messages call it.
        resource_id: Where it runs.
        job_id: Which.
        waited: Seconds in the queue by the facility's own times, where it tells them; for a job that this
            process did not ask for.
    """
    if _instruments is None:
        return
    since = _accepted.pop((facility, resource_id, job_id), None)
    if since is not None:
        waited = time.monotonic() - since
    if waited is not None and waited >= 0:
        _instruments.queue_wait.record(waited, {"iri.facility": facility, "iri.resource": resource_id})


@contextlib.contextmanager
def _span(
    here: Instruments,
    what: str,
    attributes: dict[str, Any],
    ending: Ending,
    *,
    context: Context | None = None,
    good: str = "ok",
) -> Generator[None]:
    from opentelemetry.trace import SpanKind, StatusCode

    with here.tracer.start_as_current_span(
        f"iri {what}",
        context=context,
        kind=SpanKind.CLIENT if "iri.operation" in attributes else SpanKind.INTERNAL,
        attributes=attributes,
        record_exception=False,  # the text of an error repeats what a facility said
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        finally:
            told = {
                "iri.outcome": ending.outcome,
                "http.response.status_code": ending.status,
                "iri.request_id": ending.request_id,
                "iri.job": ending.job,
            }
            span.set_attributes({name: value for name, value in told.items() if value is not None})
            if ending.outcome != good:
                span.set_status(StatusCode.ERROR, ending.outcome)
