"""``iri login`` and ``iri logout`` at Authlib's server: a code, a browser, an address, and what is left."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import keyring
import pytest
from cli_shell import COMMAND, Shell
from keyring.backend import KeyringBackend
from login_server import Login, LoginServer, fetch, kept, login_server
from terminal import Terminal, plain

from iri_common.auth.endpoint import Granted
from iri_common.auth.logins import keep, take
from iri_common.auth.refresh import RefreshTokens
from iri_common.facility.login import login_of
from iri_common.facility.profiles import load_profile
from iri_common.model.errors import AuthError
from iri_common.model.ports import Token
from iri_local_facility import LocalFacility

STRANGERS = """
import os, sys, time, urllib.error, urllib.request
from urllib.parse import parse_qs, urlsplit
back = parse_qs(urlsplit(sys.argv[2]).query)["redirect_uri"][0]
met, icon = [], back.replace("callback", "favicon.ico")
for stranger in (f"{back}?code=stolen&state=guessed", f"{back}?code=stolen", icon):
    try:
        urllib.request.urlopen(stranger)
    except urllib.error.HTTPError as error:
        met.append(error.code)
with urllib.request.urlopen(sys.argv[2]) as page:
    met.append(page.status)
open(sys.argv[1] + ".new", "w").write(str(met))
os.rename(sys.argv[1] + ".new", sys.argv[1])
print("Opening in existing browser session.")
until = time.monotonic() + 60
while not os.path.exists(sys.argv[1] + ".closed") and time.monotonic() < until:
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as facility:
        yield facility


@pytest.fixture
def server(place: LocalFacility) -> Iterator[LoginServer]:
    with login_server(access=place.token) as listening:
        yield listening


@pytest.fixture
def home(place: LocalFacility, server: LoginServer, tmp_path: Path, monkeypatch) -> Path:
    """Of a person with a profile for each kind of credential."""
    (tmp_path / "facilities.toml").write_text(
        f"""
        [portal]
        url = "{place.base_url}"
        [portal.client]
        id = "app"
        token_url = "{server.token_url}"
        refresh = {{ file = "{tmp_path}/portal.refresh" }}
        [ringed]
        url = "{place.base_url}"
        [ringed.client]
        id = "app"
        token_url = "{server.token_url}"
        issuer = "{server.url}/realms/lab"
        scope = "jobs"
        refresh = {{ keyring = "portal" }}
        [site]
        url = "{place.base_url}"
        token = {{ file = "{tmp_path}/site.token" }}
        [cscs]
        dialect = "firecrest"
        url = "{place.firecrest_url}"
        [cscs.client]
        id = "{place.client_id}"
        token_url = "{place.token_url}"
        secret = {{ file = "{tmp_path}/cscs.secret" }}
        [esnet]
        dialect = "sense"
        url = "{place.sense_url}"
        [esnet.client]
        id = "{place.sense_public_client}"
        token_url = "{place.sense_token_url}"
        user = "{place.sense_user}"
        password = {{ file = "{tmp_path}/esnet.password" }}
        [set]
        url = "{place.base_url}"
        token = {{ env = "SET_TOKEN" }}
        """
    )
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IRI_CONFIG", str(tmp_path / "facilities.toml"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("SET_TOKEN", place.token)
    return tmp_path


@pytest.fixture
def iri(home: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell({}, capsys)


# ------------------------------------------------------------------------------------- by a person


def test_a_code_that_is_typed_anywhere_logs_in(iri: Shell, home: Path, server: LoginServer, caplog) -> None:
    server.agrees = True
    caplog.set_level("DEBUG")
    said = iri("login", "portal", "--json")
    assert said.code == 0, said.err
    told = json.loads(said.err.splitlines()[0])
    assert told["url"] == f"{server.url}/activate"
    assert told["link"] == f"{told['url']}?user_code={told['code']}"
    assert [each["state"] for each in said.document["profiles"]] == ["renewable"]
    (token,) = server.logins
    file = home / "portal.refresh"
    assert file.read_text().strip() == token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert server.words["scope"] == "openid offline_access"
    assert server.asked["refresh_token"] == 0, "the first access token of a login is used"
    ours = [
        each.getMessage() for each in caplog.records if each.name.split(".")[0] not in {"authlib", "werkzeug"}
    ]
    assert not [each for each in server.secrets if each in "\n".join([said.out, said.err, *ours])]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"agrees": False}, r"was denied at http"),
        ({"life": -1}, "nobody typed the code"),
        ({"agrees": True, "lasting": False}, "gave no refresh token"),
        ({"offers": frozenset()}, "offers no login that a terminal can begin"),
    ],
    ids=["denied", "over", "short", "none"],
)
def test_a_login_that_comes_to_nothing_changes_nothing(
    iri: Shell, home: Path, server: LoginServer, words: dict, why: str
) -> None:
    vars(server).update(words)
    said = iri("login", "portal", "--json")
    assert said.code == (2 if "offers" in words else 8)
    assert re.search(why, said.err), said.err
    assert not (home / "portal.refresh").exists()
    assert not kept()


