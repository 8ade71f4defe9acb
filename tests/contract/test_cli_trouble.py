"""The ``iri`` command when something is wrong: errors, doctor, interrupts, secrets, readers that leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_shell import COMMAND, Shell, await_text, job_of, launched

from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=16) as facility:
        yield facility


# ----------------------------------------------------------------------------- which facility, which error


def test_facilities_lists_profiles_and_tells_what_is_wrong(
    iri: Shell, monkeypatch, place: LocalFacility
) -> None:
    monkeypatch.setenv("IRI_FACILITY_ODD_URL", "ftp://nowhere")
    said = iri("facilities")
    assert place.base_url in said.out
    assert "cannot be used" in said.out
    told = {each["name"]: each for each in iri("facilities", "--json").document["facilities"]}
    assert told["place"]["url"] == place.base_url
    assert "ftp://nowhere" in told["odd"]["error"]
    assert place.token not in said.out + json.dumps(told)
    ask = iri("jobs")
    assert ask.code == 2
    assert "odd, place" in ask.err
    assert iri("jobs", "-f", "place").code == 0
    monkeypatch.setenv("IRI_FACILITY", "place")
    assert iri("jobs").code == 0


def test_without_a_profile_a_url_and_a_token(
    iri: Shell, place: LocalFacility, monkeypatch, tmp_path: Path
) -> None:
    for name in list(iri.variables):
        if name.startswith("IRI_FACILITY_"):
            monkeypatch.delenv(name)
    nothing = iri("run", "true")
    assert nothing.code == 2
    assert "there is no profile yet" in nothing.err
    monkeypatch.setenv("SECRET", place.token)
    assert iri("run", "--url", place.base_url, "--token-env", "SECRET", "true").code == 0
    file = tmp_path / "token"
    file.write_text(place.token)
    file.chmod(0o600)
    assert iri("run", "--url", place.base_url, "--token-file", str(file), "true").code == 0
    there = ["--url", place.base_url, "--token-file", str(file)]
    for words in (there[2:], [*there, "--facility", "place"], [*there, "--token-env", "SECRET"]):
        assert iri("run", *words, "true").code == 2
    for url in ("ftp://x", "nowhere", place.base_url.replace("//", "//user:hunter2@")):
        wrong = iri("run", "--json", "--url", url, "true")
        assert (wrong.code, "hunter2" in wrong.out + wrong.err) == (2, False)


def test_a_key_of_another_facility_is_not_on_record_here(iri: Shell) -> None:
    iri("run", "--key", "mine/there", "true")
    elsewhere = iri("wait", "--url", "http://127.0.0.1:9/api/v2", "--key", "mine/there")
    assert (elsewhere.code, "no job of the key mine/there" in elsewhere.err) == (10, True)


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (["--resource", "nowhere", "true"], 2, "UsageError"),
        (["--queue", "nowhere", "true"], 11, "Refused"),
        (["--timeout", "0:01", "sleep", "5"], 7, "WaitTimeout"),
        (["--env", "A-B=1", "true"], 2, "UsageError"),
        (["--nodes", "many", "true"], 2, "UsageError"),
        (["--nope"], 2, "UsageError"),
        ([], 2, "UsageError"),
    ],
)
def test_an_error_is_told_in_words_and_as_a_document(
    iri: Shell, words: list[str], code: int, kind: str
) -> None:
    said = iri("run", *words)
    assert said.code == code
    assert said.err
    assert "Traceback" not in said.err
    told = iri("run", "--json", *words)
    assert (told.code, told.document["exit"], told.document["ok"]) == (code, code, False)
    assert told.document["error"]["kind"] == kind
    assert told.document["error"]["message"]


def test_a_token_that_is_refused_is_never_shown(iri: Shell, monkeypatch, place: LocalFacility) -> None:
    monkeypatch.setenv("IRI_FACILITY_PLACE_TOKEN", "hunter2-hunter2")
    for words in (
        ["run", "true"],
        ["jobs"],
        ["doctor"],
        ["submit", "--json", "true"],
        ["cancel", "--key", "x"],
    ):
        said = iri.apart(*words)
        assert "hunter2" not in said.out + said.err
        assert said.code == (0 if words == ["jobs"] else 8), (words, said)


def test_a_facility_that_does_not_answer(iri: Shell, monkeypatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_PLACE_URL", "http://127.0.0.1:9/api/v2")
    said = iri("run", "--on-outage", "fail", "true")
    assert said.code == 12
    assert "no answer from http://127.0.0.1:9" in said.err


def test_the_traceback_is_there_for_those_who_want_it(iri: Shell, monkeypatch) -> None:
    monkeypatch.setenv("IRI_DEBUG", "1")
    said = iri.apart("wait", "nonsense")
    assert said.code == 1
    assert "Traceback" in said.err
    assert "UsageError" in said.err


# --------------------------------------------------------------------------------------------- doctor


def test_doctor_finds_all_well_and_says_hello(iri: Shell) -> None:
    said = iri("doctor", "--hello")
    assert said.code == 0, said
    told = iri("doctor", "--json").document
    marks = {each["mark"] for each in told["findings"]}
    assert marks <= {"ok", "warn"}
    says = {each["topic"]: each["says"] for each in told["findings"]}
    assert "speaks for alice" in says["token"]
    assert says["owner"] == "jobs and their files belong to alice"
    assert "place, from IRI_FACILITY_PLACE_*" in says["profile"]
    assert {"ledger", "url", "clock", "projects", "resource", "once", "doubles", "files"} <= set(says)
    hello = [line for line in said.out.splitlines() if "hello" in line]
    assert any("it wrote: hello from iri doctor" in line for line in hello)
    assert any("its guard kept a journal, and it was read back" in line for line in hello)


@pytest.mark.parametrize(
    ("variable", "value", "code", "topic"),
    [
        ("IRI_FACILITY_PLACE_URL", "http://127.0.0.1:9/api/v2", 12, "url"),
        ("IRI_FACILITY_PLACE_TOKEN", "wrong", 8, "token"),
        ("IRI_FACILITY_PLACE_RESOURCE", "nowhere", 2, "resource"),
        ("IRI_FACILITY", "nowhere", 2, "profile"),
        ("XDG_STATE_HOME", "/proc/nowhere", 1, "ledger"),
    ],
)
def test_doctor_says_what_is_wrong(iri: Shell, monkeypatch, variable, value, code, topic) -> None:
    monkeypatch.setenv(variable, value)
    said = iri.apart("doctor", "--json")
    assert said.code == code, said
    assert [each["topic"] for each in said.document["findings"] if each["mark"] == "fail"] == [topic]
    words = iri.apart("doctor")
    assert words.code == code
    assert "fail" in words.out
    assert "1 failed" in words.out


def test_doctor_tells_of_a_wrong_address_and_of_incidents(
    iri: Shell, monkeypatch, place: LocalFacility
) -> None:
    incident = place.incident(resource="cluster", status="down", name="Cooling", type="unplanned")
    try:
        down = iri("doctor", "--json")
    finally:
        place.resolve_incident(incident["id"], status="up", resolution="completed")
    assert down.code == 12
    says = [each["says"] for each in down.document["findings"]]
    assert any("cluster is down (jobs go here)" in each for each in says)
    assert any("down now: Cooling (cluster)" in each for each in says)
    monkeypatch.setenv("IRI_FACILITY_PLACE_URL", f"{place.url}/api/v2/nowhere")
    wrong = iri("doctor")
    assert wrong.code in (10, 2)
    assert "/api/v2" in wrong.out


def test_doctor_leaves_no_hello_behind_that_did_not_come(iri: Shell, place: LocalFacility) -> None:
    full = iri("submit", "--nodes", "16", "sleep", "60").out.strip()
    try:
        late = iri("doctor", "--hello", "--timeout", "1", "--json")
        assert late.code == 7
        said = [each["says"] for each in late.document["findings"] if each["mark"] == "fail"]
        assert len(said) == 1
        assert "has not ended within 1 s" in said[0]
        hellos = [each["state"] for each in place.jobs() if each["name"].startswith("iri-doctor")]
        assert set(hellos) <= {"canceled", "completed"}
        assert "canceled" in hellos
    finally:
        iri("cancel", full)


# -------------------------------------------------------------------------------- interrupts, real process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_the_job_and_tells_the_way_back(
    iri: Shell, place: LocalFacility, number: int, code: int
) -> None:
    with iri.process("run", "--key", f"stop/{number}", "sleep", "3") as process:
        await_text(process, "active")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert "The job goes on" in err
    (line,) = [each for each in err.splitlines() if each.startswith("  iri wait")]
    assert line == f"  iri wait --facility place --key stop/{number}"
    assert iri(*line.split()[1:]).code == 0
    assert launched(place) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cancels_where_that_was_asked_for(iri: Shell, place: LocalFacility, number: int) -> None:
    words = ["run", "--json", "--cancel-on-interrupt", "--key", f"cancel/{number}", "sleep", "60"]
    with iri.process(*words) as process:
        await_text(process, "active")
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    told = json.loads(out)
    assert process.returncode == told["exit"] == 128 + number
    assert (told["interrupted"], told["canceled"], told["state"]) == (True, True, "canceled")
    assert job_of(place, told["ref"])["state"] == "canceled"


def test_an_interrupt_before_the_answer_tells_the_key(iri: Shell, place: LocalFacility) -> None:
    incident = place.incident(resource="cluster", status="down", name="Cooling", type="unplanned")
    try:
        with iri.process("run", "--json", "true") as process:
            deadline = time.monotonic() + 60
            while not place.requests("getResources"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    finally:
        place.resolve_incident(incident["id"], status="up", resolution="completed")
    told = json.loads(out)
    assert (process.returncode, told["ref"], told["interrupted"]) == (130, None, True)
    assert f"iri run --key {told['key']} …" in err
    assert launched(place) == 0


def test_help_loads_little_and_lists_the_exit_codes(iri: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    said = iri.apart("--help")
    assert "130  Ctrl-C" in said.out
    loaded = {line.rpartition("|")[2].strip() for line in said.err.splitlines() if "import time:" in line}
    assert "iri_common.cli.app" in loaded
    heavy = {"httpx", "httpcore", "pydantic", "ssl", "iri_common.facility", "iri_common.http", "globus_sdk"}
    assert not heavy & loaded
    assert len(loaded) < 450


def test_a_reader_that_leaves_is_no_error_to_tell(iri: Shell) -> None:
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen(
        [COMMAND, "jobs", "--json"], stdout=write, stderr=subprocess.PIPE, text=True,
        env={**iri.variables, **os.environ},
    ) as process:  # fmt: skip
        os.close(write)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")  # as if SIGPIPE had ended it


def test_a_second_interrupt_leaves_at_once_and_tells_the_way_back(iri: Shell, place: LocalFacility) -> None:
    ready = place.scratch / "stubborn"
    stubborn = f"trap '' TERM; touch {ready}; while :; do sleep 0.1; done"
    with iri.process(
        "run", "--json", "--cancel-on-interrupt", "--key", "stop/twice", "sh", "-c", stubborn
    ) as process:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        await_text(process, "active")
        process.send_signal(signal.SIGINT)
        await_text(process, "cancelling the job")
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        out, err = process.communicate(timeout=60)
    told = json.loads(out)
    assert (process.returncode, told["exit"], told["key"]) == (143, 143, "stop/twice")
    assert "iri wait --facility place --key stop/twice" in err
    assert time.monotonic() - begun < 15
    assert iri("wait", "--key", "stop/twice").code == 4


def test_what_a_facility_says_does_not_steer_the_terminal(iri: Shell) -> None:
    said = iri("run", "--queue", "no\x1b]0;owned\x07where", "true")
    assert said.code == 11
    assert "\x1b" not in said.err
    assert "\x07" not in said.err
