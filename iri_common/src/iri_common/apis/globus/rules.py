"""What Globus' names, scopes and error codes mean; data and pure functions."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from iri_common.policy.classify import Outcome

TRANSFER = "transfer.api.globus.org"  # as a resource server
_ALL = "urn:globus:auth:scope:transfer.api.globus.org:all"
_OF_COLLECTION = re.compile(r"https://auth\.globus\.org/scopes/([0-9a-fA-F-]{36})/(?:data_access|https)\b")

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

    def command(self, login: str = LOGIN) -> str:
        """The line to copy into a shell; every word is quoted, for they come from a server."""
        collections: list[str] = []
        others: list[str] = []
        for scope in self.scopes:
            found = _OF_COLLECTION.findall(scope)
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
