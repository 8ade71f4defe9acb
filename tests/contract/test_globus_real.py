"""Globus against the local facility's face: once over lost replies and kills; words where people must act."""

# ruff: noqa: ASYNC240 - small files on this machine are looked at in between

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import globus_sdk
import pytest
from globus_world import Counted, World, until

from iri_common.apis.globus import GlobusClient, GlobusCredential
from iri_common.apis.globus.credentials import given_token
from iri_common.apis.globus.rules import TRANSFER, transfer_scope
from iri_common.apis.globus.tokens import GlobusTokens
from iri_common.jobs.operations import settled
from iri_common.model.errors import (
    AmbiguousReply,
    AuthError,
    Conflict,
    NotFound,
    NotOffered,
    PermissionDenied,
    Refused,
    ReplyError,
    TransferError,
    TransientError,
)
from iri_common.model.outcome import Done
from iri_common.model.transfer import TaskState, TransferRequest
from iri_common.transfers.globus import GlobusRoad
from iri_common.transfers.trip import Trip
from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def facility_with_globus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalFacility, Path]]:
    beam = tmp_path_factory.mktemp("beam")
    with LocalFacility(data_access=True, collections={"beam": beam}) as place:
        yield place, beam


@pytest.fixture
def world(
    facility_with_globus: tuple[LocalFacility, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    place, beam = facility_with_globus
    for name, value in place.globus_env.items():
        monkeypatch.setenv(name, value)
    place.clear_faults()
    place.reset_requests()
    return World(place, beam, tmp_path)


# --------------------------------------------------------------------------------------------- once


async def test_two_files_are_one_task_and_pass_no_client(world: World) -> None:
    moves = [world.move("plain"), world.move("sub/with ümlaut & 'quotes'", 20_000)]
    road, meter = await world.carried(moves)
    for move in moves:
        assert (world.beam / move.target.lstrip("/")).read_bytes() == Path(move.source).read_bytes()
    assert (meter.bytes, meter.kept_bytes, meter.whole) == (21_000, 0, [move.target for move in moves])
    assert road.task_id in world.submitted()
    asked = world.asked()
    assert (asked["globusSubmitTransfer"], asked["collectionGet"], asked["collectionPut"]) == (1, 0, 0)


@pytest.mark.parametrize("fault", ["lose_reply", "after", "hang"])
async def test_a_lost_answer_to_a_submit_is_one_task(world: World, fault: str) -> None:
    before = len(world.submitted())
    if fault == "after":
        world.place.order("status", "globusSubmitTransfer", status=502, when="after", times=2)
    elif fault == "hang":
        world.place.order("hang", "globusSubmitTransfer", when="after", seconds=0.2)
    else:
        world.place.order("lose_reply", "globusSubmitTransfer", times=2)
    await world.carried([world.move(f"lost-{fault}")])
    assert world.asked()["globusSubmitTransfer"] >= 2
    assert len(world.submitted()) == before + 1


@pytest.mark.parametrize("body", ["truncated", "html", "empty"])
async def test_an_answer_that_cannot_be_read_is_asked_for_again(world: World, body: str) -> None:
    before = len(world.submitted())
    for operation in ("globusToken", "globusGetEndpoint", "globusSubmissionId", "globusSubmitTransfer"):
        world.place.order("garble", operation, body=body, times=1)
    world.place.order("garble", "globusTaskList", body=body, times=2)
    await world.carried([world.move(f"garbled-{body}")])
    assert len(world.submitted()) == before + 1
    assert world.asked()["globusSubmitTransfer"] == 2


async def test_answers_that_stay_unreadable_are_an_error_of_ours(world: World) -> None:
    world.place.order("garble", "globusTaskList", body="html", times=None)
    with pytest.raises(ReplyError, match="cannot be read") as caught:
        await world.dialect().client.check()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


async def test_a_list_that_is_late_does_not_make_a_task_lost(world: World) -> None:
    before = len(world.submitted())
    world.place.order("empty_list", "globusTaskList", times=3)
    await world.carried([world.move("late")])
    assert len(world.submitted()) == before + 1
    unknown = "00000000-0000-0000-0000-000000000000"
    assert unknown not in (await world.dialect().transfers.tasks([unknown])).value


KILLED = """
    import asyncio, os, signal, sys
    from pathlib import Path
    sys.path[:0] = [sys.argv[5]]
    from globus_world import World
    from iri_common.transfers.notes import FileNotes
    from iri_local_facility import LocalFacility

    class Seen:
        def __getattr__(self, name):
            return sys.argv[1:][{"collection": 0, "there": 1, "globus_client_id": 2,
                                 "globus_client_secret": 3, "globus_native_client_id": 2}[name]]
        def collection_of(self, name):
            return self.there

    world = World(Seen(), Path("/"), Path(sys.argv[6]))
    put = FileNotes.put
    def put_or_die(self, name, value):
        if isinstance(value, dict) and "task" in value:
            os.kill(os.getpid(), signal.SIGKILL)  # it is submitted, and nothing here knows
        put(self, name, value)
    FileNotes.put = put_or_die
    from iri_common.model.transfer import Move
    asyncio.run(world.carried([Move(sys.argv[7], sys.argv[8], 1000)]))
"""


async def test_a_kill_between_submit_and_note_is_one_task(world: World) -> None:
    before = len(world.submitted())
    move = world.move("killed")
    place = world.place
    words = [place.collection, world.there.collection, place.globus_client_id, place.globus_client_secret]
    words += [str(Path(__file__).parent), str(world.state), move.source, move.target]
    child = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", textwrap.dedent(KILLED), *words], timeout=60, check=False
    )
    assert child.returncode == -9
    assert len(world.submitted()) == before + 1
    road, meter = await world.carried([move])
    assert world.submitted()[before:] == [road.task_id]
    assert meter.whole == [move.target]


async def test_names_that_are_allowed_arrive(world: World) -> None:
    odd = ["-rf", "line\nbreak", "back\\slash", "a&b=c;d", "$HOME `x` *?", "ünïcode 日本", "%41", " blanks "]
    moves = [world.move(f"odd/{name}") for name in odd]
    await world.carried(moves)
    assert sorted(each.name for each in (world.beam / "from facility/odd").iterdir()) == sorted(odd)
    files, directory = world.dialect().files, str(world.place.home / "odd")
    rows = (await files.ls(world.place.collection, directory)).value
    assert sorted(each.name for each in rows) == sorted(odd)
    for name in odd:
        await files.upload(world.place.collection, f"{directory}/{name}", name.encode())
        assert (await files.download(world.place.collection, f"{directory}/{name}")).value == name.encode()


async def test_a_waiter_that_goes_leaves_the_task_to_the_next(world: World) -> None:
    before = len(world.submitted())
    world.place.order("status", "globusTaskList", status=503, times=None)
    move = world.move("left")
    waiting = asyncio.create_task(world.carried([move]))
    await until(lambda: world.asked()["globusTaskList"] > 0)
    waiting.cancel()
    await asyncio.wait([waiting])
    world.place.clear_faults()
    _, meter = await world.carried([move])
    assert len(world.submitted()) == before + 1
    assert (
        meter.bytes + meter.kept_bytes == 1000
    )  # what had gone before the waiter came is not counted as its


async def test_another_try_without_its_notes_adopts_the_task_of_its_name(world: World) -> None:
    move = world.move("conflict")
    moved_away = Path(move.source).rename(world.place.home / "away")
    dialect, before = world.dialect(), len(world.submitted())
    submit = dialect.transfers.submit

    async def after_another(asked: TransferRequest, submission_id: str) -> Done[str]:
        await submit(asked, (await dialect.transfers.new_submission()).value)  # who lost its notes since
        return await submit(asked, submission_id)

    dialect.transfers.submit = after_another  # type: ignore[method-assign]
    with pytest.raises(TransferError, match="file_not_found"):  # a task without its source holds its paths
        await world.carried([move], dialect=dialect)
    assert len(world.submitted()) == before + 1
    assert (await world.task(world.submitted()[-1])).state is TaskState.FAILED
    moved_away.rename(move.source)


async def test_paths_that_another_transfer_has_are_said(world: World) -> None:
    move = world.move("stranger")
    Path(move.source).unlink()
    transfers = world.dialect().transfers
    request = TransferRequest(
        world.here.collection, world.there.collection, ((move.source, move.target, False),), "another"
    )
    task_id = (await transfers.submit(request, (await transfers.new_submission()).value)).value
    with pytest.raises(TransferError, match="another task of Globus moves files to the same paths"):
        await world.carried([move])
    await transfers.cancel(task_id)
    await transfers.cancel(task_id)  # over already: as good


async def test_an_explicit_end_cancels_the_task(world: World) -> None:
    world.place.order("status", "globusTaskList", status=503, times=None)
    move = world.move("ended", 5_000_000, target="/ended")
    waiting = asyncio.create_task(world.carried([move]))
    await until(lambda: world.asked()["globusTaskList"] > 0)
    waiting.cancel()
    await asyncio.wait([waiting])
    world.place.clear_faults()
    assert world.asked()["globusCancelTask"] == 0, "whoever waits leaves it"
    async with world.noted("a") as notes:
        await GlobusRoad(world.dialect().transfers, world.here, world.there).abandon(
            [move], Trip(Counted(), notes)
        )
    assert world.asked()["globusCancelTask"] == 1


async def test_a_token_that_is_given_and_expires_is_told_of_at_once(world: World) -> None:
    scope = transfer_scope([world.place.collection, world.place.collection_of("beam")])
    token = await asyncio.to_thread(GlobusTokens(world.own()).token, TRANSFER, [scope])
    world.place.order("refuse_tokens", "globusTaskList")
    with pytest.raises(
        AuthError, match=r"get a new token and start again with that.* Task .* was left as it is"
    ):
        async with asyncio.timeout(20):
            await world.carried([world.move("refused")], dialect=world.dialect(given_token(token)))
    world.place.clear_faults()
    assert world.asked()["globusCancelTask"] == 0


# -------------------------------------------------------------------------------------- what is wrong


async def test_a_missing_source_fails_at_once_and_frees_its_paths(world: World) -> None:
    move = world.move("gone")
    Path(move.source).unlink()
    with pytest.raises(TransferError, match="file_not_found") as caught:
        await world.carried([move])
    assert move.source in str(caught.value)
    assert (await world.task(world.submitted()[-1])).state is TaskState.FAILED
    move = world.move("gone")
    await world.carried([move])  # with another submission, for the old task is over
    assert (world.beam / "from facility/gone").read_bytes() == b"x" * 1000


async def test_a_paused_task_goes_on_when_its_pause_ends(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    pause = world.place.order("transfer_inactive", "*")
    waiting = asyncio.create_task(world.carried([world.move("paused")]))
    await until(lambda: "Globus waits" in caplog.text)
    assert f"share a guest collection with {world.place.globus_client_id}@" in caplog.text
    assert "iri globus login" not in caplog.text, "a client does not log in"
    world.place.clear_faults(pause)
    await waiting
    assert caplog.text.count("Globus waits") == 1


async def test_a_full_disk_at_the_target_is_said_at_once(world: World) -> None:
    world.place.order("no_space", "*")
    with pytest.raises(TransferError, match=r"(?i)no_space_left"):
        await world.carried([world.move("full")])


def assert_nothing_of_the_sdk(error: BaseException | None) -> None:
    while error is not None:  # its exceptions hold the request, and that the token
        assert not isinstance(error, globus_sdk.GlobusError)
        error = error.__context__


async def test_errors_are_ours_and_can_be_pickled(world: World) -> None:
    files, collection, home = world.dialect().files, world.place.collection, str(world.place.home)
    world.move("dir/file")
    for asked, kind in (
        (files.stat(collection, f"{home}/nothing"), NotFound),
        (files.download(collection, f"{home}/nothing"), NotFound),
        (files.mkdir(collection, f"{home}/dir"), Conflict),
        (files.ls(collection, f"{home}/dir/file"), Refused),
        (files.ls(collection, "/etc"), PermissionDenied),
        (files.rm(collection, f"{home}/nothing"), NotFound),
        (files.checksum(collection, f"{home}/dir/file"), NotOffered),
        (files.ls("00000000-0000-0000-0000-000000000000", "/"), NotFound),
    ):
        with pytest.raises(kind) as caught:
            await asked
        assert_nothing_of_the_sdk(caught.value)
        again = pickle.loads(pickle.dumps(caught.value))
        assert str(again) == str(caught.value)
        assert world.place.globus_client_secret not in str(again)


async def test_a_wrong_secret_is_said_without_it(world: World) -> None:
    credential = GlobusCredential(world.place.globus_client_id, lambda: "wrong-secret")
    client = GlobusClient(credential)
    for asked in (client.check(), client.https_token(world.place.collection)):
        with pytest.raises(AuthError, match="check its id and secret") as caught:
            await asked
        assert "wrong-secret" not in str(caught.value)
        assert_nothing_of_the_sdk(caught.value)


async def test_a_token_that_is_given_and_not_taken(world: World) -> None:
    with pytest.raises(AuthError, match="get a new token and start again with that") as caught:
        await GlobusClient(given_token("not-a-good-one")).check()
    assert "not-a-good-one" not in str(caught.value)


async def test_a_token_that_cannot_be_had_leaves_nothing_in_doubt(world: World) -> None:
    files, path = world.dialect().files, str(world.place.home / "no doubt")
    await files.ls(world.place.collection, str(world.place.home))
    other = world.dialect()
    await other.client.collection(world.place.collection)
    world.place.order("status", "globusToken", status=503, times=1)
    await other.files.mkdir(world.place.collection, path)  # with the token for its data, which is another one
    assert world.asked()["globusMkdir"] == 1
    world.place.order("status", "globusMkdir", status=503, when="after", times=1)
    with pytest.raises(AmbiguousReply):
        await files.mkdir(world.place.collection, f"{path}/below")
    assert Path(path, "below").is_dir()


async def test_another_token_is_had_when_one_is_refused(world: World) -> None:
    dialect = world.dialect()
    await dialect.client.check()
    world.place.order("refuse_tokens", "globusTaskList", times=1)
    await dialect.client.check()
    assert world.asked()["globusToken"] == 2


# ------------------------------------------------------------------------------------------- files


async def test_the_files_of_a_collection(world: World) -> None:
    dialect, collection, home = world.dialect(), world.place.collection, str(world.place.home)
    files, name = dialect.files, "ünicode & 'quotes' %41 #?"
    await files.mkdir(collection, f"{home}/deep/er/still", parents=True)
    await files.mkdir(collection, f"{home}/deep/er/still", parents=True)
    path = f"{home}/deep/er/still/{name}"
    await files.upload(collection, path, b"one\ntwo\n\xff\xfe")
    assert Path(path).read_bytes() == b"one\ntwo\n\xff\xfe"
    (entry,) = (await files.ls(collection, f"{home}/deep/er/still")).value
    assert (entry.name, entry.type, entry.size) == (name, "file", 10)
    assert (await files.stat(collection, path)).value.size == 10
    assert (await files.download(collection, path)).value == b"one\ntwo\n\xff\xfe"
    assert (await files.tail(collection, path, lines=1)).value.content == "\ufffd\ufffd"
    assert (await files.head(collection, path, lines=1)).value.content == "one\n"
    assert (await files.view(collection, path, size=3, offset=4)).value.content == "two"
    assert (await files.view(collection, path, size=3, offset=100)).value.content == ""
    await files.mv(collection, path, f"{home}/deep/renamed")
    assert not Path(path).exists()
    await files.upload(collection, f"{home}/empty", b"")
    assert (await files.tail(collection, f"{home}/empty", lines=5)).value.content == ""
    await settled(await files.rm(collection, f"{home}/deep"), dialect.operations)
    assert not Path(home, "deep").exists()


async def test_a_collection_that_refuses_a_token_gets_another(world: World) -> None:
    files, collection, path = world.dialect().files, world.place.collection, f"{world.place.home}/renewed"
    world.place.order("refuse_tokens", "collectionPut", times=1)
    await files.upload(collection, path, b"content")
    world.place.order("refuse_tokens", "collectionGet", times=1)
    assert (await files.download(collection, path)).value == b"content"
    assert world.asked()["collectionPut"] == world.asked()["collectionGet"] == 2
    world.place.order("refuse_tokens", "collectionGet", times=2)
    with pytest.raises(AuthError, match="check its id and secret"):
        await files.download(collection, path)


@pytest.mark.parametrize("operation", ["globusToken", "collectionGet", "collectionPut"])
@pytest.mark.parametrize("fault", ["status", "reset", "lose_reply"])
async def test_small_files_are_asked_for_again(world: World, operation: str, fault: str) -> None:
    files, collection, path = world.dialect().files, world.place.collection, str(world.place.home / "small")
    await files.ls(collection, str(world.place.home))
    world.place.order(fault, operation, times=2, **({"status": 503} if fault == "status" else {}))
    assert await files.upload(collection, path, b"abc") == Done(None)
    assert await files.download(collection, path) == Done(b"abc")
    world.place.order("status", "collectionGet", status=503, times=None)
    with pytest.raises(TransientError, match="the collection failed"):
        await files.download(collection, path)


async def test_a_large_file_streams_both_ways(world: World) -> None:
    dialect, collection = world.dialect(), world.place.collection
    path, piece = f"{world.place.home}/large", b"abcdefgh" * 2**17

    async def pieces():
        for _ in range(8):
            yield piece

    await dialect.ranges.write(collection, path, 8 * len(piece), pieces)
    async with dialect.ranges.read(collection, path, start=5, end=2**22 + 5) as found:
        sizes = [len(each) async for each in found]
    assert (sum(sizes), max(sizes) <= 2**20) == (2**22, True)
