"""What ``iri doctor`` makes of what it is told; and how the command behaves before any facility is asked."""

from __future__ import annotations

import base64
import itertools
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from iri_common import Availability, Incident, Resource
from iri_common.cli import checks
from iri_common.cli.checks import Mark
from iri_common.cli.exits import Exit
from iri_common.cli.options import DoorWords
from iri_common.cli.speak import elapsed, size
from iri_common.cli.spread import spread
from iri_common.facility.settings import FacilitySettings
from iri_common.model.credential import Renewal, SourceFacts
from iri_common.model.facility import ApiClient
from iri_common.model.grades import Grades
from iri_common.model.ports import Token, WireReply

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def reply(status: int = 200, body: bytes = b'{"name": "NERSC"}', **headers: str) -> WireReply:
    return WireReply(status, headers, body)


def jwt(**claims: object) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJh.{middle}.sig"


# ------------------------------------------------------------------------------------------- findings


@pytest.mark.parametrize(
    ("answer", "mark", "exit_code", "words"),
    [
        (reply(), Mark.OK, 0, "is NERSC, API 2.0.0; answers in 12 ms"),
        (reply(404, b"{}"), Mark.FAIL, 10, "HTTP 404 to GET /facility"),
        (reply(502, b"<html>"), Mark.FAIL, 12, "HTTP 502"),
        (reply(200, b"<html>"), Mark.FAIL, 1, "not as the IRI Facility API does"),
        (reply(200, b"[]"), Mark.FAIL, 1, "not as the IRI Facility API does"),
        (reply(200, b"{}"), Mark.OK, 0, "is a facility"),
    ],
)
def test_what_is_behind_a_url(answer: WireReply, mark: Mark, exit_code: int, words: str) -> None:
    document = reply(body=b'{"info": {"version": "2.0.0"}}')
    found = checks.reached(FacilitySettings("https://host/api/v2"), answer, 0.012, document)
    assert (found.mark, int(found.exit)) == (mark, exit_code)
    assert words in found.says


@pytest.mark.parametrize(
    ("apart", "mark", "words"),
    [
        (0, Mark.OK, "no more than 1 s"),
        (-29, Mark.OK, "no more than 29 s"),
        (31, Mark.WARN, "31s ahead of"),
        (-7200, Mark.WARN, "2h 00m behind"),
    ],
)
def test_clocks_that_are_apart(apart: int, mark: Mark, words: str) -> None:
    there = format_datetime(NOW, usegmt=True)
    found = checks.clock(reply(date=there), NOW.timestamp() + apart)
    assert found is not None
    assert found.mark is mark
    assert words in found.says


@pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}])
def test_a_facility_that_does_not_tell_the_time(headers: dict[str, str]) -> None:
    assert checks.clock(reply(**headers), 0.0) is None


def test_how_long_a_token_lasts() -> None:
    now = NOW.timestamp()
    by_itself = SourceFacts("the source x", Renewal.ITSELF, "mend x")
    by_a_person = SourceFacts("the source x", Renewal.REPLACED, "mend x")
    table = (
        (Token("opaque"), by_itself, Mark.OK, "when it expires is not told"),
        (Token("opaque", now + 60), by_itself, Mark.OK, "in 1m 00s, and is renewed by itself"),
        (Token("opaque", now + 60), by_a_person, Mark.WARN, "expires 2026-11-22 12:01 UTC, in 1m 00s"),
        (Token(jwt(exp=now + 7200), now + 7200), by_a_person, Mark.OK, "22 14:00 UTC, in 2h 00m"),
        (Token(jwt(exp=now + 7200)), by_a_person, Mark.OK, "expires 2026-11-22 14:00 UTC, in 2h 00m"),
        (Token(jwt(exp=now + 60)), by_a_person, Mark.WARN, "in 1m 00s"),
        (Token(jwt(exp="never")), by_a_person, Mark.OK, "not told"),
        (Token(jwt()), by_a_person, Mark.OK, "not told"),
        (Token("a.%%%.c"), by_a_person, Mark.OK, "not told"),
        (Token("a.bnVsbA.c"), by_a_person, Mark.OK, "not told"),
    )
    for token, facts, mark, words in table:
        found = checks.token(token, facts, "alice", now)
        assert (found.mark, words in found.says) == (mark, True), found
        assert "the source x is accepted, speaks for alice" in found.says
        assert ("renewed by itself" in found.says) == (facts is by_itself and token.expires_at is not None)
        assert found.remedy == ("mend x" if mark is Mark.WARN else "")
        assert token.value not in found.says


