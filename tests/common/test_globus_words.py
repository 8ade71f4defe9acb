"""Words for Globus: in profiles and the environment, in its errors and scopes, in what a person is told."""

from __future__ import annotations

import pickle
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common.apis.globus import GlobusClient, GlobusCredential, answers
from iri_common.apis.globus.rules import (
    Needs,
    data_access_scope,
    https_scope,
    needs_data_access,
    outcome_of,
    transfer_scope,
)
from iri_common.apis.globus.tasks import rules_of, task_of, trouble_in
from iri_common.facility.collections import GlobusSettings, announced, loan
from iri_common.facility.profiles import load_globus, load_profile, profile_names
from iri_common.model.errors import ProfileError, ReplyError, UsageError
from iri_common.model.facility import AccessEndpoint
from iri_common.model.grades import Grades
from iri_common.model.transfer import CollectionEnd, TaskState
from iri_common.policy.classify import Outcome

URL = "https://facility.example/api/v2"
ONE, TWO = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "facilities.toml"
    monkeypatch.setenv("IRI_CONFIG", str(path))
    return path


# ---------------------------------------------------------------------------------------- profiles


def test_a_collection_and_who_speaks_for_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(
        f"""
        [olcf]
        url = "{URL}"
        [olcf.globus]
        collection = "{ONE}"
        root = "/lustre"
        lend = true
        [globus.client]
        id = "everywhere"
        secret = {{ env = "GLOBUS_SECRET" }}
        """
    )
    monkeypatch.setenv("GLOBUS_SECRET", "s3cr3t")
    settings = load_profile("olcf").globus
    assert settings is not None
    assert settings.end == CollectionEnd(ONE, "/lustre")
    assert settings.lend
    credential = settings.credential
    assert credential is not None
    assert (credential.client_id, credential.mode) == ("everywhere", "client")
    assert credential.secret is not None
    assert credential.secret() == "s3cr3t"
    assert "s3cr3t" not in repr(settings)
    assert profile_names() == ["olcf"]  # [globus] is none
    with pytest.raises(ProfileError, match="profiles that exist: olcf"):
        load_profile("globus")
    with pytest.raises(TypeError):
        pickle.dumps(credential)


def test_a_facility_with_a_client_of_its_own(file: Path) -> None:
    file.write_text(
        f'[olcf]\nurl = "{URL}"\n[olcf.globus]\ncollection = "{ONE}"\n[olcf.globus.client]\nid = "own"\n'
        '[globus.client]\nid = "everywhere"'
    )
    settings = load_profile("olcf").globus
    assert settings is not None
    assert settings.credential == GlobusCredential("own", login="iri globus login -f olcf")
    assert settings.credential.mode == "login"
    everywhere = load_globus()
    assert everywhere is not None
    assert (everywhere.client_id, everywhere.login) == ("everywhere", "iri globus login")


def test_the_environment_is_stronger(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(
        f'[a]\nurl = "{URL}"\n[a.globus]\ncollection = "{ONE}"\nroot = "/x"\n[globus.client]\nid = "b"'
    )
    monkeypatch.setenv("IRI_FACILITY_A_GLOBUS_COLLECTION", TWO)
    monkeypatch.setenv("IRI_FACILITY_A_GLOBUS_LEND", "true")
    monkeypatch.setenv("IRI_FACILITY_A_GLOBUS_TOKEN", "t0k3n")
    settings = load_profile("a").globus
    assert settings is not None
    assert (settings.end, settings.lend) == (CollectionEnd(TWO, "/x"), True)
    assert settings.credential is not None
    assert settings.credential.mode == "token"
    monkeypatch.setenv("IRI_GLOBUS_CLIENT_ID", "env")
    monkeypatch.setenv("IRI_GLOBUS_CLIENT_SECRET", "s3cr3t")
    credential = load_globus()
    assert credential is not None
    assert (credential.client_id, credential.mode) == ("env", "client")


def test_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_globus() is None
    monkeypatch.setenv("IRI_FACILITY_B_URL", URL)
    assert load_profile("b").globus is None
    monkeypatch.setenv("IRI_FACILITY_B_GLOBUS_COLLECTION", ONE)
    settings = load_profile("b").globus
    assert settings is not None
    assert (settings.end, settings.credential) == (CollectionEnd(ONE), None)
    monkeypatch.setenv("IRI_GLOBUS_CLIENT_ID", "native")
    credential = load_globus()
    assert credential is not None
    assert credential.mode == "login"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ('collection = "no uuid"', "collection"),
        (f'collection = "{ONE}"\nroot = "relative"', "absolute"),
        ("lend = true", "name it as globus.collection"),
        ('secret = "hidden-secret"', "secret"),
        ('client = { id = "x", secret = "hidden-secret" }', "no secret is written here"),
        ('client = { id = "x" }\ntoken = { env = "T" }', "either"),
    ],
)
def test_words_that_make_no_sense(file: Path, words: str, said: str) -> None:
    file.write_text(f'[a]\nurl = "{URL}"\n[a.globus]\n{words}')
    with pytest.raises(ProfileError, match=said) as caught:
        load_profile("a")
    assert "hidden" not in str(caught.value)


def test_a_section_that_makes_no_sense(file: Path) -> None:
    file.write_text('[globus]\nsecret = "hidden-secret"')
    with pytest.raises(ProfileError, match=r"the section \[globus\]") as caught:
        load_globus()
    assert "hidden" not in str(caught.value)


def test_a_credential_is_one_thing() -> None:
    with pytest.raises(UsageError, match="either"):
        GlobusCredential()
    assert GlobusCredential("x", lambda: "s", person=True).mode == "login"


