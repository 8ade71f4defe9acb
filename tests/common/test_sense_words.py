"""SENSE's words in ours and ours in its: states, intents, and replies in all the shapes that they come in."""

from __future__ import annotations

import inspect
import itertools

import pytest
from sense_wire import LEASE, dialect, text
from told_wire import Wire, ok

from iri_common.apis.sense.states import is_reserved, lease_state, parts
from iri_common.model.errors import (
    AmbiguousReply,
    AuthError,
    Conflict,
    NotFound,
    NotOffered,
    Refused,
    ReplyError,
    TransientError,
    UsageError,
)
from iri_common.model.network import LeaseState, LeaseStatus, PathEnd, PathIntent, Quality
from iri_common.policy.leases import Step, WayOut, step, way_out

A, B = "urn:ogf:network:es.net:2013::a:+", "urn:ogf:network:es.net:2013::b:+"
INTENT = PathIntent((PathEnd(A), PathEnd(B, "3600-3619")), mbps=1000, name="flow")
S = LeaseState
PHASES = ("INIT", "PENDING", "COMPILED", "PROPAGATED", "COMMITTING", "COMMITTED", "READY", "FAILED")
CONFIGURED = ("UNKNOWN", "PENDING", "SCHEDULED", "UNSTABLE", "STABLE", "EXPIRED")


@pytest.mark.parametrize(
    ("doing", "phase", "configured", "state"),
    [
        ("CREATE", "INIT", "UNKNOWN", S.NEW),
        ("CREATE", "COMPILED", "UNKNOWN", S.NEW),
        ("MODIFY", "COMPILED", "STABLE", S.PENDING),
        ("CREATE", "COMMITTED", "STABLE", S.PENDING),
        ("CREATE", "READY", "PENDING", S.PENDING),
        ("CREATE", "READY", "UNSTABLE", S.PENDING),
        ("CREATE", "READY", "", S.PENDING),
        ("CREATE", "READY", "STABLE", S.UP),
        ("MODIFY", "READY", "STABLE", S.UP),
        ("REINSTATE", "READY", "STABLE", S.UP),
        ("CREATE", "READY", "SCHEDULED", S.SCHEDULED),
        ("CREATE", "READY", "EXPIRED", S.EXPIRED),
        ("CREATE", "READY", "stable", S.UNKNOWN),
        ("CREATE", "FAILED", "STABLE", S.FAILED),
        ("CANCEL", "FAILED", "STABLE", S.FAILED),
        ("CANCEL", "COMMITTED", "STABLE", S.ENDING),
        ("CANCEL", "READY", "UNSTABLE", S.ENDING),
        ("CANCEL", "READY", "", S.ENDING),
        ("CANCEL", "READY", "STABLE", S.ENDED),
        ("CANCEL", "ODD", "STABLE", S.UNKNOWN),
        ("ODD", "READY", "STABLE", S.UNKNOWN),
        ("CREATE", "ALREADY", "STABLE", S.UNKNOWN),
    ],
)
def test_states(doing, phase, configured, state):
    assert lease_state(doing, phase, configured) is state


def test_only_ready_and_stable_is_up_and_only_clean_is_over():
    for doing, phase, configured in itertools.product(
        ("CREATE", "MODIFY", "REINSTATE", "CANCEL"), PHASES, CONFIGURED
    ):
        state = lease_state(doing, phase, configured)
        both = (phase, configured) == ("READY", "STABLE")
        assert (state is S.UP) == (both and doing != "CANCEL")
        assert (state is S.ENDED) == (both and doing == "CANCEL")
        assert state is not S.UNKNOWN


def test_both_words_of_a_state():
    assert parts("CREATE - READY") == ("CREATE", "READY")
    assert parts("READY") == parts("a - b - c") == parts("") == ("", "")


def test_what_may_be_reserved():
    assert not is_reserved("CREATE", "COMPILED", "")
    assert not is_reserved("CREATE", "FAILED", "INIT")
    assert is_reserved("CREATE", "FAILED", "COMMITTING")
    assert is_reserved("CREATE", "FAILED", "")
    assert is_reserved("CANCEL", "FAILED", "INIT")


def seen(state, **words):
    return LeaseStatus(LEASE, state, **words)


@pytest.mark.parametrize(
    ("status", "before", "after"),
    [
        (seen(S.MISSING), Step.COMPUTE, Step.GONE),
        (seen(S.NEW), Step.COMPUTE, Step.PROVISION),
        (seen(S.FAILED, reserved=False), Step.COMPUTE, Step.THERE),
        (seen(S.FAILED), Step.THERE, Step.THERE),
        (seen(S.UNKNOWN), Step.THERE, Step.THERE),
        *((seen(each), Step.THERE, Step.THERE) for each in (S.PENDING, S.SCHEDULED, S.UP, S.ENDING, S.ENDED)),
    ],
)
def test_what_comes_next(status, before, after):
    assert (step(status, asked=False), step(status, asked=True)) == (before, after)


