"""What Globus' names, scopes and error codes mean; data and pure functions."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from iri_common.policy.classify import Outcome

TRANSFER = "transfer.api.globus.org"  # as a resource server
FLOWS = "flows.globus.org"
COMPUTE = "funcx_service"  # Globus Compute's name from when it was funcX
_ALL = "urn:globus:auth:scope:transfer.api.globus.org:all"
_OF_COLLECTION = re.compile(r"https://auth\.globus\.org/scopes/([0-9a-fA-F-]{36})/(?:data_access|https)\b")
# The scopes of Flows are named by an id, not by its host name as those of other services.
_OF_FLOWS = "https://auth.globus.org/scopes/eec9b274-0c81-4334-bdc2-54e90e689b9a/"
_OF_COMPUTE = "https://auth.globus.org/scopes/facd7ccc-c5f4-42aa-916b-a0e270e2c2a9/all"
_WANTED = re.compile(r"requires the following scopes?: (https://\S+)")

LOGIN = "iri globus login"


def data_access_scope(collection: str) -> str:
    """What Transfer needs beside its own scope for a mapped collection's files."""
    return f"https://auth.globus.org/scopes/{collection}/data_access"


def https_scope(collection: str) -> str:
    """What the collection's own HTTPS needs."""
    return f"https://auth.globus.org/scopes/{collection}/https"


def transfer_scope(collections: Iterable[str] = ()) -> str:
    """The scope of Transfer, with the data of these collections as optional dependencies."""
    inner = " ".join(f"*{data_access_scope(each)}" for each in sorted(collections))
    return f"{_ALL}[{inner}]" if inner else _ALL


def runs_scopes() -> Sequence[str]:
    """What looking at runs of flows needs, and ending them; not what making flows does."""
    return [f"{_OF_FLOWS}run_manage", f"{_OF_FLOWS}run_status"]


def flow_scope(flow_id: str) -> str:
    """What starting a flow needs: each is a resource server of its own, named by its id."""
    return f"https://auth.globus.org/scopes/{flow_id}/flow_{flow_id.replace('-', '_')}_user"


def compute_scopes() -> Sequence[str]:
    """What Globus Compute needs: it has one scope for everything."""
    return [_OF_COMPUTE]


def wanted_scope(words: str) -> str | None:
    """The scope that Flows misses in a token; its refusal tells it in words only (MISSING_SCOPE)."""
    found = _WANTED.search(words)
    return found[1] if found else None


def needs_data_access(endpoint: Mapping[str, object]) -> bool:
    """Whether a collection has that scope; asked for where there is none, a login fails (Unknown Scope)."""
    return endpoint.get("entity_type") == "GCSv5_mapped_collection" and not endpoint.get("high_assurance")


@dataclass(frozen=True, slots=True)
class Needs:
    """What Globus Auth asks of a login before it lets a request through (its GARE document)."""

    scopes: Sequence[str] = ()
    domains: Sequence[str] = ()
    policies: Sequence[str] = ()
    identities: Sequence[str] = ()
    mfa: bool = False
    message: str = ""

    @property
    def session(self) -> bool:
        """Whether a person has to show up, not only to consent."""
        return bool(self.domains or self.policies or self.identities or self.mfa)

    @property
    def names(self) -> Sequence[str]:
        """All that is asked for, to be compared."""
        return (*self.scopes, *self.domains, *self.policies, *self.identities, *["mfa"] * self.mfa)

    def command(self, login: str = LOGIN) -> str:
        """The line to copy into a shell; every word is quoted, for they come from a server."""
        collections: list[str] = []
        others: list[str] = []
        for scope in self.scopes:
            # What hangs below another service's scope, as below a flow's, counts there alone.
            found = _OF_COLLECTION.findall(scope) if _is_data(scope) else []
            collections += found
            others += [] if found or scope == _ALL else [scope]
        words = [login]
        for option, values in (
            ("--collection", collections),
            ("--scope", others),
            ("--domain", self.domains),
            ("--policy", self.policies),
            ("--identity", self.identities),
        ):
            words += [f"{option} {shlex.quote(each)}" for each in dict.fromkeys(values)]
        return " ".join([*words, "--mfa"] if self.mfa else words)


def _is_data(scope: str) -> bool:
    root = scope.partition("[")[0]
    return root == _ALL or _OF_COLLECTION.match(root) is not None


_BY_CODE: Mapping[str, Outcome] = {
    "NotFound": Outcome.NOT_FOUND,
    "EndpointNotFound": Outcome.NOT_FOUND,
    "Exists": Outcome.CONFLICT,
    "Conflict": Outcome.CONFLICT,
    "PermissionDenied": Outcome.FORBIDDEN,
    "EndpointPermissionDenied": Outcome.FORBIDDEN,
    "NotDirectory": Outcome.INVALID,
    "AuthenticationFailed": Outcome.BAD_TOKEN,
}
_BY_STATUS: Mapping[int, Outcome] = {
    401: Outcome.BAD_TOKEN,
    403: Outcome.FORBIDDEN,
    404: Outcome.NOT_FOUND,
    408: Outcome.BROKEN,
    409: Outcome.CONFLICT,
    413: Outcome.TOO_LARGE,
    429: Outcome.RATE_LIMITED,
    500: Outcome.BROKEN,
    501: Outcome.NOT_OFFERED,
    502: Outcome.AWAY,
    503: Outcome.AWAY,
    504: Outcome.AWAY,
}


def outcome_of(status: int, code: str | None) -> Outcome:
    """What a reply means; the last word of a code says more than the status.

    ``ExternalError.MkdirFailed.Exists`` is a 502: what the collection's server said, not an outage.
    """
    last = (code or "").rpartition(".")[2]
    if status >= 400 and last in _BY_CODE:
        return _BY_CODE[last]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return Outcome.BROKEN if status >= 500 else Outcome.INVALID
