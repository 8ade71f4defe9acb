"""A client that ends itself, or stops, at a step that was chosen before: a process of its own for each ask.

Run as a program it imports the core once and then forks a client for every plan that it reads, a line of JSON
each; it answers with the client's process id. When nobody writes to it any more it ends with all of them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from iri_common import (
    Facilities,
    Facility,
    FileLedger,
    IriError,
    JobFailed,
    JobKey,
    JobLost,
    JobRef,
    SubmitUncertain,
)
from iri_common.facility import canceling
from iri_common.http.transport import HttpxTransport
from iri_common.jobs import claim, ledger, looking, operations
from iri_common.policy import asking, outage, pace, retry, vanished

# What a request is called in a plan, by method and path.
_REQUESTS = {
    r"POST .*(/compute/job/[^/]+|/compute/jobs/[^/]+|/compute/[^/]+/jobs|/job/submit)$": "submit",
    r"POST .*/compute/status/[^/]+$": "list",
    r"GET .*(/compute/jobs/[^/]+|/compute/[^/]+/jobs|/slurm/v[^/]+/jobs/?)$": "list",
    r"GET .*(/compute/status/[^/]+|/compute/jobs/[^/]+|/compute/[^/]+/jobs|/v[^/]+/job)/": "status",
    r"DELETE .*(/compute/cancel|/compute/jobs/[^/]+|/compute/[^/]+/jobs|/v[^/]+/job)/": "cancel",
    r"POST .*/filesystem/mkdir/": "mkdir",
    r"GET .*/filesystem/view/": "view",
}


@dataclass(frozen=True)
class Strike:
    """What happens to the client itself.

    Attributes:
        when: "before" or "after" the step.
        step: ``claim``, ``write <stage>`` and ``release`` of the ledger; ``submit``, ``list``, ``status``,
            ``cancel``, ``mkdir`` or ``view`` at the facility.
        nth: Which of these.
        signal: KILL ends it, STOP leaves it lying until somebody lets it go on, INT is a Ctrl-C.
    """

    when: str
    step: str
    nth: int = 1
    signal: str = "KILL"

    def __str__(self) -> str:
        """For test ids and messages."""
        return f"{self.signal.lower()} {self.when} {self.step}{f' {self.nth}' if self.nth > 1 else ''}"


# Steps of an ask, in order. At the two marked ones nobody knows afterwards whether the request left.
IN_THE_DARK = (Strike("after", "write sent"), Strike("before", "submit"))
STEPS = (
    Strike("before", "claim"),
    Strike("after", "claim"),
    Strike("before", "write intent"),
    Strike("after", "write intent"),
    Strike("before", "write sent"),
    *IN_THE_DARK,
    Strike("after", "submit"),
    Strike("before", "write accepted"),
    Strike("after", "write accepted"),
    Strike("before", "release"),
    Strike("before", "status"),
    Strike("after", "status"),
    Strike("before", "write settled"),
    Strike("after", "write settled"),
)


@dataclass(frozen=True)
class Plan:
    """One client.

    Attributes:
        story: File to which it writes what it was told, a line of JSON each.
        url: Of the facility, with ``token``.
        ledger: Directory.
        key: In whose name it asks, as text.
        spec: Of the job.
        verb: "run" asks and waits for the end, "ask" only asks, "cancel" cancels.
        guard: Whether the job makes sure that it is no double.
        again: As in ``jobs.ask``.
        strike: When it ends.
        profile: Variables of a profile "place" in place of ``url`` and ``token``.
        among: Names of profiles in those variables, to ask at the first of them that is open.
        machine: Its claims say that they were made there; here if None.
        claim_seconds: For which they hold.
    """

    story: str
    url: str
    token: str
    ledger: str
    key: str
    spec: dict[str, Any]
    verb: str = "run"
    guard: bool = True
    again: bool = False
    strike: Strike | None = None
    profile: dict[str, str] | None = None
    among: tuple[str, ...] = ()
    machine: str | None = None
    claim_seconds: float = 60.0

    def line(self) -> str:
        """For the program's standard input."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def of(cls, line: str) -> Plan:
        """The plan of a line."""
        words = json.loads(line)
        strike = words.pop("strike")
        return cls(**words, strike=Strike(**strike) if strike else None)


class Fate:
    """Strikes at the step that is planned."""

    def __init__(self, strike: Strike | None) -> None:
        self._strike = strike
        self._count = 0

    def before(self, step: str) -> None:
        if self._strike is not None and self._strike.step == step:
            self._count += 1
        self._at("before", step)

    def after(self, step: str) -> None:
        self._at("after", step)

    def _at(self, when: str, step: str) -> None:
        strike = self._strike
        if strike is not None and (when, step, self._count) == (strike.when, strike.step, strike.nth):
            self._strike = None
            if strike.signal == "INT":  # as a terminal does: it wakes the main thread
                os.kill(os.getpid(), signal.SIGINT)
                return
            # At this very thread: a stop of the process might come over it a step too late.
            signal.pthread_kill(threading.get_ident(), signal.Signals[f"SIG{strike.signal}"])


