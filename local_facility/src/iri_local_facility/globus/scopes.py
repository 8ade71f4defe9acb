"""Scope strings: what they ask for, at which service, with which consents of other services below them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

TRANSFER = "transfer.api.globus.org"
AUTH = "auth.globus.org"
FLOWS = "flows.globus.org"
COMPUTE = "funcx_service"
COMPUTE_ALL = "https://auth.globus.org/scopes/facd7ccc-c5f4-42aa-916b-a0e270e2c2a9/all"
TRANSFER_ALL = f"urn:globus:auth:scope:{TRANSFER}:all"
_OF_AUTH = {"openid", "email", "profile"}
_AUTH_PREFIX = f"urn:globus:auth:scope:{AUTH}:"
# The scopes of Flows are named by an id, not by its host name as those of other services.
_FLOWS_PREFIX = "https://auth.globus.org/scopes/eec9b274-0c81-4334-bdc2-54e90e689b9a/"
_OF_FLOWS = {"all", "manage_flows", "view_flows", "run", "run_status", "run_manage"}
_OF_FLOW = re.compile(r"https://auth\.globus\.org/scopes/([0-9a-f-]{36})/flow_[0-9a-f_]{36}_user")
_OF_COLLECTION = re.compile(r"https://auth\.globus\.org/scopes/([0-9a-f-]{36})/(https|data_access)")
_TOKEN = re.compile(r"\s+|[\[\]]|\*?[^\s\[\]*]+")


class UnknownScope(ValueError):
    """A scope that no service here has, or a text that is none."""


@dataclass(frozen=True)
class Scope:
    """One scope and those that it depends on."""

    name: str
    dependencies: tuple[Scope, ...] = ()

    def paths(self, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        """The way from the root to this scope, and those to all below it: each is a consent."""
        here = (*above, self.name)
        yield here
        for dependency in self.dependencies:
            yield from dependency.paths(here)


def parse(text: str) -> list[Scope]:
    """The scopes of a request, such as ``openid urn:…:all[*https://…/data_access]``.

    Raises:
        UnknownScope: The text is no list of scopes.
    """
    tokens = [token for token in _TOKEN.findall(text) if not token.isspace()]
    if "".join(tokens) != "".join(text.split()):
        raise UnknownScope(text)
    found = _several(tokens)
    if tokens:
        raise UnknownScope(text)
    return found


def _several(tokens: list[str]) -> list[Scope]:
    found: list[Scope] = []
    while tokens and tokens[0] not in "[]":
        name = tokens.pop(0).removeprefix("*")
        below: list[Scope] = []
        if tokens and tokens[0] == "[":
            del tokens[0]
            below = _several(tokens)
            if not tokens or tokens.pop(0) != "]" or not below:
                raise UnknownScope(name)
        found.append(Scope(name, tuple(below)))
    return found


def service_of(scope: str) -> str:
    """The resource server that a scope belongs to.

    Raises:
        UnknownScope: None here.
    """
    if scope == TRANSFER_ALL:
        return TRANSFER
    if scope == COMPUTE_ALL:
        return COMPUTE
    if scope in _OF_AUTH or scope.startswith(_AUTH_PREFIX):
        return AUTH
    if scope.startswith(_FLOWS_PREFIX) and scope.removeprefix(_FLOWS_PREFIX) in _OF_FLOWS:
        return FLOWS
    if match := _OF_COLLECTION.fullmatch(scope):
        return match[1]
    if (match := _OF_FLOW.fullmatch(scope)) and scope == flow_user(match[1]):
        return match[1]
    raise UnknownScope(scope)


def wants_data_access(scope: str) -> bool:
    """Whether it is the consent that mapped collections ask for."""
    match = _OF_COLLECTION.fullmatch(scope)
    return match is not None and match[2] == "data_access"


def flows_scope(name: str) -> str:
    """A scope of the Flows service, such as ``run_status``."""
    return _FLOWS_PREFIX + name


def flow_user(flow_id: str) -> str:
    """The scope of those who start a flow; each flow is a resource server of its own."""
    return f"https://auth.globus.org/scopes/{flow_id}/flow_{flow_id.replace('-', '_')}_user"


def is_of_flow(scope: str) -> bool:
    """Whether it is the scope of a single flow."""
    return _OF_FLOW.fullmatch(scope) is not None