def test_a_browser_comes_back_to_this_machine_and_strangers_are_turned_away(home: Path, server) -> None:
    script, met = home / "browser.py", home / "met"
    script.write_text(STRANGERS)
    browser = f"{sys.executable} {script} {met} %s &"
    done = subprocess.run(
        [COMMAND, "login", "portal", "--json"], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "BROWSER": browser},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    until = time.monotonic() + 60
    while not met.exists() and time.monotonic() < until:
        time.sleep(0.02)
    Path(f"{met}.closed").touch()  # until here it was open, and had our streams if it could
    assert json.loads(done.stdout)["profiles"][0]["state"] == "renewable"
    assert met.read_text() == "[400, 400, 404, 200]"
    assert (server.words["code_challenge_method"], server.words["prompt"]) == ("S256", "consent")
    assert (home / "portal.refresh").read_text().strip() in server.logins
    assert not [each for each in server.secrets if each in done.stdout + done.stderr]


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


def test_without_a_browser_here_the_address_is_pasted_and_not_shown(home: Path, server) -> None:
    server.offers = frozenset({"code"})
    terminal = Terminal(["login", "portal"], {})
    terminal.await_text("address: ")
    link = next(each for each in plain(terminal.seen).split() if each.startswith("http"))
    with pytest.raises(urllib.error.HTTPError) as sent_back:
        urllib.request.build_opener(Stay).open(link)
    address = sent_back.value.headers["location"]
    terminal.type(f"{address}\r")
    assert terminal.end() == 0, terminal.seen
    assert "renewable" in terminal.seen
    assert address not in terminal.seen
    assert (home / "portal.refresh").read_text().strip() in server.logins


@pytest.mark.parametrize("change", ["state=other", "nothing"])
def test_an_address_of_another_login_is_refused(home: Path, server: LoginServer, change: str) -> None:
    server.offers = frozenset({"code"})
    terminal = Terminal(["login", "portal"], {})
    terminal.await_text("address: ")
    terminal.type("" if change == "nothing" else f"http://127.0.0.1:9/callback?code=x&{change}")
    terminal.type("\r")
    assert terminal.end() == 8
    assert "nothing has changed" in " ".join(plain(terminal.seen).split())
    assert not server.asked


def test_ctrl_c_ends_the_wait_for_a_code_and_leaves_nothing(home: Path, server: LoginServer) -> None:
    terminal = Terminal(["login", "portal"], {})
    terminal.await_text("Ctrl-C")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "Traceback" not in terminal.seen
    assert not (home / "portal.refresh").exists()
    assert not kept()


# ---------------------------------------------------------------------------------- what is left here


def test_a_new_login_forgets_the_one_before_and_a_process_that_runs_goes_on(
    iri: Shell, server: LoginServer
) -> None:
    server.agrees = True
    iri("login", "portal", "--json")
    running = load_profile("portal").token
    fetch(running, 3)
    (last,) = kept()
    assert iri("login", "portal", "--json").code == 0
    assert last not in kept()
    assert len(kept()) == 1
    fetch(running, 3)
    assert server.reused == 0
    assert not server.logins[last].used, "nobody refreshed the login of before any more"


def test_a_refresh_token_that_cannot_be_written_leaves_the_old_login(
    iri: Shell, home: Path, server: LoginServer
) -> None:
    server.agrees = True
    iri("login", "portal", "--json")
    before = kept()
    (home / "portal.refresh").unlink()
    (home / "portal.refresh").mkdir()
    said = iri("login", "portal", "--json")
    assert said.code == 8
    assert "cannot be written" in said.err
    assert kept() == before


