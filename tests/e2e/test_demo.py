"""`make demo` as a person sees it: three engines come through, a picture, and nothing left behind."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"
PNG = b"\x89PNG\r\n\x1a\n"
MARK = "IRI_DEMO_TEST"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv(MARK, str(tmp_path))  # found again in the environment of whatever is left running
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield tmp_path
    left = leftovers(tmp_path)
    for process in left:
        process.kill()
    assert not left, f"left running: {left}"


def leftovers(place: Path) -> list[psutil.Process]:
    deadline = time.monotonic() + 60
    while (left := marked(place)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def marked(place: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == str(place):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.timeout(600)
def test_demo_brings_back_one_picture_from_three_engines(place):
    done = subprocess.run(
        [sys.executable, str(DEMO)], cwd=place, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    rows = {
        engine: [cell.strip() for cell in line.split("│")[2:6]]
        for line in done.stdout.splitlines()
        for engine in ("Prefect", "Airflow", "Parsl")
        if line.startswith("│") and engine in line
    }
    assert rows["Prefect"][:2] == ["5", "5 completed"]
    assert rows["Airflow"][:2] == ["5", "5 completed"]
    assert rows["Parsl"][0] == "1"  # one block of workers runs all five steps
    for _, _, seconds, requests in rows.values():
        assert re.fullmatch(r"\d+ s", seconds)
        assert 10 < int(requests) < 150
    assert "the same volume, byte for byte" in " ".join(done.stdout.split())
    assert (place / "demo-output" / "picture.png").read_bytes().startswith(PNG)
    assert "Everything that was started is stopped again" in done.stdout


@pytest.mark.timeout(200)
@pytest.mark.parametrize("moment", ["listens at", "Prefect runs the workflow"])
def test_ctrl_c_stops_everything(place, moment):
    # A terminal of its own: Ctrl-C goes to the foreground process group, as it does for a person.
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs, CI's perhaps, ignore it
        os.chdir(place)
        os.execv(sys.executable, [sys.executable, str(DEMO)])
    said = read_until(terminal, moment, 60)
    assert moment in said
    time.sleep(3)
    assert len(marked(place)) > 2
    os.write(terminal, b"\x03")
    said = read_until(terminal, "everything that was started is stopped", 90)
    assert "interrupted" in said
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 130


@pytest.mark.timeout(200)
def test_a_killed_demo_leaves_nothing_running(place):
    process = subprocess.Popen([sys.executable, str(DEMO)], cwd=place, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "runs the workflow" in line:
            break
    time.sleep(4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not leftovers(place)


def read_until(terminal: int, words: str, seconds: float) -> str:
    said = ""
    deadline = time.monotonic() + seconds
    while words not in said and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.5)[0]:
            try:
                said += os.read(terminal, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                break
    return said
