"""Secrets in a keyring: read for each kind of credential, and what is said where there is none."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import KeyringLocked, PasswordDeleteError

from iri_common.auth import keychain
from iri_common.auth.keychain import secret_from_keyring
from iri_common.facility.credentials import Secret
from iri_common.facility.profiles import load_globus, load_profile
from iri_common.model.errors import AuthError, ProfileError, UsageError

SECRET = "hunter2-Zx81"
URL = "https://host.example/api/v2"


class Ring(KeyringBackend):
    """A keyring in memory, as the library's authors have one written."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.held:
            raise PasswordDeleteError("there is none")
        del self.held[service, username]


class Locked(Ring):
    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("the person did not unlock it\x1b[2J")


@pytest.fixture
def ring() -> Iterator[Ring]:
    before = keyring.get_keyring()
    keyring.set_keyring(held := Ring())
    yield held
    keyring.set_keyring(before)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IRI_CONFIG", str(tmp_path / "facilities.toml"))
    return tmp_path / "facilities.toml"


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ("nersc", ("iri", "nersc")),
        ("lab alice", ("lab", "alice")),
        ("'my lab' alice", ("my lab", "alice")),
        (["https://lab/", "alice smith"], ("https://lab/", "alice smith")),
    ],
)
def test_a_name_or_a_service_and_a_user_s_name(ring: Ring, entry, place: tuple[str, str]) -> None:
    reader = Secret(keyring=entry).secret("token")
    assert reader.put is not None
    assert reader.drop is not None
    reader.put(SECRET)
    assert ring.held == {place: SECRET}
    assert reader() == SECRET
    assert SECRET not in repr(reader)
    assert (reader.drop(), reader.drop()) == (True, False)
    with pytest.raises(AuthError, match=r"there is none: .*; run: keyring set "):
        reader()


@pytest.mark.parametrize("entry", ["a b c", [], ["a", ""], "'"])
def test_words_that_name_nothing(entry) -> None:
    with pytest.raises(AuthError, match="has a name, or the names"):
        secret_from_keyring(entry)


def test_every_secret_of_a_profile_can_be_in_one(ring: Ring, file: Path, monkeypatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_A_URL", URL)
    monkeypatch.setenv("IRI_FACILITY_A_TOKEN_KEYRING", "nersc")
    monkeypatch.setenv("IRI_GLOBUS_CLIENT_ID", "robot")
    monkeypatch.setenv("IRI_GLOBUS_CLIENT_SECRET_KEYRING", "lab globus")
    ring.held = {("iri", "nersc"): "token", ("lab", "globus"): SECRET}
    source = load_profile("a").token
    assert source is not None
    assert (source.identity, source.proof()) == ("the keyring's token iri/nersc", "token")
    globus = load_globus()
    assert globus is not None
    assert globus.secret is not None
    assert globus.secret() == SECRET
    file.write_text(
        f"""
        [b]
        url = "{URL}"
        [b.client]
        id = "app"
        token_url = "https://t"
        refresh = {{ keyring = ["iri", "login"] }}
        secret = {{ keyring = "app" }}
        """
    )
    assert "(the keyring's refresh token iri/login, the keyring's secret iri/app)" in str(
        load_profile("b").token
    )
    monkeypatch.setenv("IRI_FACILITY_A_TOKEN_FILE", "/t")
    with pytest.raises(
        ProfileError, match="IRI_FACILITY_A_TOKEN_FILE and IRI_FACILITY_A_TOKEN_KEYRING name two"
    ):
        load_profile("a")


@pytest.mark.parametrize(
    ("backend", "why"),
    [(NoKeyring, "there is no keyring here"), (Locked, "KeyringLocked: the person did not unlock it")],
)
def test_a_keyring_that_cannot_be_reached(ring: Ring, backend: type, why: str) -> None:
    keyring.set_keyring(backend())
    with pytest.raises(AuthError, match=why) as caught:
        secret_from_keyring("nersc")()
    assert "\x1b" not in str(caught.value)


def test_a_dialogue_that_nobody_answers_is_not_waited_for_without_end(ring: Ring, monkeypatch) -> None:
    answered, dialogues = threading.Event(), []

    class Dialogue(Ring):
        def get_password(self, service: str, username: str) -> str | None:
            dialogues.append(service)
            answered.wait(60)
            return SECRET

    keyring.set_keyring(Dialogue())
    read = secret_from_keyring("nersc")
    monkeypatch.setattr(keychain, "PATIENCE", 0.2)
    try:
        for _ in range(3):
            with pytest.raises(AuthError, match=r"iri/nersc .* no answer in .* Unlock it .* in a file"):
                read()
        assert len(dialogues) == 1, "a person is asked once, however often somebody wants to know"
    finally:
        answered.set()
    monkeypatch.setattr(keychain, "PATIENCE", 60.0)
    assert read() == SECRET


def test_the_library_is_an_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UsageError, match=r"install iri-common\[keyring\]"):
        secret_from_keyring("nersc")()
