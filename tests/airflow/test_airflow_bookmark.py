"""How far the output of a job was told: kept so that whoever goes on leaves nothing out, repeats little."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest
from airflow_versions import needs_bookmarks
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iri import output
from airflow_provider_iri.output import BAD, JobOutput
from iri_common import LogChunk


class History:
    """What a job writes piece by piece, and what is said of it and kept, one after the other."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.events: list[str | int] = []
        self.log = logging.Logger("told")
        self.log.addHandler(handler := logging.Handler())
        handler.emit = lambda record: self.events.append(str(record.args[1]))  # type: ignore[index]

    async def chunks(self) -> AsyncGenerator[LogChunk]:
        offset = 0
        for piece in self.pieces:
            offset += len(piece)
            yield LogChunk("stdout", piece.decode(errors="replace"), offset)

    async def read(self) -> Mapping[str, int]:
        return {}

    async def write(self, offsets: Mapping[str, int], told: int) -> None:
        self.events.append(offsets.get("stdout", 0))

    async def kept(self, offset: int) -> None:
        while self.events[-1:] != [offset]:  # noqa: ASYNC110 - which it sees whoever has kept it
            await asyncio.sleep(0.01)


class Writing:
    """A facility whose one job writes this."""

    def __init__(self, chunks: AsyncGenerator[LogChunk]) -> None:
        self.jobs = self
        self.follow = lambda *_, **__: chunks


def plain(content: bytes) -> str:
    return content.decode(errors="replace").replace("\n", "")


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing tells what is underway")
LOG = logging.Logger("told")  # of nobody


BYTES = st.sampled_from([b"a", "é".encode(), b"\n", b"\n", b"\xff", BAD.encode()])


