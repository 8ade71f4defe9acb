"""The Superfacility API behind the ports: a session in, six services out."""

from __future__ import annotations

import json
from typing import cast

from iri_common.apis.kind import ApiKind, ApiWords
from iri_common.apis.superfacility.accounts import SuperfacilityAccounts
from iri_common.apis.superfacility.files import SuperfacilityFiles
from iri_common.apis.superfacility.jobs import SuperfacilityJobs
from iri_common.apis.superfacility.owner import Owner
from iri_common.apis.superfacility.rules import FILE_LIMIT, RULES
from iri_common.apis.superfacility.status import SuperfacilityStatus
from iri_common.apis.superfacility.storage import SuperfacilityStorage
from iri_common.apis.superfacility.tasks import SuperfacilityTasks
from iri_common.apis.superfacility.transfers import SuperfacilityTransfers
from iri_common.http.session import Session
from iri_common.model.dataports import PartsApi, RangesApi
from iri_common.model.grades import Grades

GRADES = Grades(
    settle="lookup",
    guard="lock",
    journal="readable",
    files="direct",
    upload_limit=FILE_LIMIT,
    download_limit=FILE_LIMIT,
    archives=True,
    logs="follow",
)


class SuperfacilityDialect:
    """One facility that speaks the Superfacility API v1.2; every service talks through the same session.

    Args:
        session: Its base URL ends in ``/api/v1.2``, and it was built with
            :data:`iri_common.apis.superfacility.RULES`.
        user: Whose jobs are listed; None to ask whom the client acts for.
    """

    def __init__(self, session: Session, user: str | None = None) -> None:
        owner = Owner(session, user)
        self.name = "superfacility"
        self.grades = GRADES
        self.jobs = SuperfacilityJobs(session, owner)
        self.files = SuperfacilityFiles(session)
        self.operations = SuperfacilityTasks(session)
        self.status = SuperfacilityStatus(session)
        self.accounts = SuperfacilityAccounts(session, owner)
        self.storage = SuperfacilityStorage(session)
        self.behalf = SuperfacilityTransfers(session)
        self.parts: PartsApi | None = None
        self.ranges: RangesApi | None = None


def recognise(status: int, body: bytes) -> str | None:
    """Whether this is the answer of ``GET /status/``, and whose."""
    try:
        told: object = json.loads(body) if status == 200 else None
    except (ValueError, RecursionError):
        return None
    systems = cast("list[object]", told) if isinstance(told, list) else []
    names = [cast("dict[str, object]", each).get("name") for each in systems if isinstance(each, dict)]
    if not names or not all(names):
        return None
    return "NERSC" if "nersc_center" in names else "a facility with the Superfacility API"


def _make(session: Session, words: ApiWords) -> SuperfacilityDialect:
    return SuperfacilityDialect(session, words.user)


API = ApiKind(
    name="superfacility",
    title="the Superfacility API",
    rules=RULES,
    make=_make,
    grades=lambda url, words: GRADES,
    knock="/status/",
    recognise=recognise,
    document="/openapi.json",
)
