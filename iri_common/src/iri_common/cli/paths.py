"""What the commands under ``iri path`` do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from iri_common.cli.asking import key_of
from iri_common.cli.door import open_facility, same_door
from iri_common.cli.exits import Exit
from iri_common.cli.jobspec import pairs
from iri_common.cli.leasing import lease_words, limit_of, meant, told
from iri_common.cli.options import DoorWords
from iri_common.cli.path_app import PathWords
from iri_common.cli.preview import request_words, show_requests
from iri_common.cli.speak import Screen
from iri_common.facility.networks import LIMIT
from iri_common.model.errors import IriError, UsageError
from iri_common.model.key import JobKey
from iri_common.model.network import (
    LeaseState,
    LeaseStatus,
    NetworkPath,
    PathEnd,
    PathIntent,
    PathPort,
    Quality,
)
from iri_common.model.ref import JobRef

if TYPE_CHECKING:
    from iri_common.facility.facility import Facility


def plan(screen: Screen, door: DoorWords, ends: Sequence[str], words: PathWords) -> int:
    """What the network could give."""
    facility, intent = open_facility(door), intent_of(ends, words)
    offer = facility.networks.negotiate(intent)
    if screen.as_json:
        most = [{"connection": each.connection, "mbps": each.mbps} for each in offer.most]
        screen.document({"ok": True, "exit": 0, "mbps": offer.mbps, "connections": most})
        return Exit.OK
    most = "it does not say how much" if offer.mbps is None else f"up to {offer.mbps} Mbit/s"
    screen.result(f"{facility.name} finds such a path: {most}.")
    screen.say("Nothing was reserved; it may be the whole link's, and old.", "dim")
    return Exit.OK


def open_path(
    screen: Screen,
    door: DoorWords,
    ends: Sequence[str],
    words: PathWords,
    key: str | None,
    timeout: str | None,
    *,
    waits: bool,
    dry_run: bool,
) -> int:
    """Ask for a path, and wait until it is up."""
    facility, intent = open_facility(door), intent_of(ends, words)
    limit, asker = limit_of(timeout, LIMIT), key_of(key) if key else JobKey.random()
    if dry_run:
        return _previewed(screen, facility, intent, asker, named=key is not None)
    path = facility.networks.provision(intent, key=asker)
    screen.say(f"path {path.id} at {facility.name}: asked for", "dim")
    if waits:
        return _until_up(screen, facility, door, path, limit)
    return _shown(screen, path)


def change(
    screen: Screen,
    door: DoorWords,
    reference: str,
    ends: Sequence[str],
    words: PathWords,
    timeout: str | None,
    *,
    dry_run: bool,
) -> int:
    """Have a path become another one, and wait until it is up again."""
    ref, intent, limit = JobRef.parse(reference), intent_of(ends, words), limit_of(timeout, LIMIT)
    facility = open_facility(door, ref)
    if dry_run:
        return _previewed(screen, facility, intent, ref.key, named=True, change=ref)
    path = facility.networks.modify(ref, intent, timeout=limit)
    screen.say(f"path {path.id} at {facility.name}: the change was asked for", "dim")
    return _until_up(screen, facility, door, path, limit)


def _until_up(screen: Screen, facility: Facility, door: DoorWords, path: NetworkPath, limit: float) -> int:
    seen = path

    def tell(status: LeaseStatus) -> None:
        nonlocal seen
        seen = NetworkPath(path.ref, status)
        screen.change(str(status.state), f"{status.state}, {status.words}")

    def work() -> int:
        return _shown(screen, facility.networks.wait(path, timeout=limit, on_change=tell))

    hint = f"iri path show{same_door(door, path.ref.profile)} '{path.ref}'"
    return told(screen, lambda: path_words(seen), hint, work)


def _shown(screen: Screen, path: NetworkPath) -> int:
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, **path_words(path)})
    else:
        screen.result(str(path.ref))
    return Exit.OK


def show(screen: Screen, door: DoorWords, reference: str | None, key: str | None) -> int:
    """How a path stands, and what was set up for it."""
    ((facility, ref),) = _meant(door, [reference] if reference else [], key)
    path = facility.networks.status(ref)
    ports = _ports(facility, path)
    proof = facility.networks.verify(ref) if path.status.reserved and not path.status.missing else None
    missing = proof.missing if proof else ""
    if screen.as_json:
        rows = [{"port": each.uri, "vlan": each.vlan, "node": each.node} for each in ports]
        verified = proof.whole if proof else None
        document = {**path_words(path), "verified": verified, "missing": missing, "ports": rows}
        screen.document({"ok": True, "exit": 0, **document})
        return Exit.OK
    facts = [("path", path.id), ("state", f"{path.status.state} ({path.status.words or 'not known there'})")]
    facts += [("name", path.status.alias or ""), ("key", ref.key.identity), ("ref", str(ref))]
    screen.facts([each for each in facts if each[1]])
    if ports:
        screen.table(("PORT", "VLAN", "NODE"), [(each.uri, each.vlan, each.node) for each in ports])
    if missing:
        screen.say("Its sites have not set up:", "yellow")
        screen.result(missing)
    return Exit.OK


def _ports(facility: Facility, path: NetworkPath) -> Sequence[PathPort]:
    if not path.up:
        return ()
    try:
        return facility.networks.manifest(path)
    except IriError:  # the path stands, whatever an orchestrator of another release makes of the template
        return ()


def listed(screen: Screen, door: DoorWords) -> int:
    """The paths on record here."""
    facility = open_facility(door)
    paths = [facility.networks.status(each) for each in facility.networks.mine()]
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "paths": [path_words(each) for each in paths]})
        return Exit.OK
    if paths:
        columns = ("STATE", "PATH", "KEY")
        rows = [(str(each.status.state), each.id, each.ref.key.identity) for each in paths]
        screen.table(columns, rows, states=("STATE",), whole=("PATH",))
    else:
        screen.say(f"No path at {facility.name} is on record here.", "dim")
    return Exit.OK


def listed_profiles(screen: Screen, door: DoorWords) -> int:
    """What the network's operators describe."""
    profiles = open_facility(door).networks.profiles()
    if screen.as_json:
        rows = [{"id": each.id, "name": each.name, "description": each.description} for each in profiles]
        screen.document({"ok": True, "exit": 0, "profiles": rows})
        return Exit.OK
    for each in profiles:
        screen.entry(each.name, each.id, [each.description] if each.description else [])
    return Exit.OK


