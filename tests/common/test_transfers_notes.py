"""What a transfer remembers: over kills and half-written lines, by one process at a time, for nobody else."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from iri_common import IriError, TransferError, UsageError
from iri_common.transfers.notes import FileNotes, default_directory


def there(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def opened(directory: Path, target: str = "there", who: str = "") -> FileNotes:
    return await FileNotes.opened("here", target, who, directory)


async def test_a_second_try_finds_what_the_first_noted(tmp_path: Path) -> None:
    notes = await opened(tmp_path)
    assert re.fullmatch("[0-9a-f]{16}", notes.transfer)
    notes.put("parts", {"1": "etag", "2": ["…", 3]})
    notes.put("gone", 1)
    notes.put("gone", None)
    notes.put("newer", "old")
    notes.put("newer", "new\nline")
    assert notes.get("newer") == "new\nline"
    await notes.close()
    again = await opened(tmp_path)
    assert again.transfer == notes.transfer
    assert again.get("parts") == {"1": "etag", "2": ["…", 3]}
    assert (again.get("gone"), again.get("newer")) == (None, "new\nline")
    assert set(again.names) == {"parts", "newer"}
    await again.forget()
    assert not there(tmp_path)


async def test_what_is_done_begins_anew(tmp_path: Path) -> None:
    notes = await opened(tmp_path)
    notes.put("x", 1)
    await notes.forget()
    again = await opened(tmp_path)
    assert again.get("x") is None
    assert again.transfer != notes.transfer, (
        "a job asked for in the name of the first is none of the second's"
    )
    await again.close()
    assert not there(tmp_path), "notes that say nothing are not kept"


async def test_other_ends_and_other_askers_have_notes_of_their_own(tmp_path: Path) -> None:
    three = [
        await opened(tmp_path),
        await opened(tmp_path, "elsewhere"),
        await opened(tmp_path, who="dag/run"),
    ]
    assert len({each.transfer for each in three}) == 3
    for each in three:
        await each.forget()


async def test_only_the_owner_can_read_them(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "transfers"
    notes = await opened(directory)
    (file,) = there(directory)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    await notes.close()


async def test_half_a_line_is_no_note_and_spoils_none(tmp_path: Path) -> None:
    notes = await opened(tmp_path)
    notes.put("first", 1)
    await notes.close()
    (file,) = there(tmp_path)
    with file.open("ab") as end:
        end.write(b'["second",{"etag":"ab')
    notes = await opened(tmp_path)
    assert (notes.get("first"), notes.get("second")) == (1, None)
    notes.put("third", 3)
    await notes.close()
    notes = await opened(tmp_path)
    assert (notes.get("first"), notes.get("third")) == (1, 3)
    assert all(json.loads(line) for line in file.read_text().splitlines())
    await notes.forget()


async def test_a_second_one_is_told_who_carries_it(tmp_path: Path) -> None:
    notes = await opened(tmp_path)
    with pytest.raises(
        UsageError, match=rf"here -> there is being moved already, by process {os.getpid()} on "
    ):
        await opened(tmp_path)
    await notes.close()


async def test_who_is_cancelled_as_they_are_opened_does_not_hold_them(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    waiting = asyncio.create_task(opened(tmp_path))
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await first.close()
    await asyncio.sleep(0.2)  # the thread of the second one looks every 50 ms
    await (await opened(tmp_path)).forget()


async def test_a_cancelled_try_of_this_process_is_waited_for(tmp_path: Path) -> None:
    begun, cleared = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        notes = await opened(tmp_path)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await cleared.wait()
            await notes.close()

    trying = asyncio.create_task(first())
    await begun.wait()
    trying.cancel()
    next_one = asyncio.create_task(opened(tmp_path))
    await asyncio.sleep(0.1)
    assert not next_one.done()
    cleared.set()
    await (await next_one).close()
    notes = await opened(tmp_path)
    await notes.forget()


async def test_one_that_lets_go_right_after_the_lock_was_tried_is_no_other_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await opened(tmp_path)
    real, loop, gone = fcntl.flock, asyncio.get_running_loop(), threading.Event()

    def flock(descriptor: int, how: int) -> None:
        try:
            real(descriptor, how)
        except BlockingIOError:
            if not gone.is_set():
                gone.set()
                asyncio.run_coroutine_threadsafe(held.close(), loop).result(10)
            raise

    monkeypatch.setattr(fcntl, "flock", flock)
    await (await opened(tmp_path)).close()
    assert gone.is_set()


async def test_of_many_that_open_and_finish_only_one_holds_it_at_a_time(tmp_path: Path) -> None:
    held: set[str] = set()
    turns = 0

    async def compete() -> None:
        nonlocal turns
        for _ in range(20):
            try:
                notes = await opened(tmp_path)
            except UsageError:
                await asyncio.sleep(0)
                continue
            assert not held
            held.add(notes.transfer)
            turns += 1
            await asyncio.sleep(0)
            held.remove(notes.transfer)
            await notes.forget()

    async with asyncio.timeout(20):
        await asyncio.gather(*(compete() for _ in range(6)))


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from iri_common.transfers.notes import FileNotes

async def main():
    notes = await FileNotes.opened("here", "there", "", Path(sys.argv[1]))
    for number in range(500):
        notes.put(f"part {number}", number)
    await notes.durable()
    print(notes.transfer, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_kill_loses_nothing_that_was_durable(tmp_path: Path) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", KILLED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    notes = await opened(tmp_path)
    assert notes.transfer == done.stdout.strip()
    assert [notes.get(f"part {number}") for number in range(500)] == list(range(500))
    await notes.forget()


async def test_a_disk_that_is_full_is_told_of_when_it_matters(tmp_path: Path, monkeypatch) -> None:
    notes = await opened(tmp_path)

    def full(descriptor: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        notes.put("part", 1)
        with pytest.raises(TransferError, match="No space left on device"):
            await notes.durable()
    assert notes.get("part") == 1, "this try goes on"
    await notes.forget()


async def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(IriError, match=r"file/transfers cannot be used .* XDG_STATE_HOME"):
        await opened(tmp_path / "file" / "transfers")


def test_they_are_kept_beside_the_ledger(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "iri" / "transfers"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert default_directory() == Path("~/.local/state/iri/transfers").expanduser()
