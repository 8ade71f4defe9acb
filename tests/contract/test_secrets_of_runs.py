"""A job from end to end with each kind of credential, and with what goes wrong: nothing tells a secret."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from doors import DOORS
from echoing_endpoint import EchoingEndpoint, echoing_endpoint
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from iri_common import Facility, IriError, JobKey
from iri_common.facility.credentials import Client, Secret, client_tokens
from iri_common.facility.standing import facts_of
from iri_common.http import telemetry
from iri_common.model.ports import TokenSource
from iri_local_facility import LocalFacility

pytestmark = pytest.mark.timeout(90)

# By the words of a client; none is text that could stand somewhere by chance.
HELD = {
    "secret": "wK3sEcr8tYb5Hd1M/+%",
    "password": "jP6pAss4vCn0Zs8G\"'é",
    "refresh": "uR9rEfr3xDk7Ft2BqQ",
    "exchange": "oX5eXch1nGe4Ab6Cd",
}
RUNNER = "mR2rUnn9eRz7Ky4Xw"
FAILING = ("malformed", "refused", "away", "lost")


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as facility:
        yield facility


@pytest.fixture(scope="module")
def pem() -> str:
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return private.private_bytes(kind, form, serialization.NoEncryption()).decode()


@dataclass
class Run:
    """A client with secrets, an endpoint that repeats them, and all that is told."""

    place: LocalFacility
    endpoint: EchoingEndpoint
    folder: Path
    held: dict[str, str]
    told: list[str] = field(default_factory=list)

    def file(self, name: str) -> Path:
        file = self.folder / "held" / name
        file.parent.mkdir(exist_ok=True)
        file.touch(0o600)
        file.write_text(self.held[name])
        return file

    def client(self, *secrets: str, **words: object) -> TokenSource:
        pointers = {name: {"file": str(self.file(name))} for name in secrets}
        told = {"id": "app", "token_url": self.endpoint.url, **pointers, **words}
        return Client.model_validate(told).source()

    def tell(self, *values: object) -> None:
        """What can be made of these."""
        for value in values:
            self.told.append(f"{value!r} {value}")
            try:
                self.told.append(pickle.dumps(value).decode("latin-1"))
            except Exception as error:
                self.fail(error)

    def fail(self, error: BaseException | None) -> None:
        """What can be made of an error, and of what led to it."""
        if error is not None:
            self.told += [*traceback.format_exception(error), f"{error!r} {vars(error)}"]
            self.fail(error.__cause__ or error.__context__)

    def ask(self, facility: Facility, *turns: str) -> None:
        """Let it ask who it is, with an endpoint that does so."""
        self.endpoint.turns.extend(turns)
        with pytest.raises(IriError) as caught:
            facility.accounts.whoami()
        self.fail(caught.value)
        self.tell(caught.value)

    def renew(self) -> str:
        """The next token of the endpoint, or of the file."""
        token = self.held["token"] = self.endpoint.token = self.place.new_token()
        if (file := self.folder / "held" / "token").exists():
            file.write_text(token)
        return token


SOURCES: dict[str, Callable[[Run], TokenSource]] = {
    "secret": lambda run: run.client("secret"),
    "shared secret": lambda run: run.client("secret", share=True),
    "key": lambda run: run.client("key"),
    "person": lambda run: run.client("password", "secret", user="alice"),
    "login": lambda run: run.client("refresh", "secret"),
    "exchange": lambda run: run.client("exchange", "secret"),
    "shared exchange": lambda run: run.client("exchange", share=True),
    "github": lambda run: run.client(exchange={"github": "https://login.invalid"}),
    "in hand": lambda run: client_tokens(
        "a store",
        id="app",
        token_url=run.endpoint.url,
        exchange=run.held["exchange"],
        secret=run.held["secret"],
    ),
    "token file": lambda run: Secret(file=str(run.file("token"))).reader(),
    "token command": lambda run: Secret(command=["cat", str(run.file("token"))]).reader(),
}


@pytest.fixture
def run(place: LocalFacility, pem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with echoing_endpoint() as endpoint:
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{endpoint.url}?api-version=2")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", RUNNER)
        yield Run(place, endpoint, tmp_path, {**HELD, "key": f"app\n{pem}"})


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What a tracer and a meter are told."""
    exporter, reader, tracers = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    tracer, meter = tracers.get_tracer("test"), MeterProvider([reader]).get_meter("test")
    monkeypatch.setattr(telemetry, "_instruments", telemetry.Instruments.on(tracer, meter, Context()))

    def seen() -> list[str]:
        data = reader.get_metrics_data()
        return [*(each.to_json() for each in exporter.get_finished_spans()), data.to_json() if data else ""]

    return seen


def forms(secret: str) -> set[str]:
    """A secret as it is, in the ways in which it can be packed, and its ends, which a cut may leave."""
    text = secret.encode()
    packed = {base64.b64encode(bytes(skip) + text)[4 * bool(skip) : -4].decode() for skip in range(3)}
    plain = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    return plain | packed | {secret[:10], secret[-10:]}


def run_a_job(run: Run, door: str, source: TokenSource) -> None:
    """With every trouble that its tokens can have; all that is told is noted."""
    facility = DOORS[door].open(run.place, run.folder, token=source, audit="all")
    asking = run.endpoint.url in source.identity
    if asking:
        for turn in FAILING if "login" not in source.identity else ("refused",):
            run.ask(facility, *(["given"] if "GitHub" in source.identity else []), turn)
    token = run.renew()
    run.place.order("lose_reply", DOORS[door].operations[0])
    key = JobKey.of("secrets of runs", run.folder.name)
    ref = facility.jobs.submit({"executable": "/bin/hostname"}, key=key)
    result = facility.jobs.result(ref, timeout=60)
    assert result.status.succeeded
    assert run.place.revoke(token)
    run.ask(facility, *(["refused"] * 2 if asking else []))
    run.endpoint.turns.clear()
    run.renew()
    assert facility.accounts.whoami() == run.place.user
    with pytest.raises(IriError) as caught:
        facility.jobs.submit({"executable": "/bin/true", "attributes": {"queue_name": "none such"}})
    run.fail(caught.value)
    run.tell(
        facility, facility._settings, source, facts_of(source), ref, result, facility.accounts.credential()
    )


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize(("name", "door"), [*((name, "iri-v2") for name in SOURCES), ("secret", "firecrest")])
def test_a_run_with_every_trouble_tells_no_secret(
    run: Run, spans: Callable[[], list[str]], name: str, door: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    run.renew()
    run_a_job(run, door, SOURCES[name](run))
    files = [each for each in run.folder.rglob("*") if each.is_file()]
    kept = [each for each in files if not {"held", "tokens"} & set(each.parts)]
    assert {"ledger", "audit"} <= {each.parent.name for each in kept}
    told = [*run.told, *(f"{each} {each.read_text()}" for each in kept), *spans()]
    told += [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    hidden = {*HELD.values(), RUNNER, *run.held["key"].split("\n")[2:-2], *run.endpoint.secrets}
    hidden |= {run.held["token"]}
    known = [form for each in hidden for form in forms(each)]
    assert not sorted({(form, text[:300]) for form in known for text in told if form in text})
