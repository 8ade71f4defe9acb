"""ESnet's SENSE behind the ports."""

from __future__ import annotations

import json
from typing import Any, cast

from iri_common.apis.kind import ApiKind, ApiWords
from iri_common.apis.sense.absent import NoFiles, NoJobs, NoOperations, NoStorage
from iri_common.apis.sense.accounts import SenseAccounts
from iri_common.apis.sense.networks import SenseNetworks
from iri_common.apis.sense.rules import RULES
from iri_common.apis.sense.status import DOMAINS, SenseStatus
from iri_common.http.session import Session
from iri_common.model.dataports import FilesApi, PartsApi, RangesApi, StorageApi
from iri_common.model.grades import Grades
from iri_common.model.networkports import NetworksApi
from iri_common.model.ports import AccountsApi, JobsApi, OperationsApi, StatusApi

# A lease is provisioned in one state of its instance only, so the facility itself tells a second ask.
GRADES = Grades(settle="native")


class SenseDialect:
    """One orchestrator.

    Args:
        session: Its base URL ends with ``/restapi``, and it was built with
            :data:`iri_common.apis.sense.RULES`.
        words: The user, for those who ask whose the token is.
    """

    def __init__(self, session: Session, words: ApiWords) -> None:
        self.name = "sense"
        self.grades = GRADES
        networks = SenseNetworks(session)
        self.networks: NetworksApi = networks
        self.jobs: JobsApi = NoJobs(session.label)
        self.files: FilesApi = NoFiles(session.label)
        self.operations: OperationsApi = NoOperations(session.label)
        self.storage: StorageApi = NoStorage(session.label)
        self.status: StatusApi = SenseStatus(session)
        self.accounts: AccountsApi = SenseAccounts(networks, words.user, session.label)
        self.parts: PartsApi | None = None
        self.ranges: RangesApi | None = None


def recognise(status: int, body: bytes) -> str | None:
    """Whether this is SENSE's answer to a look at the domains, for which some want a token."""
    if status == 401:
        return "SENSE"
    try:
        told: Any = json.loads(body) if status == 200 else None
    except (ValueError, RecursionError):
        return None
    return "SENSE" if isinstance(told, dict) and "domains" in cast("dict[str, Any]", told) else None


API = ApiKind(
    name="sense",
    title="ESnet's SENSE",
    rules=RULES,
    make=SenseDialect,
    grades=lambda url, words: GRADES,
    knock=DOMAINS,
    recognise=recognise,
    runs_jobs=False,
)
