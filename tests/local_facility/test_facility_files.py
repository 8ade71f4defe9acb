from __future__ import annotations

import base64
import hashlib
import tarfile
from pathlib import Path

import pytest

from iri_local_facility import LocalFacility


@pytest.fixture
def work(facility: LocalFacility, request: pytest.FixtureRequest) -> Path:
    path = facility.scratch / request.node.name.replace("/", "_")
    path.mkdir()
    return path


def test_round_trip_of_bytes(alice, work: Path) -> None:
    content = bytes(range(256)) * 20
    path = str(work / "a +%&é.bin")
    assert alice.task(alice.upload(path, content))["status"] == "completed"
    assert base64.b64decode(alice.output("download", path=path)) == content
    digest = hashlib.sha256(content).hexdigest()
    assert alice.output("checksum", path=path) == {"algorithm": "SHA-256", "checksum": digest}
    assert alice.task(alice.upload(path, b""))["status"] == "completed"
    assert alice.output("download", path=path) == ""


def test_limits(alice, work: Path) -> None:
    assert alice.upload(str(work / "big"), b"x" * 100_001).status_code == 413
    assert not list(work.iterdir())
    (work / "big").write_bytes(b"x" * 100_001)
    assert "limit" in alice.fs("download", path=str(work / "big"))["result"]["output"]
    assert "limit" in alice.fs("tail", path=str(work / "big"), lines=1)["result"]["output"]
    url = f"/filesystem/view/{alice.scratch}"
    assert alice.http.post(url, json={"path": "x", "size": 100_001}).status_code == 400
    assert alice.http.post(url, json={"path": "x", "size": 0}).status_code == 400


@pytest.mark.parametrize(
    ("operation", "options", "content"),
    [
        ("head", {"lines": 2}, "1\n2\n"),
        ("head", {"lines": 9}, "1\n2\n3\n"),
        ("head", {"bytes": 3}, "1\n2"),
        ("head", {"lines": 1, "skipTrailing": True}, "1\n2\n"),
        ("head", {"lines": -2}, "1\n"),
        ("head", {"bytes": 2, "skip_trailing": True}, "1\n2\n"),
        ("tail", {"lines": 1}, "3\n"),
        ("tail", {"bytes": 4}, "2\n3\n"),
        ("tail", {"lines": 1, "skipHeading": True}, "2\n3\n"),
        ("tail", {"bytes": 2, "skipHeading": True}, "2\n3\n"),
        ("tail", {"lines": 10**30}, "1\n2\n3\n"),
        ("view", {"size": 2, "offset": 2}, "2\n"),
        ("view", {"size": 9, "offset": 99}, ""),
        ("view", {}, ""),
    ],
)
def test_excerpts(alice, facility: LocalFacility, operation: str, options: dict, content: str) -> None:
    (facility.home / "three").write_text("1\n2\n3\n")
    assert alice.output(operation, path="three", **options)["content"] == content


@pytest.mark.parametrize("body", [{}, {"bytes": 1, "lines": 1}, {"bytes": None, "lines": None}])
@pytest.mark.parametrize("operation", ["head", "tail"])
def test_bytes_or_lines(alice, operation: str, body: dict) -> None:
    answer = alice.http.post(f"/filesystem/{operation}/{alice.scratch}", json={"path": "x", **body})
    assert answer.status_code == 400


def test_ls(alice, work: Path) -> None:
    (work / "d").mkdir()
    (work / "d" / "inner").write_text("12")
    (work / ".hidden").touch()
    (work / "escape").symlink_to("/etc")

    def names(**options) -> list[str]:
        return [entry["name"] for entry in alice.output("ls", path=str(work), **options)]

    assert names() == ["d", "escape"]
    assert names(showHidden=True) == [".hidden", "d", "escape"]
    assert names(recursive=True) == ["d", "d/inner", "escape"]
    entry = alice.output("ls", path=str(work / "d" / "inner"), numericUid=True)[0]
    assert (entry["type"], entry["size"], entry["name"]) == ("file", "2", "inner")
    assert entry["user"].isdigit()
    link = alice.output("ls", path=str(work), dereference=True)[1]
    assert (link["type"], link["link_target"]) == ("symlink", "/etc")  # not followed out of the user's areas


