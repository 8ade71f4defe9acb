"""The carrier for each road, made of what the two ends have."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from iri_common.facility.jobs import JobService
from iri_common.facility.reach import FacilityReach, HereReach, Reach
from iri_common.model.errors import NotOffered
from iri_common.model.job import JobResult
from iri_common.model.key import JobKey
from iri_common.model.spec import JobAttributes, JobSpec, ResourceSpec
from iri_common.model.transfer import Road
from iri_common.policy.offers import Quote
from iri_common.transfers.chunks import ChunksRoad, RunScript
from iri_common.transfers.direct import DirectRoad
from iri_common.transfers.relay import RelayRoad, default_stage
from iri_common.transfers.trip import Carrier

JOB_SECONDS = 1800  # wall time of a job that joins or splits one file

OWN_DIRECTORIES = frozenset({Road.ARCHIVE, Road.GLOBUS})
"""Roads on which the target's directories come into being by themselves."""


@dataclass(frozen=True, slots=True)
class Making:
    """What a carrier is made with.

    Attributes:
        checksum: Digests are compared where they are told.
        fresh: Directories of the target in which nothing can be.
        transfer: Names the transfer.
    """

    checksum: bool = True
    fresh: Collection[str] = ()
    transfer: str = ""


def carrier(quote: Quote, source: Reach, target: Reach, making: Making) -> Carrier:
    """The carrier of a road that was chosen."""
    if quote.road is Road.RELAY:
        return _relay(quote, source, target, making)
    far, up = (target, True) if isinstance(source, HereReach) else (source, False)
    if not isinstance(far, FacilityReach):
        raise NotOffered(f"there is no road {quote.road} between these ends")
    return _over_files(quote.road, far, up, making)


def _over_files(road: Road, far: FacilityReach, up: bool, making: Making) -> Carrier:
    dialect, file_system = far.door.dialect, far.file_system
    match road:
        case Road.DIRECT:
            return DirectRoad(dialect, file_system, up=up, checksum=making.checksum, fresh=making.fresh)
        case Road.CHUNKS:
            return ChunksRoad(dialect, file_system, _runner(far), up=up)
        case _:
            raise NotOffered(f"there is no road {road} to {far.settings.label}")


def _relay(quote: Quote, source: Reach, target: Reach, making: Making) -> Carrier:
    stage: Path = default_stage() / making.transfer
    between = HereReach(str(stage))
    down, up = quote.hops
    return RelayRoad(
        carrier(down, source, between, making),
        carrier(up, between, target, making),
        stage,
    )


def _runner(far: FacilityReach) -> RunScript:
    """Runs scripts as small jobs of the user's allocation, each asked for once."""
    service = JobService(far.settings, far.ledger)

    async def run(script: str, key: JobKey) -> JobResult:
        spec = JobSpec(
            name="iri-transfer",
            executable="/bin/sh",
            arguments=("-c", script),
            resources=ResourceSpec(node_count=1),
            attributes=JobAttributes(duration=JOB_SECONDS),
        )
        asked = await service.ask(spec, key=key)
        return await service.result(asked.ref)

    return run
