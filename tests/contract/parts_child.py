"""A process that carries one file over parts, up or down; made to be killed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from parts_world import Counts, Facility
from s3_server import BUCKET

from iri_common.apis.s3 import s3_parts
from iri_common.http.bytes import HttpBytes
from iri_common.http.transport import WireSettings
from iri_common.model.facility import AccessEndpoint
from iri_common.model.transfer import Move
from iri_common.transfers.notes import FileNotes
from iri_common.transfers.parts import PartsRoad
from iri_common.transfers.trip import Trip


async def carried(store: str, way: str, source: str, target: str, size: int, notes: Path) -> Counts:
    """Carry it, with notes that a later try finds."""
    endpoint = AccessEndpoint("e1", "s3", "the store", {"bucket": BUCKET, "endpoint_url": store})
    wire, counts = HttpBytes(WireSettings()), Counts()
    road = PartsRoad(
        s3_parts(endpoint, WireSettings()), Facility(), wire, "fs", up=way == "up", checksum=True
    )
    held = await FileNotes.opened(source, target, directory=notes)
    try:
        await road.carry([Move(source, target, size)], Trip(counts, held, parallel=2))
    except BaseException:
        await held.close()
        raise
    await held.forget()
    await wire.close()
    return counts


if __name__ == "__main__":
    store, way, source, target, size, notes = sys.argv[1:]
    done = asyncio.run(carried(store, way, source, target, int(size), Path(notes)))
    print(json.dumps([done.sent, done.kept_bytes, done.sums[target]]))
