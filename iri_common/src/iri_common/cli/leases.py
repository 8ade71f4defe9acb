"""What the commands under ``iri lease`` do."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from iri_common.cli.asking import key_of
from iri_common.cli.door import choose, open_facility, same_door
from iri_common.cli.exits import Exit
from iri_common.cli.guarded import Interrupted
from iri_common.cli.jobspec import amount
from iri_common.cli.lease_app import NodeWords
from iri_common.cli.leasing import limit_of
from iri_common.cli.options import DoorWords
from iri_common.cli.path_app import PathWords
from iri_common.cli.paths import intent_of, path_words
from iri_common.cli.speak import Screen
from iri_common.facility.networks import LIMIT
from iri_common.facility.pathandnodes import PathAndNodes
from iri_common.jobside.amounts import seconds_of
from iri_common.model.counts import agreed, many
from iri_common.model.network import LeaseStatus
from iri_common.model.pathandnodes import PathAndNodesIntent, PathAndNodesLease
from iri_common.model.reservation import NodesIntent


def plan(
    screen: Screen, door: DoorWords, network: str, nodes: NodeWords, path: PathWords, ends: Sequence[str]
) -> int:
    """What there is of both."""
    intent = _intent(nodes, path, ends)
    offer = _both(door, network).negotiate(intent)
    there = {"usable": offer.nodes.usable, "free": offer.nodes.free, "idle": offer.nodes.idle}
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "mbps": offer.path.mbps, "nodes": there})
        return Exit.OK
    most = "it does not say how much" if offer.path.mbps is None else f"up to {offer.path.mbps} Mbit/s"
    screen.result(f"{network} finds such a path: {most}.")
    screen.result(
        f"Of {many(there['usable'], 'node')} {_are(there['free'])} reserved by nobody then, and "
        f"{_are(there['idle'])} idle now; {_are(intent.nodes.nodes)} wanted."
    )
    screen.say("Nothing was reserved.", "dim")
    return Exit.OK


def _are(count: int) -> str:
    return f"{count} {agreed(count, 'is', 'are')}"


def set_up(
    screen: Screen,
    door: DoorWords,
    network: str,
    nodes: NodeWords,
    path: PathWords,
    ends: Sequence[str],
    key: str,
    timeout: str | None,
) -> int:
    """Have both, or neither."""
    intent, limit = _intent(nodes, path, ends), limit_of(timeout, LIMIT)

    def tell(status: LeaseStatus) -> None:
        screen.change(str(status.state), f"{status.state}, path {status.words}")

    def work() -> int:
        lease = _both(door, network).set_up(intent, key=key_of(key), timeout=limit, on_change=tell)
        if screen.as_json:
            screen.document({"ok": True, "exit": 0, **_words(lease)})
        else:
            screen.result(lease.reservation_id or "")
        return Exit.OK

    return _way_back(screen, door, network, key, work)


def show(screen: Screen, door: DoorWords, network: str, key: str) -> int:
    """How both stand."""
    lease = _both(door, network).status(key_of(key))
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, **_words(lease)})
        return Exit.OK
    path, nodes = lease.path, lease.nodes
    facts = [("lease", lease.key.identity), ("state", lease.state)]
    facts += [("path", f"{path.id}, {path.status.state} ({path.status.words})")] if path else []
    facts += [("nodes", f"{nodes.state}, {nodes.reservation.words}")] if nodes else []
    facts += [("reservation", nodes.reservation_id)] if nodes else []
    screen.facts(facts)
    return Exit.OK


def listed(screen: Screen, door: DoorWords, network: str) -> int:
    """Those on record here."""
    both = _both(door, network)
    leases = [both.status(each) for each in both.mine()]
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "leases": [_words(each) for each in leases]})
    elif leases:
        rows = [(each.state, each.key.identity, each.reservation_id or "") for each in leases]
        screen.table(("STATE", "KEY", "RESERVATION"), rows, states=("STATE",), whole=("KEY",))
    else:
        screen.say("No lease of both is on record here.", "dim")
    return Exit.OK


def release(screen: Screen, door: DoorWords, network: str, key: str, timeout: str | None) -> int:
    """Give both back."""
    asker, limit = key_of(key), limit_of(timeout, LIMIT)

    def work() -> int:
        _both(door, network).release(asker, timeout=limit)
        screen.say(f"lease {asker.identity}: given back.")
        if screen.as_json:
            screen.document({"ok": True, "exit": 0, "key": asker.identity})
        return Exit.OK

    return _way_back(screen, door, network, key, work)


def _way_back(screen: Screen, door: DoorWords, network: str, key: str, work: Callable[[], int]) -> int:
    """Do work on a lease; after an interrupt tell whether any of it stands, and how to come back to it."""
    try:
        return work()
    except Interrupted as stop:
        asker = key_of(key)
        stands = asker in _both(door, network).mine()  # as it is on record; the facilities are not asked
        if stands:
            screen.say(f"Interrupted; what stands of lease {asker.identity} stays as it is.", "yellow")
            screen.say("The same command goes on with it. See what it is, and give it back, with:")
            names = [("--network", network), ("--key", key)]
            same = same_door(door, choose(door).profile)
            same += "".join(f" {option} {shlex.quote(name)}" for option, name in names)
            screen.copyable(f"iri lease show{same}")
            screen.copyable(f"iri lease release{same}")
        else:
            screen.say(f"Interrupted; nothing is on record of lease {asker.identity}.", "yellow")
        if screen.as_json:
            lease = {"key": asker.identity, "stands": stands}
            screen.document({"ok": False, "exit": int(stop.code), "interrupted": True, **lease})
        return stop.code


def _both(door: DoorWords, network: str) -> PathAndNodes:
    return PathAndNodes(network, open_facility(door))


def _intent(nodes: NodeWords, path: PathWords, ends: Sequence[str]) -> PathAndNodesIntent:
    seconds = amount("--time", seconds_of, nodes.time)
    accounts = (nodes.account,) if nodes.account else ()
    wanted = NodesIntent(nodes.nodes, int(seconds or 0), queue=nodes.queue, accounts=accounts)
    return PathAndNodesIntent(intent_of(ends, path), wanted)


def _words(lease: PathAndNodesLease) -> dict[str, Any]:
    """A lease, for a program."""
    nodes = lease.nodes
    return {
        "key": lease.key.identity,
        "state": lease.state,
        "ready": lease.ready,
        "reservation": lease.reservation_id,
        "path": path_words(lease.path) if lease.path else None,
        "nodes": {"state": str(nodes.state), "words": nodes.reservation.words} if nodes else None,
    }