def test_changes(alice, work: Path) -> None:
    def at(*names: str) -> str:
        return str(work.joinpath(*names))

    assert alice.fs("mkdir", path=at("a", "b"))["status"] == "failed"
    assert alice.output("mkdir", source_path=at("a", "b"), parent=True)["type"] == "directory"
    assert alice.fs("mkdir", path=at("a"))["status"] == "failed"
    alice.task(alice.upload(at("a", "f"), b"data"))
    assert alice.output("chmod", path=at("a", "f"), mode="600")["permissions"] == "rw-------"
    for mode in ("4755", "0o755", "9", ""):
        assert alice.fs("chmod", path=at("a", "f"), mode=mode)["status"] == "failed"
    assert alice.fs("chown", path=at("a", "f"), owner="somebody-else")["status"] == "failed"
    assert alice.output("chown", path=at("a", "f"), owner="alice")["name"] == "f"
    assert alice.output("symlink", path=at("a", "f"), link_path=at("l"))["link_target"] == at("a", "f")
    assert alice.output("stat", path=at("l"))["size"] != 4
    assert alice.output("stat", path=at("l"), dereference=True)["size"] == 4
    alice.output("cp", path=at("a"), target_path=at("copy"))
    assert alice.fs("cp", path=at("a"), target_path=at("a", "b", "c"))["status"] == "failed"
    alice.output("mv", path=at("copy"), target_path=at("moved"))
    alice.output("rm", path=at("l"))
    assert sorted(p.name for p in work.iterdir()) == ["a", "moved"]
    assert (work / "a" / "f").read_text() == "data"
    assert alice.fs("rm", path=at("nothing"))["status"] == "failed"
    assert "empty" in alice.output("file", path=at("e")) if (work / "e").touch() else True


def test_archives(alice, work: Path) -> None:
    (work / "src").mkdir()
    for name in ("x.h5", "y.h5", "z.txt"):
        (work / "src" / name).write_text(name)
    urn = "urn:doe-iri:compression:"
    for kind in ("none", "gzip", "bzip2", "xz"):
        archive, out = str(work / f"a.{kind}"), str(work / f"out-{kind}")
        body = {"match_pattern": r"\.h5$", "compression": urn + kind}
        alice.output("compress", path=str(work / "src"), target_path=archive, **body)
        alice.output("extract", path=archive, target_path=out, compression=urn + kind)
        assert sorted(p.name for p in Path(out, "src").iterdir()) == ["x.h5", "y.h5"]
    odd = alice.fs("extract", path=archive, target_path=out, compression=urn + "zip")
    assert "unknown compression" in odd["result"]["output"]
    assert alice.fs("extract", path=archive, target_path=out)["status"] == "failed"  # xz is no gzip
    bad = {"path": archive, "target_path": str(work / "x"), "compression": "gzip"}
    assert alice.http.post(f"/filesystem/compress/{alice.scratch}", json=bad).status_code == 400


def test_archives_do_not_write_outside(alice, work: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    with tarfile.open(work / "evil.tgz", "w:gz") as archive:
        for name, target in (
            ("../evil", None),
            (str(victim), None),
            ("out", str(tmp_path)),
            ("out/victim", None),
        ):
            member = tarfile.TarInfo(name)
            if target:
                member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    body = {"path": str(work / "evil.tgz"), "target_path": str(work / "t")}
    assert alice.fs("extract", **body)["status"] == "failed"
    assert not victim.exists()
    assert not (work / "evil").exists()


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("ls", {"path": "/"}),
        ("ls", {"path": "escape"}),
        ("download", {"path": "escape/passwd"}),
        ("head", {"path": "../bob/x", "lines": 1}),
        ("rm", {"path": "."}),
        ("rm", {"path": "../../.facility"}),
        ("chmod", {"path": "../alice", "mode": "000"}),
        ("mv", {"path": "three", "target_path": "/tmp/three"}),
        ("cp", {"path": "/etc/passwd", "target_path": "p"}),
        ("cp", {"path": "tree", "target_path": "p", "dereference": True}),
        ("compress", {"path": "tree", "target_path": "p.tgz", "dereference": True}),
        ("symlink", {"path": "/etc", "link_path": "etc"}),
        ("mkdir", {"path": "/tmp/x"}),
        ("stat", {"path": "/etc/passwd"}),
    ],
)
def test_what_is_not_the_users_is_refused(alice, facility: LocalFacility, operation: str, body: dict) -> None:
    tree = facility.home / "tree"
    tree.mkdir(exist_ok=True)
    (facility.home / "three").touch()
    for link in (facility.home / "escape", tree / "escape"):
        if not link.is_symlink():
            link.symlink_to("/etc")
    task = alice.fs(operation, **body)
    assert task["status"] == "failed"
    assert task["result"]["output"].startswith("Error: ")
    assert "ermi" in task["result"]["output"]


def test_tasks(alice, bob) -> None:
    submitted = alice.http.post(f"/filesystem/mkdir/{alice.scratch}", json={})
    assert submitted.status_code == 201  # without a path it is the task that fails
    task = alice.task(submitted)
    assert (task["status"], task["command"]["command"]) == ("failed", "mkdir")
    url = f"/task/{task['id']}"
    assert bob.http.get(url).status_code == 404
    assert task["id"] in [entry["id"] for entry in alice.http.get("/task").json()]
    assert alice.http.delete(url).json() == f"Task {task['id']} deleted successfully"
    assert [alice.http.get(url).status_code, alice.http.delete(url).status_code] == [404, 404]
    for answer in (
        alice.http.post("/filesystem/ls/nope", json={"path": "."}),
        alice.http.post(f"/filesystem/upload/{alice.scratch}", files={"file": b""}),
    ):
        assert answer.status_code in (404, 400)