@given(
    pieces=st.lists(st.lists(BYTES, min_size=1, max_size=30).map(b"".join), min_size=1, max_size=6),
    portion=st.integers(1, 20),
    pause=st.sampled_from([0.0, 60.0]),
)
def test_whenever_a_triggerer_is_killed_no_line_is_left_out(
    pieces: list[bytes], portion: int, pause: float
) -> None:
    """Whatever it had kept by then, the next one tells all that this one had not, and little that it had."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "AROUND", 1)
        patch.setattr(output, "PORTION", portion)
        patch.setattr(output, "PAUSE", pause)
        history = History(pieces)
        asyncio.run(JobOutput("", history.log, history).tell(Writing(history.chunks())))
    content = b"".join(pieces)
    text, said = plain(content), ""
    longest = max(len(plain(line).encode()) for line in content.split(b"\n"))
    mixed = b"\xff" in content and BAD.encode() in content  # then nobody knows at which byte a line ends
    unkept = told = 0
    for event in (0, *history.events):  # 0 is known at the beginning
        if isinstance(event, str):
            said, unkept, told = (
                said + event,
                unkept + 1 + len(event.encode()),
                told + 1 + len(event.encode()),
            )
            assert unkept <= max(portion, told / output.SHARE) + longest
            continue
        unkept, again = 0, plain(content[event:])
        assert text.endswith(again)
        assert len(said) + len(again) >= len(text)
        if event and not mixed:
            assert len(said) + len(again) == len(text)
    assert said == text
    assert history.events[-1] == len(content)


async def test_what_comes_slowly_is_kept_now_and_then_and_when_nothing_more_comes(monkeypatch) -> None:
    monkeypatch.setattr(output, "PAUSE", 0.2)
    history, kept_all = History([b"line\n"] * 100), asyncio.Event()

    async def chunks() -> AsyncGenerator[LogChunk]:
        async for chunk in history.chunks():
            yield chunk
            await asyncio.sleep(0.01)
        await asyncio.wait_for(history.kept(500), 60)  # though the stream has not ended
        kept_all.set()

    began = time.monotonic()
    await JobOutput("", history.log, history).tell(Writing(chunks()))
    assert kept_all.is_set()
    offsets = [each for each in history.events if isinstance(each, int)]
    assert 2 <= len(offsets) <= 2 + (time.monotonic() - began) / 0.2


async def test_what_comes_after_a_rest_is_kept_in_small_portions_again(monkeypatch) -> None:
    monkeypatch.setattr(output, "PAUSE", 0.05)
    many, more = b"line\n" * 2000, b"line\n" * 100
    history, last = History([many, more]), []

    async def chunks() -> AsyncGenerator[LogChunk]:
        async for chunk in history.chunks():
            yield chunk
            last.append(history.events[-1])
            await asyncio.sleep(0.2)

    await JobOutput("", history.log, history).tell(Writing(chunks()))
    assert last == [len(many), len(many + more)]  # before any pause
    kept = [each for each in history.events if isinstance(each, int)]
    steps = [(after - before) // 5 for before, after in itertools.pairwise(kept)]
    assert max(steps) > 100
    assert max(steps[kept.index(len(many)) :]) <= output.PORTION // output.AROUND


@needs_bookmarks
async def test_a_mebibyte_at_once_costs_some_dozens_of_requests(task, monkeypatch) -> None:
    from airflow.sdk.execution_time.xcom import XCom

    asked = 0

    async def ask(*_: Any, **__: Any) -> None:
        nonlocal asked
        asked += 1

    monkeypatch.setattr(XCom, "aget_one", ask)
    monkeypatch.setattr(XCom, "aset", ask)
    monkeypatch.setattr(output, "_underway", lambda: 0)
    monkeypatch.setattr(output, "PAUSE", 3600.0)
    text = "".join(f"line {number} of some words that a job tells\n" for number in range(26_000))
    assert len(text) > output.MOST
    told = JobOutput("", LOG, output.TriggerBookmark(task.ti, ""))
    await told.tell(Writing(History([text.encode()]).chunks()))
    assert 40 < asked < 65


@needs_bookmarks
@on_linux
async def test_how_far_it_was_told_is_kept_when_the_log_has_it(task, monkeypatch) -> None:
    """A triggerer takes some KiB of a log and one request at a turn: killed in between, it has told less."""
    from airflow.sdk.execution_time.xcom import XCom

    kept: list[Any] = []

    async def keep(_: str, value: Any, **__: Any) -> None:
        kept.append(value["offsets"])

    monkeypatch.setattr(XCom, "aset", keep)
    monkeypatch.setattr(XCom, "aget_one", None)  # not to be called
    ours, theirs = socket.socketpair()
    handler = logging.StreamHandler(ours.makefile("w"))
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    with ours, theirs:
        logging.getLogger().warning("a line")
        keeping = asyncio.create_task(output.TriggerBookmark(task.ti, "").write({"stdout": 7}, 100))
        await asyncio.sleep(0.1)
        assert theirs.recv(3) == b"a l"
        await asyncio.sleep(0.1)
        assert kept == []
        assert theirs.recv(100) == b"ine\n"
        await asyncio.wait_for(keeping, 60)
        assert kept == [{"stdout": 7}]


@on_linux
async def test_a_burst_does_not_fill_the_socket_that_all_triggers_write_to(monkeypatch) -> None:
    """Who writes to a full one waits, and with it the loop of all triggers."""
    ours, theirs = socket.socketpair()
    handler = logging.StreamHandler(ours.makefile("w"))
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    log, seen, taken = logging.getLogger("told"), [0], 0
    monkeypatch.setattr(log, "level", logging.INFO)
    history = History([b"line\n" * 3000])

    def take() -> None:  # as a triggerer does, by and by
        nonlocal taken
        while taken < 3000:
            time.sleep(0.005)
            seen.append(output._underway() or 0)
            taken += theirs.recv(4096).count(b"\n")

    with ours, theirs:
        taking = asyncio.create_task(asyncio.to_thread(take))
        await JobOutput("", log, history).tell(Writing(history.chunks()))
        await asyncio.wait_for(taking, 60)
    assert history.events[-1] == 3000 * len("line\n")
    assert 0 < max(seen) < 2**16


@needs_bookmarks
async def test_where_nothing_tells_what_the_log_has_it_is_asked_often_enough(task, monkeypatch) -> None:
    from airflow.sdk.execution_time.xcom import XCom

    asked: list[str] = []

    async def ask(*_: Any, **words: Any) -> None:
        asked.append("get" if "key" in words else "set")

    monkeypatch.setattr(XCom, "aget_one", ask)
    monkeypatch.setattr(XCom, "aset", ask)
    monkeypatch.setattr(output, "_underway", lambda: None)
    bookmark = output.TriggerBookmark(task.ti, "")
    await bookmark.write({}, 10 * output.TURN)
    assert asked == ["get"] * 11 + ["set"]
    asked.clear()
    await bookmark.write({}, 2**30)
    assert len(asked) < 100


@on_linux
@needs_bookmarks
def test_what_a_triggerer_s_log_has_not_taken_is_known() -> None:
    """Where Airflow's own function has put the log of the process that runs triggers."""
    program = """if True:
        import socket
        from airflow.sdk.execution_time.supervisor import _configure_logs_over_json_channel
        from airflow_provider_iri.output import _underway
        from airflow_provider_iri.triggers import IriJobTrigger
        ours, theirs = socket.socketpair()
        _configure_logs_over_json_channel(ours.detach())
        seen = [_underway()]
        IriJobTrigger("c", "r").log.info("a line")
        seen.append(_underway())
        assert b"a line" in theirs.recv(4096)
        print([bool(each) for each in seen], _underway())
    """
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert told.stdout == "[False, True] 0\n", told.stderr


@needs_bookmarks
@pytest.mark.timeout(180)
def test_a_triggerer_that_ends_in_the_midst_of_hundreds_of_lines(start, site, wait_until) -> None:
    """Another one leaves none of them out, and tells some dozens again, however this one was ended."""
    wait = "until test -e go$step; do sleep 0.1; done"
    run = start("followed", f"for step in 1 2; do {wait}; seq -f $step.%g 800; done; echo the end")
    run.await_trigger()
    for step, end in enumerate([site.stop_component, site.kill_component], start=1):
        run.place(f"go{step}").touch()
        wait_until(lambda step=step: run.log().count(f"[stdout] {step}.") > 100, 90, "the first lines")
        end("triggerer")
        site.start_component("triggerer")
    assert run.wait() == "success"
    told = [line for line in run.log().splitlines() if line.startswith("[stdout] ")]
    lines = [
        *(f"[stdout] {step}.{number}" for step in (1, 2) for number in range(1, 801)),
        "[stdout] the end",
    ]
    assert sorted(set(told)) == sorted(lines)
    assert len(told) - len(lines) <= 4 * output.PORTION // output.AROUND
