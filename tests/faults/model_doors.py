"""The doors of the model: what each API promises, its manners while it takes a job, and what it may answer.

The grades are those that the APIs declare, and what a client learns from an answer is what the API's own
dialect makes of it. What a facility does is written here anew.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from iri_common.apis.iri import SITES
from iri_common.apis.kind import ApiKind, ApiWords
from iri_common.facility.collections import lent_grades
from iri_common.facility.dialects import DIALECTS, api_kind
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.jobs.operations import Patience, settled
from iri_common.model.errors import IriError
from iri_common.model.grades import Grades
from iri_common.model.ports import WireReply
from iri_common.policy.asking import outcome_of_ask, outcome_of_wait
from iri_common.policy.classify import NotSent, Outcome, ReplyLost
from iri_common.policy.retry import Limits

URLS = ("https://host/api/v2", "https://host/api/v1")
SPEC = {"executable": "/bin/true", "directory": "/d", "name": "n"}


@dataclass(frozen=True, slots=True, eq=False)
class Fate:
    """What happens to one request on its way.

    Attributes:
        name: For whoever reads a schedule.
        answer: What comes back, or what the client's wire says instead.
        taken: The facility takes what is asked for.
        gate: Whatever stands before the service answers, or nobody: the service sees nothing of it.
        slow: It arrives only after the client has given up on the reply.
        forgets: A store of idempotency keys that forgets when the adapter raises forgets this one.
    """

    name: str
    answer: WireReply | type[Exception]
    taken: bool = False
    gate: bool = False
    slow: bool = False
    forgets: bool = False


def _json(status: int, value: object, kind: str = "application/json") -> WireReply:
    return WireReply(status, {"content-type": kind}, json.dumps(value).encode())


def _page(status: int) -> WireReply:
    return WireReply(status, {"content-type": "text/html"}, b"<html><h1>it says so</h1></html>")


def _text(status: int, text: str) -> WireReply:
    return WireReply(status, {"content-type": "text/plain"}, text.encode())


# What a gateway and the network do looks the same to every API.
EVERYWHERE = (
    Fate("not sent", NotSent, gate=True),
    Fate("lost before", ReplyLost, gate=True),
    Fate("lost after", ReplyLost, taken=True),
    Fate("lost, slow", ReplyLost, slow=True),
    Fate("lost, failed after", ReplyLost, taken=True, forgets=True),
    Fate("401", _page(401), gate=True),
    Fate("403", _page(403), gate=True),
    Fate("429", _page(429), gate=True),
    Fate("500 before", _page(500)),
    Fate("500 after", _page(500), taken=True, forgets=True),
    Fate("502 before", _page(502), gate=True),
    Fate("504 before", _page(504), gate=True),
    Fate("504 after", _page(504), taken=True, forgets=True),
    Fate("200 without its JSON, after", _page(200), taken=True),
    Fate("half of the JSON, after", _text(200, '{"job'), taken=True),
)


@dataclass(frozen=True, slots=True)
class Manners:
    """How an API takes jobs and shows them, beyond what its grades tell.

    Attributes:
        words: What a profile says of it.
        told: Bodies of what is asked before a submit, by the end of the path.
        accepted: The body of the answer to a submit that was taken.
        own: What only this API answers.
        task: The body of a task that took the job; None where a submit is no task.
        tasks: How the task may end instead.
        named: How often lists show the names of jobs.
        nameless: Seconds, at most, for which a job is listed without its name.
        lag: Seconds, at most, until accounting shows a job; the queue forgets it at its end.
        forgets: How often an ended job is found by nobody any more.
    """

    words: ApiWords = field(default_factory=ApiWords)
    told: Mapping[str, object] = field(default_factory=dict[str, object])
    accepted: object = None
    own: Sequence[Fate] = (Fate("invalid", _json(400, {"detail": "no"})),)
    task: object = None
    tasks: Sequence[Fate] = ()
    named: float = 1.0
    nameless: Sequence[float] = (0.0,)
    lag: Sequence[float] = (0.0,)
    forgets: float = 0.05


def _problem(status: int, detail: str) -> WireReply:
    return _json(status, {"title": "problem", "detail": detail}, "application/problem+json")


IRI = Manners(
    accepted={"id": "7", "status": {"state": "queued"}},
    own=(
        Fate("invalid", _problem(422, "no such queue")),
        Fate("conflict", _problem(409, "in flight")),
        Fate("the adapter raised, before", _problem(500, "internal error")),
        Fate("the adapter raised, after", _problem(500, "internal error"), taken=True, forgets=True),
        Fate("out of time, after", _problem(408, "out of time"), taken=True, forgets=True),  # ALCF
    ),
    named=0.8,
)


def _sf(error: str) -> WireReply:
    return _json(200, {"task_id": None, "status": "ERROR", "error": error})


def _task(result: object, status: str = "completed") -> WireReply:
    text = result if isinstance(result, str) else json.dumps(result)
    return _json(200, {"id": "7", "status": status, "result": text})


SUPERFACILITY = Manners(
    words=ApiWords(user="u"),
    accepted={"task_id": "7", "status": "OK", "error": None},
    own=(
        Fate("an ERROR in the 200", _sf("sbatch: error: invalid partition specified: gpuu")),
        Fate("an ERROR in words nobody knows, before", _sf("it did not work out")),
        Fate("an ERROR in words nobody knows, after", _sf("it did not work out"), taken=True),
        Fate("a 403, which means renew", _json(403, {"detail": "Forbidden"}), gate=True),
    ),
    task={"status": "ok", "jobid": "7", "error": None},
    tasks=(
        Fate("sbatch refuses", _task({"status": "error", "error": "sbatch: error: Invalid account"})),
        Fate("sbatch timed out, before", _task({"status": "error", "error": "Socket timed out"})),
        Fate("sbatch timed out, after", _task({"status": "error", "error": "Socket timed out"}), taken=True),
        Fate("the task failed, before", _task("it did not work out", "failed")),
        Fate("the task failed, after", _task("it did not work out", "failed"), taken=True),
        Fate("the task was canceled, after", _task("", "cancelled"), taken=True),
        Fate("it tells no job id", _task({"status": "ok"}), taken=True),
        Fate("it is forgotten", _json(404, {"detail": "no such task"}), taken=True),
        Fate("nobody may look at it", _page(403), taken=True),
        Fate("it cannot be looked at", _page(502), taken=True),
    ),
    lag=(0.0, 5.0, 60.0),
)


def _f7t(status: int, message: str) -> WireReply:
    return _json(status, {"errorType": "error", "message": message, "data": None, "user": "u"})


FIRECREST = Manners(
    words=ApiWords(user="u"),
    told={"/status/systems": {"systems": [{"name": "cluster", "scheduler": {"type": "slurm"}}]}},
    accepted={"jobId": "7"},
    own=(
        Fate("sbatch refuses", _f7t(500, "exit status:1 sbatch: error: invalid partition specified: gpuu")),
        Fate("sbatch timed out, before", _f7t(500, "sbatch: error: Socket timed out on send/recv")),
        Fate(
            "sbatch timed out, after", _f7t(500, "sbatch: error: Socket timed out on send/recv"), taken=True
        ),
        Fate("no SSH", _f7t(424, "Unable to establish SSH connection"), gate=True),
        Fate("the SSH connection broke, after", _f7t(424, "SSH connection lost"), taken=True),
        Fate("unhealthy", _f7t(503, "The scheduler is unhealthy"), gate=True),
        Fate("out of time, after", _f7t(408, "Command execution timeout"), taken=True),
    ),
    nameless=(0.0, 5.0, 60.0),
)


def _slurm(status: int, number: int, words: str = "it says so") -> WireReply:
    return _json(status, {"errors": [{"error_number": number, "error": words}], "job_id": 0})


SLURM = Manners(
    words=ApiWords(user="u", version="v0.0.41"),
    accepted={"job_id": 7, "errors": []},
    own=(
        Fate("invalid partition", _slurm(500, 2000)),
        Fate("what its parser refuses", _slurm(400, 9202)),
        Fate("no slurmctld", _slurm(500, 1800)),
        Fate("the backup stands by", _slurm(500, 2027)),
        Fate("slurmctld hung up, before", _slurm(500, 5005)),
        Fate("slurmctld hung up, after", _slurm(500, 5005), taken=True),
        Fate("slurmrestd killed, before", ReplyLost),
        Fate("slurmrestd killed, after", ReplyLost, taken=True),
        Fate("killed before it said which", _json(200, {"errors": []}), taken=True),
    ),
    forgets=0.3,  # there need be no accounting, and slurmctld forgets after MinJobAge
)

# An API that is not here has its grades and what happens everywhere; that a submit is taken, it must tell.
MANNERS: Mapping[str, Manners] = {
    "iri": IRI,
    "superfacility": SUPERFACILITY,
    "firecrest": FIRECREST,
    "slurm": SLURM,
}
NO_STORE = Fate("no store for keys", _problem(501, "no store"))


@dataclass(frozen=True, slots=True, eq=False)
class ModelDoor:
    """One API at one site.

    Attributes:
        name: In test ids.
        kind: The API.
        url: Its base URL, which may tell its version.
        grades: How exactly it keeps each promise.
        manners: The rest.
        fine: How a submit ends that nothing befalls.
        landed: How its task does.
        meanings: What a client learns from each fate of a submit or a task.
    """

    name: str
    kind: ApiKind
    url: str
    grades: Grades
    manners: Manners
    fine: Fate
    landed: Fate
    meanings: Mapping[Fate, Outcome]

    @property
    def fates(self) -> Sequence[Fate]:
        """Of a submit that something befalls."""
        return (*EVERYWHERE, *self.manners.own)


class _Wire:
    """Answers a submit and a task as it is told, and what is asked before as the API does."""

    def __init__(self, manners: Manners, submit: Fate, task: Fate) -> None:
        self._manners = manners
        self._submit = submit
        self._task = task

    async def send(self, request: Any) -> WireReply:
        fate = self._submit
        if request.method == "GET":
            known = (body for end, body in self._manners.told.items() if request.url.endswith(end))
            if (body := next(known, None)) is not None:
                return _json(200, body)
            fate = self._task
        if isinstance(fate.answer, type):
            raise fate.answer(fate.name)
        return fate.answer

    async def close(self) -> None: ...


async def _learned(kind: ApiKind, url: str, manners: Manners, submit: Fate, task: Fate) -> Outcome:
    wire = _Wire(manners, submit, task)
    session = Session(
        url, wire, None, Budget(per_second=1e9), rules=kind.rules, label="model", limits=Limits(attempts=1)
    )
    dialect, answer = kind.make(session, manners.words), None
    try:
        answer = await dialect.jobs.submit("cluster", SPEC, None)
        await settled(answer, dialect.operations, Patience(first=0.0))
    except IriError as error:
        return outcome_of_ask(error) if answer is None else outcome_of_wait(error, answer)
    return Outcome.OK


async def _meanings(
    kind: ApiKind, url: str, manners: Manners, fine: Fate, landed: Fate
) -> dict[Fate, Outcome]:
    submits = (fine, NO_STORE, *EVERYWHERE, *manners.own)
    heard = {fate: await _learned(kind, url, manners, fate, landed) for fate in submits}
    tasks = (landed, *manners.tasks) if manners.tasks else ()
    return heard | {fate: await _learned(kind, url, manners, fine, fate) for fate in tasks}


def _door(name: str, kind: ApiKind, url: str, grades: Grades) -> ModelDoor:
    manners = MANNERS.get(kind.name, Manners())
    fine = Fate("fine", _json(200, manners.accepted), taken=True)
    landed = Fate("done", _task(manners.task), taken=True)
    meanings = asyncio.run(_meanings(kind, url, manners, fine, landed))
    return ModelDoor(name, kind, url, grades, manners, fine, landed, meanings)


def _declared() -> dict[str, tuple[ApiKind, str, Grades]]:
    """Every combination of grades that an API declares for one of its versions and sites."""
    found: dict[tuple[object, ...], tuple[str, ApiKind, str, Grades]] = {}
    for kind in (kind for name in DIALECTS if (kind := api_kind(name)).runs_jobs):
        for url in URLS:
            for site in (None, *SITES, "s3m"):
                words = ApiWords(site=site)
                if kind.problem(words) is not None:
                    continue
                told = kind.grades(url, words)
                lent = () if told.readable_files else (("lent", lent_grades(told)),)
                for what, grades in (("", told), *lent):
                    once = (kind.name, grades.settle, grades.guard, grades.journal, grades.readable_files)
                    name = "-".join(
                        [kind.name, *filter(None, (url[-2:] if kind.name == "iri" else "", site, what))]
                    )
                    found.setdefault(once, (name, kind, url, grades))
    return {name: (kind, url, grades) for name, kind, url, grades in found.values()}


DECLARED = _declared()


@functools.cache
def model_door(name: str) -> ModelDoor:
    """The door of that name, a key of :data:`DECLARED`."""
    return _door(name, *DECLARED[name])
