"""The example, started as a user starts it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from prefect.artifacts import Artifact
from prefect_seeing import asked, jobs_named

from iri_local_facility import LocalFacility

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "tomography" / "prefect_flow.py"


def test_from_beamline_to_picture(facility: LocalFacility, prefect_server: str, tmp_path: Path):
    profile = {
        "URL": facility.base_url,
        "TOKEN": facility.token,
        "RESOURCE": "cluster",
        "POLL_SECONDS": "0.3",
    }
    environment = {f"IRI_FACILITY_DEMO_{word}": value for word, value in profile.items()}
    words = ["--profile", "demo", "--output", "out", "--python", sys.executable, "--parts", "3"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        cwd=tmp_path,
        env={**os.environ, **environment, "PREFECT_API_URL": prefect_server},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert facility.token not in said

    found = re.search(r"RMSE ([0-9.]+)", said)
    assert found is not None
    assert 0.03 < float(found.group(1)) < 0.06
    assert (tmp_path / "out" / "picture.png").read_bytes().startswith(b"\x89PNG")

    names = [f"reconstruct-{number}" for number in range(3)] + ["assemble"]
    jobs = {name: jobs_named(facility, name)[0] for name in names}
    assert {job["state"] for job in jobs.values()} == {"completed"}
    assert jobs["assemble"]["submitted"] >= max(jobs[name]["ended"] for name in names[:3])
    assert asked(facility, "launchJob") == 4

    artifact = Artifact.get("tomography-jobs")
    assert artifact is not None
    assert [row["name"] for row in json.loads(str(artifact.data))] == names
