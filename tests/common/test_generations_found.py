"""The newest generation, found again with the ledger gone: by names, by guards, by journals."""

from __future__ import annotations

import pytest
from guard_world import PaperFiles
from jobs_world import MemoryLedger, ScriptedDialect, failing, status

from iri_common import JobKey, JobRef, JobState, PermissionDenied, TransientError
from iri_common.jobs.generations import Newest, newest, newest_anywhere, tag_of
from iri_common.jobs.guards import GuardFiles, Place
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.policy.generation import GenerationStep, generation_step

KEY = JobKey.of("again", 1)
ROOT = f"/home/alice/.iri/{KEY.digest}"


class Scene:
    """A facility whose ledger is lost, unless it is written to."""

    def __init__(self, *, readable: bool = True) -> None:
        self.files = PaperFiles({ROOT: None})
        self.dialect = ScriptedDialect(files=self.files)
        self.ledger = MemoryLedger()

        async def locate():
            return Place("fs", "/home/alice") if readable else None

        self.guards = GuardFiles(self.dialect, locate)

    def began(self, generation: int, *journal: str, job: str = "1", digest: str = "") -> None:
        self.files.tree[f"{ROOT}/{generation}.owner"] = f"{job}\n" + (f"spec {digest}\n" if digest else "")
        if journal:
            self.files.tree[f"{ROOT}/{generation}.journal"] = "".join(f"{line}\n" for line in journal)

    def listed(
        self, job: str, generation: int, state: str, code: int | None = None, key: JobKey = KEY
    ) -> None:
        name = JobKey(key.identity, generation).job_name("probe")
        self.dialect.jobs.listed[job] = (name, status(state, code))

    async def newest(self) -> Newest | None:
        return await newest(KEY, "machine", self.dialect, self.ledger, self.guards)

    async def anywhere(self) -> Newest | None:
        return await newest_anywhere(KEY, "machine", self.dialect, self.ledger, self.guards)

    async def step(self, digest: str = "", *, again: bool = False) -> GenerationStep:
        known = await self.newest()
        return GenerationStep.SUBMIT if known is None else generation_step(known.facts(digest, again=again))


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        (KEY.job_name("a.b-3"), (KEY.digest, 1)),
        (JobKey(KEY.identity, 12).job_name(None), (KEY.digest, 12)),
        (f"x.{KEY.digest}-0", None),
        (f"x.{KEY.digest}-1 ", None),
        (f"{KEY.job_name('x')}.out", None),
        (KEY.digest, None),
        ("", None),
        (None, None),
    ],
)
def test_a_tag_is_at_the_end_of_a_name(name, tag) -> None:
    assert tag_of(name) == tag


async def test_nothing_anywhere_is_the_first() -> None:
    scene = Scene()
    scene.listed("9", 4, "active", key=JobKey.of("somebody", "else"))
    assert await scene.newest() is None


@pytest.mark.parametrize(
    ("stage", "state", "known"),
    [
        (Stage.INTENT, "", Newest(3, ran=False, spec_digest="d")),
        (Stage.REFUSED, "", Newest(3, ran=False, spec_digest="d")),
        (Stage.SENT, "", Newest(3, spec_digest="d")),
        (Stage.UNCERTAIN, "", Newest(3, spec_digest="d")),
        (Stage.ACCEPTED, "", Newest(3, job_id="7", spec_digest="d")),
        (Stage.SETTLED, "failed", Newest(3, job_id="7", reported=JobState.FAILED, spec_digest="d")),
    ],
)
async def test_the_ledger_is_believed_without_a_request(stage, state, known) -> None:
    scene = Scene()
    ref = JobRef("facility.example", "iri", "machine", KEY, "7" if stage.has_job else None)
    await scene.ledger.write(LedgerRecord(KEY.identity, 3, stage, str(ref), "d", 0.0, state=state))
    assert await scene.newest() == known
    assert not scene.dialect.jobs.looks
    assert not scene.files.asked


async def test_the_highest_number_of_names_and_guards_is_the_newest() -> None:
    scene = Scene()
    scene.listed("4", 4, "failed", 1)
    scene.listed("11", 11, "active")
    scene.began(9)
    assert await scene.newest() == Newest(11, job_id="11")
    scene.began(12, "started 1 0 5", "ended 1 0 3 9")
    assert await scene.newest() == Newest(12, reported=JobState.FAILED)


@pytest.mark.parametrize(
    ("journal", "reported", "step"),
    [
        ((), None, GenerationStep.ATTACH),
        (("started 1 0 5",), None, GenerationStep.ATTACH),
        (("started 1 0 5", "ended 1 0 0 9"), JobState.COMPLETED, GenerationStep.ATTACH),
        (("started 1 0 5", "ended 1 0 3 9"), JobState.FAILED, GenerationStep.RAISE),
        (("started 1 0 5", "ended 1 0 3 9", "started 1 1 12"), None, GenerationStep.ATTACH),  # requeued
        (("started 1 0 5", "ranks 1 0", "ended 1 0 0 9"), None, GenerationStep.ATTACH),  # others may work
    ],
)
async def test_what_is_not_listed_any_more_tells_its_end_itself(journal, reported, step) -> None:
    scene = Scene()
    scene.began(2, *journal)
    assert await scene.newest() == Newest(2, reported=reported)
    assert await scene.step() is step


