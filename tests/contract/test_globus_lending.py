"""A facility whose API moves no files, lent those of its Globus collection: guards, journals, logs, files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cli_shell import Shell, variables_of
from s3_server import BUCKET, KEYS, Store

from iri_common import Facility, FileLedger, JobKey, JobSpec, NotFound, NotOffered, Road, UsageError
from iri_common.apis.globus import GlobusCredential
from iri_common.cli.exits import Exit
from iri_common.facility.collections import GlobusSettings
from iri_common.facility.doors import open_door
from iri_common.facility.loop import run_blocking
from iri_local_facility import LocalFacility

ECHO = JobSpec(executable="/bin/sh", arguments=("-c", "echo one; echo two"))


@pytest.fixture(scope="module")
def bare() -> Iterator[LocalFacility]:
    with LocalFacility(without=("filesystem",), data_access=True) as place:
        yield place


@pytest.fixture
def lent(bare: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Facility:
    for name, value in bare.globus_env.items():
        monkeypatch.setenv(name, value)
    bare.reset_requests()
    return facility(bare, tmp_path, collection_of(bare))


def collection_of(place: LocalFacility, root: str = "/") -> GlobusSettings:
    credential = GlobusCredential(place.globus_client_id, lambda: place.globus_client_secret)
    return GlobusSettings(place.collection, root, lend=True, credential=credential)


def facility(place: LocalFacility, tmp_path: Path, globus: GlobusSettings | None) -> Facility:
    return Facility(
        place.base_url,
        token=place.new_token(),
        poll_seconds=0.1,
        directory=str(place.home),
        guard_directory=str(place.home / "guards"),
        ledger=FileLedger(tmp_path / "ledger"),
        globus=globus,
    )


def test_a_guarded_job_is_read_through_the_collection(lent: Facility, bare: LocalFacility) -> None:
    assert (lent.grades.files, lent.grades.journal, lent.grades.upload_limit) == ("globus", "readable", None)
    result = lent.jobs.run(ECHO)
    assert result.status.exit_code == 0
    assert lent.jobs.tail(result.ref, lines=1) == "two\n"
    journal = lent.jobs.journal(result.ref)
    assert journal is not None
    assert journal.last is not None
    assert journal.last.succeeded
    asked = {each["operation"] for each in bare.requests()}
    assert "collectionGet" in asked
    assert not asked & {"view", "tail", "ls", "stat", "download"}


@pytest.mark.parametrize("sizes", ["globusStat", "globusLs"])
def test_output_is_followed_through_the_collection(lent: Facility, bare: LocalFacility, sizes: str) -> None:
    """In ranges of bytes, also where a character is cut; a listing tells lengths where nothing else does."""
    if sizes == "globusLs":
        bare.order("status", "globusStat", status=501, times=None)
    pieces = r"for b in 'a\303' '\251' '\342\202' '\254\360' '\237\230' '\200' '\377' '\303'"
    text = f"{pieces}; do printf $b; sleep 0.15; done; echo done >&2"
    ref = lent.jobs.submit(
        JobSpec(
            executable="/bin/sh", arguments=("-c", text), stdout_path=f"{sizes}.o", stderr_path=f"{sizes}.e"
        )
    )
    chunks = list(lent.jobs.follow(ref, grace=0.3))
    bare.clear_faults()
    out = [each for each in chunks if each.stream == "stdout"]
    assert "".join(each.text for each in out) == "aé€😀\ufffd\ufffd"
    assert (len(out) > 2, out[-1].offset) == (True, 12)
    assert [each.text for each in chunks if each.stream == "stderr"] == ["done\n"]
    asked = {each["operation"] for each in bare.requests()}
    assert {sizes, "collectionGet"} <= asked
    assert not asked & {"view", "tail", "ls", "stat", "download"}


def test_a_generation_is_taken_and_cleaned_over_globus(lent: Facility, bare: LocalFacility) -> None:
    key = JobKey.of("lent", "taken")
    guards = str(bare.home / "guards")

    async def take_it() -> tuple[bool, bool, dict[int, bool], str | None]:
        door = open_door(lent._settings)
        machine = await door.resource(None, "compute")
        files = door.guards(machine.id, guards, None)
        first, second = await files.take(key), await files.take(key)
        return first, second, dict(await files.generations(key)), await files.remove(key.digest)

    first, second, generations, removed = run_blocking(take_it())
    assert (first, second, generations) == (True, True, {1: True})
    assert removed is not None
    assert not Path(removed).exists()


def test_small_things_are_done_in_the_collection(lent: Facility, bare: LocalFacility) -> None:
    directory = str(bare.home / "by globus")
    lent.files.mkdir(directory)
    (bare.home / "by globus" / "file").write_text("content")
    assert [each.name for each in lent.files.ls(directory)] == ["file"]
    assert lent.files.stat(f"{directory}/file").size == 7
    lent.files.rm(directory)
    assert not Path(directory).exists()


def test_the_newest_way_to_a_secret_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An identity is open for all; whoever opened it first may have read a variable that is gone."""

    def gone() -> str:
        raise UsageError("there is no such variable")

    with LocalFacility(without=("filesystem",)) as place:
        for name, value in place.globus_env.items():
            monkeypatch.setenv(name, value)
        known = collection_of(place)
        nobody = replace(known, credential=GlobusCredential(place.globus_client_id, gone))
        with pytest.raises(UsageError, match="no such variable"):
            facility(place, tmp_path, nobody).files.ls(str(place.home))
        (place.home / "there").write_text("")
        assert [each.name for each in facility(place, tmp_path, known).files.ls(str(place.home))] == ["there"]


