"""``iri doctor``: ask a facility everything that a run depends on, and say what is wrong."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from iri_common.cli import checks
from iri_common.cli.checks import Finding, Mark, failed
from iri_common.cli.door import choose, open_facility, settings_of
from iri_common.cli.exits import Exit
from iri_common.cli.jobspec import amount
from iri_common.cli.options import DoorWords
from iri_common.cli.speak import Screen, plain
from iri_common.facility.collections import open_globus
from iri_common.facility.doors import open_door
from iri_common.facility.loop import run_blocking
from iri_common.facility.standing import facts_of
from iri_common.http.transport import HttpxTransport
from iri_common.jobs.ledger import default_directory
from iri_common.jobside.amounts import seconds_of
from iri_common.model.errors import (
    AuthError,
    IriError,
    JobFailed,
    NotOffered,
    Unreachable,
    UsageError,
    WaitTimeout,
)
from iri_common.model.ports import Token, WireReply, WireRequest
from iri_common.model.spec import JobAttributes, JobSpec
from iri_common.policy.classify import NotSent, ReplyLost

if TYPE_CHECKING:
    from iri_common.apis.globus import GlobusCredential
    from iri_common.facility.collections import GlobusSettings
    from iri_common.facility.facility import Facility
    from iri_common.facility.settings import FacilitySettings
    from iri_common.model.facility import Resource
    from iri_common.model.ref import JobRef

HELLO = "hello from iri doctor"
_INDENT = 15  # columns before the words: the mark and the topic
_STYLES = {Mark.OK: "green", Mark.WARN: "yellow", Mark.FAIL: "bold red"}


def examine(
    screen: Screen, door: DoorWords, resource: str | None, *, hello: bool, timeout: str | None
) -> int:
    """Show each finding as it comes; the first failure gives the code."""
    limit = amount("--timeout", seconds_of, timeout)
    found: list[Finding] = []
    for finding in findings(door, resource, hello_within=limit if hello else None, hello=hello):
        found.append(finding)
        if not screen.as_json:
            _show(screen, finding)
    code = next((each.exit for each in found if each.mark is Mark.FAIL), Exit.OK)
    if screen.as_json:
        rows = [
            {"topic": each.topic, "mark": str(each.mark), "says": each.says, "remedy": each.remedy}
            for each in found
        ]
        screen.document({"ok": code is Exit.OK, "exit": int(code), "findings": rows})
    else:
        _sum_up(screen, found)
    return code


def findings(
    door: DoorWords, resource: str | None, *, hello: bool, hello_within: float | None
) -> Iterator[Finding]:
    """Everything, in the order in which one thing needs the other; what cannot be asked is left out."""
    try:
        choice = choose(door)
        settings = settings_of(door, choice)
        facility = open_facility(door)
    except IriError as error:
        yield failed("profile", error)
        return
    yield checks.profile(choice, settings)
    yield checks.ledger(default_directory())
    reachable = True
    for finding in _url(settings):
        yield finding
        reachable = reachable and finding.mark is not Mark.FAIL
    if not reachable:
        return
    known, refused = True, False
    for finding in _principal(settings, facility):
        yield finding
        known = known and finding.mark is not Mark.FAIL
        refused = refused or finding.exit is Exit.AUTH
    if not settings.kind.runs_jobs:
        yield from _network(facility, refused=refused)
        return
    offered: Sequence[Resource] | None = None
    chosen: Resource | None = None
    try:
        offered = facility.status.resources()
        chosen = facility.status.resource(resource)
    except IriError as error:
        named = "name it with --resource, or as resource in the profile"
        unnamed = isinstance(error, UsageError) and not isinstance(error, NotOffered)
        yield from _told(refused, "resource", error, named if unnamed else "")
    if offered is not None:
        yield from _resources(facility, offered, chosen)
    yield from checks.grades(facility.grades)
    if settings.globus is not None:
        yield _globus(settings.globus)
    if hello and known and chosen:
        yield from _hello(facility, resource, hello_within)


def _url(settings: FacilitySettings) -> Iterator[Finding]:
    begun = time.time()
    try:
        reply, took, document = run_blocking(_asked(settings))
    except IriError as error:
        yield failed("url", error)
        return
    yield checks.reached(settings, reply, took, document)
    if finding := checks.clock(reply, begun + took / 2):
        yield finding


async def _asked(settings: FacilitySettings) -> tuple[WireReply, float, WireReply | None]:
    """The answers to what this API tells anybody, and how long one took."""
    wire = HttpxTransport(settings.wire)
    base, kind = settings.url.rstrip("/"), settings.kind
    try:
        await wire.send(WireRequest("GET", base + kind.knock))  # opens the connection
        begun = time.monotonic()
        reply = await wire.send(WireRequest("GET", base + kind.knock))
        took = time.monotonic() - begun
        document = await wire.send(WireRequest("GET", base + kind.document)) if kind.document else None
    except (NotSent, ReplyLost) as error:
        raise Unreachable(
            f"no answer from {base}: {error}. Check the URL, the network and a proxy, or wait if it is down"
        ) from None
    finally:
        await wire.close()
    return reply, took, document


def _principal(settings: FacilitySettings, facility: Facility) -> Iterator[Finding]:
    if settings.token is None:
        yield Finding(
            "token",
            Mark.FAIL,
            "none is configured; only what is public can be seen",
            'add token = { file = "…" } to the profile, or give --token-env or --token-file',
            Exit.AUTH,
        )
        return
    try:
        token, client_id = run_blocking(_had(settings))
        principal = facility.accounts.principal()
    except NotOffered:
        yield Finding(
            "token", Mark.WARN, f"from {settings.token.identity}; this API does not tell whose it is"
        )
    except AuthError as error:
        yield checks.refused(error, facility.accounts.credential())
        return
    except IriError as error:
        yield failed("token", error)
        return
    else:
        yield checks.token(token, facts_of(settings.token), principal.name, time.time())
        yield from checks.owner(principal)
        if client_id is not None:
            yield from _client(client_id, facility)
        yield from _concerns(facility)
    if settings.kind.runs_jobs:
        yield from checks.projects(facility)


def _concerns(facility: Facility) -> Iterator[Finding]:
    try:
        concerns = facility.accounts.concerns()
    except IriError as error:
        yield Finding("token", Mark.WARN, f"what it may do is not told: {error}")
        return
    yield from (Finding("token", Mark.WARN, each) for each in concerns)


def _client(client_id: str, facility: Facility) -> Iterator[Finding]:
    try:
        clients = facility.accounts.clients()
    except NotOffered:
        return
    except IriError as error:
        yield Finding("client", Mark.WARN, f"when it expires is not told: {error}")
        return
    yield from checks.client(clients, client_id, datetime.now(UTC))


async def _had(settings: FacilitySettings) -> tuple[Token, str | None]:
    """The token that the requests here carry, for another would be one too many; and whose client's it is."""
    standing = open_door(settings).standing
    assert standing.tokens is not None
    return await standing.tokens.anew(), standing.client


