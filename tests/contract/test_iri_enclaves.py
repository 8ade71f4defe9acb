"""Two enclaves of one site are two doors: what is of one is never shown to the other."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from iri_common import Facility, FileLedger, JobKey, JobRef, UsageError
from iri_common.model.errors import IriError


class Enclave:
    """Knows one resource and no job, or sends everybody elsewhere; keeps the credentials that it saw.

    Attributes:
        elsewhere: A URL that requests for jobs are redirected to; "" for none.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.elsewhere = ""
        enclave = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                enclave.seen.append(self.headers.get("authorization", ""))
                if enclave.elsewhere and "/compute/" in self.path:
                    self.send_response(307)
                    self.send_header("location", enclave.elsewhere + self.path)
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                found = self.path.startswith("/api/v1/status/resources")
                body = json.dumps([] if found else {"detail": "no such job"}).encode()
                self.send_response(200 if found else 404)
                self.send_header("content-type", "application/json" if found else "application/problem+json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def serving() -> Iterator[Enclave]:
    enclave = Enclave()
    thread = threading.Thread(target=enclave.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield enclave
    finally:
        enclave.server.shutdown()
        thread.join()
        enclave.server.server_close()


@pytest.fixture
def enclaves() -> Iterator[tuple[Enclave, Enclave]]:
    with serving() as one, serving() as other:
        yield one, other


@pytest.fixture
def doors(
    enclaves: tuple[Enclave, Enclave], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Facility, Facility]:
    profiles = [
        f'[{name}]\nurl = "{enclave.url}/api/v1"\nsite = "olcf"\ntoken = {{ env = "TOKEN_{name}" }}\n'
        for name, enclave in zip(("open", "moderate"), enclaves, strict=True)
    ]
    (tmp_path / "facilities.toml").write_text("".join(profiles))
    monkeypatch.setenv("IRI_CONFIG", str(tmp_path / "facilities.toml"))
    monkeypatch.setenv("TOKEN_open", "secret-of-open")
    monkeypatch.setenv("TOKEN_moderate", "secret-of-moderate")
    ledger = FileLedger(tmp_path / "ledger")
    one, other = (Facility.from_profile(name, ledger=ledger) for name in ("open", "moderate"))
    return one, other


def job_at(enclave: Enclave) -> JobRef:
    return JobRef(enclave.url.removeprefix("http://"), "iri", "r", JobKey.of("enclaves"), "7")


def test_each_token_is_shown_to_its_own_enclave(enclaves, doors) -> None:
    for enclave, door in zip(enclaves, doors, strict=True):
        door.jobs.status(job_at(enclave))
    assert [set(each.seen) for each in enclaves] == [
        {"Bearer secret-of-open"},
        {"Bearer secret-of-moderate"},
    ]


def test_a_job_of_one_is_not_asked_for_at_the_other(enclaves, doors) -> None:
    with pytest.raises(UsageError):
        doors[1].jobs.status(job_at(enclaves[0]))
    assert not enclaves[0].seen
    assert not enclaves[1].seen


def test_a_redirect_carries_no_token_to_the_other(enclaves, doors) -> None:
    enclaves[0].elsewhere = enclaves[1].url
    with pytest.raises(IriError):
        doors[0].jobs.status(job_at(enclaves[0]))
    assert enclaves[0].seen
    assert not enclaves[1].seen
