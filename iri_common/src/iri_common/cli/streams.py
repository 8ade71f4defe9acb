"""What the commands under ``iri stream`` do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from iri_common.cli.asking import key_of
from iri_common.cli.door import open_facility, same_door
from iri_common.cli.exits import Exit
from iri_common.cli.jobspec import pairs
from iri_common.cli.leasing import lease_words, limit_of, meant, told
from iri_common.cli.options import DoorWords
from iri_common.cli.preview import request_words, show_requests
from iri_common.cli.speak import Screen, elapsed
from iri_common.jobs.streamleases import LIMIT
from iri_common.model.errors import UsageError
from iri_common.model.key import JobKey
from iri_common.model.ref import JobRef
from iri_common.model.streams import StreamAccess, StreamBackend, StreamCluster, StreamIntent, StreamLease

if TYPE_CHECKING:
    from iri_common.facility.facility import Facility

Asked = tuple[str, str | None, Sequence[str], str]  # engine, kind, settings, name
NOT_FOUND, NOT_RUNNABLE = 127, 126  # as a shell says it of a command


def backends(screen: Screen, door: DoorWords) -> int:
    """What can be set up."""
    offered = open_facility(door).streams.backends()
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "backends": [_backend_words(each) for each in offered]})
        return Exit.OK
    for each in offered:
        options = [
            f"{option.name}: {option.least} to {option.most}, {option.default} if not said"
            for option in each.options
        ]
        about = [each.description] if each.description not in ("", each.engine) else []
        screen.entry(each.engine, each.kind, [*about, *options])
    return Exit.OK


def provision(
    screen: Screen,
    door: DoorWords,
    words: Asked,
    key: str | None,
    timeout: str | None,
    *,
    waits: bool,
    dry_run: bool,
) -> int:
    """Ask for a cluster, and wait until it can be used."""
    facility, intent = open_facility(door), intent_of(words)
    limit, asker = limit_of(timeout, LIMIT), key_of(key) if key else JobKey.random()
    if dry_run:
        return _previewed(screen, facility, intent, asker, named=key is not None)
    seen = facility.streams.provision(intent, key=asker)
    screen.say(f"cluster {seen.name} at {facility.name}: asked for", "dim")
    if not waits:
        return _shown(screen, seen)

    def tell(cluster: StreamCluster) -> None:
        nonlocal seen
        seen = StreamLease(seen.ref, cluster)
        screen.change(str(cluster.state), f"{cluster.state}, {cluster.words}")

    def work() -> int:
        return _shown(screen, facility.streams.wait(seen, timeout=limit, on_change=tell))

    hint = f"iri stream show{same_door(door, seen.ref.profile)} '{seen.ref}'"
    return told(screen, lambda: stream_words(seen), hint, work)


def use(screen: Screen, door: DoorWords, reference: str, command: Sequence[str], *, reveal: bool) -> int:
    """Hand the credentials of a cluster to a command, or show them to whoever asks for exactly that."""
    if reveal == bool(command):
        raise UsageError("give a command that shall have the credentials, or --reveal to have them printed")
    ref = JobRef.parse(reference)
    access = open_facility(door, ref).streams.access(ref)
    if not reveal:
        return _run(screen, command, access)
    if screen.as_json:
        secrets = {"user": access.user, "password": access.password, "urls": dict(access.urls)}
        screen.document({"ok": True, "exit": 0, **lease_words(ref), **secrets})
        return Exit.OK
    screen.facts([("user", access.user), ("password", access.password), *access.urls.items()])
    return Exit.OK


def _run(screen: Screen, command: Sequence[str], access: StreamAccess) -> int:
    secrets = {"USER": access.user, "PASSWORD": access.password}
    secrets |= {what.upper(): url for what, url in access.urls.items()}
    variables = {f"IRI_STREAM_{name}": value for name, value in secrets.items()}
    try:
        done = subprocess.run(command, env={**os.environ, **variables}, check=False)
    except OSError as error:
        screen.complain(f"{command[0]} cannot be run: {error.strerror}")
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def show(screen: Screen, door: DoorWords, reference: str | None, key: str | None) -> int:
    """How a cluster stands."""
    ((facility, ref),) = _meant(door, [reference] if reference else [], key)
    return _described(screen, facility.streams.status(ref))


def extend(screen: Screen, door: DoorWords, reference: str | None, key: str | None) -> int:
    """Let its time begin anew."""
    ((facility, ref),) = _meant(door, [reference] if reference else [], key)
    return _described(screen, facility.streams.extend(ref))


def _described(screen: Screen, lease: StreamLease) -> int:
    cluster, ref = lease.cluster, lease.ref
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, **stream_words(lease)})
        return Exit.OK
    left = "" if cluster.seconds_left is None else f"{elapsed(cluster.seconds_left)}, then it is deleted"
    chosen = ", ".join(f"{name}={value}" for name, value in cluster.settings.items())
    facts = [
        ("cluster", f"{cluster.name} ({' '.join(each for each in (cluster.engine, cluster.kind) if each)})"),
        ("state", f"{cluster.state} ({cluster.words})" if not cluster.missing else "missing"),
        ("time left", left),
        ("settings", chosen),
        ("key", ref.key.identity),
        ("ref", str(ref)),
    ]
    screen.facts([each for each in facts if each[1]])
    return Exit.OK


def listed(screen: Screen, door: DoorWords, *, every: bool) -> int:
    """The clusters on record here, or all of the project."""
    facility = open_facility(door)
    refs = {each.job_id: each for each in facility.streams.mine()}
    if every:
        found = [(refs.get(each.name), each) for each in facility.streams.clusters()]
    else:
        found = [(ref, facility.streams.status(ref).cluster) for ref in refs.values()]
    if screen.as_json:
        documents = [(lease_words(ref) if ref else {}) | cluster_words(cluster) for ref, cluster in found]
        screen.document({"ok": True, "exit": 0, "clusters": documents})
    elif found:
        columns = ("STATE", "ENGINE", "CLUSTER", "LEFT", "KEY")
        rows = [_row(ref, cluster) for ref, cluster in found]
        screen.table(columns, rows, states=("STATE",), whole=("CLUSTER",))
    else:
        whose = "" if every else " is on record here"
        screen.say(f"No cluster of message brokers at {facility.name}{whose}.", "dim")
    return Exit.OK


def _row(ref: JobRef | None, cluster: StreamCluster) -> tuple[str, ...]:
    left = "" if cluster.seconds_left is None else elapsed(cluster.seconds_left)
    whose = ref.key.identity if ref else "(not on record here)"
    return str(cluster.state), cluster.engine, cluster.name, left, whose


def release(
    screen: Screen, door: DoorWords, references: Sequence[str], key: str | None, timeout: str | None
) -> int:
    """Delete clusters for good."""
    limit, done = limit_of(timeout, LIMIT), list[dict[str, Any]]()
    for facility, ref in _meant(door, references, key):
        facility.streams.release(ref, timeout=limit)
        screen.say(f"cluster {ref.job_id} at {facility.name}: released.")
        done.append(lease_words(ref))
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "released": done})
    return Exit.OK


def _meant(door: DoorWords, references: Sequence[str], key: str | None) -> list[tuple[Facility, JobRef]]:
    return meant(door, references, key, lambda facility: facility.streams.mine(), "stream")


def intent_of(words: Asked) -> StreamIntent:
    """The cluster that the options describe.

    Raises:
        UsageError: for words that make no sense.
    """
    engine, kind, settings, name = words
    chosen = pairs("--set", settings) or {}
    for setting, value in chosen.items():
        if not (value.isascii() and value.isdecimal()):
            raise UsageError(f"--set {setting}={value}: a whole number is chosen")
    return StreamIntent(engine, kind, {setting: int(value) for setting, value in chosen.items()}, name)


def _previewed(screen: Screen, facility: Facility, intent: StreamIntent, key: JobKey, *, named: bool) -> int:
    seen = facility.streams.preview(intent, key=key)
    if screen.as_json:
        asked = {"engine": intent.engine, "kind": intent.kind, "settings": dict(intent.settings)}
        asked |= {"name": intent.cluster_name(key), "key": key.identity}
        requests = [request_words(each) for each in seen]
        screen.document({"ok": True, "exit": 0, "dry_run": True, "cluster": asked, "requests": requests})
        return Exit.OK
    chosen = ", ".join(f"{name}={value}" for name, value in intent.settings.items())
    screen.heading("Cluster")
    screen.facts(
        [
            ("facility", facility.name),
            ("engine", f"{intent.engine}, kind {intent.kind or 'as the facility has it'}"),
            ("settings", chosen or "the facility's defaults"),
            ("name", intent.cluster_name(key)),
            ("key", key.identity if named else "a new one for every cluster, as no --key was given"),
        ]
    )
    show_requests(screen, seen)
    return Exit.OK


def _shown(screen: Screen, lease: StreamLease) -> int:
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, **stream_words(lease)})
    else:
        screen.result(str(lease.ref))
    return Exit.OK


def stream_words(lease: StreamLease) -> dict[str, Any]:
    """A cluster of mine, for a program; nothing of how it is reached."""
    return {**lease_words(lease.ref), **cluster_words(lease.cluster)}


def cluster_words(cluster: StreamCluster) -> dict[str, Any]:
    """A cluster, for a program."""
    return {
        "engine": cluster.engine,
        "name": cluster.name,
        "state": str(cluster.state),
        "words": cluster.words,
        "seconds_left": cluster.seconds_left,
        "settings": dict(cluster.settings),
    }


def _backend_words(backend: StreamBackend) -> dict[str, Any]:
    options = [
        {"name": each.name, "least": each.least, "most": each.most, "default": each.default}
        for each in backend.options
    ]
    return {"engine": backend.engine, "kind": backend.kind, "options": options}
