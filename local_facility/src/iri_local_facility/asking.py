"""Asking a facility that runs, from this machine, without any client."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

# Without proxies: an environment that has one configured must not send loopback through it.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def control(url: str, method: str, path: str, body: Any = None) -> Any:
    """Ask the control route of the facility at ``url``.

    Raises:
        ValueError: It refuses.
        OSError: There is nobody.
    """
    request = urllib.request.Request(f"{url}/_facility{path}", method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with _direct.open(request, timeout=30) as answer:
            content = answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            raise ValueError(f"{method} {path}: {refused.read().decode(errors='replace')}") from None
    return json.loads(content) if content else None


def page(url: str) -> str:
    """What a browser would show at ``url``."""
    with _direct.open(url, timeout=30) as answer:
        return answer.read().decode()
