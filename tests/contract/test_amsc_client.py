"""The published IRI v2 client against the local facility: every call it has."""

from __future__ import annotations

import base64
import time
import uuid
from pathlib import Path

import amsc_iri_v2 as iri
import pytest

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
    return iri.ComputeApi(client).get_compute_resources()[0].id


@pytest.fixture(scope="module")
def storage(client: iri.ApiClient) -> str:
    resources = iri.FilesystemApi(client).get_filesystem_resources()
    return next(resource.id for resource in resources if resource.name == "scratch")


def finished_job(client: iri.ApiClient, cluster: str, job_id: str) -> iri.Job:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job = iri.ComputeApi(client).get_job(cluster, job_id, include_spec=True)
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
    scratch = status.get_resources(resource_type="urn:doe-iri:resource:storage")[0]
    assert (scratch.name, scratch.current_status) == ("scratch", "degraded")
    assert status.get_resource(scratch.id).links["iri:located-at"]["href"] == site.self_uri
    assert incident["id"] in [found.id for found in status.get_incidents(resource_id=scratch.id)]
    found = status.get_incident(incident["id"])
    assert (found.type, found.resolution, found.end) == ("planned", "unresolved", None)
    event = status.get_events_by_incident(incident_id=incident["id"])[0]
    assert status.get_event_by_incident(event.id).incident_uri == found.self_uri
    facility.resolve_incident(incident["id"])
    assert status.get_resource(scratch.id).current_status == "up"


def test_account(client: iri.ApiClient) -> None:
    account = iri.AccountApi(client)
    assert account.whoami().username == "alice"
    for capability in account.get_capabilities():
        assert account.get_capability(capability.id).units == capability.units
    project = account.get_project(account.get_projects()[0].id)
    assert project.user_ids == ["alice", "bob"]
    for grant in account.get_project_allocations_by_project(project.id):
        assert account.get_project_allocation_by_project(project.id, grant.id).project_uri == project.self_uri
        for share in account.get_user_allocations_by_project_allocation(project.id, grant.id):
            same = account.get_user_allocation_by_project_allocation(project.id, grant.id, share.id)
            assert same.user_id == "alice"


def test_a_job_runs_once_per_idempotency_key(
    facility: LocalFacility, client: iri.ApiClient, cluster: str
) -> None:
    compute, key = iri.ComputeApi(client), str(uuid.uuid4())
    spec = iri.JobSpec(executable="/bin/sh", arguments=["-c", 'echo "$GREETING"'], name="greet")
    spec.environment = {"GREETING": "hello"}
    spec.stdout_path = "greeting.txt"
    spec.resources = iri.ResourceSpec(node_count=2)
    spec.attributes = iri.JobAttributes(duration=30, queue_name="regular", account="demo")
    first = compute.launch_job(cluster, spec, idempotency_key=key)
    again = compute.launch_job_with_http_info(cluster, spec, idempotency_key=key)
    assert again.data.id == first.id
    assert {name.lower(): value for name, value in again.headers.items()}["idempotency-key-reply"] == "hit"
    job = finished_job(client, cluster, first.id)
    assert (job.status.state, job.status.exit_code) == ("completed", 0)
    assert job.job_spec.arguments == spec.arguments
    assert (facility.home / "greeting.txt").read_text() == "hello\n"
    assert [entry["name"] for entry in facility.jobs()].count("greet") == 1


def test_update_list_and_cancel(client: iri.ApiClient, cluster: str) -> None:
    compute = iri.ComputeApi(client)
    held = iri.JobSpec(executable="/bin/sleep", arguments=["60"], name="held")
    held.attributes = iri.JobAttributes(custom_attributes={"hold": "true"})
    job = compute.launch_job(cluster, held)
    assert job.status.state == "held"
    compute.update_job(cluster, job.id, iri.JobSpec(attributes=iri.JobAttributes(duration=120)))
    renamed = compute.update_job(cluster, job.id, iri.JobSpec(name="renamed"))
    assert renamed.status.meta_data["duration"] == 120
    listed = compute.get_jobs(cluster, historical=False, include_spec=True)
    assert [entry.job_spec.name for entry in listed if entry.id == job.id] == ["renamed"]
    compute.cancel_job(cluster, job.id)
    assert finished_job(client, cluster, job.id).status.state == "canceled"
    assert job.id not in [entry.id for entry in compute.get_jobs(cluster)]
    assert job.id in [entry.id for entry in compute.get_jobs(cluster, historical=True)]


