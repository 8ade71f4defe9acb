"""Profiles from the file, the environment and overrides; words that make no sense; what may be pickled."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path

import pytest

from iri_common import (
    AuthError,
    ClientCredentials,
    Facility,
    FileLedger,
    JobKey,
    JobRef,
    JobSpec,
    ProfileError,
    StaticToken,
    UsageError,
    token_from_env,
)
from iri_common.facility.profiles import config_file, load_profile
from iri_common.facility.settings import FacilitySettings, ResourceDefaults, make_settings
from iri_common.model.ports import Token

URL = "https://facility.example/api/v2"
SECRET = "s3cr3t-t0k3n-value"


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch) -> Path:
    path = tmp_path / "facilities.toml"
    monkeypatch.setenv("IRI_CONFIG", str(path))
    return path


async def no_wire(request):
    raise AssertionError("no token of these needs the wire")


def token_of(settings: FacilitySettings) -> Token:
    assert settings.token is not None
    return asyncio.run(settings.token.fetch(no_wire))


# ------------------------------------------------------------------------------------------- file


def test_a_whole_profile(file: Path, monkeypatch) -> None:
    file.write_text(
        f"""
        [nersc]
        url = "{URL}"
        token = {{ env = "MY_TOKEN" }}
        resource = "perlmutter"
        storage = "scratch"
        account = "m1234"
        queue = "regular"
        poll_seconds = 5
        proxy = "http://user:password@proxy.example:3128"
        ca_file = "/etc/ca.pem"

        [nersc.resources.perlmutter]
        queue = "debug"
        directory = "/pscratch/a"
        pre_launch = "module load python"
        """
    )
    monkeypatch.setenv("MY_TOKEN", SECRET)
    settings = load_profile("nersc")
    assert (settings.url, settings.name, settings.profile, settings.label) == (URL, "nersc", "nersc", "nersc")
    assert (settings.resource, settings.storage) == ("perlmutter", "scratch")
    assert settings.defaults_for("perlmutter") == ResourceDefaults(
        "m1234", "debug", "/pscratch/a", "module load python"
    )
    assert settings.defaults_for("another", None) == ResourceDefaults("m1234", "regular")
    assert settings.pace.quickest == 5
    assert settings.wire.ca_file == "/etc/ca.pem"
    assert (token_of(settings)).value == SECRET
    for word in (SECRET, "password"):
        assert word not in repr(settings)


def test_a_token_in_a_file(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    file.write_text(f'[a]\nurl = "{URL}"\ntoken = {{ file = "{secret}" }}')
    assert (token_of(load_profile("a"))).value == SECRET
    secret.chmod(0o644)
    with pytest.raises(AuthError, match="chmod 600"):
        token_of(load_profile("a"))


def test_a_client_in_the_file(file: Path) -> None:
    file.write_text(
        f'[a]\nurl = "{URL}"\n[a.client]\nid = "me"\ntoken_url = "https://id.example/token"\n'
        'secret = { env = "CLIENT" }\nscope = "jobs"'
    )
    token = load_profile("a").token
    assert isinstance(token, ClientCredentials)
    assert token.identity.startswith("client me of https://id.example/token")


def test_the_file_is_where_xdg_says(monkeypatch, config_home: Path) -> None:
    monkeypatch.delenv("IRI_CONFIG")
    assert config_file() == config_home / "iri" / "facilities.toml"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/alice")
    assert config_file() == Path("/home/alice/.config/iri/facilities.toml")


def test_the_names_of_all_profiles(file: Path, monkeypatch) -> None:
    assert Facility.profiles() == []
    file.write_text(f'[one]\nurl = "{URL}"\n[two]\nurl = "{URL}"')
    monkeypatch.setenv("IRI_FACILITY_THREE_URL", URL)
    monkeypatch.setenv("IRI_FACILITY_THREE_TOKEN_URL", "https://id.example/token")
    assert Facility.profiles() == ["one", "three", "two"]


def test_an_unknown_profile_names_those_that_exist(file: Path, monkeypatch) -> None:
    with pytest.raises(ProfileError, match="no profiles yet") as caught:
        Facility.from_profile("nersk")
    assert str(file) in str(caught.value)
    file.write_text(f'[nersc]\nurl = "{URL}"')
    monkeypatch.setenv("IRI_FACILITY_ALCF_URL", URL)
    with pytest.raises(ProfileError, match=r"profiles that exist: alcf, nersc"):
        Facility.from_profile("nersk")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[a]\nurl = "URL"\ncolour = "blue"', ["colour: no such setting", "poll_seconds"]),
        ('[a]\nurl = "URL"\n[a.resources.m]\nquue = "x"', ["resources.m.quue"]),
        ('[a]\nurl = "URL"\npoll_seconds = 0', ["poll_seconds"]),
        ('[a]\nurl = "URL"\npoll_seconds = nan', ["poll_seconds"]),
        ('[a]\nqueue = "x"', ["has no url"]),
        ('[a]\nurl = "ftp://x"', ["http"]),
        ('[a]\nurl = "URL"\ndialect = "klingon"', ["klingon", "iri"]),
        ('url = "URL"', ["outside of any"]),
        ("[a", ["cannot be read"]),
        ('[a]\nurl = "URL"\ntoken = {}', ["must point to a secret"]),
        ('[a]\nurl = "URL"\ntoken = { env = "A", file = "B" }', ["must point to a secret"]),
        ('[a]\nurl = "URL"\n[a.client]\nid = "x"\nsecret = { env = "Y" }', ["needs a token_url"]),
        (
            '[a]\nurl = "URL"\ntoken = { env = "T" }\n[a.client]\nid = "x"\ntoken_url = "https://y"\n'
            'secret = { env = "Y" }',
            ["both a token and a client"],
        ),
    ],
)
def test_words_that_make_no_sense(file: Path, text: str, words: list[str]) -> None:
    file.write_text(text.replace("URL", URL))
    with pytest.raises(ProfileError) as caught:
        load_profile("a")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[a]\nurl = \xe9"])
def test_a_file_that_is_no_text(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ProfileError, match="cannot be read"):
        load_profile("a")


@pytest.mark.parametrize(
    "text",
    [
        f'token = "{SECRET}"',
        f'token = {{ value = "{SECRET}" }}',
        f'client = "{SECRET}"',
        f'[a.client]\nid = "x"\ntoken_url = "y"\nsecret = "{SECRET}"',
        f'password = "{SECRET}"',
        f'token = {{ env = "X" }}\nurl = "https://me:{SECRET}@facility.example/api"',
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(file: Path, text: str) -> None:
    url = "" if "url =" in text and "token_url" not in text else f'url = "{URL}"\n'
    file.write_text(f"[a]\n{url}{text}")
    with pytest.raises(ProfileError) as caught:
        load_profile("a")
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.__context__)


def test_a_secret_in_the_place_of_a_pointer_is_told_where_it_belongs(file: Path) -> None:
    file.write_text(f'[a]\nurl = "{URL}"\ntoken = "{SECRET}"')
    with pytest.raises(
        ProfileError, match=r'\{ env = "NAME" \}, \{ file = "path" \}, \{ command = .*no secret'
    ):
        load_profile("a")


# ------------------------------------------------------------------------------------- environment


def test_a_profile_of_the_environment_alone(monkeypatch) -> None:
    for word, value in {
        "URL": URL,
        "TOKEN": SECRET,
        "RESOURCE": "machine",
        "STORAGE": "scratch",
        "ACCOUNT": "m1",
        "QUEUE": "debug",
        "DIRECTORY": "/work",
        "PRE_LAUNCH": "true",
        "POLL_SECONDS": "0.5",
        "CA_FILE": "/ca.pem",
    }.items():
        monkeypatch.setenv(f"IRI_FACILITY_MY_LAB_{word}", value)
    for name in ("my_lab", "my-lab", "MY_LAB"):
        settings = load_profile(name)
        assert (settings.name, settings.resource, settings.storage) == (name, "machine", "scratch")
        assert settings.defaults == ResourceDefaults("m1", "debug", "/work", "true")
        assert settings.pace.quickest == 0.5
        assert (token_of(settings)).value == SECRET


def test_the_environment_is_stronger_than_the_file_word_by_word(file: Path, monkeypatch) -> None:
    file.write_text(f'[a]\nurl = "{URL}"\naccount = "m1"\nqueue = "regular"')
    monkeypatch.setenv("IRI_FACILITY_A_QUEUE", "debug")
    monkeypatch.setenv("IRI_FACILITY_A_ACCOUNT", "")
    assert load_profile("a").defaults == ResourceDefaults("m1", "debug"), "an empty variable is none"


def test_the_environments_credential_replaces_the_files(file: Path, monkeypatch) -> None:
    file.write_text(f'[a]\nurl = "{URL}"\ntoken = {{ env = "T" }}')
    monkeypatch.setenv("IRI_FACILITY_A_CLIENT_ID", "robot")
    monkeypatch.setenv("IRI_FACILITY_A_TOKEN_URL", "https://id.example/token")
    monkeypatch.setenv("IRI_FACILITY_A_CLIENT_SECRET", SECRET)
    assert "client robot" in load_profile("a").token.identity
    monkeypatch.setenv("IRI_FACILITY_A_TOKEN_FILE", "/a/token")
    with pytest.raises(ProfileError, match="both a token and a client"):
        load_profile("a")
    monkeypatch.delenv("IRI_FACILITY_A_CLIENT_ID")
    assert load_profile("a").token.identity == "the token file /a/token"


def test_a_client_without_its_token_url_is_told_at_once(monkeypatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_A_URL", URL)
    monkeypatch.setenv("IRI_FACILITY_A_CLIENT_ID", "robot")
    with pytest.raises(ProfileError, match="client: needs a token_url") as caught:
        load_profile("a")
    assert "settings" not in str(caught.value), "what there is helps with a wrong name only"


def test_what_is_said_in_the_call_is_strongest(file: Path, monkeypatch) -> None:
    file.write_text(f'[a]\nurl = "{URL}"\nqueue = "regular"\ntoken = {{ env = "T" }}')
    monkeypatch.setenv("IRI_FACILITY_A_QUEUE", "debug")
    settings = load_profile("a", queue="preempt", token=SECRET)
    assert settings.defaults.queue == "preempt"
    assert isinstance(settings.token, StaticToken)
    assert (settings.label, settings.profile) == ("a", "a")
    with pytest.raises(ProfileError, match="colour"):
        Facility.from_profile("a", colour="blue")


def test_a_profile_without_a_url_may_get_it_in_the_call(file: Path) -> None:
    file.write_text('[a]\nqueue = "regular"')
    assert load_profile("a", url=URL).url == URL


# ---------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"url": "facility.example"}, "http"),
        ({"url": ""}, "http"),
        ({"url": None}, "http"),
        ({"url": "https://facility.example:port/"}, "URL"),
        ({"url": f"{URL}?a=b"}, "no query"),
        ({"url": f"https://me:{SECRET}@facility.example/api"}, "password"),
        ({"colour": "blue"}, "unknown facility settings: colour"),
        ({"dialect": "telnet"}, "no such dialect"),
        ({"poll_seconds": 0}, "poll_seconds"),
        ({"poll_seconds": -1}, "poll_seconds"),
        ({"poll_seconds": "often"}, "poll_seconds"),
        ({"poll_seconds": float("nan")}, "poll_seconds"),
        ({"per_resource": {"m": {"quue": "x"}}}, "quue"),
    ],
)
def test_settings_that_make_no_sense(words, told) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        Facility(**{"url": URL, **words})
    assert SECRET not in str(caught.value)


def test_every_word_that_is_taken_is_named_where_one_is_not() -> None:
    with pytest.raises(UsageError) as caught:
        make_settings(URL, nonsense=1)
    for word in ("ca_file", "proxy", "per_resource", "storage", "poll_seconds", "token"):
        assert word in str(caught.value)


def test_the_pace_may_be_a_text_and_slower_than_usual() -> None:
    assert make_settings(URL, poll_seconds="7").pace.quickest == 7
    assert make_settings(URL, poll_seconds=100).pace.slowest == 100


def test_defaults_fill_what_a_spec_leaves_open() -> None:
    settings = make_settings(
        URL,
        account="m1",
        queue="regular",
        directory="/home/a",
        per_resource={"gpu": {"queue": "gpu", "pre_launch": "module load cuda"}},
    )
    plain = settings.defaults_for("cpu").applied(JobSpec(executable="x"))
    assert (plain.attributes.account, plain.attributes.queue_name, plain.directory, plain.pre_launch) == (
        "m1",
        "regular",
        "/home/a",
        None,
    )
    gpu = settings.defaults_for("gpu", None).applied(JobSpec(executable="x", directory="/own"))
    assert (gpu.attributes.queue_name, gpu.directory, gpu.pre_launch) == ("gpu", "/own", "module load cuda")
    nothing = JobSpec(executable="x")
    assert make_settings(URL).defaults.applied(nothing) == nothing


def test_a_job_of_another_facility_is_refused_before_anything_is_sent() -> None:
    facility = Facility(URL, name="here")
    elsewhere = JobRef("other.example", "iri", "m", JobKey.of("x"), "1")
    slurm = JobRef("facility.example", "slurm", "m", JobKey.of("x"), "1")
    for ref in (elsewhere, str(elsewhere), slurm):
        for call in (facility.jobs.status, facility.jobs.wait, facility.jobs.cancel, facility.jobs.tail):
            with pytest.raises(UsageError, match="belongs to"):
                call(ref)
    with pytest.raises(UsageError, match="does not tell the job's id"):
        facility.jobs.wait(JobRef("facility.example", "iri", "m", JobKey.of("x")))


def test_facilities_share_a_door_only_if_they_mean_the_same_one() -> None:
    one = make_settings(URL, token="a", queue="x", poll_seconds=3)
    assert one.door == make_settings(URL + "/", token="a", name="other").door
    assert one.door != make_settings(URL, token="b").door
    assert one.door != make_settings(URL).door
    assert one.door != make_settings(URL, token="a", proxy="http://p:1").door


# ----------------------------------------------------------------------------------------- secrets


def test_nothing_that_can_be_printed_has_the_token_in_it() -> None:
    facility = Facility(URL, token=SECRET, name="lab", proxy=f"http://me:{SECRET}@proxy:1")
    things = (facility, facility._settings, facility.aio, facility.jobs, facility.jobs._service)
    assert SECRET not in "".join(map(repr, things))
    assert repr(facility) == f"Facility('lab', '{URL}')"


def test_a_facility_of_a_profile_travels_with_what_was_said_beside_it(file: Path, tmp_path: Path) -> None:
    file.write_text(f'[a]\nurl = "{URL}"\ntoken = {{ env = "T" }}\nqueue = "regular"')
    facility = Facility.from_profile("a", queue="debug", ledger=FileLedger(tmp_path / "ledger"))
    again = pickle.loads(pickle.dumps(facility))
    assert again.name == "a"
    assert again._settings.defaults.queue == "debug"
    assert again.jobs._service.ledger._directory == tmp_path / "ledger"


class Lab(Facility):
    """A facility of somebody's own kind."""


