"""Every state of a credential before every API: what is told of it, and how many tokens that costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from iri_common import ClientCredentials, Credential, CredentialState, Facility, FileLedger
from iri_common.apis.globus import GlobusCredential
from iri_common.apis.globus import client as globus_client
from iri_common.apis.globus.login import Login
from iri_common.apis.globus.rules import Needs, transfer_scope
from iri_common.auth.client_key import key_from_file
from iri_common.auth.password import PasswordGrant
from iri_common.auth.private_key_jwt import PrivateKeyJwt
from iri_common.auth.refresh import RefreshGrant, RefreshTokens
from iri_common.auth.secret import secret_from_file
from iri_common.auth.static import token_from_file
from iri_common.facility.loop import run_blocking
from iri_common.facility.standing import at_globus
from iri_common.http import session
from iri_common.policy.retry import Limits
from iri_local_facility import LocalFacility

pytestmark = pytest.mark.timeout(90)

S = CredentialState
LIFE = 2  # seconds of a token that is to end; Slurm counts whole ones
Look = Callable[[], Credential]


@dataclass(frozen=True)
class Face:
    """A credential before one API.

    Attributes:
        url: Of the API.
        source: Where tokens come from; made of the facility, and of a function that keeps a secret in a file.
        words: What a profile says of it beside.
        tokens: What the facility's log calls a request for a token; "" for one that a person replaces.
        first: Token requests that the first look costs.
        tells: Somebody tells when such a token ends.
    """

    url: Callable[[LocalFacility], str]
    source: Callable[[LocalFacility, Callable[[str], Path], float | None], Any]
    words: tuple[tuple[str, str], ...] = ()
    tokens: str = ""
    first: int = 1
    tells: bool = False

    @property
    def good(self) -> CredentialState:
        return S.RENEWABLE if self.tokens else S.OK

    def look(self, place: LocalFacility, folder: Path, life: float | None = None) -> Look:
        """Opens a door of its own; equal credentials share one."""

        def keep(secret: str) -> Path:
            file = folder / "secret"
            file.touch(mode=0o600)
            file.write_text(secret)
            return file

        folder.mkdir(exist_ok=True)
        source = self.source(place, keep, life)
        if isinstance(source, GlobusCredential):
            return lambda: run_blocking(at_globus(source))
        ledger = FileLedger(folder / "ledger")
        return Facility(
            self.url(place), token=source, name="place", ledger=ledger, **dict(self.words)
        ).accounts.credential


def kept(make: Callable[[LocalFacility, float | None], str]) -> Callable[..., Any]:
    return lambda place, keep, life: token_from_file(keep(make(place, life)))


def opaque(place: LocalFacility, life: float | None) -> str:
    return place.new_token(lifetime=life)


def by_secret(place: LocalFacility, keep: Callable[[str], Path], life: float | None) -> Any:
    secret = secret_from_file(keep(place.client_secret), "secret")
    return ClientCredentials(place.token_url, place.client_id, secret)


def by_key(place: LocalFacility, keep: Callable[[str], Path], life: float | None) -> Any:
    key = key_from_file(keep(place.superfacility_key.read_text()))
    return PrivateKeyJwt(place.superfacility_token_url, key)


def by_password(place: LocalFacility, keep: Callable[[str], Path], life: float | None) -> Any:
    password, secret = secret_from_file(keep(place.sense_password), "password"), lambda: place.client_secret
    return PasswordGrant(place.sense_token_url, place.sense_client, place.sense_user, password, secret)


def by_login(place: LocalFacility, keep: Callable[[str], Path], life: float | None) -> Any:
    refresh, secret = (
        secret_from_file(keep(place.sense_login()), "refresh token"),
        lambda: place.client_secret,
    )
    return RefreshTokens(RefreshGrant(place.sense_token_url, place.sense_client, refresh, secret))


def of_program(place: LocalFacility, keep: Callable[[str], Path], life: float | None) -> Any:
    return GlobusCredential(place.globus_client_id, lambda: place.globus_client_secret)


def of_person(place: LocalFacility, keep: Callable[[str], Path], life: float | None) -> Any:
    credential = GlobusCredential(place.globus_native_client_id)
    login = Login(credential, [transfer_scope()], Needs())
    login.finish(place.globus_login(login.url))
    return credential


def iri(place: LocalFacility) -> str:
    return place.base_url


def iri_v1(place: LocalFacility) -> str:
    return f"{place.url}/api/v1"


def firecrest(place: LocalFacility) -> str:
    return place.firecrest_url


def slurm(place: LocalFacility) -> str:
    return place.slurm_url


def s3m(place: LocalFacility) -> str:
    return place.s3m_url


def sense(place: LocalFacility) -> str:
    return place.sense_url


SLURM = (("dialect", "slurm"), ("user", "alice"))
S3M = (("dialect", "slurm"), ("site", "s3m"))
FIRECREST, SENSE = (("dialect", "firecrest"),), (("dialect", "sense"),)
SLURM_TOKEN = kept(lambda place, life: place.new_slurm_token(lifetime=life))
S3M_TOKEN = kept(lambda place, life: place.new_s3m_token("beamline", lifetime=life))

FACES = {
    "iri-v2": Face(iri, kept(opaque)),
    "iri-v2, client": Face(iri, by_secret, tokens="token"),
    "iri-v1": Face(iri_v1, kept(opaque)),
    "iri-v1, client": Face(iri_v1, by_secret, tokens="token"),
    "firecrest": Face(firecrest, kept(opaque), FIRECREST),
    "firecrest, client": Face(firecrest, by_secret, FIRECREST, "token"),
    "superfacility": Face(
        lambda place: place.superfacility_url, by_key, (("dialect", "superfacility"),), "sfToken"
    ),
    "slurm": Face(slurm, SLURM_TOKEN, SLURM, tells=True),
    "slurm-v38": Face(slurm, SLURM_TOKEN, (*SLURM, ("api_version", "v0.0.38")), tells=True),
    "s3m": Face(s3m, S3M_TOKEN, S3M, tells=True),
    "sense": Face(sense, kept(opaque), SENSE),
    "sense, person": Face(sense, by_password, SENSE, "senseToken"),
    "sense, login": Face(sense, by_login, SENSE, "senseToken"),
    "globus, client": Face(iri, of_program, tokens="globusToken"),
    "globus, login": Face(iri, of_person, tokens="globusToken", first=0),
}


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(token_lifetime=600.0) as running:
        yield running


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody is patient, and what processes share is this test's own."""
    hasty = Limits(attempts=2, total=5.0, first_delay=0.01, longest_delay=0.01)
    for module in (session, globus_client):
        monkeypatch.setattr(module, "Limits", lambda: hasty)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def there(place: LocalFacility, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalFacility]:
    speak_globus(place, monkeypatch, tmp_path)
    yield place
    place.clear_faults()


