"""What a facility API tells of itself before a door to it is open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from iri_common.http.session import Credential, Session, bearer
from iri_common.model.grades import Grades
from iri_common.model.ports import Dialect
from iri_common.policy.classify import Rules


@dataclass(frozen=True, slots=True)
class ApiWords:
    """What a profile says of an API beside its URL and its token.

    Attributes:
        user: Whose jobs they are, where requests name the user.
        site: Whose oddities it has, where they cannot be seen.
        version: Of the API, where it shall not be asked for.
    """

    user: str | None = None
    site: str | None = None
    version: str | None = None


def _bearer(words: ApiWords) -> Credential:
    return bearer


def _no_problem(words: ApiWords) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class ApiKind:
    """One API that doors can speak.

    Attributes:
        name: In profiles and references.
        title: For a person.
        rules: Its oddities.
        make: The dialect over a session.
        grades: How exactly each promise is kept behind a base URL, before anybody was asked.
        knock: A path below the base URL, for a first look without a token.
        recognise: What status and body of the answer to that tell: whose API it is, None if it is none
            of this kind.
        document: Where its OpenAPI document is, below the base URL; "" where nobody gets it.
        credential: How a token is carried.
        runs_jobs: It takes jobs.
        problem: What is wrong with the words of a profile, for a person; None for nothing.
    """

    name: str
    title: str
    rules: Rules
    make: Callable[[Session, ApiWords], Dialect]
    grades: Callable[[str, ApiWords], Grades]
    knock: str
    recognise: Callable[[int, bytes], str | None]
    document: str = ""
    credential: Callable[[ApiWords], Credential] = _bearer
    runs_jobs: bool = True
    problem: Callable[[ApiWords], str | None] = _no_problem
