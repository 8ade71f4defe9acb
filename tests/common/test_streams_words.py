"""Clusters of message brokers: what comes next, names, states, and secrets that nobody is shown."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slurm_wire import s3m

from iri_common import AuthError, IriError, JobKey, StreamAccess, StreamIntent, StreamState, UsageError
from iri_common.auth.vault import FileVault
from iri_common.model.ledger import Stage
from iri_common.policy.streams import Step, step

ACCESS = StreamAccess("redis", "mine", "me", "hunter2", {"redis": "rediss://me:hunter2@there"})


@pytest.mark.parametrize(
    ("stage", "there", "reachable", "following"),
    [
        (Stage.INTENT, False, False, Step.ASK),
        (Stage.INTENT, True, False, Step.FOREIGN),
        (Stage.INTENT, True, True, Step.TAKE),
        (Stage.SENT, False, False, Step.ASK),
        (Stage.SENT, True, False, Step.CLEAR),
        (Stage.SENT, True, True, Step.TAKE),
        (Stage.ACCEPTED, False, False, Step.GONE),
        (Stage.ACCEPTED, True, False, Step.FOREIGN),
        (Stage.ACCEPTED, True, True, Step.TAKE),
    ],
)
def test_what_comes_next(stage, there, reachable, following) -> None:
    assert step(stage, there=there, reachable=reachable) is following


@given(name=st.from_regex(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True), generation=st.integers(1))
def test_a_name_fits_and_is_the_key_s_alone(name: str, generation: int) -> None:
    key = JobKey("a", min(generation, 10**18 - 1))
    told = StreamIntent("redis", name=name).cluster_name(key)
    assert len(told) <= 40
    assert told.endswith(key.tag)
    assert not told.startswith("-")
    assert "--" not in told or "--" in name


@pytest.mark.parametrize("name", ["", "-a", "a-", "Capital", "a" * 21, "a_b", "ä"])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="20 lower-case letters"):
        StreamIntent("redis", name=name)


@pytest.mark.parametrize(
    ("ready", "health", "state"),
    [
        ("Synced", "Healthy", StreamState.UP),
        ("SYNCED", "HEALTHY", StreamState.UP),
        ("OUT_OF_SYNC", "Healthy", StreamState.PENDING),
        ("OutOfSync", "Missing", StreamState.PENDING),
        ("Synced", "Progressing", StreamState.PENDING),
        ("Synced", "Degraded", StreamState.PENDING),
        ("Synced", "", StreamState.PENDING),
        ("", "", StreamState.PENDING),
        ("", "Healthy", StreamState.PENDING),
        ("Synced", "Unhealthy", StreamState.UNKNOWN),
        ("Unsynced", "Healthy", StreamState.UNKNOWN),
    ],
)
async def test_states(ready: str, health: str, state: StreamState) -> None:
    cluster = {"name": "mine", "syncStatus": ready, "healthStatus": health}
    door, _ = s3m({"/cluster/mine": {"cluster": cluster}})
    assert (await door.streaming.cluster("redis", "mine")).value.state is state


# --------------------------------------------------------------------------------------------- secrets


async def test_a_secret_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    vault = FileVault(tmp_path / "streams")
    assert await vault.read("mine") is None
    await vault.keep("mine", ACCESS)
    assert await vault.read("mine") == ACCESS
    assert await vault.read("another's") is None
    (file,) = (tmp_path / "streams").iterdir()
    assert [stat.S_IMODE(each.stat().st_mode) for each in (file, file.parent)] == [0o600, 0o700]
    file.write_text('{"password": "hunter2"')
    with pytest.raises(AuthError, match="cannot be understood") as caught:
        await vault.read("mine")
    assert "hunter2" not in str(caught.value)
    for _ in range(2):
        await vault.drop("mine")
    assert await vault.read("mine") is None


async def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "streams").write_text("")
    with pytest.raises(AuthError, match="make it usable, or point XDG_STATE_HOME"):
        await FileVault(tmp_path / "streams").keep("mine", ACCESS)


SECRETS = {"username": "me", "password": "hunter2", "url": "rediss://me:hunter2@there"}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(SECRETS).encode()[:-1],
        json.dumps({**SECRETS, "username": ["hunter2"]}).encode(),
        json.dumps({"password": "hunter2"}).encode(),
        b"hunter2 is the password",
    ],
)
async def test_an_answer_that_cannot_be_read_is_shown_to_nobody(body: bytes) -> None:
    door, _ = s3m({"/provision_cluster": (200, body), "/cluster/mine": (200, body)})
    for ask in (
        lambda: door.streaming.provision("redis", "k", "mine", {}),
        lambda: door.streaming.cluster("redis", "mine"),
    ):
        with pytest.raises(IriError) as caught:
            await ask()
        error = caught.value
        assert "hunter2" not in f"{error!r} {error} {error.__cause__!r} {error.__context__!r}"
    assert (await door.streaming.access("redis", "mine")).value is None
