"""A door that may be used for little, through each API: nothing else is sent, and that little works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS, Door

from iri_common import Facility, GrantExceeded, JobAttributes, JobSpec, ResourceSpec, Transfers, UsageError
from iri_common.jobs.audit import AuditLog
from iri_local_facility import LocalFacility

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    words = {name: value for each in DOORS.values() for name, value in each.start.items()}
    with LocalFacility(nodes=16, kill_grace=0.2, **words) as facility:
        yield facility


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Door:
    return DOORS[request.param]


@pytest.fixture
def granted(place: LocalFacility, door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Facility:
    """May run a job of a node below one directory, put files there, and end jobs; nothing else."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (place.home / "portal").mkdir(exist_ok=True)
    grant = {
        "verbs": ["submit", "cancel", "write"],
        "accounts": ["beamline"],
        "queues": ["debug"],
        "nodes": 1,
        "node_hours_a_day": 1,
        "paths": [str(place.home / "portal")],
    }
    return door.open(place, tmp_path, directory=str(place.home / "portal"), grant=grant)


def spec(**words: Any) -> JobSpec:
    attributes = {"duration": 60, "account": "beamline", "queue_name": "debug", **words.pop("attributes", {})}
    return JobSpec(executable="/bin/true", attributes=JobAttributes(**attributes), **words)


OUTSIDE = {
    "another account": lambda: spec(attributes={"account": "demo"}),
    "another queue": lambda: spec(attributes={"queue_name": "regular"}),
    "two nodes": lambda: spec(resources=ResourceSpec(node_count=2)),
    "two hours": lambda: spec(attributes={"duration": 7200}),
    "another directory": lambda: spec(directory="/tmp"),
    "output elsewhere": lambda: spec(stdout_path="/tmp/out"),
    "a word of the scheduler": lambda: spec(attributes={"custom_attributes": {"qos": "urgent"}}),
}


def submits(place: LocalFacility, door: Door) -> list[dict]:
    return [each for each in place.requests() if re.match(door.submit, f"{each['method']} {each['path']}")]


def test_nothing_outside_of_the_grant_is_sent_and_what_is_within_works(
    granted: Facility, place: LocalFacility, door: Door, tmp_path: Path
) -> None:
    place.reset_requests()
    (place.home / "portal" / "x").write_text("x")
    for name, made in OUTSIDE.items():
        with pytest.raises(GrantExceeded) as caught:
            granted.jobs.submit(made())
        assert caught.value.allowed, name
    if granted.grades.files != "none":
        (tmp_path / "file").write_text("x")
        outside = str(place.home / "elsewhere")
        for refused in (
            lambda: granted.files.put(tmp_path / "file", outside),
            lambda: granted.files.get(str(place.home / "portal"), tmp_path / "here"),
            lambda: granted.files.rm(str(place.home / "portal" / "x")),
            lambda: granted.files.ls(str(place.home)),
            lambda: granted.files.mv(str(place.home / "portal" / "x"), outside),
            lambda: Transfers().copy(tmp_path / "file", granted.files.at(outside)),
        ):
            with pytest.raises(GrantExceeded):
                refused()
    assert "elsewhere" not in json.dumps(place.requests())
    assert not submits(place, door)
    assert (place.home / "portal" / "x").exists()

    job = granted.jobs.submit(spec())
    assert granted.jobs.wait(job).succeeded
    assert len(submits(place, door)) == 1
    lines = list(AuditLog(tmp_path / "state" / "iri" / "audit").entries())
    assert {each["fate"] for each in lines} == {"denied", "asked", "done"}
    assert [each["job"] for each in lines if "job" in each] == [job.job_id]
    with pytest.raises(UsageError, match="another size"):
        granted.jobs.update(job, {"attributes": {"duration": 30}})


def test_a_file_goes_where_it_may(granted: Facility, place: LocalFacility, tmp_path: Path) -> None:
    if granted.grades.files == "none":
        pytest.skip("this API has no files")
    (tmp_path / "tree").mkdir()
    for name in ("one", "two"):
        (tmp_path / "tree" / name).write_text(name)
    target = place.home / "portal" / tmp_path.name
    granted.files.put(tmp_path / "tree", str(target))
    assert sorted(each.name for each in target.iterdir()) == ["one", "two"]


# --------------------------------------------------------------------------------------- many processes

# Forked before anything is open; each child has a loop and connections of its own.
CROWD = """
import json, os, signal, sys
from iri_common import Facility, GrantExceeded, JobKey
from iri_common.apis.iri.jobs import IriJobs

def ask(name, count):
    facility, given = Facility.from_profile("place"), 0
    for number in range(count):
        try:
            spec = {"executable": "/bin/true", "attributes": {"duration": 900}}
            facility.jobs.submit(spec, key=JobKey.of("crowd", name, number))
            given += 1
        except GrantExceeded:
            pass
    return given

def forked(work):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return child

def die(*args, **words):
    os.kill(os.getpid(), signal.SIGKILL)

def killed():
    IriJobs.submit = die  # after its hours were taken, before anything is sent
    ask("killed", 1)

os.waitpid(forked(killed), 0)
children = [forked(lambda: ask(str(number), 3)) for number in range(10)]
assert [os.waitpid(each, 0)[1] for each in children] == [0] * 10
"""


def test_ten_processes_never_send_more_than_a_day_has_hours(place: LocalFacility, tmp_path: Path) -> None:
    place.reset_requests()
    variables = {
        **DOORS["iri-v2"].variables(place, tmp_path),
        "IRI_FACILITY_PLACE_GRANT_NODE_HOURS_A_DAY": "2",  # eight jobs of a quarter
    }
    done = subprocess.run(
        [sys.executable, "-c", CROWD],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(place.requests("launchJob")) == 7  # what was taken by the one that was killed stays taken
    files = (tmp_path / "state" / "iri" / "audit").glob("*.jsonl")
    lines = [json.loads(line) for each in files for line in each.read_text().splitlines()]
    assert sum(each["fate"] == "asked" for each in lines) == 8
    assert sum(each["fate"] == "done" for each in lines) == 7
    assert sum(each["fate"] == "denied" for each in lines) == 23