def test_files(facility: LocalFacility, client: iri.ApiClient, storage: str) -> None:
    api = iri.FilesystemApi(client)
    work = facility.scratch / "amsc"
    path, copy = str(work / "data.txt"), str(work / "copy.txt")
    content = b"one\ntwo\nthree\n"

    def run(submitted: iri.TaskSubmitResponse):
        return output_of(client, submitted)

    run(api.mkdir(storage, iri.PostMakeDirRequest(path=str(work))))
    run(api.upload(storage, path, ("data.txt", content)))
    assert base64.b64decode(run(api.download(storage, iri.PostDownloadRequest(path=path)))) == content
    assert run(api.head(storage, iri.PostHeadRequest(path=path, lines=1)))["content"] == "one\n"
    assert run(api.tail(storage, iri.PostTailRequest(path=path, bytes=6)))["content"] == "three\n"
    view = iri.PostViewRequest(path=path, size=3, offset=4)
    assert run(api.view(storage, view))["content"] == "two"
    assert len(run(api.checksum(storage, iri.PostChecksumRequest(path=path)))["checksum"]) == 64
    assert "text" in run(api.file(storage, iri.PostFileRequest(path=path)))
    assert run(api.stat(storage, iri.PostStatRequest(path=path)))["size"] == len(content)
    run(api.cp(storage, iri.PostCopyRequest(path=path, target_path=copy)))
    run(api.symlink(storage, iri.PostFileSymlinkRequest(path=path, link_path=str(work / "link"))))
    changed = run(api.chmod(storage, iri.PutFileChmodRequest(path=copy, mode="640")))
    assert changed["permissions"] == "rw-r-----"
    run(api.chown(storage, iri.PutFileChownRequest(path=copy, owner="alice")))
    run(api.mv(storage, iri.PostMoveRequest(path=copy, target_path=str(work / "moved.txt"))))
    listing = run(api.ls(storage, iri.PostLsRequest(path=str(work))))
    assert [entry["name"] for entry in listing] == ["data.txt", "link", "moved.txt"]
    archive = str(facility.scratch / "amsc.tgz")
    run(api.compress(storage, iri.PostCompressRequest(path=str(work), target_path=archive)))
    unpacked = facility.scratch / "unpacked"
    run(api.extract(storage, iri.PostExtractRequest(path=archive, target_path=str(unpacked))))
    assert (unpacked / "amsc" / "moved.txt").read_bytes() == content
    run(api.rm(storage, iri.PostRmRequest(path=str(work))))
    assert not work.exists()


def test_tasks(client: iri.ApiClient, storage: str) -> None:
    tasks = iri.TaskApi(client)
    submitted = iri.FilesystemApi(client).ls(storage, iri.PostLsRequest(path="."))
    output_of(client, submitted)
    assert submitted.task_id in [task.id for task in tasks.get_tasks()]
    assert submitted.task_uri.endswith(f"/api/v2/task/{submitted.task_id}")
    assert "deleted" in tasks.delete_task(submitted.task_id)
    with pytest.raises(iri.exceptions.NotFoundException):
        tasks.get_task(submitted.task_id)


def test_storage(facility: LocalFacility, client: iri.ApiClient, storage: str) -> None:
    api = iri.StorageApi(client)
    home = api.get_storage_locations(storage, logicalpath=iri.LogicalName.HOME)
    assert [Path(place.path) for place in home] == [facility.home]
    assert len(api.get_storage_locations(storage, logicalpath=iri.LogicalName.PROJECT)) == 2
    (globus,) = api.get_storage_access_endpoints(storage)
    assert (globus.protocol, globus.endpoint_id, globus.root_path) == ("globus", facility.collection, "/")
    assert api.get_storage_access_endpoints(storage, protocol=iri.AccessProtocol.S3) == []
