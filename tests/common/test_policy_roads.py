"""The planner: tables of what is chosen, and what holds whatever the ends offer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common import IriError, NotOffered, TooLarge, UsageError
from iri_common.model.transfer import Road
from iri_common.policy.offers import HERE, Offer, Parts, Wishes
from iri_common.policy.roads import Plan, plan
from iri_common.policy.sizes import amount, duration
from iri_common.policy.weighing import FROM_THE_START, ONE_BY_ONE, SEEN_EARLY, UNCOMPARED

KIB, MIB, GIB = 1024, 1024**2, 1024**3

IRI = Offer(
    "facility",
    "nersc",
    place="nersc/scratch",
    files=True,
    upload_limit=5 * MIB,
    download_limit=5 * MIB,
    archives=True,
    jobs=True,
)
FIRECREST = replace(
    IRI,
    label="cscs",
    place="cscs/scratch",
    archives=False,
    move_job=True,
    parts=Parts(seconds=60.0, whole=False, job=True),
)
OLCF = Offer("facility", "olcf", place="olcf/orion", collection="c-olcf")
BEAMLINE = Offer("collection", "beamline", collection="c-beam", https=True, checksum=False)
WITH_GLOBUS = replace(IRI, collection="c-nersc")
NO_LIMIT = replace(IRI, upload_limit=None, download_limit=None)
JOBS = Wishes(allow_job=True)


@pytest.mark.parametrize(
    ("source", "target", "sizes", "wishes", "roads"),
    [
        (HERE, IRI, [MIB], Wishes(), [Road.DIRECT]),
        (IRI, HERE, [MIB], Wishes(), [Road.DIRECT]),
        (HERE, IRI, [0], Wishes(), [Road.DIRECT]),
        (HERE, IRI, [5 * MIB], Wishes(), [Road.DIRECT]),
        (HERE, replace(IRI, download_limit=1), [MIB], Wishes(), [Road.DIRECT]),
        (replace(IRI, upload_limit=1), HERE, [MIB], Wishes(), [Road.DIRECT]),
        (HERE, IRI, [], Wishes(), [Road.DIRECT]),
        (HERE, IRI, [10 * KIB] * 3, Wishes(), [Road.DIRECT]),
        (HERE, IRI, [10 * KIB] * 10_000, Wishes(), [Road.ARCHIVE]),
        (IRI, HERE, [10 * KIB] * 300, Wishes(), [Road.ARCHIVE]),
        (HERE, IRI, [4 * GIB], JOBS, [Road.CHUNKS]),
        (HERE, IRI, [10 * KIB] * 10_000 + [4 * GIB], JOBS, [Road.ARCHIVE, Road.CHUNKS]),
        (HERE, IRI, [10 * KIB, 6 * MIB], JOBS, [Road.DIRECT, Road.CHUNKS]),
        (HERE, FIRECREST, [200 * MIB], Wishes(), [Road.PARTS]),
        (HERE, replace(FIRECREST, queue_wait=1.0), [200 * MIB], JOBS, [Road.CHUNKS]),
        (HERE, FIRECREST, [MIB], Wishes(), [Road.DIRECT]),
        (IRI, IRI, [4 * GIB], Wishes(), [Road.WITHIN]),
        (IRI, FIRECREST, [MIB], Wishes(), [Road.RELAY]),
        (WITH_GLOBUS, OLCF, [GIB], Wishes(), [Road.GLOBUS]),
        (WITH_GLOBUS, replace(FIRECREST, collection="c-cscs"), [KIB], Wishes(), [Road.RELAY]),
        (WITH_GLOBUS, replace(FIRECREST, collection="c-cscs"), [MIB] * 50, Wishes(), [Road.GLOBUS]),
        (BEAMLINE, WITH_GLOBUS, [GIB], Wishes(), [Road.GLOBUS]),
        (BEAMLINE, HERE, [GIB], Wishes(), [Road.HTTPS]),
        (HERE, BEAMLINE, [GIB], Wishes(), [Road.HTTPS]),
        (HERE, NO_LIMIT, [16 * MIB], Wishes(), [Road.DIRECT]),
        (NO_LIMIT, HERE, [8 * MIB], Wishes(), [Road.DIRECT]),
        (HERE, NO_LIMIT, [MIB, 16 * MIB + 1], JOBS, [Road.DIRECT, Road.CHUNKS]),
        (HERE, replace(NO_LIMIT, parts=Parts()), [GIB], Wishes(), [Road.PARTS]),
        (HERE, NO_LIMIT, [GIB], Wishes(road=Road.DIRECT), [Road.DIRECT]),
        (HERE, IRI, [MIB] * 2, Wishes(road=Road.ARCHIVE), [Road.ARCHIVE]),
        (HERE, replace(IRI, parts=Parts()), [MIB], Wishes(road=Road.PARTS), [Road.PARTS]),
    ],
)
def test_the_road_that_is_chosen(source, target, sizes, wishes, roads) -> None:
    chosen = plan(source, target, sizes, wishes)
    assert [leg.quote.road for leg in chosen.legs] == roads, chosen.explain()
    for size in sizes:
        assert sum(leg.takes(size) for leg in chosen.legs) == 1


@pytest.mark.parametrize(
    ("source", "target", "sizes", "wishes", "error", "words"),
    [
        (HERE, HERE, [1], Wishes(), UsageError, "both ends are on this machine"),
        (HERE, IRI, [6 * MIB], Wishes(), TooLarge, r"6291456 bytes(.|\n)*--allow-job"),
        (HERE, replace(IRI, jobs=False), [6 * MIB], Wishes(), TooLarge, "runs no jobs"),
        (IRI, HERE, [6 * MIB], Wishes(), TooLarge, "gives 5242880 bytes in one file"),
        (HERE, NO_LIMIT, [17 * MIB], Wishes(), TooLarge, "at most 16.0 MiB unless this road is asked for"),
        (NO_LIMIT, HERE, [9 * MIB], Wishes(), TooLarge, "at most 8.0 MiB unless .* the largest has 9.0 MiB"),
        (HERE, OLCF, [1], Wishes(), NotOffered, "the API of olcf moves no files"),
        (
            HERE,
            IRI,
            [1],
            Wishes(road=Road.GLOBUS),
            NotOffered,
            "globus: is no road between this machine and nersc",
        ),
        (IRI, OLCF, [1], Wishes(road=Road.GLOBUS), NotOffered, "nersc: it has no Globus collection"),
        (HERE, IRI, [1], Wishes(road=Road.CHUNKS), NotOffered, "allow_job=True"),
        (IRI, OLCF, [1], Wishes(), NotOffered, "between this machine and olcf, direct: the API"),
        (OLCF, BEAMLINE, [1], Wishes(road=Road.RELAY), NotOffered, "olcf"),
    ],
)
def test_no_road_says_why_and_what_would_help(source, target, sizes, wishes, error, words) -> None:
    with pytest.raises(error, match=words) as told:
        plan(source, target, sizes, wishes)
    assert type(told.value) is error


def test_a_rename_that_is_a_job_is_made_where_it_is_allowed_and_worth_its_wait() -> None:
    short = replace(FIRECREST, queue_wait=1.0)
    alone = plan(HERE, FIRECREST, [MIB]).chosen
    assert (alone.road, alone.jobs, alone.missing) == (Road.DIRECT, 0, (SEEN_EARLY,))
    assert plan(HERE, FIRECREST, [MIB], JOBS).chosen == alone, "a minute is more than the promise is worth"
    allowed = plan(HERE, short, [MIB] * 3, JOBS).chosen
    assert (allowed.road, allowed.jobs, allowed.missing) == (Road.DIRECT, 3, ())
    assert plan(FIRECREST, HERE, [MIB], JOBS).chosen.jobs == 0
    within = plan(FIRECREST, FIRECREST, [MIB] * 3).chosen
    assert (within.road, within.jobs, within.missing) == (Road.WITHIN, 6, ())


def test_parts_that_a_job_carries_say_what_they_spend() -> None:
    up, down = plan(HERE, FIRECREST, [GIB]).chosen, plan(FIRECREST, HERE, [GIB]).chosen
    assert (up.road, up.jobs, up.missing) == (Road.PARTS, 2, ())
    assert (down.road, down.jobs, down.missing) == (Road.PARTS, 1, ())
    assert up.seconds - down.seconds > FIRECREST.queue_wait + 50.0
    unnamed = plan(HERE, replace(FIRECREST, rename=False), [GIB]).chosen
    assert (unnamed.jobs, unnamed.missing) == (1, (SEEN_EARLY,))


def test_parts_that_are_not_taken_say_why() -> None:
    streamed = replace(FIRECREST, parts=Parts(job=True, why_not="by 'streamer' alone"))
    with pytest.raises(IriError, match=r"parts: by 'streamer' alone"):
        plan(HERE, streamed, [GIB])
    with_job = plan(HERE, streamed, [GIB], JOBS)
    assert with_job.road is Road.CHUNKS
    assert "parts: by 'streamer' alone" in with_job.explain()


def test_a_tree_within_a_facility_is_copied_as_one_where_its_place_is_empty() -> None:
    many = [10 * KIB] * 1000
    as_one = plan(IRI, IRI, many, tree=True)
    assert (as_one.road, as_one.chosen.tree, as_one.chosen.bytes_here) == (Road.WITHIN, True, 0)
    assert UNCOMPARED in as_one.missing
    assert not plan(IRI, IRI, [KIB] * 3, tree=True).chosen.tree
    assert not plan(IRI, IRI, [KIB] * 10).chosen.tree


def test_many_files_come_down_with_one_job() -> None:
    many = [10 * KIB] * 10_000
    with_job = plan(IRI, HERE, many, JOBS)
    assert (with_job.road, with_job.chosen.jobs, with_job.chosen.packed) == (Road.CHUNKS, 1, True)
    assert with_job.chosen.requests < 100
    assert with_job.seconds < 120
    large = plan(IRI, HERE, [GIB] * 3 + many, JOBS)
    assert [(leg.quote.jobs, leg.quote.packed) for leg in large.legs] == [(1, True)], "one for all of them"
    assert "--allow-job" in plan(IRI, HERE, many).explain(), "what would be there"
    assert not plan(IRI, HERE, [GIB], JOBS).chosen.packed
    up = plan(HERE, IRI, [GIB] * 3, JOBS).chosen
    assert (up.jobs, up.packed) == (3, False)
    relayed = plan(IRI, replace(IRI, label="other", place="other/x"), [GIB] * 3, JOBS).chosen
    assert [(hop.jobs, hop.packed) for hop in relayed.hops] == [(3, False)] * 2


def test_archives_come_down_by_directory() -> None:
    many = [10 * KIB] * 10_000
    by_directory = plan(IRI, HERE, many, bundles=(100, 0))
    assert (by_directory.road, by_directory.chosen.requests) == (Road.ARCHIVE, 806)
    assert plan(IRI, HERE, many, bundles=(3, 9_900)).chosen.requests > 50_000, "file by file, nearly all"
    for nothing in (None, (0, 10_000)):
        told = plan(IRI, HERE, many, bundles=nothing)
        assert told.road is Road.DIRECT
        assert "no directory of several fits" in told.explain()


def test_the_explanation_is_one_that_a_scientist_reads_with_profit() -> None:
    assert plan(HERE, IRI, [10 * KIB] * 200 + [200 * MIB], JOBS).explain().splitlines() == [
        "200 files, 2.0 MiB: this machine -> nersc",
        "  archive: about 1 s, 14 requests, 2.0 MiB through this machine",
        "    many files in one archive, packed at one end and unpacked at the other",
        f"    not promised: {ONE_BY_ONE}",
        "  other roads",
        "    direct: about 79 s, 1,600 requests, 2.0 MiB through this machine",
        "    chunks: about 3 min, 2,800 requests, 2.0 MiB through this machine, "
        "200 short jobs of your allocation",
        "1 file, 200 MiB: this machine -> nersc",
        "  chunks: about 69 s, 114 requests, 200 MiB through this machine, a short job of your allocation",
        "    parts through the facility's API, put together or cut by a job there",
        "  other roads",
        "    direct: the API of nersc takes 5242880 bytes in one file, the largest has 209715200",
    ]


# ------------------------------------------------------------------------------------------ properties

LIMITS = st.sampled_from([None, 100 * KIB, 5 * MIB, GIB])
SIZES = st.lists(st.sampled_from([0, 1, 10 * KIB, 5 * MIB, 5 * MIB + 1, GIB, 100 * GIB]), max_size=40)


@st.composite
def ends(draw: st.DrawFn) -> Offer:
    kind = draw(st.sampled_from(["here", "facility", "collection"]))
    if kind == "here":
        return HERE
    facility = kind == "facility"
    return Offer(
        kind,
        draw(st.sampled_from(["A", "B"])),
        place=draw(st.sampled_from(["", "a", "b"])) if facility else "",
        files=facility and draw(st.booleans()),
        upload_limit=draw(LIMITS),
        download_limit=draw(LIMITS),
        checksum=draw(st.booleans()),
        rename=draw(st.booleans()),
        archives=draw(st.booleans()),
        jobs=facility and draw(st.booleans()),
        queue_wait=draw(st.sampled_from([1.0, 60.0, 3600.0])),
        parts=draw(st.sampled_from([None, Parts(), Parts(seconds=60.0, whole=False), Parts(why_not="no")])),
        https=draw(st.booleans()),
        collection=draw(st.sampled_from([None, "c1", "c2"])),
    )


WISHES = st.builds(
    Wishes,
    road=st.none() | st.sampled_from(Road),
    allow_job=st.booleans(),
    checksum=st.sampled_from([None, True, False]),
    parallel=st.integers(1, 8),
    rate=st.sampled_from([None, 1e6]),
)


def planned(source: Offer, target: Offer, sizes: list[int], wishes: Wishes) -> Plan | None:
    try:
        return plan(source, target, sizes, wishes)
    except IriError:
        return None


def offered(road: Road, source: Offer, target: Offer, largest: int, *, by_name: bool) -> bool:
    """Written from the side of what ends have, not of how roads are weighed."""
    far, up = (target, True) if source.here else (source, False)
    limit = far.upload_limit if up else far.download_limit
    fits = limit is None or largest <= limit
    one_here = source.here != target.here
    return {
        Road.WITHIN: source.place == target.place != "" and source.files and target.files,
        Road.DIRECT: one_here and far.files and fits and (by_name or largest <= (16 if up else 8) * MIB),
        Road.ARCHIVE: one_here and far.files and far.archives and fits,
        Road.CHUNKS: one_here and far.files and far.jobs,
        Road.PARTS: one_here and far.parts is not None and not far.parts.why_not,
        Road.HTTPS: one_here and far.https,
        Road.GLOBUS: None not in {source.collection, target.collection}
        and not source.here
        and not target.here,
        Road.RELAY: not source.here and not target.here,
    }[road]


@given(ends(), ends(), SIZES, WISHES)
def test_no_road_is_chosen_that_the_ends_do_not_offer(source, target, sizes, wishes) -> None:
    # A place has one set of offers: two ends of it differ only in their paths.
    if source.place and source.place == target.place:
        target = source
    made = planned(source, target, sizes, wishes)
    if made is None:
        return
    left = list(sizes)
    for leg in made.legs:
        quote = leg.quote
        taken = [size for size in left if leg.takes(size)]
        left = [size for size in left if not leg.takes(size)]
        assert quote.possible
        assert (leg.load.files, leg.load.bytes) == (len(taken), sum(taken))
        assert wishes.road in {None, quote.road}
        by_name = wishes.road is Road.DIRECT
        assert offered(quote.road, source, target, max(taken, default=0), by_name=by_name)
        for hop, pair in zip(quote.hops, ((source, HERE), (HERE, target)), strict=False):
            assert offered(hop.road, *pair, max(taken, default=0), by_name=False)
        assert bool(quote.hops) == (quote.road is Road.RELAY)
        assert quote.bytes_here == {Road.GLOBUS: 0, Road.WITHIN: 0, Road.RELAY: 2 * sum(taken)}.get(
            quote.road, sum(taken)
        )
    assert not left, "every file has a road"


@given(ends(), ends(), SIZES, WISHES)
def test_a_job_is_run_only_with_consent(source, target, sizes, wishes) -> None:
    made = planned(source, target, sizes, wishes)
    if made is not None and not wishes.allow_job:
        assert not made.spends
        assert Road.CHUNKS not in {quote.road for leg in made.legs for quote in (leg.quote, *leg.quote.hops)}


@given(ends(), ends(), SIZES, WISHES)
def test_every_promise_that_is_not_kept_is_told(source, target, sizes, wishes) -> None:
    made = planned(source, target, sizes, wishes)
    if made is None:
        return
    told = made.explain()
    for each in made.missing:
        assert f"not promised: {each}" in told
    for leg in made.legs:
        assert str(leg.quote.road) in told
        far = [end for end in (source, target) if not end.here]
        if leg.quote.road in {Road.DIRECT, Road.PARTS, Road.HTTPS} and not all(end.checksum for end in far):
            assert UNCOMPARED in leg.quote.missing
        if leg.quote.road is Road.GLOBUS or (
            leg.quote.road is Road.DIRECT and source.here and not target.rename
        ):
            assert SEEN_EARLY in leg.quote.missing
        anew = leg.quote.road is Road.HTTPS and source.here
        anew |= any(hop.road is Road.HTTPS for hop in leg.quote.hops[1:])
        assert anew == (FROM_THE_START in leg.quote.missing)


@given(ends(), ends(), SIZES, WISHES, LIMITS)
def test_a_larger_limit_takes_no_road_away(source, target, sizes, wishes, limit) -> None:
    if planned(source, target, sizes, wishes) is None:
        return

    def larger(end: Offer) -> Offer:
        def raised(old: int | None) -> int | None:
            return None if old is None or limit is None else max(old, limit)

        return replace(end, upload_limit=raised(end.upload_limit), download_limit=raised(end.download_limit))

    assert planned(larger(source), larger(target), sizes, wishes) is not None


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (5 * MIB, "5.0 MiB"),
        (200 * MIB, "200 MiB"),
        (3e15, "2728 TiB"),
    ],
)
def test_amounts(count, words) -> None:
    assert amount(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (67, "67 s"), (600, "10 min"), (7200, "2 h"), (9000, "2 h 30 min"), (3e5, "3 days")],
)
def test_durations(seconds, words) -> None:
    assert duration(seconds) == words