async def test_what_a_client_canceled_before_it_began_is_over() -> None:
    scene = Scene()
    scene.files.tree[f"{ROOT}/2.owner"] = None
    assert await scene.newest() == Newest(2, reported=JobState.CANCELED)
    assert await scene.step() is GenerationStep.RAISE
    scene.listed("5", 2, "queued")  # it will find the mark
    assert await scene.newest() == Newest(2, job_id="5")


async def test_a_double_does_not_tell_how_the_work_went() -> None:
    scene = Scene()
    scene.listed("2", 1, "failed", 211)
    scene.began(1, "started 1 0 5")
    assert await scene.newest() == Newest(1)
    scene.listed("1", 1, "completed", 0)
    assert await scene.newest() == Newest(1, job_id="1", reported=JobState.COMPLETED)


async def test_a_changed_spec_is_seen_by_the_owner_file() -> None:
    scene = Scene()
    scene.listed("1", 1, "active")
    scene.began(1, digest="abc")
    assert (await scene.newest()).spec_digest == "abc"
    assert await scene.step("abc") is GenerationStep.ATTACH
    assert await scene.step("def") is GenerationStep.REPLACE
    assert await scene.step("abc", again=True) is GenerationStep.REPLACE


async def test_guards_tell_where_the_list_does_not() -> None:
    scene = Scene()
    scene.dialect.jobs.looking = [failing(TransientError, "away", "getJobs")]
    scene.began(3, "started 1 0 5")
    assert await scene.newest() == Newest(3)


async def test_neither_list_nor_guards_is_an_error_and_not_the_first() -> None:
    scene = Scene(readable=False)
    scene.dialect.jobs.looking = [failing(TransientError, "away", "getJobs")]
    with pytest.raises(TransientError):
        await scene.newest()


async def test_a_guard_directory_that_cannot_be_listed_is_an_error_and_not_the_first() -> None:
    scene = Scene()
    scene.files.failing["ls"] = PermissionDenied("not today")
    with pytest.raises(PermissionDenied):
        await scene.newest()


async def test_a_journal_that_cannot_be_read_leaves_the_end_open() -> None:
    scene = Scene()
    scene.began(1, "started 1 0 5", "ended 1 0 3 9")
    real = scene.files.view

    async def view(file_system, path, **words):
        if path.endswith(".journal"):
            raise PermissionDenied("not today")
        return await real(file_system, path, **words)

    scene.files.view = view
    assert await scene.newest() == Newest(1)


HERE = LedgerRecord(
    KEY.identity,
    2,
    Stage.ACCEPTED,
    str(JobRef("facility.example", "iri", "machine", KEY, "7", array="0-3")),
    "d",
    0.0,
)


@pytest.mark.parametrize(
    ("listed", "known", "ref"),
    [
        ([], Newest(2, job_id="7", spec_digest="d"), True),
        ([("7", 2, "failed", 3)], Newest(2, job_id="7", reported=JobState.FAILED), True),
        ([("7", 2, "failed", 3), ("9", 3, "active", None)], Newest(3, job_id="9"), False),
        ([("5", 1, "failed", 3)], Newest(2, job_id="7", spec_digest="d"), True),  # not listed yet
    ],
)
async def test_another_home_may_have_asked_for_a_newer_one(listed, known: Newest, ref: bool) -> None:
    scene = Scene()
    await scene.ledger.write(HERE)
    for each in listed:
        scene.listed(*each)
    found = await scene.anywhere()
    assert found == known
    assert (found.ref is not None) is ref
    assert not ref or found.ref.array == "0-3"


async def test_what_a_guard_alone_tells_does_not_hide_the_job_on_record() -> None:
    scene = Scene()
    await scene.ledger.write(HERE)
    scene.began(2, "started 7 0 5", "ended 7 0 0 9")
    assert await scene.anywhere() == Newest(2, job_id="7", reported=JobState.COMPLETED, spec_digest="d")


@pytest.mark.parametrize(("error", "told"), [(TransientError, False), (PermissionDenied, True)])
async def test_a_record_is_not_believed_alone_while_the_facility_is_away(error, told: bool) -> None:
    scene = Scene(readable=False)
    await scene.ledger.write(HERE)
    scene.dialect.jobs.looking = [failing(error, "no", "getJobs")]
    if told:
        assert await scene.anywhere() == Newest(2, job_id="7", spec_digest="d")
    else:
        with pytest.raises(TransientError):
            await scene.anywhere()
