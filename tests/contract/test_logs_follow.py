"""Following what real jobs write: every byte once, in order, whatever happens on the way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from iri_common import ClientCredentials, Facility, FileLedger, JobKey, JobRef, JobSpec, LogChunk, UsageError
from iri_common.facility.doors import open_door
from iri_common.facility.loop import run_blocking
from iri_local_facility import LocalFacility

GRACE = 0.3
LOG = "iri_common.jobs.logs"


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=16) as facility:
        yield facility


@pytest.fixture
def facility(place: LocalFacility, tmp_path: Path) -> Iterator[Facility]:
    yield door(place, tmp_path)
    place.clear_faults()


def door(place: LocalFacility, path: Path, url: str | None = None, **words) -> Facility:
    """A door of its own: nothing is shared with the tests before."""
    place.reset_requests()
    words = {"poll_seconds": 0.1, "token": place.new_token(), **words}
    ledger = FileLedger(path / "ledger")
    return Facility(url or place.base_url, directory=str(place.scratch), ledger=ledger, **words)


def shell(facility: Facility, text: str, **words) -> JobRef:
    return facility.jobs.submit(JobSpec(executable="/bin/sh", arguments=["-c", text], **words))


def told(chunks: list[LogChunk], stream: str = "stdout") -> str:
    """All of a stream, as far as it was not begun anew."""
    text = ""
    for chunk in chunks:
        if chunk.stream == stream:
            text = "" if chunk.anew else text + chunk.text
    return text


def numbers(last: int) -> str:
    """What seq writes."""
    return "".join(f"{n}\n" for n in range(1, last + 1))


def file_requests(place: LocalFacility) -> int:
    return len(place.requests("stat")) + len(place.requests("view"))


def test_lines_come_while_the_job_runs_and_all_of_them(facility: Facility) -> None:
    ref = shell(facility, "for n in 1 2 3 4 5 6; do echo o$n; echo e$n >&2; sleep 0.2; done")
    chunks = []
    for chunk in facility.jobs.follow(ref, grace=GRACE):
        chunks.append((chunk, facility.jobs.status(ref).state.terminal))
    assert told([each for each, _ in chunks]) == "".join(f"o{n}\n" for n in range(1, 7))
    assert told([each for each, _ in chunks], "stderr") == "".join(f"e{n}\n" for n in range(1, 7))
    assert not chunks[0][1], "the first came while it ran"
    assert len(chunks) >= 4


def test_characters_are_whole_however_they_are_flushed_and_rubbish_is_told_once(facility: Facility) -> None:
    ref = shell(
        facility,
        r"for b in '\303' '\251' '\342\202' '\254\360' '\237\230' '\200' '\377' '\303'; do"
        r" printf $b; sleep 0.15; done",
    )
    chunks = list(facility.jobs.follow(ref, grace=GRACE))
    assert told(chunks) == "é€😀\ufffd\ufffd"
    assert [each.offset for each in chunks] == sorted({each.offset for each in chunks})
    assert chunks[-1].offset == 11


def test_a_job_that_ended_gives_all_and_an_empty_one_nothing(
    facility: Facility, place: LocalFacility
) -> None:
    ref, empty = shell(facility, "seq 2000; seq 3 >&2"), shell(facility, "true")
    facility.jobs.wait(ref)
    facility.jobs.wait(empty)
    assert told(list(facility.jobs.follow(ref, grace=GRACE))) == numbers(2000)
    assert list(facility.jobs.follow(empty, grace=GRACE)) == []
    (only,) = facility.jobs.follow(str(ref), streams=["stderr"], since={"stderr": 2}, grace=GRACE)
    assert only == LogChunk("stderr", "2\n3\n", 6)


def test_streams_in_one_file_are_told_once(facility: Facility) -> None:
    ref = shell(facility, "echo a; echo b >&2", stdout_path="one.log", stderr_path="one.log")
    assert [each.stream for each in facility.jobs.follow(ref, grace=GRACE)] == ["stdout"]
    assert told(list(facility.jobs.follow(ref, streams=["stderr"], grace=GRACE)), "stderr") == "a\nb\n"


def test_nothing_is_asked_of_files_while_the_job_is_queued(facility: Facility, place: LocalFacility) -> None:
    held = place.order("hold")
    ref = shell(facility, "echo ran")
    stream = facility.jobs.follow(ref, grace=GRACE)
    threading.Timer(1.0, place.clear_faults, [held]).start()
    begun = time.monotonic()
    assert next(stream).text == "ran\n"
    assert time.monotonic() - begun >= 1.0
    assert place.requests("stat")[0]["time"] >= place.jobs()[-1]["attempts"][0]["started"]
    assert list(stream) == []


def test_one_reads_for_all_and_states_cost_nothing_more(facility: Facility, place: LocalFacility) -> None:
    text = "for n in 1 2 3 4 5 6 7 8; do seq $n 1000; sleep 0.1; done"
    alone = shell(facility, text)
    begun = time.monotonic()
    whole = told(list(facility.jobs.follow(alone, grace=GRACE)))
    cost, took = file_requests(place), time.monotonic() - begun

    place.reset_requests()
    ref = shell(facility, text)

    async def crowd() -> list[str]:
        async def one(delay: float) -> str:
            await asyncio.sleep(delay)
            return told([each async for each in facility.aio.jobs.follow(ref, grace=GRACE)])

        return await asyncio.gather(*(one(0.05 * n) for n in range(8)))

    begun = time.monotonic()
    assert asyncio.run(crowd()) == [whole] * 8
    longer = max(1.0, (time.monotonic() - begun) / took)  # on a busy machine, and looked at for so long
    assert file_requests(place) <= (1.5 * cost + 4) * longer, "eight cost what one does"
    viewed = sum(each["bytes_out"] for each in place.requests("getTask"))
    assert viewed <= 1.5 * len(whole) + 500 * len(place.requests("getTask")), "each byte was asked for once"


def test_the_second_one_catches_up_from_what_the_first_has_read(
    facility: Facility, place: LocalFacility
) -> None:
    ref = shell(facility, "seq 3000; sleep 1.2; echo end")
    first = facility.jobs.follow(ref, streams=["stdout"], grace=GRACE)
    head = next(first)
    views = len(place.requests("view"))
    second = facility.jobs.follow(ref, streams=["stdout"], grace=GRACE)
    assert next(second) == head
    third = facility.jobs.follow(ref, streams=["stdout"], since={"stdout": 5}, grace=GRACE)
    assert next(third).text == head.text[5:]
    assert len(place.requests("view")) == views
    assert [told(list(each)) for each in (first, second, third)] == ["end\n"] * 3


def test_a_requeue_truncates_and_is_told_from_the_beginning(
    facility: Facility, place: LocalFacility, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOG)
    ref = shell(
        facility,
        '[ "$IRI_RESTART_COUNT" != 0 ] || { echo first attempt; sleep 30; }; echo second attempt; sleep 1',
    )
    chunks: list[LogChunk] = []
    for chunk in facility.jobs.follow(ref, streams=["stdout"], grace=GRACE):
        chunks.append(chunk)
        if len(chunks) == 1:
            place.order("requeue", job=ref.job_id)
    assert [each.text for each in chunks] == ["first attempt\n", "", "second attempt\n"]
    assert chunks[1] == LogChunk("stdout", "", 0)
    assert chunks[1].anew
    assert sum("began anew" in each.message for each in caplog.records) == 1


def test_no_trouble_ends_it_or_loses_a_byte(place: LocalFacility, tmp_path: Path) -> None:
    token = ClientCredentials(place.token_url, place.client_id, place.client_secret)
    facility = door(place, tmp_path, token=token)
    ref = shell(facility, "for n in $(seq 25); do seq $n 100; sleep 0.1; done")
    stream = facility.jobs.follow(ref, streams=["stdout"], grace=GRACE)
    chunks = [next(stream)]
    orders = [
        place.order("lose_reply", ["stat", "view"]),
        place.order("cut", ["getTask"], times=2),
        place.order("status", ["stat"], status=503, skip=1),
        place.order("status", ["view"], status=429, skip=2),
        place.order("refuse_tokens", "*", lasts=0.5),
        place.order("garble", ["getTask"], skip=5),
    ]
    chunks += stream
    assert told(chunks) == "".join(f"{m}\n" for n in range(1, 26) for m in range(n, 101))
    assert {each["id"] for each in place.faults() if each["struck"]} == set(orders)


def test_the_facility_dies_and_comes_back_and_nothing_is_lost(
    place: LocalFacility, facility: Facility, caplog: pytest.LogCaptureFixture
) -> None:
    ref = shell(facility, "for n in $(seq 15); do echo $n; sleep 0.1; done")
    chunks = []
    for chunk in facility.jobs.follow(ref, streams=["stdout"], grace=GRACE):
        if not chunks:
            place.restart()
        chunks.append(chunk)
    assert told(chunks) == "".join(f"{n}\n" for n in range(1, 16))


FOLLOWER = """
import json, sys
from iri_common import Facility
facility = Facility(sys.argv[1], token=sys.argv[2], poll_seconds=0.1)
for chunk in facility.jobs.follow(sys.argv[3], since=json.loads(sys.argv[4]), grace=0.3):
    print(json.dumps([chunk.stream, chunk.text, chunk.offset]), flush=True)
