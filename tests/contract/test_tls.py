"""TLS before every door: a certificate that nobody vouches for is refused, one of the CA file is not."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from doors import DOORS
from misbehaving_relay import Relay

from iri_common import Facility, FileLedger, PathEnd, PathIntent, Unreachable, UsageError
from iri_common.auth.password import PasswordGrant
from iri_common.policy.retry import Limits
from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(sense_step=0.02) as running:
        yield running


def certificate(folder: Path, name: str) -> Path:
    """A certificate for a name or an address, with its key; signed by itself."""
    kind = "IP" if name[0].isdigit() else "DNS"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=door"
    files = ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-addext", f"subjectAltName={kind}:{name}"]
    subprocess.run([*made.split(), *files], cwd=folder, check=True, capture_output=True)
    return folder / f"{name}.pem"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("own"), "127.0.0.1")


@pytest.fixture(scope="module")
def anothers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good, but of another host."""
    return certificate(tmp_path_factory.mktemp("anothers"), "door.example")


@pytest.fixture
def place_quietly(place: LocalFacility, monkeypatch: pytest.MonkeyPatch) -> LocalFacility:
    monkeypatch.setattr("iri_common.http.session.Limits", lambda: Limits(attempts=1))
    place.reset_requests()
    return place


def served(shown: Path) -> ssl.SSLContext:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(shown, shown.with_suffix(".key"))
    return tls


@pytest.fixture
def relay(place_quietly: LocalFacility, own: Path) -> Iterator[Relay]:
    with Relay(place_quietly.url, tls=served(own)) as between:
        yield between


def below(relay: Relay, url: str) -> str:
    """A URL of the facility, as it is behind the relay."""
    return relay.base_url + urlsplit(url).path


@pytest.mark.parametrize("name", DOORS)
def test_every_door_verifies(place_quietly, relay, own, name, tmp_path) -> None:
    door = DOORS[name]
    words = {"name": "place", "ledger": FileLedger(tmp_path), **door.words(place_quietly)}
    url = below(relay, door.url(place_quietly))
    place_quietly.reset_requests()
    with pytest.raises(Unreachable, match="certificate"):
        Facility(url, **words).status.resources()
    assert place_quietly.requests() == []
    assert Facility(url, **words, ca_file=str(own)).status.resources()


def sense(place: LocalFacility, relay: Relay, **words) -> Facility:
    grant = PasswordGrant(
        below(relay, place.sense_token_url),
        place.sense_client,
        place.sense_user,
        lambda: place.sense_password,
        lambda: place.client_secret,
    )
    return Facility(below(relay, place.sense_url), token=grant, dialect="sense", **words)


def test_a_network_is_verified_and_who_gives_its_tokens_too(place_quietly, relay, own, tmp_path) -> None:
    ends = PathIntent([PathEnd(each) for each in place_quietly.sense_ports[:2]])
    with pytest.raises(Unreachable, match="certificate"):
        sense(place_quietly, relay).networks.negotiate(ends)
    assert place_quietly.requests() == [], "no password has left for somebody unknown"
    known = sense(place_quietly, relay, ca_file=str(own), ledger=FileLedger(tmp_path))
    assert known.networks.negotiate(ends).mbps == 100_000
    assert {each["operation"] for each in place_quietly.requests()} >= {"senseToken", "senseCompute"}


def test_the_name_must_be_the_host_s(place_quietly, anothers) -> None:
    with Relay(place_quietly.url, tls=served(anothers)) as relay:
        door = sense(place_quietly, relay, ca_file=str(anothers))
        with pytest.raises(Unreachable, match="certificate"):
            door.networks.profiles()
    assert place_quietly.requests() == []


@pytest.mark.parametrize("word", ["verify", "insecure", "verify_tls"])
def test_nothing_turns_it_off(place_quietly, relay, word) -> None:
    with pytest.raises(UsageError, match="unknown facility settings"):
        sense(place_quietly, relay, **{word: False})
