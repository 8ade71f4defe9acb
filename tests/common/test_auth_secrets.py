"""Where secrets are: variables, files of one's own, commands; in one place each, read anew, never shown."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iri_common.auth import secret as secret_module
from iri_common.auth.client_credentials import ClientCredentials
from iri_common.auth.keeper import TokenKeeper
from iri_common.auth.password import PasswordGrant
from iri_common.auth.secret import SecretReader, secret_from_command, secret_from_env, secret_from_file
from iri_common.auth.shared import SharedTokens
from iri_common.auth.static import token_from_command, token_from_env
from iri_common.facility.credentials import client_tokens
from iri_common.facility.profiles import load_globus, load_profile
from iri_common.facility.standing import facts_of
from iri_common.model.errors import AuthError, ProfileError, UsageError
from iri_common.model.ports import TokenSource, WireReply, WireRequest

SECRET = "hunter2/s3cr:t'"
URL = "https://host.example/api/v2"
PREFIX = "IRI_FACILITY_A_"


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The profiles' file, and nobody else's variables."""
    for name in [each for each in os.environ if each.startswith(("IRI_FACILITY_", "IRI_GLOBUS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IRI_CONFIG", str(tmp_path / "facilities.toml"))
    return tmp_path / "facilities.toml"


async def no_wire(_: WireRequest) -> WireReply:
    raise AssertionError("this source needs no wire")


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def jwt(**claims: object) -> str:
    parts = [{"alg": "HS256"}, claims, "signature"]
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts
    )


# ----------------------------------------------------------------------------------------- commands


def test_a_command_tells_a_secret() -> None:
    assert secret_from_command(python("print(' abc ')")).read() == "abc"
    assert secret_from_command("echo 'a b'  c").read() == "a b c"
    assert secret_from_command(["echo", "$HOME; true"]).read() == "$HOME; true", "no shell reads it"


async def test_slurm_s_own_command_gives_a_token() -> None:
    token = jwt(sun="alice", exp=time.time() + 600)
    source = token_from_command(["echo", f"SLURM_JWT={token}"])
    fetched = await source.fetch(no_wire)
    assert fetched.value == token
    assert fetched.expires_at == pytest.approx(time.time() + 600, abs=30)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["/no/such/program"], "cannot be run: No such file"),
        (python("import sys; sys.exit('the vault is locked')"), "no token: the vault is locked"),
        (python("import sys; sys.exit(3)"), "no token: exit code 3"),
        (python("pass"), "wrote nothing"),
        ("'", "cannot be split"),
        ("", "no words"),
        ([""], "no words"),
        (["a\0b"], "NUL"),
    ],
    ids=str,
)
async def test_a_command_without_a_secret_says_why(command, words: str) -> None:
    with pytest.raises(AuthError, match=words):
        await token_from_command(command).fetch(no_wire)


def test_a_command_that_hangs_is_ended_with_its_children(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(secret_module, "PATIENCE", 1.0)
    child = f"echo $$ > {tmp_path}/pid; exec sleep 600"
    reader = secret_from_command(["/bin/sh", "-c", f"sh -c '{child}' & wait"])
    with pytest.raises(AuthError, match="in 1 s"):
        reader.read()
    pid = (tmp_path / "pid").read_text().strip()
    for _ in range(500):
        ended = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, check=False, text=True)
        if ended.stdout.strip()[:1] in {"", "Z"}:
            return
        time.sleep(0.02)
    raise AssertionError("it still runs")


def test_a_command_is_named_without_its_words() -> None:
    one, other = (secret_from_command(["echo", word]) for word in (SECRET, "other"))
    assert "the command echo" in one.origin
    assert one.origin != other.origin
    assert SECRET not in repr(one)


