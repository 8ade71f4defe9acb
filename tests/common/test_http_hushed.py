"""Who logs at DEBUG sees no header of our replies; it may hold a token, as FirecREST's do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from iri_common.http.bytes import HttpBytes
from iri_common.http.transport import HttpxTransport, WireSettings
from iri_common.model.ports import WireRequest

TOKEN = "hK4tOkn7eNq2Wd9Zs"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("auth-token", TOKEN)
            self.send_header("content-length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        serving.join()


async def test_no_header_of_ours_is_logged(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    requests, data = HttpxTransport(WireSettings()), HttpBytes(WireSettings())
    try:
        reply = await requests.send(WireRequest("GET", url))
        assert reply.headers["auth-token"] == TOKEN
        await data.post(url, b"")
    finally:
        await requests.close()
        await data.close()
    assert caplog.text.count("receive_response_headers.complete return_value=(b'HTTP/1.0', 200") == 2
    assert TOKEN not in caplog.text


async def test_others_see_theirs(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with httpx.AsyncClient() as another:
        await another.get(url)
    assert TOKEN in caplog.text