@pytest.mark.parametrize(
    ("status", "way"),
    [
        (seen(S.MISSING), WayOut.NOTHING),
        (seen(S.NEW), WayOut.DELETE),
        (seen(S.ENDED, canceled=True, ready=True), WayOut.DELETE),
        (seen(S.ENDING, canceled=True), WayOut.WAIT),
        (seen(S.UNKNOWN, canceled=True), WayOut.WAIT),
        (seen(S.FAILED, reserved=False), WayOut.DELETE),
        (seen(S.FAILED), WayOut.FORCE),
        (seen(S.FAILED, canceled=True), WayOut.STUCK),
        (seen(S.PENDING), WayOut.FORCE),
        (seen(S.PENDING, ready=True), WayOut.CANCEL),
        (seen(S.UP, ready=True), WayOut.CANCEL),
        (seen(S.EXPIRED, ready=True), WayOut.CANCEL),
        (seen(S.UNKNOWN), WayOut.FORCE),
    ],
)
def test_the_way_out(status, way):
    assert way_out(status) is way


async def test_an_intent_between_ends():
    wire = Wire(ok({"intent_uuid": "i", "service_uuid": LEASE}))
    await dialect(wire).networks.compute(LEASE, INTENT, "flow.tag-1")
    body = wire.requests[0].json
    [connection] = body["data"]["connections"]
    assert (body["service"], body["alias"]) == ("dnc", "flow.tag-1")
    assert connection["bandwidth"] == {"qos_class": "guaranteedCapped", "capacity": "1000"}
    assert [each["vlan_tag"] for each in connection["terminals"]] == ["any", "3600-3619"]
    assert "schedule" not in connection
    assert body["queries"][0]["ask"] == "total-block-maximum-bandwidth"


async def test_an_intent_with_a_schedule_and_one_of_many_ends():
    wire = Wire(ok({"intent_uuid": "i", "service_uuid": LEASE}))
    ends = (PathEnd(A), PathEnd(B), PathEnd("urn:c"))
    wanted = PathIntent(ends, start="+1h", end="+2h", quality=Quality.BEST_EFFORT)
    await dialect(wire).networks.compute(LEASE, wanted, "a")
    data = wire.requests[0].json["data"]
    assert data["type"] == "Multi-Point VLAN Bridge"
    assert data["connections"][0]["schedule"] == {"start": "+1h", "end": "+2h"}
    assert wire.requests[0].json["queries"][0]["options"][0]["end-before"] == "+2h"


async def test_an_intent_by_profile():
    wire = Wire(ok({"intent_uuid": "i", "service_uuid": LEASE}))
    vlan = "data.connections[0].terminals[0].vlan_tag"
    wanted = PathIntent(profile="p", mbps=2000, changes={vlan: "3605"})
    await dialect(wire).networks.compute(LEASE, wanted, "a")
    body = wire.requests[0].json
    assert body["service_profile_uuid"] == "p"
    assert "data" not in body
    assert body["queries"][0] == {
        "ask": "edit",
        "options": [{vlan: "3605"}, {"data.connections[0].bandwidth.capacity": "2000"}],
    }


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"ends": (PathEnd(A),)},
        {"ends": (PathEnd(A), PathEnd(B)), "profile": "p"},
        {"ends": (PathEnd(A), PathEnd(B)), "changes": {"a": "b"}},
        {"ends": (PathEnd(A), PathEnd(B)), "mbps": -1},
        {"profile": "p", "end": "+1h"},
    ],
)
def test_intents_that_make_no_sense(words):
    with pytest.raises(UsageError):
        PathIntent(**words)


@pytest.mark.parametrize("end", [("", "any"), (A, ""), (A, "all"), (A, "1-"), (A, "36O5")])
def test_ends_that_make_no_sense(end):
    with pytest.raises(UsageError):
        PathEnd(*end)


def test_an_intent_has_a_digest_of_all_its_words():
    assert INTENT.digest == PathIntent((PathEnd(A), PathEnd(B, "3600-3619")), mbps=1000, name="flow").digest
    assert INTENT.digest != PathIntent((PathEnd(A), PathEnd(B)), mbps=1000, name="flow").digest


