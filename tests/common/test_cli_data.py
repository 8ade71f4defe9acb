"""What the data commands read from their words, and how they show progress; pure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iri_common import UsageError
from iri_common.cli.options import DoorWords
from iri_common.cli.progress import ProgressShow, part_of, words_of
from iri_common.cli.speak import Screen
from iri_common.cli.where import where_of
from iri_common.model.transfer import Progress, Road

MIB = 2**20


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def going(done: float, total: int | None = 100 * MIB, **others) -> Progress:
    return Progress("a -> b", Road.DIRECT, int(done * MIB), total, **others)


# --------------------------------------------------------------------------------------------- places


@pytest.fixture
def nersc(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NERSC", "OLCF"):
        monkeypatch.setenv(f"IRI_FACILITY_{name}_URL", f"https://{name.lower()}.example/api/v2")


@pytest.mark.parametrize(
    ("given", "facility", "meant"),
    [
        ("iri://nersc/scratch/a/b", None, ("nersc", "scratch", "/a/b")),
        ("iri://nersc//a/b/", None, ("nersc", None, "/a/b")),
        ("iri://nersc//a//./b", "nersc", ("nersc", None, "/a/b")),
        ("iri://nersc/scratch/", None, ("nersc", "scratch", "/")),
        ("iri://nersc//100%41/a b", None, ("nersc", None, "/100%41/a b")),
        ("/a/b", "olcf", ("olcf", None, "/a/b")),
        ("//a", "olcf", ("olcf", None, "/a")),
    ],
)
def test_a_place_is_what_was_typed(nersc: None, given: str, facility: str | None, meant: tuple) -> None:
    where = where_of(DoorWords(facility=facility), given)
    assert where.facility is not None
    assert (where.facility.name, where.words["storage"], where.path) == meant


@pytest.mark.parametrize(
    ("given", "door", "why"),
    [
        ("a/b", DoorWords(facility="nersc"), "no place at a facility"),
        ("globus://0a1b/x/..", DoorWords(), "without '..'"),
        ("globus://0a1b", DoorWords(), "write globus://"),
        ("globus://0a1b/x", DoorWords(facility="nersc"), "is at no facility"),
        ("file:///x", DoorWords(facility="nersc"), "no place at a facility"),
        ("/x", DoorWords(), "which facility"),
        ("iri://nersc", DoorWords(), "write iri://"),
        ("iri://nersc/scratch", DoorWords(), "write iri://"),
        ("iri://nowhere//x", DoorWords(), "no profile 'nowhere'"),
        ("iri://nersc//a/../b", DoorWords(), "without '..'"),
        ("iri://nersc//x", DoorWords(facility="olcf"), "names its facility"),
        ("iri://nersc//x", DoorWords(url="https://h/api/v2"), "names its facility"),
    ],
)
def test_a_place_that_is_not_clear_is_refused(nersc: None, given: str, door: DoorWords, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        where_of(door, given)


# ------------------------------------------------------------------------------------------- progress


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (going(0), "0 %, 0 bytes of 100 MiB, 0 files"),
        (
            going(50, files_total=1, rate=5 * MIB, seconds_left=10),
            "50 %, 50 MiB of 100 MiB, 5 MiB/s, 10s left",
        ),
        (going(1, None, files_done=3), "1 MiB, 3 files"),
        (going(0, 0, files_done=1, files_total=4), "25 %, 0 bytes of 0 bytes, 1 of 4 files"),
        (going(101, files_done=2, files_total=2), "100 %, 101 MiB of 100 MiB, 2 of 2 files"),
    ],
)
def test_progress_in_words(progress: Progress, words: str) -> None:
    assert words_of(progress) == words


def test_nobody_says_a_part_of_nothing() -> None:
    assert part_of(going(5, None)) is None
    assert part_of(going(0, 0)) is None


def test_a_log_gets_a_line_every_ten_seconds_or_ten_percent(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with ProgressShow(Screen(), clock=clock) as show:
        for done in range(100):
            clock.now += 0.1
            show(going(done))
        for _ in range(25):
            clock.now += 1
            show(going(99))
        show(going(100, finished=True))
    out, err = capsys.readouterr()
    parts = [line.partition(": ")[2].partition(",")[0] for line in err.splitlines()]
    assert parts == [f"{part} %" for part in (10, 20, 30, 40, 50, 60, 70, 80, 90, 99, 99)]
    assert out == ""


def test_the_next_transfer_begins_at_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressShow(Screen(), clock=Clock()) as show:
        for _ in range(2):
            show(going(60))
            show(going(100, finished=True))
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_program_reads_documents(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressShow(Screen(as_json=True), clock=Clock()) as show:
        show(going(20, current="a\nb"))
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert (
        json.loads(line)["progress"].items()
        >= {"bytes_done": 20 * MIB, "road": "direct", "current": "a\nb"}.items()
    )
    assert out == ""


def test_the_quiet_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressShow(Screen(as_json=True), quiet=True, clock=Clock()) as show:
        show(going(20))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("width", [20, 44, 80, 120, 300])
def test_a_bar_is_one_line_at_any_width(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in {"COLUMNS": str(width), "FORCE_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    words = {"files_done": 7, "files_total": 1234, "rate": 85.3 * MIB, "seconds_left": 3700.0}
    with ProgressShow(Screen()) as show:
        for done in (10, 60):
            show(going(done, current=f"runs/{'long/' * 80}in\x1b[2Jner\n.h5", **words))
        shown = capsys.readouterr().err
    assert "\x1b[2J" not in shown
    assert "60 %" in shown
    assert "\n" not in shown.rstrip("\n")
    assert ("85.3 MiB/s, 1h 01m left" in shown) == (width >= 80)
    assert (".h5" in shown) == (width >= 120)
