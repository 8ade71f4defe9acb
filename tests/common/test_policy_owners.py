"""Whether jobs can read what a transfer brings: said where two owners are known to differ, and only there."""

from __future__ import annotations

import pytest

from iri_common import Principal
from iri_common.policy.owners import Writer, unread

ALICE = Principal("alice", "alice")
PROJECT = Principal("project STF040", "stf040_auser", "jobs run as the project's user")
NETWORK = Principal("alice")
PERSON, PROGRAM = Writer("the login", person=True), Writer("client c", person=False)


def writer(account: str, *, person: bool = False) -> Writer:
    return Writer("client c", person, account)


@pytest.mark.parametrize(
    ("principal", "who", "said"),
    [
        (PROJECT, PERSON, "belongs to the account of whoever logged in, and jobs there run as stf040_auser"),
        (PROJECT, writer("alice"), "belongs to alice, and jobs there run as stf040_auser"),
        (PROJECT, writer("stf040_auser"), ""),
        (PROJECT, writer("stf040_auser", person=True), ""),
        (PROJECT, PROGRAM, ""),  # a guest collection may be the project's
        (ALICE, PERSON, ""),  # who logged in may well be alice
        (ALICE, writer("alice"), ""),
        (ALICE, writer("bob"), "belongs to bob, and jobs there run as alice"),
        (NETWORK, writer("bob"), ""),
        (None, writer("bob"), ""),
        (None, PERSON, ""),
    ],
)
def test_it_is_said_where_both_are_known_and_differ(principal, who, said) -> None:
    told = unread("olcf", principal, who)
    assert (said in told) if said else told == ""
    if told:
        assert f"setfacl -m u:{principal.owner}:rX,d:u:{principal.owner}:rX" in told


def test_nothing_is_asked_where_nothing_could_be_concluded() -> None:
    assert [each.known for each in (PERSON, PROGRAM, writer("alice"))] == [True, False, True]
