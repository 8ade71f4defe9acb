"""The published IRI v1 client against the local facility: every call it has."""

from __future__ import annotations

import base64
import time

import nersc_iri as iri
import pytest
from nersc_iri.models.post_make_dir_request import PostMakeDirRequest

from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def facility():
    with LocalFacility(nodes=2, kill_grace=0.3) as running:
        yield running


@pytest.fixture(scope="module")
def client(facility: LocalFacility):
    with iri.ApiClient(iri.Configuration(host=facility.url, access_token=facility.token)) as api:
        yield api


@pytest.fixture(scope="module")
def cluster(client: iri.ApiClient) -> str:
    return iri.StatusApi(client).get_resources(resource_type=iri.ResourceType.COMPUTE)[0].id


@pytest.fixture(scope="module")
def storage(client: iri.ApiClient) -> str:
    return iri.StatusApi(client).get_resources(resource_type=iri.ResourceType.STORAGE)[0].id


def finished_job(client: iri.ApiClient, cluster: str, job_id: str) -> iri.Job:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job = iri.ComputeApi(client).get_job(cluster, job_id, historical=True, include_spec=True)
        if job.status.state in ("completed", "failed", "canceled"):
            return job
        time.sleep(0.01)
    raise AssertionError(f"job {job_id} did not end")


def output_of(client: iri.ApiClient, submitted: iri.TaskSubmitResponse):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        task = iri.TaskApi(client).get_task(submitted.task_id)
        if task.status in ("completed", "failed"):
            assert task.status == "completed", task.result
            return task.result["output"]
        time.sleep(0.01)
    raise AssertionError(f"task {submitted.task_id} did not end")


def test_facility_and_status(facility: LocalFacility, client: iri.ApiClient) -> None:
    incident = facility.incident(resource="scratch", status="degraded", type="planned", name="Disk swap")
    places, status = iri.FacilityApi(client), iri.StatusApi(client)
    assert places.get_facility().site_uris == [places.get_sites()[0].self_uri]
    site = places.get_site(places.get_sites()[0].id)
    resources = status.get_resources()
    assert site.resource_uris == [resource.self_uri for resource in resources]
    assert [resource.resource_type for resource in resources] == ["compute", "storage"]
    for word in set(iri.ResourceType) - {iri.ResourceType.COMPUTE, iri.ResourceType.STORAGE}:
        assert status.get_resources(resource_type=word) == []
    (scratch,) = status.get_resources(capability=[iri.AllocationUnit.BYTES])
    assert (scratch.name, scratch.current_status) == ("scratch", "degraded")
    assert status.get_resource(scratch.id).site_uri == site.self_uri
    assert f"{facility.url}/api/v1/" in scratch.self_uri
    assert incident["id"] in [found.id for found in status.get_incidents(resource_id=scratch.id)]
    found = status.get_incident(incident["id"])
    assert (found.type, found.resolution, found.end) == ("planned", "unresolved", None)
    event = status.get_events_by_incident(incident_id=incident["id"])[0]
    assert status.get_event_by_incident(event.id).incident_uri == found.self_uri
    facility.resolve_incident(incident["id"])
    assert status.get_resource(scratch.id).current_status == "up"
    with pytest.raises(iri.exceptions.NotFoundException):
        status.get_incidents(name="no such incident")


def test_account(client: iri.ApiClient) -> None:
    account = iri.AccountApi(client)
    units = [unit for capability in account.get_capabilities() for unit in capability.units]
    assert units == [iri.AllocationUnit.NODE_HOURS, iri.AllocationUnit.BYTES]
    for capability in account.get_capabilities():
        assert account.get_capability(capability.id).units == capability.units
    project = account.get_project(account.get_projects()[0].id)
    assert project.user_ids == ["alice", "bob"]
    for grant in account.get_project_allocations_by_project(project.id):
        assert account.get_project_allocation_by_project(project.id, grant.id).project_uri == project.self_uri
        assert {entry.unit for entry in grant.entries} < set(units)
        for share in account.get_user_allocations_by_project_allocation(project.id, grant.id):
            same = account.get_user_allocation_by_project_allocation(project.id, grant.id, share.id)
            assert same.user_id == "alice"


def test_no_key_makes_two_submits_one(facility: LocalFacility, client: iri.ApiClient, cluster: str) -> None:
    compute = iri.ComputeApi(client)
    spec = iri.JobSpecInput(executable="/bin/sh", arguments=["-c", 'echo "$GREETING"'], name="greet")
    spec.environment = {"GREETING": "hello"}
    spec.stdout_path = "greeting.txt"
    spec.resources = iri.ResourceSpec(node_count=2)
    spec.attributes = iri.JobAttributes(duration=30, queue_name="regular", account="demo")
    header = {"Idempotency-Key": "one"}
    answers = [compute.launch_job_with_http_info(cluster, spec, _headers=dict(header)) for _ in range(2)]
    assert not any("idempotency-key-reply" in map(str.lower, answer.headers) for answer in answers)
    assert len({answer.data.id for answer in answers}) == 2
    for answer in answers:
        job = finished_job(client, cluster, answer.data.id)
        assert (job.status.state, job.status.exit_code) == ("completed", 0)
        assert job.job_spec.arguments == spec.arguments
    assert (facility.home / "greeting.txt").read_text() == "hello\n"
    assert [entry["name"] for entry in facility.jobs()].count("greet") == 2


