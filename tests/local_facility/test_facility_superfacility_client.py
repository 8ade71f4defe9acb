"""NERSC's own client, unmodified, against the Superfacility face: every call that it has."""

from __future__ import annotations

import io

import pytest
from sfapi_client import AsyncClient, Client, SfApiError
from sfapi_client.compute import Machine

from iri_local_facility import LocalFacility

SCRIPT = "#!/bin/bash\n#SBATCH -N 1\n#SBATCH --job-name=hello\n#SBATCH -t 2\n"


@pytest.fixture(scope="module")
def place():
    with LocalFacility(nodes=2, kill_grace=0.3, superfacility_delay=0) as running:
        yield running


def keyed(place: LocalFacility) -> dict:
    return {
        "key": place.superfacility_key,
        "api_base_url": place.superfacility_url,
        "token_url": place.superfacility_token_url,
        "wait_interval": 0.05,
    }


@pytest.fixture(scope="module")
def client(place: LocalFacility):
    with Client(**keyed(place)) as running:
        yield running


def test_what_is_there_is_told_without_a_token(place: LocalFacility) -> None:
    incident = place.incident(resource="scratch", status="degraded", type="planned", name="Disk swap")
    with Client(api_base_url=place.superfacility_url) as anyone:
        assert anyone.api.config()["compute.targets"] == "perlmutter"
        assert anyone.api.changelog()
        statuses = anyone.resources.status()
        assert statuses["perlmutter"].status.value == "active"
        assert statuses["dtns"].status.value == "degraded"
        assert anyone.resources.outages("dtns")[0].status.value == "Active"
        assert set(anyone.resources.outages()) == {"dtns", "global_homes", "community_filesystem", "globus"}
        place.resolve_incident(incident["id"])
        assert anyone.resources.outages("dtns")[0].status.value == "Completed"
        assert anyone.resources.notes("dtns")[0].notes == "Disk swap"
        place.order("maintenance", starts_in=1000, seconds=500)
        [planned] = anyone.resources.planned_outages("perlmutter")
        assert (planned.end_at - planned.start_at).total_seconds() == pytest.approx(500, abs=0.01)
        assert set(anyone.resources.planned_outages()) == {"perlmutter"}
        place.clear_faults()
        assert anyone.resources.planned_outages("perlmutter") == []
        with pytest.raises(SfApiError, match="unauthenticated"):
            anyone.user()


def test_who_one_is(place: LocalFacility, client: Client) -> None:
    user = client.user()
    assert (user.name, user.email) == ("alice", "alice@facility.invalid")
    assert [project.repo_name for project in user.projects()] == ["demo", "beamline"]
    assert user.projects()[0].project_hours_given == 1000
    assert {role.repo_name: role.iris_role for role in user.roles()} == {"demo": "pi", "beamline": "pi"}
    assert client.user("bob").name == "bob"
    mine = {each.clientId for each in user.clients()}
    assert place.superfacility_key.read_text().partition("\n")[0] in mine
    group = user.projects()[0].create_group("imagers")
    group.add("bob")
    assert [member.user().name for member in client.group("imagers").members] == ["alice", "bob"]
    group.remove(["bob"])
    assert [member.name for member in group.members] == ["alice"]
    assert "imagers" in {each.name for each in user.groups()}


def test_a_job_from_its_script_to_its_end(place: LocalFacility, client: Client) -> None:
    cluster = client.compute(Machine.perlmutter)
    job = cluster.submit_job(f"{SCRIPT}echo $SLURM_JOB_NAME; sleep 0.3; exit 3")
    job.update()
    assert (job.state.value, job.name, job.user, job.time_limit) == ("RUNNING", "hello", "alice", "2:00")
    assert [each.jobid for each in cluster.jobs(user="alice")] == [job.jobid]
    assert job.complete(timeout=20).value == "FAILED"
    assert cluster.jobs(user="alice") == []
    record = cluster.job(job.jobid)
    assert (record.state.value, record.exitcode, record.jobname) == ("FAILED", "3:0", "hello")
    assert [each.jobid for each in cluster.jobs([job.jobid], command="sacct")] == [job.jobid]
    assert (place.home / f"slurm-{job.jobid}.out").read_text() == "hello\n"


def test_a_job_is_cancelled(client: Client) -> None:
    job = client.compute("perlmutter").submit_job(f"{SCRIPT}sleep 60")
    job.running(timeout=20)
    job.cancel(wait=True)
    assert job.state.value == "CANCELLED"


