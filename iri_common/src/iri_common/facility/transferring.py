"""Data between any two ends: planned, then carried; the faces stand before this."""

from __future__ import annotations

import asyncio
import os
import posixpath
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

from iri_common.facility.carriers import Making, carrier, makes_directories
from iri_common.facility.farreach import CollectionReach, FacilityEnd, FacilityReach
from iri_common.facility.profiles import load_profile
from iri_common.facility.reach import HereReach, Reach, around, require_deletable
from iri_common.jobs.ledger import FileLedger
from iri_common.model.errors import IriError, NotFound, NotOffered, TooLarge, UsageError
from iri_common.model.key import JobKey
from iri_common.model.transfer import Move, Road, TransferResult
from iri_common.policy import globs
from iri_common.policy.inside import inside
from iri_common.policy.offers import Wishes
from iri_common.policy.roads import Difference, Plan, plan
from iri_common.policy.sizes import PACK_DOWN
from iri_common.policy.unchanged import MANY, Facts, Verdict, extras, judge, judge_in_bulk
from iri_common.transfers.abreast import abreast
from iri_common.transfers.conduct import Stretch, conduct, forget_landed, landed_before, note_landed
from iri_common.transfers.ends import GlobusEnd, LocalEnd, ProfileEnd, parse_end
from iri_common.transfers.globus import GlobusRoad
from iri_common.transfers.meter import OnProgress, TransferMeter
from iri_common.transfers.notes import FileNotes
from iri_common.transfers.packing import bundled
from iri_common.transfers.tree import Links, Tree
from iri_common.transfers.trip import Trip

WithoutAsking = frozenset({Road.DIRECT, Road.WITHIN, Road.ARCHIVE})
"""Roads that are good enough for nobody to be asked for others."""


class TransferWords(TypedDict, total=False):
    """What may be said of a transfer.

    Attributes:
        road: Take this one, a :class:`~iri_common.model.transfer.Road` or its word.
        allow_job: Roads that run a short job of the user's allocation are fine.
        parallel: Files or parts at once.
        rate: Bytes per second at most.
        checksum: Compare SHA-256 where it is told; True.
        links: "follow" links that stay in the tree and refuse others, or "skip" those others.
        on_progress: Called on the caller's side a few times a second.
        key: Who asks; another one is another transfer.
    """

    road: Road | str | None
    allow_job: bool
    parallel: int
    rate: float | None
    checksum: bool
    links: Links
    on_progress: OnProgress | None
    key: JobKey | None


@dataclass(frozen=True, slots=True)
class _Said:
    """The words, checked."""

    wishes: Wishes
    links: Links = "follow"
    on_progress: OnProgress | None = None
    who: str = ""


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be done.

    Attributes:
        tree: At the source.
        moves: Files to be moved.
        unchanged: Files that are not.
        plan: How.
        gone: Paths at the target that are to be taken away.
        there: Directories that are known to be at the target.
        compared: The target was looked at: what is moved is not there as it should be.
    """

    tree: Tree
    moves: Sequence[Move]
    plan: Plan
    unchanged: Sequence[Move] = ()
    gone: Sequence[str] = ()
    there: Collection[str] = ()
    compared: bool = False


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
        """
        said = _said(words)
        from_, to = await _both(source, target)
        tree = await from_.tree(said.links)
        to = await around(from_, to, tree)
        moves = tree.moves(to.path)
        task = _Task(tree, moves, await _planned(from_, to, tree, moves, said))
        return await _carried(from_, to, task, said, f"{source}", f"{target}")

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
        said = _said(words)
        from_, to = await _both(source, target)
        task = await _compared(from_, to, said, delete=delete)
        return await _carried(from_, to, task, said, f"{source}", f"{target}")

    async def difference(
        self, source: AnyEnd, target: AnyEnd, *, delete: bool = False, **words: Unpack[TransferWords]
    ) -> Difference:
        """What :meth:`sync` would do; nothing is moved or taken away."""
        task = await _compared(await _opened(source), await _opened(target), _said(words), delete=delete)
        moved = tuple(each.target for each in task.moves)
        return Difference(moved, len(task.unchanged), tuple(task.gone), task.plan)

    async def plan(
        self, source: AnyEnd, target: AnyEnd, *, sync: bool = False, **words: Unpack[TransferWords]
    ) -> Plan:
        """How :meth:`copy`, or :meth:`sync`, would go about it; nothing is moved."""
        said = _said(words)
        from_, to = await _both(source, target)
        if sync:
            return (await _compared(from_, to, said, delete=False)).plan
        tree = await from_.tree(said.links)
        to = await around(from_, to, tree)
        return await _planned(from_, to, tree, tree.moves(to.path), said)


def _said(words: TransferWords) -> _Said:
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
    key = words.get("key")
    return _Said(
        Wishes(
            _road(words.get("road")),
            words.get("allow_job", False),
            words.get("checksum", True),
            parallel,
            rate,
        ),
        links,
        words.get("on_progress"),
        str(key) if key else "",
    )


def _road(word: Road | str | None) -> Road | None:
    try:
        return Road(word) if word is not None else None
    except ValueError:
        raise UsageError(f"no such road: {word!r} (known: {', '.join(Road)})") from None


async def _both(source: AnyEnd, target: AnyEnd) -> tuple[Reach, Reach]:
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


