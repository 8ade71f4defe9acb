"""People at Globus: the command that logs in, consents that are missing, one refresh for many, ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import globus_sdk
import pytest
from globus_world import HASTY, World

from iri_common.apis.globus import GlobusClient, GlobusCredential, GlobusDialect
from iri_common.apis.globus.client import Collection
from iri_common.apis.globus.login import Login
from iri_common.apis.globus.rules import TRANSFER, Needs, transfer_scope
from iri_common.apis.globus.tokens import GlobusTokens, StoredTokens
from iri_common.auth.store import TokenStore
from iri_common.http.bytes import HttpBytes
from iri_common.http.transport import WireSettings
from iri_common.model.errors import AuthError
from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalFacility, Path]]:
    beam = tmp_path_factory.mktemp("beam")
    with LocalFacility(data_access=True, rotate_refresh_tokens=True, collections={"beam": beam}) as place:
        yield place, beam


@pytest.fixture
def world(strict: tuple[LocalFacility, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    place, beam = strict
    for name, value in place.globus_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    place.clear_faults()
    place.reset_requests()
    return World(place, beam, tmp_path)


def client_of(world: World) -> GlobusClient:
    """With the tokens that the command kept."""
    return GlobusClient(world.person(), limits=HASTY)


def logged_in(world: World, *options: str, links: int = 1) -> subprocess.CompletedProcess[str]:
    """What a person does: run the command, open each link, paste the code."""
    command = [str(Path(sys.executable).with_name("iri")), "globus", "login"]
    running = subprocess.Popen(
        [*command, *options],
        env={**os.environ, "IRI_GLOBUS_CLIENT_ID": world.place.globus_native_client_id},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdin is not None
    assert running.stderr is not None
    said = ""
    for _ in range(links):
        while "http" not in (line := running.stderr.readline()) and line:
            said += line
        running.stdin.write(f"{world.place.globus_login(line.strip())}\n")
        running.stdin.flush()
    _, rest = running.communicate(timeout=60)
    return subprocess.CompletedProcess(command, running.returncode, "", said + rest)


async def test_a_person_logs_in_by_the_command_of_the_error(world: World) -> None:
    collection = world.place.collection
    with pytest.raises(AuthError, match=r"nobody has logged in .*run: iri globus login") as caught:
        await client_of(world).check()
    assert "\n" not in str(caught.value)
    done = await asyncio.to_thread(logged_in, world, "--collection", collection, links=2)
    assert done.returncode == 0, done.stderr
    client = client_of(world)
    await client.check()
    other = world.place.add_collection("other", world.beam)
    with pytest.raises(AuthError, match=f"is not for the collection {other}; run: .* --collection {other}"):
        await client.https_token(other)
    token = await client.https_token(collection)
    await client.https_refused(token)
    assert await client.https_token(collection) != token  # refreshed, without a person
    for secret in (token, "refresh_token"):
        assert secret not in done.stderr
    again = await asyncio.to_thread(
        logged_in, world, "--collection", collection, links=1
    )  # one link is enough
    assert again.returncode == 0, again.stderr


async def test_no_code_changes_nothing(world: World) -> None:
    command = [str(Path(sys.executable).with_name("iri")), "globus", "login"]
    client = world.place.globus_native_client_id
    for code in ("", "not-the-code\n"):
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, "--client", client],
            input=code,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode not in {0, 1}, done.stderr
        assert "Traceback" not in done.stderr
    unsaid = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=30, check=False
    )
    assert "[globus.client]" in unsaid.stderr
    assert not (world.state / "iri" / "tokens").exists()


async def test_a_consent_that_is_missing_is_one_sentence_with_the_command(world: World) -> None:
    assert (await asyncio.to_thread(logged_in, world)).returncode == 0
    private = world.place.add_collection("private", world.beam, data_access=True)
    dialect = GlobusDialect(client_of(world), HttpBytes(WireSettings()))
    with pytest.raises(AuthError) as caught:
        await dialect.files.ls(private, "/")
    assert f"run: iri globus login --collection {private}" in caught.value.message
    assert "\n" not in caught.value.message
    done = await asyncio.to_thread(logged_in, world, "--collection", private)
    assert done.returncode == 0, done.stderr
    await dialect.files.ls(private, "/")


async def test_what_a_collection_needs_is_in_the_first_token_for_it(world: World) -> None:
    dialect = world.dialect()
    await dialect.client.check()  # a token that does not carry it is had already
    private = world.place.add_collection("early", world.beam, data_access=True)
    await dialect.files.ls(private, "/")
    assert (world.asked()["globusLs"], world.asked()["globusToken"]) == (1, 2)


async def test_a_client_consents_to_itself_when_that_is_asked_late(world: World) -> None:
    dialect = world.dialect()
    private = world.place.add_collection("late", world.beam, data_access=True)
    # As if it had needed none when it was looked at: then Transfer's refusal tells.
    dialect.client._collections[private] = (float("inf"), Collection(private))
    await dialect.files.ls(private, "/")
    assert world.asked()["globusLs"] == 2


async def test_a_client_cannot_show_up_as_a_person(world: World) -> None:
    assured = world.place.add_collection("assured", world.beam, high_assurance=True, domain="lab.gov")
    with pytest.raises(AuthError) as caught:
        await world.dialect().files.ls(assured, "/")
    client = world.place.globus_client_id
    assert f"share a guest collection with {client}@clients.auth.globus.org" in caught.value.message


def kept_by_the_command(world: World) -> StoredTokens:
    return StoredTokens(TokenStore("globus", world.place.globus_native_client_id))


def test_many_processes_refresh_once(world: World) -> None:
    assert logged_in(world).returncode == 0
    store = kept_by_the_command(world)
    old = store.get_token_data(TRANSFER)
    assert old is not None
    before = world.asked()["globusToken"]

    def another_process(_: int) -> str:
        tokens = GlobusTokens(world.person())
        tokens.refused(old.access_token)
        return tokens.token(TRANSFER, [transfer_scope()])

    with ThreadPoolExecutor(8) as pool:
        had = set(pool.map(another_process, range(8)))
    # A refresh token counts once here: a second refresh would have been refused.
    assert world.asked()["globusToken"] == before + 1
    assert len(had) == 1
    assert old.access_token not in had
    new = store.get_token_data(TRANSFER)
    assert new is not None
    assert new.refresh_token != old.refresh_token


def test_a_logout_ends_the_login_at_globus_and_forgets_it(world: World) -> None:
    assert logged_in(world).returncode == 0
    kept = kept_by_the_command(world).get_token_data(TRANSFER)
    assert kept is not None
    away = {"GLOBUS_SDK_SERVICE_URL_AUTH": "http://127.0.0.1:1/"}
    assert iri(world, "logout", "globus", **away).returncode == 12
    assert kept_by_the_command(world).get_token_data(TRANSFER), "else nobody could end it any more"
    done = iri(world, "logout", "globus")
    assert (done.returncode, "has ended, for transfer.api.globus.org" in done.stderr) == (0, True)
    assert not kept_by_the_command(world).get_token_data_by_resource_server()
    auth = globus_sdk.NativeAppAuthClient(world.place.globus_native_client_id)
    with pytest.raises(globus_sdk.AuthAPIError):
        auth.oauth2_refresh_token(kept.refresh_token)
    assert "Nobody was logged in" in iri(world, "globus", "logout").stderr


def iri(world: World, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "IRI_GLOBUS_CLIENT_ID": world.place.globus_native_client_id, **variables}
    command = [str(Path(sys.executable).with_name("iri")), *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_a_login_that_has_ended_is_said_with_the_command(world: World) -> None:
    assert logged_in(world).returncode == 0
    client = client_of(world)
    kept = kept_by_the_command(world).get_token_data(TRANSFER)
    assert kept is not None
    auth = globus_sdk.NativeAppAuthClient(world.place.globus_native_client_id)

    async def refused() -> None:
        await client.check()
        for token in (kept.refresh_token, kept.access_token):
            await asyncio.to_thread(auth.oauth2_revoke_token, token)
        await client.check()

    with pytest.raises(AuthError, match=r"has ended.*run: iri globus login") as caught:
        asyncio.run(refused())
    assert kept.access_token not in str(caught.value)


def test_a_person_through_an_application_with_a_secret(world: World) -> None:
    place = world.place
    credential = GlobusCredential(
        place.globus_client_id, lambda: place.globus_client_secret, person=True, login="iri globus login -f x"
    )
    with pytest.raises(AuthError, match="run: iri globus login -f x"):
        asyncio.run(GlobusClient(credential).check())
    login = Login(credential, [transfer_scope()], Needs(domains=["lab.gov"]))
    assert "session_required_single_domain=lab.gov" in login.url
    assert login.finish(place.globus_login(login.url)) == [TRANSFER]
    asyncio.run(GlobusClient(credential).check())
    with pytest.raises(AuthError, match="did not take the code"):
        login.finish("used-or-wrong")
