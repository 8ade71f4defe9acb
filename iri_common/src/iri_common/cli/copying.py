"""Commands that move data between two ends: get, put, cp, sync."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from iri_common.cli.exits import Exit
from iri_common.cli.guarded import Interrupted, error_words, tell_error
from iri_common.cli.jobspec import amount
from iri_common.cli.progress import ProgressShow
from iri_common.cli.speak import Screen, elapsed, size
from iri_common.cli.where import far_end
from iri_common.facility.faces import Transfers
from iri_common.jobside.amounts import bytes_of
from iri_common.model.counts import many
from iri_common.model.errors import IriError, UsageError
from iri_common.policy import globs
from iri_common.transfers.ends import LocalEnd, parse_end

if TYPE_CHECKING:
    from iri_common.cli.options import DoorWords, RoadWords
    from iri_common.facility.farreach import FacilityEnd
    from iri_common.model.transfer import TransferResult
    from iri_common.policy.roads import Plan

    Ends = tuple[str | FacilityEnd, str | FacilityEnd]

INTO_HERE = {".", ".."}  # like a slash at the end: the same command again means the same place


def get(screen: Screen, door: DoorWords, words: RoadWords, sources: Sequence[str], target: str) -> int:
    """Fetch what lies at a facility."""
    _require_here(target)
    pairs = pairs_of(sources, target)
    return _moved(screen, words, [(far_end(door, from_), to) for from_, to in pairs])


def put(screen: Screen, door: DoorWords, words: RoadWords, sources: Sequence[str], target: str) -> int:
    """Send what lies here."""
    for each in sources:
        _require_here(each)
    pairs = pairs_of(sources, target)
    return _moved(screen, words, [(from_, far_end(door, to)) for from_, to in pairs])


def cp(screen: Screen, words: RoadWords, source: str, target: str) -> int:
    """Copy between any two ends."""
    return _moved(screen, words, pairs_of([source], target))


def sync(screen: Screen, words: RoadWords, source: str, target: str, *, delete: bool, dry_run: bool) -> int:
    """Make the target like the source."""
    if dry_run:
        return _compared(screen, words, source, target, delete=delete)
    return _moved(screen, words, [(source, target)], delete=delete)


def pairs_of(sources: Sequence[str], target: str) -> list[tuple[str, str]]:
    """Who goes where: into the target, under its own name, if that ends in a slash or if there are several.

    Raises:
        UsageError: for a source without a name to take along, or two of one name.
    """
    if len(sources) == 1 and not target.endswith("/") and target not in INTO_HERE:
        return [(sources[0], target)]
    names = [_name_of(each) for each in sources]
    if twice := {each for each in names if each and names.count(each) > 1}:
        raise UsageError(f"two of these would become {posixpath.join(target, min(twice))}")
    return [
        (source, posixpath.join(target, name) if name else target)
        for source, name in zip(sources, names, strict=True)
    ]


def _name_of(source: str) -> str:
    """What a source is called; "" for a pattern, whose matches have names of their own."""
    end = parse_end(source)
    if globs.split(end.path)[1] and not (isinstance(end, LocalEnd) and os.path.lexists(end.path)):
        return ""
    path = os.path.abspath(end.path) if isinstance(end, LocalEnd) else end.path.rstrip("/")
    name = posixpath.basename(path)
    if not name:
        raise UsageError(
            f"{source} has no name to keep; say the target's whole name, without a slash at its end"
        )
    return name


def _require_here(given: str) -> None:
    if not isinstance(parse_end(given), LocalEnd):
        raise UsageError(f"{given} is not on this machine; iri cp copies between any two places")


def _options(words: RoadWords) -> dict[str, Any]:
    return {
        "road": words.road,
        "allow_job": words.allow_job,
        "parallel": words.parallel,
        "rate": amount("--rate", bytes_of, words.rate),
        "checksum": words.checksum,
        "links": words.links,
        "parents": words.parents,
    }


def _moved(screen: Screen, words: RoadWords, trips: Sequence[Ends], *, delete: bool | None = None) -> int:
    """Carry one after the other; ``delete`` is that of a sync, None for a copy."""
    options, transfers = _options(words), Transfers()
    if words.plan:
        plans = [transfers.plan(*ends, sync=delete is not None, **options) for ends in trips]
        return _explained(screen, plans)
    done: list[TransferResult] = []
    code = Exit.OK
    problem: IriError | None = None
    try:
        with ProgressShow(screen, quiet=words.quiet) as show:
            for ends in trips:
                result = (
                    transfers.copy(*ends, **options, on_progress=show)
                    if delete is None
                    else transfers.sync(*ends, **options, delete=delete, on_progress=show)
                )
                done.append(result)
                if not words.quiet:
                    screen.say(words_of(result), "green")
    except Interrupted:
        screen.say("What has arrived stays. Run the same command again: it goes on where it was.", "yellow")
        raise
    except IriError as error:
        code, problem = tell_error(screen, error, quiet=True), error
    if screen.as_json:
        told = {"ok": problem is None, "exit": int(code), "transfers": [asdict(each) for each in done]}
        screen.document(told | ({"error": error_words(problem)} if problem else {}))
    return code


def _compared(screen: Screen, words: RoadWords, source: str, target: str, *, delete: bool) -> int:
    """What a sync would do: ``+`` for a file that is written, ``-`` for one that is taken away."""
    seen = Transfers().difference(source, target, delete=delete, **_options(words))
    if screen.as_json:
        told = {"moved": seen.moved, "unchanged": seen.unchanged, "deleted": seen.deleted}
        screen.document({"ok": True, "exit": 0, "dry_run": True, **told, "plan": plan_words(seen.plan)})
        return Exit.OK
    lines = [*(f"+ {each}" for each in seen.moved), *(f"- {each}" for each in seen.deleted)]
    screen.result("".join(f"{each}\n" for each in lines))
    screen.say(
        f"{len(seen.moved)} would be moved, {len(seen.deleted)} removed; {seen.unchanged} unchanged. "
        "Nothing was done.",
        "dim",
    )
    return Exit.OK


def _explained(screen: Screen, plans: Sequence[Plan]) -> int:
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "plans": [plan_words(each) for each in plans]})
    else:
        screen.result("\n\n".join(each.explain() for each in plans))
        screen.say("Nothing was moved.", "dim")
    return Exit.OK


def plan_words(plan: Plan) -> dict[str, Any]:
    """A plan for a program."""
    return {
        "source": plan.source,
        "target": plan.target,
        "road": str(plan.road),
        "seconds": plan.seconds,
        "spends_allocation": plan.spends,
        "not_promised": list(plan.missing),
        "cautions": list(plan.cautions),
        "legs": [
            {"road": str(leg.quote.road), "files": leg.load.files, "bytes": leg.load.bytes}
            for leg in plan.legs
        ],
        "explanation": plan.explain(),
    }


def words_of(result: TransferResult) -> str:
    """What came of it: ``12 files, 1.5 GiB in 14s (110 MiB/s) by direct; 3 unchanged``."""
    files = many(result.files, "file")
    rate = f" ({size(result.bytes / result.seconds)}/s)" if result.bytes and result.seconds else ""
    words = [
        f"{result.target}: {files}, {size(result.bytes)} in {elapsed(result.seconds)}{rate} by {result.road}"
    ]
    if result.files_skipped:
        words.append(f"{result.files_skipped} unchanged")
    if result.deleted:
        words.append(f"{result.deleted} removed")
    return "; ".join(words)
