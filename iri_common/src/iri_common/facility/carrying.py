"""A transfer that is planned, carried out: noted, metered, cleared of what is too much at its target."""

from __future__ import annotations

import contextlib
import posixpath
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from iri_common.facility import owning
from iri_common.facility.carriers import Making, carrier, makes_directories
from iri_common.facility.farreach import CollectionReach, FacilityReach
from iri_common.facility.granted import speak_for
from iri_common.facility.reach import Reach
from iri_common.model.errors import IriError, NotFound
from iri_common.model.grant import Verb
from iri_common.model.transfer import Move, TransferResult
from iri_common.policy import globs
from iri_common.policy.inside import inside
from iri_common.policy.offers import Wishes
from iri_common.policy.roads import Plan
from iri_common.transfers.conduct import Stretch, conduct
from iri_common.transfers.globus import GlobusRoad
from iri_common.transfers.landed import forget_landed, landed_before, note_landed
from iri_common.transfers.leavings import Leavings, Side
from iri_common.transfers.meter import OnProgress, TransferMeter
from iri_common.transfers.notes import FileNotes
from iri_common.transfers.packing import root_of
from iri_common.transfers.relay import default_stage
from iri_common.transfers.tree import Links, Tree
from iri_common.transfers.trip import Trip


@dataclass(frozen=True, slots=True)
class Said:
    """The words of whoever asks, checked."""

    wishes: Wishes
    links: Links = "follow"
    on_progress: OnProgress | None = None
    who: str = ""
    parents: bool = False


@dataclass(frozen=True, slots=True)
class Task:
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


async def carried(
    source: Reach, target: Reach, task: Task, said: Said, source_said: str, target_said: str
) -> TransferResult:
    """Do the task; asked for again after a crash, it goes on.

    Raises:
        GrantExceeded: if one of its files may not be read, written or taken away there; none was.
        UsageError: if another process carries this transfer now.
        IriError: of a road; what had landed stays.
    """
    if said.who:
        speak_for(said.who)
    owning.warn(task.plan)
    if task.gone:
        await target.admit(Verb.DELETE, task.gone)
    told = dict[str, Any](road=str(task.plan.road))
    async with (
        source.carrying(Verb.READ, [move.source for move in task.moves], told),
        target.carrying(Verb.WRITE, [move.target for move in task.moves], told),
    ):
        result = await _carried(source, target, task, said, source_said, target_said)
        told |= {"files": result.files, "bytes": result.bytes, "deleted": result.deleted}
        return result


async def _carried(
    source: Reach, target: Reach, task: Task, said: Said, source_said: str, target_said: str
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
        await _clear_other_roads(source, target, task, notes)
        await _forget_lost(target, task, notes)
        task_id = await _conducted(source, target, task, said, notes, meter)
        await _clear_other_files(source, target, task, notes)
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
        cautions=task.plan.cautions,
    )


async def tree_at(target: Reach) -> Tree | None:
    """What lies at a target; None for nothing."""
    if not await target.exists():
        return None
    try:
        return await target.tree("skip")
    except NotFound:
        return None


async def _clear_other_roads(source: Reach, target: Reach, task: Task, notes: FileNotes) -> None:
    """What an earlier try had begun over roads that are not taken any more is of no use."""
    leavings = Leavings(notes, [leg.quote for leg in task.plan.legs] if task.moves else [])
    if leavings.any:
        await _clear(leavings, source, target, task, notes)
    leavings.note()


async def _clear_other_files(source: Reach, target: Reach, task: Task, notes: FileNotes) -> None:
    """Nor is what it had begun of files that are gone, or that are at the target by other means."""
    leavings = Leavings(notes, [])
    if leavings.unfinished:
        await _clear(leavings, source, target, task, notes)


