"""What a site starts does not outlive who started it."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid

import psutil
from airflow_connections import EXAMPLES

PARENT = """
import os, sys, time
from pathlib import Path
from keeper import Keeper
Keeper(["/bin/sh", "-c", sys.argv[1]], os.environ, Path(os.devnull))
print("started", flush=True)
time.sleep(300)
"""


def test_a_killed_parent_leaves_nothing_behind(wait_until) -> None:
    mark = f"keeper-{uuid.uuid4().hex}"

    def marked() -> list[psutil.Process]:
        return [
            each for each in psutil.process_iter(["cmdline"]) if mark in " ".join(each.info["cmdline"] or [])
        ]

    sleeper = f"exec -a {mark} sleep 300"
    script = f"trap '' TERM; setsid bash -c '(trap \"\" TERM; {sleeper}) & {sleeper}' & sleep 300 # {mark}"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, script], cwd=EXAMPLES / "demo", stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    wait_until(lambda: len(marked()) >= 4, 10, "all of it running")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not marked(), 20, "the end of all of it")
