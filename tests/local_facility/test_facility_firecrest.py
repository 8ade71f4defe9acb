"""The published pyfirecrest, unmodified, at the FirecREST face: its two clients and its command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import firecrest
import httpx
import pytest
from firecrest.FirecrestException import FirecrestException, TransferJobFailedException
from firecrest_kit import MIB, SYSTEM, Plain, authorization, error, plain

from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFacility]:
    from s3_server import BUCKET, s3_server

    with (
        s3_server(tmp_path_factory.mktemp("s3")) as store,
        LocalFacility(
            kill_grace=0.3,
            s3=(store.url, BUCKET, "us-east-1"),
            firecrest_transfer_poll=0.2,
            firecrest_part_size=5 * MIB,
        ) as running,
    ):
        yield running


@pytest.fixture
def client(place: LocalFacility) -> Iterator[Any]:
    found = firecrest.v2.Firecrest(place.firecrest_url, authorization(place))
    yield found
    found.close_session()


@pytest.fixture
async def async_client(place: LocalFacility) -> AsyncIterator[Any]:
    found = firecrest.v2.AsyncFirecrest(place.firecrest_url, authorization(place))
    yield found
    await found.close_session()


@pytest.fixture
def raw(place: LocalFacility) -> Iterator[Plain]:
    yield from plain(place)


# -------------------------------------------------------------------------------------------- sync


def test_the_client_learns_of_the_system(client: Any, place: LocalFacility) -> None:
    system = client.systems()[0]
    assert system["name"] == SYSTEM
    assert [each["path"] for each in system["fileSystems"] if each["defaultWorkDir"]] == [
        str(place.root / "home")
    ]
    assert system["dataOperation"]["data_transfer"]["serviceType"] == "s3"
    assert client.server_version() == "2.6.0"
    assert {node["name"] for node in client.nodes(SYSTEM)} == {"node1", "node2", "node3", "node4"}
    assert {each["name"]: each["partition"] for each in client.partitions(SYSTEM)} == {
        "regular": "UP",
        "debug": "UP",
    }
    assert client.reservations(SYSTEM) == []
    assert client.userinfo(SYSTEM)["user"]["name"] == "alice"


def test_the_client_runs_a_job(client: Any, place: LocalFacility, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/bash\n#SBATCH --job-name=hello -n 2\nsrun echo $GREETING; exit 3\n")
    job = client.submit(
        SYSTEM, str(place.home), script_local_path=str(script), env_vars={"GREETING": "hi"}, account="demo"
    )
    done = client.wait_for_job(SYSTEM, job["jobId"])[0]
    assert (done["name"], done["status"]["state"], done["status"]["exitCode"]) == ("hello", "FAILED", 3)
    assert [each["jobId"] for each in client.job_info(SYSTEM, name="hello", time_window="1h")] == [
        job["jobId"]
    ]
    written = client.job_metadata(SYSTEM, job["jobId"])[0]
    assert written["script"] == script.read_text()
    assert Path(written["standardOutput"]).read_text() == "hi\nhi\n"


def test_the_client_cancels_a_job_once(client: Any, place: LocalFacility) -> None:
    job = client.submit(SYSTEM, str(place.home), script_str="#!/bin/sh\nexec sleep 60\n")["jobId"]
    client.cancel_job(SYSTEM, job)
    assert client.wait_for_job(SYSTEM, job)[0]["status"]["state"].startswith("CANCELLED by ")
    with pytest.raises(FirecrestException) as again:
        client.cancel_job(SYSTEM, job)
    assert again.value.responses[-1].status_code == 500
    assert "already completing or completed" in str(again.value)


def test_the_client_runs_a_command_beside_a_job(client: Any, place: LocalFacility, raw: Plain) -> None:
    job = client.submit(SYSTEM, str(place.home), script_str="#!/bin/sh\nexec sleep 60\n")["jobId"]
    raw.wait(job, "RUNNING")
    client.attach_to_job(SYSTEM, job, "sh -c 'echo beside $SLURM_JOB_ID > beside'")
    assert (place.home / "beside").read_text() == f"beside {job}\n"
    with pytest.raises(FirecrestException, match="exit_status:1"):
        client.attach_to_job(SYSTEM, job, "false")
    client.cancel_job(SYSTEM, job)


def test_the_client_handles_files(client: Any, place: LocalFacility, tmp_path: Path) -> None:
    top = place.home / "files"
    assert client.mkdir(SYSTEM, f"{top}/deep", create_parents=True)["type"] == "d"
    local = tmp_path / "small"
    local.write_bytes(bytes(range(256)) * 4)
    assert client.upload(SYSTEM, local, str(top), "data") is None
    assert client.stat(SYSTEM, f"{top}/data")["size"] == 1024
    assert client.checksum(SYSTEM, f"{top}/data")["algorithm"] == "SHA256"
    assert {each["name"]: each["type"] for each in client.list_files(SYSTEM, str(top))} == {
        "data": "-",
        "deep": "d",
    }
    back = tmp_path / "back"
    client.download(SYSTEM, f"{top}/data", back)
    assert back.read_bytes() == local.read_bytes()
    (top / "log").write_text("one\ntwo\nthree\n")
    assert client.tail(SYSTEM, f"{top}/log", num_lines=1)["content"] == "three\n"
    assert client.head(SYSTEM, f"{top}/log", num_bytes=3)["content"] == "one"
    assert client.view(SYSTEM, f"{top}/log") == "one\ntwo\nthree\n"
    assert client.chmod(SYSTEM, f"{top}/log", "600")["permissions"] == "rw-------"
    client.symlink(SYSTEM, f"{top}/log", f"{top}/link")
    assert client.file_type(SYSTEM, str(top)) == "directory"
    client.compress(SYSTEM, f"{top}/log", f"{top}/log.tar.gz")
    client.extract(SYSTEM, f"{top}/log.tar.gz", f"{top}/deep")
    assert (top / "deep" / "log").read_text() == "one\ntwo\nthree\n"
    client.rm(SYSTEM, str(top))
    assert not top.exists()


def test_the_client_moves_and_copies_by_jobs(client: Any, place: LocalFacility) -> None:
    (place.home / "from").write_text("moved")
    client.mv(SYSTEM, f"{place.home}/from", f"{place.home}/to", account="demo")
    client.cp(SYSTEM, f"{place.home}/to", f"{place.home}/copy")
    assert (place.home / "copy").read_text() == (place.home / "to").read_text() == "moved"
    with pytest.raises(TransferJobFailedException):
        client.mv(SYSTEM, f"{place.home}/nothing", f"{place.home}/to")


def test_the_client_carries_large_files(client: Any, place: LocalFacility, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(os.urandom(6 * MIB))
    way = client.upload(SYSTEM, large, str(place.home), "large")
    assert len(way.transfer_data["transferDirectives"]["partsUploadUrls"]) == 2
    assert (place.home / "large").read_bytes() == large.read_bytes()
    client.download(SYSTEM, f"{place.home}/large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == large.read_bytes()


def test_what_passes_through_the_store(raw: Plain, place: LocalFacility) -> None:
    def asked(operation: str, method: str = "s3", **more: Any) -> Any:
        directives = {"transfer_method": method, **more}
        return raw.transfer(operation, {"path": f"{place.home}/passed", "transfer_directives": directives})

    assert "not available" in error(asked("upload", "streamer", fileSize=1), 400)
    assert "No such file" in error(asked("download"), 404)
    empty = asked("upload", file_size=0)
    assert empty.json()["transferDirectives"]["partsUploadUrls"] == []
    assert raw.cancel(empty.json()["transferJob"]["jobId"]).status_code == 204
    # A file that is empty never becomes an object.
    (place.home / "passed").write_bytes(b"")
    status = raw.wait(asked("download").json()["transferJob"]["jobId"])["status"]
    assert (status["state"], status["exitCode"]) == ("FAILED", 70)
    (place.home / "passed").unlink()
    (place.home / "passed").mkdir()
    status = raw.wait(asked("upload", fileSize=1).json()["transferJob"]["jobId"])["status"]
    assert (status["state"], status["exitCode"]) == ("FAILED", 3)
    assert "unsupported operand" in error(asked("upload"), 500)


def test_an_upload_has_only_so_many_parts(raw: Plain, place: LocalFacility) -> None:
    ways = {"transferMethod": "s3", "fileSize": 10**18}
    answer = raw.transfer("upload", {"path": f"{place.home}/all", "transferDirectives": ways})
    assert "between 1 and 10000" in error(answer, 500)


def test_the_job_of_an_upload_waits_for_all_of_it(raw: Plain, place: LocalFacility) -> None:
    body = {"path": f"{place.home}/three", "transferDirectives": {"transferMethod": "s3", "fileSize": "3"}}
    answer = raw.transfer("upload", body).json()
    job, ways = answer["transferJob"], answer["transferDirectives"]
    raw.wait(job["jobId"], "RUNNING")
    with httpx.Client(trust_env=False) as store:
        put = store.put(ways["partsUploadUrls"][0], content=b"abc")
        part = f"<Part><PartNumber>1</PartNumber><ETag>{put.headers['etag']}</ETag></Part>"
        time.sleep(0.5)  # it looks a few times in vain
        assert raw.job(job["jobId"])["status"]["state"] == "RUNNING"
        whole = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>"
        assert store.post(ways["completeUploadUrl"], content=whole).status_code == 200
    assert raw.wait(job["jobId"])["status"]["state"] == "COMPLETED"
    assert "File was successfully downloaded" in Path(job["logs"]["outputLog"]).read_text()
    assert (place.home / "three").read_bytes() == b"abc"


# ------------------------------------------------------------------------------------------- async


async def test_the_async_client_runs_a_job(async_client: Any, place: LocalFacility) -> None:
    job = await async_client.submit(SYSTEM, str(place.home), script_str="#!/bin/sh\necho async\n")
    done = await async_client.wait_for_job(SYSTEM, job["jobId"])
    assert done[0]["status"]["state"] == "COMPLETED"
    log = f"{place.home}/slurm-{job['jobId']}.out"
    assert (await async_client.tail(SYSTEM, log))["content"] == "async\n"
    assert job["jobId"] in {each["jobId"] for each in await async_client.job_info(SYSTEM)}


async def test_the_async_client_carries_large_files(
    async_client: Any, place: LocalFacility, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    large.write_bytes(os.urandom(2 * MIB))
    await async_client.upload(SYSTEM, large, str(place.home), "async")
    await async_client.download(SYSTEM, f"{place.home}/async", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == large.read_bytes()


# ----------------------------------------------------------------------------------------- command


def test_the_command_works_with_what_serve_prints(place: LocalFacility, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("firecrest")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        "FIRECREST_URL": place.firecrest_url,
        "AUTH_TOKEN_URL": place.token_url,
        "FIRECREST_CLIENT_ID": place.client_id,
        "FIRECREST_CLIENT_SECRET": place.client_secret,
        "FIRECREST_API_VERSION": "2.6.0",
        "FIRECREST_SYSTEM": SYSTEM,
    }

    def run(*words: str) -> str:
        done = subprocess.run(
            [command, *words], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\necho by command\n")
    job = json.loads(run("submit", "--working-dir", str(place.home), str(script)))["jobId"]
    assert json.loads(run("wait-for-job", job))[0]["status"]["state"] == "COMPLETED"
    assert (place.home / f"slurm-{job}.out").read_text() == "by command\n"