def speak_globus(place: LocalFacility, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    # The last one is no word of the SDK's: identities are open for a process, and this one is new.
    for name, value in {**place.globus_env, "GLOBUS_SDK_IN": str(folder)}.items():
        monkeypatch.setenv(name, value)


def asked(face: Face, place: LocalFacility) -> int:
    return len(place.requests(face.tokens)) if face.tokens else 0


@pytest.mark.parametrize("name", FACES)
def test_a_good_one_works_and_costs_no_token_too_many(
    name: str, there: LocalFacility, tmp_path: Path
) -> None:
    face = FACES[name]
    look = face.look(there, tmp_path)
    there.reset_requests()
    assert [look().state for _ in range(2)] == [face.good] * 2
    assert asked(face, there) == (face.first if face.tokens else 0)


@pytest.mark.parametrize("name", FACES)
def test_one_that_is_refused_once_is_had_again(name: str, there: LocalFacility, tmp_path: Path) -> None:
    face = FACES[name]
    look = face.look(there, tmp_path)
    assert look().state is face.good
    there.reset_requests()
    there.order("refuse_tokens", times=1)
    told = look()
    assert (told.state, told.mend) == (face.good, "")
    assert asked(face, there) == (1 if face.tokens else 0)


@pytest.mark.parametrize("name", FACES)
def test_one_that_stays_refused_needs_a_person(name: str, there: LocalFacility, tmp_path: Path) -> None:
    face = FACES[name]
    look = face.look(there, tmp_path)
    assert look().state is face.good
    there.reset_requests()
    there.order("refuse_tokens")
    told = look()
    assert told.state is S.NEEDS_PERSON
    assert told.mend
    assert told.why
    assert asked(face, there) <= 1, "another token is tried once"
    there.clear_faults()
    assert look().state is face.good


@pytest.mark.parametrize("name", FACES)
def test_of_a_facility_that_is_away_nothing_is_concluded(
    name: str, there: LocalFacility, tmp_path: Path
) -> None:
    face = FACES[name]
    look = face.look(there, tmp_path)
    assert look().state is face.good
    there.order("status", status=503, times=None)
    told = look()
    assert (told.state, told.mend) == (S.UNKNOWN, "ask again later")
    there.clear_faults()
    assert look().state is face.good


def seen_good(face: Face, place: LocalFacility, folder: Path) -> tuple[Look, float]:
    """A door whose token was seen to count, and when that has ended; a busy machine takes a longer one."""
    for life in (LIFE, 3 * LIFE, 9 * LIFE):
        look = face.look(place, folder / str(life), life)
        if any(look().state is face.good for _ in range(3 if face.tokens else 1)):
            return look, time.time() + life + 1.1
    raise AssertionError("it never counted")


def test_tokens_of_seconds_end_or_are_renewed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with LocalFacility(token_lifetime=float(LIFE), firecrest_min_token_ttl=0.0) as brief:
        speak_globus(brief, monkeypatch, tmp_path)
        faces = {
            name: face
            for name, face in FACES.items()
            if not name.startswith("globus")  # its face gives no tokens of seconds
        }
        seen = {}
        for number, (name, face) in enumerate(faces.items()):
            (tmp_path / str(number)).mkdir()
            seen[name] = seen_good(face, brief, tmp_path / str(number))
        time.sleep(max(0.0, max(end for _, end in seen.values()) - time.time()))
        for name, (look, _) in seen.items():
            face = faces[name]
            brief.reset_requests()
            if face.tokens:
                assert any(look().state is S.RENEWABLE for _ in range(3)), name
                assert asked(face, brief) >= 1
                continue
            told = look()
            assert (name, told.state) == (name, S.EXPIRED if face.tells else S.NEEDS_PERSON)
            assert told.mend
