"""What a task has asked a facility for: under which names that is kept, and how a person is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """Of what a task may ask for.

    Attributes:
        xcom: That holds its reference.
        what: It is, in words.
    """

    xcom: str
    what: str


ASKED: Mapping[str, Kind] = {
    "iri_job": Kind("iri_job", "job"),
    "iri_flow": Kind("iri_flow_run", "run"),
    "iri_transfer": Kind("iri_transfer", "task of Globus"),
    "iri_path": Kind("iri_path", "path"),
}
"""By the names under which the tries of a task remember it."""


def in_words(ref: str, what: str) -> str:
    """A reference for a person: "job 7 at nersc".

    Raises:
        UsageError: if it is none.
    """
    from iri_common import JobRef

    if "://" in ref:
        return JobRef.parse(ref).describe().replace("job", what, 1)
    return f"{what} {ref}"
