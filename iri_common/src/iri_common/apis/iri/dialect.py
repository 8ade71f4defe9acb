"""The IRI Facility API behind the ports: a session in, six services out."""

from __future__ import annotations

import json
from typing import cast

from iri_common.apis.iri.accounts import IriAccounts
from iri_common.apis.iri.files import IriFiles
from iri_common.apis.iri.jobs import IriJobs
from iri_common.apis.iri.quirks import PLAIN, Site, site_of, unknown_site
from iri_common.apis.iri.rules import RULES, UPLOAD_LIMIT
from iri_common.apis.iri.status import IriStatus
from iri_common.apis.iri.storage import IriStorage
from iri_common.apis.iri.tasks import IriTasks
from iri_common.apis.iri.versions import V2, Version, version_of
from iri_common.apis.kind import ApiKind
from iri_common.http.session import Session
from iri_common.model.dataports import PartsApi, RangesApi
from iri_common.model.grades import Grades


class IriDialect:
    """One IRI facility; every service talks through the same session.

    Args:
        session: Its base URL ends in ``/api/v2`` or ``/api/v1`` (or in whatever the facility has in its
            place), and it was built with :data:`iri_common.apis.iri.RULES`.
        version: The major of the API that is spoken there, see :func:`iri_common.apis.iri.version_of`.
        site: Whose oddities it has.
    """

    def __init__(self, session: Session, version: Version = V2, site: Site = PLAIN) -> None:
        self.name = "iri"
        self.grades = grades_of(version, site)
        self.jobs = IriJobs(session, version, site)
        self.files = IriFiles(session, version, site)
        self.operations = IriTasks(session)
        self.status = IriStatus(session)
        self.accounts = IriAccounts(session, version, site)
        self.storage = IriStorage(session, version)
        self.parts: PartsApi | None = None
        self.ranges: RangesApi | None = None  # `view` takes an offset, but decodes what it reads


def grades_of(version: Version, site: Site = PLAIN) -> Grades:
    """How exactly each promise is kept by a facility that implements all of the API, but for its oddities."""
    whole = Grades(
        settle="native" if version.keys else "lookup",
        guard="lock",
        # Without the storage service nobody tells where a job's home is, and with it its journal.
        journal="readable" if version.storage else "no",
        files="direct",
        upload_limit=UPLOAD_LIMIT,
        download_limit=UPLOAD_LIMIT,
        archives=True,
        logs="follow",
    )
    return site.graded(whole)


def recognise(status: int, body: bytes) -> str | None:
    """Whether this is the answer of ``GET /facility``, and whose."""
    try:
        told: object = json.loads(body) if status == 200 else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    words = cast("dict[str, object]", told)
    return str(words.get("name") or words.get("short_name") or "a facility")


API = ApiKind(
    name="iri",
    title="the IRI Facility API",
    rules=RULES,
    make=lambda session, words: IriDialect(
        session, version_of(session.base_url), site_of(session.base_url, words.site)
    ),
    grades=lambda url, words: grades_of(version_of(url), site_of(url, words.site)),
    problem=lambda words: unknown_site(words.site),
    knock="/facility",
    recognise=recognise,
    document="/openapi.json",
)