class FatedLedger(FileLedger):
    """A ledger whose owner may not live to see what it did."""

    def __init__(self, directory: Path, fate: Fate) -> None:
        super().__init__(directory)
        self._fate = fate

    async def write(self, record, *words, **more):
        step = f"write {record.stage}"
        self._fate.before(step)
        try:
            return await super().write(record, *words, **more)
        finally:
            self._fate.after(step)

    async def claim(self, *words):
        self._fate.before("claim")
        try:
            return await super().claim(*words)
        finally:
            self._fate.after("claim")

    async def release(self, *words):
        self._fate.before("release")
        await super().release(*words)
        self._fate.after("release")


def fated_requests(fate: Fate) -> None:
    """Let requests strike as well."""
    true_send = HttpxTransport.send

    async def send(self, request):
        line = f"{request.method} {request.url}"
        step = next((name for pattern, name in _REQUESTS.items() if re.search(pattern, line)), "other")
        fate.before(step)
        try:
            return await true_send(self, request)
        finally:
            fate.after(step)

    HttpxTransport.send = send


# The steps stay; only the pauses between them go.
HURRY: tuple[tuple[Any, str, Any], ...] = (
    (asking, "look_pause", lambda looks: 0.05),
    (asking, "send_pause", lambda sends: 0.05),
    (asking, "LISTED_WITHIN", 0.5),
    (asking, "GRACE", 0.5),
    (retry, "backoff", lambda attempt, chance, limits: 0.05),
    (outage, "_PAUSES", (0.1, 0.2, 0.4)),
    (vanished, "GRACE", 1.0),
    (vanished, "GRACE_UNSEEN", 1.5),
    (vanished, "GRACE_BEGUN", 5.0),
    (vanished, "ASK_EVERY", 0.2),
    (vanished, "MOST_BETWEEN", 0.5),  # else seconds of unreadable answers count as absence
    (looking, "LIST_SECONDS", 1.0),
    (operations, "task_pauses", lambda first, *rest: pace.task_pauses(min(first, 0.05), *rest)),
)


class Story:
    """What the client was told, in lines that are whole whenever it dies."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(self, what: str, **words: Any) -> None:
        os.write(self._file, (json.dumps({"what": what, **words}) + "\n").encode())


def live(plan: Plan) -> None:
    """One client from its beginning to its end, if it gets that far."""
    for where, name, value in HURRY:
        setattr(where, name, value)
    claim.CLAIM_SECONDS = canceling.BRIEFLY = plan.claim_seconds
    if plan.machine is not None:
        ledger._MACHINE = plan.machine
    fate, story = Fate(plan.strike), Story(plan.story)
    fated_requests(fate)
    words = {"poll_seconds": 0.05, "guard": plan.guard, "outage_limit": 60.0}
    kept = FatedLedger(Path(plan.ledger), fate)
    key = JobKey.parse(plan.key)
    if plan.among:
        os.environ.update(plan.profile or {})
        _live_among(plan, Facilities(*plan.among, ledger=kept), key, story)
        return
    if plan.profile is None:
        facility = Facility(plan.url, token=plan.token, ledger=kept, **words)
    else:
        os.environ.update(plan.profile)
        facility = Facility.from_profile("place", ledger=kept, **words)
    try:
        if plan.verb == "cancel":
            facility.jobs.cancel(key)
            story.tell("canceled")
            return
        asked = facility.jobs.ask(plan.spec, key=key, again=plan.again)
        story.tell("asked", job=asked.ref.job_id, generation=asked.ref.key.generation, step=str(asked.step))
        if plan.verb == "run":
            end = facility.jobs.result(asked.ref, timeout=60.0)
            _tell_end(story, end.ref, "completed")
    except JobFailed as error:
        _tell_end(story, error.ref, str(error.job_status.reported))
    except JobLost as error:
        _tell_end(story, error.ref, "lost")
    except SubmitUncertain as error:
        story.tell("uncertain", key=str(error.key), message=str(error))
    except IriError as error:
        story.tell("error", kind=type(error).__name__, message=str(error))


def _live_among(plan: Plan, facilities: Facilities, key: JobKey, story: Story) -> None:
    try:
        ref = facilities.submit(plan.spec, key=key, outage_limit=60.0)
        story.tell("asked", job=ref.job_id, at=ref.profile)
        end = facilities.result(ref, timeout=60.0)
        _tell_end(story, end.ref, "completed")
    except IriError as error:
        story.tell("error", kind=type(error).__name__, message=str(error))


def _tell_end(story: Story, ref: JobRef, state: str) -> None:
    story.tell("ended", job=ref.job_id, generation=ref.key.generation, state=state)


def serve(plan_of: Callable[[str], Any], live: Callable[[Any], object]) -> None:
    """Fork a client for each plan, a line of stdin; ends them all when there are no more."""
    os.setpgrp()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody is left over
    while line := sys.stdin.readline():
        child = os.fork()
        if child:
            print(child, flush=True)
            continue
        plan = plan_of(line)
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            live(plan)
        except BaseException:
            Story(plan.story).tell("broke", traceback=traceback.format_exc())
        finally:
            os._exit(0)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    serve(Plan.of, live)
