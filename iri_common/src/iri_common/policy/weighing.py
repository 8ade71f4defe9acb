"""What each road would take between two ends, and what it would not promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from iri_common.model.transfer import Road
from iri_common.policy.offers import HERE, Load, Offer, Quote, Wishes
from iri_common.policy.sizes import PART_DOWN, PART_UP, WHOLE_DOWN, WHOLE_UP, amount

# Requests: an operation of a facility's files is asked for and looked at.
OPERATION = 2
PUT = 4 * OPERATION  # look at the target, upload, compare, rename
GET = 3 * OPERATION  # look at the source, download, compare
COPY = 5 * OPERATION  # look at the target, copy, compare both, rename
COPY_TREE = 7 * OPERATION  # clear the place aside, make what is above, copy, list, look twice, rename
JOIN = 12  # a job under a key, and what clears away after it
PER_SECOND = 20.0  # the budget of a door
BURST = 20

TAR_HEADER = 1024  # bytes a file, on average
LINE = 50e6  # bytes per second between this machine and others: a guess
GLOBUS_LINE = 200e6  # between two data transfer nodes: likewise
GLOBUS_START = 20.0  # seconds before a task moves its first byte
GLOBUS_FILE = 0.02  # seconds
PACKED_FILE = 0.002  # seconds to read a file there, and to write it here
UNPACKING = 0.5  # seconds an archive
LEAST_ARCHIVE = 8  # files: fewer are not worth a road that promises less

UNCOMPARED = "SHA-256 is not compared at both ends; sizes are"
SEEN_EARLY = "a reader may see a file under its name before it is whole"
FROM_THE_START = "an upload that is interrupted begins again at its first byte"
ONE_BY_ONE = "where the target directory exists, files appear in it one by one"


def _within(source: Offer, target: Offer, load: Load, wishes: Wishes) -> Quote | None:
    if not source.place or source.place != target.place or not target.files:
        return None
    as_one = load.tree and load.files >= LEAST_ARCHIVE
    requests = COPY_TREE if as_one else COPY * load.files
    quote = Quote(
        Road.WITHIN,
        seconds=_asking(target, requests, wishes) + load.bytes / GLOBUS_LINE,
        requests=requests,
        missing=(UNCOMPARED,) if as_one else _missing(replace(target, move_job=False), wishes),
        tree=as_one,
    )
    # A copy aside, then a rename.
    return (
        _with_jobs(quote, target, wishes, 1 if as_one else load.files, each=2) if target.move_job else quote
    )


def _direct(source: Offer, target: Offer, load: Load, wishes: Wishes) -> Quote | None:
    far, up = _far(source, target)
    if far is None or far.kind != "facility":
        return None
    limit = far.upload_limit if up else far.download_limit
    if not far.files or limit == 0:
        why = _none(far, up=up) if far.files else f"the API of {far.label} moves no files"
        return Quote(Road.DIRECT, why)
    if limit is not None and load.largest > limit:
        return Quote(Road.DIRECT, _over(load, limit, far, up=up), too_large=True)
    most = in_one_body(limit, up=up)
    if load.largest > most and wishes.road is not Road.DIRECT:
        why = (
            f"a file goes through this machine's memory as a whole, at most {amount(most)} unless this road "
            f"is asked for by name; the largest has {amount(load.largest)}"
        )
        return Quote(Road.DIRECT, why, too_large=True)
    requests = (PUT if up else GET) * load.files
    quote = _through_here(Road.DIRECT, far, load, wishes, requests, _missing(far, wishes, renames=up))
    return _renamed_by_job(quote, far, load, wishes) if up and far.move_job and wishes.allow_job else quote


def _renamed_by_job(quote: Quote, far: Offer, load: Load, wishes: Wishes) -> Quote:
    """Files that appear whole, if that is worth the wait for the jobs; else the same quote."""
    kept = replace(quote, missing=tuple(each for each in quote.missing if each != SEEN_EARLY))
    return min(_with_jobs(kept, far, wishes, load.files), quote, key=lambda each: each.cost)


def _archive(source: Offer, target: Offer, load: Load, wishes: Wishes) -> Quote | None:
    far, up = _far(source, target)
    if far is None or not far.files or not far.archives:
        return None
    limit = far.upload_limit if up else far.download_limit
    if limit == 0:
        return Quote(Road.ARCHIVE, _none(far, up=up))
    packed = load.bytes + load.files * TAR_HEADER
    if load.files < LEAST_ARCHIVE and wishes.road is not Road.ARCHIVE:
        return None
    if limit is not None and load.largest + 2 * TAR_HEADER > limit:
        return Quote(Road.ARCHIVE, _over(load, limit, far, up=up), too_large=True)
    archives, loose = 1 if limit is None else -(-packed // limit), 0
    if limit is not None and packed > limit and not up:
        archives, loose = load.bundles or (0, load.files)
    if not archives:
        why = f"together they have {amount(packed)}, and no directory of several fits into an archive"
        return Quote(Road.ARCHIVE, why, too_large=True)
    requests = archives * PUT + 3 * OPERATION + loose * GET
    missing = (*_missing(far, wishes, renames=False), *((ONE_BY_ONE,) if up else ()))
    quote = _through_here(Road.ARCHIVE, far, load, wishes, requests, missing)
    return replace(quote, seconds=quote.seconds + UNPACKING * archives)


def _chunks(source: Offer, target: Offer, load: Load, wishes: Wishes) -> Quote | None:
    """Down, one job packs all files of a load."""
    quote = _chunks_of_each(source, target, load, wishes)
    if quote is None or not quote.possible or source.here or load.files < 2:
        return quote
    packed = load.bytes + load.files * TAR_HEADER
    part = _part(source, up=False)
    # The directory, the list of names, and then as for one file.
    requests = OPERATION * (2 + -(-packed // part)) + JOIN
    quote = _through_here(Road.CHUNKS, source, load, wishes, requests, ())
    seconds = quote.seconds + source.queue_wait + PACKED_FILE * load.files + packed / GLOBUS_LINE
    return replace(quote, seconds=seconds, jobs=1, packed=True)


def _chunks_of_each(source: Offer, target: Offer, load: Load, wishes: Wishes) -> Quote | None:
    far, up = _far(source, target)
    if far is None or not far.files:
        return None
    if (far.upload_limit if up else far.download_limit) == 0:
        return Quote(Road.CHUNKS, _none(far, up=up))
    if not far.jobs:
        return Quote(Road.CHUNKS, f"{far.label} runs no jobs here that could join the parts")
    if not wishes.allow_job:
        return Quote(
            Road.CHUNKS, "needs a short job of your allocation: allow it with allow_job=True or --allow-job"
        )
    part = _part(far, up=up)
    requests = OPERATION * (load.bytes // part + load.files) + JOIN * load.files
    quote = _through_here(Road.CHUNKS, far, load, wishes, requests, ())
    return replace(quote, seconds=quote.seconds + far.queue_wait, jobs=load.files)


def _parts(source: Offer, target: Offer, load: Load, wishes: Wishes) -> Quote | None:
    far, up = _far(source, target)
    if far is None or far.parts is None:
        return None
    if far.parts.why_not:
        return Quote(Road.PARTS, far.parts.why_not)
    requests = 4 * load.files
    missing = () if far.parts.whole or far.rename or not up else (SEEN_EARLY,)
    if not far.checksum or wishes.checksum is False:
        missing = (UNCOMPARED, *missing)
    quote = _through_here(Road.PARTS, far, load, wishes, requests, missing)
    quote = replace(quote, seconds=quote.seconds + (far.parts.seconds if up else 0.0))
    renamed = up and not far.parts.whole and far.rename and far.move_job
    return _with_jobs(quote, far, wishes, load.files, each=far.parts.job + renamed)


def _https(source: Offer, target: Offer, load: Load, wishes: Wishes) -> Quote | None:
    far, up = _far(source, target)
    if far is None or not far.https:
        return None
    requests = 3 * load.files
    missing = _missing(far, wishes, renames=up)
    if up:  # HTTP has no PUT of a part: a server that does not refuse it would make it the whole file
        missing = (*missing, FROM_THE_START)
    return _through_here(Road.HTTPS, far, load, wishes, requests, missing)


def _globus(source: Offer, target: Offer, load: Load, wishes: Wishes) -> Quote | None:
    if source.here or target.here:
        return None
    lacking = [each for each in (source, target) if each.collection is None]
    if lacking:
        return Quote(Road.GLOBUS, "; ".join(f"{each.label}: {each.why_no_collection}" for each in lacking))
    seconds = GLOBUS_START + GLOBUS_FILE * load.files + load.bytes / GLOBUS_LINE
    # Globus compares digests of its own at both ends; names are the final ones from the beginning.
    return Quote(Road.GLOBUS, seconds=seconds, requests=4 + int(seconds / 30), missing=(SEEN_EARLY,))


def _relay(source: Offer, target: Offer, load: Load, wishes: Wishes) -> Quote | None:
    if source.here or target.here:
        return None
    if source.place and source.place == target.place and wishes.road is not Road.RELAY:
        return None  # what lies at one place has no business here, however many requests that costs
    hop = replace(wishes, road=None)
    hops: list[Quote] = []
    for one, other in ((source, HERE), (HERE, target)):
        quotes = [quote for road in _HOPS if (quote := _HOPS[road](one, other, load, hop)) is not None]
        best = min(quotes, key=lambda quote: (not quote.possible, quote.cost), default=None)
        far = source if other is HERE else target
        if best is None:
            return Quote(Road.RELAY, f"nothing reaches {far.label} from this machine")
        if not best.possible:
            said = "; ".join(f"{quote.road}: {quote.why_not}" for quote in quotes)
            too_large = any(quote.too_large for quote in quotes)
            return Quote(Road.RELAY, f"between this machine and {far.label}, {said}", too_large)
        hops.append(best)
    return Quote(
        Road.RELAY,
        seconds=sum(each.seconds for each in hops),
        requests=sum(each.requests for each in hops),
        jobs=sum(each.jobs for each in hops),
        bytes_here=sum(each.bytes_here for each in hops),
        missing=united(*(each.missing for each in hops)),
        hops=tuple(hops),
    )


_Weigh = Callable[[Offer, Offer, Load, Wishes], Quote | None]
_HOPS: Mapping[Road, _Weigh] = {
    Road.DIRECT: _direct,
    Road.ARCHIVE: _archive,
    Road.HTTPS: _https,
    Road.PARTS: _parts,
    Road.CHUNKS: _chunks_of_each,  # a relay carries a few files at a time
}
ROADS: Mapping[Road, _Weigh] = {
    Road.WITHIN: _within,
    **_HOPS,
    Road.CHUNKS: _chunks,
    Road.GLOBUS: _globus,
    Road.RELAY: _relay,
}


def _far(source: Offer, target: Offer) -> tuple[Offer | None, bool]:
    """The end that is not this machine, if the other one is; and whether bytes go up to it."""
    if source.here == target.here:
        return None, False
    return (target, True) if source.here else (source, False)


def _through_here(
    road: Road, far: Offer, load: Load, wishes: Wishes, requests: int, missing: tuple[str, ...]
) -> Quote:
    line = LINE if wishes.rate is None else min(LINE, wishes.rate)
    seconds = _asking(far, requests, wishes) + load.bytes / line
    return Quote(road, seconds=seconds, requests=requests, bytes_here=load.bytes, missing=missing)


def _with_jobs(quote: Quote, far: Offer, wishes: Wishes, files: int, *, each: int = 1) -> Quote:
    """The same, with so many jobs for each file, one after the other."""
    turns = -(-files // max(1, wishes.parallel)) * each
    return replace(quote, jobs=files * each, seconds=quote.seconds + turns * far.queue_wait)


def _asking(far: Offer, requests: int, wishes: Wishes) -> float:
    return max(
        requests * far.seconds_per_request / max(1, wishes.parallel), (requests - BURST) / PER_SECOND, 0.0
    )


def _missing(far: Offer, wishes: Wishes, *, renames: bool = True) -> tuple[str, ...]:
    uncompared = not far.checksum or wishes.checksum is False
    seen_early = renames and (not far.rename or far.move_job)
    return (*((UNCOMPARED,) if uncompared else ()), *((SEEN_EARLY,) if seen_early else ()))


def _part(far: Offer, *, up: bool) -> int:
    limit, best = (far.upload_limit, PART_UP) if up else (far.download_limit, PART_DOWN)
    return best if limit is None else min(best, limit)


def in_one_body(limit: int | None, *, up: bool) -> int:
    """Bytes of the largest file that goes in one call of an API with this limit."""
    most = WHOLE_UP if up else WHOLE_DOWN
    return most if limit is None else min(limit, most)


def _none(far: Offer, *, up: bool) -> str:
    return f"the API of {far.label} {'takes' if up else 'gives'} no files"


def _over(load: Load, limit: int, far: Offer, *, up: bool) -> str:
    verb = "takes" if up else "gives"
    return f"the API of {far.label} {verb} {limit} bytes in one file, the largest has {load.largest}"


def united(*groups: tuple[str, ...]) -> tuple[str, ...]:
    """All of them, each once."""
    return tuple(dict.fromkeys(each for group in groups for each in group))