def close(
    screen: Screen, door: DoorWords, references: Sequence[str], key: str | None, timeout: str | None
) -> int:
    """Give paths back."""
    limit, done = limit_of(timeout, LIMIT), list[dict[str, Any]]()
    for facility, ref in _meant(door, references, key):
        path = facility.networks.cancel(ref, timeout=limit)
        facility.networks.delete(ref)
        gone = path.status.state is LeaseState.MISSING
        screen.say(f"path {ref.job_id} at {facility.name}: {'it was gone' if gone else 'given back'}.")
        done.append(lease_words(ref))
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "closed": done})
    return Exit.OK


def _meant(door: DoorWords, references: Sequence[str], key: str | None) -> list[tuple[Facility, JobRef]]:
    return meant(door, references, key, lambda facility: facility.networks.mine(), "path")


def intent_of(ends: Sequence[str], words: PathWords) -> PathIntent:
    """The path that the options describe.

    Raises:
        UsageError: for words that make no sense.
    """
    names = {str(each).replace(" ", "-"): each for each in Quality}
    if words.quality not in names:
        raise UsageError(f"--quality is one of {', '.join(names)}, not {words.quality!r}")
    return PathIntent(
        ends=[_end(each) for each in ends],
        mbps=words.mbps,
        quality=names[words.quality],
        start=words.start,
        end=words.end,
        profile=words.profile,
        changes=pairs("--change", words.change or ()) or {},
        name=words.name,
    )


def _end(word: str) -> PathEnd:
    uri, equals, vlan = word.rpartition("=")
    return PathEnd(uri, vlan) if equals else PathEnd(word)


def _previewed(
    screen: Screen,
    facility: Facility,
    intent: PathIntent,
    key: JobKey,
    *,
    named: bool,
    change: JobRef | None = None,
) -> int:
    seen = facility.networks.preview(intent, key=key, change=change)
    bandwidth = f"{intent.mbps} Mbit/s, {intent.quality}" if intent.mbps else str(intent.quality)
    lasts = f"from {intent.start} " + (f"to {intent.end}" if intent.end else "until it is closed")
    if screen.as_json:
        asked = {
            "ends": [{"uri": each.uri, "vlan": each.vlan} for each in intent.ends],
            "mbps": intent.mbps,
            "quality": str(intent.quality),
            "start": intent.start,
            "end": intent.end,
            "profile": intent.profile,
            "changes": dict(intent.changes),
            "name": key.job_name(intent.name),
            "key": key.identity,
        }
        requests = [request_words(each) for each in seen]
        screen.document({"ok": True, "exit": 0, "dry_run": True, "path": asked, "requests": requests})
        return Exit.OK
    screen.heading("Path")
    ends = [(f"end {number}", f"{each.uri} VLAN {each.vlan}") for number, each in enumerate(intent.ends, 1)]
    described = [("profile", intent.profile)] if intent.profile else ends
    changes = [("change", f"{name} = {value}") for name, value in intent.changes.items()]
    shown = key.identity if named else "a new one for every path, as no --key was given"
    screen.facts(
        [
            ("network", facility.name),
            *described,
            *changes,
            ("bandwidth", bandwidth),
            ("lasts", lasts),
            ("name", key.job_name(intent.name)),
            ("key", shown),
        ]
    )
    show_requests(screen, seen)
    return Exit.OK


def path_words(path: NetworkPath) -> dict[str, Any]:
    """A path, for a program."""
    status = path.status
    return {**lease_words(path.ref), "state": str(status.state), "words": status.words, "up": path.up}
