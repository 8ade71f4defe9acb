from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest

COMMAND = [str(Path(sys.executable).with_name("iri-local-facility"))]


def status_of(base_url: str, token: str) -> int:
    request = urllib.request.Request(
        f"{base_url}/account/whoami", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        with contextlib.closing(refused):
            return refused.code


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=30, check=False)


def test_ready_file_token_and_ctrl_c(tmp_path: Path) -> None:
    root, ready = tmp_path / "f", tmp_path / "ready.json"
    server = subprocess.Popen([*COMMAND, "serve", "--root", str(root), "--ready-file", str(ready)])
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        facts = json.loads(ready.read_text())
        assert stat.S_IMODE(ready.stat().st_mode) == 0o600
        assert stat.S_IMODE((root / ".facility").stat().st_mode) == 0o700
        assert facts["pid"] == server.pid
        assert facts["base_url"] == facts["url"] + "/api/v2"
        assert status_of(facts["base_url"], facts["token"]) == 200
        secret = Path(facts["token_file"])
        assert (secret.read_text(), stat.S_IMODE(secret.stat().st_mode)) == (facts["token"], 0o600)
        second = run("serve", "--root", str(root))
        assert (second.returncode, "is running already" in second.stderr) == (1, True)
        made = run("token", "--root", str(root), "--user", "bob", "--lifetime", "60")
        assert status_of(facts["base_url"], made.stdout.strip()) == 200
        unknown = run("token", "--root", str(root), "--user", "eve")
        assert (unknown.returncode, unknown.stderr.strip()) == (1, "iri-local-facility: User eve not found")
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0


def test_what_a_person_sees(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen([*COMMAND, "serve"], stdout=subprocess.PIPE, text=True, env=environment)
    assert server.stdout is not None
    lines = []
    while not lines or "client-secret" not in lines[-1]:
        lines.append(server.stdout.readline())
        assert lines[-1] or server.poll() is None
    server.terminate()
    text = "".join(lines) + server.stdout.read()
    server.stdout.close()
    assert server.wait(20) == 0
    assert "demos, tests and development only" in text
    assert str(tmp_path / "iri-local-facility") in text
    assert "Stopped; no job was left running." in text
    profile = textwrap.dedent(text[text.index("  [local]") : text.index("For tokens")])
    assert tomllib.loads(profile)["local"]["resource"] == "cluster"
    profile = text[text.index("  [local-firecrest]") :].partition("\nIts own")[0]
    assert tomllib.loads(textwrap.dedent(profile))["local-firecrest"]["url"].endswith("/firecrest")
    profile = text[text.index("  [local-superfacility]") :].partition("\nFor ")[0]
    signed = tomllib.loads(textwrap.dedent(profile))["local-superfacility"]["client"]
    assert Path(signed["key"]["file"]).stat().st_mode == 0o100600


def test_schedulers_of_firecrest_are_two(tmp_path: Path) -> None:
    refused = run("serve", "--root", str(tmp_path), "--firecrest-scheduler", "lsf")
    assert refused.returncode == 2
    assert "slurm or pbs" in refused.stderr


def test_no_facility_no_token(tmp_path: Path) -> None:
    made = run("token", "--root", str(tmp_path))
    assert made.returncode == 1
    assert "there is no facility" in made.stderr


def test_faults_are_ordered_from_the_command_line(facility, alice) -> None:
    root = ("--root", str(facility.root))
    made = run("fault", "order", "status", "operations=getFacility,getSite", "status=503", "job=17", *root)
    fault = made.stdout.strip()
    listed = json.loads(run("fault", "list", *root).stdout)
    assert (listed["id"], listed["operations"], listed["job"]) == (fault, ["getFacility", "getSite"], "17")
    assert run("fault", "clear", fault, *root).returncode == 0
    assert facility.faults() == []
    refused = run("fault", "order", "delay", *root)
    assert (refused.returncode, "needs seconds" in refused.stderr) == (1, True)
    assert run("fault", "order", "delay", "seconds", *root).returncode == 2
    nobody = run("fault", "clear", "--root", str(facility.root / "nowhere"))
    assert (nobody.returncode, "no facility runs" in nobody.stderr) == (1, True)


@pytest.mark.parametrize(
    "words", [["--help"], ["serve", "--help"], ["token", "--help"], ["fault", "order", "--help"]]
)
def test_help(words: list[str]) -> None:
    assert run(*words).returncode == 0