async def test_without_the_sdk_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "globus_sdk", None)
    with pytest.raises(UsageError, match=r"install iri-common\[globus\]"):
        await GlobusClient(GlobusCredential("x", lambda: "s")).check()


def test_nothing_loads_the_sdk_before_it_is_asked() -> None:
    script = "import sys; from iri_common import Facility, GlobusSettings; print('globus_sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# -------------------------------------------------------------------------------------------- loans


@pytest.mark.parametrize(
    ("lend", "files", "lent"),
    [(None, "none", True), (None, "direct", False), (True, "direct", True), (False, "none", False)],
)
def test_when_a_collection_stands_in(lend: bool | None, files: str, lent: bool) -> None:
    settings = GlobusSettings(ONE, lend=lend, credential=GlobusCredential("x"))
    grades = Grades(files=files)  # type: ignore[arg-type]
    assert (loan(settings, grades) is not None) is lent
    assert loan(GlobusSettings(ONE, lend=lend), grades) is None  # nobody to speak for it
    assert loan(None, grades) is None


def test_what_the_storage_api_tells() -> None:
    told = [
        AccessEndpoint("s", "s3", details={"endpoint_id": TWO}),
        AccessEndpoint("g", "globus", details={"endpoint_id": ONE, "root_path": "/data"}),
    ]
    assert announced(told, "/gpfs") == CollectionEnd(ONE, "/gpfs", "/data")
    assert announced(told[:1]) is None


# ------------------------------------------------------------------------------------- what Globus says


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (502, "ExternalError.MkdirFailed.Exists", Outcome.CONFLICT),
        (502, "ExternalError.DirListingFailed.GCDisconnected", Outcome.AWAY),
        (502, "ExternalError.DirListingFailed.NotDirectory", Outcome.INVALID),
        (404, "ClientError.NotFound", Outcome.NOT_FOUND),
        (404, "EndpointNotFound", Outcome.NOT_FOUND),
        (409, "Conflict", Outcome.CONFLICT),
        (403, "ExternalError.DirListingFailed.PermissionDenied", Outcome.FORBIDDEN),
        (403, "ConsentRequired", Outcome.FORBIDDEN),
        (401, None, Outcome.BAD_TOKEN),
        (429, None, Outcome.RATE_LIMITED),
        (400, "ClientError.BadRequest.NoSuchThing", Outcome.INVALID),
        (503, "Exists.NotReally.Odd", Outcome.AWAY),
        (599, None, Outcome.BROKEN),
    ],
)
def test_the_meaning_of_a_reply(status: int, code: str | None, outcome: Outcome) -> None:
    assert outcome_of(status, code) is outcome


def test_scopes() -> None:
    plain = "urn:globus:auth:scope:transfer.api.globus.org:all"
    assert transfer_scope() == plain
    assert transfer_scope([TWO, ONE]) == f"{plain}[*{data_access_scope(ONE)} *{data_access_scope(TWO)}]"
    mapped = {"entity_type": "GCSv5_mapped_collection"}
    assert needs_data_access(mapped)
    assert not needs_data_access(mapped | {"high_assurance": True})
    assert not needs_data_access({"entity_type": "GCSv5_guest_collection"})


def test_the_command_of_what_is_missing() -> None:
    assert Needs([transfer_scope()]).command() == "iri globus login"
    needs = Needs(
        [transfer_scope([ONE]), https_scope(ONE), https_scope(TWO), "openid"], ["olcf.gov"], mfa=True
    )
    assert needs.command("iri globus login -f olcf") == (
        f"iri globus login -f olcf --collection {ONE} --collection {TWO} --scope openid "
        "--domain olcf.gov --mfa"
    )


@given(st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text))
def test_a_server_cannot_write_into_the_command(domain: str) -> None:
    assert shlex.split(Needs(domains=[domain]).command()) == ["iri", "globus", "login", "--domain", domain]


def test_a_task_as_its_document_tells_it() -> None:
    words = {
        "task_id": "t",
        "status": "ACTIVE",
        "nice_status": "Queued",
        "is_ok": True,
        "bytes_transferred": 5,
    }
    task = task_of(words)
    assert (task.state, task.code, task.healthy, task.bytes_done) == (TaskState.ACTIVE, "", True, 5)
    assert task_of(words | {"nice_status": "FILE_NOT_FOUND", "is_ok": False}).code == "FILE_NOT_FOUND"
    failed = words | {
        "status": "FAILED",
        "nice_status": None,
        "fatal_error": {"code": "C", "description": "d"},
    }
    assert (task_of(failed).code, task_of(failed).words) == ("C", "d")
    assert task_of(words | {"subtasks_skipped_errors": None}).skipped_errors == 0
    with pytest.raises(ReplyError, match="without an id"):
        task_of(words | {"task_id": None})


@pytest.mark.parametrize("status", ["PAUSED_BY_ADMIN", [], None])
def test_a_status_that_is_not_known_ends_no_task_and_is_logged_once(
    status: object, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_strange", set())
    tasks = [task_of({"task_id": f"t{number}", "status": status}) for number in range(3)]
    assert {(each.state, each.state.over) for each in tasks} == {(TaskState.UNKNOWN, False)}
    assert [repr(str(status)) in each.getMessage() for each in caplog.records] == [True]


def test_why_a_task_does_not_get_on() -> None:
    assert (
        rules_of({"pause_rules": [{"message": "maintenance"}, {"message": "maintenance"}]}) == "maintenance"
    )
    assert rules_of({"pause_rules": [], "source_pause_message": "by hand"}) == "by hand"
    assert rules_of({}) == ""
    events = [
        {"is_error": False, "description": "started"},
        {"is_error": True, "description": "d", "details": "a\n b"},
    ]
    assert trouble_in(events) == "d: a b"
    assert trouble_in([]) == ""
