"""Writes the tables of docs/facilities.md from what the dialects declare and send: ``make docs``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from iri_common.apis.firecrest.description import described
from iri_common.apis.firecrest.wire import SystemReply
from iri_common.apis.iri import SITES
from iri_common.apis.kind import ApiWords
from iri_common.facility.collections import lent_grades
from iri_common.facility.dialects import api_kind
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.model.errors import UsageError
from iri_common.model.grades import Grades
from iri_common.model.ports import Dialect, WireReply, WireRequest

PAGE = Path(__file__).with_name("facilities.md")
BEGIN, END = "<!-- {}: make docs -->\n", "<!-- end of {} -->\n"
MIB = 2**20

ONCE = {
    "native": "the facility knows an ask again",
    "lookup": "the job's name is looked for",
    "snapshot": "ids before and after",
    "none": "cannot be settled",
}
FILES = {"direct": "yes", "globus": "over Globus", "none": "no"}


SPEC = {"executable": "/bin/true", "name": "job", "directory": "/d", "stdout_path": "o", "stderr_path": "e"}
# By the head of its column, a job that asks for it.
WORDS: Mapping[str, Mapping[str, Any]] = {
    "array": {"attributes": {"array": "0-9"}},
    "after": {"attributes": {"after": {"ok": ["42"]}}},
    "reservation": {"attributes": {"reservation_id": "r1"}},
    "QOS": {"attributes": {"custom_attributes": {"qos": "q"}}},
    "whole nodes": {"resources": {"exclusive_node_use": True}},
    "GPUs": {"resources": {"gpu_cores_per_process": 1}},
    "memory": {"resources": {"memory": 2**30}},
    "stdin": {"stdin_path": "i"},
    "login environment": {"inherit_environment": True},
    "container": {"container": {"image": "i"}},
}
OVER_PBS = "FirecREST v2 over PBS"


def rows() -> list[tuple[str, Grades]]:
    """Every API, and every site of one that differs."""
    plain = ApiWords()
    iri = api_kind("iri")
    found = [
        ("IRI v2", iri.grades("https://host/api/v2", plain)),
        ("IRI v1", iri.grades("https://host/api/v1", plain)),
    ]
    for name, site in SITES.items():
        grades = iri.grades(f"https://{(*site.hosts, 'host')[0]}/api/v1", ApiWords(site=name))
        found.append((f"IRI v1 at {name.upper()}", grades))
    found += [
        ("Superfacility API v1.2 (NERSC)", api_kind("superfacility").grades("https://host", plain)),
        ("FirecREST v2", api_kind("firecrest").grades("https://host", plain)),
        ("slurmrestd", api_kind("slurm").grades("https://host", plain)),
        ("S3M (OLCF)", api_kind("slurm").grades("https://host", ApiWords(site="s3m"))),
    ]
    without = next(grades for name, grades in found if name == "slurmrestd")
    lent = replace(lent_grades(without), journal="readable")
    return [*found, ("slurmrestd or S3M with a Globus collection lent", lent)]


def table() -> str:
    """The rows as Markdown."""
    head = ("API", "a lost reply is settled by", "doubles end themselves", "journal read", "files", "logs")
    lines = [head, tuple("---" for _ in head)]
    lines += [(name, *_cells(grades)) for name, grades in rows()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(grades: Grades) -> Sequence[str]:
    files = FILES[grades.files]
    if grades.files == "direct" and grades.upload_limit is not None:
        files = f"up to {_mib(grades.upload_limit)}" if grades.upload_limit else "looked at only"
    return (
        ONCE[grades.settle],
        "yes" if grades.guard == "lock" else "no",
        "yes"
        if grades.journal == "readable"
        else "with `guard_directory`"
        if grades.readable_files
        else "no",
        files,
        {"follow": "followed", "end": "at the end", "none": "no"}[grades.logs],
    )


def _mib(size: int) -> str:
    return f"{size / MIB:.3g} MiB"


def doors() -> dict[str, Dialect]:
    """A dialect of every API, and of every site and version that takes other jobs; none of them is asked."""
    v1 = "https://host/api/v1"
    found = {"IRI v2": _door("iri", "https://host/api/v2")}
    found |= {f"IRI v1 at {name.upper()}": _door("iri", v1, site=name) for name in SITES}
    found["Superfacility API v1.2"] = _door("superfacility", "https://host")
    found |= {name: _door("firecrest", "https://host") for name in ("FirecREST v2 over Slurm", OVER_PBS)}
    for version in ("v0.0.38", "v0.0.44"):
        found[f"slurmrestd {version}"] = _door("slurm", "https://host", version=version)
    return {**found, "S3M (OLCF)": _door("slurm", "https://host", site="s3m", version="v0.0.44")}


def _door(name: str, url: str, **words: Any) -> Dialect:
    kind = api_kind(name)
    session = Session(url, Nobody(), None, Budget(per_second=1.0), rules=kind.rules)
    return kind.make(session, ApiWords(**words))


class Nobody:
    """A wire that leads nowhere."""

    async def send(self, request: WireRequest) -> WireReply:
        """Nothing is sent to make a page."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing was opened."""


def request(name: str, door: Dialect, words: Mapping[str, Any]) -> str:
    """What a submit of a job with these words sends.

    Raises:
        UsageError: where the API has no field for one of them.
    """
    if name == OVER_PBS:
        return json.dumps(described({**SPEC, **words}, "/d", _PBS))
    sent = door.jobs.submit_request("r", {**SPEC, **words}, None)
    return json.dumps([sent.json, sent.form])


_PBS = SystemReply.model_validate({"name": "r", "scheduler": {"type": "pbs"}})


def carried() -> str:
    """What a job may ask for, as Markdown."""
    lines = [("API", *WORDS), tuple("---" for _ in ("API", *WORDS))]
    lines += [
        (name, *(_said(name, door, words) for words in WORDS.values())) for name, door in doors().items()
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _said(name: str, door: Dialect, words: Mapping[str, Any]) -> str:
    try:
        request(name, door, words)
    except UsageError:
        return "refused"
    return "yes"


def page(text: str) -> str:
    """The page with its tables made anew."""
    for name, made in (("grades", table()), ("carried", carried())):
        begin, end = BEGIN.format(name), END.format(name)
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{made}{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
    sys.stdout.write(f"{PAGE.name} is up to date\n")
