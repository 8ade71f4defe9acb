"""Files at the FirecREST face as they are on the wire: what commands say, and what goes wrong by itself."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from firecrest_kit import SYSTEM, Plain, error, plain

from iri_local_facility import LocalFacility

LIMIT = 12_000


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(size_limit=LIMIT, kill_grace=0.2) as running:
        yield running


@pytest.fixture
def raw(place: LocalFacility) -> Iterator[Plain]:
    yield from plain(place)


@pytest.fixture
def top(place: LocalFacility, request: pytest.FixtureRequest) -> Path:
    folder = place.home / request.node.name.partition("[")[0]
    folder.mkdir(exist_ok=True)
    return folder


# ---------------------------------------------------------------------------------------- listings


def test_names_are_as_ls_prints_them(raw: Plain, top: Path) -> None:
    (top / "uml-ä.txt").write_text("x")
    (top / "two\nlines").write_text("x")
    (top / ".hidden").write_text("x")
    (top / "sub").mkdir()
    (top / "sub" / "deep").write_text("abc")
    (top / "link").symlink_to(top / "uml-ä.txt")

    def names(**query: Any) -> set[str]:
        rows = raw.ops("GET", "ls", path=str(top), **query).json()["output"]
        return {row["name"] for row in rows}

    assert names() == {r"uml-\303\244.txt", r"two\nlines", "sub", "link"}
    assert ".hidden" in names(showHidden="true")
    assert "sub/deep" in names(recursive="true")
    rows = raw.ops("GET", "ls", path=f"{top}/sub/deep").json()["output"]
    assert [(row["name"], row["type"], row["size"]) for row in rows] == [(f"{top}/sub/deep", "-", "3")]
    assert len(rows[0]["lastModified"]) == len("2026-11-22T15:11:46")
    (link,) = (row for row in raw.ops("GET", "ls", path=str(top)).json()["output"] if row["type"] == "l")
    assert link["linkTarget"] == rf"{top}/uml-\303\244.txt"


def test_a_list_can_be_too_long(raw: Plain, top: Path) -> None:
    for number in range(LIMIT // 100):
        (top / f"{number:040}").touch()
    assert error(raw.ops("GET", "ls", path=str(top)), 413) == "Command output exceeded buffer limit."


def test_a_missing_file_is_404_but_for_the_one_command(raw: Plain, top: Path) -> None:
    for operation in ("ls", "stat", "checksum", "head", "tail", "view", "download"):
        message = error(raw.ops("GET", operation, path=f"{top}/nothing", size=1), 404)
        assert "No such file or directory" in message
    said = raw.ops("GET", "file", path=f"{top}/nothing")
    assert (said.status_code, said.json()["output"].partition(" `")[0]) == (200, "cannot open")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("relative", 400, "is not an absolute path"),
        ("/etc/passwd", 400, "does not match any of the defined filesystem paths"),
        ("{root}/home/bob/x", 403, "Permission denied"),
        ("{root}/home/alice/it's", 500, "unexpected EOF while looking for matching"),
    ],
)
def test_paths_are_checked(raw: Plain, place: LocalFacility, path: str, status: int, words: str) -> None:
    assert words in error(raw.ops("GET", "ls", path=path.format(root=place.root)), status)


def test_changes_answer_with_a_line_of_ls(raw: Plain, top: Path) -> None:
    made = raw.ops("POST", "mkdir", {"sourcePath": f"{top}/a/b", "parent": "true"})
    assert (made.status_code, made.json()["output"]["name"]) == (201, f"{top}/a/b")
    assert "File exists" in error(raw.ops("POST", "mkdir", {"path": f"{top}/a"}), 400)
    linked = raw.ops("POST", "symlink", {"source_path": f"{top}/a", "link_path": f"{top}/to"})
    assert (linked.status_code, linked.json()["output"]["linkTarget"]) == (201, f"{top}/a")
    changed = raw.ops("PUT", "chmod", {"path": f"{top}/a", "mode": "700"})
    assert changed.json()["output"]["permissions"] == "rwx------"
    assert "Operation not permitted" in error(
        raw.ops("PUT", "chown", {"path": f"{top}/a", "owner": "x"}), 403
    )
    assert raw.ops("DELETE", "rm", path=f"{top}/a").status_code == 204
    assert "retreive" in error(raw.ops("POST", "mkdir", {"parent": True}), 400)


def test_a_checksum_needs_a_path_of_one_word(raw: Plain, top: Path) -> None:
    (top / "plain").write_bytes(b"abc")
    (top / "two words").write_bytes(b"abc")
    found = raw.ops("GET", "checksum", path=f"{top}/plain").json()["output"]
    assert found == {"algorithm": "SHA256", "checksum": hashlib.sha256(b"abc").hexdigest()}
    assert "Invalid output" in error(raw.ops("GET", "checksum", path=f"{top}/two words"), 500)


# ------------------------------------------------------------------------------------------- bytes


def test_uploads_have_a_limit_and_downloads_a_lower_one(raw: Plain, top: Path) -> None:
    assert raw.upload(top, "most", b"x" * LIMIT).status_code == 204
    assert error(raw.upload(top, "more", b"x" * (LIMIT + 1)), 413)
    most = LIMIT * 3 // 4
    (top / "edge").write_bytes(b"x" * most)
    assert (
        error(raw.ops("GET", "download", path=f"{top}/edge"), 413) == "Command output exceeded buffer limit."
    )
    # In base64 three bytes are four, and so are two or one.
    (top / "edge").write_bytes(b"x" * (most - 3))
    got = raw.ops("GET", "download", path=f"{top}/edge")
    assert (got.status_code, len(got.content)) == (200, most - 3)


def test_an_empty_upload_times_out_and_is_there(raw: Plain, top: Path) -> None:
    assert error(raw.upload(top, "empty", b""), 408) == "Command execution timeout limit exceeded."
    assert (top / "empty").stat().st_size == 0
    assert raw.ops("GET", "download", path=f"{top}/empty").content == b""
    assert error(raw.upload(top / "nowhere", "empty", b""), 404)


@pytest.mark.parametrize(
    ("operation", "query", "content", "start", "end"),
    [
        ("head", {}, "".join(f"{n}\n" for n in range(10)), 0, 10),
        ("head", {"lines": 2}, "0\n1\n", 0, 2),
        ("head", {"lines": 18, "skipTrailing": True}, "0\n1\n", 0, -18),
        ("head", {"bytes": 3}, "0\n1", 0, 3),
        ("tail", {}, "".join(f"{n}\n" for n in range(10, 20)), 10, -1),
        ("tail", {"lines": 1}, "19\n", -1, -1),
        ("tail", {"lines": 20, "skipHeading": True}, "19\n", 20, -1),
        ("tail", {"bytes": 3}, "19\n", -3, -1),
        ("tail", {"bytes": 48, "skipHeading": True}, "19\n", 48, -1),
        ("tail", {"bytes": 1, "skipHeading": True}, "".join(f"{n}\n" for n in range(20)), 1, -1),
    ],
)
def test_pieces(
    raw: Plain, top: Path, operation: str, query: dict, content: str, start: int, end: int
) -> None:
    (top / "log").write_text("".join(f"{n}\n" for n in range(20)))
    shown = raw.ops("GET", operation, path=f"{top}/log", **query).json()["output"]
    kind = "bytes" if "bytes" in query else "lines"
    assert shown == {"content": content, "contentType": kind, "startPosition": start, "endPosition": end}


def test_pieces_are_counted_in_one_unit_and_are_small(raw: Plain, top: Path) -> None:
    (top / "long").write_bytes(b"x" * LIMIT)
    assert error(raw.ops("GET", "tail", path=f"{top}/long", bytes=1, lines=1), 400)
    assert error(raw.ops("GET", "tail", path=f"{top}/long"), 413)
    assert (
        len(raw.ops("GET", "tail", path=f"{top}/long", bytes=LIMIT - 1).json()["output"]["content"])
        == LIMIT - 1
    )


def test_a_view_reads_bytes_and_cuts_characters(raw: Plain, top: Path) -> None:
    (top / "text").write_text("äöü0123456789")
    shown = raw.ops("GET", "view", path=f"{top}/text", size=6, offset=8).json()["output"]
    assert shown == "234567"  # and not 012345
    (top / "large").write_bytes(b"x" * LIMIT)
    assert error(raw.ops("GET", "view", path=f"{top}/large", size=LIMIT // 2), 413)
    assert raw.ops("GET", "view", path=f"{top}/large", size=LIMIT // 2 - 1).status_code == 200
    assert error(raw.ops("GET", "view", path=f"{top}/large", size=LIMIT + 1), 400)
    assert error(raw.ops("GET", "view", path=f"{top}/large", size=0), 400)
    assert error(raw.ops("GET", "view", path=f"{top}/large", size=1, offset=-1), 400)


def test_archives(raw: Plain, top: Path) -> None:
    (top / "data").mkdir()
    for name in ("a.txt", "a.txt.old", "b.csv"):
        (top / "data" / name).write_text(name)
    body = {"sourcePath": f"{top}/data", "targetPath": f"{top}/all.tar", "compression": "none"}
    assert raw.ops("POST", "compress", body).status_code == 204
    with tarfile.open(top / "all.tar", "r:") as archive:
        assert "data/b.csv" in archive.getnames()
    body = {**body, "targetPath": f"{top}/some.tgz", "matchPattern": r".*/data/.*\.txt"}
    assert raw.ops("POST", "compress", body).status_code == 204
    with tarfile.open(top / "some.tgz", "r:gz") as archive:  # whatever was asked for
        assert archive.getnames() == ["./data/a.txt"]
    into = {"sourcePath": f"{top}/all.tar", "targetPath": f"{top}/out", "compression": "none"}
    assert error(raw.ops("POST", "extract", into), 404)
    (top / "out").mkdir()
    assert raw.ops("POST", "extract", into).status_code == 204
    assert (top / "out" / "data" / "a.txt").read_text() == "a.txt"
    (top / "broken").write_bytes(b"none")
    assert error(raw.ops("POST", "extract", {**into, "path": f"{top}/broken", "sourcePath": None}), 500)


def test_no_space_is_left(raw: Plain, place: LocalFacility, top: Path) -> None:
    place.order("no_space", times=1)
    assert "No space left on device" in error(raw.upload(top, "x", b"x"), 500)


# --------------------------------------------------------------------------------------- transfers


def finished(raw: Plain, answer: Any) -> tuple[str, str, str]:
    """State of a transfer's job, and its two logs."""
    assert answer.status_code == 201, answer.text
    job = answer.json()["transferJob"]
    state = raw.wait(job["jobId"])["status"]["state"]
    return state, *(Path(job["logs"][name]).read_text() for name in ("outputLog", "errorLog"))


