"""Which road data takes: every road that both ends offer is weighed, and the choice explains itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from iri_common.model.errors import IriError, NotOffered, TooLarge, UsageError
from iri_common.model.transfer import Road
from iri_common.policy.offers import NOTHING_SAID, Load, Offer, Quote, Wishes
from iri_common.policy.weighing import ROADS, in_one_body, united


@dataclass(frozen=True, slots=True)
class Leg:
    """Files that take one road.

    Attributes:
        quote: The road.
        others: Those that were weighed too, best first, impossible ones last.
        load: What is moved.
        above: Files of more bytes than this.
        up_to: Files of this many bytes or fewer; None for any.
    """

    quote: Quote
    others: tuple[Quote, ...]
    load: Load
    above: int = -1
    up_to: int | None = None

    def takes(self, size: int) -> bool:
        """Whether a file of this size is one of them."""
        return self.above < size and (self.up_to is None or size <= self.up_to)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a load gets from one end to the other: small files first, one leg or two.

    Attributes:
        source, target: What people call the ends.
        legs: At least one.
        cautions: What to know before it begins, a sentence each.
    """

    source: str
    target: str
    legs: tuple[Leg, ...]
    cautions: tuple[str, ...] = ()

    @property
    def chosen(self) -> Quote:
        """The road that most of the bytes take."""
        return max(self.legs, key=lambda leg: leg.load.bytes).quote

    @property
    def road(self) -> Road:
        """The road that most of the bytes take."""
        return self.chosen.road

    @property
    def seconds(self) -> float:
        """Expected."""
        return sum(leg.quote.seconds for leg in self.legs)

    @property
    def spends(self) -> bool:
        """Whether a job of the user's allocation is run."""
        return any(leg.quote.jobs for leg in self.legs)

    @property
    def missing(self) -> tuple[str, ...]:
        """Promises that are not kept, in words."""
        return united(*(leg.quote.missing for leg in self.legs))

    def explain(self) -> str:
        """What will happen, why, what it does not promise, and what else there would be."""
        lines: list[str] = []
        for leg in self.legs:
            lines.append(f"{leg.load.describe()}: {self.source} -> {self.target}")
            lines.append(f"  {leg.quote.describe()}")
            lines += [f"    {MEANS[leg.quote.road]}"]
            lines += [f"    not promised: {each}" for each in leg.quote.missing]
            if leg.others:
                lines.append("  other roads")
                lines += [f"    {each.describe()}" for each in leg.others]
        lines += [f"  before: {each}" for each in self.cautions]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Difference:
    """What a sync would do.

    Attributes:
        moved: Paths at the target that would be written.
        unchanged: How many files would be left as they are.
        deleted: Paths at the target that would be taken away.
        plan: How.
    """

    moved: tuple[str, ...]
    unchanged: int
    deleted: tuple[str, ...]
    plan: Plan


MEANS: Mapping[Road, str] = {
    Road.WITHIN: "the facility copies for itself, file by file",
    Road.DIRECT: "each file in one call of the facility's API, written aside, compared and renamed",
    Road.ARCHIVE: "many files in one archive, packed at one end and unpacked at the other",
    Road.CHUNKS: "parts through the facility's API, put together or cut by a job there",
    Road.PARTS: "parts over links that the facility signs for its object store",
    Road.HTTPS: "streams over HTTPS",
    Road.GLOBUS: "a task of Globus Transfer, from one collection to the other",
    Road.RELAY: "down to this machine and up again, a few files at a time",
}


def plan(
    source: Offer,
    target: Offer,
    sizes: Sequence[int],
    wishes: Wishes = NOTHING_SAID,
    *,
    tree: bool = False,
    bundles: tuple[int, int] | None = None,
) -> Plan:
    """Choose a road, or one for the small files and one for the large.

    Args:
        source: What one end offers.
        target: What the other end offers.
        sizes: Of the files, in bytes.
        wishes: What the user said.
        tree: They are all that is in one directory, and its place at the target is empty.
        bundles: As a :class:`~iri_common.policy.offers.Load` has them.

    Raises:
        UsageError: if both ends are this machine.
        TooLarge: if a file is too large for every road there is; says what would help.
        NotOffered: if there is no road, or not the one that was wished for.
    """
    if source.here and target.here:
        raise UsageError("both ends are on this machine: no facility is needed for that")
    whole = _leg(source, target, Load.of(sizes, tree=tree, bundles=bundles), wishes)
    legs = [whole]
    bounds = sorted(
        {
            in_one_body(limit, up=up)
            for end, limit, up in (
                (source, source.download_limit, False),
                (target, target.upload_limit, True),
            )
            if end.files and limit != 0
        }
    )
    for bound in bounds:
        small = [size for size in sizes if size <= bound]
        large = [size for size in sizes if size > bound]
        if not small or not large:
            continue
        pair = [
            replace(_leg(source, target, Load.of(small), wishes), up_to=bound),
            replace(_leg(source, target, Load.of(large), wishes), above=bound),
        ]
        if all(leg.quote.possible for leg in pair) and _cost(pair) < _cost(legs):
            legs = pair
    if not legs[0].quote.possible:
        raise _no_road(source, target, whole, wishes)
    return Plan(source.label, target.label, tuple(legs))


def _leg(source: Offer, target: Offer, load: Load, wishes: Wishes) -> Leg:
    quotes = [
        quote
        for road, weigh in ROADS.items()
        if (quote := weigh(source, target, load, wishes)) is not None and wishes.road in {None, road}
    ]
    if not quotes:
        quotes = [Quote(wishes.road or Road.DIRECT, f"is no road between {source.label} and {target.label}")]
    quotes.sort(key=lambda quote: (not quote.possible, quote.cost))
    return Leg(quotes[0], tuple(quotes[1:]), load)


def _cost(legs: Sequence[Leg]) -> float:
    possible = all(leg.quote.possible for leg in legs)
    return sum(leg.quote.cost for leg in legs) if possible else float("inf")


def _no_road(source: Offer, target: Offer, leg: Leg, wishes: Wishes) -> IriError:
    refusals = (leg.quote, *leg.others)
    asked = f"over the road {wishes.road!s} " if wishes.road else ""
    said = "\n".join(f"  {each.describe()}" for each in refusals)
    largest = f"; the largest file has {leg.load.largest} bytes" if leg.load.files else ""
    problem = (
        f"{leg.load.describe()} cannot go {asked}from {source.label} to {target.label}{largest}:\n{said}"
    )
    return TooLarge(problem) if any(each.too_large for each in refusals) else NotOffered(problem)