async def test_what_there_is_is_told_in_bits_a_second():
    result = {"name": "Connection 1", "bandwidth": "10000000000"}
    queries = [
        {"asked": "edit", "results": "odd"},
        {"asked": "total-block-maximum-bandwidth", "results": [result, {"bandwidth": "2.5e9"}]},
    ]
    wire = Wire(ok({"intent_uuid": "i", "service_uuid": LEASE, "queries": queries, "model": "x" * 9}))
    offer = (await dialect(wire).networks.compute(LEASE, INTENT, "a")).value
    assert [each.mbps for each in offer.most] == [10_000, None]
    assert offer.mbps is None
    del queries[1]["results"][1]
    wire = Wire(ok({"intent_uuid": "i", "service_uuid": LEASE, "queries": queries}))
    assert (await dialect(wire).networks.compute(LEASE, INTENT, "a")).value.mbps == 10_000


@pytest.mark.parametrize("reply", [ok(LEASE), text(LEASE), text(f'"{LEASE}"'), text(f"{LEASE}\n")])
async def test_an_id_in_quotes_or_without(reply):
    assert (await dialect(Wire(reply)).networks.new()).value == LEASE


@pytest.mark.parametrize("reply", [text("x"), ok(None), ok({}), ok(7), text("")])
async def test_no_id(reply):
    with pytest.raises(ReplyError):
        await dialect(Wire(reply)).networks.new()


async def test_a_status_is_one_request():
    row = {"state": "CREATE - READY", "configState": "STABLE", "alias": "flow", "lastState": "COMMITTED"}
    wire = Wire(ok(row))
    status = (await dialect(wire).networks.status(LEASE)).value
    assert (status.state, status.ready, status.canceled, status.alias) == (S.UP, True, False, "flow")
    assert status.words == "CREATE - READY, STABLE"
    assert [each.url for each in wire.requests] == [f"http://door.example/restapi/instance/{LEASE}"]
    told = {"superState": "CANCEL", "subState": "READY", "configState": None}
    assert (await dialect(Wire(ok(told))).networks.status(LEASE)).value.state is S.ENDING


@pytest.mark.parametrize(
    "reply",
    [
        text(f"{LEASE} was not found", 404),
        text(f"ERROR: {LEASE} was not found"),
        ok({"exception": "was not found"}),
    ],
)
async def test_a_lease_that_is_not_there(reply):
    assert (await dialect(Wire(reply)).networks.status(LEASE)).value.state is S.MISSING


async def test_the_404_of_a_gateway_says_nothing_of_a_lease():
    reply = text("<html>", 404)
    reply.headers["content-type"] = "text/html"
    with pytest.raises(TransientError):
        await dialect(Wire(reply)).networks.status(LEASE)


async def test_only_leases_whose_name_ends_so():
    rows = [
        {"referenceUUID": "1", "alias": "flow.a-1", "state": "CREATE - READY"},
        {"referenceUUID": "2", "alias": "flow.a-11", "state": "CREATE - READY"},
        {"uuid": "3", "alias": "flow.a-1", "state": "CANCEL - READY"},
        {"alias": "flow.a-1"},
        {"uuid": "4", "alias": "a flow.a-1", "state": "CREATE - READY"},
        {"uuid": "5", "alias": None, "state": "CREATE - READY"},
    ]
    wire = Wire(ok({"instances": rows}))
    found = (await dialect(wire).networks.find("flow.a-1")).value
    assert [(each.lease_id, each.state) for each in found] == [
        ("1", S.PENDING),
        ("3", S.ENDING),
        ("4", S.PENDING),
    ]
    assert wire.requests[0].params == [("search", "flow.a-1")]


@pytest.mark.parametrize(
    ("reply", "whole"),
    [
        ({"verified_addition": "x", "addition": "true"}, True),
        ({"unverified_addition": "x", "addition": "false"}, False),
        ({"unverified_reduction": "x"}, False),
        ({"addition": "false"}, False),
        ({"unverified_addition": None, "unverified_reduction": " "}, True),
    ],
)
async def test_verification(reply, whole):
    assert (await dialect(Wire(ok(reply))).networks.verification(LEASE)).value.whole is whole


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (None, AmbiguousReply),
        (text("", 502), AmbiguousReply),
        (ok({"exception": "java.lang.NullPointerException"}, 500), AmbiguousReply),
        (text("ERROR while it worked"), AmbiguousReply),
        (text("cannot provision in state CREATE - READY", 500), Conflict),
        (ok({"exception": "instance is locked"}, 500), Conflict),
        (text("Instance x was not found", 404), NotFound),
        (ok({}, 401), AuthError),
    ],
)
async def test_what_became_of_an_act(reply, kind):
    for act in (
        lambda networks: networks.provision(LEASE, "i"),
        lambda networks: networks.cancel(LEASE, force=False),
    ):
        wire = Wire(reply)
        with pytest.raises(kind):
            await act(dialect(wire).networks)
        assert len(wire.requests) == 1