def test_jobs_of_transfers_fail_in_their_logs(raw: Plain, top: Path) -> None:
    (top / "a").write_text("a")
    state, out, _ = finished(raw, raw.transfer("cp", {"path": f"{top}/a", "targetPath": f"{top}/b"}))
    assert (state, (top / "b").read_text()) == ("COMPLETED", "a")
    assert "Files were successfully copied." in out
    state, out, err = finished(raw, raw.transfer("cp", {"path": f"{top}/none", "targetPath": f"{top}/c"}))
    assert state == "COMPLETED"
    assert "successfully" not in out
    assert "Unable to copy files" in err


def test_every_command_has_its_job(raw: Plain, top: Path) -> None:
    (top / "data").mkdir()
    (top / "data" / "a").write_text("a")
    (top / "out").mkdir()
    archive, moved = f"{top}/x.tgz", f"{top}/moved"
    for operation, body, word in (
        ("compress", {"path": f"{top}/data", "targetPath": archive}, "compressed"),
        ("extract", {"path": archive, "targetPath": f"{top}/out"}, "extracted"),
        ("mv", {"path": f"{top}/data", "targetPath": moved}, "moved"),
        ("compress", {"path": moved, "targetPath": archive, "matchPattern": ".*/a"}, "compressed"),
    ):
        state, out, err = finished(raw, raw.transfer(operation, body))
        assert (state, f"Files were successfully {word}." in out) == ("COMPLETED", True), err
    assert (top / "out" / "data" / "a").read_text() == "a"
    answer = raw.http.delete(f"/filesystem/{SYSTEM}/transfer/rm", params={"path": moved})
    assert answer.status_code == 200
    raw.wait(answer.json()["transferJob"]["jobId"])
    assert not Path(moved).exists()


