"""The example workflow, run step by step against a facility: the fourth telling of the same science."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from github_actions import ACTION, ROOT
from github_workflow import Workflow

from iri_local_facility import LocalFacility

EXAMPLE = ROOT / "examples/ci/tomography.yml"


def test_the_workflow_brings_back_the_picture(tmp_path: Path) -> None:
    with LocalFacility() as place:
        token = place.token
        words = {
            "vars": {
                "IRI_URL": place.base_url,
                "IRI_SCRATCH": str(place.scratch),
                "IRI_PYTHON": sys.executable,
            },
            "secrets": {"IRI_TOKEN": token},
        }
        workflow = Workflow(EXAMPLE, tmp_path, words, "4711")
        workflow.run()
        names = sorted(job["name"].split(".")[0] for job in place.jobs())
    assert names == ["assemble", *(f"reconstruct-{part}" for part in range(4)), "tomography-check"]
    assert (workflow.artifacts / "picture/picture.png").read_bytes().startswith(b"\x89PNG")
    told = workflow.done["picture"][-1].summary
    found = re.search(r"RMSE ([0-9.]+)", told)
    assert found, told
    assert 0.02 < float(found[1]) < 0.06
    assert re.search(r"volume of job \d+", told)
    for done in [each for job in workflow.done.values() for each in job]:
        assert token not in done.visible + done.summary + str(done.outputs)


def test_the_readmes_say_only_inputs_and_outputs_that_there_are() -> None:
    known = {*ACTION["inputs"], *ACTION["outputs"]}
    for file in (ROOT / "README.md", ROOT / "examples/ci/README.md"):
        text = file.read_text()
        for block in re.findall(r"```yaml\n(.*?)```", text, re.S):
            told = re.findall(r"^ {4}([a-z-]+):", block, re.M)
            assert told, "the block shows no input"
            assert set(told) <= known
        for name in re.findall(r"`([a-z-]+): (?:true|false|fail|wait)`", text):
            assert name in known