async def _clear(leavings: Leavings, source: Reach, target: Reach, task: Task, notes: FileNotes) -> None:
    with contextlib.suppress(IriError):  # who is not reached is not cleared
        for end in (source, target):
            await end.offer(fully=True)
    moves = [*task.moves, *task.unchanged]
    sources, targets = [move.source for move in moves], [move.target for move in moves]
    sources += [root_of(sources)] if moves else []
    if not task.tree.single:
        sources += [globs.split(source.path)[0].rstrip("/")]
        targets += [target.path.rstrip("/"), posixpath.join(target.path, "")]
    ends = [each for each in (target, source) if isinstance(each, FacilityReach | CollectionReach)]
    globus = next((each.globus for each in ends if each.globus is not None), None)
    stage, transfers = default_stage() / notes.transfer, globus.transfers if globus else None
    await leavings.clear(_side(source, sources), _side(target, targets), transfers, stage)


def _side(reach: Reach, paths: Sequence[str]) -> Side:
    """An end, with the directories in which these paths are."""
    directories = {posixpath.dirname(path) or "." for path in paths}
    match reach:
        case FacilityReach():
            return Side(directories, reach.far, reach.parts, reach.file_system)
        case CollectionReach():
            return Side(directories, reach.far)
        case _:
            return Side(directories, here=True)


async def _forget_lost(target: Reach, task: Task, notes: FileNotes) -> None:
    """What an earlier try had landed is moved again where it has been changed, or taken away, since."""
    landed = landed_before(notes, task.moves)
    if not landed or not (await target.offer(fully=False)).rename:  # a store of objects lists nothing
        return
    there = None if task.compared else await tree_at(target)
    sizes = {each.path: each.size for each in there.files} if there is not None else {}
    for move in landed:
        if sizes.get(move.target) != move.size:
            forget_landed(notes, move)


def is_all(source: Reach, tree: Tree, moves: Sequence[Move], said: Said) -> bool:
    """Whether what is moved is a directory with all that is in it, and nothing by way of links."""
    pattern = globs.split(source.path)[1]
    every = len(moves) == len(tree.files) and not (tree.single or tree.linked or tree.partial)
    return every and not pattern and said.links == "follow"


async def _conducted(
    source: Reach, target: Reach, task: Task, said: Said, notes: FileNotes, meter: TransferMeter
) -> str | None:
    """Carry it out; gives the id of Globus' task, if there was one."""
    directories, fresh = list[str](), list[str]()
    if not task.tree.single:
        directories = [target.path, *(inside(target.path, name) for name in task.tree.directories)]
        directories += [posixpath.dirname(move.target) for move in task.moves]
        directories = [each for each in directories if each not in task.there]
        if len(task.moves) > 1 and not task.there and not await target.exists():
            fresh = directories
    whole = is_all(source, task.tree, task.moves, said)
    making = Making(
        notes.transfer,
        said.wishes.checksum,
        fresh,
        root=None if task.tree.single else target.path,
        top="" if task.tree.single else globs.split(source.path)[0],
        tree=(source.path, target.path) if whole and len(task.plan.legs) == 1 else None,
        known=[*task.moves, *task.unchanged],
        wait=said.wishes.wait,
    )
    stretches = [
        Stretch(
            carrier(leg.quote, source, target, making),
            [move for move in task.moves if leg.takes(move.size)],
            makes_directories=makes_directories(leg.quote, target),
        )
        for leg in task.plan.legs
    ]
    if said.parents and task.tree.single and task.moves:
        await target.make_above(task.moves[0].target)
    trip = Trip(meter, notes, said.wishes.parallel)
    try:
        await conduct(stretches, trip, notes, meter, directories=directories, make=target.make)
    except NotFound as error:
        await _require_above(target, task, error)
        raise
    carriers = [stretch.carrier for stretch in stretches]
    return next((each.task_id for each in carriers if isinstance(each, GlobusRoad)), None)


async def _require_above(target: Reach, task: Task, error: NotFound) -> None:
    """Say it where a file cannot be put for want of its directory: facilities name what lies aside of it."""
    path = task.moves[0].target if task.tree.single else ""
    try:
        there = not path or await target.is_above(path)
    except IriError:
        return
    if not there:
        missing = f"the directory {posixpath.dirname(path)} is not there"
        words = f"{missing}: make it, or have it made by parents=True, --parents"
        raise NotFound(words, facility=error.facility, operation=error.operation) from None