"""


def test_another_process_goes_on_where_one_was_killed(place: LocalFacility, facility: Facility) -> None:
    ref = shell(facility, "for n in $(seq 20); do echo o$n; echo é$n >&2; sleep 0.1; done")
    since, got = {"stdout": 0, "stderr": 0}, {"stdout": "", "stderr": ""}

    def run(lines: float) -> None:
        words = [place.base_url, place.token, str(ref), json.dumps(since)]
        with subprocess.Popen([sys.executable, "-c", FOLLOWER, *words], stdout=subprocess.PIPE) as follower:
            assert follower.stdout is not None
            for count, line in enumerate(follower.stdout, 1):
                stream, text, offset = json.loads(line)
                since[stream], got[stream] = offset, got[stream] + text
                if count >= lines:
                    follower.send_signal(signal.SIGKILL)
                    return

    run(3)
    run(math.inf)
    assert got["stdout"] == "".join(f"o{n}\n" for n in range(1, 21))
    assert got["stderr"] == "".join(f"é{n}\n" for n in range(1, 21))


def test_it_stops_where_it_is_left(facility: Facility, place: LocalFacility) -> None:
    ref = shell(facility, "while :; do echo x; sleep 0.05; done")

    async def left() -> None:
        async for _ in facility.aio.jobs.follow(ref, grace=GRACE):
            break
        await asyncio.sleep(0.2)  # the iterator is closed when it is collected
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                async for _ in facility.aio.jobs.follow(ref, grace=GRACE):
                    pass

    asyncio.run(left())
    for _ in facility.jobs.follow(ref, grace=GRACE):
        break
    place.reset_requests()
    time.sleep(0.4)
    assert place.summary() == {}
    facility.jobs.cancel(ref)


def test_bad_words_are_refused_before_anything_is_asked(facility: Facility, place: LocalFacility) -> None:
    ref = str(JobRef.parse("iri+job://h/iri/r/a.1?job=1"))
    for words in ({"streams": ["out"]}, {"streams": "stdout"}, {"streams": []}, {"since": {"stdout": -1}}):
        with pytest.raises(UsageError):
            list(facility.jobs.follow(ref, **words))
    assert place.requests() == []


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_wire_carries_little_more_than_the_log(
    version: str, place: LocalFacility, tmp_path: Path
) -> None:
    facility = door(place, tmp_path, url=place.base_url.replace("/v2", f"/{version}"))
    line = "a line of the length that lines of logs have, with an é in it\n"
    ref = shell(facility, f"for n in 1 2 3; do yes '{line[:-1]}' | head -n 40000; sleep 0.3; done")
    assert told(list(facility.jobs.follow(ref, streams=["stdout"], grace=GRACE))) == line * 120_000
    size = 120_000 * len(line.encode())
    asked = [each for each in place.requests() if each["operation"] in {"getTask", "stat", "view"}]
    assert sum(each["bytes_out"] for each in asked) <= 1.1 * size + 600 * len(asked)
    assert facility.grades.logs == "follow"


@pytest.fixture(scope="module")
def headstrong() -> Iterator[LocalFacility]:
    """Puts output where it wants."""
    with LocalFacility(without=["stdout_path"]) as facility:
        yield facility


def test_output_is_followed_where_the_facility_puts_it(headstrong: LocalFacility, tmp_path: Path) -> None:
    facility = door(headstrong, tmp_path)
    ref = shell(facility, "echo out; echo err >&2", stdout_path="asked.out")
    assert told(list(facility.jobs.follow(ref, grace=GRACE))) == "out\nerr\n"
    assert not (headstrong.scratch / "asked.out").exists()


def test_the_double_of_a_job_leads_to_its_output(headstrong: LocalFacility, tmp_path: Path) -> None:
    facility, key = door(headstrong, tmp_path), JobKey.of("a")
    spec = JobSpec(executable="/bin/sh", arguments=["-c", "echo worked; sleep 1; echo on"])
    ref = facility.jobs.submit(spec, key=key)
    asked = facility.jobs.preview(spec, key=key)
    request = urllib.request.Request(asked.url, json.dumps(asked.body).encode(), method="POST")
    request.add_header("Authorization", f"Bearer {headstrong.token}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as reply:
        double = ref.with_job(json.load(reply)["id"])
    chunks = list(facility.jobs.follow(double, grace=GRACE))
    assert "is a double" in chunks[0].text
    assert told(chunks) == "worked\non\n"


def test_where_nothing_can_be_followed_the_last_lines_are_told_at_the_end(
    place: LocalFacility, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    facility = door(place, tmp_path)

    async def end() -> None:
        dialect = open_door(facility._settings).dialect
        dialect.grades = replace(dialect.grades, logs="end")

    run_blocking(end())
    text = "seq 2000; sleep 0.3; echo last >&2"
    ref = shell(facility, text)
    out, err = facility.jobs.follow(ref, grace=GRACE)
    assert (out.stream, out.text.splitlines()) == ("stdout", [str(n) for n in range(1001, 2001)])
    assert (err.stream, err.text) == ("stderr", "last\n")
    (said,) = [each.message for each in caplog.records if each.name == LOG]
    assert "shown only when it has ended" in said
    assert not place.requests("view")
    known = {"stdout": len(numbers(1990)), "stderr": 5}
    (rest,) = facility.jobs.follow(ref, since=known, grace=GRACE)
    assert rest == LogChunk("stdout", numbers(2000)[known["stdout"] :], len(numbers(2000)))
    one = shell(facility, text, stdout_path="one.log", stderr_path="one.log")
    (both,) = facility.jobs.follow(one, grace=GRACE)
    assert (both.stream, both.text[-10:]) == ("stdout", "2000\nlast\n")
    (alone,) = facility.jobs.follow(one, streams=["stderr"], grace=GRACE)
    assert (alone.stream, alone.text) == ("stderr", both.text)


def test_without_files_that_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with LocalFacility(without=["filesystem"]) as place:
        facility = door(place, tmp_path, guard=False)
        ref = shell(facility, "echo out")
        assert list(facility.jobs.follow(ref, grace=GRACE)) == []
        assert facility.jobs.status(ref).succeeded
        said = [each.message for each in caplog.records if each.name == LOG]
        assert len(said) == 1, said
        assert "does not let the output" in said[0]