def test_a_subclass_stays_one(file: Path) -> None:
    file.write_text(f'[a]\nurl = "{URL}"')
    assert type(pickle.loads(pickle.dumps(Lab.from_profile("a")))) is Lab


@pytest.mark.parametrize(
    "words", [{"token": SECRET}, {"token": token_from_env("T")}, {"proxy": f"http://me:{SECRET}@p:1"}]
)
def test_a_facility_with_a_secret_in_hand_does_not_travel(file: Path, words) -> None:
    file.write_text(f'[a]\nurl = "{URL}"')
    for facility in (Facility(URL, **words), Facility.from_profile("a", **words), Facility(URL, profile="a")):
        with pytest.raises(TypeError, match="profile"):
            pickle.dumps(facility)


@pytest.mark.parametrize(
    ("lines", "identity"),
    [
        ('key = { file = "~/k.pem" }', "k.pem at https://oidc.nersc.gov/c2id/token"),
        ('id = "x"\nkey = { env = "K" }\ntoken_url = "https://t"', "the environment variable K at https://t"),
        (
            'id = "app"\ntoken_url = "https://t"\nuser = "alice"\npassword = { env = "P" }\nscope = "s"',
            "user alice through client app of https://t for s (the environment variable P)",
        ),
        (
            'id = "app"\ntoken_url = "https://t"\nsecret = { file = "/s" }\n'
            'user = "al"\npassword = { file = "/p" }',
            "user al through client app of https://t (the password file /p, the secret file /s)",
        ),
    ],
)
def test_clients_of_every_kind(file: Path, lines: str, identity: str) -> None:
    file.write_text(f'[a]\nurl = "{URL}"\n[a.client]\n{lines}\n')
    token = load_profile("a").token
    assert token is not None
    assert token.identity.endswith(identity)


