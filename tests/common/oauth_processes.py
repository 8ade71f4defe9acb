"""Processes that ask for their tokens when they are told to (``oauth_asker.py``)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from oauth_server import SECRET

ASKER = Path(__file__).with_name("oauth_asker.py")

Processes = list[subprocess.Popen[str]]


@contextlib.contextmanager
def processes(number: int, folder: Path, profiles: str, *names: str) -> Iterator[Processes]:
    """So many, each with these profiles, and with their tokens below the folder."""
    config = folder / "facilities.toml"
    config.write_text(profiles)
    env = {**os.environ, "APP_SECRET": SECRET, "XDG_STATE_HOME": str(folder), "IRI_CONFIG": str(config)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    running = [
        subprocess.Popen([sys.executable, str(ASKER), *names], text=True, env=env, **pipes)
        for _ in range(number)
    ]
    try:
        assert all(heard(each) == "ready" for each in running)
        yield running
    finally:
        for each in running:
            each.kill()
            each.communicate()


def tell(process: subprocess.Popen[str], line: str = "") -> None:
    """Let it ask."""
    assert process.stdin is not None
    print(line, file=process.stdin, flush=True)


def heard(process: subprocess.Popen[str]) -> str:
    """What it got, or why not."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def asked(running: Processes, line: str = "") -> set[str]:
    """What all calls of all processes got."""
    for each in running:
        tell(each, line)
    return {token for each in running for token in json.loads(heard(each))}


def until(seen: Callable[[], object]) -> None:
    """Wait for it."""
    limit = time.monotonic() + 30
    while not seen():
        assert time.monotonic() < limit
        time.sleep(0.01)
