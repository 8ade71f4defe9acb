"""Data between any two ends: planned, then carried; the faces stand before this."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict, Unpack

from iri_common.facility.carrying import Said, Task, carried, is_all, tree_at
from iri_common.facility.farreach import CollectionReach, FacilityEnd, FacilityReach
from iri_common.facility.owning import cautions
from iri_common.facility.profiles import load_profile
from iri_common.facility.reach import HereReach, Reach, around, require_deletable
from iri_common.jobs.ledger import FileLedger
from iri_common.model.errors import IriError, NotOffered, TooLarge, UsageError
from iri_common.model.key import JobKey
from iri_common.model.transfer import Move, Road, TransferResult
from iri_common.policy.inside import inside
from iri_common.policy.offers import Wishes
from iri_common.policy.roads import Difference, Plan, plan
from iri_common.policy.sizes import PACK_DOWN
from iri_common.policy.unchanged import MANY, Facts, Verdict, extras, judge, judge_in_bulk
from iri_common.transfers.abreast import abreast
from iri_common.transfers.ends import GlobusEnd, LocalEnd, ProfileEnd, parse_end
from iri_common.transfers.meter import OnProgress
from iri_common.transfers.packing import bundled
from iri_common.transfers.tree import Links, Tree

WithoutAsking = frozenset({Road.DIRECT, Road.WITHIN, Road.ARCHIVE})
"""Roads that are good enough for nobody to be asked for others."""


class TransferWords(TypedDict, total=False):
    """What may be said of a transfer.

    Attributes:
        road: Take this one, a :class:`~iri_common.model.transfer.Road` or its word.
        allow_job: Roads that run a short job of the user's allocation are fine.
        parallel: Files or parts at once.
        rate: Bytes per second at most.
        checksum: Compare SHA-256 where it is told; True: make it also of what comes from an object store, or
            a collection, that tells none, False: do not even compare.
        links: "follow" links that stay in the tree and refuse others, or "skip" those others.
        parents: Make the directory that a file is to lie in, and those above it, as is done for a tree.
        wait: Seconds for a copy that the facility makes by itself, or a job of a road. One that takes longer
            goes on, the WaitTimeout names it, and the same transfer, asked for again, goes on with it.
        on_progress: Called on the caller's side a few times a second.
        key: Who asks; another one is another transfer.
    """

    road: Road | str | None
    allow_job: bool
    parallel: int
    rate: float | None
    checksum: bool | None
    links: Links
    parents: bool
    wait: float | None
    on_progress: OnProgress | None
    key: JobKey | None


AnyEnd = str | os.PathLike[str] | LocalEnd | ProfileEnd | GlobusEnd | FacilityEnd


class TransferService:
    """Moves files and trees between this machine, facilities and collections."""

    async def copy(self, source: AnyEnd, target: AnyEnd, **words: Unpack[TransferWords]) -> TransferResult:
        """Move everything that the source names: a file, a directory with all that is in it, or a pattern.

        A file takes the target's name, or its own in a directory here and in what ends with a slash. What is
        in a directory, or meant by a pattern, comes to lie in the target. Asked for again, it goes on.

        Raises:
            UsageError: for ends or files that make no sense; nothing was moved.
            NotOffered: if there is no road; says what would help.
            TooLarge: if no road takes a file of this size.
            TransferError: if a file did not arrive whole; those that did stay.
            WaitTimeout: if ``wait`` was over.
        """
        said = said_of(words)
        from_, to, task = await copying(source, target, said)
        return await carried(from_, to, task, said, f"{source}", f"{target}")

    async def sync(
        self, source: AnyEnd, target: AnyEnd, *, delete: bool = False, **words: Unpack[TransferWords]
    ) -> TransferResult:
        """Like :meth:`copy`, but files that are the same at the target are left as they are.

        Args:
            source: As in :meth:`copy`.
            target: As in :meth:`copy`.
            delete: Take away what is below the target and not at the source, when all has arrived.
            words: As in :meth:`copy`.
        """
        said = said_of(words)
        from_, to = await opened(source, target)
        task = await _compared(from_, to, said, delete=delete)
        return await carried(from_, to, task, said, f"{source}", f"{target}")

    async def difference(
        self, source: AnyEnd, target: AnyEnd, *, delete: bool = False, **words: Unpack[TransferWords]
    ) -> Difference:
        """What :meth:`sync` would do; nothing is moved or taken away."""
        task = await _compared(await _opened(source), await _opened(target), said_of(words), delete=delete)
        moved = tuple(each.target for each in task.moves)
        return Difference(moved, len(task.unchanged), tuple(task.gone), task.plan)

    async def plan(
        self, source: AnyEnd, target: AnyEnd, *, sync: bool = False, **words: Unpack[TransferWords]
    ) -> Plan:
        """How :meth:`copy`, or :meth:`sync`, would go about it; nothing is moved."""
        said = said_of(words)
        if sync:
            from_, to = await opened(source, target)
            return (await _compared(from_, to, said, delete=False)).plan
        _, _, task = await copying(source, target, said)
        return task.plan


async def copying(source: AnyEnd, target: AnyEnd, said: Said) -> tuple[Reach, Reach, Task]:
    """The ends of a copy, open, and what is to be done."""
    from_, to = await opened(source, target)
    tree = (await from_.tree(said.links)).settled()
    to = await around(from_, to, tree)
    moves = tree.moves(to.path)
    return from_, to, Task(tree, moves, await _planned(from_, to, tree, moves, said))


def said_of(words: TransferWords) -> Said:
    """What was said, checked.

    Raises:
        UsageError: naming the word that makes no sense.
    """
    if unknown := sorted(set(words) - set(TransferWords.__annotations__)):
        known = ", ".join(sorted(TransferWords.__annotations__))
        raise UsageError(f"unknown words for a transfer: {', '.join(unknown)} (known: {known})")
    links, parallel, rate = words.get("links", "follow"), words.get("parallel", 4), words.get("rate")
    if links not in {"follow", "skip"}:
        raise UsageError(f'links are "follow" or "skip", not {links!r}')
    if parallel < 1:
        raise UsageError(f"parallel is 1 or more, not {parallel}")
    if rate is not None and rate <= 0:
        raise UsageError(f"rate is a number of bytes per second, not {rate}")
    if (wait := words.get("wait")) is not None and wait < 0:
        raise UsageError(f"wait is a number of seconds, not {wait}")
    key = words.get("key")
    return Said(
        Wishes(
            _road(words.get("road")),
            words.get("allow_job", False),
            words.get("checksum"),
            parallel,
            rate,
            wait,
        ),
        links,
        words.get("on_progress"),
        str(key) if key else "",
        words.get("parents", False),
    )


def _road(word: Road | str | None) -> Road | None:
    try:
        return Road(word) if word is not None else None
    except ValueError:
        raise UsageError(f"no such road: {word!r} (known: {', '.join(Road)})") from None


async def opened(source: AnyEnd, target: AnyEnd) -> tuple[Reach, Reach]:
    """Both ends.

    Raises:
        UsageError: if they are the same.
    """
    from_, to = await _opened(source), await _opened(target)
    if from_.name == to.name:
        raise UsageError(f"{source} and {target} are the same")
    return from_, to


async def _opened(end: AnyEnd) -> Reach:
    if isinstance(end, (str, os.PathLike)):
        end = parse_end(end)
    match end:
        case LocalEnd(path):
            return await asyncio.to_thread(HereReach, path)
        case FacilityEnd():
            return await FacilityReach.opened(end)
        case ProfileEnd(profile, storage, path):
            settings = await asyncio.to_thread(load_profile, profile)
            return await FacilityReach.opened(FacilityEnd(settings, FileLedger(), path, storage))
        case GlobusEnd():
            return await CollectionReach.opened(end)


async def _planned(source: Reach, target: Reach, tree: Tree, moves: Sequence[Move], said: Said) -> Plan:
    """The plan, with what there is to know before."""
    made = await _chosen(source, target, tree, moves, said)
    return replace(made, cautions=await cautions(source, target, made)) if moves else made


async def _chosen(source: Reach, target: Reach, tree: Tree, moves: Sequence[Move], said: Said) -> Plan:
    """The roads; ends are asked for some of their own only where the plain ones do not do."""
    sizes, wishes = [move.size for move in moves], said.wishes
    offers = await source.offer(fully=False), await target.offer(fully=False)
    packs = offers[0].archives and offers[1].here
    known = tree.moves(target.path) if packs else ()
    bundles = await asyncio.to_thread(bundled, moves, PACK_DOWN, known) if packs else None
    whole = (
        offers[0].place == offers[1].place != ""
        and is_all(source, tree, moves, said)
        and not await target.exists()
    )
    try:
        first = plan(*offers, sizes, wishes, tree=whole, bundles=bundles)
    except (NotOffered, TooLarge):
        first = None
    if first is not None and (wishes.road or {leg.quote.road for leg in first.legs} <= WithoutAsking):
        return first
    return plan(
        await source.offer(fully=True),
        await target.offer(fully=True),
        sizes,
        wishes,
        tree=whole,
        bundles=bundles,
    )


async def _compared(source: Reach, target: Reach, said: Said, *, delete: bool) -> Task:
    tree = (await source.tree(said.links)).settled()
    if delete:
        require_deletable(source, target, tree)
    there = await tree_at(target)
    if there is not None and there.single != tree.single:
        raise UsageError(f"one of {source.path} and {target.path} is a file, the other a directory")
    known = {entry.name: entry for entry in there.files} if there is not None else {}
    offers = await source.offer(fully=False), await target.offer(fully=False)
    comparable = said.wishes.checksum is not False and all(each.here or each.checksum for each in offers)
    moves = tree.moves(target.path)
    changed: set[str] = set()
    unclear: list[tuple[Move, Facts, Facts]] = []
    for entry, move in zip(tree.files, moves, strict=True):
        other = known.get(entry.name)
        facts, seen = Facts(entry.size, entry.mtime), Facts(other.size, other.mtime) if other else None
        verdict = judge(facts, seen, comparable=comparable)
        if verdict is Verdict.MOVE:
            changed.add(move.target)
        elif verdict is Verdict.COMPARE and seen is not None:
            unclear.append((move, facts, seen))

    async def look(each: tuple[Move, Facts, Facts]) -> None:
        move, facts, seen = each
        if len(unclear) > MANY:
            same = judge_in_bulk(facts, seen) is Verdict.LEAVE
        else:
            same = await _same(source, move.source, target, move.target)
        if not same:
            changed.add(move.target)

    await abreast(unclear, look, said.wishes.parallel)
    left = [move for move in moves if move.target in changed]
    gone: list[str] = []
    if delete and there is not None and not there.single:
        ours = [*(entry.name for entry in tree.files), *tree.directories]
        theirs = [*known, *there.directories, *there.skipped]
        gone = [
            inside(target.path, name) for name in extras(ours, theirs, there.followed, unknown=tree.skipped)
        ]
    unchanged = [move for move in moves if move.target not in changed]
    present: set[str] = set()
    if there is not None and not there.single:
        present = {target.path, *(inside(target.path, name) for name in there.directories)}
    made = await _planned(source, target, tree, left, said)
    return Task(tree, left, made, unchanged, gone, present, compared=True)


async def _same(source: Reach, path: str, target: Reach, other: str) -> bool:
    try:
        here, there = await source.digest(path), await target.digest(other)
    except IriError:
        return False  # then it is moved, and what is wrong comes up there
    return here is not None and here == there
