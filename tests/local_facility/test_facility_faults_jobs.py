"""Orders on jobs: what really ran, and what the facility says of it."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def upset() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=4, kill_grace=0.3) as running:
        yield running


@pytest.fixture
def client(upset: LocalFacility, client_of) -> Iterator[Any]:
    client = client_of(upset)
    yield client
    upset.clear_faults()
    status = client.wait(client.sh("true; echo $IRI_RESTART_COUNT"))
    assert status["state"] == "completed"
    assert output(status) == ["0"]
    assert not [job for job in upset.jobs() if job["state"] == "active"]
    client.http.close()


def ran(facility: LocalFacility, job: str) -> dict[str, Any]:
    return next(entry for entry in facility.jobs() if entry["id"] == job)


def struck(facility: LocalFacility) -> list[tuple[str, int]]:
    return [(order["id"], order["struck"]) for order in facility.faults()]


def appears(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    path.unlink()


def output(status: dict[str, Any]) -> list[str]:
    with open(status["meta_data"]["stdout_path"]) as file:
        return file.read().split()


def test_jobs_know_their_nodes_and_attempts(client, upset) -> None:
    wide = client.sh("echo $IRI_NODES; sleep 0.3", resources={"node_count": 3})
    narrow = client.sh("echo $IRI_NODES $IRI_RESTART_COUNT")
    names = output(client.wait(wide)) + output(client.wait(narrow))
    assert sorted(names) == ["0", "node1", "node2", "node3", "node4"]
    assert ran(upset, wide)["nodes"] == ["node1", "node2", "node3"]
    (attempt,) = ran(upset, narrow)["attempts"]
    assert attempt["started"] < attempt["ended"]
    assert (attempt["restarts"], attempt["exit_code"], attempt["nodes"]) == (0, 0, ["node4"])


def test_the_node_of_a_job_dies(client, upset) -> None:
    job = client.sh("trap 'touch trapped' TERM; sleep 60 & wait")
    client.wait(job, "active")
    leader = psutil.Process(ran(upset, job)["pid"])
    family = [leader, *leader.children(recursive=True)]
    fault = upset.order("node_death", job=job)
    status = client.wait(job)
    assert (status["state"], status["message"], status.get("exit_code")) == ("failed", "node failure", None)
    psutil.wait_procs(family, timeout=5)
    assert not any(process.is_running() for process in family)
    assert not (upset.home / "trapped").exists()
    assert struck(upset) == [(fault, 1)]
    assert len(ran(upset, job)["attempts"]) == 1


def test_a_node_takes_its_jobs_along(client, upset) -> None:
    wide = client.launch("/bin/sleep", "60", resources={"node_count": 2})
    other = client.launch("/bin/sleep", "60")
    client.wait(other, "active")
    upset.order("node_death", node="node2")
    assert client.wait(wide)["message"] == "node failure"
    assert client.status(other)["state"] == "active"
    client.cancel(other)
    client.wait(other)


def test_a_job_is_requeued_after_its_node_died(client, upset) -> None:
    upset.order("node_death", requeue=True, times=2, seconds=0.1)
    job = client.sh('echo "$IRI_JOB_ID-$IRI_RESTART_COUNT" >>requeued; sleep 0.4', name="requeued")
    status = client.wait(job)
    assert status["state"] == "completed"
    assert (upset.home / "requeued").read_text().split() == [f"{job}-{n}" for n in range(3)]
    attempts = ran(upset, job)["attempts"]
    assert [attempt["message"] for attempt in attempts] == ["node failure", "node failure", None]
    assert all(first["ended"] <= then["started"] for first, then in itertools.pairwise(attempts))
    assert ran(upset, job)["restarts"] == 2


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_node_dies_at_a_command(client, upset, when, nth) -> None:
    folder = upset.home / f"at-{when}-{nth}"
    folder.mkdir()
    fault = upset.order("node_death", command="mkdir", nth=nth, when=when)
    script = 'for i in 1 2 3; do /bin/sh -c "mkdir $i"; done; : >end'
    status = client.wait(client.sh(script, directory=str(folder)))
    assert (status["state"], status["message"]) == ("failed", "node failure")
    made = nth - (when == "before")
    assert len([name for name in os.listdir(folder) if name in "123"]) == made
    assert not (folder / "end").exists()
    assert struck(upset) == [(fault, 1)]


def test_a_command_keeps_its_arguments_input_and_code(client, upset) -> None:
    upset.order("node_death", command="cat", nth=2)
    upset.order("node_death", command="ls", nth=2)
    odd = "a  b'$c"
    (upset.home / odd).write_text("odd")
    script = f'echo in | cat - "{odd.replace("$", chr(92) + "$")}"; ls nowhere; echo $?'
    assert output(client.wait(client.sh(script, stderr_path="/dev/null"))) == ["in", "odd2"]
    assert [order["struck"] for order in upset.faults()] == [0, 0]
    assert [order["live"] for order in upset.faults()] == [False, False]


def test_a_requeue_between_two_commands(client, upset) -> None:
    upset.order("node_death", command="ln", requeue=True, when="after", job="guarded")
    untouched = client.sh("ln -s x free")
    job = client.sh('ln -s "$IRI_RESTART_COUNT" guard || readlink guard', name="guarded")
    assert output(client.wait(job))[-1] == "0"
    assert [attempt["exit_code"] for attempt in ran(upset, job)["attempts"]] == [None, 0]
    assert client.wait(untouched)["state"] == "completed"


def test_each_attempt_counts_its_commands(client, upset) -> None:
    upset.order("node_death", command="touch", nth=2, times=2, requeue=True)
    script = 'touch "one-$IRI_RESTART_COUNT"; touch "two-$IRI_RESTART_COUNT"'
    assert client.wait(client.sh(script))["state"] == "completed"
    assert sorted(path.name for path in upset.home.glob("???-?")) == ["one-0", "one-1", "one-2", "two-2"]


def test_a_strike_while_the_server_is_away(client_of) -> None:
    with LocalFacility() as facility:
        client = client_of(facility)
        facility.order("node_death", command="touch", requeue=True)
        job = client.sh('sleep 0.4; touch "ran-$IRI_RESTART_COUNT"')
        client.wait(job, "active")
        facility.kill()
        time.sleep(0.8)
        facility.restart()
        assert client.wait(job)["state"] == "completed"
        assert [attempt["message"] for attempt in ran(facility, job)["attempts"]] == ["node failure", None]
        assert [path.name for path in facility.home.glob("ran-*")] == ["ran-1"]
        assert [order["struck"] for order in facility.faults()] == [1]


def test_an_attempt_is_not_taken_for_the_one_before(client_of) -> None:
    with LocalFacility(kill_grace=0.5) as facility:
        client = client_of(facility)
        job = client.sh("touch runs-$IRI_RESTART_COUNT; sleep 60; exit 7")
        appears(facility.home / "runs-0")
        facility.order("preempt", job=job, requeue=True)
        appears(facility.home / "runs-1")
        victim = ran(facility, job)["pid"]
        facility.kill()
        os.killpg(victim, signal.SIGKILL)
        facility.restart()
        assert client.wait(job)["message"] == "node failure"
        assert [attempt["exit_code"] for attempt in ran(facility, job)["attempts"]] == [143, None]


def test_a_stroke_that_comes_too_late_for_its_attempt_is_none(client, upset) -> None:
    upset.order("node_death", seconds=0.4, job="twice")
    upset.order("requeue", seconds=0.1, job="twice")
    job = client.sh("sleep 0.6", name="twice")
    assert client.wait(job)["state"] == "completed"
    assert [strokes for _, strokes in struck(upset)] == [0, 1]


def test_memory_runs_out(client, upset) -> None:
    upset.order("out_of_memory", seconds=0.1, job="greedy")
    modest, greedy = client.sh("sleep 0.3"), client.sh("sleep 60", name="greedy")
    status = client.wait(greedy)
    assert (status["state"], status["message"], status["exit_code"]) == ("failed", "out of memory", 137)
    assert client.wait(modest)["state"] == "completed"


@pytest.mark.parametrize("requeue", [True, False])
def test_preemption_gives_notice(client, upset, requeue) -> None:
    deaf = "trap 'echo notice >>noticed; sleep 60' TERM; touch listens; sleep 60 & wait"
    job = client.sh(f"[ $IRI_RESTART_COUNT = 0 ] || exit 0; {deaf}")
    appears(upset.home / "listens")
    began = time.monotonic()
    upset.order("preempt", job=job, seconds=0.5, requeue=requeue)
    status = client.wait(job)
    assert time.monotonic() - began > 0.4
    assert (status["state"], status.get("message")) == (
        ("completed", None) if requeue else ("failed", "preempted")
    )
    noticed = upset.home / "noticed"
    assert noticed.read_text() == "notice\n"
    noticed.unlink()


def test_a_requeue_for_no_reason_and_a_cancel_in_its_grace(client, upset) -> None:
    job = client.sh("[ $IRI_RESTART_COUNT = 1 ] || sleep 60")
    client.wait(job, "active")
    upset.order("requeue", job=job)
    assert client.wait(job)["state"] == "completed"
    deaf = client.sh("trap : TERM; touch deaf; while :; do sleep 0.05; done")
    appears(upset.home / "deaf")
    upset.order("preempt", job=deaf, seconds=20, requeue=True)
    client.cancel(deaf)
    assert client.wait(deaf)["state"] == "canceled"
    assert len(ran(upset, deaf)["attempts"]) == 1


def test_the_facility_holds_a_job(client, upset) -> None:
    order = upset.order("hold", job="held")
    free, held = client.launch("/bin/true", name="free"), client.launch("/bin/true", name="held")
    assert client.wait(free)["state"] == "completed"
    assert (client.status(held)["state"], client.status(held)["message"]) == ("held", "held by the facility")
    client.update(held, attributes={"custom_attributes": {"hold": "false"}})
    assert client.status(held)["state"] == "held"
    upset.clear_faults(order)
    assert client.wait(held)["state"] == "completed"
    upset.order("hold", lasts=0.3)
    assert client.status(job := client.launch("/bin/true"))["state"] == "held"
    assert client.wait(job)["state"] == "completed"


def test_jobs_made_and_jobs_run_can_be_counted(client, upset) -> None:
    upset.reset_requests()
    job = client.launch("/bin/true")
    client.wait(job)
    launched, *looks = upset.requests()
    assert (launched["created"], launched["job"], launched["acted"]) == (job, None, True)
    assert all((look["created"], look["job"]) == (None, job) for look in looks)


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
@pytest.mark.parametrize(
    ("line", "made"),
    [
        ("command -p mkdir made; touch after", False),
        ("set -eu; x=$(command -p mkdir made); touch after", False),
        ("command mkdir made; touch after", False),
        ("command -p touch made; command -v touch >/dev/null && command -p mkdir x; touch after", True),
        ("command exec mkdir made", False),
    ],
)
def test_a_shell_that_looks_past_its_path_is_struck(client, upset, shell, line, made) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    folder = upset.home / "past"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    fault = upset.order("node_death", command="mkdir", job="past")
    status = client.wait(client.launch(program, "-c", line, directory="past", name="past"))
    assert status["message"] == "node failure"
    assert [path.name for path in folder.glob("[!j]*")] == (["made"] if made else [])
    assert struck(upset) == [(fault, 1)]


def test_a_shell_with_a_trap_works_as_without(client, upset) -> None:
    upset.order("node_death", command="printf", nth=3)
    upset.order("node_death", command="ln", nth=9)
    script = (
        'set -u; printf "%s " "$1"; command -p ln -s a b; command -p ls b; command false || echo $?;'
        'command -p ls nowhere 2>/dev/null || echo failed; x=$(command -v cd); echo $x; printf "%s\\n" "$0"'
    )
    status = client.wait(client.launch("/bin/sh", "-c", script, "name", "one  two"))
    assert output(status) == ["one", "two", "b", "1", "failed", "cd", "name"]
    assert [(order["struck"], order["live"]) for order in upset.faults()] == [(0, False)] * 2
    (upset.home / "b").unlink()
