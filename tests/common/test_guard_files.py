"""What guarded jobs leave, as a client reads it, takes it and removes it; and what it tells of doubles."""

from __future__ import annotations

import pytest
from guard_world import PaperFiles
from jobs_world import ScriptedDialect, ref, status

from iri_common import JobKey, JobState, NotOffered, PermissionDenied, Refused, TransientError
from iri_common.jobs.guards import GuardFiles, Owner, Place
from iri_common.jobs.testimony import by_journal, owner_of, worker_of
from iri_common.jobside.codes import GuardCode

KEY = JobKey.of("guarded", 1)
HOME = "/home/alice"
PLACE = Place("fs", HOME)
ROOT = f"{HOME}/.iri/{KEY.digest}"
OWNER, JOURNAL = f"{ROOT}/1.owner", f"{ROOT}/1.journal"


def guard_files(files: PaperFiles, place: Place | None = PLACE, root: str | None = None) -> GuardFiles:
    async def locate():
        files.asked.append(("locate", ""))
        return place

    return GuardFiles(ScriptedDialect(files=files), locate, root)


async def test_nowhere_to_read_is_asked_for_once_and_nothing_is_there() -> None:
    files = PaperFiles()
    guards = guard_files(files, place=None)
    assert not await guards.readable()
    assert await guards.owner(KEY) is None
    assert await guards.journal(KEY) is None
    assert await guards.generations(KEY) == {}
    assert not await guards.take(KEY)
    assert await guards.digests() == ()
    assert await guards.age(KEY.digest, 0.0) is None
    assert await guards.remove(KEY.digest) is None
    assert files.asked == [("locate", "")]


async def test_a_place_that_cannot_be_found_now_is_asked_for_again() -> None:
    places = [TransientError("away"), Place("fs", HOME)]

    async def locate():
        told = places.pop(0)
        if isinstance(told, Exception):
            raise told
        return told

    guards = GuardFiles(ScriptedDialect(files=PaperFiles({OWNER: "7\n"})), locate)
    with pytest.raises(TransientError):
        await guards.owner(KEY)
    assert await guards.owner(KEY) == Owner("7")


@pytest.mark.parametrize(
    ("text", "owner"),
    [("7\n", Owner("7")), ("7\nspec abc\n", Owner("7", "abc")), ("7", None), ("", None), ("\n", None)],
)
async def test_an_owner_is_a_whole_line(text, owner) -> None:
    assert await guard_files(PaperFiles({OWNER: text})).owner(KEY) == owner


async def test_a_root_needs_no_home() -> None:
    files = PaperFiles({f"/guards/{KEY.digest}/1.owner": "7\n"})
    guards = guard_files(files, Place("fs"), "/guards")
    assert await guards.owner(KEY) == Owner("7")
    assert guards.known_directory(KEY) == f"/guards/{KEY.digest}"


async def test_generations_and_what_canceled_them() -> None:
    names = {
        "1.owner": "7\n",
        "1.journal": "",
        "2.owner": None,
        "12.journal.3": "",
        "3.99.x.1": "",
        "odd": "",
    }
    files = PaperFiles({ROOT: None, **{f"{ROOT}/{name}": text for name, text in names.items()}})
    assert await guard_files(files).generations(KEY) == {1: False, 2: True, 12: False}


async def test_of_a_client_and_a_job_one_is_first() -> None:
    files = PaperFiles()
    guards = guard_files(files)
    assert await guards.take(KEY)
    assert files.tree == {ROOT: None, OWNER: None}
    assert await guards.take(KEY)  # it is ours already
    taken = guard_files(PaperFiles({ROOT: None, OWNER: "7\n"}))
    assert not await taken.take(KEY)


async def test_a_directory_that_cannot_be_made_is_not_taken() -> None:
    files = PaperFiles(failing={"mkdir": Refused("no quota left", outcome="invalid")})
    with pytest.raises(Refused):
        await guard_files(files).take(KEY)
    files = PaperFiles({ROOT: None})

    async def mkdir(file_system, path, *, parents=False):
        if not parents:
            raise Refused("no quota left", outcome="invalid")
        return await PaperFiles.mkdir(files, file_system, path, parents=parents)

    files.mkdir = mkdir
    assert not await guard_files(files).take(KEY)  # nothing is there to keep a job from beginning


