"""What each end of a transfer offers, what the user said, and what one road would take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from iri_common.model.counts import many
from iri_common.model.transfer import Road
from iri_common.policy.sizes import amount, duration

A_PROMISE = 10.0  # seconds that one more promise is worth
ASTRAY = 1e6  # bytes a second: nobody knows the line of a laptop that is to stand between two facilities


@dataclass(frozen=True, slots=True)
class Parts:
    """S3 parts over links that an end signs.

    Attributes:
        size: Bytes of one part, at most.
        seconds: That the end takes to see that a file is there, and to put it in its place.
        whole: The file appears whole, or not at all.
        job: A job of the user's allocation carries the file between the store and its place.
        why_not: Why no file goes over it after all; "" if files do.
    """

    size: int = 64 * 1024 * 1024
    seconds: float = 0.0
    whole: bool = True
    job: bool = False
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """What one end offers.

    Attributes:
        kind: This machine, a facility, or a Globus collection that is none.
        label: What people call it.
        place: Names the door and its file system; equal for two ends of one place.
        files: Its API moves files by itself.
        upload_limit, download_limit: Bytes of one file that it takes and gives; None for any, 0 for none.
        checksum: It tells the SHA-256 of a file.
        rename: It can rename.
        move_job: A job of the user's allocation does that, and copies.
        archives: It packs and unpacks.
        jobs: It runs jobs, which spend an allocation.
        queue_wait: Seconds that a small job waits there.
        parts: Of S3, where it signs links.
        https: Files are read by range and written as streams.
        collection: Of Globus, by id.
        why_no_collection: What is missing for one, for people.
        seconds_per_request: Until it answers.
    """

    kind: Literal["here", "facility", "collection"]
    label: str
    place: str = ""
    files: bool = False
    upload_limit: int | None = None
    download_limit: int | None = None
    checksum: bool = True
    rename: bool = True
    move_job: bool = False
    archives: bool = False
    jobs: bool = False
    queue_wait: float = 60.0
    parts: Parts | None = None
    https: bool = False
    collection: str | None = None
    why_no_collection: str = "it has no Globus collection"
    seconds_per_request: float = 0.1

    @property
    def here(self) -> bool:
        """Whether it is this machine."""
        return self.kind == "here"


HERE = Offer("here", "this machine", why_no_collection="this machine is no Globus collection")


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be moved.

    Attributes:
        files: How many.
        bytes: Of all of them.
        largest: Bytes of the largest.
        tree: They are all that is in one directory, and its place at the target is empty.
        bundles: How many of their directories fit into an archive each, and how many files are in none;
            None where nobody has looked.
    """

    files: int
    bytes: int
    largest: int
    tree: bool = False
    bundles: tuple[int, int] | None = None

    @classmethod
    def of(cls, sizes: Sequence[int], *, tree: bool = False, bundles: tuple[int, int] | None = None) -> Load:
        """Of files of these sizes."""
        return cls(len(sizes), sum(sizes), max(sizes, default=0), tree, bundles)

    def describe(self) -> str:
        """For people."""
        return f"{many(f'{self.files:,}', 'file')}, {amount(self.bytes)}"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user said.

    Attributes:
        road: This one and no other.
        allow_job: Roads that spend a little of the allocation are fine.
        checksum: Digests are compared where that is offered; True: made also where they are not, False: not
            even compared.
        parallel: Files or parts at once.
        rate: Bytes per second at most.
        wait: Seconds for one thing that a facility does by itself; None for as long as it takes.
    """

    road: Road | None = None
    allow_job: bool = False
    checksum: bool | None = None
    parallel: int = 4
    rate: float | None = None
    wait: float | None = None


NOTHING_SAID = Wishes()


@dataclass(frozen=True, slots=True)
class Quote:
    """What one road would take.

    Attributes:
        road: Which.
        why_not: Why it cannot be taken; "" if it can.
        too_large: The reason is a size.
        seconds: Expected.
        requests: Of the facilities, expected.
        jobs: Short ones that it runs, at the expense of the user's allocation.
        bytes_here: Through this machine.
        missing: Promises that it does not keep, in words.
        hops: Of a relay: down to this machine, up again.
        tree: The directory goes as a whole, not file by file.
        packed: The files travel as one archive that a job makes.
    """

    road: Road
    why_not: str = ""
    too_large: bool = False
    seconds: float = 0.0
    requests: int = 0
    jobs: int = 0
    bytes_here: int = 0
    missing: tuple[str, ...] = ()
    hops: tuple[Quote, ...] = ()
    tree: bool = False
    packed: bool = False

    @property
    def possible(self) -> bool:
        """Whether it can be taken."""
        return not self.why_not

    @property
    def cost(self) -> float:
        """Seconds, with what is missing counted as some more, and bytes that have no business here too."""
        astray = self.bytes_here / ASTRAY if self.hops else 0.0
        return self.seconds + astray + A_PROMISE * len(self.missing)

    def describe(self) -> str:
        """One line for people."""
        if not self.possible:
            return f"{self.road}: {self.why_not}"
        via = f" ({self.hops[0].road} down, {self.hops[1].road} up)" if self.hops else ""
        jobs = "a short job" if self.jobs == 1 else f"{self.jobs} short jobs"
        spends = f", {jobs} of your allocation" if self.jobs else ""
        return (
            f"{self.road}{via}: about {duration(self.seconds)}, {many(f'{self.requests:,}', 'request')}, "
            f"{amount(self.bytes_here)} through this machine{spends}"
        )
