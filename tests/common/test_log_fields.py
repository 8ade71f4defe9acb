"""What a log line is about stands beside its text, for whoever collects lines and not pages."""

from __future__ import annotations

import ast
from pathlib import Path

import iri_common
from iri_common import JobKey, JobRef
from iri_common.model import errors
from iri_common.model.logfields import about

LOG_CALLS = {f"log.{level}" for level in ("debug", "info", "warning", "error", "exception")}
# These are about nothing of the sort: a credential's source, a caller's own callback, a file of ours.
BARE_LINES = {
    "auth/keeper.py": 1,
    "facility/fileobjects.py": 1,
    "jobs/audit.py": 1,
    "jobs/watched.py": 1,
    "jobs/ledger.py": 1,
    "transfers/notes.py": 2,
}


def test_what_a_line_is_about_stands_beside_it() -> None:
    ref = JobRef("host", "iri", "machine", JobKey.of("dag", "run"), "42", profile="nersc")
    error = errors.Unreachable("gone", facility="here", operation="getJob", request_id="r1")
    assert about() == {}
    assert about(ref=ref) == {"iri_facility": "nersc", "iri_key": "dag/run.1", "iri_job": "42"}
    assert about(key=JobKey.of("a"), error=error) == {
        "iri_facility": "here",
        "iri_operation": "getJob",
        "iri_request_id": "r1",
        "iri_key": "a.1",
    }
    assert about(facility="mine", error=ValueError()) == {"iri_facility": "mine"}


def test_every_line_says_what_it_is_about() -> None:
    package = Path(iri_common.__file__).parent
    bare: dict[str, int] = {}
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in LOG_CALLS:
                name = file.relative_to(package).as_posix()
                bare[name] = bare.get(name, 0) + ("extra" not in {word.arg for word in node.keywords})
    assert len(bare) > 5, "or nothing is looked at here"
    assert {name: count for name, count in bare.items() if count} == BARE_LINES
