"""How tokens travel to Slurm, and what S3M tells of one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from iri_common.apis.kind import ApiWords
from iri_common.apis.reading import Moment, WireModel
from iri_common.apis.slurm.versions import S3M
from iri_common.auth.claims import claims_of
from iri_common.http.session import Credential
from iri_common.model.ports import Token

SOON = timedelta(days=7)  # a person makes the next one, on a web page


def credential(words: ApiWords) -> Credential:
    """The headers that carry a token: Slurm's own two, or at S3M the token without a scheme before it."""

    def slurm(token: Token) -> Mapping[str, str]:
        user = words.user or _named_in(token.value)
        name = {"x-slurm-user-name": user} if user else {}
        return {**name, "x-slurm-user-token": token.value}

    def raw(token: Token) -> Mapping[str, str]:
        return {"authorization": token.value}

    return raw if words.site == S3M.name.lower() else slurm


def _named_in(token: str) -> str | None:
    """The user that a Slurm token names ("sun"); slurmrestd 22.05 wants to hear it in a header as well."""
    user = claims_of(token).get("sun")
    return user if isinstance(user, str) and is_user(user) else None


def is_user(name: str) -> bool:
    """Whether it can be a header's value as it is."""
    return re.fullmatch("[!-~]+", name) is not None


def _none_if_empty(value: object) -> object:
    return value or None  # an unset time is ""


class _TokenReply(WireModel):
    """S3M's TokenInfo; proto3 leaves out what is false or empty."""

    username: str = ""
    project: str = ""
    permissions: tuple[str, ...] = ()
    planned_expiration: Annotated[Moment | None, BeforeValidator(_none_if_empty)] = Field(
        None, alias="plannedExpiration"
    )
    one_time: bool = Field(False, alias="oneTimeToken")
    delayed: bool = Field(False, alias="delayedStart")
    delay_date: Annotated[Moment | None, BeforeValidator(_none_if_empty)] = Field(None, alias="delayDate")
    enclave: str = Field("", alias="securityEnclave")


class IntrospectReply(WireModel):
    """Reply of S3M's introspection."""

    token: _TokenReply


@dataclass(frozen=True, slots=True)
class ProjectToken:
    """What S3M tells of a project token; the token itself tells nothing of this.

    Attributes:
        user: Who owns its jobs: not the person, but the project's automation user.
        project: To charge.
        permissions: Of S3M.
        expires: After which a person makes another one; it cannot be renewed.
        begins: Before which it is refused.
        one_time: It works for one call, which was the one that told this.
        enclave: Where it counts.
    """

    user: str
    project: str
    permissions: Sequence[str] = ()
    expires: datetime | None = None
    begins: datetime | None = None
    one_time: bool = False
    enclave: str = ""

    def concerns(self, now: datetime) -> Sequence[str]:
        """What a person should know before it is relied on, a sentence each."""
        told: list[str] = []
        if self.one_time:
            told.append("it works for one call, and this was the one: make one that is not one-time")
        if self.expires and self.expires - now < SOON:
            told.append(
                f"it ends on {self.expires:%Y-%m-%d %H:%M} UTC and cannot be renewed: make the next one"
            )
        if self.begins and self.begins > now:
            told.append(f"it begins on {self.begins:%Y-%m-%d %H:%M} UTC and is refused before")
        if "compute-ace" not in self.permissions:
            told.append("it lacks the permission compute-ace, so it submits and cancels no job")
        return told


def project_token(reply: IntrospectReply) -> ProjectToken:
    """The token that an introspection tells of."""
    token = reply.token
    return ProjectToken(
        user=token.username,
        project=token.project,
        permissions=token.permissions,
        expires=token.planned_expiration,
        begins=token.delay_date if token.delayed else None,
        one_time=token.one_time,
        enclave=token.enclave,
    )
