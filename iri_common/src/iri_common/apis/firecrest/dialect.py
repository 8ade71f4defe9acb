"""FirecREST v2 behind the ports: a session in, the services out."""

from __future__ import annotations

import json
from typing import cast

from iri_common.apis.firecrest.accounts import FirecrestAccounts
from iri_common.apis.firecrest.attaching import FirecrestAttaching
from iri_common.apis.firecrest.files import FirecrestFiles
from iri_common.apis.firecrest.jobs import FirecrestJobs
from iri_common.apis.firecrest.operations import FirecrestTransfers
from iri_common.apis.firecrest.parts import FirecrestParts
from iri_common.apis.firecrest.rules import DOWNLOAD_LIMIT, RULES, UPLOAD_LIMIT
from iri_common.apis.firecrest.status import FirecrestStatus
from iri_common.apis.firecrest.storage import FirecrestStorage
from iri_common.apis.firecrest.systems import Systems
from iri_common.apis.kind import ApiKind, ApiWords
from iri_common.http.session import Session
from iri_common.model.dataports import PartsApi, RangesApi
from iri_common.model.grades import Grades

GRADES = Grades(
    settle="lookup",
    guard="lock",
    journal="readable",
    files="direct",
    upload_limit=UPLOAD_LIMIT,
    download_limit=DOWNLOAD_LIMIT,
    archives=True,
    moves="job",
    logs="follow",
)


class FirecrestDialect:
    """One FirecREST deployment; each of its systems is a resource.

    Args:
        session: Its base URL is the deployment's, and it was built with :data:`RULES`.
        user: The name that the user has there, if it need not be asked for.
    """

    def __init__(self, session: Session, user: str | None = None) -> None:
        systems = Systems(session, user)
        self.name = "firecrest"
        self.grades = GRADES
        self.jobs = FirecrestJobs(session, systems)
        self.files = FirecrestFiles(session, systems)
        self.operations = FirecrestTransfers(self.jobs, self.files, session.label)
        self.status = FirecrestStatus(systems, session.label)
        self.accounts = FirecrestAccounts(systems, session.label, user)
        self.storage = FirecrestStorage(systems, session.label)
        self.attaching = FirecrestAttaching(session, systems)
        self.ranges: RangesApi | None = None
        self._systems = systems
        self._parts = FirecrestParts(session, systems, self.jobs, self.files, self.operations)

    @property
    def parts(self) -> PartsApi | None:
        """S3 transfers, unless it is known that no system has any for large files."""
        return self._parts if self._systems.moves_large_files else None


def recognise(status: int, body: bytes) -> str | None:
    """Whether this is the answer of ``GET /status/liveness/``, or FirecREST's way to say no to it."""
    try:
        told: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    words = cast("dict[str, object]", told)
    alive = status == 200 and not words.keys().isdisjoint({"healthcheckRuns", "lastUpdate"})
    return "FirecREST" if alive or {"errorType", "message"} <= words.keys() else None


def problem(words: ApiWords) -> str | None:
    """What is wrong with the words of a profile."""
    if words.version in {None, "2", "v2"}:
        return None
    return f"api_version {words.version!r}: only v2 of FirecREST is spoken here, and v1 is retired"


API = ApiKind(
    name="firecrest",
    title="FirecREST v2",
    rules=RULES,
    make=lambda session, words: FirecrestDialect(session, words.user),
    grades=lambda url, words: GRADES,
    knock="/status/liveness/",
    recognise=recognise,
    document="/openapi.json",
    problem=problem,
)