@pytest.mark.parametrize(
    ("variables", "identity"),
    [
        ({"CLIENT_KEY_FILE": "/k.pem"}, "/k.pem at https://oidc.nersc.gov/c2id/token"),
        ({"CLIENT_KEY": "…", "CLIENT_ID": "x", "TOKEN_URL": "https://t"}, "CLIENT_KEY at https://t"),
        (
            {"CLIENT_ID": "app", "TOKEN_URL": "https://t", "CLIENT_USER": "alice", "CLIENT_PASSWORD": "…"},
            "user alice through client app of https://t",
        ),
        ({"CLIENT_ID": "app", "TOKEN_URL": "https://t", "CLIENT_SECRET": "…"}, "client app of https://t"),
    ],
)
def test_clients_of_every_kind_in_the_environment(monkeypatch, variables: dict, identity: str) -> None:
    for name, value in {"URL": URL, **variables}.items():
        monkeypatch.setenv(f"IRI_FACILITY_A_{name}", value)
    token = load_profile("a").token
    assert token is not None
    assert identity in token.identity
    assert "…" not in token.identity


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('id = "x"\ntoken_url = "https://t"\nuser = "alice"', "user and password belong together"),
        (
            'id = "x"\ntoken_url = "https://t"\nissuer = "login.example"\nrefresh = { env = "R" }',
            r"no http\(s\) URL as its issuer",
        ),
        ('key = { env = "K" }\nsecret = { env = "S" }', "no secret or password goes with it"),
        ('id = "x"\ntoken_url = "https://t"', "needs a secret, a key"),
        (
            'id = "x"\ntoken_url = "http://t"\nsecret = { env = "S" }',
            "has plain http in its token_url: others could read",
        ),
        (
            'id = "x"\ntoken_url = "https://t"\nissuer = "http://t"\nrefresh = { env = "R" }',
            "has plain http in its issuer",
        ),
        ('token_url = "https://t"\nsecret = { env = "S" }', "needs an id"),
        ('key = { env = "" }', "must point to a secret"),
        ('key = { file = "" }', "must point to a secret"),
    ],
)
def test_a_client_that_is_half_a_client_is_told_at_once(file: Path, lines: str, problem: str) -> None:
    file.write_text(f'[a]\nurl = "{URL}"\n[a.client]\n{lines}\n')
    with pytest.raises(ProfileError, match=problem):
        load_profile("a")
