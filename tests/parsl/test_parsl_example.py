"""The example as a scientist runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from iri_local_facility import LocalFacility

SCRIPT = Path(__file__).parents[2] / "examples" / "tomography" / "parsl_script.py"


def run(output: Path, python: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--profile", "demo", "--output", str(output), "--python", python]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)


@pytest.mark.timeout(180)
def test_from_beamline_to_picture(demo: LocalFacility, tmp_path: Path):
    before = len(demo.jobs())
    ended = run(tmp_path, sys.executable)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert float(re.search(r"RMSE ([0-9.]+)", ended.stdout)[1]) < 0.06
    assert (tmp_path / "picture.png").stat().st_size > 50_000
    (job,) = demo.jobs()[before:]
    assert job["name"].startswith("parsl.facility.block-0.")
    assert f"{job['name']}: canceled" in ended.stdout
    assert re.search(rf"iri\+job://\S+\?job={job['id']}&", ended.stdout)
    for step in ("reconstruct-0", "reconstruct-1", "reconstruct-2", "reconstruct-3", "assemble"):
        assert f"{step}: done" in ended.stdout
    assert demo.token not in ended.stdout + ended.stderr
    assert ended.stderr == ""


@pytest.mark.timeout(180)
def test_a_python_that_is_not_there_is_told(demo: LocalFacility, tmp_path: Path):
    ended = run(tmp_path, "python-of-nobody")
    assert ended.returncode != 0
    assert "exit code 127" in ended.stderr
    assert "python-of-nobody: command not found" in ended.stderr  # as the step's own stderr has it
