"""``iri logout`` beside a process that refreshes, and where the login cannot be read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_shell import Shell
from login_server import Login, LoginServer, fetch, login_server

from iri_common.auth.logins import revoke
from iri_common.facility.profiles import load_profile
from iri_common.model.errors import AuthError


@pytest.fixture
def server() -> Iterator[LoginServer]:
    with login_server() as listening:
        listening.logins["from-elsewhere"] = Login("from-elsewhere", "jobs")
        yield listening


@pytest.fixture
def file(server: LoginServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a login made elsewhere was put."""
    file = tmp_path / "portal.refresh"
    file.write_text("from-elsewhere\n")
    file.chmod(0o600)
    (tmp_path / "facilities.toml").write_text(
        f"""
        [portal]
        url = "{server.url}/api/v1"
        [portal.client]
        id = "app"
        token_url = "{server.token_url}"
        refresh = {{ file = "{file}" }}
        """
    )
    monkeypatch.setenv("IRI_CONFIG", str(tmp_path / "facilities.toml"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return file


@pytest.fixture
def iri(file: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell({}, capsys)


def test_a_logout_also_ends_what_another_process_is_about_to_get(
    iri: Shell, server: LoginServer, monkeypatch
) -> None:
    running, refused = load_profile("portal").token, list[AuthError]()
    fetch(running)

    def refresh() -> None:
        with pytest.raises(AuthError) as caught:
            fetch(running)
        refused.append(caught.value)

    other = threading.Thread(target=refresh)

    async def slowly(*words: Any) -> None:
        other.start()
        await asyncio.sleep(0.3)  # it would have another one by now
        await revoke(*words)

    monkeypatch.setattr("iri_common.facility.login.revoke", slowly)
    assert iri("logout", "portal", "--yes", "--json").document["revoked"] is True
    other.join()
    assert len(refused) == 1
    assert not [each for each in server.logins.values() if not each.used and not each.revoked]


def test_a_logout_claims_no_end_of_a_login_that_it_cannot_read(
    iri: Shell, file: Path, server: LoginServer
) -> None:
    file.chmod(0o644)
    said = iri("logout", "portal", "--yes")
    assert (said.code, "chmod 600" in said.err, file.exists()) == (8, True, True)
    file.chmod(0o600)
    assert iri("logout", "portal", "--yes").code == 0
    assert server.logins["from-elsewhere"].revoked
    assert not file.exists()
