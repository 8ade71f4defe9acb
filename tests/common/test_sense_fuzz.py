"""Whatever a SENSE sends, a caller sees a value or an IriError."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sense_wire import LEASE, Wire, dialect

from iri_common.model.errors import IriError
from iri_common.model.network import PathEnd, PathIntent
from iri_common.model.outcome import Done
from iri_common.model.ports import WireReply

WORDS = [
    *(
        "service_uuid",
        "intent_uuid",
        "queries",
        "asked",
        "results",
        "bandwidth",
        "model",
        "instances",
        "alias",
    ),
    *("referenceUUID", "uuid", "state", "superState", "subState", "lastState", "configState", "exception"),
    *("domains", "domain_uri", "domain_name", "uri", "name", "description", "addition", "reduction"),
    *("unverified_addition", "unverified_reduction", "locked", "archived"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**30, max_value=10**31)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=8)
    | st.sampled_from(
        ["CREATE - READY", "STABLE", "total-block-maximum-bandwidth", "²", "1e400", LEASE, "flow"]
    )
)
replies = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=15,
)
INTENT = PathIntent((PathEnd("urn:a"), PathEnd("urn:b")), mbps=1)
CALLS = [
    lambda d: d.networks.new(),
    lambda d: d.networks.compute(LEASE, INTENT, "flow"),
    lambda d: d.networks.provision(LEASE, "i"),
    lambda d: d.networks.modify(LEASE, INTENT, "flow"),
    lambda d: d.networks.manifest(LEASE),
    lambda d: d.networks.status(LEASE),
    lambda d: d.networks.find("flow"),
    lambda d: d.networks.verification(LEASE),
    lambda d: d.networks.cancel(LEASE, force=True),
    lambda d: d.networks.delete(LEASE),
    lambda d: d.networks.profiles(),
    lambda d: d.status.resources(),
    lambda d: d.status.resource("urn:a"),
    lambda d: d.accounts.whoami(),
]
KINDS = st.sampled_from(["application/json", "application/json;charset=UTF-8", "text/plain", "text/html", ""])


async def asked(call, status, body, kind="application/json"):
    with contextlib.suppress(IriError):
        door = dialect(Wire(WireReply(status, {"content-type": kind}, body)), user="u")
        assert isinstance(await call(door), Done)


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=25, deadline=None)
@given(
    value=replies,
    inside=st.sampled_from([None, "queries", "instances", "domains", "intents"]),
    status=st.sampled_from([200, 200, 200, 201, 204, 400, 401, 403, 404, 409, 500, 503]),
    kind=KINDS,
)
async def test_any_json(call, value, inside, status, kind):
    told = value if inside is None else {"intent_uuid": "i", inside: [value]}
    await asked(call, status, json.dumps(told).encode(), kind)


@settings(max_examples=50, deadline=None)
@given(value=replies)
async def test_any_manifest(value):
    for text in (json.dumps({"ports": value}), json.dumps({"ports": [value]}), json.dumps(value), "{"):
        told = json.dumps({"jsonTemplate": text}).encode()
        await asked(lambda d: d.networks.manifest(LEASE), 200, told)


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=10, deadline=None)
@given(body=st.binary(max_size=40), kind=KINDS)
async def test_any_bytes(call, body, kind):
    await asked(call, 200, body, kind)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("key", ["queries", "instances", "state", "domains", "unverified_addition"])
async def test_nesting_as_deep_as_it_comes(call, key):
    await asked(call, 200, (f'{{"{key}": ' * 300 + "1" + "}" * 300).encode())
    await asked(call, 200, b"[" * 100_000)
    await asked(call, 200, b"{" * 100_000, "text/plain")