def test_paths_in_jobs_are_written_as_for_web_pages(raw: Plain, top: Path) -> None:
    (top / "a&b").write_text("a")
    _, out, err = finished(raw, raw.transfer("mv", {"path": f"{top}/a&b", "targetPath": f"{top}/c"}))
    assert "successfully" not in out
    assert "a&amp;b" in err


def test_a_path_that_others_own_fails_in_the_job_only(raw: Plain, place: LocalFacility, top: Path) -> None:
    """Of the two paths only the source is looked at."""
    (top / "a").write_text("a")
    assert raw.transfer("cp", {"path": f"{top}/a", "targetPath": "/nowhere/a"}).status_code == 201
    assert error(raw.transfer("cp", {"path": "/nowhere/a", "targetPath": f"{top}/a"}), 400)


def test_without_a_store_nothing_can_pass_through_it(raw: Plain, top: Path) -> None:
    assert raw.http.get("/status/systems").json()["systems"][0]["dataOperation"]["data_transfer"] is None
    body = {"path": f"{top}/x", "transferDirectives": {"transferMethod": "s3", "fileSize": 1}}
    assert "NoneType" in error(raw.transfer("upload", body), 500)


def test_what_a_site_may_want_and_lack() -> None:
    with LocalFacility(without=["chmod"], firecrest_account=True) as own:
        client = Plain(own)
        system = client.http.get("/status/systems").json()["systems"][0]
        wanted = system["dataOperation"]["datatransfer_jobs_directives"]
        assert wanted == ["#SBATCH --account={account}"]
        body = {"path": f"{own.home}/a", "targetPath": f"{own.home}/b"}
        assert "Account parameter is required" in error(client.transfer("mv", body), 400)
        job = client.transfer("mv", {**body, "account": "beamline"}).json()["transferJob"]["jobId"]
        assert client.job(job)["account"] == "beamline"
        assert error(client.ops("PUT", "chmod", {"path": str(own.home), "mode": "700"}), 501)
