"""Writes the table of docs/facilities.md from what the dialects declare: ``make docs``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from iri_common.apis.iri import SITES
from iri_common.apis.kind import ApiWords
from iri_common.facility.collections import lent_grades
from iri_common.facility.dialects import api_kind
from iri_common.model.grades import Grades

PAGE = Path(__file__).with_name("facilities.md")
BEGIN, END = "<!-- grades: make docs -->\n", "<!-- end of grades -->\n"
MIB = 2**20

ONCE = {
    "native": "the facility knows an ask again",
    "lookup": "the job's name is looked for",
    "snapshot": "ids before and after",
    "none": "cannot be settled",
}
FILES = {"direct": "yes", "globus": "over Globus", "none": "no"}


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


def page(text: str) -> str:
    """The page with its table made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
    sys.stdout.write(f"{PAGE.name} is up to date\n")
