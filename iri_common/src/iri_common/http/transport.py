"""One request, one reply, over httpx; every wait has a limit."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from io import BytesIO

import httpx

from iri_common.http.hushed import hushed
from iri_common.http.unpacking import ACCEPTED, Unpacking
from iri_common.model.ports import WireReply, WireRequest
from iri_common.policy.classify import NotSent, ReplyLost, ReplyTooLong

# Named, because httpx would guess the kind, for which Python reads files of the system: on the I/O loop.
_ANY_BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class WireSettings:
    """How to reach a facility.

    Attributes:
        ca_file: A PEM file of certificate authorities to trust instead of the default ones.
        proxy: URL of an HTTP proxy; None takes the environment's.
        connect_seconds: Limit on opening a connection.
        read_seconds: Limit on silence from the facility; a submit may take more than ten seconds
            to be answered (IRI digest of NERSC's threads), so this is generous.
        connections: The most open at once.
    """

    ca_file: str | None = None
    proxy: str | None = field(default=None, repr=False)  # may carry a password
    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    connections: int = 10


class HttpxTransport:
    """The only place that knows httpx. Redirects are not followed: a token must not wander."""

    def __init__(self, settings: WireSettings) -> None:
        verify = ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else True
        self._client = httpx.AsyncClient(
            verify=verify,
            proxy=settings.proxy,
            timeout=httpx.Timeout(settings.read_seconds, connect=settings.connect_seconds, pool=120.0),
            limits=httpx.Limits(max_connections=settings.connections, keepalive_expiry=30.0),
            headers={
                "user-agent": "iri-workflows",
                "accept": "application/json",
                "accept-encoding": ACCEPTED,
            },
            follow_redirects=False,
        )

    async def send(self, request: WireRequest) -> WireReply:
        """Send once.

        Raises:
            NotSent: if no connection could be opened.
            ReplyLost: if anything fails after that.
            ReplyTooLong: if a success has more bytes than the request wants.
        """
        # httpx' objects refer to one another in a circle: bodies that they held would stay in memory until
        # the next collection of garbage, and those of files are megabytes.
        files = {
            name: (called, BytesIO(content)) for name, (called, content) in (request.files or {}).items()
        }
        try:
            with hushed():
                async with self._client.stream(
                    request.method,
                    request.url,
                    headers=dict(request.headers),
                    params=list(request.params) or None,
                    json=request.json,
                    data=request.form,
                    files={name: (*each, _ANY_BYTES) for name, each in files.items()} or None,
                ) as reply:
                    body = await _body(reply, request.most)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSent(_words(error)) from None
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.ProxyError) as error:
            raise NotSent(_words(error)) from None
        except httpx.LocalProtocolError:
            # Its words repeat the header that cannot be written, which may be the one with the token.
            raise ReplyLost("LocalProtocolError: the request breaks the rules of HTTP") from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise ReplyLost(_words(error)) from None
        finally:
            for _, stream in files.values():
                stream.close()
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return WireReply(reply.status_code, headers, body)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


async def _body(reply: httpx.Response, most: int) -> bytes:
    """All of it, unpacked. What is no success tells enough by its status: its body is cut."""
    unpacking = Unpacking(reply.headers.get("content-encoding", ""))
    pieces: list[bytes] = []
    left = most
    async for raw in reply.aiter_raw():
        for piece in unpacking.pieces(raw):
            pieces.append(piece[:left])
            left -= len(piece)
            if left < 0 and reply.is_success:
                raise ReplyTooLong(f"it has more than the {most:,} bytes that are read of one")
            if left < 0:
                return b"".join(pieces)
    unpacking.end()
    return b"".join(pieces)


def _words(error: Exception) -> str:
    kind = type(error).__name__
    return f"{kind}: {error}" if str(error) else kind
