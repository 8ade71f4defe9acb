"""Parsl's own test suite, written by others, with every task in a job at the facility."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import parsl.tests
import pytest

from iri_local_facility import LocalFacility

SUITE = Path(parsl.tests.__file__).parent
UPSTREAM = Path(__file__).parent / "upstream"
# Not collected upstream either, or in want of pandas, which Parsl itself does not need.
LEFT_OUT = ("integration", "manual_tests", "site_tests", "test_regression/test_226.py")

UNFIT = (
    "cleannet",  # wants the network
    "unix_filesystem_permissions_required",  # root may do all
    "test_stdout_stderr_staging_zip",  # reads a zip file to which another thread of Parsl's may be appending
)


@pytest.mark.timeout(180)
def test_upstream_suite_passes(demo: LocalFacility, monkeypatch: pytest.MonkeyPatch):
    where = demo.scratch / "upstream"
    where.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(UPSTREAM))
    command = [sys.executable, "-m", "pytest", str(SUITE), "--noconftest", "-p", "parsl_upstream"]
    command += ["--config", str(UPSTREAM / "facility_config.py"), "-c", "/dev/null", "-q"]
    command += ["-k", " and ".join(f"not {each}" for each in UNFIT)]
    command += [f"--ignore={SUITE / name}" for name in LEFT_OUT]
    command += ["-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio"]
    run = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=170, check=False)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed, run.stdout[-2000:]
    assert int(passed[1]) >= 130, run.stdout[-2000:]
    (job,) = [job for job in demo.jobs() if job["name"].startswith("parsl.upstream.block-")]
    assert job["state"] in {"active", "canceled"}
