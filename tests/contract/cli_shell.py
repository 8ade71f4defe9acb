"""``iri`` as a person runs it who has one profile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from iri_common import JobRef
from iri_common.cli.app import app
from iri_local_facility import LocalFacility

COMMAND = str(Path(sys.executable).with_name("iri"))


@dataclass(frozen=True)
class Said:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict:
        return json.loads(self.out)


class Shell:
    """Runs ``iri`` as a person with one profile would."""

    def __init__(self, variables: dict[str, str], capture: pytest.CaptureFixture[str]) -> None:
        self.variables = variables
        self._capture = capture

    def __call__(self, *words: str) -> Said:
        """In this process, which is quicker."""
        self._capture.readouterr()
        with pytest.raises(SystemExit) as end:
            app(list(words), prog_name="iri")
        out, err = self._capture.readouterr()
        return Said(int(end.value.code or 0), out, err)

    def apart(self, *words: str) -> Said:
        """In a process of its own: nothing is remembered from the commands before."""
        with self.process(*words) as process:
            out, err = process.communicate(timeout=60)
        return Said(process.returncode, out, err)

    def process(self, *words: str) -> subprocess.Popen[str]:
        """As a process to talk with."""
        return subprocess.Popen(
            [COMMAND, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.variables, **os.environ},
        )


def variables_of(place: LocalFacility, state: Path) -> dict[str, str]:
    """The profile, in the environment."""
    return {
        "IRI_FACILITY_PLACE_URL": place.base_url,
        "IRI_FACILITY_PLACE_TOKEN": place.token,
        "IRI_FACILITY_PLACE_DIRECTORY": str(place.scratch),
        "IRI_FACILITY_PLACE_GUARD_DIRECTORY": str(place.scratch / ".iri"),
        "IRI_FACILITY_PLACE_POLL_SECONDS": "0.1",
        "XDG_STATE_HOME": str(state),
    }


def launched(place: LocalFacility) -> int:
    """How many submits the facility saw."""
    return len(place.requests("launchJob"))


def job_of(place: LocalFacility, ref: str) -> dict:
    """What really ran."""
    (job,) = [each for each in place.jobs() if each["id"] == JobRef.parse(ref).job_id]
    return job


def await_text(process: subprocess.Popen[str], words: str) -> str:
    """Read words until these come."""
    seen = ""
    assert process.stderr is not None
    while words not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    return seen