def _globus(settings: GlobusSettings) -> Finding:
    """Whether Globus takes the credential, and whether it shows the collection to it."""
    if settings.credential is None:
        return Finding("globus", Mark.WARN, "no credential is configured", checks.GLOBUS_CREDENTIAL)
    try:
        name = run_blocking(_at_globus(settings.credential, settings.collection))
    except IriError as error:
        return failed("globus", error)
    where = (
        f", sees the collection {name!r} for {settings.root}"
        if name
        else "; the storage API is to tell the collection"
    )
    return Finding("globus", Mark.OK, f"{settings.credential.identity} is accepted{where}")


async def _at_globus(credential: GlobusCredential, collection: str | None) -> str:
    client = open_globus(credential).dialect.client
    if collection is None:
        await client.check()
        return ""
    return (await client.collection(collection)).name or collection


def _told(refused: bool, topic: str, error: IriError, remedy: str = "") -> Iterator[Finding]:
    """The finding that an error makes; none of a credential that was told to be refused before."""
    if not (refused and isinstance(error, AuthError)):
        yield failed(topic, error, remedy)


def _network(facility: Facility, *, refused: bool) -> Iterator[Finding]:
    """What paths go through, and what is described of them."""
    try:
        domains, profiles = facility.status.resources(), facility.networks.profiles()
    except IriError as error:
        yield from _told(refused, "network", error)
        return
    yield from checks.network(domains, profiles)


