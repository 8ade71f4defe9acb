"""The Superfacility face on the wire: where it is unlike other APIs, and what clients do not look at."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from superfacility_kit import Door, assertion

from iri_local_facility import LocalFacility
from iri_local_facility.accounts import User
from iri_local_facility.paths import Areas
from iri_local_facility.processes import birth
from iri_local_facility.store import Store
from iri_local_facility.superfacility import commands


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=2, kill_grace=0.3, superfacility_cache=60, size_limit=100_000) as running:
        yield running


@pytest.fixture(scope="module")
def door(place: LocalFacility) -> Iterator[Door]:
    door = Door(place)
    with door.http:
        yield door


# As sfapi_client 0.6.0 was seen to send them, with paths of this facility in place of NERSC's.
RECORDED = [
    ("GET", "/status/perlmutter", None),
    (
        "POST",
        "/compute/jobs/perlmutter",
        "job=%23%21%2Fbin%2Fbash%0A%23SBATCH+-N+1%0Aecho+hi%0A&isPath=false",
    ),
    ("GET", "/tasks/{task}", None),
    ("GET", "/compute/jobs/perlmutter?sacct=false&cached=false&kwargs=jobid%3D123", None),
    ("DELETE", "/compute/jobs/perlmutter/123", None),
    ("GET", "/compute/jobs/perlmutter?sacct=false&cached=false&kwargs=user%3Du", None),
    ("GET", "/compute/jobs/perlmutter?sacct=false&cached=false&kwargs=jobid%3D1%2C2", None),
    ("GET", "/compute/jobs/perlmutter?sacct=true&cached=false&kwargs=user%3Du", None),
    ("GET", "/compute/jobs/perlmutter?sacct=true&cached=false&kwargs=jobid%3D1%2C2", None),
    ("POST", "/utilities/command/perlmutter", "executable=echo+hi"),
    ("POST", "/utilities/command/perlmutter", "executable=ls+-l+a+b"),
    ("GET", "/utilities/ls/perlmutter/{home}/b.txt", None),
    ("GET", "/utilities/download/perlmutter/{home}/b.txt?binary=false", None),
    ("GET", "/account/", None),
    ("POST", "/compute/jobs/perlmutter", "job={home}%2Fb.txt&isPath=true&args=a&args=b+c"),
    ("GET", "/status/globus", None),
    (
        "POST",
        "/storage/globus/transfer",
        "source_uuid=dtn&target_uuid=perlmutter&source_dir={home}%2Fb.txt&target_dir={home}%2Fb&label=",
    ),
]
UPLOAD = (
    b'--e33c71eae314\r\nContent-Disposition: form-data; name="file"; filename="upload"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\ndata\xff\r\n--e33c71eae314--\r\n"
)


def test_recorded_requests_are_understood(place: LocalFacility, door: Door) -> None:
    (place.home / "b.txt").write_text("#!/bin/sh\n")
    task = door.post_job("#!/bin/sh\n").json()["task_id"]
    for method, path, body in RECORDED:
        url = path.format(home=place.home, task=task)
        form = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        content = body and body.format(home=str(place.home).replace("/", "%2F"))
        answer = door.http.request(method, url, content=content, headers=form)
        assert answer.status_code == 200, (method, path, answer.text)
        assert answer.json().get("status") != "ERROR", (method, path, answer.text)
    form = {"Content-Type": "multipart/form-data; boundary=e33c71eae314"}
    url = f"/utilities/upload/perlmutter/{place.home}/up.bin"
    assert door.http.put(url, content=UPLOAD, headers=form).json()["status"] == "OK"
    assert (place.home / "up.bin").read_bytes() == b"data\xff"


def test_tokens_last_ten_minutes_at_most(place: LocalFacility, door: Door) -> None:
    signed = assertion(place.superfacility_key, place.superfacility_token_url)
    assert door.ask_token(signed).json()["expires_in"] == 600


def test_bodies_are_forms(door: Door) -> None:
    answer = door.http.post("/compute/jobs/perlmutter", json={"job": "#!/bin/sh\n", "isPath": False})
    missing = {"msg": "field required", "type": "value_error.missing"}
    assert answer.status_code == 422
    assert answer.json()["detail"] == [{"loc": ["body", name], **missing} for name in ("job", "isPath")]
    assert door.http.post("/utilities/command/perlmutter", json={"executable": "true"}).status_code == 422
    assert door.http.get("/compute/jobs/cori").status_code == 422
    assert door.http.get("/tasks/123456").json() == {"detail": "Task 123456 not found"}


def test_a_task_is_new_until_it_ends(place: LocalFacility, door: Door) -> None:
    answer = door.post_job("#!/bin/sh\ntrue\n")
    assert answer.json().keys() == {"task_id", "status", "error"}
    first = door.http.get(f"/tasks/{answer.json()['task_id']}").json()
    assert first == {"id": answer.json()["task_id"], "status": "new", "result": None}
    task = door.task(answer)
    assert task["status"] == "completed"
    assert task["result"] == {"status": "ok", "jobid": task["result"]["jobid"], "error": None}
    assert first["id"] in {each["id"] for each in door.http.get("/tasks").json()["tasks"]}
    assert place.requests("sfSubmitJob")[-1]["created"] == task["result"]["jobid"]
    assert door.http.delete(f"/tasks/{first['id']}").json()["status"] == "OK"
    assert door.http.get(f"/tasks/{first['id']}").json()["status"] == "completed"  # how it ended is settled
    bob = Door(place, place.new_token("bob"))
    with bob.http:
        assert bob.http.get(f"/tasks/{first['id']}").status_code == 404
        assert bob.rows(f"jobid={task['result']['jobid']}", sacct=True) == []


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"job": " #!/bin/sh\ntrue\n"}, "sbatch: error: This does not look like a batch script."),
        ({"job": "echo hi\n"}, "sbatch: error: This does not look like a batch script."),
        ({"job": "{home}/none", "isPath": "true"}, "sbatch: error: Unable to open file {home}/none"),
        ({"job": "/etc/hostname", "isPath": "true"}, "sbatch: error: Unable to open file /etc/hostname"),
        (
            {"job": "#!/bin/sh\n#SBATCH --account=m1234\n"},
            "sbatch: error: Batch job submission failed: Invalid account",
        ),
    ],
)
def test_what_sbatch_says_is_in_the_task(place: LocalFacility, door: Door, fields: dict, error: str) -> None:
    told = {name: value.replace("{home}", str(place.home)) for name, value in fields.items()}
    task = door.task(door.http.post("/compute/jobs/perlmutter", data={"isPath": "false", **told}))
    assert (task["status"], task["result"]["status"]) == ("completed", "error")
    assert task["result"]["error"].startswith(error.replace("{home}", str(place.home)))


def test_what_is_refused_at_once_is_a_success(door: Door) -> None:
    answers = [
        door.post_job("#!/bin/sh\n", args=["a"]),
        door.post_job("#!/bin/sh\n", callbackUrl="http://127.0.0.1:1/done"),
        door.http.post("/compute/jobs/dtns", data={"job": "#!/bin/sh\n", "isPath": "false"}),
        door.http.get("/compute/jobs/dtns"),
        door.http.post("/utilities/command/dtns", data={"executable": "a\0b"}),
        door.http.get("/compute/jobs/perlmutter", params={"kwargs": "colour=red"}),
        door.http.get("/compute/jobs/perlmutter/12a"),
    ]
    assert [answer.status_code for answer in answers] == [200] * 7
    assert [answer.json()["status"] for answer in answers] == ["ERROR"] * 7
    assert answers[-2].json()["error"] == "squeue: unrecognized option '--colour'"
    assert answers[-1].json()["error"] == "slurm_load_jobs error: Invalid job id specified"


def test_rows_of_the_queue_and_of_the_records(place: LocalFacility, door: Door) -> None:
    job = door.submit("#SBATCH --job-name=rows --time=30 --output=rows-%j.log\necho $0; sleep 0.2; exit 3")
    [row] = door.rows(f"jobid={job}")
    assert all(isinstance(value, str) for value in row.values())
    assert (row["st"], row["state"], row["time_limit"], row["time"]) == ("R", "RUNNING", "30:00", "0:00")
    assert (row["nodelist(reason)"], row["s:c:t"], row["array_task_id"]) == ("node1", "*:*:*", "N/A")
    assert (row["user"], row["uid"], row["work_dir"]) == ("alice", str(os.getuid()), str(place.home))
    door.wait(job)
    assert door.http.get(f"/compute/jobs/perlmutter/{job}?cached=false").json()["output"] == []
    answer = door.http.get(f"/compute/jobs/perlmutter/{job}?sacct=true").json()
    whole, batch, extern = answer["output"]
    assert [each["jobid"] for each in (whole, batch, extern)] == [job, f"{job}.batch", f"{job}.extern"]
    assert all(isinstance(value, str) for value in whole.values())
    assert (whole["state"], whole["exitcode"], whole["reason"]) == ("FAILED", "3:0", "NonZeroExitCode")
    assert (whole["timelimit"], whole["timelimitraw"], whole["nnodes"]) == ("00:30:00", "30", "1")
    assert (batch["user"], extern["state"], extern["exitcode"]) == ("", "COMPLETED", "0:0")
    stdout = json.loads(whole["admincomment"])["stdoutPath"]
    assert stdout == str(place.home / f"rows-{job}.log")
    started = time.mktime(time.strptime(whole["start"], "%Y-%m-%dT%H:%M:%S"))
    assert started == pytest.approx(time.time(), abs=60)


def test_waiting_and_cancelled_jobs(place: LocalFacility, door: Door) -> None:
    full = [door.submit("#SBATCH --job-name=full\nsleep 60") for _ in range(2)]
    job = door.submit("#SBATCH --job-name=waits --hold\nsleep 60")
    [row] = door.rows(f"jobid={job}")
    assert (row["st"], row["state"], row["reason"]) == ("PD", "PENDING", "JobHeldUser")
    assert (row["nodelist"], row["nodelist(reason)"], row["start_time"]) == ("", "(JobHeldUser)", "N/A")
    assert (door.record(job)["start"], door.record(job)["nodelist"]) == ("Unknown", "None assigned")
    for number in (*full, job):
        task = door.task(door.http.delete(f"/compute/jobs/perlmutter/{number}"))
        assert task["result"]["status"] == "ok"
    assert {door.wait(number)["state"] for number in (*full, job)} == {f"CANCELLED by {os.getuid()}"}
    assert [row["jobid"] for row in door.rows(f"jobid={job}", sacct=True)] == [job]  # it had no steps
    for number, words in ((job, "already completing or completed"), ("999999", "Invalid job id specified")):
        task = door.task(door.http.delete(f"/compute/jobs/perlmutter/{number}"))
        assert (task["status"], task["result"]["status"]) == ("completed", "error")
        assert words in task["result"]["error"]


def test_jobs_that_wait_for_others(door: Door) -> None:
    first = door.submit("#SBATCH --hold --time=1-00\ntrue")
    assert door.rows(f"jobid={first}")[0]["time_limit"] == "1-00:00:00"
    job = door.submit(f"#SBATCH --dependency=afterok:{first}\ntrue")
    deadline = time.monotonic() + 60
    while (row := door.rows(f"jobid={job}")[0])["reason"] != "Dependency":
        assert time.monotonic() < deadline, row
    assert row["dependency"] == f"afterok:{first}(unfulfilled)"
    for number in (job, first):
        door.task(door.http.delete(f"/compute/jobs/perlmutter/{number}"))


def test_what_jobs_are_asked_for(door: Door) -> None:
    jobs = [door.submit(f"#SBATCH -J pick{number} --qos=debug\ntrue") for number in range(3)]
    for job in jobs:
        door.wait(job)
    assert {row["jobid"] for row in door.rows("jobid=" + ",".join(jobs), sacct=True)} >= set(jobs)
    picked = [row["jobid"] for row in door.rows("user=alice", "name=pick1,pick2", sacct=True)]
    assert [job for job in picked if "." not in job] == jobs[1:]
    assert door.rows("user=bob", sacct=True) == []
    assert door.rows(f"user={os.getuid()}", "name=pick1", sacct=True) != []
    assert door.rows("name=pick1", "state=F", sacct=True) == []
    assert door.rows("name=pick1", "state=CD", "partition=debug", "qos=debug", sacct=True) != []
    assert door.rows("name=pick1", "starttime=2100-01-01", sacct=True) == []
    assert door.rows("name=pick1", "starttime=2020-01-01T00:00:00", sacct=True) != []
    query = {"sacct": "true", "kwargs": "name=pick0,pick1,pick2", "index": 3, "limit": 1}
    assert [
        row["jobid"] for row in door.http.get("/compute/jobs/perlmutter", params=query).json()["output"]
    ] == [jobs[1]]


def test_the_records_are_shown_since_midnight(place: LocalFacility, door: Door) -> None:
    job = door.submit("#SBATCH -J old -t 1-00\ntrue")
    door.wait(job)
    store = Store(place.root / ".facility" / "facility.db")
    now = time.time()
    store.update("jobs", job, submitted=now - 4 * 86400, started=now - 3 * 86400, ended=now - 2 * 86400 + 61)
    store.close()
    assert door.rows("name=old", sacct=True) == []
    assert door.rows("name=old", "starttime=2020-01-01", sacct=True) != []
    assert door.rows("name=old", "starttime=2020-01-01", "endtime=2021-01-01", sacct=True) == []
    record = door.record(job)  # one that is named is shown whatever its time
    assert (record["elapsed"], record["elapsedraw"], record["timelimit"]) == (
        "1-00:01:01",
        "86461",
        "1-00:00:00",
    )


def test_the_cached_queue_is_an_old_picture(place: LocalFacility, door: Door) -> None:
    door.rows(cached=True)
    job = door.submit("sleep 60")
    assert door.rows(f"jobid={job}", cached=True) == []
    assert [row["jobid"] for row in door.rows(f"jobid={job}")] == [job]
    default = door.http.get("/compute/jobs/perlmutter", params={"kwargs": f"jobid={job}"}).json()
    assert default["output"] == []
    door.task(door.http.delete(f"/compute/jobs/perlmutter/{job}"))


def test_names_of_files_are_theirs(place: LocalFacility, door: Door) -> None:
    odd = "50% #1? & é\\'\" .txt"
    url = f"/utilities/upload/dtns/{httpx.URL(path=str(place.home)).path}/" + "".join(
        f"%{byte:02X}" for byte in odd.encode()
    )
    assert door.http.put(url, files={"file": b"\x00\xff"}).json()["status"] == "OK"
    assert (place.home / odd).read_bytes() == b"\x00\xff"
    path = "".join(f"%{byte:02X}" for byte in str(place.home / odd).encode())  # slashes, too
    [entry] = door.http.get(f"/utilities/ls/dtns/{path}").json()["entries"]
    assert (entry["name"], entry["size"], entry["hardlinks"]) == (str(place.home / odd), 2.0, 1)
    assert isinstance(entry["size"], float)
    answer = door.http.get(f"/utilities/download/dtns/{path}?binary=true").json()
    assert answer == {
        "status": "OK",
        "file": base64.b64encode(b"\x00\xff").decode(),
        "is_binary": True,
        "error": None,
    }


def test_directories_and_links_are_listed_as_ls_does(place: LocalFacility, door: Door) -> None:
    top = place.home / "listed"
    (top / "sub").mkdir(parents=True)
    (top / ".hidden").write_text("")
    (top / "link").symlink_to("sub")
    entries = door.http.get(f"/utilities/ls/perlmutter/{top}").json()["entries"]
    assert [entry["name"] for entry in entries] == [".", "..", ".hidden", "link -> sub", "sub"]
    assert [entry["perms"][0] for entry in entries] == ["d", "d", "-", "l", "d"]
    [link] = door.http.get(f"/utilities/ls/perlmutter/{top}/link").json()["entries"]
    assert link["name"] == f"{top}/link -> sub"
    assert len(door.http.get(f"/utilities/ls/perlmutter/{top}/link/").json()["entries"]) == 2
    # Without its second slash a path begins at the home directory.
    assert door.http.get("/utilities/ls/perlmutter/listed").json()["status"] == "OK"
    for path, words in ((f"{top}/none", "No such file or directory"), ("/etc", "Permission denied")):
        answer = door.http.get(f"/utilities/ls/perlmutter/{path}").json()
        blank = {"entries": [], "file": None, "is_binary": False}
        assert answer == {"status": "ERROR", **blank, "error": words}


def test_what_files_are_too_much(place: LocalFacility, door: Door) -> None:
    (place.home / "big").write_bytes(bytes(100_001))
    for answer in (
        door.http.get(f"/utilities/download/perlmutter/{place.home}/big"),
        door.http.put(f"/utilities/upload/perlmutter/{place.home}/up", files={"file": bytes(100_001)}),
        door.http.get(f"/utilities/download/perlmutter/{place.home}"),
        door.http.put(f"/utilities/upload/perlmutter/{place.home}/no/such", files={"file": b""}),
    ):
        assert (answer.status_code, answer.json()["status"]) == (200, "ERROR")
    assert not (place.home / "up").exists()


def test_commands_tell_how_they_ended(door: Door) -> None:
    assert door.command("printf 'a\\377'; exit 0") == {
        "status": "ok", "output": "a\ufffd", "error": None, "exit_code": 0,
    }  # fmt: skip
    assert door.command("echo out; echo err >&2; exit 7") == {
        "status": "error", "output": "out\n", "error": "err\n", "exit_code": 7,
    }  # fmt: skip
    assert door.command("kill -9 $$")["exit_code"] == 137
    assert door.command("sleep 60 & echo $!")["status"] == "ok"  # what it leaves behind ends with it


def test_a_command_that_is_cancelled_ends(place: LocalFacility, door: Door) -> None:
    line = {"executable": "echo $$ >new; mv new pid; sleep 60"}
    task = door.http.post("/utilities/command/dtns", data=line).json()["task_id"]
    deadline = time.monotonic() + 60
    while not (place.home / "pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    pid = int((place.home / "pid").read_text())
    door.http.delete(f"/tasks/{task}")
    assert door.http.get(f"/tasks/{task}").json() == {"id": task, "status": "cancelled", "result": None}
    while birth(pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_commands_have_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "LIMIT", 0.2)
    runner = commands.Commands()
    alice = User("alice", (), Areas(tmp_path, tmp_path, {}))
    result = await runner.run("echo begun; sleep 60", alice)
    assert (result["status"], result["output"]) == ("error", "begun\n")
    assert result["error"] == "command timed out after 0 s"
    runner.stop()


def test_groups_and_hours_are_those_of_their_members(place: LocalFacility, door: Door) -> None:
    bob = Door(place, place.new_token("bob"))
    with bob.http:
        assert (
            door.http.post("/account/groups", data={"name": "ours", "repo_name": "demo"}).status_code == 200
        )
        add = {"usernames": "bob", "action": "batch_add"}
        assert bob.http.put("/account/groups/ours", data=add).status_code == 403
        assert door.http.put("/account/groups/demo", data=add).status_code == 403  # that is the project's
        assert (
            door.http.post("/account/groups", data={"name": "ours", "repo_name": "demo"}).status_code == 400
        )
        assert bob.http.get("/account/groups/none").status_code == 404
        before = door.http.get("/account/projects").json()[0]
        bob.wait(bob.submit("sleep 0.1"))
        after = door.http.get("/account/projects").json()[0]
    assert after["hours_used"] == before["hours_used"]
    assert after["project_hours_used"] > before["project_hours_used"]


def test_what_globus_is_not_asked_for(place: LocalFacility, door: Door) -> None:
    home = str(place.home)
    form = {"source_uuid": "hpss", "target_uuid": "dtn", "source_dir": "/a", "target_dir": "/b"}
    within = {"source_uuid": "dtn", "target_uuid": "dtn", "source_dir": home, "target_dir": f"{home}/copy"}
    for refused in (form, within, {**form, "source_uuid": "dtn"}):
        answer = door.http.post("/storage/globus/transfer", data=refused).json()
        assert (answer["status"], answer["transfer_id"]) == ("ERROR", ""), refused
    answer = door.http.get("/storage/globus/transfer/none").json()
    assert answer["status"] == "ERROR"
