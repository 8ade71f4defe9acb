"""A token endpoint that repeats all that it is sent: in what it gives, refuses, garbles and loses."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl


@dataclass
class EchoingEndpoint:
    """What it does next, and the tokens that it gives.

    Attributes:
        turns: ``given``, ``refused``, ``malformed``, ``away`` or ``lost``, each once; ``given`` after them.
        token: The next one that it gives.
        secrets: All that was sent to it or given by it and is nobody's business.
    """

    token: str = ""
    url: str = ""
    turns: deque[str] = field(default_factory=deque)
    secrets: set[str] = field(default_factory=set)

    def answer(self, form: dict[str, str], authorization: str) -> tuple[int, object] | None:
        """Status and body, None for a reply that is lost."""
        turn = self.turns.popleft() if self.turns else "given"
        sent = {"form": form, "authorization": authorization}
        said = f"you sent {json.dumps(sent)}"
        refresh = f"successor-{len(self.secrets)}-of-{form.get('refresh_token', 'nothing')[-6:]}"
        given = {"access_token": self.token, "value": self.token, "expires_in": 3600, "echo": sent}
        self.secrets |= {self.token}
        if "refresh_token" in form and turn == "given":
            given["refresh_token"] = refresh
            self.secrets |= {refresh}
        return {
            "given": (200, given),
            "refused": (401, {"error": "invalid_client", "error_description": said}),
            "malformed": (200, {"access_token": sent, "expires_in": said}),
            "away": (503, {"error_description": said}),
            "lost": None,
        }[turn]


@contextlib.contextmanager
def echoing_endpoint() -> Iterator[EchoingEndpoint]:
    """It listens on loopback until the end of the context."""
    endpoint = EchoingEndpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            answered = endpoint.answer(dict(parse_qsl(body)), self.headers.get("authorization", ""))
            if answered is None:
                self.close_connection = True
                return
            status, words = answered
            content = json.dumps(words).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.send_header("set-cookie", f"session={endpoint.token}")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        endpoint.url = f"http://127.0.0.1:{server.server_port}/token"
        try:
            yield endpoint
        finally:
            server.shutdown()
            serving.join()