def _resources(facility: Facility, offered: Sequence[Resource], chosen: Resource | None) -> Iterator[Finding]:
    try:
        incidents = facility.status.incidents()
    except IriError as error:
        incidents = ()
        yield Finding("incident", Mark.WARN, f"not told: {error}")
    yield from checks.resources(offered, incidents, chosen, datetime.now(UTC))


def _hello(facility: Facility, resource: str | None, within: float | None) -> Iterator[Finding]:
    """A job through everything: asked for, guarded, watched, read back."""
    spec = JobSpec(
        executable="/bin/sh",
        arguments=("-c", f"echo {HELLO} on $(hostname)"),
        name="iri-doctor",
        attributes=JobAttributes(duration=60),
    )
    begun = time.monotonic()
    try:
        ref = facility.jobs.submit(spec, resource=resource)
        yield Finding("hello", Mark.OK, f"{ref.describe()} was accepted")
        try:
            ref = facility.jobs.result(ref, timeout=within).ref
        except WaitTimeout:
            facility.jobs.cancel(ref)
            raise
    except JobFailed as error:
        yield failed("hello", error, error.job_status.reason.advice if error.job_status.reason else "")
        return
    except IriError as error:
        yield failed("hello", error)
        return
    yield Finding("hello", Mark.OK, f"it completed {time.monotonic() - begun:.1f} s after it was asked for")
    yield _read_back(facility.jobs.tail(ref))
    yield _journal(facility, ref)


def _read_back(text: str) -> Finding:
    if text.startswith(HELLO):
        return Finding("hello", Mark.OK, f"it wrote: {text.strip()}")
    return Finding(
        "hello",
        Mark.WARN,
        "what it wrote cannot be read back",
        "name the file system of the job's directory as storage in the profile, if the facility has one",
    )


def _journal(facility: Facility, ref: JobRef) -> Finding:
    if facility.grades.guard == "none":
        return Finding("hello", Mark.WARN, "it ran without a guard")
    try:
        journal = facility.jobs.journal(ref)
    except IriError as error:
        return Finding("hello", Mark.WARN, f"its journal cannot be read: {error}")
    if journal is not None and journal.last is not None and journal.last.succeeded:
        return Finding("hello", Mark.OK, "its guard kept a journal, and it was read back")
    return Finding(
        "hello",
        Mark.WARN,
        "its guard kept a journal that cannot be read from here",
        checks.READABLE,
    )


def _show(screen: Screen, finding: Finding) -> None:
    from rich.text import Text

    width = max(40, screen.out.width)
    screen.out.print(
        Text.assemble(
            (f"{finding.mark:<5}", _STYLES[finding.mark]),
            (f"{finding.topic:<10}", "bold"),
            _filled(plain(finding.says), width),
        ),
        soft_wrap=True,
    )
    if finding.remedy:
        screen.out.print(
            Text.assemble((" " * _INDENT, ""), (_filled(f"-> {finding.remedy}", width), "cyan")),
            soft_wrap=True,
        )


def _filled(words: str, width: int) -> str:
    paragraphs = [
        textwrap.fill(each, width - _INDENT, break_long_words=False, break_on_hyphens=False)
        for each in words.splitlines()
    ]
    return textwrap.indent("\n".join(paragraphs), " " * _INDENT).lstrip()


def _sum_up(screen: Screen, found: list[Finding]) -> None:
    bad = sum(each.mark is Mark.FAIL for each in found)
    odd = sum(each.mark is Mark.WARN for each in found)
    counts = [f"{bad} failed" if bad else "", f"{odd} to know about" if odd else ""]
    words = ", ".join(each for each in counts if each) or "all is well"
    style = "red" if bad else "yellow" if odd else "green"
    screen.out.print(f"\n{words[0].upper()}{words[1:]}.", style=style)
