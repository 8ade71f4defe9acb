"""Slurm's REST API behind the ports, as slurmrestd serves it or as S3M does."""

from __future__ import annotations

import json
from typing import Any, cast

from iri_common.apis.kind import ApiKind, ApiWords
from iri_common.apis.slurm.absent import NoFiles, NoOperations, NoStorage
from iri_common.apis.slurm.accounts import S3mAccounts, SlurmAccounts
from iri_common.apis.slurm.calls import Calls
from iri_common.apis.slurm.jobs import SlurmJobs
from iri_common.apis.slurm.reservations import SlurmReservations
from iri_common.apis.slurm.rules import RULES
from iri_common.apis.slurm.s3m import ROOT, S3mStatus
from iri_common.apis.slurm.status import SlurmStatus
from iri_common.apis.slurm.streaming import S3mStreaming
from iri_common.apis.slurm.tokens import credential, is_user
from iri_common.apis.slurm.versions import KNOWN, OLDEST, S3M, SLURMRESTD, Site, version_of
from iri_common.http.session import Session
from iri_common.model.dataports import FilesApi, PartsApi, RangesApi, StorageApi
from iri_common.model.grades import Grades
from iri_common.model.ports import AccountsApi, OperationsApi, StatusApi
from iri_common.model.reservationports import ReservationsApi
from iri_common.model.streamports import StreamingApi

GRADES = Grades(settle="lookup", guard="lock")


class SlurmDialect:
    """One cluster behind a slurmrestd, or the resources behind S3M.

    Args:
        session: Its base URL ends before ``/slurm/v0.0.NN`` or ``/slurm/open``, and it was built with
            :data:`iri_common.apis.slurm.RULES`.
        words: The user, the site, and the version where it shall not be asked for.
    """

    def __init__(self, session: Session, words: ApiWords) -> None:
        site = _site(words)
        calls = Calls(session, site, version_of(words.version) if words.version else None)
        self.name = "slurm"
        self.grades = GRADES
        self.jobs = SlurmJobs(calls, words.user)
        self.files: FilesApi = NoFiles(session.label)
        self.operations: OperationsApi = NoOperations(session.label)
        self.storage: StorageApi = NoStorage(session.label)
        self.status: StatusApi = S3mStatus(session, calls) if site is S3M else SlurmStatus(calls)
        self.accounts: AccountsApi = S3mAccounts(session) if site is S3M else SlurmAccounts(calls, words.user)
        self.streaming: StreamingApi | None = S3mStreaming(session) if site is S3M else None
        self.reservations: ReservationsApi | None = None if site is S3M else SlurmReservations(calls)
        self.parts: PartsApi | None = None
        self.ranges: RangesApi | None = None


def recognise(status: int, body: bytes) -> str | None:
    """Whether this is S3M's answer, or the one that slurmrestd has for those without a token."""
    if body.startswith((b"Authentication failure", b"Unable find requested URL")):
        return "a slurmrestd"
    try:
        told: Any = json.loads(body) if status == 200 else None
    except (ValueError, RecursionError):
        return None
    return "S3M" if isinstance(told, dict) and "resources" in cast("dict[str, Any]", told) else None


def problem(words: ApiWords) -> str | None:
    """What is wrong with the words of a profile."""
    if words.site not in (None, S3M.name.lower()):
        return f"site is s3m or left out for a slurmrestd, not {words.site!r}"
    if words.user is not None and not is_user(words.user):
        return f"user goes into a header: ASCII letters without blanks, not {words.user!r}"
    if words.version is not None and version_of(words.version) is None:
        return f"api_version is v0.0.{OLDEST} or later, such as {KNOWN[0].name}, not {words.version!r}"
    return None


def _site(words: ApiWords) -> Site:
    return S3M if words.site == S3M.name.lower() else SLURMRESTD


API = ApiKind(
    name="slurm",
    title="Slurm's REST API",
    rules=RULES,
    make=SlurmDialect,
    grades=lambda url, words: GRADES,
    knock=ROOT,
    recognise=recognise,
    credential=credential,
    problem=problem,
)
