"""The carrier for each road, made of what the two ends have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from iri_common.facility.farreach import CollectionReach, FacilityReach
from iri_common.facility.jobs import JobService
from iri_common.facility.reach import HereReach, Reach
from iri_common.model.errors import NotOffered
from iri_common.model.job import JobResult
from iri_common.model.key import JobKey
from iri_common.model.ports import Dialect
from iri_common.model.spec import JobAttributes, JobSpec, ResourceSpec
from iri_common.model.transfer import Move, Road
from iri_common.policy.globus_tasks import TaskPace
from iri_common.policy.offers import Quote
from iri_common.policy.pace import Pace
from iri_common.transfers.archive import ArchiveRoad
from iri_common.transfers.chunks import ChunksRoad, RunScript
from iri_common.transfers.direct import DirectRoad
from iri_common.transfers.globus import GlobusRoad
from iri_common.transfers.https import HttpsRoad
from iri_common.transfers.packs import PacksRoad
from iri_common.transfers.parts import PartsRoad
from iri_common.transfers.relay import RelayRoad, default_stage
from iri_common.transfers.trip import Carrier
from iri_common.transfers.within import WithinRoad, WithinTree

JOB_SECONDS = 1800  # wall time of a job that joins or splits one file


@dataclass(frozen=True, slots=True)
class Making:
    """What a carrier is made with.

    Attributes:
        transfer: Names the transfer.
        checksum: As in the wishes: digests are compared where they are told, unless it is False.
        fresh: Directories of the target in which nothing can be.
        root: The target directory of a tree.
        top: The directory at the source that all of it is below.
        tree: The two directories, where all that is in the one is moved.
        known: All files at the source, moved or not.
        wait: Seconds for what a facility does by itself; None for as long as it takes.
    """

    transfer: str
    checksum: bool | None = None
    fresh: Collection[str] = ()
    root: str | None = None
    top: str = ""
    tree: tuple[str, str] | None = None
    known: Sequence[Move] = ()
    wait: float | None = None


def carrier(quote: Quote, source: Reach, target: Reach, making: Making) -> Carrier:
    """The carrier of a road that was chosen."""
    match quote.road, source, target:
        case Road.RELAY, _, _:
            return _relay(quote, source, target, making)
        case Road.WITHIN, _, FacilityReach():
            if quote.tree and making.tree is not None:
                return WithinTree(target.dialect, target.file_system, *making.tree, wait=making.wait)
            return WithinRoad(target.dialect, target.file_system, wait=making.wait)
        case Road.GLOBUS, FacilityReach() | CollectionReach(), FacilityReach() | CollectionReach():
            return globus_road(source, target, making.tree)
        case _, HereReach(), FacilityReach() | CollectionReach():
            return _between_here_and(target, quote, True, making)
        case _, FacilityReach() | CollectionReach(), HereReach():
            return _between_here_and(source, quote, False, making)
        case _:
            raise NotOffered(f"there is no road {quote.road} between these ends")


def makes_directories(quote: Quote, target: Reach) -> bool:
    """Whether the target's directories come into being on this road by themselves."""
    last = quote.hops[1].road if quote.hops else quote.road
    return quote.tree or last is Road.GLOBUS or (last is Road.ARCHIVE and not isinstance(target, HereReach))


def _between_here_and(
    far: FacilityReach | CollectionReach, quote: Quote, up: bool, making: Making
) -> Carrier:
    road = quote.road
    if road is Road.HTTPS:
        return _https(far, up, making)
    if isinstance(far, FacilityReach):
        dialect, file_system = far.dialect, far.file_system
        match road:
            case Road.DIRECT:
                return DirectRoad(
                    dialect,
                    file_system,
                    up=up,
                    checksum=making.checksum is not False,
                    fresh=making.fresh,
                    in_place=dialect.grades.moves == "job" and not quote.jobs,
                )
            case Road.ARCHIVE:
                root = making.root if up else None
                return ArchiveRoad(dialect, file_system, up=up, root=root, known=making.known)
            case Road.CHUNKS:
                runner = _runner(far, making.wait)
                if quote.packed:
                    return PacksRoad(
                        dialect, file_system, runner, source=making.top, target=making.root or ""
                    )
                return ChunksRoad(dialect, file_system, runner, up=up)
            case Road.PARTS if far.parts is not None:
                whose = dialect if far.parts is dialect.parts else _Store(dialect)
                checksum = making.checksum
                return PartsRoad(far.parts, whose, far.wire, file_system, up=up, checksum=checksum)
            case _:
                pass
    raise NotOffered(f"there is no road {road} between this machine and {far.path}")


def _https(far: FacilityReach | CollectionReach, up: bool, making: Making) -> Carrier:
    dialect, file_system = far.dialect, far.file_system
    if dialect.ranges is None and far.globus is not None and (end := far.collection) is not None:
        dialect = far.globus.showing(end)
    if dialect.ranges is None:
        raise NotOffered("this end has no HTTPS for its files")
    return HttpsRoad(dialect.ranges, dialect, file_system, up=up, checksum=making.checksum)


def globus_road(
    source: FacilityReach | CollectionReach,
    target: FacilityReach | CollectionReach,
    tree: tuple[str, str] | None = None,
) -> GlobusRoad:
    """Globus Transfer between two ends that have been asked for their collections.

    Args:
        source: Where from.
        target: Where to.
        tree: The two directories, where all that is in the one is moved.

    Raises:
        NotOffered: if an end has none, or nobody asks.
    """
    # One identity asks, and needs both ends; the target's, because that is where something is changed.
    globus = target.globus or source.globus
    if globus is None or source.collection is None or target.collection is None:
        raise NotOffered("Globus Transfer needs a collection at both ends, and somebody who asks")
    return GlobusRoad(
        globus.transfers,
        source.collection,
        target.collection,
        poller=globus.poller,
        tree=tree,
        pace=_pace(source, target),
    )


def _pace(*ends: FacilityReach | CollectionReach) -> TaskPace:
    """As the user wants to look at jobs there, where that was said; else Globus' own."""
    said = [end.settings.pace for end in ends if isinstance(end, FacilityReach)]
    quickest = min((each.quickest for each in said if each != Pace()), default=TaskPace().quickest)
    return TaskPace(quickest)


def _relay(quote: Quote, source: Reach, target: Reach, making: Making) -> Carrier:
    stage: Path = default_stage() / making.transfer
    between = HereReach(str(stage))
    down, up = quote.hops
    return RelayRoad(carrier(down, source, between, making), carrier(up, between, target, making), stage)


def _runner(far: FacilityReach, wait: float | None) -> RunScript:
    """Runs scripts as small jobs of the user's allocation, each asked for once and waited for so long."""
    service = JobService(far.settings, far.ledger)

    async def run(script: str, key: JobKey, output: str) -> JobResult:
        spec = JobSpec(
            name="iri-transfer",
            executable="/bin/sh",
            arguments=("-c", script),
            stdout_path=f"{output}/job.out",
            stderr_path=f"{output}/job.err",
            resources=ResourceSpec(node_count=1),
            attributes=JobAttributes(duration=JOB_SECONDS),
        )
        asked = await service.ask(spec, key=key)
        return await service.result(asked.ref, timeout=wait)

    return run


class _Store:
    """A facility's API before a store of objects, which has no word for the files in it."""

    def __init__(self, api: Dialect) -> None:
        self.name = api.name
        self.grades = replace(api.grades, files="none")
        self.jobs, self.files, self.operations = api.jobs, api.files, api.operations
        self.status, self.accounts, self.storage = api.status, api.accounts, api.storage
        self.parts, self.ranges = api.parts, api.ranges
