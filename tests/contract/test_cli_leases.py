"""``iri path``, ``flow`` and ``stream`` before the faces that they are for: words, documents, codes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_shell import Said, Shell
from flows_world import QUICK, World, waiting

from iri_common import JobRef
from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFacility]:
    with LocalFacility(sense_step=0.03, stream_setup=0.2) as facility:
        yield facility


@pytest.fixture
def iri(place: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Iterator[Shell]:
    """The command of somebody with a network and a mesh among the profiles, and a client at Globus."""
    words = {
        "IRI_FACILITY_NET_DIALECT": "sense",
        "IRI_FACILITY_NET_URL": place.sense_url,
        "IRI_FACILITY_NET_TOKEN": place.token,
        "IRI_FACILITY_MESH_DIALECT": "slurm",
        "IRI_FACILITY_MESH_SITE": "s3m",
        "IRI_FACILITY_MESH_URL": place.s3m_url,
        "IRI_FACILITY_MESH_TOKEN": place.s3m_token,
        "IRI_CONFIG": str(tmp_path / "facilities.toml"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "GLOBUS_SDK_TEST": str(tmp_path),  # an identity is open once in a process; this one is the test's
        "A_SECRET": place.globus_client_secret,
        **place.globus_env,
    }
    words |= {f"IRI_FACILITY_{name}_POLL_SECONDS": "0.03" for name in ("NET", "MESH")}
    client = f'[globus.client]\nid = "{place.globus_client_id}"\nsecret = {{ env = "A_SECRET" }}\n'
    (tmp_path / "facilities.toml").write_text(client)
    monkeypatch.setattr("iri_common.facility.flows.TaskPace", lambda: QUICK)
    for name, value in words.items():
        monkeypatch.setenv(name, value)
    place.reset_requests()
    yield Shell(words, capsys)
    place.clear_faults()


def asked(place: LocalFacility, operation: str) -> int:
    return len(place.requests(operation))


def of(said: Said, name: str) -> list[dict]:
    assert (said.code, said.document["ok"]) == (0, True)
    return said.document[name]


# ------------------------------------------------------------------------------------------------ paths


def test_a_path_is_planned_opened_changed_and_closed(
    iri: Shell, place: LocalFacility, tmp_path: Path
) -> None:
    a, b = place.sense_ports[:2]
    key = f"path/{tmp_path.name}"
    net = ("-f", "net")
    assert "finds such a path: up to " in iri("path", "plan", *net, a, b).out
    words = (*net, a, f"{b}=3600-3650", "--mbps", "100", "--key", key)
    seen = iri("path", "open", *words, "--dry-run")
    assert (seen.code, "VLAN 3600-3650" in seen.out, asked(place, "senseProvision")) == (0, True, 0)
    assert f"PUT {place.sense_url}/instance/ID/provision?sync=false&intent=last" in seen.out
    assert "Authorization: Bearer ********" in seen.out
    compute, provision = iri("path", "open", *words, "--dry-run", "--json").document["requests"]
    assert (compute["url"], provision["method"]) == (f"{place.sense_url}/instance/ID", "PUT")
    assert "3600-3650" in json.dumps(compute["body"])
    opened = iri("path", "open", *words)
    ref = JobRef.parse(opened.out.strip())
    assert (opened.code, ref.profile) == (0, "net")
    assert "up, CREATE - READY, STABLE" in opened.err
    again = iri("path", "open", *words, "--json").document
    assert (again["id"], again["up"], asked(place, "senseProvision")) == (ref.job_id, True, 1)
    (modify,) = iri("path", "change", str(ref), a, b, "--mbps", "200", "--dry-run", "--json").document[
        "requests"
    ]
    assert modify["url"] == f"{place.sense_url}/instance/{ref.job_id}/modify"
    changed = iri("path", "change", str(ref), a, b, "--mbps", "200")
    assert (changed.code, asked(place, "senseModify")) == (0, 1)
    shown = iri("path", "show", *net, "--key", key, "--json").document
    assert (shown["verified"], [each["port"] for each in shown["ports"]]) == (True, [a, b])
    assert [each["key"] for each in of(iri("path", "list", *net, "--json"), "paths")] == [key]
    assert "coast-to-coast" in iri("path", "list", *net, "--profiles").out
    assert iri("path", "close", str(ref)).code == 0
    assert iri("path", "show", *net, "--key", key).code == 10
    [path] = [each for each in place.paths() if each["id"] == ref.job_id]
    assert (path["deleted"], path["clean"], path["left"]) == (True, True, False)


def test_a_path_that_is_not_up_in_time_is_come_back_to(iri: Shell, place: LocalFacility) -> None:
    place.order("path_unstable", "senseProvision")
    words = ("path", "open", "-f", "net", *place.sense_ports[:2], "--mbps", "1", "--timeout", "1", "--json")
    said = iri(*words)
    told = said.document
    assert (said.code, told["exit"], told["error"]["kind"], told["state"]) == (7, 7, "WaitTimeout", "pending")
    assert f"iri path show --facility net '{told['ref']}'" in said.err
    assert iri("path", "close", told["ref"]).code == 0


def test_a_path_that_fails_or_cannot_be(iri: Shell, place: LocalFacility) -> None:
    ends = place.sense_ports[:2]
    refused = iri("path", "plan", "-f", "net", *ends, "--mbps", "900000", "--json")
    assert (refused.code, "feasible path" in refused.document["error"]["message"]) == (11, True)
    place.order("path_fails", "senseProvision")
    failed = iri("path", "open", "-f", "net", *ends, "--mbps", "1", "--json")
    assert (failed.code, failed.document["state"]) == (3, "failed")
    assert iri("path", "close", failed.document["ref"]).code == 0
    for wrong in (["--quality", "golden"], ["--mbps", "0"], ["--change", "a=b"]):
        assert iri("path", "open", "-f", "net", *ends, *wrong).code == 2
    assert iri("path", "show", "-f", "net").code == iri("path", "close", "x", "--key", "y").code == 2


# --------------------------------------------------------------------------------------------- streams


def test_a_stream_is_provisioned_used_and_released(iri: Shell, place: LocalFacility, tmp_path: Path) -> None:
    key, mesh = f"stream/{tmp_path.name}", ("-f", "mesh")
    assert "cpus: 1 to 4, 2 if not said" in iri("stream", "backends", *mesh).out
    words = ("rabbitmq", "--set", "cpus=1", "--key", key, *mesh)
    (seen,) = iri("stream", "provision", *words, "--dry-run", "--json").document["requests"]
    assert (seen["method"], seen["url"].partition("/olcf/")[0]) == ("POST", place.s3m_url)
    assert (seen["body"]["resourceSettings"], seen["headers"]) == ({"cpus": 1}, {"Authorization": "********"})
    shown = iri("stream", "provision", *words, "--dry-run")
    assert (shown.code, seen["url"] in shown.out, asked(place, "s3mProvision")) == (0, True, 0)
    told = iri("stream", "provision", *words)
    ref = told.out.strip()
    assert (told.code, told.err.splitlines()[-1].split(maxsplit=1)[1]) == (0, "up, Synced, Healthy")
    again = iri("stream", "provision", *words, "--json").document
    assert (again["ref"], again["settings"]["cpus"], asked(place, "s3mProvision")) == (ref, 1, 1)
    shown = iri("stream", "show", *mesh, "--key", key)
    revealed = iri("stream", "use", ref, "--reveal", "--json").document
    for said in (told, shown, iri("stream", "list", *mesh), iri("stream", "list", "--json", *mesh)):
        assert revealed["password"] not in said.out + said.err
    user = "test $IRI_STREAM_USER.$IRI_STREAM_PASSWORD.$IRI_STREAM_AMQPS = $0 && exit 7"
    sought = f"{revealed['user']}.{revealed['password']}.{revealed['urls']['amqps']}"
    assert iri.apart("stream", "use", ref, "--", "sh", "-c", user, sought).code == 7
    assert iri("stream", "use", ref).code == 2
    assert iri("stream", "use", ref, "no-such-command").code == 127
    assert "6d 23h, then it is deleted" in iri("stream", "extend", ref).out
    assert len(of(iri("stream", "list", "--all", "--json", *mesh), "clusters")) >= 1
    assert iri("stream", "release", "--key", key, *mesh).code == 0
    assert of(iri("stream", "list", "--json", *mesh), "clusters") == []
    assert iri("stream", "use", ref, "--reveal").code == 10


def test_a_stream_that_cannot_be(iri: Shell, place: LocalFacility) -> None:
    assert iri("stream", "provision", "rabbitmq", "-s", "cpus=99", "-f", "mesh").code == 11
    assert iri("stream", "provision", "kafka", "-f", "mesh").code == 2
    assert iri("stream", "provision", "rabbitmq", "-s", "cpus=two", "-f", "mesh").code == 2
    assert iri("stream", "list", "-f", "net").code == 2
    assert asked(place, "s3mProvision") == 1


# ----------------------------------------------------------------------------------------------- flows


@pytest.fixture
def world(place: LocalFacility, tmp_path: Path, iri: Shell) -> World:
    return World(place, tmp_path, tmp_path)


def test_a_flow_is_started_watched_and_released(iri: Shell, world: World, tmp_path: Path) -> None:
    flow, key = world.made(waiting(0.3)), f"flow/{tmp_path.name}"
    (tmp_path / "in.json").write_text('{"x": 1, "y": 2}')
    words = (flow, "-i", str(tmp_path / "in.json"), "-s", "y=[3]", "-s", "z=a text", "--key", key)
    body = {"x": 1, "y": [3], "z": "a text"}
    dry = iri("flow", "start", *words, "--dry-run", "--json").document
    assert (dry["run"]["input"], dry["request"]["path"]) == (body, f"/flows/{flow}/run")
    run = iri("flow", "start", *words).out.strip()
    ended = iri("flow", "start", *words, "--wait")
    (began,) = world.began(flow)
    assert (ended.code, json.loads(ended.out)) == (0, body)
    assert (dry["request"]["body"]["label"], dry["request"]["body"]["body"]) == (began["label"], body)
    assert iri("flow", "wait", run, "--json").document["runs"][0]["output"] == body
    assert "state      succeeded, FlowSucceeded" in iri("flow", "show", run).out
    assert [line.split()[1] for line in iri("flow", "log", run, "-n", "1").out.splitlines()] == [
        "FlowSucceeded"
    ]
    assert [(each["key"], each["run_id"]) for each in of(iri("flow", "list", "--json"), "runs")] == [
        (key, run)
    ]
    assert f"run {run}: it had succeeded before" in iri("flow", "cancel", run).err
    assert iri("flow", "release", run).code == 0
    assert "No runs of flows on record here (1 more" in iri("flow", "list").err
    assert iri("flow", "show", run).code == 10


def test_the_end_of_a_flow_has_its_code(iri: Shell, world: World, tmp_path: Path) -> None:
    broken = {"Type": "Fail", "Error": "Beam", "Cause": "the beam is off"}
    failed = iri("flow", "start", world.made({"StartAt": "No", "States": {"No": broken}}), "--wait")
    assert (failed.code, "the beam is off" in failed.err) == (3, True)
    flow = world.made(waiting(60))
    late = iri("flow", "start", flow, "--wait", "--timeout", "1", "--json")
    assert (late.code, late.document["error"]["kind"]) == (7, "WaitTimeout")
    (run,) = late.document["left"]
    assert f"iri flow wait {run}" in late.err
    assert iri("flow", "release", run).code == 11
    assert iri("flow", "cancel", run).code == 0
    assert iri("flow", "wait", run).code == 4
    nobodys = iri("flow", "wait", "00000000-0000-4000-8000-000000000000")
    assert (nobodys.code, "Come back" in nobodys.err) == (10, False)
    for wrong in (["no-id"], [flow, "-i", "/nowhere"], [flow, "--timeout", "1"]):
        assert iri("flow", "start", *wrong).code == 2
    (tmp_path / "list.json").write_text("[]")
    assert "must be an object" in iri("flow", "start", flow, "-i", str(tmp_path / "list.json")).err


def test_ctrl_c_leaves_what_was_asked_for_and_says_so(iri: Shell, world: World) -> None:
    with iri.process("flow", "start", world.made(waiting(60)), "--wait", "--json") as process:
        timer = threading.Timer(30, process.kill)
        timer.start()
        seen = ""
        while "active" not in seen:
            seen += process.stderr.readline()
        process.send_signal(2)
        out, err = process.communicate(timeout=60)
        timer.cancel()
    told = json.loads(out)
    assert (process.returncode, told["interrupted"]) == (130, True)
    assert f"iri flow wait {told['left'][0]}" in err
    assert iri("flow", "cancel", *told["left"]).code == 0