def test_a_script_that_is_there_gets_its_arguments(place: LocalFacility, client: Client) -> None:
    cluster = client.compute("perlmutter")
    (place.home / "there.sh").write_text('#!/bin/sh\nprintf "%s|" "$@" >got\n')
    [script] = cluster.ls(str(place.home / "there.sh"))
    job = cluster.submit_job(script, args=["a", "b c"])
    assert job.complete(timeout=20).value == "COMPLETED"
    assert (place.home / "got").read_text() == "a|b c|"
    assert cluster.job(job.jobid).jobname == "there.sh"


def test_what_sbatch_refuses(client: Client) -> None:
    cluster = client.compute("perlmutter")
    with pytest.raises(SfApiError) as refused:
        cluster.submit_job(f"{SCRIPT}#SBATCH -p nowhere\ntrue\n")
    assert refused.value.message.endswith("Batch job submission failed: Invalid partition name specified")


def test_files_go_up_and_down(place: LocalFacility, client: Client) -> None:
    cluster = client.compute("perlmutter")
    [home] = cluster.ls(str(place.home), directory=True)
    assert home.is_dir()
    new = home / "with space & ü.bin"
    new.upload(io.BytesIO(b"\x00\xff\n"))
    assert (place.home / str(new)).read_bytes() == b"\x00\xff\n"
    [there] = cluster.ls(str(new))
    assert (there.name, there.size, there.is_file()) == (new.name, 3.0, True)
    assert there.download(binary=True).read() == b"\x00\xff\n"
    assert there.download().read() == "\x00\ufffd\n"  # text it is not
    with (home / "note.txt").open("w") as file:
        file.write("hé")
    with (home / "note.txt").open("r") as file:
        assert file.read() == "hé"
    assert {".", ".."}.isdisjoint(entry.name for entry in home.ls())
    with pytest.raises(SfApiError) as missing:
        cluster.ls(str(place.home / "nothing"))
    assert missing.value.message == "No such file or directory"
    with pytest.raises(SfApiError) as foreign:
        cluster.ls("/etc")
    assert foreign.value.message == "Permission denied"


def test_commands_run_in_the_home_directory(place: LocalFacility, client: Client) -> None:
    cluster = client.compute(Machine.dtns)
    assert cluster.run("pwd; echo $USER | tr a-z A-Z; echo grumble >&2") == f"{place.home}\nALICE\n"
    with pytest.raises(SfApiError) as failed:
        cluster.run(["cat", "nothing"])
    assert "No such file or directory" in failed.value.message
    task = cluster.run_task("sleep 60")
    task.cancel()
    assert task.update().status.value == "CANCELLED"


def test_globus_moves_what_it_is_told(place: LocalFacility, client: Client) -> None:
    (place.scratch / "data").mkdir()
    (place.scratch / "data" / "x").write_bytes(b"x" * 1000)
    globus = client.storage.globus()
    moved = globus.start_transfer(
        Machine.dtns, Machine.perlmutter, place.scratch / "data", place.home / "copy"
    )
    assert moved.complete(timeout=20).value == "SUCCEEDED"
    assert (globus.transfer(moved.transfer_id).bytes_transferred, moved.reason) == (1000, None)
    assert (place.home / "copy" / "x").stat().st_size == 1000
    source = place.scratch / "data" / "x"
    alone = globus.start_transfer(Machine.perlmutter, Machine.dtn01, source, place.home / "alone")
    assert alone.complete(timeout=20).value == "SUCCEEDED"
    assert (place.home / "alone" / "x").stat().st_size == 1000


async def test_the_asynchronous_client(place: LocalFacility) -> None:
    async with AsyncClient(**keyed(place)) as client:
        assert (await client.user()).name == "alice"
        cluster = await client.compute(Machine.perlmutter)
        jobs = [await cluster.submit_job(f"{SCRIPT}sleep 0.{number}") for number in (1, 2)]
        assert [state.value for state in [await job.complete(timeout=20) for job in jobs]] == [
            "COMPLETED"
        ] * 2
        assert len(await cluster.jobs([job.jobid for job in jobs], command="sacct")) == 2
        job = await cluster.submit_job(f"{SCRIPT}sleep 60")
        await job.running(timeout=20)
        await job.cancel(wait=True)
        [home] = await cluster.ls(str(place.home), directory=True)
        file = home / "async.txt"
        await file.upload(io.BytesIO(b"async"))
        [there] = await cluster.ls(str(file))
        assert (await there.download()).read() == "async"
        assert await cluster.run("cat async.txt") == "async"
        assert (await client.resources.status("perlmutter")).status.value == "active"