async def _planned(source: Reach, target: Reach, tree: Tree, moves: Sequence[Move], said: _Said) -> Plan:
    """The plan; ends are asked for roads of their own only where the plain ones do not do."""
    sizes, wishes = [move.size for move in moves], said.wishes
    offers = await source.offer(fully=False), await target.offer(fully=False)
    packs = offers[0].archives and offers[1].here
    bundles = await asyncio.to_thread(bundled, moves, PACK_DOWN) if packs else None
    whole = (
        offers[0].place == offers[1].place != ""
        and _is_all(source, tree, moves, said)
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


async def _compared(source: Reach, target: Reach, said: _Said, *, delete: bool) -> _Task:
    tree = await source.tree(said.links)
    if delete:
        require_deletable(source, target, tree)
    there = await _there(target)
    if there is not None and there.single != tree.single:
        raise UsageError(f"one of {source.path} and {target.path} is a file, the other a directory")
    known = {entry.name: entry for entry in there.files} if there is not None else {}
    offers = await source.offer(fully=False), await target.offer(fully=False)
    comparable = said.wishes.checksum and all(each.here or each.checksum for each in offers)
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
    return _Task(tree, left, made, unchanged, gone, present, compared=True)


async def _there(target: Reach) -> Tree | None:
    if not await target.exists():
        return None
    try:
        return await target.tree("skip")
    except NotFound:
        return None


async def _same(source: Reach, path: str, target: Reach, other: str) -> bool:
    try:
        here, there = await source.digest(path), await target.digest(other)
    except IriError:
        return False  # then it is moved, and what is wrong comes up there
    return here is not None and here == there


async def _carried(
    source: Reach, target: Reach, task: _Task, said: _Said, source_said: str, target_said: str
) -> TransferResult:
    began = time.monotonic()
    notes = await FileNotes.opened(source.name, target.name, said.who)
    moves = [*task.moves, *task.unchanged]
    meter = TransferMeter(
        f"{source_said} -> {target_said}",
        task.plan.road,
        files=len(moves),
        size=sum(move.size for move in moves),
        rate=said.wishes.rate,
        tell=said.on_progress,
        landed=(lambda move: note_landed(notes, move)) if len(task.moves) > 1 else None,
    )
    done = False
    try:
        meter.begin()
        for move in task.unchanged:
            meter.skipped(move)
        await _forget_lost(target, task, notes)
        task_id = await _conducted(source, target, task, said, notes, meter)
        if task.gone:
            await target.remove(task.gone)
        done = True
    finally:
        await (notes.forget() if done else notes.close())
    meter.finish()
    return TransferResult(
        source_said,
        target_said,
        task.plan.road,
        files=meter.files,
        bytes=meter.bytes,
        files_skipped=meter.files_skipped,
        seconds=time.monotonic() - began,
        sha256=meter.sha256 if task.tree.single else None,
        task_id=task_id,
        deleted=len(task.gone),
    )


async def _forget_lost(target: Reach, task: _Task, notes: FileNotes) -> None:
    """What an earlier try had landed is moved again where it has been changed, or taken away, since."""
    landed = landed_before(notes, task.moves)
    if not landed or not (await target.offer(fully=False)).rename:  # a store of objects lists nothing
        return
    there = None if task.compared else await _there(target)
    sizes = {each.path: each.size for each in there.files} if there is not None else {}
    for move in landed:
        if sizes.get(move.target) != move.size:
            forget_landed(notes, move)


def _is_all(source: Reach, tree: Tree, moves: Sequence[Move], said: _Said) -> bool:
    """Whether what is moved is a directory with all that is in it, and nothing by way of links."""
    pattern = globs.split(source.path)[1]
    every = len(moves) == len(tree.files) and not tree.single and not tree.linked
    return every and not pattern and said.links == "follow"


async def _conducted(
    source: Reach, target: Reach, task: _Task, said: _Said, notes: FileNotes, meter: TransferMeter
) -> str | None:
    """Carry it out; gives the id of Globus' task, if there was one."""
    directories, fresh = list[str](), list[str]()
    if not task.tree.single:
        directories = [target.path, *(inside(target.path, name) for name in task.tree.directories)]
        directories += [posixpath.dirname(move.target) for move in task.moves]
        directories = [each for each in directories if each not in task.there]
        if len(task.moves) > 1 and not task.there and not await target.exists():
            fresh = directories
    whole = _is_all(source, task.tree, task.moves, said)
    making = Making(
        notes.transfer,
        said.wishes.checksum,
        fresh,
        root=None if task.tree.single else target.path,
        top="" if task.tree.single else globs.split(source.path)[0],
        tree=(source.path, target.path) if whole and len(task.plan.legs) == 1 else None,
    )
    stretches = [
        Stretch(
            carrier(leg.quote, source, target, making),
            [move for move in task.moves if leg.takes(move.size)],
            makes_directories=makes_directories(leg.quote, target),
        )
        for leg in task.plan.legs
    ]
    trip = Trip(meter, notes, said.wishes.parallel)
    await conduct(stretches, trip, notes, meter, directories=directories, make=target.make)
    carriers = [stretch.carrier for stretch in stretches]
    return next((each.task_id for each in carriers if isinstance(each, GlobusRoad)), None)
