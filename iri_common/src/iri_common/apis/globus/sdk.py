"""The blocking side: Globus' services through the SDK, and what its exceptions mean. Loads the SDK."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import globus_sdk
import requests
import urllib3.exceptions
from globus_sdk.authorizers import GlobusAuthorizer
from globus_sdk.gare import to_gare
from globus_sdk.transport import RequestsTransport, RetryConfig

from iri_common.apis.globus.rules import Needs, outcome_of, wanted_scope
from iri_common.policy.classify import Outcome, retry_after

HTTP_SECONDS = 30.0  # of silence; the SDK's own minute, six times, would hold the thread of all callers
_LONGEST = 500  # characters of Globus' words


@dataclass(frozen=True, slots=True)
class Trouble:
    """What an exception of the SDK means; none of them may leave this floor, for they cannot be pickled.

    Attributes:
        outcome: As of any reply.
        words: Globus' own.
        status: HTTP status, where there was a reply.
        request_id: For Globus' support desk.
        retry_after: Seconds that Globus asks for.
        needs: What a login has to bring, where that is what is missing.
    """

    outcome: Outcome
    words: str
    status: int | None = None
    request_id: str | None = None
    retry_after: float | None = None
    needs: Needs | None = None


class Bearer(GlobusAuthorizer):
    """Asks for the token anew at each request."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token
        self.used = ""

    def get_authorization_header(self) -> str:
        """With the token of now."""
        self.used = self._token()
        return f"Bearer {self.used}"


def transport() -> RequestsTransport:
    """A wire with our limit on silence."""
    return RequestsTransport(http_timeout=HTTP_SECONDS)


def no_retries() -> RetryConfig:
    """The retry table of this project decides, not the SDK's."""
    return RetryConfig(max_retries=0)


def transfer_client(bearer: Bearer) -> globus_sdk.TransferClient:
    """Transfer, where ``GLOBUS_SDK_SERVICE_URL_TRANSFER`` or the SDK says."""
    return globus_sdk.TransferClient(authorizer=bearer, transport=transport(), retry_config=no_retries())


def flows_client(bearer: Bearer) -> globus_sdk.FlowsClient:
    """Runs of flows, where ``GLOBUS_SDK_SERVICE_URL_FLOWS`` or the SDK says."""
    return globus_sdk.FlowsClient(authorizer=bearer, transport=transport(), retry_config=no_retries())


def flow_client(flow_id: str, bearer: Bearer) -> globus_sdk.SpecificFlowClient:
    """One flow; it has a client of its own because its tokens are its own."""
    return globus_sdk.SpecificFlowClient(
        flow_id, authorizer=bearer, transport=transport(), retry_config=no_retries()
    )


@dataclass(frozen=True, slots=True)
class ComputeClients:
    """Both versions of Compute's API; each has what the other has not.

    Attributes:
        v2: Looks at endpoints and tasks.
        v3: Registers functions and submits.
    """

    v2: globus_sdk.ComputeClientV2
    v3: globus_sdk.ComputeClientV3


def compute_clients(bearer: Bearer) -> ComputeClients:
    """Compute, where ``GLOBUS_SDK_SERVICE_URL_COMPUTE`` or the SDK says."""
    return ComputeClients(
        globus_sdk.ComputeClientV2(authorizer=bearer, transport=transport(), retry_config=no_retries()),
        globus_sdk.ComputeClientV3(authorizer=bearer, transport=transport(), retry_config=no_retries()),
    )


def trouble_of(error: globus_sdk.GlobusError) -> Trouble:
    """What an exception means."""
    if isinstance(error, globus_sdk.GlobusAPIError):
        return _refusal(error)
    if isinstance(error, globus_sdk.GlobusConnectionTimeoutError):
        return Trouble(Outcome.NOT_SENT, "no connection in time")
    if isinstance(error, globus_sdk.NetworkError):
        cause = error.underlying_exception
        outcome = Outcome.NOT_SENT if _never_open(cause) else Outcome.LOST
        return Trouble(outcome, f"{type(cause).__name__}: {_host_only(error.message)}")
    return Trouble(Outcome.INVALID, _cut(f"{type(error).__name__}: {error}"))


def _refusal(error: globus_sdk.GlobusAPIError) -> Trouble:
    body: Any = error.raw_json
    words = error.message or _said(body) or f"HTTP {error.http_status}"
    headers = {name.lower(): value for name, value in error.headers.items()}
    outcome = outcome_of(error.http_status, error.code)
    if isinstance(error, globus_sdk.AuthAPIError) and error.http_status in {400, 401}:
        outcome = Outcome.BAD_TOKEN  # a client or a grant that Auth does not take
        if _said(body) == "unknown_scope":  # of a flow, a collection or an endpoint that there is not
            outcome, words = Outcome.INVALID, str(body.get("error_description") or words)
    return Trouble(
        outcome,
        _cut(words),
        error.http_status,
        error.request_id,
        retry_after(headers),
        needs_of(error) or _missing_scope(error),
    )


def _said(body: Any) -> str:
    """What the SDK does not read: OAuth's word, and Compute's sentence."""
    words: Sequence[Any] = [body.get(name) for name in ("error", "reason")] if isinstance(body, dict) else ()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return next((each for each in words if isinstance(each, str)), "")


def needs_of(error: globus_sdk.GlobusAPIError | dict[str, Any]) -> Needs | None:
    """What a login has to bring, out of an error or a document; None if that is not what it is about."""
    gare = to_gare(error)
    if gare is None:
        return None
    asked = gare.authorization_parameters
    return Needs(
        scopes=tuple(asked.required_scopes or ()),
        domains=_texts(asked.session_required_single_domain),
        policies=_texts(asked.session_required_policies),
        identities=_texts(asked.session_required_identities),
        mfa=bool(asked.session_required_mfa),
        message=_cut(asked.session_message or ""),
    )


def _missing_scope(error: globus_sdk.GlobusAPIError) -> Needs | None:
    scope = wanted_scope(error.message or "") if error.code == "MISSING_SCOPE" else None
    return Needs([scope]) if scope else None


def _texts(values: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(values or ())


def _never_open(cause: Exception) -> bool:
    reason = getattr(cause.args[0], "reason", None) if cause.args else None
    opening = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    return isinstance(cause, requests.ConnectionError) and isinstance(reason, opening)


def _host_only(words: str) -> str:
    return re.sub(r"\?\S*", "", _cut(words))


def _cut(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
