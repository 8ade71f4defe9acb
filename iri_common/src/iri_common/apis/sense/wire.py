"""Replies as SENSE sends them, as far as they are used."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from iri_common.apis.reading import Id, WireModel

_DIGITS = 24  # more are no bandwidth


def _whole_or_none(value: object) -> object:
    text = str(value).strip()
    whole, _, rest = text.partition(".")
    fits = whole.isascii() and whole.isdecimal() and len(whole) < _DIGITS and not rest.strip("0")
    return int(whole) if fits else None


def _text_or_empty(value: object) -> object:
    return value if isinstance(value, str) else ""


def _value_or_empty(value: object) -> object:
    text = str(value).strip() if isinstance(value, str | int) else ""
    return "" if text.startswith("?") and text.endswith("?") else text


Whole = Annotated[int | None, BeforeValidator(_whole_or_none)]
Text = Annotated[str, BeforeValidator(_text_or_empty)]
Value = Annotated[str, BeforeValidator(_value_or_empty)]


class ResultReply(WireModel):
    """One answer to a question about bandwidth, in bits a second."""

    name: Text = ""
    bandwidth: Whole = None


class QueryReply(WireModel):
    """The answers to one question."""

    asked: Text = ""
    results: Any = None


class ComputedReply(WireModel):
    """Schema ServiceIntentResponse. Its ``model`` may be megabytes, and is not looked at."""

    service_uuid: Text = ""
    intent_uuid: Id
    queries: Any = None


class InstanceReply(WireModel):
    """An instance, alone or in a list; the lists call its id otherwise."""

    reference: Text = Field("", alias="referenceUUID")
    uuid: Text = ""
    alias: Text = ""
    state: Text = ""
    doing: Text = Field("", alias="superState")
    phase: Text = Field("", alias="subState")
    last: Text = Field("", alias="lastState")
    configured: Text = Field("", alias="configState")
    intents: Any = None


class InstancesReply(WireModel):
    """Of ``GET /discover/service/instances``."""

    instances: Any = None


class VerificationReply(WireModel):
    """Schema VerificationResult; the verdicts are texts."""

    unverified_addition: Text = ""
    unverified_reduction: Text = ""
    addition: Text = ""
    reduction: Text = ""


class ManifestReply(WireModel):
    """Of ``POST /service/manifest/{uuid}/json``; its JSON is a text."""

    filled: str = Field(alias="jsonTemplate")


class PortsReply(WireModel):
    """What is in that text."""

    ports: Any = None


class PortReply(WireModel):
    """A row of it. Of a variable that has no value the row holds the variable."""

    port: Value = ""
    vlan: Value = ""
    node: Value = ""
    ipv4: Value = ""
    ipv6: Value = ""
    mac: Value = ""


class ProfileReply(WireModel):
    """Schema SlimProfile."""

    uuid: Id
    name: Text = ""
    description: Text = ""


class DomainReply(WireModel):
    """A network or a site; releases differ in how they call its two names."""

    uri: Text = ""
    name: Text = ""
    domain_uri: Text = ""
    domain_name: Text = ""


class DomainsReply(WireModel):
    """Of ``GET /discover/domains``."""

    domains: Any = None
