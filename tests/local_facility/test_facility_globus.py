"""Globus Transfer, as the unmodified globus-sdk sees it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import globus_sdk
import pytest
from globus_kit import await_task, await_that, request, transfer_client
from globus_sdk import DeleteData, TransferClient

from iri_local_facility import LocalFacility
from iri_local_facility.globus.tasks import Progress, TaskTable, Trouble
from iri_local_facility.store import Store


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFacility]:
    beamline = tmp_path_factory.mktemp("beamline")
    with LocalFacility(name="globe", collections={"beamline": beamline}) as running:
        running.beamline = beamline
        running.beam = running.collection_of("beamline")
        yield running


@pytest.fixture
def client(place: LocalFacility, monkeypatch: pytest.MonkeyPatch) -> Iterator[TransferClient]:
    for name, value in place.globus_env.items():
        monkeypatch.setenv(name, value)
    place.reset_requests()
    client = transfer_client(place)
    yield client
    place.clear_faults()
    for task in place.transfers():
        if task["status"] not in ("SUCCEEDED", "FAILED"):
            client.cancel_task(task["id"])


@pytest.fixture
def work(place: LocalFacility, request: pytest.FixtureRequest) -> Path:
    path = place.scratch / hashlib.md5(request.node.name.encode()).hexdigest()
    path.mkdir()
    return path


def stuck(client: TransferClient, place: LocalFacility, work: Path, **options) -> str:
    data = request(place.collection, place.beam, (work / "nothing", "/nothing"), **options)
    return client.submit_transfer(data)["task_id"]


def test_a_tree_goes_whole(client: TransferClient, place: LocalFacility, work: Path) -> None:
    names = ["a", " b", "-c", "d\ne", "é&'\"", "sub/deep/f"]
    for number, name in enumerate(names):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(bytes([number]) * number * 700_000)
    (work / "empty").mkdir()
    (work / "link").symlink_to("a")
    (work / "directory-link").symlink_to("sub")
    data = request(place.collection, place.beam, (f"{work}/", "/in/tree/"), recursive=True, label="tree")
    submitted = client.submit_transfer(data)
    assert (submitted["code"], submitted.http_status) == ("Accepted", 202)
    task = await_task(client, submitted["task_id"])
    there = place.beamline / "in" / "tree"
    assert (task["status"], task["label"]) == ("SUCCEEDED", "tree")
    assert (task["files"], task["files_transferred"], task["directories"]) == (6, 6, 4)
    assert task["bytes_transferred"] == task["bytes_checksummed"] == 15 * 700_000
    assert all((there / name).read_bytes() == (work / name).read_bytes() for name in names)
    assert (there / "empty").is_dir()
    assert not [path for path in there.iterdir() if "link" in path.name]  # Globus leaves them out
    moved = list(client.paginated.task_successful_transfers(task["task_id"]).items())
    assert {entry["destination_path"] for entry in moved} == {f"/in/tree/{name}" for name in names}
    assert [event["code"] for event in client.task_event_list(task["task_id"])] == ["SUCCEEDED", "STARTED"]
    listed = {
        entry["name"]: (entry["type"], entry["size"]) for entry in client.operation_ls(place.beam, "/in/tree")
    }
    assert listed["é&'\""] == ("file", 4 * 700_000)
    assert listed["empty"][0] == "dir"
    assert not list(there.rglob(".*"))


def test_a_submission_is_one_task(client: TransferClient, place: LocalFacility, work: Path) -> None:
    (work / "f").write_bytes(b"once")
    identity = client.get_submission_id()["value"]
    answers = [
        client.submit_transfer(
            request(place.collection, place.beam, (work / "f", "/once"), submission_id=identity)
        )
        for _ in range(2)
    ]
    assert [answer["code"] for answer in answers] == ["Accepted", "Duplicate"]
    assert answers[0]["task_id"] == answers[1]["task_id"]
    await_task(client, answers[0]["task_id"])
    again = request(place.collection, place.beam, (work / "f", "/once"), submission_id=identity)
    assert client.submit_transfer(again)["code"] == "Duplicate"  # also when it is over


def test_the_same_paths_are_in_the_way(client: TransferClient, place: LocalFacility, work: Path) -> None:
    first = stuck(client, place, work, label="mine")
    with pytest.raises(globus_sdk.TransferAPIError) as conflict:
        stuck(client, place, work)
    assert (conflict.value.http_status, conflict.value.code) == (409, "Conflict")
    assert first not in conflict.value.text
    found = client.task_list(filter={"label": "mine", "status": ["ACTIVE", "INACTIVE"]}, limit=10)
    assert [task["task_id"] for task in found] == [first]
    assert client.cancel_task(first)["code"] == "Canceled"
    assert client.cancel_task(stuck(client, place, work))["code"] == "Canceled"


@pytest.mark.parametrize(
    ("kind", "options"),
    [("status", {"status": 502, "when": "after", "body": "html"}), ("lose_reply", {}), ("cut", {})],
)
def test_lost_replies_make_no_second_task(client, place, work, kind: str, options: dict) -> None:
    (work / "f").write_bytes(b"once")
    before = len(place.transfers())
    client.get_submission_id()
    fault = place.order(kind, "globusSubmitTransfer", **options)
    answer = client.submit_transfer(request(place.collection, place.beam, (work / "f", f"/{kind}")))
    assert answer["code"] == "Duplicate"
    assert len(place.transfers()) == before + 1
    entries = place.requests("globusSubmitTransfer")
    assert [(entry["acted"], entry["faults"], entry["user"]) for entry in entries] == [
        (True, [fault], "alice"),
        (True, [], "alice"),
    ]
    assert await_task(client, answer["task_id"])["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("source", "code"), [("nothing", "FILE_NOT_FOUND"), ("/etc/hostname", "PERMISSION_DENIED")]
)
def test_what_is_not_there_is_waited_for(client, place, work, source: str, code: str) -> None:
    data = request(place.collection, place.beam, (work / source, f"/{code}"))
    task_id = client.submit_transfer(data)["task_id"]
    task = await_that(client, task_id, lambda task: task["faults"] > 1)
    assert (task["status"], task["nice_status"], task["is_ok"]) == ("ACTIVE", code, False)
    assert task["completion_time"] is None
    with pytest.raises(globus_sdk.TransferAPIError, match="still in progress"):
        client.task_successful_transfers(task_id)
    assert [event["code"] for event in client.task_event_list(task_id)] == [code, "STARTED"]
    if code == "FILE_NOT_FOUND":
        (work / source).write_bytes(b"late")
        assert await_task(client, task_id)["status"] == "SUCCEEDED"
        assert (place.beamline / code).read_bytes() == b"late"
    else:
        assert client.cancel_task(task_id)["code"] == "Canceled"
        task = await_task(client, task_id)
        assert (task["status"], task["fatal_error"]["code"]) == ("FAILED", "CANCELED")
        assert client.cancel_task(task_id)["code"] == "TaskComplete"


def test_a_deadline_ends_it(client: TransferClient, place: LocalFacility, work: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    task = await_task(client, stuck(client, place, work, deadline=soon.isoformat()))
    assert (task["status"], task["fatal_error"]["code"]) == ("FAILED", "EXPIRED")


def test_holes_on_demand(client: TransferClient, place: LocalFacility, work: Path) -> None:
    (work / "there").write_bytes(b"x")
    items = [(work / "there", "/holes/there"), (work / "gone", "/holes/gone"), ("/etc/hostname", "/holes/x")]
    data = request(place.collection, place.beam, *items, skip_source_errors=True)
    task = await_task(client, client.submit_transfer(data)["task_id"])
    assert (task["status"], task["subtasks_skipped_errors"]) == ("SUCCEEDED", 2)
    assert [
        (hole["source_path"], hole["error_code"]) for hole in client.task_skipped_errors(task["task_id"])
    ] == [
        (str(work / "gone"), "FILE_NOT_FOUND"),
        ("/etc/hostname", "PERMISSION_DENIED"),
    ]


@pytest.mark.parametrize(
    ("level", "there", "older", "copied"),
    [
        (None, b"1234", False, True),
        ("exists", b"other", True, False),
        ("size", b"other", False, True),
        ("size", b"same", False, False),
        ("mtime", b"same", False, False),
        ("mtime", b"same", True, True),
        ("checksum", b"same", True, True),
        ("checksum", b"1234", True, False),
        ("checksum", None, True, True),
    ],
)
def test_sync_levels(client, place, work, level, there, older: bool, copied: bool) -> None:
    source, target = work / "f", place.beamline / "synced"
    source.write_bytes(b"1234")
    target.unlink(missing_ok=True)
    if there is not None:
        target.write_bytes(there)
        age = time.time() + (-100 if older else 100)
        os.utime(target, (age, age))
    options = {} if level is None else {"sync_level": level}
    data = request(place.collection, place.beam, (source, "/synced"), **options)
    task = await_task(client, client.submit_transfer(data)["task_id"])
    assert (task["files_transferred"], task["files_skipped"]) == (int(copied), int(not copied))
    assert target.read_bytes() == (b"1234" if copied else there)


@pytest.mark.parametrize("below", ["", "deep/copy"])
def test_a_directory_is_not_copied_into_itself(
    client: TransferClient, place: LocalFacility, work: Path, below: str
) -> None:
    (work / "f").write_bytes(b"once")
    data = request(place.collection, place.collection, (work, work / below), recursive=True)
    task = await_task(client, client.submit_transfer(data)["task_id"])
    assert (task["status"], task["fatal_error"]["code"]) == ("FAILED", "INVALID_PATH_NAME")
    assert [path.name for path in work.rglob("*")] == ["f"]


def test_extras_go_when_told(client: TransferClient, place: LocalFacility, work: Path) -> None:
    (work / "kept").write_bytes(b"")
    there = place.beamline / "extras"
    (there / "old" / "deep").mkdir(parents=True)
    (there / "old" / "deep" / "file").touch()
    data = request(
        place.collection, place.beam, (work, "/extras"), recursive=True, delete_destination_extra=True
    )
    await_task(client, client.submit_transfer(data)["task_id"])
    assert [path.name for path in there.iterdir()] == ["kept"]


@pytest.mark.parametrize(("given", "status"), [(b"right", "SUCCEEDED"), (b"wrong", "FAILED")])
def test_a_checksum_that_came_along(client, place, work, given: bytes, status: str) -> None:
    (work / "f").write_bytes(b"right")
    target = place.beamline / "checked"
    target.write_bytes(b"old")
    data = request(place.collection, place.beam)
    digest = hashlib.sha256(given).hexdigest()
    data.add_item(str(work / "f"), "/checked", external_checksum=digest, checksum_algorithm="SHA256")
    task = await_task(client, client.submit_transfer(data)["task_id"])
    assert task["status"] == status
    assert target.read_bytes() == (b"right" if status == "SUCCEEDED" else b"old")
    if status == "FAILED":
        assert task["fatal_error"]["code"] == "EXTERNAL_CHECKSUM_MISMATCH"


def test_deleting(client: TransferClient, place: LocalFacility) -> None:
    top = place.beamline / "waste"
    (top / "deep").mkdir(parents=True)
    (top / "deep" / "f").touch()
    data = DeleteData(place.beam, recursive=True, ignore_missing=True)
    for path in ("/waste", "/never"):
        data.add_item(path)
    submitted = client.submit_delete(data)
    task = await_task(client, submitted["task_id"])
    assert (submitted["code"], task["type"], task["status"]) == ("Accepted", "DELETE", "SUCCEEDED")
    assert not top.exists()
    everything = DeleteData(place.beam, recursive=True)
    everything.add_item("/")
    task_id = client.submit_delete(everything)["task_id"]
    await_that(client, task_id, lambda task: task["nice_status"] == "PERMISSION_DENIED")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"submission_id": "no-uuid"}, 400),
        ({"label": " padded "}, 400),
        ({"label": "two\nlines"}, 400),
        ({"label": "x" * 129}, 400),
        ({"label": 7}, 400),
        ({"deadline": "2030-01-01T00:00:00"}, 400),
        ({"sync_level": 7}, 400),
        ({"DATA": []}, 400),
        ({"DATA": [{"source_path": "relative", "destination_path": "/x"}]}, 400),
        ({"source_endpoint": "1b6d4be0-0000-0000-0000-000000000000"}, 404),
        ({"filter_rules": [{"method": "exclude", "name": "*"}]}, 501),
    ],
)
def test_what_makes_no_sense(client, place, work, change: dict, status: int) -> None:
    data = request(
        place.collection, place.beam, (work / "f", "/x"), submission_id=client.get_submission_id()["value"]
    )
    data.update(change)
    with pytest.raises(globus_sdk.TransferAPIError) as refused:
        client.submit_transfer(data)
    assert refused.value.http_status == status
    assert refused.value.code
    assert refused.value.request_id


def test_short_operations(client: TransferClient, place: LocalFacility, work: Path) -> None:
    def refusal(operation, *arguments) -> tuple[int, str | None]:
        with pytest.raises(globus_sdk.TransferAPIError) as refused:
            operation(*arguments)
        return refused.value.http_status, refused.value.code

    (work / "f").write_bytes(b"12")
    assert client.operation_mkdir(place.collection, str(work / "d"))["code"] == "DirectoryCreated"
    assert (
        client.operation_rename(place.collection, str(work / "f"), str(work / "d" / "g"))["code"]
        == "FileRenamed"
    )
    found = client.operation_stat(place.collection, str(work / "d" / "g"))
    assert (found["type"], found["size"], found["permissions"]) == ("file", 2, "0644")
    assert client.operation_ls(place.collection, "/~/")["DATA"] is not None
    exists = (502, "ExternalError.MkdirFailed.Exists")
    assert refusal(client.operation_mkdir, place.collection, str(work / "d")) == exists
    no_directory = (502, "ExternalError.DirListingFailed.NotDirectory")
    assert refusal(client.operation_ls, place.collection, str(work / "d" / "g")) == no_directory
    assert refusal(client.operation_ls, place.collection, str(work / "no")) == (404, "ClientError.NotFound")
    assert refusal(client.operation_stat, place.collection, str(work / "no")) == (404, "NotFound")
    for path in ("/etc", str(place.root / ".facility"), f"{work}/../../.."):
        assert refusal(client.operation_ls, place.collection, path) == (403, "EndpointPermissionDenied")
    (place.beamline / "out").symlink_to(place.root)
    assert refusal(client.operation_ls, place.beam, "/out") == (403, "EndpointPermissionDenied")
    (place.beamline / "out").unlink()


def test_three_work_at_a_time(client: TransferClient, place: LocalFacility, work: Path) -> None:
    place.order("transfer_slow", seconds=0.6, times=None)
    for number in range(4):
        (work / str(number)).write_bytes(b"x")
    ids = [
        client.submit_transfer(request(place.collection, place.beam, (work / str(n), f"/slow/{n}")))[
            "task_id"
        ]
        for n in range(4)
    ]
    seen: list[list[str]] = []
    deadline = time.monotonic() + 60
    while seen[-1:] != [["OK", "OK", "OK", "Queued"]]:
        assert time.monotonic() < deadline, seen
        listed = client.task_list(filter={"task_id": ids}, limit=50)
        seen.append(sorted(str(task["nice_status"]) for task in listed))
    assert listed["total"] == 4
    assert all(await_task(client, task_id)["status"] == "SUCCEEDED" for task_id in ids)


def test_orders_on_tasks(client: TransferClient, place: LocalFacility, work: Path) -> None:
    (work / "f").write_bytes(b"x")

    def submit(label: str) -> str:
        data = request(place.collection, place.beam, (work / "f", f"/ordered/{label}"), label=label)
        return client.submit_transfer(data)["task_id"]

    fault = place.order("transfer_fails", job="fails", code="QUOTA_EXCEEDED")
    assert await_task(client, submit("spared"))["status"] == "SUCCEEDED"
    assert await_task(client, submit("fails"))["fatal_error"]["code"] == "QUOTA_EXCEEDED"
    assert place.requests("globusSubmitTransfer")[-1]["faults"] == [fault]
    held = place.order("transfer_inactive", job="paused")
    paused = submit("paused")
    task = await_that(client, paused, lambda task: task["status"] == "INACTIVE")
    assert (task["is_paused"], task["completion_time"]) == (True, None)
    assert client.task_pause_info(paused)["pause_rules"][0]["message"]
    place.clear_faults(held)
    assert await_task(client, paused)["status"] == "SUCCEEDED"
    held = place.order("transfer_stuck", code="CONNECT_FAILED")
    task_id = submit("stuck")
    await_that(client, task_id, lambda task: task["nice_status"] == "CONNECT_FAILED")
    place.clear_faults(held)
    assert await_task(client, task_id)["status"] == "SUCCEEDED"
    full = place.order("no_space")
    task_id = submit("full")
    await_that(client, task_id, lambda task: task["nice_status"] == "NO_SPACE_LEFT")
    place.clear_faults(full)
    assert await_task(client, task_id)["status"] == "SUCCEEDED"


def test_orders_name_transfers(client: TransferClient, place: LocalFacility, work: Path) -> None:
    named, other = stuck(client, place, work, label="named"), stuck(client, place, work / "other")
    by_id = place.order("status", "globusGetTask", job=named, status=404)
    client.get_task(other)
    with pytest.raises(globus_sdk.TransferAPIError, match="404"):
        client.get_task(named)
    assert place.requests("globusGetTask")[-1]["job"] == named
    assert place.requests("globusGetTask")[-1]["faults"] == [by_id]
    by_label = place.order("status", "globusSubmitTransfer", job="wanted", status=403)
    stuck(client, place, work / "spared", label="spared")
    with pytest.raises(globus_sdk.TransferAPIError, match="403"):
        stuck(client, place, work / "hit", label="wanted")
    assert place.requests("globusSubmitTransfer")[-1]["faults"] == [by_label]
    late = place.order("transfer_fails", job=named, code="CONNECT_FAILED")
    assert await_task(client, named)["fatal_error"]["code"] == "CONNECT_FAILED"
    assert place.transfers()[-3]["faults"] == [late]


def test_changes_of_a_task_do_not_undo_one_another(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    tasks = TaskTable(store)
    task = tasks.add("alice", "s", {"DATA_TYPE": "delete", "endpoint": "e", "DATA": []}, 0.0)
    tasks.update(task, faults=("order",))
    assert tasks.update(task, progress=Progress(files=1)).faults == ("order",)
    assert tasks.update(task, status="FAILED", fatal=Trouble("CANCELED", "")).status == "FAILED"
    # The thread that worked on it comes to its end, too, and knows nothing of that.
    assert tasks.update(task, status="SUCCEEDED").status == "FAILED"
    store.close()


def test_strangers_see_nothing(client: TransferClient, place: LocalFacility, work: Path) -> None:
    task_id = stuck(client, place, work)
    native = globus_sdk.NativeAppAuthClient(place.globus_native_client_id)
    native.oauth2_start_flow(str(TransferClient.scopes.all))
    code = place.globus_login(native.oauth2_get_authorize_url(), user="bob")
    token = native.oauth2_exchange_code_for_tokens(code).by_resource_server["transfer.api.globus.org"]
    other = TransferClient(authorizer=globus_sdk.AccessTokenAuthorizer(token["access_token"]))
    with pytest.raises(globus_sdk.TransferAPIError) as unknown:
        other.get_task(task_id)
    assert (unknown.value.http_status, unknown.value.code) == (404, "ClientError.NotFound")
    assert other.task_list(limit=10)["total"] == 0


def test_tasks_survive_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalFacility(name="killed", collections={"beamline": tmp_path}) as place:
        for name, value in place.globus_env.items():
            monkeypatch.setenv(name, value)
        client = transfer_client(place)
        for number in range(3):
            (place.home / f"f{number}").write_bytes(b"x" * 10)
        place.order("transfer_slow", seconds=0.3)
        items = [(f"/~/f{number}", f"/f{number}") for number in range(3)]
        data = request(place.collection, place.collection_of("beamline"), *items)
        task_id = client.submit_transfer(data)["task_id"]
        while not (tmp_path / "f0").exists():
            time.sleep(0.01)
        time.sleep(0.05)
        place.restart()
        assert await_task(client, task_id)["status"] == "SUCCEEDED"
        moved = [entry["source_path"] for entry in client.task_successful_transfers(task_id)]
        assert moved == ["/~/f0", "/~/f1", "/~/f2"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["f0", "f1", "f2"]


def test_from_one_facility_to_another(client: TransferClient, place: LocalFacility, work: Path) -> None:
    with LocalFacility(name="other", globus=place) as other:
        assert (other.globus_env, other.globus_client_id) == (place.globus_env, place.globus_client_id)
        (work / "big").write_bytes(b"x" * 2_000_000)
        place.reset_requests()
        data = request(place.collection, other.collection, (work / "big", other.home / "big"))
        assert await_task(client, client.submit_transfer(data)["task_id"])["status"] == "SUCCEEDED"
        assert (other.home / "big").stat().st_size == 2_000_000
        entries = place.requests() + other.requests()
        assert sum(entry["bytes_in"] + entry["bytes_out"] for entry in entries) < 100_000
        data = request(place.collection, other.collection, (work / "big", other.root / ".facility" / "x"))
        task_id = client.submit_transfer(data)["task_id"]
        await_that(client, task_id, lambda task: task["nice_status"] == "PERMISSION_DENIED")
        client.cancel_task(task_id)
    with pytest.raises(ValueError, match="own"):
        place.adopt(place)