def test_the_same_login_given_again_keeps_its_successors(iri: Shell, server: LoginServer) -> None:
    server.agrees = True
    iri("login", "portal", "--json")
    login = login_of("portal")
    fetch(login.settings.token, 2)
    before = kept()
    assert isinstance(login.settings.token, RefreshTokens)
    assert login.secret is not None
    take(login.settings.token, login.secret, login.secret())
    assert kept() == before
    fetch(load_profile("portal").token, 2)
    assert server.reused == 0


KILLED = """
import os, sys
from dataclasses import replace
from iri_common.auth.endpoint import Granted
from iri_common.auth.logins import keep
from iri_common.facility.login import login_of
from iri_common.model.ports import Token
login = login_of("portal")
first = login.secret
def put(secret):
    if sys.argv[2] == "after":
        first.put(secret)
    os._exit(9)
keep(login.settings.token, replace(first, put=put), Granted(Token("access", 2e9), sys.argv[1]))
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_in_mid_login_leaves_one_that_works(iri: Shell, server: LoginServer, when: str) -> None:
    server.agrees = True
    iri("login", "portal", "--json")
    fetch(load_profile("portal").token, 2)  # the token in the file has been used
    other = "second-login-Ty55"
    server.logins[other] = Login(other, "jobs")
    done = subprocess.run([sys.executable, "-c", KILLED, other, when], timeout=60, check=False)
    assert done.returncode == 9
    fetch(load_profile("portal").token, 3)
    assert server.reused == 0
    assert server.logins[other].used is (when == "after")


def test_who_waits_while_a_person_logs_in_takes_the_new_login(iri: Shell, server: LoginServer) -> None:
    server.agrees = True
    iri("login", "portal", "--json")
    waiting, login = load_profile("portal").token, login_of("portal")
    fetch(waiting)
    assert isinstance(login.settings.token, RefreshTokens)
    assert login.secret is not None
    assert login.secret.put is not None
    put, asking = login.secret.put, threading.Thread(target=fetch, args=(waiting,))

    def slowly(secret: str) -> None:  # the lock is held
        asking.start()
        time.sleep(0.3)
        put(secret)

    server.logins["second-login"] = Login("second-login", "jobs")
    granted = Granted(Token("another", time.time() + 600), "second-login")
    keep(login.settings.token, replace(login.secret, put=slowly), granted)
    asking.join()
    assert (server.asked["refresh_token"], kept()) == (0, ["second-login"])


def test_a_logout_ends_the_login_there_and_here(iri: Shell, home: Path, server: LoginServer) -> None:
    server.agrees = True
    iri("login", "portal", "--json")
    source = load_profile("portal").token
    fetch(source, 2)
    (last,) = kept()
    assert last != (home / "portal.refresh").read_text().strip()
    unasked = iri("logout", "portal")
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    assert not server.asked["revoke"]
    said = iri("logout", "portal", "--yes", "--json")
    assert (said.code, said.document["revoked"], said.document["stays"]) == (0, True, [])
    assert server.logins[last].revoked
    assert not (home / "portal.refresh").exists()
    assert not kept()
    with pytest.raises(AuthError, match=r"refresh token file .* cannot be read"):
        fetch(source)
    again = iri("logout", "portal", "--yes")
    assert (again.code, server.asked["revoke"]) == (0, 1)
    assert "nobody was logged in" in again.err
    assert "has ended" not in again.err


def test_a_logout_ends_a_login_that_a_variable_holds_and_says_that_it_stays(
    iri: Shell, server: LoginServer, monkeypatch
) -> None:
    server.logins["from-elsewhere"] = Login("from-elsewhere", "jobs")
    for name, value in {
        "CLIENT_ID": "app",
        "TOKEN_URL": server.token_url,
        "CLIENT_REFRESH": "from-elsewhere",
    }.items():
        monkeypatch.setenv(f"IRI_FACILITY_PORTAL_{name}", value)
    fetch(load_profile("portal").token, 2)
    (last,) = kept()
    server.offers = frozenset({"device"})
    assert iri("logout", "portal", "--json").document["revoked"] is False
    assert kept() == [last], "without its successors what the variable holds would be sent again"
    server.offers = frozenset({"revocation"})
    said = iri("logout", "portal", "--json")
    assert (said.code, said.document["revoked"], said.document["removed"]) == (0, True, None)
    assert "CLIENT_REFRESH" in said.document["stays"][0]
    assert server.logins[last].revoked
    assert not kept()


class Ring(KeyringBackend):
    """A keyring in memory."""

    priority = 1
    held: ClassVar[dict[str, str]] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.held.get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.held[username]


def test_a_login_is_kept_in_a_keyring(iri: Shell, server: LoginServer) -> None:
    before, server.agrees = keyring.get_keyring(), True
    keyring.set_keyring(Ring())
    try:
        assert iri("login", "ringed", "--json").code == 0
        assert server.words["scope"] == "jobs"
        assert Ring.held["portal"] in server.logins
        said = iri("logout", "ringed", "--yes", "--json")
        assert (said.document["revoked"], said.document["removed"]) == (
            True, "the keyring's refresh token iri/portal",
        )  # fmt: skip
        assert not Ring.held
    finally:
        keyring.set_keyring(before)


def test_a_logout_says_what_an_endpoint_does_not_end(iri: Shell, home: Path, server: LoginServer) -> None:
    server.agrees, server.offers = True, frozenset({"device"})
    iri("login", "portal", "--json")
    said = iri("logout", "portal", "--yes", "--json")
    assert said.document["revoked"] is False
    assert "offers no way" in said.document["stays"][0]
    assert not (home / "portal.refresh").exists()
    assert not kept()


def test_an_endpoint_that_is_away_keeps_the_login_to_be_ended_later(
    iri: Shell, home: Path, server: LoginServer, monkeypatch
) -> None:
    server.agrees = True
    iri("login", "portal", "--json")
    before = kept()
    words = (home / "facilities.toml").read_text()
    (home / "facilities.toml").write_text(words.replace(server.url, "http://127.0.0.1:1"))
    monkeypatch.setattr("iri_common.facility.login.held", lambda *_: before)  # of the other identity
    assert iri("logout", "portal", "--yes").code == 12
    assert (home / "portal.refresh").exists()
    assert kept() == before


# ---------------------------------------------------------------------------------------- by a paste


@pytest.mark.parametrize(
    ("name", "what", "good"),
    [
        ("site", "token", "token"),
        ("cscs", "secret", "client_secret"),
        ("esnet", "password", "sense_password"),
    ],
)
def test_what_is_pasted_is_judged_before_it_replaces_anything(
    iri: Shell, place: LocalFacility, home: Path, name: str, what: str, good: str
) -> None:
    file, secret = home / f"{name}.{what}", getattr(place, good)
    for value, code in ((secret, 0), ("not-the-one", 8)):
        terminal = Terminal(["login", name], {})
        terminal.await_text(f"{what}: ")
        terminal.type(f"{value}\r")
        assert terminal.end() == code, terminal.seen
        assert value not in terminal.seen
        assert file.read_text().strip() == secret
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for stays in (f"the {what} itself counts", f"nothing was there: no {what}"):
        assert stays in iri("logout", name, "--yes").err


def test_a_login_made_elsewhere_may_be_longer_than_a_line_of_a_terminal(iri: Shell, home, server) -> None:
    server.agrees = True
    iri("login", "portal", "--json")
    token = "ab" * 3000
    terminal = Terminal(["login", "portal", "--paste"], {})
    terminal.await_text("refresh token: ")
    terminal.type(f"{token}x\x7f\r")
    assert terminal.end() == 8, "its endpoint does not know it"
    assert (home / "portal.refresh").read_text().strip() == token
    assert not [each for each in server.logins if each in kept()], "the login before is forgotten"


@pytest.mark.parametrize("words", [["portal"], ["site"], ["portal", "--paste"]], ids=" ".join)
def test_where_nobody_is_a_login_says_what_to_do_instead(iri: Shell, server, words: list[str]) -> None:
    said = iri("login", *words)
    assert said.code == 8
    assert "a login needs a person" in said.err
    assert not server.codes


def test_what_others_put_there_is_looked_at_and_stays(iri: Shell) -> None:
    said = iri("login", "set")
    assert said.code == 0
    assert "Nothing is written for set" in said.err
    said = iri("logout", "set", "--json")
    assert said.code == 0
    assert "SET_TOKEN" in said.document["stays"][0]
    assert iri("login", "set", "--road", "device").code == 2
    assert iri("login", "globus", "--paste").code == 2
    assert iri("login", "portal", "--road", "carrier pigeon").code == 2
