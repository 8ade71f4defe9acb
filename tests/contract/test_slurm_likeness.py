"""The slurmrestd face answers as a real slurmrestd does: the same requests to both, and the same answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from real_slurm import VERSION, RealSlurm, missing

from iri_local_facility import LocalFacility

pytestmark = [pytest.mark.timeout(60), pytest.mark.skipif(bool(missing()), reason=str(missing()))]
OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"}


@dataclass(frozen=True)
class Side:
    """One of the two that are asked."""

    http: httpx.Client
    work: str

    def send(self, script: str = "exec sleep 30", **job: Any) -> httpx.Response:
        asked = {"name": "alike", "environment": {"PATH": "/usr/bin:/bin"}, **job}
        asked.setdefault("current_working_directory", self.work)
        return self.http.post("/job/submit", json={"script": f"#!/bin/sh\n{script}\n", "job": asked})

    def submit(self, script: str = "exec sleep 30", **job: Any) -> int:
        return self.send(script, **job).json()["job_id"]

    def job(self, number: int) -> dict[str, Any]:
        return self.http.get(f"/job/{number}").json()["jobs"][0]

    def end(self, number: int, *states: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while (job := self.job(number))["job_state"] not in (states or OVER):
            assert time.monotonic() < deadline, job["job_state"]
            time.sleep(0.03)
        return {name: job[name] for name in ("job_state", "state_reason", "exit_code", "derived_exit_code")}

    def cancel(self, number: int, signal: str | None = None) -> Any:
        return said(self.http.delete(f"/job/{number}", params={"signal": signal} if signal else {}))


def said(answer: httpx.Response) -> Any:
    """A status with the numbers of the errors; those of jobs and connections do not compare."""
    if answer.headers.get("content-type") != "application/json":
        return answer.status_code, answer.text
    errors = answer.json()["errors"]
    numbers = [each.get("error_number", each.get("error_code")) for each in errors]
    return answer.status_code, numbers, [each.get("error") for each in errors]


@pytest.fixture(scope="module")
def real() -> Iterator[Side]:
    with RealSlurm() as slurm:
        headers = {"X-SLURM-USER-NAME": slurm.user, "X-SLURM-USER-TOKEN": slurm.token()}
        with httpx.Client(base_url=f"{slurm.url}/slurm/{VERSION}", headers=headers, trust_env=False) as http:
            yield Side(http, str(slurm.work))


@pytest.fixture(scope="module")
def face() -> Iterator[Side]:
    with LocalFacility(nodes=8, kill_grace=0.2, slurm_versions=[38]) as facility:
        headers = {"X-SLURM-USER-NAME": facility.slurm_user, "X-SLURM-USER-TOKEN": facility.slurm_token}
        base = f"{facility.slurm_url}/slurm/{VERSION}"
        with httpx.Client(base_url=base, headers=headers, trust_env=False) as http:
            yield Side(http, str(facility.home))


def _ends(script: str) -> Callable[[Side], Any]:
    return lambda side: side.end(side.submit(script))


def _refused(**job: Any) -> Callable[[Side], Any]:
    return lambda side: said(side.send("true", **job))


def _body(body: Any) -> Callable[[Side], Any]:
    return lambda side: said(side.http.post("/job/submit", json=body))


def _got(path: str, **query: Any) -> Callable[[Side], Any]:
    return lambda side: said(side.http.get(path, params=query))


def _signalled(side: Side) -> Any:
    number = side.submit('trap "exit 7" USR1; : >trapped; while :; do sleep 0.05; done')
    side.end(number, "RUNNING")
    time.sleep(0.5)  # until the trap is set
    return side.cancel(number, "USR1"), side.end(number)


def _terminated(side: Side) -> Any:
    number = side.submit("sleep 30")
    side.end(number, "RUNNING")
    time.sleep(0.5)
    return side.cancel(number, "SIGTERM"), side.end(number)


def _cancelled(side: Side) -> Any:
    number = side.submit()
    side.end(number, "RUNNING")
    time.sleep(0.3)
    first = side.cancel(number)
    update = said(side.http.post(f"/job/{number}", json={"time_limit": 3})) if side.end(number) else None
    return first, side.end(number), side.cancel(number), side.cancel(number, "TERM"), update


def _held(side: Side) -> Any:
    answer = side.send(hold=True)
    number = answer.json()["job_id"]
    seen = [
        said(answer),
        side.end(number, "PENDING"),
        side.job(number)["priority"],
        side.cancel(number, "TERM"),
    ]
    seen.append(said(side.http.post(f"/job/{number}", json={"time_limit": 3, "name": "other"})))
    seen.append(said(side.http.post(f"/job/{number}", json={"nonsense": 3})))
    seen += [side.job(number)["time_limit"], side.job(number)["name"]]
    return [*seen, side.cancel(number), side.end(number)["job_state"]]


def _after(kind: str) -> Callable[[Side], Any]:
    def waits(side: Side) -> Any:
        gate = side.submit("exec sleep 30", hold=True)
        number = side.submit("true", dependency=f"{kind}:{gate}")
        first = side.end(number, "PENDING")["job_state"]
        side.cancel(gate)
        deadline = time.monotonic() + 60
        while (job := side.job(number))["state_reason"] in ("Dependency", "None", "Resources", "Priority"):
            if job["job_state"] in OVER:
                break
            assert time.monotonic() < deadline, job["state_reason"]
            time.sleep(0.05)
        side.cancel(number)
        return first, job["job_state"], job["state_reason"], job["dependency"].replace(str(gate), "N")

    return waits


def _records(side: Side, number: int) -> list[tuple[Any, ...]]:
    """What there is to know of each part of an array; the numbers of its jobs do not compare.

    Nor does the reason of what was cancelled before it began: Slurm leaves what it had waited for.
    """
    parts = (
        "array_task_id",
        "array_task_string",
        "array_max_tasks",
        "job_state",
        "state_reason",
        "exit_code",
    )
    jobs = side.http.get(f"/job/{number}").json()["jobs"]
    assert {job["array_job_id"] for job in jobs} == {number}
    assert len({job["job_id"] for job in jobs}) == len(jobs)
    known = ({**job, "state_reason": ""} if job["job_state"] == "CANCELLED" else job for job in jobs)
    return sorted((tuple(job[part] for part in parts) for job in known), key=str)


def _recorded(side: Side, number: int, *, until: Callable[[Any], bool]) -> list[tuple[Any, ...]]:
    deadline = time.monotonic() + 60
    while not until(records := _records(side, number)):
        assert time.monotonic() < deadline, records
        time.sleep(0.05)
    return records


def _all(*states: str) -> Callable[[Any], bool]:
    return lambda records: all(record[3] in states for record in records)


def _array(side: Side) -> Any:
    script = "exit $((SLURM_ARRAY_TASK_ID + SLURM_ARRAY_TASK_COUNT - 4))"
    number = side.submit(script, array="0-6:2%2")
    return _recorded(side, number, until=lambda records: len(records) == 4 and _all(*OVER)(records))


def _array_held(side: Side) -> Any:
    number = side.submit("true", array="0-3,7%2", hold=True)
    waiting = _records(side, number)
    return waiting, side.cancel(number), _recorded(side, number, until=_all(*OVER))


def _array_canceled(side: Side) -> Any:
    number = side.submit("exec sleep 30", array="0-3%2")
    seen = _recorded(side, number, until=lambda records: [each[3] for each in records].count("RUNNING") == 2)
    time.sleep(0.3)
    canceled = side.cancel(number), _recorded(side, number, until=_all(*OVER))
    return seen, canceled, side.cancel(number)


def _after_array(kind: str) -> Callable[[Side], Any]:
    def waits(side: Side) -> Any:
        array = side.submit("exit $SLURM_ARRAY_TASK_ID", array="0-1")
        number = side.submit("true", dependency=f"{kind}:{array}")
        deadline = time.monotonic() + 60
        while (job := side.job(number))["job_state"] not in OVER:
            if job["state_reason"] == "DependencyNeverSatisfied":
                side.cancel(number)
                return job["job_state"], job["state_reason"]
            assert time.monotonic() < deadline, job["state_reason"]
            time.sleep(0.05)
        return job["job_state"]

    return waits


CASES: dict[str, Callable[[Side], Any]] = {
    "exit 3": _ends("exit 3"),
    "success": _ends("true"),
    "killed by itself": _ends("kill -9 $$"),
    "no such command": _ends("no-such-command"),
    "no interpreter": lambda side: side.end(
        side.http.post(
            "/job/submit",
            json={
                "script": "exit 5\n",
                "job": {"environment": {"A": "b"}, "current_working_directory": side.work},
            },
        ).json()["job_id"]
    ),
    "a trapped signal": _signalled,
    "a signal that ends it": _terminated,
    "cancelled": _cancelled,
    "held": _held,
    "afterok of one that is cancelled": _after("afterok"),
    "afterany of one that is cancelled": _after("afterany"),
    "environment as a list": _refused(environment=["A=b"]),
    "no environment": _refused(environment={}),
    "a number as an object": _refused(time_limit={"set": True, "number": 3}),
    "an unknown word": _refused(nonsense=1),
    "an unknown partition": _refused(partition="nope"),
    "an unknown reservation": _refused(reservation="nope"),
    "an unknown feature": _refused(constraints="nope"),
    "licenses": _refused(licenses="matlab:1"),
    "a bad array": _refused(array="zzz"),
    "an array backwards": _refused(array="3-1"),
    "an array that is too large": _refused(array="0-1001"),
    "an array": _array,
    "an array that is held": _array_held,
    "an array that is cancelled": _array_canceled,
    "after the success of an array": _after_array("afterok"),
    "after the failure of an array": _after_array("afternotok"),
    "a bad dependency": _refused(dependency="zzz"),
    "a word for a number": _refused(tasks="many"),
    "a bad list of nodes": _refused(nodes=[1]),
    "a time in words": lambda side: side.job(side.submit("true", time_limit="00:02:00"))["time_limit"],
    "nothing": _body({}),
    "no job": _body({"script": "#!/bin/sh"}),
    "a list": _body([1]),
    "a text for a job": _body({"script": "#!/bin/sh", "job": "x"}),
    "no json": lambda side: said(
        side.http.post("/job/submit", content=b"{", headers={"Content-Type": "application/json"})
    ),
    "an unknown job": _got("/job/99999"),
    "no job id": _got("/job/abc"),
    "cancel of an unknown job": lambda side: side.cancel(99999),
    "an unknown signal": lambda side: side.cancel(99999, "NONSENSE"),
    "an unknown path": _got("/nothing"),
    "a bad update_time": lambda side: side.http.get("/jobs", params={"update_time": "abc"}).status_code,
    "an update_time ahead": lambda side: (
        side.http.get("/jobs", params={"update_time": int(time.time()) + 100}).status_code
    ),
    "another method": lambda side: said(side.http.put("/jobs")),
    "no user": lambda side: said(httpx.get(f"{side.http.base_url}ping", trust_env=False)),
    "a bad token to look": lambda side: said(side.http.get("/jobs", headers={"X-SLURM-USER-TOKEN": "bad"})),
    "a bad token to submit": lambda side: said(
        side.http.post(
            "/job/submit",
            json={"script": "#!/bin/sh\n", "job": {"environment": {"A": "b"}}},
            headers={"X-SLURM-USER-TOKEN": "bad"},
        )
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_both_say_the_same(real: Side, face: Side, case: str) -> None:
    assert CASES[case](face) == CASES[case](real)


@pytest.mark.parametrize("what", ["ping", "partitions", "nodes", "reservations", "diag"])
def test_documents_have_nothing_of_their_own(real: Side, face: Side, what: str) -> None:
    _is_part_of(face.http.get(f"/{what}").json(), real.http.get(f"/{what}").json(), what)


def test_jobs_have_nothing_of_their_own(real: Side, face: Side) -> None:
    jobs = [side.job(side.submit("true", hold=True, time_limit=5)) for side in (face, real)]
    _is_part_of(*jobs, "job")


def _is_part_of(mine: Any, theirs: Any, where: str) -> None:
    """All that the face says is said by the real one, and is of the same kind."""
    if isinstance(mine, dict):
        assert mine.keys() <= theirs.keys(), where
        for name, value in mine.items():
            _is_part_of(value, theirs[name], f"{where}.{name}")
    elif isinstance(mine, list) and mine and theirs:
        _is_part_of(mine[0], theirs[0], f"{where}[0]")
    elif None not in (mine, theirs):
        assert type(mine) is type(theirs), where