async def test_digests_ages_and_removal() -> None:
    other = JobKey.of("guarded", 2).digest
    names = {f"{HOME}/.iri": None, ROOT: None, OWNER: "7\n", f"{HOME}/.iri/{other}": None}
    files = PaperFiles({**names, f"{HOME}/.iri/notes.txt": "mine"}, mtime=100.0)
    guards = guard_files(files)
    assert await guards.digests() == sorted([KEY.digest, other])
    assert await guards.age(KEY.digest, 150.0) == 50.0
    assert await guards.remove(KEY.digest) == ROOT
    assert await guards.remove(KEY.digest) is None
    assert await guards.age(KEY.digest, 150.0) is None
    assert await guards.digests() == [other]
    files.failing["stat"] = NotOffered("no stat here")
    assert await guards.age(other, 150.0) is None  # an age that nobody tells removes nothing


# ----------------------------------------------------------------------------------------- testimony


@pytest.mark.parametrize(
    ("journal", "state", "code"),
    [
        (None, None, None),
        ("", None, None),
        ("started 1 0 5\n", JobState.ACTIVE, None),
        ("started 1 0 5\nended 1 0 0 9\n", JobState.COMPLETED, 0),
        ("started 1 0 5\nended 1 0 3 9\n", JobState.FAILED, 3),
        ("started 1 0 5\nranks 1 0\nended 1 0 0 9\n", JobState.ACTIVE, None),
        ("started 1 0 5\nended 1 0 0", JobState.ACTIVE, None),  # torn
    ],
)
async def test_what_a_journal_says_of_a_job_that_is_forgotten(journal, state, code) -> None:
    files = PaperFiles({} if journal is None else {JOURNAL: journal})
    told = await by_journal(ref("1", KEY), guard_files(files))
    assert (told and told.state, told and told.exit_code) == (state, code)


@pytest.mark.parametrize(
    ("asked", "wrote", "double"),
    [
        ("8", "7", True),
        ("7", "7", False),
        ("7", "7.server", False),  # PBS tells a job a longer name than the API does
        ("7_3", "7", False),  # a task of an array
        ("7[3]", "7", False),
        ("7", "77", True),
        ("5b7c1e0a-0001", "7", False),  # an API's own ids say nothing of the scheduler's
        ("12345678-0001-4000", "7", False),
        ("7", "node:nid0001-4711-99", False),
    ],
)
@pytest.mark.parametrize("ending", ["", "ended {0} 0 0 9\n"])
async def test_a_forgotten_job_whose_work_another_did_is_a_double(asked, wrote, double, ending) -> None:
    files = PaperFiles({JOURNAL: f"started {wrote} 0 5\n" + ending.format(wrote)})
    told = await by_journal(ref(asked, KEY), guard_files(files))
    assert told is not None
    assert (told.exit_code == GuardCode.DOUBLE) is double
    assert told.succeeded is (bool(ending) and not double)


async def test_the_owner_file_names_the_worker() -> None:
    guards = guard_files(PaperFiles({OWNER: "7\n"}))
    worker = await worker_of(ref("8", KEY), guards.dialect, guards)
    assert worker == ref("7", KEY)


@pytest.mark.parametrize(
    ("written", "listed", "found"),
    [
        ("42", ["42"], "42"),
        ("42.pbs.site", ["42"], "42"),  # a job at PBS knows itself by a longer name
        ("42.pbs.site", ["42.pbs.site"], "42.pbs.site"),
        ("42", [], "42"),  # the facility has forgotten it
        ("node:nid0001-4711-99", ["42"], None),  # its scheduler told it no id
    ],
)
async def test_an_owner_is_told_as_the_facility_calls_it(written, listed, found) -> None:
    guards = guard_files(PaperFiles({OWNER: f"{written}\n"}))
    jobs = guards.dialect.jobs
    jobs.listed = {each: (None, status("active")) for each in listed}
    assert await owner_of(KEY, "machine", jobs, guards) == found


@pytest.mark.parametrize(
    ("others", "worker"),
    [
        ({"7": ("active", None), "9": ("failed", 211)}, "7"),
        ({"9": ("failed", 211)}, None),  # two doubles would be followed to and fro
        ({}, None),
    ],
)
async def test_without_an_owner_file_the_name_tells(others, worker) -> None:
    files = PaperFiles(failing={"view": PermissionDenied("not today")})
    guards = guard_files(files)
    jobs = guards.dialect.jobs
    jobs.listed = {"8": (KEY.job_name("it"), status("failed", 211))}
    jobs.listed |= {job: (KEY.job_name("was renamed"), status(*told)) for job, told in others.items()}
    found = await worker_of(ref("8", KEY), guards.dialect, guards)
    assert (found and found.job_id) == worker