def test_resources_and_what_is_announced() -> None:
    machine = Resource("1", "perlmutter", status=Availability.UP, endpoints=frozenset({"compute"}))
    other = Resource("2", "archive", status=Availability.DOWN, endpoints=frozenset({"filesystem"}))
    website = Resource("3", "docs", status=Availability.DOWN, endpoints=frozenset({"website"}))
    down = Resource("1", "perlmutter", status=Availability.DOWN, endpoints=frozenset({"compute"}))

    def incident(start: int, end: int | None, resolution: str = "pending") -> Incident:
        until = None if end is None else NOW + timedelta(hours=end)
        return Incident(
            "i", "Patch day", Availability.DOWN, "planned", resolution,
            NOW + timedelta(hours=start), until, resource_ids=("1",),
        )  # fmt: skip

    incidents = [incident(2, 4), incident(-2, None), incident(-9, -1), incident(-2, 4, "completed")]
    found = list(checks.resources([machine, other, website], incidents, machine, NOW))
    assert [(each.topic, each.mark) for each in found] == [
        ("resource", Mark.OK),
        ("resource", Mark.WARN),
        ("incident", Mark.WARN),
        ("incident", Mark.WARN),
    ]
    assert found[0].says == "perlmutter is up (jobs go here), takes jobs"
    assert (
        found[2].says == "down from 2026-11-22 14:00 UTC until 2026-11-22 16:00 UTC: Patch day (perlmutter)"
    )
    assert found[3].says == "down now: Patch day (perlmutter)"
    (mine,) = checks.resources([down], [], down, NOW)
    assert (mine.mark, int(mine.exit)) == (Mark.FAIL, 12)
    assert "--resource" in mine.remedy


def test_every_grade_is_said_in_words() -> None:
    hints = get_type_hints(Grades)
    names = ("settle", "guard", "journal", "files", "logs")
    for values in itertools.product(*(get_args(hints[name]) for name in names)):
        found = list(checks.grades(Grades(**dict(zip(names, values, strict=True)))))
        assert len(found) == len(names)
        assert all(each.says for each in found)
        weak = sum(value in {"none", "no"} for value in values)
        assert sum(each.mark is Mark.WARN for each in found) == weak
    assert "up to 5 MiB each" in list(checks.grades(Grades(files="direct", upload_limit=5 * 2**20)))[-1].says


def test_a_ledger_that_cannot_be_written(tmp_path: Path) -> None:
    assert checks.ledger(tmp_path / "new").mark is Mark.OK
    (tmp_path / "file").write_text("")
    found = checks.ledger(tmp_path / "file")
    assert (found.mark, int(found.exit)) == (Mark.FAIL, 1)
    assert "XDG_STATE_HOME" in found.remedy


# ----------------------------------------------------------------------------------------- small words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m 00s"),
        (3599, "59m 59s"),
        (3600, "1h 00m"),
        (90000, "1d 01h"),
        (-1, "0s"),
    ],
)
def test_a_time_for_people(seconds: float, words: str) -> None:
    assert elapsed(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (12, "12 bytes"),
        (1, "1 byte"),
        (3.44, "3 bytes"),
        (1536, "1.5 KiB"),
        (5 * 2**20, "5 MiB"),
        (3.5 * 2**40, "3.5 TiB"),
        (2**60, "1.049e+06 TiB"),
    ],
)
def test_a_size_for_people(count: float, words: str) -> None:
    assert size(count) == words


def test_a_command_takes_its_groups_whole() -> None:
    @spread
    def command(door: DoorWords, word: str, more: int = 3) -> tuple[DoorWords, str, int]:
        return door, word, more

    words = {
        "facility": "f",
        "url": None,
        "dialect": None,
        "token_env": None,
        "token_file": None,
        "json": True,
    }
    assert command(**words, word="x", more=4) == (DoorWords("f", json=True), "x", 4)


# --------------------------------------------------------------------------- before anything is asked for


def python(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_it_says_what_to_install(missing: str) -> None:
    done = python(
        f"import sys; sys.modules[{missing!r}] = None\nfrom iri_common.cli.entry import main\nmain()"
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "the iri command needs two more packages; install them with: pip install 'iri-common[cli]'"
    ]


def test_help_loads_nothing_of_what_the_commands_do() -> None:
    heavy = ["httpx", "iri_common.model.spec", "iri_common.facility.facility"]
    done = python(
        "import sys; sys.argv = ['iri', 'run', '--help']\n"
        "from iri_common.cli.entry import main\n"
        "try: main()\n"
        f"except SystemExit: print([name for name in {heavy} if name in sys.modules])"
    )
    assert done.stdout.splitlines()[-1] == "[]", done


def test_the_exit_codes_in_the_readme_are_those_of_the_command() -> None:
    readme = (Path(__file__).parents[2] / "iri_common" / "README.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", readme, re.MULTILINE)
    assert [(int(code), words) for code, words in rows] == [(each.value, each.meaning) for each in Exit]


# ------------------------------------------------------------------------------------------- clients


@pytest.mark.parametrize(
    ("hours", "mark", "words"),
    [
        (24 * 30, Mark.OK, "mine expires 2026-12-22 12:00 UTC"),
        (25, Mark.OK, "mine expires"),
        (23, Mark.WARN, "mine expires"),
        (-1, Mark.WARN, "mine expires"),
    ],
)
def test_a_client_that_dies_soon_is_told_with_the_remedy(hours: int, mark: Mark, words: str) -> None:
    clients = [
        ApiClient("other", "theirs", NOW),
        ApiClient("abc", "mine", NOW + timedelta(hours=hours)),
    ]
    (finding,) = checks.client(clients, "abc", NOW)
    assert finding.mark is mark
    assert words in finding.says
    assert bool(finding.remedy) is (mark is Mark.WARN)


def test_of_a_client_that_is_not_told_nothing_is_said() -> None:
    for clients in ([], [ApiClient("other", "x", NOW)], [ApiClient("abc")]):
        assert not list(checks.client(clients, "abc", NOW))