def test_update_list_and_cancel(client: iri.ApiClient, cluster: str) -> None:
    compute = iri.ComputeApi(client)
    held = iri.JobSpecInput(executable="/bin/sleep", arguments=["60"], name="held")
    held.attributes = iri.JobAttributes(custom_attributes={"hold": "true"})
    job = compute.launch_job(cluster, held)
    assert job.status.state == "held"
    compute.update_job(cluster, job.id, iri.JobSpecInput(attributes=iri.JobAttributes(duration=120)))
    renamed = compute.update_job(cluster, job.id, iri.JobSpecInput(name="renamed"))
    assert renamed.status.meta_data["duration"] == 120
    listed = compute.get_jobs(cluster, historical=False, include_spec=True)
    assert [entry.job_spec.name for entry in listed if entry.id == job.id] == ["renamed"]
    compute.cancel_job(cluster, job.id)
    assert finished_job(client, cluster, job.id).status.state == "canceled"
    assert job.id not in [entry.id for entry in compute.get_jobs(cluster)]
    assert job.id in [entry.id for entry in compute.get_jobs(cluster, historical=True)]


def test_files(facility: LocalFacility, client: iri.ApiClient, storage: str) -> None:
    api = iri.FilesystemApi(client)
    work = facility.scratch / "nersc"
    path, copy = str(work / "data.txt"), str(work / "copy.txt")
    content = b"one\ntwo\nthree\n"

    def run(submitted: iri.TaskSubmitResponse):
        return output_of(client, submitted)

    run(api.mkdir(storage, PostMakeDirRequest(path=str(work))))
    run(api.upload(storage, path, ("data.txt", content)))
    assert base64.b64decode(run(api.download(storage, path))) == content
    assert run(api.head(storage, path, lines=1))["content"] == "one\n"
    assert run(api.head(storage, path, lines=1, skip_trailing=True))["content"] == "one\ntwo\n"
    assert run(api.tail(storage, path, bytes=6))["content"] == "three\n"
    assert run(api.tail(storage, path, lines=1, skip_heading=True))["content"] == "two\nthree\n"
    assert run(api.view(storage, path, size=3, offset=4))["content"] == "two"
    assert run(api.view(storage, path))["content"] == content.decode()
    assert len(run(api.checksum(storage, path))["checksum"]) == 64
    assert "text" in run(api.file(storage, path))
    assert run(api.stat(storage, path))["size"] == len(content)
    run(api.cp(storage, iri.PostCopyRequest(path=path, target_path=copy)))
    run(api.symlink(storage, iri.PostFileSymlinkRequest(path=path, link_path=str(work / ".link"))))
    assert run(api.stat(storage, str(work / ".link"), dereference=True))["size"] == len(content)
    changed = run(api.chmod(storage, iri.PutFileChmodRequest(path=copy, mode="640")))
    assert changed["permissions"] == "rw-r-----"
    run(api.chown(storage, iri.PutFileChownRequest(path=copy, owner="alice")))
    run(api.mv(storage, iri.PostMoveRequest(path=copy, target_path=str(work / "moved.txt"))))
    names = [entry["name"] for entry in run(api.ls(storage, str(work), show_hidden=True, numeric_uid=True))]
    assert names == [".link", "data.txt", "moved.txt"]
    assert [entry["name"] for entry in run(api.ls(storage, str(work)))] == names[1:]
    for compression in iri.CompressionType:
        archive, unpacked = str(facility.scratch / "packed"), facility.scratch / f"from-{compression}"
        request = iri.PostCompressRequest(path=str(work), target_path=archive, compression=compression)
        run(api.compress(storage, request))
        request = iri.PostExtractRequest(path=archive, target_path=str(unpacked), compression=compression)
        run(api.extract(storage, request))
        assert (unpacked / "nersc" / "moved.txt").read_bytes() == content
        run(api.rm(storage, archive))
    run(api.rm(storage, str(work)))
    assert not work.exists()


def test_tasks(client: iri.ApiClient, storage: str) -> None:
    tasks = iri.TaskApi(client)
    submitted = iri.FilesystemApi(client).ls(storage, ".")
    output_of(client, submitted)
    assert submitted.task_id in [task.id for task in tasks.get_tasks()]
    assert submitted.task_uri.endswith(f"/api/v1/task/{submitted.task_id}")
    assert "deleted" in tasks.delete_task(submitted.task_id)
    with pytest.raises(iri.exceptions.NotFoundException):
        tasks.get_task(submitted.task_id)