def test_without_the_loan_its_own_api_is_asked(bare: LocalFacility, tmp_path: Path) -> None:
    own = facility(bare, tmp_path, replace(collection_of(bare), lend=False))
    assert own.grades.files == "direct"
    with pytest.raises(NotFound):
        own.files.ls(str(bare.home))


def test_a_guard_that_the_collection_does_not_show_cannot_be_read(
    bare: LocalFacility, tmp_path: Path
) -> None:
    elsewhere = facility(bare, tmp_path, collection_of(bare, root="/gpfs"))
    assert (elsewhere.grades.files, elsewhere.grades.journal) == ("globus", "no")
    assert elsewhere.jobs.journal(elsewhere.jobs.submit(ECHO)) is None


def test_doctor_tells_how_globus_stands(
    bare: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = {
        **variables_of(bare, tmp_path),
        **bare.globus_env,
        "IRI_FACILITY_PLACE_GLOBUS_COLLECTION": bare.collection,
        "IRI_FACILITY_PLACE_GLOBUS_LEND": "true",
        "IRI_GLOBUS_CLIENT_ID": bare.globus_client_id,
        "IRI_GLOBUS_CLIENT_SECRET": bare.globus_client_secret,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    said = Shell(variables, capsys)("doctor")
    assert said.code == 0, said.out
    assert (
        f"Globus client {bare.globus_client_id} is accepted, sees the collection 'Files of local' for /"
        in " ".join(said.out.split())  # however wide the terminal is
    )
    assert "go through the Globus collection" in said.out
    monkeypatch.setenv("IRI_GLOBUS_CLIENT_SECRET", "wrong-secret")
    wrong = Shell(variables, capsys).apart("doctor", "--json")
    (finding,) = [each for each in wrong.document["findings"] if each["topic"] == "globus"]
    assert (wrong.code, finding["mark"]) == (Exit.AUTH, "fail")
    assert "check its id and secret" in finding["says"]
    assert "wrong-secret" not in wrong.out + wrong.err


def test_a_store_beside_the_lent_collection_is_reached_by_its_name(
    store: Store, store_keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_text("x")
    with LocalFacility(without=("filesystem",), s3=(store.url, BUCKET, KEYS["AWS_DEFAULT_REGION"])) as place:
        for name, value in place.globus_env.items():
            monkeypatch.setenv(name, value)
        lent = facility(place, tmp_path, collection_of(place))
        assert lent.files.put(tmp_path / "x", "/runs/x", storage="objects").road is Road.PARTS
        assert store.content("runs/x") == b"x"
        path = str(place.home / "y")
        assert lent.files.put(tmp_path / "x", path, storage="cluster").road is Road.HTTPS
        assert lent.files.stat(path, storage=place.collection).size == 1
        (told,) = lent.storage.access_endpoints("objects")
        assert (told.protocol, told.details["bucket"]) == ("s3", BUCKET)
        with pytest.raises(UsageError, match="has no resource 'elsewhere'"):
            lent.files.put(tmp_path / "x", path, storage="elsewhere")
        with pytest.raises(UsageError, match="has no resource 'elsewhere'"):
            lent.files.ls(str(place.home), storage="elsewhere")
        with pytest.raises(NotOffered, match="none that the Globus collection shows"):
            lent.files.ls(str(place.home), storage="objects")


def test_trees_go_there_and_come_back_over_the_lent_collection(
    lent: Facility, bare: LocalFacility, tmp_path: Path
) -> None:
    (tmp_path / "t" / "sub").mkdir(parents=True)
    (tmp_path / "t" / "sub" / "a b").write_bytes(b"x" * 6_000_000)
    (tmp_path / "t" / "empty").write_bytes(b"")
    assert lent.files.put(tmp_path / "t", str(bare.home / "t")).road is Road.HTTPS
    assert (bare.home / "t" / "sub" / "a b").read_bytes() == b"x" * 6_000_000
    lent.files.get(str(bare.home / "t"), tmp_path / "back")
    assert (tmp_path / "back" / "sub" / "a b").read_bytes() == b"x" * 6_000_000
    assert (tmp_path / "back" / "empty").read_bytes() == b""
