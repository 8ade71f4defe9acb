"""The IRI Facility API v2 behind the ports: a session in, six services out."""

from __future__ import annotations

from iri_common.apis.iri.accounts import IriAccounts
from iri_common.apis.iri.files import IriFiles
from iri_common.apis.iri.jobs import IriJobs
from iri_common.apis.iri.rules import UPLOAD_LIMIT
from iri_common.apis.iri.status import IriStatus
from iri_common.apis.iri.storage import IriStorage
from iri_common.apis.iri.tasks import IriTasks
from iri_common.http.session import Session
from iri_common.model.grades import Grades


class IriDialect:
    """One IRI facility; every service talks through the same session.

    Args:
        session: Its base URL ends in ``/api/v2`` (or in whatever the facility has in its place), and it
            was built with :data:`iri_common.apis.iri.RULES`.
    """

    def __init__(self, session: Session) -> None:
        self.name = "iri"
        self.grades = Grades(settle="native", files="direct", upload_limit=UPLOAD_LIMIT, logs="end")
        self.jobs = IriJobs(session)
        self.files = IriFiles(session)
        self.operations = IriTasks(session)
        self.status = IriStatus(session)
        self.accounts = IriAccounts(session)
        self.storage = IriStorage(session)