async def test_acts_hold_no_request_open():
    wire = Wire(text(""))
    networks = dialect(wire).networks
    await networks.provision(LEASE, None)
    await networks.provision(LEASE, "i")
    await networks.cancel(LEASE, force=True)
    await networks.cancel(LEASE, force=False)
    assert [list(each.params) for each in wire.requests] == [
        [("sync", "false"), ("intent", "last")],
        [("sync", "false"), ("intent", "i")],
        [("sync", "false"), ("force", "true")],
        [("sync", "false")],
    ]


@pytest.mark.parametrize("status", [400, 500])
async def test_no_path_is_a_refusal(status):
    words = "cannot find feasible path for connection 'Connection 1'"
    with pytest.raises(Refused, match="feasible path"):
        await dialect(Wire(text(words, status))).networks.compute(LEASE, INTENT, "a")


async def called(method):
    answer = method("x")
    return await answer if inspect.isawaitable(answer) else answer


async def test_what_a_network_lacks_names_what_serves_instead():
    door = dialect(Wire(ok({})))
    for part in (door.jobs, door.files, door.storage, door.operations):
        names = [name for name in dir(part) if not name.startswith("_")]
        assert names
        for name in names:
            with pytest.raises(NotOffered, match=r"facility\.networks|at one end of the path"):
                await called(getattr(part, name))
    with pytest.raises(NotOffered):
        await door.accounts.projects()


async def test_whose_a_token_is_the_profile_says():
    assert (await dialect(Wire(ok([])), user="alice").accounts.whoami()).value == "alice"
    with pytest.raises(NotOffered):
        await dialect(Wire(ok([]))).accounts.whoami()
    with pytest.raises(AuthError):
        await dialect(Wire(ok({}, 401)), user="alice").accounts.whoami()


async def test_domains_by_either_of_their_names():
    rows = [{"domain_uri": "urn:a", "domain_name": "A"}, {"uri": "urn:b"}, {"name": "nowhere"}]
    door = dialect(Wire(ok({"domains": rows})))
    assert [(each.id, each.name) for each in (await door.status.resources()).value] == [
        ("urn:a", "A"),
        ("urn:b", "urn:b"),
    ]
    with pytest.raises(NotFound):
        await door.status.resource("urn:c")


@pytest.mark.parametrize(
    ("filled", "ports"),
    [
        ('{"ports": []}', []),
        ("{}", []),
        (
            '{"ports": [{"port": "urn:p", "vlan": 3600, "node": "n", "ipv4": "?ipv4?"}]}',
            [("urn:p", "3600", "")],
        ),
        ('{"ports": [{"port": "?terminal?", "vlan": "?vlan?"}]}', []),
        ('{"ports": [{"port": "urn:p", "vlan": null, "ipv4": "10.0.0.1"}]}', [("urn:p", "", "10.0.0.1")]),
    ],
)
async def test_a_manifest_is_read_twice(filled, ports):
    wire = Wire(ok({"jsonTemplate": filled}))
    told = (await dialect(wire).networks.manifest(LEASE)).value
    assert [(each.uri, each.vlan, each.ipv4) for each in told] == ports
    assert wire.requests[0].url.endswith(f"/service/manifest/{LEASE}/json")


@pytest.mark.parametrize("filled", ["", "{", "[" * 100_000, '{"ports": {}}', '{"ports": [7]}', "7", None])
async def test_a_manifest_that_is_none(filled):
    with pytest.raises(ReplyError):
        await dialect(Wire(ok({"jsonTemplate": filled}))).networks.manifest(LEASE)


async def test_a_change_is_the_whole_intent_and_never_sent_twice_unseen():
    wire = Wire(None)
    with pytest.raises(AmbiguousReply):
        await dialect(wire).networks.modify(LEASE, INTENT, "flow")
    (request,) = wire.requests
    assert (request.method, dict(request.params)) == ("POST", {"sync": "false", "proceed": "true"})
    assert request.url.endswith(f"/instance/{LEASE}/modify")


async def test_the_newest_intent_tells_what_was_asked_last():
    told = {"state": "MODIFY - READY", "configState": "STABLE", "intents": [{"id": "a"}, {"id": "b"}]}
    assert (await dialect(Wire(ok(told))).networks.status(LEASE)).value.intent_id == "b"
    for odd in (None, [], [7], {"id": "a"}, [{"id": 7}]):
        status = (await dialect(Wire(ok({**told, "intents": odd}))).networks.status(LEASE)).value
        assert status.intent_id == ""