async def test_a_command_is_run_again_before_its_token_ends(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    token = jwt(exp=time.time() + 1000)
    keeper = TokenKeeper(
        token_from_command(["sh", "-c", f"echo >> {runs}; echo {token}"]), no_wire, clock := Clock()
    )
    for _ in range(3):
        await keeper.token()
    assert len(runs.read_text()) == 1
    clock.ahead = 950
    await keeper.token()
    assert len(runs.read_text()) == 2


class Clock:
    """Now, and a little ahead of it."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.mark.parametrize("exp", [0, -1, "soon", None, 10**300, True])
async def test_an_end_that_makes_no_sense_is_none(exp: object, monkeypatch) -> None:
    monkeypatch.setenv("T", jwt(exp=exp))
    assert (await token_from_env("T").fetch(no_wire)).expires_at is None


# ----------------------------------------------------------------------- one place for each secret


@pytest.mark.parametrize("name", ["TOKEN", "CLIENT_SECRET", "CLIENT_KEY", "CLIENT_PASSWORD"])
@pytest.mark.parametrize(("one", "other"), [("", "_FILE"), ("", "_COMMAND"), ("_FILE", "_COMMAND")])
def test_a_secret_in_two_places_is_refused_with_both(monkeypatch, name: str, one: str, other: str) -> None:
    monkeypatch.setenv(f"{PREFIX}URL", URL)
    monkeypatch.setenv(f"{PREFIX}CLIENT_ID", "robot")
    for place in (one, other):
        monkeypatch.setenv(f"{PREFIX}{name}{place}", SECRET)
    with pytest.raises(
        ProfileError, match=f"{PREFIX}{name}{one} and {PREFIX}{name}{other} name two"
    ) as caught:
        load_profile("a")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("prefix", ["IRI_GLOBUS_", f"{PREFIX}GLOBUS_"])
@pytest.mark.parametrize("name", ["TOKEN", "CLIENT_SECRET"])
def test_so_is_one_of_globus(monkeypatch, prefix: str, name: str) -> None:
    monkeypatch.setenv(f"{PREFIX}URL", URL)
    monkeypatch.setenv(f"{prefix}CLIENT_ID", "robot")
    for place in ("", "_FILE"):
        monkeypatch.setenv(f"{prefix}{name}{place}", SECRET)
    with pytest.raises(ProfileError, match=f"{prefix}{name} and {prefix}{name}_FILE"):
        load_globus() if prefix == "IRI_GLOBUS_" else load_profile("a")


@pytest.mark.parametrize(
    ("variables", "identity"),
    [
        ({"TOKEN_COMMAND": "scontrol token lifespan=3600"}, "the command scontrol"),
        ({"TOKEN_FILE": "/t"}, "the token file /t"),
        ({"CLIENT_KEY_COMMAND": "pass nersc"}, "the command pass"),
        ({"CLIENT_ID": "x", "TOKEN_URL": "https://t", "CLIENT_SECRET_FILE": "/s"}, "(the secret file /s)"),
        (
            {
                "CLIENT_ID": "x",
                "TOKEN_URL": "https://t",
                "CLIENT_USER": "al",
                "CLIENT_PASSWORD_FILE": "/p",
                "CLIENT_SECRET_COMMAND": "pass x",
            },
            "user al through client x of https://t (the password file /p, the command pass",
        ),
    ],
)
def test_every_place_can_be_said_by_variables(monkeypatch, variables: dict[str, str], identity: str) -> None:
    for name, value in {"URL": URL, **variables}.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    token = load_profile("a").token
    assert token is not None
    assert identity in token.identity


@pytest.mark.parametrize("command", ['"echo abc"', '["echo", "abc"]'])
def test_a_profile_names_a_command(file: Path, command: str) -> None:
    file.write_text(f'[a]\nurl = "{URL}"\ntoken = {{ command = {command} }}')
    token = load_profile("a").token
    assert token is not None
    assert asyncio.run(token.fetch(no_wire)).value == "abc"


@pytest.mark.parametrize(
    "pointer", ['{ env = "E", file = "f" }', '{ command = "" }', "{ command = [] }", "{}"]
)
def test_a_pointer_points_to_one_place(file: Path, pointer: str) -> None:
    file.write_text(f'[a]\nurl = "{URL}"\ntoken = {pointer}')
    with pytest.raises(ProfileError, match="must point to a secret"):
        load_profile("a")


# ------------------------------------------------------------------------------- what shares tokens


def grants(secret: SecretReader) -> list[TokenSource]:
    return [ClientCredentials("https://t", "app", secret), PasswordGrant("https://t", "app", "alice", secret)]


@pytest.mark.parametrize("which", [0, 1])
def test_a_secret_from_elsewhere_makes_another_source(which: int) -> None:
    readers = [secret_from_env("ONE"), secret_from_env("TWO"), secret_from_file("/three")]
    assert len({grants(each)[which].identity for each in readers}) == 3
    assert grants(secret_from_env("ONE"))[which].identity == grants(readers[0])[which].identity


def test_one_user_at_two_endpoints_is_two_sources() -> None:
    reader = secret_from_env("P")
    assert len({PasswordGrant(f"https://{n}", "app", "alice", reader).identity for n in "ab"}) == 2


@pytest.mark.parametrize(
    ("secret", "mend"),
    [
        (secret_from_file("/x"), "in the place of the secret file /x; it is read again by itself"),
        (secret_from_env("X"), "in the place of the environment variable X and start again"),
        (SECRET, "in the place of this one and start again"),
        (lambda: SECRET, "in the place of this one; it is read again by itself"),
    ],
)
def test_what_mends_a_client_names_the_place_of_its_secret(secret, mend: str) -> None:
    told = ClientCredentials("https://t", "app", secret).facts().mend
    assert told == f"put a secret that counts {mend}"


# ------------------------------------------------------------------------------- secrets in hand


@pytest.mark.parametrize(
    ("words", "identity"),
    [
        (
            {"id": "x", "token_url": "https://t", "secret": SECRET},
            "client x of https://t (the secret of here",
        ),
        ({"key": SECRET, "id": "x"}, "the key of here"),
        (
            {"id": "x", "token_url": "https://t", "user": "al", "password": SECRET},
            "user al through client x of https://t (the password of here",
        ),
        (
            {"id": "x", "token_url": "https://t", "refresh": SECRET},
            "a login through client x of https://t (the refresh token of here",
        ),
        (
            {"token_url": "https://t", "exchange": SECRET, "audience": "y"},
            "a token exchanged for y of https://t, given the token of here",
        ),
    ],
)
def test_a_client_whose_secrets_are_in_hand(words: dict[str, str], identity: str) -> None:
    source = client_tokens("here", **words)
    assert source.identity.startswith(identity)
    assert SECRET not in f"{source!r} {source.identity}"
    other = {name: "another" if value == SECRET else value for name, value in words.items()}
    assert client_tokens("here", **other).identity != source.identity


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ({}, "needs a secret, a key"),
        ({"secret": "s", "id": "x"}, "needs a token_url"),
        ({"secret": "s", "token_url": "https://t"}, "needs an id"),
        ({"user": "u", "id": "x"}, "belong together"),
        ({"key": "k", "secret": "s"}, "no secret or password"),
        ({"exchange": "e", "token_url": "https://t", "refresh": "r"}, "no refresh goes with it"),
        ({"id": "x", "token_url": "https://t", "refresh": "r", "subject": "jwt"}, "go with an exchange"),
        (
            {"id": "x", "token_url": "login.example/token", "secret": "s"},
            "no .* URL as its token_url",
        ),
        ({"id": "x", "token_url": 5, "secret": "s"}, "no .* URL as its token_url"),  # extras are JSON
        ({"id": "x", "token_url": "https://[/token", "secret": "s"}, "no .* URL as its token_url"),
        ({"id": "x", "token_url": "https://h:99999/t", "secret": "s"}, "no .* URL as its token_url"),
        ({"id": "x", "token_url": "https://al:pw@h/t", "secret": "s"}, "password in its token_url$"),
    ],
)
def test_words_that_make_no_client_are_told(words: dict[str, str], problem: str) -> None:
    with pytest.raises(UsageError, match=f"the client of here .*{problem}"):
        client_tokens("here", **words)


@pytest.mark.parametrize(
    "words",
    [
        {"id": "x", "secret": SECRET},
        {"id": "x", "key": SECRET},
        {"id": "x", "user": "al", "password": SECRET},
        {"id": "x", "refresh": SECRET},
        {"exchange": SECRET},
        {"exchange": SECRET, "share": True},
    ],
)
def test_what_is_in_hand_is_never_read_anew(words: dict[str, Any]) -> None:
    """So that a wait soon tells that it is refused, and an engine's next try reads its store again."""
    assert facts_of(client_tokens("here", token_url="https://t", **words)).given
    there = [*grants(secret_from_file("/x")), *grants(secret_from_env("X")), token_from_env("X")]
    assert not any(facts_of(each).given for each in there)


def test_secrets_in_hand_share_where_that_is_said() -> None:
    words = {"id": "x", "token_url": "https://t", "secret": SECRET}
    assert isinstance(client_tokens("here", **words, share=True), SharedTokens)
    assert isinstance(client_tokens("here", **words), ClientCredentials)


# --------------------------------------------------------------------------- what endpoints repeat


def endpoints() -> list[tuple[TokenSource, Callable[[WireRequest], list[str]]]]:
    reader = SecretReader(lambda: SECRET, "a reader")
    credentials = ClientCredentials("https://t", "app", SECRET)
    password = PasswordGrant("https://t", "app", "alice", reader, reader)
    return [
        (credentials, lambda request: [SECRET, request.headers["authorization"].removeprefix("Basic ")]),
        (password, lambda request: [SECRET, json.dumps(dict(request.form or {}))]),
    ]


@pytest.mark.parametrize("which", [0, 1])
async def test_a_secret_that_an_endpoint_repeats_is_not_told(which: int) -> None:
    source, repeated = endpoints()[which]
    said: list[str] = []

    async def send(request: WireRequest) -> WireReply:
        said.extend(repeated(request))
        words = f"\x1b[2J bad: {' and '.join(said)} {'x' * 5000} {SECRET}"
        return WireReply(400, {}, json.dumps({"error_description": words}).encode())

    with pytest.raises(AuthError, match=r"no token: .*bad: .*\[secret\]") as caught:
        await source.fetch(send)
    assert not [each for each in (SECRET, "hunter2", said[1], "\x1b") if each in str(caught.value)]
    assert len(str(caught.value)) < 800


async def test_a_short_password_is_hidden_too() -> None:
    async def send(_: WireRequest) -> WireReply:
        return WireReply(400, {}, b'{"error_description": "wrong password: xyz"}')

    grant = PasswordGrant("https://t", "app", "alice", lambda: "xyz")
    with pytest.raises(AuthError, match=r"wrong password: \[secret\]"):
        await grant.fetch(send)
