"""One core for HPC facility APIs: a job asked for once runs once, and the workflow learns the truth.

Names are loaded when they are first used: ``import iri_common`` loads neither httpx nor pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iri_common.apis.globus.credentials import GlobusCredential
    from iri_common.auth.client_credentials import ClientCredentials
    from iri_common.auth.static import StaticToken, token_from_command, token_from_env, token_from_file
    from iri_common.facility.among import Facilities, select
    from iri_common.facility.collections import GlobusSettings
    from iri_common.facility.compute import Compute
    from iri_common.facility.credentials import client_tokens
    from iri_common.facility.entrusting import EntrustedTransfers
    from iri_common.facility.faces import Transfers
    from iri_common.facility.facility import AsyncFacility, Facility
    from iri_common.facility.flows import Flows
    from iri_common.facility.jobs import Asked
    from iri_common.facility.keeping import Cleaned, MyJob
    from iri_common.facility.pathandnodes import PathAndNodes
    from iri_common.facility.preview import Preview
    from iri_common.jobs.ledger import FileLedger
    from iri_common.jobside.calls import FunctionCall, ShellCall
    from iri_common.jobside.journal import Journal
    from iri_common.jobside.script import job_of_script
    from iri_common.model.compute import ComputeEndpoint, ComputeState, ComputeTask, ShellResult
    from iri_common.model.credential import Credential, CredentialState, Principal
    from iri_common.model.errors import (
        AmbiguousReply,
        AuthError,
        ComputeFailed,
        Conflict,
        FlowFailed,
        GrantExceeded,
        IriError,
        JobFailed,
        JobLost,
        NotFound,
        NotOffered,
        PathFailed,
        PermissionDenied,
        ProfileError,
        RateLimited,
        Refused,
        ReplyError,
        ReservationLost,
        ResourceDown,
        SpecChanged,
        StreamLost,
        SubmitUncertain,
        TooLarge,
        TransferError,
        TransientError,
        Unreachable,
        UsageError,
        WaitTimeout,
    )
    from iri_common.model.facility import Availability, Incident, Resource
    from iri_common.model.files import FileEntry, FileStat
    from iri_common.model.flows import FlowRun, RunEvent, RunState
    from iri_common.model.grades import Grades
    from iri_common.model.grant import Grant
    from iri_common.model.job import JobResult, JobStatus
    from iri_common.model.key import JobKey
    from iri_common.model.ledger import Stage
    from iri_common.model.logs import LogChunk
    from iri_common.model.network import LeaseState, NetworkPath, PathEnd, PathIntent, PathOffer, Quality
    from iri_common.model.outcome import FacilityTask
    from iri_common.model.pathandnodes import PathAndNodesIntent, PathAndNodesLease, PathAndNodesOffer
    from iri_common.model.ports import TokenSource
    from iri_common.model.reason import JobReason
    from iri_common.model.ref import JobRef
    from iri_common.model.reservation import (
        NodeReservation,
        NodesIntent,
        NodesLease,
        NodesOffer,
        ReservationState,
    )
    from iri_common.model.spec import Container, JobAttributes, JobSpec, ResourceSpec, VolumeMount
    from iri_common.model.state import JobState
    from iri_common.model.streams import StreamAccess, StreamIntent, StreamLease, StreamState
    from iri_common.model.transfer import Progress, Road, TransferResult
    from iri_common.policy.choice import Choice, Requirements
    from iri_common.policy.generation import GenerationFacts, GenerationStep, generation_step
    from iri_common.policy.outage import OnOutage
    from iri_common.policy.roads import Plan

__version__ = "0.1.0"

_HOMES = {
    "facility.facility": ("Facility", "AsyncFacility"),
    "facility.among": ("Facilities", "select"),
    "facility.faces": ("Transfers",),
    "facility.entrusting": ("EntrustedTransfers",),
    "facility.collections": ("GlobusSettings",),
    "facility.flows": ("Flows",),
    "facility.compute": ("Compute",),
    "facility.jobs": ("Asked",),
    "facility.keeping": ("MyJob", "Cleaned"),
    "facility.preview": ("Preview",),
    "facility.pathandnodes": ("PathAndNodes",),
    "model.spec": ("JobSpec", "ResourceSpec", "JobAttributes", "Container", "VolumeMount"),
    "model.key": ("JobKey",),
    "model.reason": ("JobReason",),
    "model.ref": ("JobRef",),
    "model.state": ("JobState",),
    "model.job": ("JobStatus", "JobResult"),
    "model.facility": ("Availability", "Incident", "Resource"),
    "model.flows": ("FlowRun", "RunEvent", "RunState"),
    "model.compute": ("ComputeEndpoint", "ComputeTask", "ComputeState", "ShellResult"),
    "model.files": ("FileEntry", "FileStat"),
    "model.outcome": ("FacilityTask",),
    "model.transfer": ("Road", "Progress", "TransferResult"),
    "model.network": ("PathEnd", "PathIntent", "PathOffer", "Quality", "NetworkPath", "LeaseState"),
    "model.streams": ("StreamIntent", "StreamLease", "StreamAccess", "StreamState"),
    "model.reservation": (
        "NodesIntent",
        "NodesOffer",
        "NodesLease",
        "NodeReservation",
        "ReservationState",
    ),
    "model.pathandnodes": ("PathAndNodesIntent", "PathAndNodesOffer", "PathAndNodesLease"),
    "policy.roads": ("Plan",),
    "model.ports": ("TokenSource",),
    "auth.static": ("StaticToken", "token_from_command", "token_from_env", "token_from_file"),
    "auth.client_credentials": ("ClientCredentials",),
    "facility.credentials": ("client_tokens",),
    "apis.globus.credentials": ("GlobusCredential",),
    "model.credential": ("Credential", "CredentialState", "Principal"),
    "model.grades": ("Grades",),
    "model.grant": ("Grant",),
    "model.ledger": ("Stage",),
    "model.logs": ("LogChunk",),
    "jobside.calls": ("ShellCall", "FunctionCall"),
    "jobside.journal": ("Journal",),
    "jobside.script": ("job_of_script",),
    "jobs.ledger": ("FileLedger",),
    "policy.generation": ("GenerationFacts", "GenerationStep", "generation_step"),
    "policy.choice": ("Choice", "Requirements"),
    "policy.outage": ("OnOutage",),
    "model.errors": (
        "IriError",
        "UsageError",
        "ProfileError",
        "SpecChanged",
        "GrantExceeded",
        "NotOffered",
        "AuthError",
        "PermissionDenied",
        "Refused",
        "NotFound",
        "Conflict",
        "TooLarge",
        "TransientError",
        "RateLimited",
        "ResourceDown",
        "Unreachable",
        "AmbiguousReply",
        "SubmitUncertain",
        "ReplyError",
        "JobFailed",
        "JobLost",
        "FlowFailed",
        "ComputeFailed",
        "WaitTimeout",
        "TransferError",
        "PathFailed",
        "StreamLost",
        "ReservationLost",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "__version__",
    "Facility",
    "AsyncFacility",
    "Facilities",
    "select",
    "Requirements",
    "Choice",
    "JobSpec",
    "job_of_script",
    "ResourceSpec",
    "JobAttributes",
    "Container",
    "VolumeMount",
    "JobKey",
    "JobRef",
    "JobState",
    "JobStatus",
    "JobResult",
    "JobReason",
    "LogChunk",
    "Availability",
    "Incident",
    "Resource",
    "FileEntry",
    "FileStat",
    "Transfers",
    "EntrustedTransfers",
    "Flows",
    "FlowRun",
    "RunEvent",
    "RunState",
    "Compute",
    "ShellCall",
    "FunctionCall",
    "ComputeTask",
    "ComputeState",
    "ComputeEndpoint",
    "ShellResult",
    "FacilityTask",
    "TransferResult",
    "Progress",
    "Plan",
    "Road",
    "PathIntent",
    "PathEnd",
    "PathOffer",
    "Quality",
    "NetworkPath",
    "LeaseState",
    "StreamIntent",
    "StreamLease",
    "StreamAccess",
    "StreamState",
    "NodesIntent",
    "NodesOffer",
    "NodesLease",
    "NodeReservation",
    "ReservationState",
    "PathAndNodes",
    "PathAndNodesIntent",
    "PathAndNodesOffer",
    "PathAndNodesLease",
    "Credential",
    "CredentialState",
    "Principal",
    "TokenSource",
    "StaticToken",
    "token_from_env",
    "token_from_file",
    "token_from_command",
    "ClientCredentials",
    "client_tokens",
    "GlobusCredential",
    "GlobusSettings",
    "FileLedger",
    "Stage",
    "Grades",
    "Grant",
    "Journal",
    "Asked",
    "MyJob",
    "Cleaned",
    "Preview",
    "OnOutage",
    "GenerationFacts",
    "GenerationStep",
    "generation_step",
    "IriError",
    "UsageError",
    "ProfileError",
    "SpecChanged",
    "GrantExceeded",
    "NotOffered",
    "AuthError",
    "PermissionDenied",
    "Refused",
    "NotFound",
    "Conflict",
    "TooLarge",
    "TransientError",
    "RateLimited",
    "ResourceDown",
    "Unreachable",
    "AmbiguousReply",
    "SubmitUncertain",
    "ReplyError",
    "JobFailed",
    "JobLost",
    "FlowFailed",
    "ComputeFailed",
    "WaitTimeout",
    "TransferError",
    "PathFailed",
    "StreamLost",
    "ReservationLost",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
